"""The `consentry` command."""

from consentry_cli.cli import cli


def main() -> None:
    """Run it."""
    cli(prog_name="consentry")


if __name__ == "__main__":
    main()

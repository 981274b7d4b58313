"""`python -m consentry_authority`: serve until told to stop."""

import click

from consentry_authority.app import AuthoritySettings, run
from consentry_core.process.settings import options


@click.command()
@options(AuthoritySettings)
def main(settings: AuthoritySettings) -> None:
    """Run the authority."""
    run(settings)


if __name__ == "__main__":
    main()

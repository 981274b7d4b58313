"""Help pages, and what is said of a word that was mistyped.

A command's own options come first; those that every calling command has come under one heading. Every page ends with examples.
"""

import difflib
from collections.abc import Callable
from typing import Any, Final

import click

from consentry_cli.examples import EXAMPLES

_SHARED: Final = "consentry_shared"


def shared(option: Callable[..., Any]) -> Callable[..., Any]:
    """Mark an option as one that many commands have."""

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        decorated: Callable[..., Any] = option(command)
        setattr(decorated.__click_params__[-1], _SHARED, True)  # type: ignore[attr-defined] # where click collects them
        return decorated

    return decorate


class Command(click.Command):
    """A command."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Its own options, then those it shares."""
        own: list[tuple[str, str]] = []
        inherited: list[tuple[str, str]] = []
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record is not None:
                (inherited if getattr(parameter, _SHARED, False) else own).append(record)
        for heading, records in (("Options", own), ("Options of every command that calls a service", inherited)):
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        _write_examples(ctx, formatter)


class Group(click.Group):
    """A group of such commands, which tells what was probably meant."""

    command_class = Command

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        """Click's, with what was probably meant."""
        if args and self.get_command(ctx, args[0]) is None and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), 1)
            meant = f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(self.list_commands(ctx))}"
            ctx.fail(f"No such command {args[0]!r}; {meant}")
        return super().resolve_command(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The examples."""
        _write_examples(ctx, formatter)


Group.group_class = Group


def _write_examples(ctx: click.Context, formatter: click.HelpFormatter) -> None:
    examples = EXAMPLES.get(ctx.command_path.partition(" ")[2])
    if examples:
        with formatter.section("Examples"):
            for line in examples.splitlines():
                formatter.write(f"{'':>{formatter.current_indent}}{line}\n")

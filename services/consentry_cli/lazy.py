"""Commands that are imported when they are asked for, and what is said when what they need is not installed."""

import importlib
from collections.abc import Mapping
from typing import Any

import click

from consentry_cli.examples import EXAMPLES
from consentry_cli.helping import Command, Group
from consentry_core.process.settings import SettingError


class LazyGroup(Group):
    """A group with commands given as `module:attribute`; `extras` names the extra that a command needs to be imported."""

    def __init__(
        self, *arguments: Any, lazy: Mapping[str, str], extras: Mapping[str, str] | None = None, **options: Any
    ) -> None:
        super().__init__(*arguments, **options)
        self._lazy = lazy
        self._extras = extras or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """In the order in which they were given."""
        return [*self._lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported; for one that cannot be, a command that says what to install."""
        if cmd_name not in self._lazy:
            return super().get_command(ctx, cmd_name)
        try:
            command = load(self._lazy[cmd_name], self._extras.get(cmd_name))
        except SettingError as missing:
            return _not_installed(cmd_name, missing)
        assert isinstance(command, click.Command)  # noqa: S101 - a typing error in the table
        if not isinstance(command, Command | Group):  # made where this package cannot be imported
            command.epilog = f"\b\nExamples:\n{EXAMPLES[f'{self.name} {cmd_name}']}"
        return command


def load(path: str, extra: str | None) -> Any:
    """`module:attribute`, imported. SettingError, naming the extra, when something that it needs is not installed."""
    module, _, attribute = path.partition(":")
    try:
        return getattr(importlib.import_module(module), attribute)
    except ModuleNotFoundError as error:
        if extra is None or (error.name or "").partition("_")[0] == "consentry":
            raise
        raise SettingError(f"{error.name} is not installed; this needs: pip install 'consentry[{extra}]'") from error


def _not_installed(name: str, missing: SettingError) -> click.Command:
    def refuse() -> None:
        raise missing

    settings = {"ignore_unknown_options": True, "allow_extra_args": True}
    return click.Command(name, context_settings=settings, callback=refuse, help=f"Not installed: {missing.message}")

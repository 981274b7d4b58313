"""Settings: a frozen dataclass per program, each field a flag and an environment variable.

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        listen: str = setting("127.0.0.1:7401", "address to serve on", env="CONSENTRY_AUTHORITY_LISTEN")

A field named `data_dir` is the flag `--data-dir` and, unless `env` says otherwise, the variable `CONSENTRY_DATA_DIR`.
A secret has the variable only. Fields that several programs share say `{program}` where the class's `program` is to stand.

A variable that begins with `CONSENTRY_` and that nothing reads is refused: it is a typing error or a left-over, and either way
somebody believes that it does something. What Kubernetes sets by itself is passed over (`service_links`).
"""

import dataclasses
import difflib
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click

from consentry_core.process.service_links import service_links
from consentry_core.values.text import shown

_S = TypeVar("_S")
_P = ParamSpec("_P")
PREFIX = "CONSENTRY_"
_ALIKE = 0.8


class SettingError(click.ClickException):
    """The program cannot run as it was configured; the message says what to change. Exit code 2."""

    exit_code = 2

    def format_message(self) -> str:
        """With escapes for what a terminal would obey: names of files are anybody's."""
        return "\n".join(map(shown, super().format_message().split("\n")))


class FromEnvironment(click.Option):
    """A secret. It has an environment variable and no flag: every user of the machine can list a process's arguments."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        """No flag."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        """The variable, where other options show their flag."""
        return f"${self.envvar}", f"{self.help} (environment only)"


def setting(default: Any, help_text: str, *, env: str | None = None, secret: bool = False) -> Any:
    """A field of a settings dataclass. A secret one is read from the environment only."""
    kind = FromEnvironment if secret else click.Option
    return dataclasses.field(default=default, metadata={"help": help_text, "env": env, "kind": kind})


def variable(field: dataclasses.Field[Any], program: str = "") -> str:
    """The environment variable of a field, of settings whose `program` this is."""
    named: str = field.metadata["env"] or PREFIX + field.name.upper()
    return named.replace("{program}", program)


def options(settings: type[_S]) -> Callable[[Callable[Concatenate[_S, _P], None]], Callable[..., None]]:
    """Decorate a command: its flags are the fields of `settings`, and it is called with one, and with what else it declares."""

    def decorate(command: Callable[Concatenate[_S, _P], None]) -> Callable[..., None]:
        def call(**values: Any) -> None:
            own = {field.name: values.pop(field.name) for field in dataclasses.fields(settings)}  # type: ignore[arg-type]
            command(settings(**own), **values)  # type: ignore[call-arg] # click gives what it declared

        call.__name__, call.__doc__ = command.__name__, command.__doc__
        decorated: Callable[..., None] = call
        for field in reversed(dataclasses.fields(settings)):  # type: ignore[arg-type]
            decorated = _option(field, getattr(settings, "program", ""))(decorated)
        return decorated

    return decorate


def _option(field: dataclasses.Field[Any], program: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    flag = "--" + field.name.replace("_", "-")
    default = field.default
    kind: Any = click.Path(path_type=Path) if isinstance(default, Path) or field.type in {Path, Path | None} else type(default)
    if isinstance(default, bool):
        flag, kind = f"{flag}/--no-{flag[2:]}", bool
    elif default is None and kind is type(None):
        kind = str
    return click.option(
        flag, field.name, cls=field.metadata["kind"], type=kind, default=default, envvar=variable(field, program),
        show_envvar=True, show_default=default is not None, help=field.metadata["help"],
    )  # fmt: skip


def refuse_unknown(known: set[str], environment: Mapping[str, str] | None = None) -> frozenset[str]:
    """SettingError when a `CONSENTRY_...` variable is set that is not among the known ones. Values are never shown.

    Kubernetes' links to services whose names begin like ours are none of our settings: they are passed over, and returned.
    """
    environment = os.environ if environment is None else environment
    unknown = {name for name in environment if name.startswith(PREFIX) and name not in known}
    links = service_links({name: environment[name] for name in unknown})
    wrong = sorted(unknown - links)
    if wrong:
        told = ", ".join(_unknown(name, known) for name in wrong)
        raise SettingError(
            f"unknown setting{'s'[: len(wrong) > 1]} {told}; `consentry COMMAND --help` names those of a command"
        )
    return links


def _unknown(name: str, known: set[str]) -> str:
    meant = difflib.get_close_matches(name, sorted(known), n=1, cutoff=_ALIKE)
    return f"{name} (did you mean {meant[0]}?)" if meant else name

"""What the commands that go on until Ctrl-C share."""

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import click

_C = TypeVar("_C", bound=Callable[..., None])


@dataclass
class Following:
    """How far it has got."""

    position: str = ""


@contextlib.contextmanager
def following(option: str) -> Iterator[Following]:
    """Ctrl-C is a normal end. Lost streams, and where to go on, are told on standard error."""
    log, handler = logging.getLogger("consentry_client"), logging.StreamHandler(sys.stderr)
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    follow = Following()
    try:
        with contextlib.suppress(KeyboardInterrupt):
            yield follow
    finally:
        log.removeHandler(handler)
        if follow.position:
            click.echo(f"to go on from here: {option} {follow.position}", err=True)


def patience(command: _C) -> _C:
    """The option of commands that come back by themselves."""
    return click.option(
        "--patience", type=click.FloatRange(min=0), default=30.0, show_default=True,
        help="Seconds to wait for a service that is away before giving up.",
    )(command)  # fmt: skip

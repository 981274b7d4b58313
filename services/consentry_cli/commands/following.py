"""What the commands that go on until Ctrl-C share."""

import contextlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import click

from consentry_cli.output import say
from consentry_core.process.logs import Formatter

_C = TypeVar("_C", bound=Callable[..., None])
_AGAIN = 0.5  # seconds


@dataclass
class Following:
    """How far it has got."""

    position: str = ""


@contextlib.contextmanager
def following(option: str) -> Iterator[Following]:
    """Ctrl-C is a normal end. Lost streams, and where to go on, are told on standard error."""
    log, handler = logging.getLogger("consentry_client"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter("%(message)s"))
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    follow = Following()
    try:
        with contextlib.suppress(KeyboardInterrupt), _interrupted_until_it_ends():
            yield follow
    finally:
        log.removeHandler(handler)
        if follow.position:
            say(f"to go on from here: {option} {follow.position}", err=True)


@contextlib.contextmanager
def _interrupted_until_it_ends() -> Iterator[None]:
    """Ctrl-C interrupts the block, and again until that has ended.

    Python drops an interrupt that comes while an object is being finalised, and the library below leaves many behind: a command
    that waits would go on waiting.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield
        return

    def interrupt(*_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGALRM)}
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)


def patience(command: _C) -> _C:
    """The option of commands that come back by themselves."""
    return click.option(
        "--patience", type=click.FloatRange(min=0), default=30.0, show_default=True,
        help="Seconds to wait for a service that is away before giving up.",
    )(command)  # fmt: skip

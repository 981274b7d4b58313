"""How the story is told: a line for each thing that happens, and an error for each that does not happen as told."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import click

from consentry_cli.output import say
from consentry_client import Event

_T = TypeVar("_T")
_E = TypeVar("_E")

PATIENCE = 30.0
"""Seconds that anything in the story may take."""


class NotAsTold(click.ClickException):
    """Something did not happen as the story says. Exit code 1."""

    def __init__(self, what: str) -> None:
        super().__init__(f"not as told: {what}")


class Teller:
    """Tells chapters and what happens in them, with the seconds since the beginning."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    def chapter(self, title: str) -> None:
        """A new chapter."""
        click.secho(f"\n{title}", bold=True)

    def happened(self, what: str) -> None:
        """Something happened as told."""
        say(f"  {time.monotonic() - self._begun:6.1f}s  {what}")

    def check(self, holds: bool, what: str) -> None:
        """Tell what holds; NotAsTold when it does not."""
        if not holds:
            raise NotAsTold(what)
        self.happened(what)


async def within(awaited: Awaitable[_T], what: str, seconds: float = PATIENCE) -> _T:
    """What is awaited; NotAsTold when it takes too long."""
    try:
        return await asyncio.wait_for(awaited, seconds)
    except TimeoutError:
        raise NotAsTold(f"{what}: nothing of the kind within {seconds:.0f} s") from None


class Listener:
    """One open watch: what it has been told so far, to look through and to wait for."""

    def __init__(self, events: AsyncIterator[Event]) -> None:
        self.events: list[Event] = []
        self._more = asyncio.Event()
        self._task = asyncio.create_task(self._listen(events))

    async def _listen(self, events: AsyncIterator[Event]) -> None:
        try:
            async for event in events:
                self.events.append(event)
                self._more.set()
        finally:
            self._more.set()

    async def until(self, found: Callable[[Event], _E | None], what: str, *, after: int = 0) -> _E:
        """The first thing found after the first `after` events, come or to come; raises what ended the stream, if it did."""

        async def search() -> _E:
            index = after
            while True:
                while index < len(self.events):
                    result = found(self.events[index])
                    if result is not None:
                        return result
                    index += 1
                if self._task.done():
                    self._task.result()
                    raise NotAsTold(f"{what}: the stream ended")
                self._more.clear()
                await self._more.wait()

        return await within(search(), what)

    async def ends_with(self, kind: type[Exception], what: str) -> None:
        """Wait for the stream to end with this error."""
        try:
            await within(asyncio.shield(self._task), what)
        except kind:
            return
        raise NotAsTold(what)

    async def close(self) -> None:
        """Stop listening."""
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

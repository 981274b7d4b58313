"""A service as a process of a test: the product's own command, with every write that it begins put on record.

    python -m support.recorded_process RECORD [--acknowledge-early SECONDS] devices --listen=... --data-dir=...

The record is a file that is only appended to, a line at a time and without a buffer, so that a process that is killed leaves
everything that it has begun. All times are of the host's one boot-time clock. Two kinds of lines, both JSON:

    ["w", before, begun, call, number, credential, partner, [[customer, data class], ...]]
    ["t", call, number, until]

`w` is written once the check has passed, in the step that then hands the message to the transport: `before` was read before the
check, `begun` after it. `t` follows where the hand-over took longer than a millisecond: the write counts as begun until then.
`call` is what the client put into its metadata as `reader`, so that what it receives can be laid beside what was sent.

`--acknowledge-early` breaks the guard on purpose: it acknowledges a change at once and applies it later. A test of the test.

The process ends when its standard input does, so that it never outlives the test that started it.
"""

import asyncio
import itertools
import json
import os
import sys
import threading
from functools import partial
from pathlib import Path
from typing import Any

from consentry_cli.__main__ import main
from consentry_core.protocol.follow import Acknowledgement, Facts, Lease
from consentry_core.rpc.server import gate
from consentry_core.rpc.server.open_call import Context, Metadata, OpenCall
from consentry_core.values.clock import BootTime, SystemClock
from consentry_guard.calls.access import Access
from consentry_guard.calls.call import Call
from consentry_guard.follow.follower import Applied, Follower
from consentry_rule import Instant, Key

_SLOW = 1_000_000  # ns
_boot = SystemClock().boot


class Record:
    """The file."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._accesses: dict[frozenset[Access], list[tuple[str, str]]] = {}

    def write(self, *line: object) -> None:
        """Append a line."""
        os.write(self._file, (json.dumps(line, separators=(",", ":")) + "\n").encode())

    def accesses(self, scope: frozenset[Access]) -> list[tuple[str, str]]:
        """A scope as it stands in the record; most scopes come again and again."""
        known = self._accesses.get(scope)
        if known is None:
            known = self._accesses[scope] = sorted((str(customer), data_class.value) for customer, data_class in scope)
        return known


def recorded(record: Record) -> type[OpenCall]:
    """The product's open call, on record."""
    calls = itertools.count()

    class RecordedCall(OpenCall):
        def __init__(self, method: str, context: Context, *, streaming: bool = False, metadata: Metadata = ()) -> None:
            recorded = _RecordedContext(self, context)
            super().__init__(method, recorded, streaming=streaming, metadata=metadata)  # type: ignore[arg-type]
            given = dict(metadata).get("reader")
            self.name = str(given) if given else f"{os.getpid()}.{next(calls)}"
            self.number = 0
            self._in_write = False
            self._before = 0

        def check(self) -> None:
            self._before = _boot()
            super().check()
            if not self._in_write:  # the answer of a unary call: what checks it hands it over in the same step
                self.begins()

        async def write(self, message: bytes) -> None:
            self._in_write = True
            try:
                await super().write(message)
            finally:
                self._in_write = False

        def begins(self) -> None:
            if not isinstance(self.caller, Call):
                return  # a public method
            self.number += 1
            facts = self.caller.credential
            partner = facts.partner if isinstance(facts, Key) else ""
            accesses = record.accesses(self.caller._scope)
            credential = self.caller.identity.credential
            record.write("w", self._before, _boot(), self.name, self.number, credential, partner, accesses)

        def begun(self, since: int) -> None:
            until = _boot()
            if until - since > _SLOW:
                record.write("t", self.name, self.number, until)

    return RecordedCall


class _RecordedContext:
    """A call's context whose writes are put on record in the step in which they begin."""

    def __init__(self, call: Any, context: Context) -> None:
        self._call = call
        self._context = context

    def write(self, message: bytes) -> "_Write":
        return _Write(self._call, self._context.write(message))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._context, name)


class _Write:
    """Awaits a write; notes when its first step, which hands the message over, begins and when it is done."""

    def __init__(self, call: Any, write: Any) -> None:
        self._call = call
        self._write = write

    def __await__(self) -> Any:
        steps = self._write.__await__()
        step = partial(next, steps)
        self._call.begins()
        since = _boot()
        first = True
        while True:
            try:
                waited_for = step()
            except StopIteration:
                return
            finally:
                if first:
                    self._call.begun(since)
                    first = False
            try:
                yield waited_for
            except BaseException as thrown:  # noqa: BLE001 - a cancellation, which is the write's
                step = partial(steps.throw, thrown)
            else:
                step = partial(next, steps)


def acknowledge_early(seconds: float) -> None:
    """Break every follower of this process: a change is acknowledged at once, and applied so much later."""
    honest = Follower.received

    def received(self: Follower, message: Lease | Facts, now: BootTime, wall: Instant) -> Applied:
        news = isinstance(message, Facts) and message.interest == 0 and (message.standings or message.credentials)
        if not news or self.revision() is None:
            return honest(self, message, now, wall)
        asyncio.get_running_loop().call_later(seconds, honest, self, message, now, wall)
        return Applied(reply=(Acknowledgement(message.revision),))

    Follower.received = received  # type: ignore[method-assign]


def end_with_standard_input() -> None:
    """End this process, whatever it does, when whoever started it is gone."""

    def wait() -> None:
        while os.read(0, 1024):
            pass
        os._exit(3)

    threading.Thread(target=wait, daemon=True).start()


if __name__ == "__main__":
    end_with_standard_input()
    record_path, *arguments = sys.argv[1:]
    if arguments[0] == "--acknowledge-early":
        acknowledge_early(float(arguments[1]))
        del arguments[:2]
    gate.OpenCall = recorded(Record(Path(record_path)))  # type: ignore[attr-defined] # the gate makes these from here on
    sys.argv[1:] = arguments
    main()

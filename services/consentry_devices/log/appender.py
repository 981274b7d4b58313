"""The log of one run: its one appender, those who read it, and those whom it tells of what is new. Over any `Engine`."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from consentry_core.values.errors import ConsentryError, Unavailable
from consentry_devices.domain.frames import Encoder, Frame, StreamKey
from consentry_devices.log.engine import Engine, Fenced, Opened, Transaction
from consentry_devices.log.entries import Entry, Removals, Subscriber
from consentry_devices.log.group import Group, Memory
from consentry_rule import CustomerId, Instant

_log = logging.getLogger(__name__)

_GROUP_FRAMES = 256
_GROUP_BYTES = 8 * 1024 * 1024
_QUEUED_FRAMES = 1_024  # those who submit more wait; each gateway's stream has its own, tighter bound


@dataclass(slots=True, eq=False)
class _Item:
    stream: StreamKey
    frame: Frame | None  # None asks for the stream's last number
    answer: asyncio.Future[int]


_Answers = list[int | ConsentryError]


class AppendedLog:
    """See `Log` and `RetainedLog`. Frames are committed in groups: whatever has queued up while the one before was written."""

    def __init__(self, engine: Engine, encoder: Encoder, opened: Opened) -> None:
        self._engine = engine
        self._encoder = encoder
        self._store_id = opened.store_id
        self._runs = opened.runs
        self._first = opened.first
        self._tail = opened.tail
        self._take_time = opened.take_time
        self._memory = Memory()
        self._subscribers: list[Subscriber] = []
        self._queue: asyncio.Queue[_Item | None] = asyncio.Queue(_QUEUED_FRAMES)
        self._closed = False
        self._appender = asyncio.create_task(self._append_groups(), name="appender")

    @property
    def store_id(self) -> str:
        """See `Log.store_id`."""
        return self._store_id

    def tail(self) -> int:
        """See `Log.tail`."""
        return self._tail

    def first(self) -> int:
        """See `Log.first`."""
        return self._first

    def run_of(self, seq: int) -> str:
        """See `Log.run_of`."""
        return self._runs.of(seq)

    async def removed(self, customers: Iterable[CustomerId] | None) -> Removals:
        """See `Log.removed`."""
        return await self._engine.removed(customers)

    async def read_after(self, seq: int, limit: int, *, max_bytes: int) -> Sequence[Entry]:
        """See `Log.read_after`."""
        return await self._engine.read_after(seq, limit, max_bytes=max_bytes)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """See `Log.subscribe`."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

    async def size(self) -> int:
        """See `RetainedLog.size`."""
        return await self._engine.size()

    async def remove_oldest(self, *, taken_before: Instant | None, max_entries: int, max_bytes: int) -> int:
        """See `RetainedLog.remove_oldest`."""
        first = self._first
        last = await self._engine.remove_oldest(
            up_to=self._tail, taken_before=taken_before, max_entries=max_entries, max_bytes=max_bytes
        )
        self._first = max(self._first, last + 1)
        return self._first - first

    async def submit(self, stream: StreamKey, frame: Frame) -> asyncio.Future[int]:
        """Queue a frame; waits while the queue is full.

        The future is done once the frame is committed, with its number, or refused, with the error. What is submitted for one
        stream is taken in in that order.
        """
        return await self._put(stream, frame)

    async def last_number(self, stream: StreamKey) -> int:
        """The number of the stream's last committed frame, once everything that was submitted before is committed."""
        return await (await self._put(stream, None))

    async def close(self) -> None:
        """Commit what is queued, then take nothing more."""
        if not self._closed:
            self._closed = True
            await self._queue.put(None)
        await self._appender

    async def _put(self, stream: StreamKey, frame: Frame | None) -> asyncio.Future[int]:
        if self._closed:
            raise Unavailable("the service is going down; send the frame again, a little later", reason="DRAINING")
        answer: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        await self._queue.put(_Item(stream, frame, answer))
        return answer

    async def _append_groups(self) -> None:
        while (item := await self._queue.get()) is not None:
            group = [item]
            size = item.frame.size if item.frame else 0
            while len(group) < _GROUP_FRAMES and size < _GROUP_BYTES and not self._queue.empty():
                queued = self._queue.get_nowait()
                if queued is None:
                    self._queue.put_nowait(None)
                    break
                group.append(queued)
                size += queued.frame.size if queued.frame else 0
            await self._commit(group)

    async def _commit(self, items: list[_Item]) -> None:
        try:
            entries, answers = await self._engine.transact(lambda transaction: self._write(transaction, items))
        except Exception as error:  # noqa: BLE001 - the one appender must outlive whatever goes wrong
            # A full disk, say: nothing of the group is stored, and the next one may go better.
            if isinstance(error, Fenced):
                _log.error("another process has opened the store of this log; nothing more is taken in here")
            else:
                _log.exception("a group of frames could not be committed")
            self._memory.forget()
            entries, answers = (), [_not_stored(error)] * len(items)
        if entries:
            self._tail, self._take_time = entries[-1].seq, entries[-1].take_time
            for subscriber in tuple(self._subscribers):
                subscriber(entries)
        for item, answer in zip(items, answers, strict=True):
            if item.answer.done():  # its stream is gone
                continue
            if isinstance(answer, ConsentryError):
                item.answer.set_exception(answer)
                item.answer.exception()  # whether anybody still listens is not our concern
            else:
                item.answer.set_result(answer)

    def _write(self, transaction: Transaction, items: list[_Item]) -> tuple[tuple[Entry, ...], _Answers]:
        self._memory.shrink()
        group = Group(transaction, self._memory, self._encoder, tail=self._tail, take_time=self._take_time)
        answers: _Answers = []
        for item in items:
            try:
                if item.frame is not None:
                    group.add(item.stream, item.frame)
                    answers.append(item.frame.number)
                else:
                    answers.append(group.last_number(item.stream))
            except ConsentryError as error:
                answers.append(error)
        if group.digests:
            transaction.write(group)
        return tuple(group.entries), answers


def _not_stored(error: Exception) -> ConsentryError:
    unavailable = Unavailable("the frame could not be stored; send it again, a little later", reason="STORE_UNAVAILABLE")
    unavailable.__cause__ = error
    return unavailable

"""The log in SQL, and its one appender. The engine of `consentry_devices.feed.log`."""

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import sqlalchemy as sa

from consentry_core.database import Database
from consentry_core.errors import ConsentryError, Unavailable
from consentry_devices.feed.log import Entry, Removals, Subscriber
from consentry_devices.frames import Encoder, Frame, StreamKey
from consentry_devices.storage import rows, tables
from consentry_devices.storage.group import Group, Memory
from consentry_devices.storage.opening import Opened
from consentry_devices.storage.removals import read_removals
from consentry_rule import CustomerId

_log = logging.getLogger(__name__)

_GROUP_FRAMES = 256
_GROUP_BYTES = 8 * 1024 * 1024
_QUEUED_FRAMES = 1_024  # those who submit more wait; each gateway's stream has its own, tighter bound


@dataclass(slots=True, eq=False)
class _Item:
    stream: StreamKey
    frame: Frame | None  # None asks for the stream's last number
    answer: asyncio.Future[int]


class SqlLog:
    """See `Log`. Frames are committed in groups: whatever has queued up while the group before was being written."""

    def __init__(self, database: Database, encoder: Encoder, opened: Opened) -> None:
        self._database = database
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
        wanted = None if customers is None else set(customers)
        return await self._database.read(lambda connection: read_removals(connection, wanted))

    async def read_after(self, seq: int, limit: int, *, max_bytes: int) -> Sequence[Entry]:
        """See `Log.read_after`."""
        query = sa.select(tables.log).where(tables.log.c.seq > seq).order_by(tables.log.c.seq).limit(limit)

        def question(connection: sa.Connection) -> Sequence[Entry]:
            found: list[Entry] = []
            size = 0
            for row in connection.execute(query):
                found.append(rows.entry_of(row))
                size += len(row.payload)
                if size >= max_bytes:
                    break
            return found

        return await self._database.read(question)

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """See `Log.subscribe`."""
        self._subscribers.append(subscriber)
        return lambda: self._subscribers.remove(subscriber)

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

    async def _commit(self, group: list[_Item]) -> None:
        try:
            entries, answers = await self._database.write(lambda connection: self._write(connection, group))
        except Exception as error:  # noqa: BLE001 - the one appender must outlive whatever goes wrong
            # A full disk, say: nothing of the group is stored, and the next one may go better.
            _log.exception("a group of frames could not be committed")
            self._memory.forget()
            entries, answers = (), [_not_stored(error)] * len(group)
        if entries:
            self._tail, self._take_time = entries[-1].seq, entries[-1].take_time
            for subscriber in tuple(self._subscribers):
                subscriber(entries)
        for item, answer in zip(group, answers, strict=True):
            if item.answer.done():  # its stream is gone
                continue
            if isinstance(answer, ConsentryError):
                item.answer.set_exception(answer)
                item.answer.exception()  # whether anybody still listens is not our concern
            else:
                item.answer.set_result(answer)

    def _write(self, connection: sa.Connection, items: list[_Item]) -> tuple[tuple[Entry, ...], list[int | ConsentryError]]:
        self._memory.shrink()
        group = Group(
            connection, self._memory, self._encoder, run=self._runs.current, tail=self._tail, take_time=self._take_time
        )
        answers: list[int | ConsentryError] = []
        for item in items:
            try:
                if item.frame is not None:
                    group.add(item.stream, item.frame)
                    answers.append(item.frame.number)
                else:
                    answers.append(group.last_number(item.stream))
            except ConsentryError as error:
                answers.append(error)
        return group.write(), answers


def _not_stored(error: Exception) -> ConsentryError:
    unavailable = Unavailable("the frame could not be stored; send it again, a little later", reason="STORE_UNAVAILABLE")
    unavailable.__cause__ = error
    return unavailable

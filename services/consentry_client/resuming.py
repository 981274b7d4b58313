"""Watches that come back: where one stands, and when to open it again. No I/O, so both clients share it.

1. Before each opening, `request` says what to ask for: the first time what the caller asked, later the same after the newest
   position (cursor or revision).
2. Each message goes through `receive`, which moves the position and returns the event.
3. When the stream breaks, `lost` says how many seconds to wait, or raises what broke it when coming back is of no use.
4. `done` says that the caller has what it asked for.

A position is moved before its event is handed over: what the caller has been given is never asked for again.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Generic, TypeVar

from google.protobuf.duration_pb2 import Duration

from consentry.authority.v1 import coverage_pb2
from consentry.devices.v1 import feed_pb2
from consentry_client.coverage import CoverageEvent, coverage_event_of
from consentry_client.errors import CallFailed, ResourceExhausted, Unavailable
from consentry_client.events import Event, Synced, data_classes_to_wire, event_of
from consentry_rule import DataClass

Question = TypeVar("Question")
Message = TypeVar("Message")
Told = TypeVar("Told")
Random = Callable[[], float]
"""Numbers from 0 up to 1."""

_W = feed_pb2.WatchRequest
_FIRST_STEP = 0.2
_LONGEST_STEP = 10.0
_log = logging.getLogger("consentry_client")


class Backoff:
    """Ever longer waits, jittered, so that readers that were cut together do not come back together."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._failures = 0
        self.waited = 0.0
        """Seconds since the last success."""

    def succeeded(self) -> None:
        """Begin again with short waits."""
        self._failures, self.waited = 0, 0.0

    def failed(self, retry_after: float | None) -> float:
        """The next wait in seconds: never shorter than was asked for; of its own accord never longer than 10 s."""
        step = min(_FIRST_STEP * float(2**self._failures), _LONGEST_STEP)
        self._failures = min(self._failures + 1, 16)
        wait = max(retry_after or 0.0, step / 2) + self._random() * step / 2
        self.waited += wait
        return wait


class Watch(ABC, Generic[Question, Message, Told]):
    """One watch. `patience`: give up after so many seconds of waiting without a message; None never gives up."""

    def __init__(self, random: Random, *, patience: float | None) -> None:
        self._backoff = Backoff(random)
        self._patience = patience
        self.done = False

    @abstractmethod
    def request(self) -> Question:
        """What to open the stream with, now."""

    @abstractmethod
    def _take(self, message: Message) -> Told | None:
        """Move the position; the message's event."""

    def receive(self, message: Message) -> Told | None:
        """The event to hand over, if this client knows its kind."""
        self._backoff.succeeded()
        return self._take(message)

    def lost(self, failure: CallFailed) -> float:
        """Seconds to wait before opening the stream again. Raises `failure` when that is of no use."""
        if not _passes(failure):
            raise failure
        wait = self._backoff.failed(failure.retry_after)
        if self._patience is not None and self._backoff.waited > self._patience:
            raise failure
        _log.info("stream lost (%s); opening it again in %.1f s", failure, wait)
        return wait


def _passes(failure: CallFailed) -> bool:
    """Whether the failure passes by itself. Too much of something does only if the service says when."""
    return isinstance(failure, Unavailable) or (isinstance(failure, ResourceExhausted) and failure.retry_after is not None)


class FeedWatch(Watch[feed_pb2.WatchRequest, feed_pb2.WatchResponse, Event]):
    """A watch of the feed."""

    def __init__(
        self,
        random: Random,
        *,
        customers: Iterable[str] = (),
        data_classes: Iterable[DataClass] = (),
        devices: Iterable[str] = (),
        after_cursor: str | None = None,
        live: bool = False,
        stop_when_synced: bool = False,
        latest: bool = False,
        sample_interval: timedelta | None = None,
        strict: bool = False,
        heartbeat_interval: timedelta | None = None,
        patience: float | None = None,
    ) -> None:
        super().__init__(random, patience=patience)
        if live and after_cursor is not None:
            raise ValueError("a watch starts either live or after a cursor")
        if latest and sample_interval is not None:
            raise ValueError("a watch tells either the latest or a sample in each interval")
        self._cursor = after_cursor
        self._start = _W(
            customers=customers,
            data_classes=data_classes_to_wire(data_classes),
            devices=devices,
            live=_W.Live() if live else None,
            stop_when_synced=stop_when_synced,
            delivery=_W.DELIVERY_LATEST
            if latest
            else _W.DELIVERY_UNSPECIFIED
            if sample_interval is None
            else _W.DELIVERY_SAMPLE,
            sample_interval=_duration(sample_interval),
            strict=strict,
            heartbeat_interval=_duration(heartbeat_interval),
        )

    def request(self) -> feed_pb2.WatchRequest:
        """See `Watch.request`."""
        request = feed_pb2.WatchRequest()
        request.CopyFrom(self._start)
        if self._cursor is not None:
            request.after_cursor = self._cursor
        return request

    def _take(self, message: feed_pb2.WatchResponse) -> Event | None:
        if message.cursor:
            self._cursor = message.cursor
        event = event_of(message)
        self.done = self._start.stop_when_synced and isinstance(event, Synced)
        return event


def _delivery(latest: bool, sample_interval: timedelta | None) -> feed_pb2.WatchRequest.Delivery.ValueType:
    if latest:
        return _W.DELIVERY_LATEST
    return _W.DELIVERY_UNSPECIFIED if sample_interval is None else _W.DELIVERY_SAMPLE


def _duration(interval: timedelta | None) -> Duration | None:
    if interval is None:
        return None
    duration = Duration()
    duration.FromTimedelta(interval)
    return duration


class CoverageWatch(Watch[coverage_pb2.WatchCoverageRequest, coverage_pb2.WatchCoverageResponse, CoverageEvent]):
    """A watch of what the key covers."""

    def __init__(self, random: Random, *, after_revision: str | None = None, patience: float | None = None) -> None:
        super().__init__(random, patience=patience)
        self._revision = after_revision or ""

    def request(self) -> coverage_pb2.WatchCoverageRequest:
        """See `Watch.request`."""
        return coverage_pb2.WatchCoverageRequest(after_revision=self._revision)

    def _take(self, message: coverage_pb2.WatchCoverageResponse) -> CoverageEvent | None:
        self._revision = message.revision or self._revision
        return coverage_event_of(message)

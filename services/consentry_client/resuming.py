"""Watches that come back: the position of each, and when to open it again. No I/O, so both clients share it.

1. Before each opening, `request` says what to ask for: the first time what the caller asked, later the same after the newest
   position (cursor or revision).
2. Each message goes through `receive`, which moves the position and returns the event.
3. When the stream breaks, `lost` says how many seconds to wait, or raises what broke it when coming back is of no use.
4. A stream that is silent for `silence` seconds while its next message is waited for counts as broken: heartbeats should come.
5. `done` says that the caller has what it asked for.

A position is moved before its event is handed over: what the caller has been given is never asked for again.

An `Answer` of several messages, and the `Attempts` at a single one, have no position to go on after: the question is asked
again only while nothing has come.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Generic, TypeVar

from google.protobuf.duration_pb2 import Duration

from consentry.authority.v1 import coverage_pb2
from consentry.devices.v1 import feed_pb2
from consentry_client.coverage import CoverageEvent, CoverageHeartbeat, CoverageSynced, coverage_event_of
from consentry_client.errors import (
    CallFailed,
    ResourceExhausted,
    Unavailable,
    broken_on_the_way,
    cut_off,
    fell_silent,
    no_more_came,
    with_words,
)
from consentry_client.events import Event, Heartbeat, Synced, event_of
from consentry_client.requests import names
from consentry_core.pacing.backoff import Backoff, Random
from consentry_core.protocol.data_classes import data_classes_to_wire
from consentry_rule import DataClass

Question = TypeVar("Question")
Message = TypeVar("Message")
Told = TypeVar("Told")
_W = feed_pb2.WatchRequest
_MOST_BREAKS = 10  # some 40 s of waiting
_MOST_ATTEMPTS = 3
_LONGEST_WAIT = 10.0
_MISSED = 3
_LONGER = 16
HEARTBEAT = 15.0
"""Seconds between heartbeats, of both services' watches, unless the caller asks for others."""
_log = logging.getLogger("consentry_client")


class Watch(ABC, Generic[Question, Message, Told]):
    """One watch. `patience`: give up after so many seconds of waiting without progress; None never gives up."""

    ends = False
    """Whether it is complete when its stream ends well."""

    def __init__(self, random: Random, *, patience: float | None, heartbeat_interval: timedelta | None = None) -> None:
        self._backoff = Backoff(random, longest=_LONGEST_WAIT)
        self._patience = patience
        # One below a second is refused by the service, in its own words.
        self._heartbeat = HEARTBEAT if heartbeat_interval is None else max(heartbeat_interval.total_seconds(), 1.0)
        self._silences = 0
        self._breaks = 0
        self.done = False

    @abstractmethod
    def request(self) -> Question:
        """The question to open the stream with now."""

    @abstractmethod
    def _take(self, message: Message) -> tuple[Told | None, bool]:
        """Move the position; the message's event, and whether a stream that breaks now goes on later than this one began."""

    @property
    def silence(self) -> float:
        """Seconds without a message after which the stream counts as broken.

        Three heartbeats; twice as long after each stream in a row that told nothing: on a slow line large messages take time.
        """
        return self._heartbeat * _MISSED * min(1 << self._silences, _LONGER)

    def receive(self, message: Message) -> Told | None:
        """The event to hand over, if this client knows its kind."""
        event, progress = self._take(message)
        self._silences = 0
        if progress:
            self._backoff.succeeded()
            self._breaks = 0
        return event

    def silent(self) -> CallFailed:
        """The failure of a stream that was silent for too long."""
        failure = fell_silent(self.silence)
        if self._silences:
            self._backoff.waited += self.silence
        self._silences += 1
        return failure

    def lost(self, failure: CallFailed) -> float:
        """Seconds to wait before opening the stream again. Raises `failure` when that is of no use."""
        if not _passes(failure):
            raise failure
        if not isinstance(failure, Unavailable | ResourceExhausted):  # those pass, however long it takes
            self._breaks += 1
            if self._breaks >= _MOST_BREAKS:
                raise with_words(failure, f"given up after {self._breaks} such ends without progress") from failure.__cause__
        wait = self._backoff.failed(failure.retry_after)
        if self._patience is not None and self._backoff.waited > self._patience:
            raise failure
        _log.info("stream lost (%s); opening it again in %.1f s", failure, wait)
        return wait


def _passes(failure: CallFailed) -> bool:
    """Whether the failure passes by itself. Too much of something does only if the service says when."""
    if isinstance(failure, ResourceExhausted):
        return failure.retry_after is not None
    return isinstance(failure, Unavailable) or broken_on_the_way(failure)


class Attempts:
    """The attempts at one question that changes nothing. All that they take is within `timeout` seconds."""

    def __init__(self, random: Random, timeout: float, now: Callable[[], float]) -> None:
        self._backoff = Backoff(random, longest=_LONGEST_WAIT)
        self._now = now
        self._until = now() + timeout
        self._made = 0

    def left(self) -> float:
        """Seconds that the next one may take."""
        return self._until - self._now()

    def failed(self, failure: CallFailed) -> float:
        """Seconds to wait before the next attempt. Raises `failure` when there is none."""
        self._made += 1
        if not broken_on_the_way(failure):
            raise failure
        wait = self._backoff.failed(None)
        if wait >= self.left():
            raise failure
        if self._made >= _MOST_ATTEMPTS:
            raise with_words(failure, f"given up after {self._made} attempts") from failure.__cause__
        return wait


class Answer(Watch[Question, Message, Message]):
    """An answer of several messages, to a question that changes nothing. Each may take `timeout` seconds."""

    ends = True

    def __init__(self, random: Random, question: Question, timeout: float, now: Callable[[], float]) -> None:
        super().__init__(random, patience=None)
        self._question = question
        self._timeout = timeout
        self._attempts = Attempts(random, timeout, now)
        self._begun = False

    def request(self) -> Question:
        """The question to open the stream with."""
        return self._question

    @property
    def silence(self) -> float:
        """Seconds without a message after which the answer is given up."""
        return self._timeout

    def silent(self) -> CallFailed:
        """The failure of an answer whose next message did not come in time."""
        return no_more_came(self._timeout)

    def lost(self, failure: CallFailed) -> float:
        """Seconds to wait before asking again. Raises when something has come already, or that is of no use."""
        return self._attempts.failed(cut_off(failure) if self._begun else failure)

    def _take(self, message: Message) -> tuple[Message, bool]:
        self._begun = True
        return message, True


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
        super().__init__(random, patience=patience, heartbeat_interval=heartbeat_interval)
        if live and after_cursor is not None:
            raise ValueError("a watch starts either live or after a cursor")
        if latest and sample_interval is not None:
            raise ValueError("a watch tells either the latest or a sample in each interval")
        self._cursor = after_cursor
        self._resumes = live or after_cursor is not None  # else the current state, which is begun again until it is complete
        self._start = _W(
            customers=names(customers, "customers"),
            data_classes=data_classes_to_wire(data_classes),
            devices=names(devices, "devices"),
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
        """The question to open the stream with."""
        request = feed_pb2.WatchRequest()
        request.CopyFrom(self._start)
        if self._cursor is not None:
            request.after_cursor = self._cursor
        return request

    def _take(self, message: feed_pb2.WatchResponse) -> tuple[Event | None, bool]:
        if message.cursor:
            self._cursor = message.cursor
        event = event_of(message)
        synced = isinstance(event, Synced)
        self.done = self._start.stop_when_synced and synced
        self._resumes = self._resumes or synced
        return event, self._resumes or isinstance(event, Heartbeat)


def _duration(interval: timedelta | None) -> Duration | None:
    if interval is None:
        return None
    duration = Duration()
    duration.FromTimedelta(interval)
    return duration


class CoverageWatch(Watch[coverage_pb2.WatchCoverageRequest, coverage_pb2.WatchCoverageResponse, CoverageEvent]):
    """A watch of what the key covers."""

    def __init__(
        self,
        random: Random,
        *,
        after_revision: str | None = None,
        heartbeat_interval: timedelta | None = None,
        patience: float | None = None,
    ) -> None:
        super().__init__(random, patience=patience, heartbeat_interval=heartbeat_interval)
        self._revision = after_revision or ""
        self._interval = _duration(heartbeat_interval)

    def request(self) -> coverage_pb2.WatchCoverageRequest:
        """The question to open the stream with."""
        return coverage_pb2.WatchCoverageRequest(after_revision=self._revision, heartbeat_interval=self._interval)

    def _take(self, message: coverage_pb2.WatchCoverageResponse) -> tuple[CoverageEvent | None, bool]:
        event = coverage_event_of(message)
        # Of events that belong together only the last moves the revision: those before it are told again.
        progress = message.revision not in {"", self._revision} or isinstance(event, CoverageSynced | CoverageHeartbeat)
        self._revision = message.revision or self._revision
        return event, progress

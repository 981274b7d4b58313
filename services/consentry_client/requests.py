"""Requests out of Python's values; shared by both clients."""

import secrets
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Protocol, TypeAlias, TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import consent_pb2, keys_pb2
from consentry.devices.v1 import telemetry_pb2
from consentry_client.history import Aggregate

Time: TypeAlias = datetime | int
"""An instant: a datetime with a time zone, or nanoseconds since the Unix epoch, UTC."""

Span: TypeAlias = timedelta | int
"""A length of time: a timedelta, or nanoseconds."""


class Page(Protocol):
    """An answer that holds one page."""

    next_page_token: str


class PageRequest(Protocol):
    """A request for one page."""

    page_token: str


PageT = TypeVar("PageT", bound=Page)
PageRequestT = TypeVar("PageRequestT", bound=PageRequest)

_NANOS = 10**9


def timestamp(time: Time) -> Timestamp:
    """The instant on the wire. ValueError for a datetime without a time zone, which says nothing about when."""
    if isinstance(time, int):
        return Timestamp(seconds=time // _NANOS, nanos=time % _NANOS)
    if time.tzinfo is None:
        raise ValueError("a time needs a time zone, such as datetime.now(UTC)")
    wire = Timestamp()
    wire.FromDatetime(time)
    return wire


def duration(step: Span) -> Duration:
    """The length of time on the wire."""
    if isinstance(step, int):
        return Duration(seconds=step // _NANOS, nanos=step % _NANOS)
    wire = Duration()
    wire.FromTimedelta(step)
    return wire


def names(of: Iterable[str], what: str) -> Iterable[str]:
    """These names. TypeError for a single one, which Python would take for the list of its letters."""
    if isinstance(of, str):
        raise TypeError(f"{what} are several names, so give a list: [{of!r}]")
    return of


def latest_request(customer: str, devices: Iterable[str], sensors: Iterable[str]) -> telemetry_pb2.QueryLatestRequest:
    """The newest readings of a customer's devices or sensors."""
    return telemetry_pb2.QueryLatestRequest(
        parent=customer, devices=names(devices, "devices"), sensors=names(sensors, "sensors"), page_size=1000
    )


def history_request(
    customer: str, start: Time, end: Time | None, devices: Iterable[str], sensors: Iterable[str]
) -> telemetry_pb2.QueryHistoryRequest:
    """The readings of a time range."""
    return telemetry_pb2.QueryHistoryRequest(
        parent=customer,
        devices=names(devices, "devices"),
        sensors=names(sensors, "sensors"),
        start_time=timestamp(start),
        end_time=None if end is None else timestamp(end),
    )


def in_steps(
    request: telemetry_pb2.QueryHistoryRequest, step: Span, aggregates: Iterable[Aggregate]
) -> telemetry_pb2.QueryHistoryRequest:
    """The same, per step."""
    request.step.CopyFrom(duration(step))
    request.aggregates.extend(aggregate.value for aggregate in aggregates)
    return request


def accesses_request(customer: str, start: Time | None, end: Time | None, reader: str) -> consent_pb2.ListAccessesRequest:
    """What was read of a customer's data."""
    return consent_pb2.ListAccessesRequest(
        parent=customer,
        reader=reader,
        start_time=None if start is None else timestamp(start),
        end_time=None if end is None else timestamp(end),
    )


def simulate_request(measurements_per_second: int, sensor_count: int) -> telemetry_pb2.SimulateTelemetryRequest:
    """Made-up readings."""
    return telemetry_pb2.SimulateTelemetryRequest(
        measurements_per_second=measurements_per_second, sensor_count=sensor_count
    )  # fmt: skip


_CUSTOMERS_AT_ONCE = 5_000  # as many as the authority takes in one call

Relist = TypeVar("Relist", keys_pb2.AddKeyCustomersRequest, keys_pb2.RemoveKeyCustomersRequest)


def relist_requests(kind: type[Relist], key: str, customers: Iterable[str]) -> Iterator[Relist]:
    """Changes of a key's list, as many as it takes; each with an id, so that one that is sent again is carried out once."""
    named = list(dict.fromkeys(customers))
    for start in range(0, max(len(named), 1), _CUSTOMERS_AT_ONCE):
        yield kind(name=key, customers=named[start : start + _CUSTOMERS_AT_ONCE], request_id=secrets.token_hex(16))

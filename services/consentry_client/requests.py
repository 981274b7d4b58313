"""Requests out of Python's values; shared by both clients."""

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol, TypeAlias, TypeVar

from google.protobuf.timestamp_pb2 import Timestamp

from consentry.devices.v1 import telemetry_pb2

Time: TypeAlias = datetime | int
"""An instant: a datetime with a time zone, or nanoseconds since the Unix epoch, UTC."""


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


def latest_request(customer: str, devices: Iterable[str], sensors: Iterable[str]) -> telemetry_pb2.QueryLatestRequest:
    """The newest readings of a customer's devices or sensors."""
    return telemetry_pb2.QueryLatestRequest(parent=customer, devices=devices, sensors=sensors)


def history_request(
    customer: str, start: Time, end: Time | None, devices: Iterable[str], sensors: Iterable[str]
) -> telemetry_pb2.QueryHistoryRequest:
    """The readings of a time range."""
    return telemetry_pb2.QueryHistoryRequest(
        parent=customer,
        devices=devices,
        sensors=sensors,
        start_time=timestamp(start),
        end_time=None if end is None else timestamp(end),
    )

"""The customer's access log: what each key read, and when nobody told."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from consentry.authority.v1 import consent_pb2
from consentry_core.protocol.data_classes import known_data_classes
from consentry_rule import DataClass


@dataclass(frozen=True, slots=True)
class Access:
    """What one key read in one hour of one class of the customer's data.

    `hour` is when the hour began, in UTC. `data_class` is None for refusals of requests that name none. `readings` are measured
    values, `bytes` the size of all `messages`; `refusals` are requests for what the key was not allowed to read.
    """

    key: str
    data_class: DataClass | None
    hour: datetime
    messages: int
    readings: int
    bytes: int
    devices: int
    refusals: int


@dataclass(frozen=True, slots=True)
class UnreportedInterval:
    """A time in which an enforcement point served data, or may have, and has not reported it. Comes before everything else.

    `end` is None while it is there.
    """

    enforcement_point: str
    service: str
    start: datetime
    end: datetime | None


def accesses_of(page: consent_pb2.ListAccessesResponse) -> Iterator[Access | UnreportedInterval]:
    """What one page holds."""
    yield from map(_unreported_of, page.unreported_intervals)
    yield from map(_access_of, page.accesses)


def _access_of(message: consent_pb2.Access) -> Access:
    return Access(
        key=message.key,
        data_class=next(iter(known_data_classes([message.data_class])), None),
        hour=message.hour.ToDatetime(UTC),
        messages=message.messages,
        readings=message.readings,
        bytes=message.bytes,
        devices=message.devices,
        refusals=message.refusals,
    )


def _unreported_of(message: consent_pb2.UnreportedInterval) -> UnreportedInterval:
    return UnreportedInterval(
        enforcement_point=message.enforcement_point,
        service=message.service,
        start=message.start_time.ToDatetime(UTC),
        end=message.end_time.ToDatetime(UTC) if message.HasField("end_time") else None,
    )

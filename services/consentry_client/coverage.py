"""What a key covers, and what a watch of it tells. Every event carries the `revision` to go on after."""

from dataclasses import dataclass
from datetime import datetime
from typing import TypeAlias

from consentry.authority.v1 import coverage_pb2
from consentry_client.readings import datetime_of
from consentry_client.requests import timestamp
from consentry_core.protocol.data_classes import data_classes_to_wire, known_data_classes
from consentry_rule import DataClass


@dataclass(frozen=True, slots=True)
class CoveredCustomer:
    """A customer that the key covers. `name`: `customers/{customer}`, its unique identifier."""

    name: str
    data_classes: frozenset[DataClass]


@dataclass(frozen=True, slots=True)
class Covered:
    """A customer is covered from now on, or with other classes of data from now on."""

    revision: str
    customer: str
    data_classes: frozenset[DataClass]


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A customer is covered no longer: `CONSENT_REVOKED`, `SUBSCRIPTION_EXPIRED`, ..."""

    revision: str
    customer: str
    reason: str


@dataclass(frozen=True, slots=True)
class CoverageSynced:
    """Everything up to the opening of the stream has been told. Said again when the stream was resumed."""

    revision: str


@dataclass(frozen=True, slots=True)
class CoverageHeartbeat:
    """Nothing happened. `time_unix_nano`: the authority's clock."""

    revision: str
    time_unix_nano: int

    @property
    def time(self) -> datetime:
        """The authority's clock, to the microsecond, in UTC."""
        return datetime_of(self.time_unix_nano)


CoverageEvent: TypeAlias = Covered | Uncovered | CoverageSynced | CoverageHeartbeat


def covered_customer_of(message: coverage_pb2.CoveredCustomer) -> CoveredCustomer:
    """A line of the coverage list."""
    return CoveredCustomer(message.name, known_data_classes(message.data_classes))


def coverage_event_of(message: coverage_pb2.WatchCoverageResponse) -> CoverageEvent | None:
    """The event of a message; None for a kind that a newer service knows and this client does not."""
    revision = message.revision
    match message.WhichOneof("event"):
        case "covered":
            return Covered(revision, message.covered.customer, known_data_classes(message.covered.data_classes))
        case "uncovered":
            return Uncovered(revision, message.uncovered.customer, message.uncovered.reason)
        case "synced":
            return CoverageSynced(revision)
        case "heartbeat":
            return CoverageHeartbeat(revision, message.heartbeat.time.ToNanoseconds())
        case _:
            return None


def coverage_message_of(event: CoverageEvent) -> coverage_pb2.WatchCoverageResponse:
    """The message that an event was made of."""
    w = coverage_pb2.WatchCoverageResponse
    match event:
        case Covered():
            covered = w.Covered(customer=event.customer, data_classes=data_classes_to_wire(event.data_classes))
            return w(revision=event.revision, covered=covered)
        case Uncovered():
            return w(revision=event.revision, uncovered=w.Uncovered(customer=event.customer, reason=event.reason))
        case CoverageSynced():
            return w(revision=event.revision, synced=w.Synced())
        case CoverageHeartbeat():
            return w(revision=event.revision, heartbeat=w.Heartbeat(time=timestamp(event.time_unix_nano)))

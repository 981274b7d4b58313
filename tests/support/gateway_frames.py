"""Frames that a gateway writes for one customer, and what is in them."""

from collections.abc import Iterable

from consentry.devices.v1 import gateway_pb2
from consentry_gateway.outbox.pending import Draft
from consentry_gateway.publishing.frames import FrameWriter
from consentry_gateway.reading.model import Location, LocationId, LocationKind
from consentry_rule import CustomerId

HALL = Location(LocationId("hall"), "Hall", LocationKind.ROOM)


def writer() -> FrameWriter:
    """A writer that was never used, for north, which has a hall."""
    return FrameWriter(CustomerId("north"), [HALL])


def parsed(drafts: Iterable[Draft]) -> list[gateway_pb2.PublishRequest.Frame]:
    """The frames as the service gets them, without their numbers."""
    return [gateway_pb2.PublishRequest.Frame.FromString(draft.told + draft.readings) for draft in drafts]

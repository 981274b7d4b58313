"""From polls to the outbox: alarms are judged, frames are written, and both are put on disk in one step."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from consentry_gateway import memory
from consentry_gateway.alarms import Alarm, AlarmBook
from consentry_gateway.model import Device, DeviceId, Poll
from consentry_gateway.outbox import Draft, OutboxFull
from consentry_gateway.rpc.frames import FrameWriter

_log = logging.getLogger(__name__)


class Sink(Protocol):
    """Where frames go."""

    async def put(self, drafts: list[Draft], remember: dict[str, str | None]) -> None:
        """Take frames over, with what is to be remembered. OutboxFull when there is no room."""
        ...


class Pipeline:
    """Takes polls in. `alarms` and `devices` are what was remembered from before a restart."""

    def __init__(
        self,
        writer: FrameWriter,
        sink: Sink,
        *,
        alarms: Iterable[tuple[DeviceId, Alarm]] = (),
        devices: Iterable[Device] = (),
        unreachable_after: int = 3,
    ) -> None:
        known = list(alarms)
        self._writer = writer
        self._sink = sink
        self._book = AlarmBook((alarm for _, alarm in known), unreachable_after=unreachable_after)
        self._devices = {device.id: device for device in devices}
        self._one_at_a_time = asyncio.Lock()
        self._full = False
        for about, alarm in known:
            writer.remember(about, [alarm])

    async def take(self, *polls: Poll) -> None:
        """Take polls in; what they say is on disk when this returns.

        When there is no room their readings are lost, which is logged. Their alarms and inventory come with the next ones.
        """
        async with self._one_at_a_time:
            drafts = self._writer.write_locations()
            remember: dict[str, str | None] = {}
            for poll in polls:
                for alarm in (changed := self._book.observe(poll)):
                    _log.info("alarm=%s label=%r severity=%s", alarm.id, alarm.label, alarm.severity.value)
                drafts += self._writer.write(poll, changed)
                remember |= memory.to_remember(poll, self._writer.owed(poll.device.id), self._devices)
            if not drafts:
                return
            try:
                await self._sink.put(drafts, remember)
            except OutboxFull as error:
                if not self._full:
                    _log.error("readings are lost until the device-data service takes some: %s", error)
                self._full = True
                return
            self._full = False
            for poll in polls:
                self._writer.told(poll)
                if poll.reachable:
                    self._devices[poll.device.id] = poll.device

"""From polls to the outbox: alarms are judged, frames are written, and both are put on disk in one step."""

import asyncio
import logging
from collections.abc import Iterable
from typing import Protocol

from consentry_core.values.taken_in import believed
from consentry_gateway.outbox import memory
from consentry_gateway.outbox.holding import Holding
from consentry_gateway.outbox.outbox import OutboxFailed
from consentry_gateway.outbox.pending import Draft
from consentry_gateway.outbox.spans import Span, believable
from consentry_gateway.publishing.frames import LOCATIONS, LOCATIONS_GONE, FrameWriter, span_of
from consentry_gateway.publishing.refusals import LeftOut
from consentry_gateway.reading.alarms import Alarm, AlarmBook
from consentry_gateway.reading.model import Device, DeviceId, Poll
from consentry_gateway.reading.presence import Places, Presence
from consentry_rule import Instant

_log = logging.getLogger(__name__)

_LOSSES = "/losses"
"""Under what `holding` has the losses that are no agent's; no device has this id."""


class Sink(Protocol):
    """Where frames go."""

    async def put(self, drafts: list[Draft], remember: dict[str, str | None]) -> None:
        """Take frames over, with what is to be remembered. OutboxFailed when there is no room, or the disk fails."""
        ...


class Pipeline:
    """Takes polls in. `alarms` and `devices` are what was remembered from before a restart."""

    def __init__(
        self,
        writer: FrameWriter,
        sink: Sink,
        *,
        presence: Presence,
        places: Places,
        holding: Holding,
        alarms: Iterable[tuple[DeviceId, Alarm]] = (),
        devices: Iterable[Device] = (),
        unreachable_after: int = 3,
    ) -> None:
        known = list(alarms)
        self._writer = writer
        self._sink = sink
        self._presence = presence
        self._places = places
        self._holding = holding
        self._book = AlarmBook((alarm for _, alarm in known), unreachable_after=unreachable_after)
        self._devices = {device.id: device for device in devices}
        self._one_at_a_time = asyncio.Lock()
        self._failed = ""
        self._clock_told = False
        for about, alarm in known:
            writer.owe(about, [alarm])  # told already, perhaps; saying so again changes nothing

    def refused(self, about: str) -> None:
        """The service refused a frame about an agent."""
        self._holding.refused(about)
        self._writer.refused(about)
        self._presence.owe(about)
        if about == LOCATIONS_GONE:
            _log.error("a location that is in the agents file no more is still in use; its end is told again at the next start")

    def left_out(self, about: str, what: LeftOut) -> None:
        """The service refused something of a frame about an agent, and takes the rest."""
        self._writer.leave_out(about, what.names, what.field)
        if what.forgotten or (what.readings and not what.names):
            self.refused(about)

    def untold(self, about: str, span: Span) -> dict[str, str | None]:
        """The service refused what a frame says is lost: it is told with a later one. What is to be remembered of it."""
        if about in {LOCATIONS, LOCATIONS_GONE}:
            about = _LOSSES
            self._holding.refused(about)
        self._holding.lose(about, span)
        return memory.to_remember_lost(about, self._holding.lost(about))

    def forgotten(self) -> None:
        """The service may know nothing of us: everything is told again."""
        self._writer.forget()
        self._presence.owe_all()
        self._places.owe()

    async def take(self, *polls: Poll) -> None:
        """Take polls in; what they say is on disk when this returns.

        When there is no room their readings are lost, which is logged, and told once there is. Their alarms and inventory come
        with the next ones.
        """
        if not polls:
            return
        async with self._one_at_a_time:
            now = polls[0].time
            drafts: list[Draft] = []
            self._redate(now)
            losses = None if self._holding.holds(_LOSSES, now) else self._holding.lost(_LOSSES)
            if losses is not None:
                drafts.append(Draft(LOCATIONS, span=believable(losses, now)))
            if not self._holding.holds(LOCATIONS, now):
                drafts += self._writer.write_locations()
            remember = memory.to_remember_locations(self._places.known) if drafts else {}
            if losses is not None:
                remember |= memory.to_remember_lost(_LOSSES, None)
            sent = [poll for poll in polls if self._write(poll, drafts, remember)]
            gone = self._write_gone(now, drafts, remember)
            if not drafts and not remember:
                return
            try:
                await self._sink.put(drafts, remember)
            except OutboxFailed as error:
                if str(error) != self._failed:
                    _log.error("readings are lost while the outbox takes none: %s", error)
                self._failed = str(error)
                return
            if self._failed:
                _log.info("the outbox takes readings again")
            self._failed = ""
            if losses is not None:
                self._holding.told(_LOSSES)
            if any(draft.about == LOCATIONS and draft.told for draft in drafts):
                self._writer.told_locations()
            self._told(sent, gone)

    def _write(self, poll: Poll, drafts: list[Draft], remember: dict[str, str | None]) -> bool:
        """Add a poll's frames, and what is to be remembered with them. Whether there are any: its agent may have to wait."""
        about = poll.device.id
        changed = self._book.observe(poll)
        for alarm in changed:
            _log.info("alarm=%s label=%r severity=%s", alarm.id, alarm.label, alarm.severity.value)
        if self._presence.observe(poll):
            remember |= memory.to_remember_present(about, self._presence.of(about))
        held = self._holding.holds(about, poll.time) or not believed(poll.time, poll.time)
        if held:
            self._writer.owe(about, changed)
            self._holding.lose(about, span_of(poll.readings))
        else:
            lost = self._holding.lost(about)
            drafts += self._writer.write(poll, changed, lost and believable(lost, poll.time))
        lost = self._holding.lost(about)
        if lost is not None:
            remember |= memory.to_remember_lost(about, lost if held else None)
        remember |= memory.to_remember(poll, self._writer.owed(about), self._devices)
        return not held

    def _redate(self, now: Instant) -> None:
        """Alarms that began while the clock was wrong begin now. While it is, nothing can be told, which is said once."""
        if believed(now, now):
            self._clock_told = False
            self._book.redate(now)
            self._writer.redate(now)
        elif not self._clock_told:
            self._clock_told = True
            _log.error("the clock stands before the year 2000: what is read is lost until it is set")

    def _write_gone(self, now: Instant, drafts: list[Draft], remember: dict[str, str | None]) -> list[DeviceId]:
        """Add the frames that tell what is gone; the agents that they are about."""
        told: list[DeviceId] = []
        if not self._presence.settled:
            return told
        for about, devices in self._presence.owed():
            if self._holding.holds(about, now):
                continue
            _log.info("devices=%s are gone", ",".join(devices))
            self._book.forget(devices)
            alarms = self._writer.drop(about, devices)
            drafts += self._writer.write_gone(about, devices)
            remember |= memory.to_forget(devices, alarms)
            remember |= memory.to_remember_present(about, self._presence.of(about))
            told.append(about)
        drafts += self._writer.write_locations_gone(self._places.owed())
        return told

    def _told(self, polls: Iterable[Poll], gone: Iterable[DeviceId]) -> None:
        for poll in polls:
            about = poll.device.id
            self._writer.told(poll)
            self._holding.told(about)
            if poll.reachable:
                self._devices[about] = poll.device
        for about in gone:
            self._presence.told(about)
        if self._presence.settled:
            self._places.told()
        for poll in polls:
            self._presence.told_of(poll.device.id)

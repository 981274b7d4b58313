"""One agent of a source, polled by hand: what its polls tell, which alarms stand, and what the log says."""

from collections.abc import Sequence

from consentry_gateway.agents.file import Access, Agent
from consentry_gateway.reading.alarms import AlarmBook
from consentry_gateway.reading.model import Device, DeviceId, Poll
from consentry_gateway.sources.polling import Asking, Collector, Reports
from support.clocks import FakeClock


class Asked:
    """An agent called `it`, and the source that asks it. `silent`: why it does not answer, empty when it does."""

    def __init__(
        self, kind: str, source: Asking, reports: Reports, access: Access, port: int, *, host: str = "127.0.0.1"
    ) -> None:
        self.agent = Agent(Device(DeviceId("it"), ""), host, port, access, kind)
        self.source = source
        self.collector = Collector(FakeClock(), {kind: source}, reports=reports)
        self._book = AlarmBook(unreachable_after=1)
        self._reports = reports

    async def poll(self) -> Poll:
        """Look at it, once."""
        return await self.collector.poll(self.agent)

    async def alarms(self) -> Sequence[str]:
        """The alarms that are active after another look, by device and label."""
        self._book.observe(await self.poll())
        return sorted(f"{alarm.device}: {alarm.label}" for alarm in self._book.active)

    async def values(self) -> dict[str, object]:
        """What another look reads, by metric."""
        return {reading.sensor.metric: reading.value for reading in (await self.poll()).readings}

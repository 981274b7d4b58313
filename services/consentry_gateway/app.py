"""The only place where the gateway's objects meet."""

import asyncio
import logging
import random
import secrets
from collections.abc import Coroutine, Sequence
from typing import Any

from consentry_core.process import logs
from consentry_core.process.files import LastUsable
from consentry_core.process.lifecycle import signals, until_signalled
from consentry_core.process.settings import SettingError
from consentry_core.rpc.client.channels import open_channel
from consentry_core.values.clock import SECOND, Clock, Following, SystemClock
from consentry_core.values.encoding import RandomBytes
from consentry_gateway.agents.file import Agent, Site, read_site
from consentry_gateway.outbox import memory
from consentry_gateway.outbox.holding import Holding
from consentry_gateway.outbox.outbox import Outbox
from consentry_gateway.outbox.pipeline import Pipeline
from consentry_gateway.publishing.frames import FrameWriter
from consentry_gateway.publishing.publisher import CUSTOMER, Publisher
from consentry_gateway.reading.model import DeviceId, Location
from consentry_gateway.reading.presence import DAY, Places, Presence
from consentry_gateway.settings import CollectSettings, GatewaySettings, SimulateSettings
from consentry_gateway.simulator import Simulation
from consentry_gateway.sources.modbus.source import ModbusSource
from consentry_gateway.sources.nut.source import NutSource
from consentry_gateway.sources.polling import Asking, Collector, Reports
from consentry_gateway.sources.redfish.source import RedfishSource
from consentry_gateway.sources.snmp.source import SnmpSource
from consentry_gateway.sources.snmp.traps import Traps
from consentry_rule import CustomerId

__all__ = ["CollectSettings", "Gateway", "GatewaySettings", "Parts", "SimulateSettings", "run", "start"]

_log = logging.getLogger(__name__)


class Gateway:
    """A running gateway."""

    def __init__(
        self,
        parts: "Parts",
        work: Sequence[Coroutine[Any, Any, None]],
        collector: Collector | None = None,
        traps: Traps | None = None,
    ) -> None:
        self._parts = parts
        self._collector = collector
        self.traps = traps
        self._tasks = [asyncio.create_task(job) for job in (parts.publisher.run(), *work)]

    async def failed(self) -> None:
        """Wait until a part of it fails, which it should not, and raise that."""
        done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()

    async def acknowledged(self) -> None:
        """Wait until the device-data service has everything that was collected so far."""
        await self._parts.publisher.acknowledged()

    async def stop(self) -> None:
        """Stop collecting and publishing. What is not acknowledged stays on disk for the next start."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._collector is not None:
            await self._collector.close()
        if self.traps is not None:
            self.traps.close()
        await self._parts.channel.close()
        self._parts.publisher.close()


async def start(
    settings: CollectSettings | SimulateSettings, *, clock: Clock | None = None, random_bytes: RandomBytes = secrets.token_bytes
) -> Gateway:
    """Collect, or simulate, and publish. SettingError when it can't as it was configured.

    The device-data service may be down: what is collected waits for it on disk.
    """
    clock = Following(clock or SystemClock())  # a reading has the time that the clock has, also once that is set back
    customer = settings.checked()
    if isinstance(settings, CollectSettings):
        site = read_site(settings.agents)
        agents = [agent.device.id for agent in site.agents]
        parts = Parts(settings, customer, site.locations, agents, clock=clock, random_bytes=random_bytes)
        return await _collecting(settings, site, parts, clock)
    simulation = Simulation(settings.seed, speed=settings.speed)
    parts = Parts(settings, customer, simulation.locations, simulation.agents, clock=clock, random_bytes=random_bytes)
    return Gateway(parts, [_simulate(simulation, parts.pipeline, settings.interval, clock)])


class Parts:
    """What both kinds of gateway have: polls go into `pipeline`, and `publisher` runs."""

    def __init__(
        self,
        settings: CollectSettings | SimulateSettings,
        customer: CustomerId,
        locations: Sequence[Location],
        agents: Sequence[DeviceId],
        *,
        clock: Clock,
        random_bytes: RandomBytes,
    ) -> None:
        tls = settings.tls()  # first: what cannot be used is told before anything is opened
        outbox = Outbox(settings.data_dir, random_bytes, most_bytes=settings.outbox_bytes)
        _check_customer(outbox, settings)
        self.devices = memory.remembered_devices(outbox.recall(memory.DEVICES))
        gone_after, unreachable_after = DAY, 3
        if isinstance(settings, CollectSettings):
            gone_after, unreachable_after = settings.gone_after_nanoseconds(), settings.unreachable_after
        present = memory.remembered_present(outbox.recall(memory.PRESENT))
        self.channel = open_channel(settings.devices, tls)
        self.publisher = Publisher(
            self.channel,
            LastUsable(settings.own_token),
            settings.gateway,
            outbox,
            clock=clock,
            random=random.Random(random_bytes(8)).random,  # noqa: S311 - spreads reconnects
            on_refused=lambda about: self.pipeline.refused(about),  # noqa: PLW0108 - it is made below
            on_new_epoch=lambda: self.pipeline.forgotten(),  # noqa: PLW0108 - likewise
            on_left_out=lambda about, what: self.pipeline.left_out(about, what),  # noqa: PLW0108 - likewise
            on_untold=lambda about, span: self.pipeline.untold(about, span),  # noqa: PLW0108 - likewise
            customer=settings.customer,
        )
        self.pipeline = Pipeline(
            FrameWriter(customer, locations),
            self.publisher,
            presence=Presence(agents, present, gone_after=gone_after),
            places=Places(locations, memory.remembered_locations(outbox.recall(memory.LOCATIONS))),
            holding=Holding(memory.remembered_lost(outbox.recall(memory.LOST))),
            alarms=memory.remembered_alarms(outbox.recall(memory.ALARMS)),
            devices=self.devices,
            unreachable_after=unreachable_after,
        )


def _check_customer(outbox: Outbox, settings: GatewaySettings) -> None:
    for known in outbox.recall(CUSTOMER):
        if known != settings.customer:
            outbox.close()
            raise SettingError(
                f"the gateway's folder {settings.data_dir} holds what is of {known}, and the gateway is to publish for "
                f"{settings.customer}: choose another folder with --data-dir, or that customer with --customer"
            )


async def _collecting(settings: CollectSettings, site: Site, parts: Parts, clock: Clock) -> Gateway:
    reports = Reports(clock)
    snmp = SnmpSource(clock, reports=reports, timeout=settings.timeout, retries=settings.retries)
    sources: dict[str, Asking] = {
        "snmp": snmp,
        "nut": NutSource(clock, reports=reports, timeout=settings.timeout),
        "modbus": ModbusSource(clock, reports=reports, timeout=settings.timeout, retries=settings.retries),
    }
    collector = Collector(clock, sources, reports=reports)
    sources["redfish"] = RedfishSource(clock, reports=reports, timeout=settings.timeout, on_news=collector.hint)
    collector.remember(parts.devices)

    def hinted(host: str) -> bool:
        for device in snmp.at(host):
            collector.hint(device)
        return bool(snmp.at(host))

    listening = await Traps.listen(settings.traps, hinted) if settings.traps else None
    work = [_collect(agent, collector, parts.pipeline, settings.interval, clock) for agent in site.agents]
    return Gateway(parts, work, collector, listening)


async def _collect(agent: Agent, collector: Collector, pipeline: Pipeline, interval: float, clock: Clock) -> None:
    while True:
        begun = clock.boot()
        what = "cannot be polled"
        try:
            poll = await collector.poll(agent)
            what = "cannot be published"
            await pipeline.take(poll)
        except Exception as error:  # noqa: BLE001 - whatever one agent answers, it is polled again
            collector.failed(agent, error, what)
        await collector.until_next(agent, _left(agent.interval or interval, begun, clock))


async def _simulate(simulation: Simulation, pipeline: Pipeline, interval: float, clock: Clock) -> None:
    while True:
        begun = clock.boot()
        await pipeline.take(*simulation.step(clock.now()))
        await asyncio.sleep(_left(interval, begun, clock))


def _left(interval: float, begun: int, clock: Clock) -> float:
    """Seconds until the next turn, so that turns begin an interval apart."""
    return max(interval - (clock.boot() - begun) / SECOND, 0.0)


def run(settings: CollectSettings | SimulateSettings) -> None:
    """Collect or simulate until SIGTERM or SIGINT."""
    logs.configure()
    asyncio.run(_run(settings))


async def _run(settings: CollectSettings | SimulateSettings) -> None:
    signalled = signals()
    gateway = await start(settings)
    _log.info("gateway=%s publishes for %s to %s", settings.gateway, settings.customer, settings.devices)
    ends = [asyncio.create_task(until_signalled(signalled)), asyncio.create_task(gateway.failed())]
    try:
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in ends:
            task.cancel()
        await gateway.stop()

"""The stage of the proof with real processes: authority, device-data processes, gateways, readers, and what befalls them.

Each device-data process reaches the authority through a proxy of its own. Customers whose names are in `STEADY` are never
withdrawn from anybody: what is published for them has to arrive whole, whatever happens. The others are.
"""

import asyncio
import contextlib
import dataclasses
import json
import random
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from consentry.authority.v1 import keys_pb2, tokens_pb2
from consentry_core.rpc.client.channels import open_channel
from support.attackers import Order as Attack
from support.attackers import enrol, ways
from support.authority import AuthorityCalls, IssuedKey, prepare
from support.many_readers import Order, Orders
from support.processes import Process, Service, boot, until
from support.steady_gateway import SteadyGateway
from support.tcp_proxy import TcpProxy

PARTNERS = ("acme", "globex")
STEADY = ("c00", "c01")
LISTED = "c02"  # taken off lists, but otherwise steady
VOLATILE = tuple(f"c{number:02}" for number in range(3, 12))
CUSTOMERS = (*STEADY, LISTED, *VOLATILE)


@dataclass
class Counts:
    """What befell whom."""

    kills: int = 0
    pauses: int = 0
    long_pauses: int = 0
    holds: int = 0
    cuts: int = 0
    authority_kills: int = 0
    authority_pauses: int = 0
    attacks: list[str] = field(default_factory=list)
    authority_away: list[tuple[int, int]] = field(default_factory=list)


@dataclass(frozen=True)
class Devices:
    """A device-data process, with the proxy between it and the authority."""

    service: Service
    proxy: TcpProxy


class Stage:
    """Everything that runs."""

    def __init__(
        self, folder: Path, authority: Service, calls: AuthorityCalls, devices: Sequence[Devices], everything: list[Process]
    ) -> None:
        self.folder = folder
        self.authority = authority
        self.calls = calls
        self.devices = devices
        self.counts = Counts()
        self.published: dict[str, dict[str, int]] = {running.service.address: {} for running in devices}
        self.keys: dict[str, IssuedKey] = {}
        self.readers: list[Process] = []
        self._attacker: dict[str, str] = {}
        self._everything = everything
        self._silence = asyncio.Event()
        self._gateways: list[asyncio.Task[None]] = []
        self._orders: list[Orders] = []

    async def populate(self) -> None:
        """Partners, customers, and keys of every sort; `every` is never disabled, `some` may be."""
        await asyncio.gather(*(self.calls.partner(partner) for partner in PARTNERS))
        for customer in CUSTOMERS:
            await self.calls.customer(customer)
            for partner in PARTNERS:
                await self.calls.connect(partner, customer)
                await self.calls.consent(customer, partner)
        for partner in PARTNERS:
            self.keys[f"{partner} every"] = await self.calls.key(partner)
            self.keys[f"{partner} some"] = await self.calls.key(partner)
            kind = keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS
            self.keys[f"{partner} specific"] = await self.calls.key(partner, kind, CUSTOMERS[:6])
        self._attacker = await enrol(self.calls)

    # Gateways

    async def publish(self) -> None:
        """One gateway a customer and process, each with a number that counts up."""
        for running in self.devices:
            for index, customer in enumerate(CUSTOMERS):
                issued = await self.calls.token(tokens_pb2.Token.ROLE_GATEWAY, f"customers/{customer}")
                gateway = SteadyGateway(running.service.address, customer, issued.secret, self.published)
                start = index / len(CUSTOMERS)
                self._gateways.append(asyncio.create_task(gateway.run(self._silence, start)))

    async def silence(self) -> None:
        """Publish no more; what was published is committed when this returns.

        Once more for everybody before: a consent that was granted again opens nothing from before.
        """
        before = {address: dict(numbers) for address, numbers in self.published.items()}

        def once_more() -> bool:
            return all(
                self.published[address].get(customer, 0) > before[address].get(customer, 0) + 1
                for address in before
                for customer in CUSTOMERS
            )

        await until(once_more, "everybody publishes again", every=0.1)
        self._silence.set()
        await asyncio.gather(*self._gateways)

    def leave(self) -> None:
        """Let go of what runs in this process."""
        for gateway in self._gateways:
            gateway.cancel()

    # Readers

    def read(self, readers: int, chance: random.Random, processes: int = 2) -> None:
        """Start so many readers, in a few processes."""
        orders = [self._order(number, chance) for number in range(readers)]
        for number in range(processes):
            name = f"readers-{number}"
            files = {what: str(self.folder / f"{name}.{what}") for what in ("record", "summary")}
            final = str(self.folder / "final.json")
            mine = Orders(readers=orders[number::processes], final=final, seed=chance.randrange(1 << 30), **files)
            file = self.folder / f"{name}.orders"
            file.write_text(json.dumps(dataclasses.asdict(mine)), encoding="utf-8")
            self._orders.append(mine)
            process = Process(name, self.folder, "support.many_readers", str(file))
            self.readers.append(process)
            self._everything.append(process)
            process.start()

    def _order(self, number: int, chance: random.Random) -> Order:
        devices = self.devices[number % len(self.devices)]
        kind = chance.choices(("steady", "stalling", "stalled", "polling"), (70, 10, 10, 10))[0]
        key = self.keys[f"{chance.choice(PARTNERS)} {chance.choice(('every', 'some', 'specific'))}"]
        covered = [name.removeprefix("customers/") for name in key.key.customers] or list(CUSTOMERS)
        named: list[str] = []
        if kind == "steady" and chance.random() < 0.6:
            named = sorted({chance.choice(STEADY), *chance.sample(covered, 3)})
        return Order(
            name=f"r{number:03}-{kind}",
            kind=kind,
            address=devices.service.address,
            secret=key.secret,
            customers=named,
            expected=named or covered,
        )

    def order_of(self, reader: str) -> Order:
        """What a reader was told to do."""
        return next(order for orders in self._orders for order in orders.readers if order.name == reader)

    async def all_have_opened(self, readers: int) -> None:
        """Wait until so many readers have received something."""

        def opened() -> int:
            calls = (_FIRST.findall(running.service.record.read_bytes()) for running in self.devices)
            return len({call for found in calls for call in found})

        await until(lambda: opened() >= readers, f"{readers} readers have opened", every=0.2)

    async def conclude(self, patience: float) -> dict[str, Any]:
        """Tell the readers what was published last, wait until they have it, and return their accounts by name."""
        part = self.folder / "final.part"
        part.write_text(json.dumps(self.published), encoding="utf-8")
        part.rename(self.folder / "final.json")
        await asyncio.gather(*(process.wait(patience) for process in self.readers))
        accounts: dict[str, Any] = {}
        for orders in self._orders:
            accounts |= orders.accounts()
        return accounts

    def received(self) -> Sequence[Path]:
        """The records of what readers received."""
        return [Path(orders.record) for orders in self._orders]

    # Fire

    async def befall_devices(self, devices: Devices, first: Sequence[str], chance: random.Random, over: asyncio.Event) -> None:
        """One misfortune after the other, until it is over: those in `first` at least, if there is time."""
        counts, todo = self.counts, list(first)
        while not over.is_set():
            what = todo.pop(0) if todo else chance.choice(MISFORTUNES)
            await asyncio.sleep(chance.uniform(0.2, 1.0) if todo else chance.uniform(0.5, 3.0))
            match what:
                case "kill":
                    counts.kills += 1
                    await devices.service.restart(chance.uniform(0.0, 1.5))
                case "pause":
                    counts.pauses += 1
                    await devices.service.pause(chance.uniform(0.1, 2.0))
                case "long pause":
                    counts.long_pauses += 1
                    await devices.service.pause(chance.uniform(5.3, 6.5))
                case "hold":
                    counts.holds += 1
                    which = chance.choice(({}, {"up": False}, {"down": False}))
                    devices.proxy.hold(**which)
                    await asyncio.sleep(chance.uniform(0.3, 6.0))
                    devices.proxy.release()
                case "cut":
                    counts.cuts += 1
                    devices.proxy.cut()
                    await asyncio.sleep(chance.uniform(0.3, 6.0))
                    devices.proxy.release()

    async def befall_the_authority(self, chance: random.Random, over: asyncio.Event) -> None:
        """Kill it (-9) or stop it now and then."""
        first = ["kill", "pause"]
        while not over.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), chance.uniform(1.5, 4.0) if first else chance.uniform(6.0, 20.0))
                return
            began = boot()
            if (first.pop(0) if first else chance.choice(("kill", "pause"))) == "kill":
                self.counts.authority_kills += 1
                await self.authority.restart(chance.uniform(0.0, 1.0))
            else:
                self.counts.authority_pauses += 1
                await self.authority.pause(chance.choice((chance.uniform(0.2, 2.0), chance.uniform(5.3, 6.0))))
            self.counts.authority_away.append((began, boot()))

    async def attack(self, chance: random.Random, over: asyncio.Event) -> None:
        """One attacker after the other, each for a few seconds, until it is over; each way once at least, if there is time."""
        todo: list[str] = []
        order = self.folder / "attack.orders"
        while not over.is_set():
            todo = todo or chance.sample(ways(), len(ways()))
            way, devices = todo.pop(), chance.choice(self.devices)
            Attack(self.authority.address, devices.service.address, self._attacker).write(order)
            attacker = Process(f"attacker-{way}", self.folder, "support.attackers", way, str(order))
            self._everything.append(attacker)
            self.counts.attacks.append(way)
            attacker.start()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(over.wait(), chance.uniform(2.0, 5.0))
            await attacker.kill()


_FIRST = re.compile(rb'"(r\d+)-')
MISFORTUNES = ("kill", "pause", "long pause", "hold", "cut")


@contextlib.asynccontextmanager
async def stage(folder: Path, *, devices: int = 3, broken: tuple[str, ...] = ()) -> AsyncIterator[Stage]:
    """Start the services; at the end, whatever happened, every process is gone."""
    home = folder / "authority"
    prepare(home)
    cheap = ("--argon2-memory-kib=8", "--argon2-time=1")
    authority = Service("authority", folder, "authority", f"--data-dir={home}", *cheap)
    running: list[Devices] = []
    everything: list[Process] = [authority]
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(_end, everything)
        await authority.serve()
        for number in range(devices):
            proxy = TcpProxy(authority.address)
            await proxy.start()
            stack.push_async_callback(proxy.close)
            service = Service(
                f"devices-{number}", folder, "devices", f"--authority={proxy.address}",
                f"--data-dir={folder / f'data-{number}'}", f"--token-file={home / 'devices.token'}", broken=broken,
            )  # fmt: skip
            running.append(Devices(service, proxy))
            everything.append(service)
        await asyncio.gather(*(each.service.serve() for each in running))
        calls = AuthorityCalls(home, await stack.enter_async_context(open_channel(authority.address)))
        staged = Stage(folder, authority, calls, running, everything)
        stack.callback(staged.leave)
        yield staged


async def _end(everything: Sequence[Process]) -> None:
    await asyncio.gather(*(process.kill() for process in everything))

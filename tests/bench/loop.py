"""What one partner with 100,000 customers costs everybody else: of the event loops, and of the authority's one writer.

Authority, device-data service and readers are processes of their own.

* While five readers over 100,000 customers open at once, a neighbour (another partner, one customer) goes on asking the
  device-data service, one call every few milliseconds, and has streams open. `others_p99_over_quiet`: the p99 of its calls over
  that of the same calls before; `calls_ended`: its calls that failed, its streams that ended, and readers that did.
* A key's list of 100,000 customers is built by `AddKeyCustomers`, 5,000 in a call: `build_last_over_first`, the last of those
  calls over the first.
* One customer is taken off a list and put on it again, in turns for a list of 100,000 and one of 1,000, while a guard follows
  both and a reader is open with each key; until both are ENFORCED. `key_change_100k_over_1k` compares neighbours, and
  `rename_100k_over_1k` does so for another display name, which concerns no list. `revoke_behind_over_alone`: another
  customer's withdrawal beside changes of the long list, over one that is alone.
"""

import asyncio
import contextlib
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import grpc
from google.protobuf.field_mask_pb2 import FieldMask

from bench.harness import Report, in_pairs, percentile, ratios, run, spread
from bench.population import populate
from bench.stage import Process, authority, stage
from consentry.authority.v1 import keys_pb2
from consentry.devices.v1 import feed_pb2, feed_pb2_grpc, inventory_pb2, inventory_pb2_grpc
from consentry_core.rpc.client.channels import bearer, open_channel
from support.authority import RunningAuthority

_MANY, _FEW, _AT_ONCE = 100_000, 1_000, 5_000
_PARTNER = "large"
_READERS, _NEIGHBOURS = 5, 5
_PACE, _QUIET_SECONDS = 0.005, 10.0
_OPENINGS, _PAIRS = 3, 20
_SPECIFIC = keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS


def _name(number: int) -> str:
    return f"c-{_PARTNER}-{number:06d}"


@dataclass
class _Neighbour:
    """A partner with one customer, and its calls at the device-data service."""

    channel: grpc.aio.Channel
    secret: str
    ended: int = 0
    taken: list[float] = field(default_factory=list)

    async def ask(self, until: Callable[[], bool]) -> list[float]:
        """The milliseconds of each call, one after the other at a pace, until there is enough."""
        stub, self.taken = inventory_pb2_grpc.InventoryServiceStub(self.channel), []
        request = inventory_pb2.ListDevicesRequest(parent="customers/north")
        while not until():
            began = time.perf_counter()
            try:
                await stub.ListDevices(request, metadata=bearer(self.secret), timeout=60)
            except grpc.aio.AioRpcError:
                self.ended += 1
            self.taken.append((time.perf_counter() - began) * 1e3)
            await asyncio.sleep(_PACE)  # its own pace; nothing is waited for
        return self.taken

    async def stream(self, synced: asyncio.Event) -> None:
        """A stream that is open all the time; it counts when it ends."""
        call: Any = feed_pb2_grpc.FeedServiceStub(self.channel).Watch(feed_pb2.WatchRequest(), metadata=bearer(self.secret))
        try:
            async for response in call:
                if response.WhichOneof("event") == "synced":
                    synced.set()
        except grpc.aio.AioRpcError:
            pass
        self.ended += 1


async def _openings(report: Report, neighbour: _Neighbour, readers: Process, devices: Process, secret: str) -> None:
    synced = [asyncio.Event() for _ in range(_NEIGHBOURS)]
    streams = [asyncio.create_task(neighbour.stream(each)) for each in synced]
    for each in synced:
        await each.wait()
    quiet, busy, seconds = [], [], []
    how = {"address": devices.address, "streams": _READERS, "secrets": [secret], "customers": [], "live": True}
    for _ in range(_OPENINGS):
        end = time.perf_counter() + _QUIET_SECONDS
        quiet.append(percentile(await neighbour.ask(partial(_is_past, end)), 0.99))
        opening = asyncio.create_task(readers.ask(open=how))
        busy.append(percentile(await neighbour.ask(opening.done), 0.99))
        opened = await opening
        neighbour.ended += sum(opened["failed"].values())
        seconds.append(opened["seconds"])
        await readers.ask(close=True)
    report.median("quiet_p99_ms", quiet, "ms, a neighbour's call while nothing opens")
    report.median("others_p99_ms", busy, f"ms, the same while {_READERS} readers over {_MANY:,} customers open")
    over = [loud / still for still, loud in zip(quiet, busy, strict=True)]
    report.median("others_p99_over_quiet", over, "the one over the other", at_most=40)
    report.median("open_s", seconds, "s until the readers are synced")
    report.figure("calls_ended", neighbour.ended, "the neighbour's calls that failed, streams of either that ended", at_most=0)
    for stream in streams:
        stream.cancel()


def _is_past(end: float) -> bool:
    return time.perf_counter() >= end


class _Keys:
    """Two keys over lists, one long and one short, and their administrator."""

    def __init__(self, running: RunningAuthority, admin: str) -> None:
        self._keys = running.keys
        self._metadata = bearer(admin)
        self._named = 0

    async def build(self, name: str, count: int) -> list[float]:
        """Put customers on a list that has the first ones: the milliseconds of each call."""
        taken = []
        for start in range(_AT_ONCE, count, _AT_ONCE):
            customers = [f"customers/{_name(number)}" for number in range(start, start + _AT_ONCE)]
            began = time.perf_counter()
            request = keys_pb2.AddKeyCustomersRequest(name=name, customers=customers)
            await self._keys.AddKeyCustomers(request, metadata=self._metadata)
            taken.append((time.perf_counter() - began) * 1e3)
        return taken

    async def relist(self, name: str) -> float:
        """One customer off and on again."""
        customers, began = [f"customers/{_name(7)}"], time.perf_counter()
        remove = keys_pb2.RemoveKeyCustomersRequest(name=name, customers=customers)
        removed = await self._keys.RemoveKeyCustomers(remove, metadata=self._metadata)
        assert removed.enforcement.state == removed.enforcement.STATE_ENFORCED
        add = keys_pb2.AddKeyCustomersRequest(name=name, customers=customers)
        await self._keys.AddKeyCustomers(add, metadata=self._metadata)
        return (time.perf_counter() - began) * 1e3

    async def rename(self, name: str) -> float:
        """Another display name."""
        self._named, began = self._named + 1, time.perf_counter()
        key = keys_pb2.Key(name=name, display_name=f"name {self._named}")
        request = keys_pb2.UpdateKeyRequest(key=key, update_mask=FieldMask(paths=["display_name"]))
        await self._keys.UpdateKey(request, metadata=self._metadata)
        return (time.perf_counter() - began) * 1e3


async def _changes(report: Report, running: RunningAuthority, readers: Process, devices: Process) -> None:
    keys = _Keys(running, await running.admin(f"partners/{_PARTNER}"))
    short = await running.key(_PARTNER, _SPECIFIC, list(map(_name, range(_FEW))))
    long = await running.key(_PARTNER, _SPECIFIC, list(map(_name, range(_AT_ONCE))))
    built = await keys.build(long.name, _MANY)
    ends = sum(built[-3:]) / sum(built[:3])
    report.figure("build_last_over_first", ends, f"{_AT_ONCE:,} onto a list of {_MANY:,} over onto one of few", at_most=2)
    report.median("build_ms", built, f"ms, {_AT_ONCE:,} customers put on a list")
    secrets, watched = [short.secret, long.secret], [_name(1)]
    how = {"address": devices.address, "streams": 2, "secrets": secrets, "customers": watched, "live": True}
    opened = await readers.ask(open=how)
    assert not opened["failed"], opened
    for name in (short.name, long.name):  # the first change of each finds caches cold
        await keys.relist(name)
    for figure, change, what in (
        ("key_change", keys.relist, "one customer off a list and on again"),
        ("rename", keys.rename, "another display name"),
    ):
        pairs = await in_pairs(_PAIRS, partial(change, short.name), partial(change, long.name))
        report.median(f"{figure}_ms_1k", [few for few, _ in pairs], f"ms, {what}, a list of {_FEW:,}")
        report.median(f"{figure}_ms_100k", [many for _, many in pairs], f"ms, the same, a list of {_MANY:,}")
        report.median(f"{figure}_100k_over_1k", ratios(pairs), "the one over the other", at_most=2)
    await _behind(report, running, lambda: keys.relist(long.name))


async def _behind(report: Report, running: RunningAuthority, change: Callable[[], Coroutine[Any, Any, float]]) -> None:
    async def revoke() -> float:
        began = time.perf_counter()
        await running.revoke("north", "acme")
        taken = (time.perf_counter() - began) * 1e3
        await running.consent("north", "acme")
        return taken

    async def beside() -> float:
        changing = asyncio.create_task(change())
        taken = await revoke()
        await changing
        return taken

    pairs = await in_pairs(_PAIRS, revoke, beside)
    alone, behind = [first for first, _ in pairs], [second for _, second in pairs]
    report.median("revoke_alone_ms", alone, "ms, a withdrawal of another partner's customer")
    report.median("revoke_behind_ms", behind, f"ms, the same beside a change of the list of {_MANY:,}")
    report.figure(
        "revoke_behind_over_alone", percentile(ratios(pairs), 0.5), "the one over the other", spread=spread(ratios(pairs))
    )


async def _measure(report: Report) -> None:
    with stage() as processes:
        async with contextlib.AsyncExitStack() as stack:
            filled = partial(populate, sizes={_PARTNER: _MANY})
            running = await stack.enter_async_context(authority(processes, filled_by=filled))
            await running.partner("acme")
            await running.valid_customer("north", "acme")
            devices = await processes.start(
                "devices", "bench.devices_process", "--listen=127.0.0.1:0", f"--authority={running.address}",
                f"--token-file={running.folder / 'devices.token'}", f"--data-dir={processes.folder / 'devices'}",
            )  # fmt: skip
            readers = await processes.start("readers", "bench.readers_process", serves=False)
            channel = await stack.enter_async_context(open_channel(devices.address))
            neighbour = _Neighbour(channel, (await running.key("acme")).secret)
            secret = (await running.key(_PARTNER)).secret
            await _changes(report, running, readers, devices)
            await readers.ask(close=True)
            await _openings(report, neighbour, readers, devices, secret)


if __name__ == "__main__":
    run("loop", _measure)

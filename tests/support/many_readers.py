"""Many readers in one process of their own: partners' programs that go on whatever happens, and keep account of what they got.

    python -m support.many_readers ORDERS

`ORDERS` is a JSON file (`Orders`). Every message is put on record when it is in the reader's hands, as a line
`[call, number, time, size]`; `call` is also sent as metadata, so that the line can be laid beside the sender's.

Gateways publish a number that counts up for each customer, so a reader sees whether something is lost or comes twice: each
number must be the one before and one, unless the customer has just entered the stream. Once `final` is there (JSON: address ->
customer -> last number), every reader goes on until it has all it is entitled to; then what became of them is in `summary`.
"""

import asyncio
import collections
import json
import random
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, cast

import grpc
from google.protobuf.duration_pb2 import Duration

from consentry.devices.v1 import feed_pb2, telemetry_pb2, telemetry_pb2_grpc
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.errors import error_info
from consentry_core.values.clock import SystemClock
from support.recorded_process import end_with_standard_input

_WATCH = "/consentry.devices.v1.FeedService/Watch"
_AFTER_FINAL = 60.0  # seconds until whoever still lacks something is reported
_boot = SystemClock().boot


@dataclass(frozen=True, kw_only=True)
class Order:
    """One reader. `kind`: steady, stalling (stops reading now and then), stalled (stops until the end), polling (unary)."""

    name: str
    kind: str
    address: str
    secret: str
    customers: list[str]  # named in the request; none: all that the key covers
    expected: list[str]  # what it has a right to when all is over


@dataclass(frozen=True, kw_only=True)
class Orders:
    """What a process of readers is to do."""

    readers: list[Order]
    record: str
    final: str
    summary: str
    seed: int

    def numbers(self) -> dict[str, dict[str, int]] | None:
        """What was published last, once it is there."""
        final = Path(self.final)
        return json.loads(final.read_text(encoding="utf-8")) if final.exists() else None

    def account(self, readers: Iterable["Reader"]) -> None:
        """Write what became of the readers."""
        summary = {reader.order.name: vars(reader.account) for reader in readers}
        Path(self.summary).write_text(json.dumps(summary), encoding="utf-8")

    def accounts(self) -> dict[str, Any]:
        """What became of the readers, by their names."""
        return cast("dict[str, Any]", json.loads(Path(self.summary).read_text(encoding="utf-8")))


@dataclass
class Account:
    """What became of one reader. `lost` and `repeated` count numbers, by customer; `reentered` how often one came again."""

    calls: int = 0
    messages: int = 0
    statuses: collections.Counter[str] = field(default_factory=collections.Counter)
    last: dict[str, int] = field(default_factory=dict)
    lost: collections.Counter[str] = field(default_factory=collections.Counter)
    repeated: collections.Counter[str] = field(default_factory=collections.Counter)
    reentered: collections.Counter[str] = field(default_factory=collections.Counter)
    lacking: list[str] = field(default_factory=list)


class Reader:
    """One reader."""

    def __init__(self, order: Order, record: TextIO, chance: random.Random) -> None:
        self.order = order
        self.account = Account()
        self._record = record
        self._chance = chance
        self._cursor = ""
        self._synced = False
        self._entered: set[str] = set()
        self._final: dict[str, int] | None = None
        self._over = asyncio.Event()
        self._stall_at = _boot() + round(chance.uniform(3, 10) * 1e9)

    def finish(self, final: dict[str, int]) -> None:
        """From here on nothing more is published: these were the last numbers."""
        self._final = final
        self._over.set()

    def lacking(self) -> list[str]:
        """The customers of which something is still to come."""
        if self._final is None:
            return self.order.expected
        return [customer for customer in self.order.expected if self.account.last.get(customer, 0) < self._final[customer]]

    async def run(self) -> None:
        """Read until everything has come."""
        async with open_channel(self.order.address) as channel:
            while self.lacking():
                self.account.calls += 1
                call = f"{self.order.name}.{self.account.calls}"
                metadata = (*bearer(self.order.secret), ("reader", call))
                try:
                    await (self._poll if self.order.kind == "polling" else self._watch)(channel, call, metadata)
                except grpc.aio.AioRpcError as error:
                    info = error_info(error)
                    reason = info.reason if info is not None else ""
                    self.account.statuses[f"{error.code().name} {reason}".strip()] += 1
                    if error.code() in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.OUT_OF_RANGE):
                        print(self.order.name, error, file=sys.stderr)
                await asyncio.sleep(self._chance.uniform(0.1, 0.6))

    # Watching

    async def _watch(self, channel: grpc.aio.Channel, name: str, metadata: Any) -> None:
        request = feed_pb2.WatchRequest(
            customers=[f"customers/{customer}" for customer in self.order.customers],
            heartbeat_interval=Duration(seconds=2),
        )
        if self._cursor:
            request.after_cursor = self._cursor
        watch = channel.unary_stream(_WATCH, feed_pb2.WatchRequest.SerializeToString, _sized)
        call: Any = watch(request, metadata=metadata)
        number = 0
        try:
            async for size, response in call:
                number += 1
                self._received(name, number, size)
                self._take(response)
                if not self.lacking():
                    return
                if not self._over.is_set() and self.order.kind != "steady" and _boot() > self._stall_at:
                    await self._stall()
        finally:
            call.cancel()

    async def _stall(self) -> None:
        """Read nothing for a while. The transport goes on receiving until it is full."""
        seconds = self._chance.uniform(1, 6) if self.order.kind == "stalling" else 1e6
        try:
            await asyncio.wait_for(self._over.wait(), seconds)
        except TimeoutError:
            self._stall_at = _boot() + round(self._chance.uniform(1, 6) * 1e9)

    def _received(self, call: str, number: int, size: int) -> None:
        self.account.messages += 1
        self._record.write(f'["{call}",{number},{_boot()},{size}]\n')

    def _take(self, response: feed_pb2.WatchResponse) -> None:
        self._cursor = response.cursor
        event = response.WhichOneof("event")
        if event == "customer_added":
            customer = response.customer_added.customer.split("/")[1]
            self._entered.add(customer)
            if self._synced and customer in self.account.last:  # a cursor from before `synced` begins the snapshot anew
                self.account.reentered[customer] += 1
        elif event == "synced":
            self._synced = True
        elif event == "telemetry":
            for device in response.telemetry.devices:
                self._count(device.device.split("/")[1], int(device.block.values[0]))

    def _count(self, customer: str, number: int) -> None:
        account, last = self.account, self.account.last.get(customer)
        if customer not in self._entered and last is not None:
            if number <= last:
                account.repeated[customer] += 1
            else:
                account.lost[customer] += number - last - 1
        self._entered.discard(customer)
        account.last[customer] = number

    # Polling

    async def _poll(self, channel: grpc.aio.Channel, name: str, metadata: Any) -> None:
        customer = self._chance.choice(self.lacking())
        telemetry = telemetry_pb2_grpc.TelemetryServiceStub(channel)
        parent = f"customers/{customer}"
        if self._chance.random() < 0.3:
            history = telemetry_pb2.QueryHistoryRequest(parent=parent)
            history.start_time.GetCurrentTime()
            history.start_time.seconds -= 5
            chunks: Any = telemetry.QueryHistory(history, metadata=metadata)
            number = 0
            async for chunk in chunks:
                number += 1
                self._received(name, number, chunk.ByteSize())
            return
        latest = await telemetry.QueryLatest(telemetry_pb2.QueryLatestRequest(parent=parent), metadata=metadata)
        self._received(name, 1, latest.ByteSize())
        for reading in latest.readings:
            self.account.last[customer] = int(reading.value)


def _sized(message: bytes) -> tuple[int, feed_pb2.WatchResponse]:
    return len(message), feed_pb2.WatchResponse.FromString(message)


async def _run(orders: Orders, record: TextIO) -> None:
    chance = random.Random(orders.seed)  # noqa: S311 - to be repeated
    readers = [Reader(order, record, chance) for order in orders.readers]
    tasks = [asyncio.create_task(reader.run()) for reader in readers]
    while (numbers := orders.numbers()) is None:
        await asyncio.sleep(0.1)  # nothing else tells that a file has come
        for task in tasks:
            if task.done():
                task.result()
    for reader in readers:
        reader.finish(numbers[reader.order.address])
    _, late = await asyncio.wait(tasks, timeout=_AFTER_FINAL)
    for task in late:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    for reader in readers:
        reader.account.lacking = reader.lacking()
    orders.account(readers)


def main() -> None:
    """Follow the orders."""
    end_with_standard_input()
    given = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    given["readers"] = [Order(**order) for order in given["readers"]]
    orders = Orders(**given)
    with Path(orders.record).open("w", encoding="utf-8") as record:
        asyncio.run(_run(orders, record))


if __name__ == "__main__":
    main()

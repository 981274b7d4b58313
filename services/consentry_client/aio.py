"""The client for asyncio. The same as `consentry_client.sync`, method by method."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from consentry.authority.v1 import coverage_pb2, coverage_pb2_grpc
from consentry.devices.v1 import (
    alarms_pb2,
    alarms_pb2_grpc,
    feed_pb2_grpc,
    inventory_pb2,
    inventory_pb2_grpc,
    telemetry_pb2_grpc,
)
from consentry_client.coverage import CoverageEvent, CoveredCustomer, covered_customer_of
from consentry_client.errors import CallFailed, closed, ended_early, failure_of
from consentry_client.events import Event
from consentry_client.readings import DeviceReadings, Reading, reading_of
from consentry_client.requests import PageRequestT, PageT, Time, history_request, latest_request
from consentry_client.resuming import CoverageWatch, FeedWatch, Message, Question, Random, Told, Watch
from consentry_core.rpc.client import bearer, open_channel
from consentry_rule import DataClass

_A = TypeVar("_A")
_Q = TypeVar("_Q")
_S = TypeVar("_S")


class AsyncClient:
    """A partner's access, with one API key.

    `authority` and `devices`: the services' addresses (`host:port`), or channels that the caller has opened and closes itself
    (TLS, interceptors); either can be left out by who does not need it. `secret`: the key's, never shown again. `timeout`:
    seconds for every call that is not a stream. Every method raises `CallFailed`.
    """

    def __init__(
        self,
        *,
        secret: str,
        authority: str | grpc.aio.Channel | None = None,
        devices: str | grpc.aio.Channel | None = None,
        timeout: float = 30.0,
        random: Random = random.random,
    ) -> None:
        self._metadata = bearer(secret.strip())
        self._timeout = timeout
        self._random = random
        self._own: list[grpc.aio.Channel] = []
        # Stubs are made here, once: making one on a channel that has been closed meanwhile crashes the interpreter.
        channel = self._channel(authority)
        self._coverage = None if channel is None else coverage_pb2_grpc.CoverageServiceStub(channel)
        channel = self._channel(devices)
        self._inventory = None if channel is None else inventory_pb2_grpc.InventoryServiceStub(channel)
        self._alarms = None if channel is None else alarms_pb2_grpc.AlarmServiceStub(channel)
        self._telemetry = None if channel is None else telemetry_pb2_grpc.TelemetryServiceStub(channel)
        self._feed = None if channel is None else feed_pb2_grpc.FeedServiceStub(channel)
        self._calls: set[grpc.aio.Call] = set()
        self._closed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """End what is open: whoever is iterating gets `Cancelled`."""
        self._closed.set()
        for call in tuple(self._calls):
            call.cancel()
        for channel in self._own:
            await channel.close()

    # What the key covers

    async def covered_customers(self) -> AsyncIterator[CoveredCustomer]:
        """The customers that the key covers now, by name."""
        stub = _given(self._coverage, "authority")
        async for page in self._pages(stub.ListCoveredCustomers, coverage_pb2.ListCoveredCustomersRequest()):
            for customer in page.customers:
                yield covered_customer_of(customer)

    def watch_coverage(
        self, after_revision: str | None = None, *, patience: float | None = None
    ) -> AsyncIterator[CoverageEvent]:
        """What the key covers, then every change of it. Comes back by itself; see `watch`."""
        stub = _given(self._coverage, "authority")
        return self._watch(stub.WatchCoverage, CoverageWatch(self._random, after_revision=after_revision, patience=patience))

    # Inventory and alarms

    async def locations(self, customer: str) -> AsyncIterator[inventory_pb2.Location]:
        """The locations of `customers/{customer}`, by name."""
        stub = _given(self._inventory, "devices")
        async for page in self._pages(stub.ListLocations, inventory_pb2.ListLocationsRequest(parent=customer)):
            for location in page.locations:
                yield location

    async def devices(self, customer: str) -> AsyncIterator[inventory_pb2.Device]:
        """The devices of `customers/{customer}`, by name; nested ones like any other."""
        stub = _given(self._inventory, "devices")
        async for page in self._pages(stub.ListDevices, inventory_pb2.ListDevicesRequest(parent=customer)):
            for device in page.devices:
                yield device

    async def device(self, name: str) -> inventory_pb2.GetDeviceResponse:
        """One device (`device`), and what it is part of up to the top (`ancestors`)."""
        stub = _given(self._inventory, "devices")
        return await self._ask(stub.GetDevice, inventory_pb2.GetDeviceRequest(name=name))

    async def sensors(self, parent: str) -> AsyncIterator[inventory_pb2.Sensor]:
        """The sensors of a customer or of one device, by name."""
        stub = _given(self._inventory, "devices")
        async for page in self._pages(stub.ListSensors, inventory_pb2.ListSensorsRequest(parent=parent)):
            for sensor in page.sensors:
                yield sensor

    async def alarms(self, customer: str, *, active_only: bool = False) -> AsyncIterator[alarms_pb2.Alarm]:
        """The alarms of `customers/{customer}`, by name."""
        stub = _given(self._alarms, "devices")
        request = alarms_pb2.ListAlarmsRequest(parent=customer, active_only=active_only)
        async for page in self._pages(stub.ListAlarms, request):
            for alarm in page.alarms:
                yield alarm

    async def alarm(self, name: str) -> alarms_pb2.Alarm:
        """One alarm as it is now."""
        stub = _given(self._alarms, "devices")
        return (await self._ask(stub.GetAlarm, alarms_pb2.GetAlarmRequest(name=name))).alarm

    async def alarm_events(self, alarm: str) -> AsyncIterator[alarms_pb2.AlarmEvent]:
        """Everything that happened to one alarm, oldest first."""
        stub = _given(self._alarms, "devices")
        async for page in self._pages(stub.ListAlarmEvents, alarms_pb2.ListAlarmEventsRequest(parent=alarm)):
            for event in page.alarm_events:
                yield event

    # Readings

    async def latest(self, customer: str, *, devices: Iterable[str] = (), sensors: Iterable[str] = ()) -> tuple[Reading, ...]:
        """The newest reading of each sensor; of all the customer's, unless devices or sensors are named."""
        stub = _given(self._telemetry, "devices")
        answer = await self._ask(stub.QueryLatest, latest_request(customer, devices, sensors))
        return tuple(map(reading_of, answer.readings))

    async def history(
        self,
        customer: str,
        start: Time,
        end: Time | None = None,
        *,
        devices: Iterable[str] = (),
        sensors: Iterable[str] = (),
    ) -> AsyncIterator[DeviceReadings]:
        """The readings from `start` on, up to and without `end`; `end` None: up to now."""
        stub = _given(self._telemetry, "devices")
        with self._open(stub.QueryHistory, history_request(customer, start, end, devices, sensors)) as messages:
            async for message in messages:
                for device in message.telemetry:
                    yield DeviceReadings(device)

    # The feed

    def watch(
        self,
        customers: Iterable[str] = (),
        data_classes: Iterable[DataClass] = (),
        after_cursor: str | None = None,
        stop_when_synced: bool = False,
        *,
        devices: Iterable[str] = (),
        live: bool = False,
        latest: bool = False,
        sample_interval: timedelta | None = None,
        strict: bool = False,
        heartbeat_interval: timedelta | None = None,
        patience: float | None = None,
    ) -> AsyncIterator[Event]:
        """The feed of these customers, or of all that the key covers as coverage changes; of these devices only, if any.

        Starts with the current state; `after_cursor` with exactly what came after that event; `live` with what happens next.
        All readings are told, or the newest of each sensor: as fast as they are taken (`latest`), or once in an interval.
        What is no longer kept is a `Gap`; with `strict` it is `OutOfRange`.
        When the service goes away the watch comes back by itself after the last event, and nothing is lost and nothing comes
        twice; a state that was being told just then is told again. `patience` gives up (`Unavailable`) after so many seconds
        of waiting. Any other failure ends it: what it raises says why.
        """
        watch = FeedWatch(
            self._random,
            customers=customers,
            data_classes=data_classes,
            devices=devices,
            after_cursor=after_cursor,
            live=live,
            stop_when_synced=stop_when_synced,
            latest=latest,
            sample_interval=sample_interval,
            strict=strict,
            heartbeat_interval=heartbeat_interval,
            patience=patience,
        )
        return self._watch(_given(self._feed, "devices").Watch, watch)

    # How

    def _channel(self, target: str | grpc.aio.Channel | None) -> grpc.aio.Channel | None:
        if not isinstance(target, str):
            return target
        channel = open_channel(target)
        self._own.append(channel)
        return channel

    async def _ask(self, method: Callable[..., Awaitable[_A]], request: object) -> _A:
        self._refuse_if_closed()
        with self._failures():
            return await method(request, metadata=self._metadata, timeout=self._timeout)

    async def _pages(
        self, method: "grpc.aio.UnaryUnaryMultiCallable[PageRequestT, PageT]", request: PageRequestT
    ) -> AsyncIterator[PageT]:
        while True:
            page = await self._ask(method, request)
            yield page
            if not page.next_page_token:
                return
            request.page_token = page.next_page_token

    @contextmanager
    def _open(self, method: "grpc.aio.UnaryStreamMultiCallable[_Q, _A]", request: _Q) -> Iterator[AsyncIterator[_A]]:
        """A stream, cancelled when it is left: gRPC does not collect calls that were abandoned."""
        self._refuse_if_closed()
        call: Any = method(request, metadata=self._metadata)
        self._calls.add(call)
        try:
            with self._failures():
                yield call
        finally:
            self._calls.discard(call)
            call.cancel()

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except grpc.RpcError as error:
            raise failure_of(error) from error
        except asyncio.CancelledError:
            # Either the caller's task was cancelled, or `close` cancelled the call under it.
            task = asyncio.current_task()
            if self._closed.is_set() and not (task and task.cancelling()):
                raise closed() from None
            raise

    async def _watch(
        self, method: "grpc.aio.UnaryStreamMultiCallable[Question, Message]", watch: Watch[Question, Message, Told]
    ) -> AsyncIterator[Told]:
        while True:
            try:
                with self._open(method, watch.request()) as messages:
                    async for message in messages:
                        event = watch.receive(message)
                        if event is not None:
                            yield event
                        if watch.done:
                            return
                raise ended_early()
            except CallFailed as failure:
                wait = watch.lost(failure)
            await self._pause(wait)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._closed.wait()
        except TimeoutError:
            return
        raise closed()

    def _refuse_if_closed(self) -> None:
        if self._closed.is_set():
            raise closed()


def _given(stub: _S | None, name: str) -> _S:
    if stub is None:
        raise ValueError(f"this needs the address of a service: AsyncClient({name}=...)")
    return stub

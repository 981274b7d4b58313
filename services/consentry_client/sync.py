# Written from aio.py by `make gen`: change that one.
"""The client for programs without an event loop."""

import random
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import TypeVar

import grpc

from consentry.authority.v1 import consent_pb2, consent_pb2_grpc, coverage_pb2, coverage_pb2_grpc, keys_pb2, keys_pb2_grpc
from consentry.devices.v1 import (
    alarms_pb2,
    alarms_pb2_grpc,
    feed_pb2_grpc,
    inventory_pb2,
    inventory_pb2_grpc,
    telemetry_pb2_grpc,
)
from consentry_client.accesses import Access, UnreportedInterval, accesses_of
from consentry_client.coverage import CoverageEvent, CoveredCustomer, covered_customer_of
from consentry_client.events import Event
from consentry_client.history import Aggregate, DeviceSteps, HistoryGap, readings_of, steps_of
from consentry_client.readings import DeviceReadings, Reading, reading_of
from consentry_client.requests import (
    Span,
    Time,
    accesses_request,
    history_request,
    in_steps,
    latest_request,
    relist_requests,
    simulate_request,
)
from consentry_client.resuming import CoverageWatch, FeedWatch
from consentry_client.sync_calls import Calls
from consentry_core.pacing.backoff import Random
from consentry_core.process.tls import ClientTls
from consentry_rule import DataClass

_S = TypeVar("_S")


class Client(Calls):
    """A partner's access, with one API key; or a customer's look at what became of its data, with an administrator's token.

    `authority` and `devices`: the services' addresses (`host:port`), or channels that the caller has opened and closes itself
    (interceptors); leave out the one that you do not need. `secret`: the key's or the token's. `timeout`:
    seconds for every call that is not a stream, and for each message of an answer that comes in several. `tls`: the files of
    certificates, read again when they change; without `tls` the connection is plaintext, and an address beyond the
    loopback interface is a ValueError unless `plaintext` allows it.
    Safe to use from several threads. Every method raises `CallFailed`.
    """

    def __init__(
        self,
        *,
        secret: str,
        authority: str | grpc.Channel | None = None,
        devices: str | grpc.Channel | None = None,
        timeout: float = 30.0,
        tls: ClientTls | None = None,
        plaintext: bool = False,
        random: Random = random.random,
    ) -> None:
        super().__init__(secret, timeout, random, tls, plaintext=plaintext)
        # Stubs are made here, once: making one on a channel that has been closed meanwhile crashes the interpreter.
        channel = self._channel(authority)
        self._consents = None if channel is None else consent_pb2_grpc.ConsentServiceStub(channel)
        self._coverage = None if channel is None else coverage_pb2_grpc.CoverageServiceStub(channel)
        self._keys = None if channel is None else keys_pb2_grpc.KeyServiceStub(channel)
        channel = self._channel(devices)
        self._inventory = None if channel is None else inventory_pb2_grpc.InventoryServiceStub(channel)
        self._alarms = None if channel is None else alarms_pb2_grpc.AlarmServiceStub(channel)
        self._telemetry = None if channel is None else telemetry_pb2_grpc.TelemetryServiceStub(channel)
        self._feed = None if channel is None else feed_pb2_grpc.FeedServiceStub(channel)

    # What the key covers

    def covered_customers(self) -> Iterator[CoveredCustomer]:
        """The customers that the key covers now, by name."""
        stub = _given(self._coverage, "authority")
        for page in self._pages(stub.ListCoveredCustomers, coverage_pb2.ListCoveredCustomersRequest()):
            for customer in page.customers:
                yield covered_customer_of(customer)

    def watch_coverage(
        self,
        after_revision: str | None = None,
        *,
        heartbeat_interval: timedelta | None = None,
        patience: float | None = None,
    ) -> Iterator[CoverageEvent]:
        """What the key covers, then every change of it. Comes back by itself, as `watch` does."""
        watch = CoverageWatch(
            self._random, after_revision=after_revision, heartbeat_interval=heartbeat_interval, patience=patience
        )
        return self._watch(_given(self._coverage, "authority").WatchCoverage, watch)

    # What became of a customer's data: for its administrators, with a token in place of a key

    def consent_events(self, customer: str, *, partner: str = "") -> Iterator[consent_pb2.ConsentEvent]:
        """Everything that happened to what the customer lets others read, newest first.

        `partner`: only what concerns this one, or the customer alone.
        """
        stub = _given(self._consents, "authority")
        request = consent_pb2.ListConsentEventsRequest(parent=customer, partner=partner)
        for page in self._pages(stub.ListConsentEvents, request):
            yield from page.consent_events

    def accesses(
        self, customer: str, start: Time | None = None, end: Time | None = None, *, reader: str = ""
    ) -> Iterator[Access | UnreportedInterval]:
        """What each key read of the customer's data, by hour and class, newest first, behind the times that nobody reported on.

        Of the hours that end after `start` and begin before `end`. `reader`: only what this partner's keys read, or this key.
        """
        stub = _given(self._consents, "authority")
        for page in self._pages(stub.ListAccesses, accesses_request(customer, start, end, reader)):
            yield from accesses_of(page)

    # A key's list: for its partner's administrators, with a token in place of a key

    def add_key_customers(self, key: str, customers: Iterable[str]) -> keys_pb2.Key:
        """Put `customers/{customer}` on a key's list (`partners/{partner}/keys/{key}`), 5,000 in a call; the key afterwards."""
        stub, changed = _given(self._keys, "authority"), keys_pb2.Key()
        for request in relist_requests(keys_pb2.AddKeyCustomersRequest, key, customers):
            changed = (self._ask(stub.AddKeyCustomers, request)).key
        return changed

    def remove_key_customers(self, key: str, customers: Iterable[str]) -> keys_pb2.Key:
        """Take customers off a key's list likewise. Each call waits until that is enforced, five seconds at most."""
        stub, changed = _given(self._keys, "authority"), keys_pb2.Key()
        for request in relist_requests(keys_pb2.RemoveKeyCustomersRequest, key, customers):
            changed = (self._ask(stub.RemoveKeyCustomers, request)).key
        return changed

    # Inventory and alarms

    def locations(self, customer: str) -> Iterator[inventory_pb2.Location]:
        """The locations of `customers/{customer}`, by name."""
        stub = _given(self._inventory, "devices")
        for page in self._pages(stub.ListLocations, inventory_pb2.ListLocationsRequest(parent=customer)):
            yield from page.locations

    def devices(self, customer: str) -> Iterator[inventory_pb2.Device]:
        """The devices of `customers/{customer}`, by name; nested ones like any other."""
        stub = _given(self._inventory, "devices")
        for page in self._pages(stub.ListDevices, inventory_pb2.ListDevicesRequest(parent=customer)):
            yield from page.devices

    def device(self, name: str) -> inventory_pb2.GetDeviceResponse:
        """One device (`device`), and what it is part of up to the top (`ancestors`)."""
        stub = _given(self._inventory, "devices")
        return self._ask(stub.GetDevice, inventory_pb2.GetDeviceRequest(name=name))

    def sensors(self, parent: str) -> Iterator[inventory_pb2.Sensor]:
        """The sensors of a customer or of one device, by name."""
        stub = _given(self._inventory, "devices")
        for page in self._pages(stub.ListSensors, inventory_pb2.ListSensorsRequest(parent=parent)):
            yield from page.sensors

    def alarms(self, customer: str, *, active_only: bool = False) -> Iterator[alarms_pb2.Alarm]:
        """The alarms of `customers/{customer}`, by name."""
        stub = _given(self._alarms, "devices")
        request = alarms_pb2.ListAlarmsRequest(parent=customer, active_only=active_only)
        for page in self._pages(stub.ListAlarms, request):
            yield from page.alarms

    def alarm(self, name: str) -> alarms_pb2.Alarm:
        """One alarm as it is now."""
        stub = _given(self._alarms, "devices")
        answer = self._ask(stub.GetAlarm, alarms_pb2.GetAlarmRequest(name=name))
        return answer.alarm

    def alarm_events(self, alarm: str) -> Iterator[alarms_pb2.AlarmEvent]:
        """Everything that happened to one alarm, oldest first."""
        stub = _given(self._alarms, "devices")
        for page in self._pages(stub.ListAlarmEvents, alarms_pb2.ListAlarmEventsRequest(parent=alarm)):
            yield from page.alarm_events

    # Readings

    def latest(self, customer: str, *, devices: Iterable[str] = (), sensors: Iterable[str] = ()) -> tuple[Reading, ...]:
        """The newest reading of each sensor; of all the customer's, unless devices or sensors are named."""
        stub = _given(self._telemetry, "devices")
        readings: list[Reading] = []
        for page in self._pages(stub.QueryLatest, latest_request(customer, devices, sensors)):
            readings += map(reading_of, page.readings)
        return tuple(readings)

    def history(
        self,
        customer: str,
        start: Time,
        end: Time | None = None,
        *,
        devices: Iterable[str] = (),
        sensors: Iterable[str] = (),
    ) -> Iterator[DeviceReadings | HistoryGap]:
        """The readings from `start` on, up to and without `end` (None: up to now); before them, what is missing."""
        stub = _given(self._telemetry, "devices")
        request = history_request(customer, start, end, devices, sensors)
        return self._told(stub.QueryHistory, request, readings_of)

    def history_in_steps(
        self,
        customer: str,
        start: Time,
        end: Time | None = None,
        *,
        step: Span,
        aggregates: Iterable[Aggregate] = (),
        devices: Iterable[str] = (),
        sensors: Iterable[str] = (),
    ) -> Iterator[DeviceSteps | HistoryGap]:
        """What the readings of `history` come to per step of time, for each sensor. `aggregates` empty: all of them."""
        stub = _given(self._telemetry, "devices")
        request = in_steps(history_request(customer, start, end, devices, sensors), step, aggregates)
        return self._told(stub.QueryHistory, request, steps_of)

    def simulate(self, measurements_per_second: int = 1_000, sensor_count: int = 100) -> Iterator[DeviceReadings]:
        """Made-up readings at that rate, for ever, to try a program with: they belong to nobody."""
        stub = _given(self._telemetry, "devices")
        request = simulate_request(measurements_per_second, sensor_count)
        return self._told(stub.SimulateTelemetry, request, lambda message: map(DeviceReadings, message.telemetry))

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
    ) -> Iterator[Event]:
        """The feed of these customers, or of all that the key covers as coverage changes; of these devices only, if any.

        Starts with the current state; `after_cursor` with exactly what came after that event; `live` with what happens next.
        All readings are told, or the newest of each sensor: as fast as they are taken (`latest`), or once in an interval.
        What is no longer kept is a `Gap`; with `strict` it is `OutOfRange`.
        When the service goes away the watch comes back by itself after the last event, and nothing is lost and nothing comes
        twice; a state that was being told just then is told again. So it does, over another connection, when not even
        heartbeats come for three of their intervals (15 s, or `heartbeat_interval`). `patience` gives up (`Unavailable`) after
        so many seconds of waiting. Any other failure ends it: what it raises says why.
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


def _given(stub: _S | None, name: str) -> _S:
    if stub is None:
        raise ValueError(f"this needs the address of a service: Client({name}=...)")
    return stub

"""The story, chapter by chapter. Every line that is told was checked; what does not happen as told ends it with an error."""

import asyncio
from datetime import UTC, datetime, timedelta

from consentry.authority.v1 import enforcement_pb2
from consentry_cli.demo.platform import PAID, TRIAL, Kind
from consentry_cli.demo.stage import PARTNER, Stage
from consentry_cli.demo.telling import Listener, NotAsTold, Teller, within
from consentry_client import (
    AlarmChange,
    AsyncClient,
    CustomerAdded,
    CustomerRemoved,
    Event,
    Gap,
    PermissionDenied,
    Reading,
    Telemetry,
    Unauthenticated,
)

ENFORCED = enforcement_pb2.Enforcement.STATE_ENFORCED
NORTH, SOUTH, EAST, WEST = "north", "south", "east", "west"


class Story:
    """What the chapters share: the stage, the teller, and the keys that have been issued."""

    def __init__(self, stage: Stage, teller: Teller) -> None:
        self.stage = stage
        self.platform = stage.platform
        self.teller = teller
        self.happened = teller.happened
        self.check = teller.check

    async def tell(self) -> None:
        """From the first registration to the replaced key."""
        await self._everybody_arrives()
        await self._three_kinds_of_keys()
        await self._the_demo_customer()
        await self._one_stream()

    def _client(self, secret: str) -> AsyncClient:
        addresses = self.stage.addresses
        return AsyncClient(secret=secret, authority=addresses.authority, devices=addresses.devices, tls=self.stage.tls)

    async def _covered(self, secret: str) -> list[str]:
        async with self._client(secret) as client:
            return [customer.name.removeprefix("customers/") async for customer in client.covered_customers()]

    async def _comes_to_cover(self, secret: str, *customers: str) -> None:
        """Wait for the coverage list to show these. A guard ends access early by up to a round trip, and never late."""

        async def shows() -> None:
            while await self._covered(secret) != list(customers):  # noqa: ASYNC110 - asked like any client asks
                await asyncio.sleep(0.01)

        await within(shows(), f"the coverage list shows {', '.join(customers)}")

    async def _everybody_arrives(self) -> None:
        self.teller.chapter("A partner, three customers, two consents")
        await self.platform.create_partner(PARTNER)
        secrets = {}
        for customer, plan in ((NORTH, PAID), (SOUTH, TRIAL), (EAST, PAID)):
            secrets[customer] = await self.platform.create_customer(customer, plan)
            await self.platform.connect(PARTNER, customer)
        self.happened("partner acme works with customers north (paid), south (trial) and east (paid)")
        await self.platform.consent(NORTH, PARTNER)
        await self.platform.consent(SOUTH, PARTNER)
        standing = {each.customer: (each.valid, each.invalid_reason) for each in await self.platform.connections(PARTNER)}
        expected = {
            "customers/north": (True, ""),
            "customers/south": (True, ""),
            "customers/east": (False, "CONSENT_MISSING"),
        }
        self.check(standing == expected, "north and south consent, so they are valid; east is not: CONSENT_MISSING")
        self.stage.gateway(NORTH, secrets[NORTH], "apc-8932", "rack-pdu")
        self.stage.gateway(SOUTH, secrets[SOUTH], "eaton-93e-80", "ups")
        self.stage.gateway(EAST, secrets[EAST], "geist-temperature-sensor", "sensor")
        self.happened("their gateways poll an APC AP8932, an Eaton 93E and a Geist sensor, replayed by real SNMP agents")

    async def _three_kinds_of_keys(self) -> None:
        self.teller.chapter("Three kinds of keys, and what each covers")
        demo = await self.platform.create_key(PARTNER, Kind.KIND_DEMO)
        self._all = await self.platform.create_key(PARTNER, Kind.KIND_ALL_CUSTOMERS)
        specific = await self.platform.create_key(PARTNER, Kind.KIND_SPECIFIC_CUSTOMERS, NORTH)
        self._demo_secret = demo.secret
        for created, name, expected in (
            (demo, "Demo", ["demo"]),
            (self._all, "All Customers", [NORTH, SOUTH]),
            (specific, "Specific Customers (north)", [NORTH]),
        ):
            covered = await self._covered(created.secret)
            self.check(covered == expected, f"{name:26} {created.key.hint}...  covers {', '.join(covered)}")
        listed = await self.platform.list_keys(PARTNER)
        secrets = (demo.secret, self._all.secret, specific.secret)
        shown = "".join(str(key) for key in listed)
        self.check(
            len(listed) == len(secrets) and not any(secret in shown for secret in secrets),
            "the list of keys shows all three, and no secret: those were shown once",
        )

    async def _the_demo_customer(self) -> None:
        self.teller.chapter("The demo customer")
        self.stage.simulator(speed=240)  # a power failure within ten seconds
        async with self._client(self._demo_secret) as client:
            listener = Listener(client.watch())
            reading = await listener.until(lambda event: _reading(event, "demo", "ups.load"), "a load of the demo fleet")
            self.happened(f"a demo key reads its made-up fleet: {_show(reading)}")
            alarm = await listener.until(_alarm, "an alarm of the demo fleet")
            self.happened(f"and its alarms as they come: {alarm}")
            enforcement = await self.platform.rehearse(PARTNER, True)
            reason = await listener.until(lambda event: _removed(event, "demo"), "the demo customer leaves the stream")
            self.check(
                enforcement.state == ENFORCED and reason == "REHEARSING_WITHDRAWAL",
                f"acme rehearses a withdrawal on it, ENFORCED; the stream says: customers/demo leaves, {reason}",
            )
            await self.platform.rehearse(PARTNER, False)
            await listener.until(lambda event: _added(event, "demo"), "the demo customer comes back")
            self.happened("acme ends the rehearsal; the stream says: customers/demo enters")
            await listener.close()

    async def _one_stream(self) -> None:
        self.teller.chapter("One stream over all customers, with the All Customers key")
        async with self._client(self._all.secret) as client:
            listener = Listener(client.watch())
            for customer, device, metric in ((NORTH, "APC AP8932", ""), (SOUTH, "Eaton 93E", "")):
                reading = await listener.until(
                    lambda event, customer=customer, metric=metric: _reading(event, customer, metric),  # type: ignore[misc]
                    f"a reading of {customer}'s {device}",
                )
                self.happened(f"live from {customer}'s {device}: {_show(reading)}")
            await self._west_enters(listener)
            await self._south_revokes(listener, client)
            await self._a_subscription_ends(listener)
            await self._a_key_is_replaced(listener)
            seen = [event for event in listener.events if _reading(event, EAST, "") or _added(event, EAST)]
            self.check(not seen, "and of east, which published all the while and never consented, not one message")
            await listener.close()

    async def _west_enters(self, listener: Listener) -> None:
        self.teller.chapter("West connects and consents while the stream is open")
        secret = await self.platform.create_customer(WEST, TRIAL)
        await self.platform.connect(PARTNER, WEST)
        await self.platform.consent(WEST, PARTNER)
        self.stage.gateway(WEST, secret, "geist-temperature-sensor", "sensor")
        await listener.until(lambda event: _added(event, WEST), "west enters the stream")
        self.happened("the stream says: customers/west enters")
        reading = await listener.until(lambda event: _reading(event, WEST, ""), "a reading of west's sensor")
        self.happened(f"live from west's Geist sensor: {_show(reading)}")
        covered = await self._covered(self._all.secret)
        self.check(covered == [NORTH, SOUTH, WEST], f"the All Customers key covers {', '.join(covered)}, and nobody touched it")

    async def _south_revokes(self, listener: Listener, client: AsyncClient) -> None:
        self.teller.chapter("South revokes its consent")
        before = asyncio.get_running_loop().time()
        enforcement = await self.platform.revoke(SOUTH, PARTNER)
        answered = asyncio.get_running_loop().time() - before
        acknowledged = [point for point in enforcement.points if point.HasField("acknowledge_time")]
        self.check(
            enforcement.state == ENFORCED and len(acknowledged) == len(enforcement.points) == 1,
            f"{answered * 1000:.0f} ms later the revocation answers ENFORCED, at 1 of 1 enforcement points: "
            "nobody begins another write of south's data",
        )
        reason = await listener.until(lambda event: _removed(event, SOUTH), "south leaves the stream")
        took = asyncio.get_running_loop().time() - before
        self.check(
            reason == "CONSENT_REVOKED", f"{took * 1000:.0f} ms later the open stream says: customers/south leaves, {reason}"
        )
        covered = await self._covered(self._all.secret)
        self.check(covered == [NORTH, WEST], f"the coverage list shows {', '.join(covered)}")
        try:
            await client.latest("customers/south")
        except PermissionDenied as denied:
            self.check(denied.reason == "CONSENT_REVOKED", f"the next call for south is denied: {denied.reason}")
        else:
            raise NotAsTold("the next call for south is denied")
        gone = len(listener.events)
        for _ in range(3):
            after = len(listener.events)
            await listener.until(lambda event: _reading(event, NORTH, ""), "north goes on", after=after)
        late = [event for event in listener.events[gone:] if _reading(event, SOUTH, "") is not None]
        self.check(not late, "three more batches of north, and nothing of south, though its gateway goes on publishing")

    async def _a_subscription_ends(self, listener: Listener) -> None:
        self.teller.chapter("West's trial reaches its end")
        await self.platform.subscribe_until(WEST, datetime.now(UTC) + timedelta(seconds=2))
        self.happened("west's trial now ends in two seconds; nobody does anything more")
        reason = await listener.until(lambda event: _removed(event, WEST), "west leaves the stream")
        self.check(reason == "SUBSCRIPTION_EXPIRED", f"the stream says: customers/west leaves, {reason}")
        await self._comes_to_cover(self._all.secret, NORTH)
        self.happened("the coverage list shows north")

    async def _a_key_is_replaced(self, listener: Listener) -> None:
        self.teller.chapter("The secret of the All Customers key is lost: delete the key, create a new one")
        await self.platform.delete_key(self._all.key.name)
        await listener.ends_with(Unauthenticated, "the stream of the deleted key ends")
        self.happened("the open stream of the deleted key ends: UNAUTHENTICATED")
        try:
            await self._covered(self._all.secret)
        except Unauthenticated:
            self.happened("the old secret lets nobody in any more")
        else:
            raise NotAsTold("the old secret lets nobody in any more")
        new = await self.platform.create_key(PARTNER, Kind.KIND_ALL_CUSTOMERS)
        cursor = listener.events[-1].cursor
        async with self._client(new.secret) as client:
            resumed = Listener(client.watch(after_cursor=cursor))
            reading = await resumed.until(lambda event: _reading(event, NORTH, ""), "the new key goes on")
            again = [event for event in resumed.events if isinstance(event, CustomerAdded | Gap)]
            self.check(not again, f"the new key {new.key.hint}... goes on after the old one's cursor: {_show(reading)}")
            await resumed.close()


def _reading(event: Event, customer: str, metric: str) -> Reading | None:
    """A number of a customer in an event, of a metric or of any."""
    if isinstance(event, Telemetry):
        for reading in event.readings():
            if (
                reading.device.startswith(f"customers/{customer}/")
                and metric in reading.sensor
                and isinstance(reading.value, float)
            ):
                return reading
    return None


def _added(event: Event, customer: str) -> bool | None:
    return True if isinstance(event, CustomerAdded) and event.customer == f"customers/{customer}" else None


def _removed(event: Event, customer: str) -> str | None:
    return event.reason if isinstance(event, CustomerRemoved) and event.customer == f"customers/{customer}" else None


def _alarm(event: Event) -> str | None:
    if isinstance(event, AlarmChange) and not event.alarm.HasField("clear_time"):
        return f"{event.alarm.label} at {event.alarm.device.removeprefix('customers/demo/devices/')}"
    return None


def _show(reading: Reading) -> str:
    name = reading.sensor.removeprefix(f"{reading.device}/sensors/")
    return f"{reading.device} {name} = {reading.value}"

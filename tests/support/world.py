"""The pair with a small world in it: two partners, their customers, every kind of caller, and some data of each kind.

    acme    reads north and east; is connected to silent, which does not consent
    rival   reads north and south

The calls that a test makes through it are remembered, and so is every secret that it issued: `leaks` looks for the one in the
other, in the logs, and in every file of both services.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.protobuf.message import Message

from consentry.authority.v1 import enforcement_pb2, keys_pb2, tokens_pb2
from consentry.devices.v1 import inventory_pb2
from consentry_core.callers.policy import Caller
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.values.clock import SECOND, SystemClock
from consentry_guard import Guard
from consentry_rule import Instant
from support.authority import IssuedKey
from support.calls import POLICIES, Answer, Metadata, call, encoded
from support.gateways import Frame, alarm, inventory, publish, readings
from support.pair import PATIENCE, Pair, running_pair
from support.refusals import Refusal

REPORTED_KEY = "partners/acme/keys/reported"
_Key, _Token = keys_pb2.Key, tokens_pb2.Token

# Who calls a method that several kinds of callers may call.
_PREFERRED = (
    Caller.PARTNER_ADMIN,
    Caller.CUSTOMER_ADMIN,
    Caller.OPERATOR,
    Caller.KEY,
    Caller.GATEWAY,
    Caller.SERVICE,
)
_ACTING = {
    Caller.PARTNER_ADMIN: "admin of acme",
    Caller.CUSTOMER_ADMIN: "admin of north",
    Caller.OPERATOR: "operator",
    Caller.KEY: "all key",
    Caller.GATEWAY: "gateway of north",
    Caller.SERVICE: "service",
}


_ISSUING: Mapping[str, type[keys_pb2.CreateKeyResponse | keys_pb2.RotateKeyResponse | tokens_pb2.CreateTokenResponse]] = {
    "CreateKey": keys_pb2.CreateKeyResponse,
    "RotateKey": keys_pb2.RotateKeyResponse,
    "CreateToken": tokens_pb2.CreateTokenResponse,
}


@dataclass(repr=False)  # it holds secrets
class World:
    """The pair, the secrets by what they are, and the resources that requests name."""

    pair: Pair
    now: int
    secrets: dict[str, str] = field(default_factory=dict)
    keys: dict[str, IssuedKey] = field(default_factory=dict)
    token: str = ""
    proofs: dict[str, bytes] = field(default_factory=dict)
    """Of what the service's token has verified, by credential."""
    revision: str = ""
    """Of a change that the administrator of acme made, and that took something away."""
    answers: list[Answer] = field(default_factory=list)

    def metadata_for(self, path: str) -> Metadata:
        """The credential of somebody who may call the method."""
        if path.endswith("/RevokeSecret"):
            return bearer(self.secrets["doomed token"])  # it kills what it is called with
        return bearer(self.secrets[_ACTING[next(kind for kind in _PREFERRED if kind in POLICIES[path])]])

    async def call(
        self,
        path: str,
        messages: Iterable[Message | bytes],
        metadata: Metadata | None = None,
        *,
        secret: str | None = None,
        first_only: bool = False,
    ) -> Answer:
        """Call a method of either service, with the credential of somebody who may call it unless another is given."""
        raw = [message if isinstance(message, bytes) else encoded([message])[0] for message in messages]
        channel = self.pair.authority.channel if ".authority." in path else self.pair.channel
        if metadata is None:
            metadata = self.metadata_for(path) if secret is None else bearer(self.secrets[secret])
        answer = await call(channel, path, raw, metadata, first_only=first_only)
        self.answers.append(answer)
        issued = _ISSUING.get(path.rpartition("/")[2])
        if issued is not None and answer.received:
            shown = issued.FromString(answer.received[0]).secret
            if shown:  # what was carried out before, under the same id, shows none
                self.secrets[f"secret {len(self.secrets)}"] = shown
        return answer

    @contextlib.contextmanager
    def nothing_written(self) -> Iterator[None]:
        """Everything in both databases is after the block as it was before."""
        before = self.stored()
        yield
        after = self.stored()
        changed = {table for table in before.keys() | after.keys() if before.get(table) != after.get(table)}
        assert not changed, f"the calls were refused, and yet something was written: {changed}"

    def stored(self) -> Mapping[str, Sequence[object]]:
        """The rows of both databases, by table."""
        found: dict[str, Sequence[object]] = {}
        for file in (self.pair.folder / "authority" / "authority.db", self.pair.folder / "devices" / "devices.db"):
            with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
                tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name").fetchall()
                for (table,) in tables:
                    if table == "members" or table.startswith(("access", "audit")):
                        continue  # these tell of leases, of what was read and of what was refused, whoever calls what
                    columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
                    # When a secret was last in use is written every now and then, whoever calls what.
                    kept = ", ".join(f'"{column}"' for column in columns if column != "last_use_time")
                    rows = connection.execute(f'SELECT {kept} FROM "{table}"').fetchall()  # noqa: S608 - its own names
                    found[f"{file.name} {table}"] = sorted(rows, key=repr)
        return found

    def bare(self) -> list[str]:
        """Refusals that do not say what they must: where they are from, why, which field, when to come back."""
        return [repr(answer.refusal) for answer in self.answers if answer.refusal is not None and not _detailed(answer.refusal)]

    def leaks(self, logged: str) -> list[str]:
        """What secrets were found where; nothing else of them is told."""
        found = []
        texts = {"the logs": logged, "an error": "\n".join(answer.everything() for answer in self.answers)}
        files = {path: path.read_bytes() for path in _files(self.pair.folder)}
        for name, secret in self.secrets.items():
            # The random part by itself, too: a secret without its beginning is as good.
            for part in (secret, secret.split("_")[-2]):
                found += [f"{name} in {where}" for where, text in texts.items() if part in text]
                found += [f"{name} in {path.name}" for path, content in files.items() if part.encode() in content]
        return found


def _detailed(told: Refusal) -> bool:
    if told.code is grpc.StatusCode.RESOURCE_EXHAUSTED and not told.reason:
        return True  # the transport's own: the message was not even read
    if told.domain != "consentry" or not told.reason or len(told.message) < 10:
        return False
    if told.code is grpc.StatusCode.INVALID_ARGUMENT:
        return bool(told.fields)
    return told.retry_after is not None or told.code is not grpc.StatusCode.UNAVAILABLE


def _files(folder: Path) -> Iterable[Path]:
    """Everything that the services have written but the files that are there to hold a token."""
    return (path for path in folder.rglob("*") if path.is_file() and path.suffix != ".token")


@contextlib.asynccontextmanager
async def running_world(folder: Path) -> AsyncIterator[World]:
    """The pair with the world in it."""
    async with running_pair(folder) as pair:
        world = World(pair, pair.authority.clock.now())
        await _people(world)
        await _credentials(world)
        await _data(world)
        await _reported(world)
        # A second enforcement point, as a service of somebody else's would be.
        serving = asyncio.Event()
        other = Guard(
            target=pair.authority.address,
            token=pair.authority.service,
            service="other",
            policies={},
            on_serving=lambda _: serving.set(),
        )
        await other.start()
        try:
            await asyncio.wait_for(serving.wait(), PATIENCE)
            await asyncio.wait_for(_receipts_written(world), PATIENCE)
            yield world
        finally:
            await other.stop()


async def _receipts_written(world: World) -> None:
    """Wait for what is written after its answer was given."""
    while any(row[-1] is None for row in world.stored()["authority.db receipts"]):  # type: ignore[index] # noqa: ASYNC110
        await asyncio.sleep(0.01)  # nothing tells of it


async def _people(world: World) -> None:
    authority = world.pair.authority
    for partner in ("acme", "rival"):
        await authority.partner(partner)
    await authority.valid_customer("north", "acme")
    await authority.connect("rival", "north")
    await authority.consent("north", "rival")
    await authority.valid_customer("east", "acme")
    await authority.valid_customer("south", "rival")
    await authority.customer("silent")
    await authority.connect("acme", "silent")


async def _credentials(world: World) -> None:
    authority = world.pair.authority
    for name, partner, kind in (
        ("demo key", "acme", _Key.KIND_DEMO),
        ("all key", "acme", _Key.KIND_ALL_CUSTOMERS),
        ("specific key", "acme", _Key.KIND_SPECIFIC_CUSTOMERS),
        ("spare key", "acme", _Key.KIND_SPECIFIC_CUSTOMERS),
        ("key of rival", "rival", _Key.KIND_ALL_CUSTOMERS),
    ):
        listed = ["north"] if kind == _Key.KIND_SPECIFIC_CUSTOMERS else []
        world.keys[name] = await authority.key(partner, kind, listed)
        world.secrets[name] = world.keys[name].secret
    for organization in ("partners/acme", "partners/rival", "customers/north", "customers/south", "customers/east"):
        world.secrets[f"admin of {organization.partition('/')[2]}"] = await authority.admin(organization)
    for customer in ("north", "south"):
        issued = await authority.token(_Token.ROLE_GATEWAY, f"customers/{customer}")
        world.secrets[f"gateway of {customer}"] = issued.secret
    world.secrets |= {"operator": authority.operator, "service": authority.service, "gateway of demo": authority.gateway}
    spare = await authority.token(_Token.ROLE_PARTNER_ADMIN, "partners/acme")
    world.secrets["spare token"], world.token = spare.secret, spare.token.name
    world.secrets["doomed token"] = (await authority.token(_Token.ROLE_PARTNER_ADMIN, "partners/acme")).secret
    for name in ("all key", "spare token"):
        request = enforcement_pb2.VerifyCredentialRequest(secret=world.secrets[name])
        verified = await authority.enforcement.VerifyCredential(request, metadata=bearer(authority.service))
        world.proofs[verified.credential] = verified.proof
    name, metadata = world.keys["spare key"].name, bearer(world.secrets["admin of acme"])
    disabled = await authority.keys.DisableKey(keys_pb2.DisableKeyRequest(name=name), metadata=metadata)
    world.revision = disabled.enforcement.revision
    await authority.keys.EnableKey(keys_pb2.EnableKeyRequest(name=name), metadata=metadata)


async def _reported(world: World) -> None:
    """What a key that is no longer there has read of north, in two hours."""
    hours = (world.now - 3_600 * SECOND, world.now)
    report = enforcement_pb2.ReportAccessesRequest(
        incarnation="incarnation-of-long-ago",
        service="other",
        number=1,
        start_time=to_timestamp(Instant(hours[0])),
        end_time=to_timestamp(Instant(hours[1])),
        last=True,
    )
    for hour in hours:
        report.counts.add(key=REPORTED_KEY, customer="customers/north", hour=to_timestamp(Instant(hour)), messages=1)
    enforcement = world.pair.authority.enforcement
    await enforcement.ReportAccesses(report, metadata=bearer(world.secrets["service"]))


async def _data(world: World) -> None:
    for customer in ("north", "south"):
        told = inventory(customer, ("pdu", "ups"), ("charge", "load"))
        for place in ("room", "site"):
            told.locations.add(name=f"customers/{customer}/locations/{place}", kind=inventory_pb2.Location.KIND_SITE)
        frames = [Frame(number=1, inventory=told)]
        frames.append(readings(2, world.now - 60 * SECOND, 1.0, 2.0, customer=customer))
        # After the consent, however long it took to come to it: what lies before it is not open.
        begun = max(world.now + SECOND, SystemClock().now())
        frames += [
            Frame(number=3, alarms=[alarm(begun, id=each, customer=customer) for each in ("heat", "power")]),
            Frame(number=4, alarms=[alarm(begun, begun + 1, id=each, customer=customer) for each in ("heat", "power")]),
            readings(5, begun, 3.0, 4.0, customer=customer),
        ]
        frames[-1].telemetry.extend(readings(0, begun, 90.0, customer=customer, sensor="charge").telemetry)
        await publish(world.pair.channel, bearer(world.secrets[f"gateway of {customer}"]), *frames)

"""The device-data service on a real port, behind a gate that decides by the rule over facts that the test gives it.

No authority: what is tested with it is what the service does at every decision, not how decisions come about.
"""

import asyncio
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import grpc

from consentry_core.callers.identity import Identity
from consentry_core.callers.policy import caller_kind
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.rpc.bearer import bearer_secret, invalid
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.values.clock import Clock
from consentry_core.values.errors import ConsentryError, PermissionDenied, denied
from consentry_devices.app import Devices, DevicesSettings, start
from consentry_devices.rpc.policies import POLICIES
from consentry_guard import Access, CoverageChanges, Handed
from consentry_guard.calls.changes import Changes
from consentry_rule import (
    ALL_DATA_CLASSES,
    Allow,
    Consent,
    CustomerId,
    DataClass,
    Decision,
    Deny,
    Instant,
    KeyKind,
    PartnerId,
    Subscription,
    Token,
    TokenRole,
    allowed,
    covered,
    next_end,
    opened_classes,
    usable,
    valid,
)

ACME, DEMO = PartnerId("acme"), CustomerId("demo")
KEY = bearer("the-key")
"""Credential of a key of the partner acme over all its customers."""


@dataclass(eq=False)
class RuleGate:
    """A gate and the facts that it decides by. Changes are numbered, and mark the facts, as the authority's storage does it."""

    clock: Clock
    epoch: str = "e1"
    number: int = 0
    credentials: dict[str, MarkedKey | Token] = field(default_factory=dict)
    standings: dict[tuple[PartnerId, CustomerId], MarkedStanding] = field(default_factory=dict)
    calls: dict[OpenCall, "RuleCall"] = field(default_factory=dict)
    ends: dict[Instant, CustomerId] = field(default_factory=dict)
    """Those that nobody has been told of yet."""

    def __post_init__(self) -> None:
        self.credentials["the-key"] = MarkedKey(KeyKind.ALL_CUSTOMERS, ACME)

    def gateway(self, customer: str) -> tuple[tuple[str, str], ...]:
        """The credential of a gateway of this customer."""
        self.credentials[f"gateway-of-{customer}"] = Token(TokenRole.GATEWAY, f"customers/{customer}")
        return bearer(f"gateway-of-{customer}")

    def consent(
        self, customer: str, *classes: DataClass, start: int = 0, partner: PartnerId = ACME, end: Instant | None = None
    ) -> None:
        """The customer is valid, and consents to these classes (none: all), from `start` on, until `end`."""
        self.set(
            MarkedStanding(
                partner,
                CustomerId(customer),
                connected=True,
                subscription=Subscription(),
                consent=Consent(Instant(start), expire_time=end, data_classes=frozenset(classes) or ALL_DATA_CLASSES),
            )
        )

    def revoke(self, customer: str, partner: PartnerId = ACME) -> None:
        """The customer withdraws."""
        standing = self.standings[partner, CustomerId(customer)]
        assert standing.consent is not None
        self.set(replace(standing, consent=replace(standing.consent, revoked=True)))

    def list_customers(self, *customers: str, key: str = "the-listed-key") -> tuple[tuple[str, str], ...]:
        """The credential of a key of the partner acme over a list: it is new, or its list is changed to these."""
        self.number += 1
        before = self.credentials.get(key, MarkedKey(KeyKind.SPECIFIC_CUSTOMERS, ACME))
        assert isinstance(before, MarkedKey)
        after = replace(before, customers=frozenset(map(CustomerId, customers)))
        first = {**before.listed_numbers} | {customer: listed for customer, listed, _ in before.unlisted}
        unlisted = {customer: (listed, off) for customer, listed, off in before.unlisted}
        unlisted |= {customer: (first[customer], self.number) for customer in before.customers - after.customers}
        self.credentials[key] = replace(
            after,
            listed_numbers={customer: before.listed_numbers.get(customer, self.number) for customer in after.customers},
            unlisted=tuple((customer, *numbers) for customer, numbers in sorted(unlisted.items())),
        )
        self._tell(before.customers ^ after.customers)
        return bearer(key)

    def rehearse(self, rehearsing: bool) -> tuple[tuple[str, str], ...]:
        """The credential of acme's demo key, whose partner begins or ends a rehearsal."""
        self.number += 1
        self.credentials["the-demo-key"] = MarkedKey(KeyKind.DEMO, ACME, rehearsing=rehearsing)
        demo = self.standings.get((ACME, DEMO), MarkedStanding(ACME, DEMO, demo=True, opened_number=1))
        self.standings[ACME, DEMO] = (
            replace(demo, closed_number=self.number) if rehearsing else replace(demo, opened_number=self.number)
        )
        self._tell({DEMO})
        return bearer("the-demo-key")

    def set(self, standing: MarkedStanding) -> None:
        """The customer stands so from now on."""
        self.number += 1
        between = standing.partner, standing.customer
        before = self.standings.get(between, MarkedStanding(*between))
        self.standings[between] = _marked(before, standing, self.number, self.clock.now())
        end = next_end(None, None, standing, self.clock.now())
        if end is not None:
            self.ends[end] = standing.customer
        self._tell({standing.customer})

    def look(self, customers: Iterable[CustomerId]) -> None:
        """Look at these once more: an end of theirs may have come."""
        customers, now = set(customers), self.clock.now()
        self.ends = {end: customer for end, customer in self.ends.items() if end > now or customer not in customers}
        self._tell(customers)

    def _tell(self, customers: Iterable[CustomerId]) -> None:
        for open_call, call in tuple(self.calls.items()):
            for changes in call.changes:
                for customer in customers:
                    changes.add(customer)
            if call.changes:
                continue  # it narrows by itself
            try:
                call.check()
            except ConsentryError as error:
                open_call.end(error)

    async def admit(self, call: OpenCall) -> None:
        """See `Gate.admit`."""
        secret = bearer_secret(call.metadata)
        credential = self.credentials.get(secret)
        if credential is None:
            raise invalid()
        kind = caller_kind(credential)
        if kind not in POLICIES[call.method]:
            raise PermissionDenied(f"this method is not for {kind.value}", reason="CALLER_NOT_ALLOWED")
        call.caller = self.calls[call] = rule_call = RuleCall(self, secret)
        call.check_write = rule_call.check

    def refused(self, call: OpenCall, error: ConsentryError) -> None:
        """Nothing to note."""

    def release(self, call: OpenCall) -> None:
        """See `Gate.release`."""
        self.calls.pop(call, None)


def _marked(before: MarkedStanding, after: MarkedStanding, number: int, now: Instant) -> MarkedStanding:
    """See `consentry_authority.storage.history.place`."""
    was_valid, is_valid = (isinstance(valid(standing, now), Allow) for standing in (before, after))
    opened, closed, classes = before.opened_number, before.closed_number, dict(before.class_numbers)
    if (was_valid and not is_valid) or (not was_valid and opened > closed):
        closed = number
    if is_valid and not was_valid:
        opened = number
    if is_valid and was_valid:
        classes |= dict.fromkeys(opened_classes(before) ^ opened_classes(after), number)
    return replace(after, opened_number=opened, closed_number=closed, class_numbers=tuple(classes.items()))


class RuleCall:
    """See `GuardedCall`."""

    def __init__(self, gate: RuleGate, secret: str) -> None:
        self.identity = Identity(secret, "1")
        self.changes: list[Changes] = []
        self._gate = gate
        self._followed: set[CustomerId] = set()
        self._all = False
        self._scope: frozenset[Access] = frozenset()

    @property
    def _credential(self) -> MarkedKey | Token:
        return self._gate.credentials[self.identity.credential]

    @property
    def _key(self) -> MarkedKey:
        assert isinstance(self._credential, MarkedKey)
        return self._credential

    @property
    def partner(self) -> PartnerId:
        return self._key.partner

    @property
    def kind(self) -> KeyKind:
        return self._key.kind

    @property
    def customer(self) -> CustomerId:
        assert isinstance(self._credential, Token)
        return CustomerId(self._credential.organization.removeprefix("customers/"))

    async def follow(self, customers: Iterable[CustomerId]) -> None:
        await asyncio.sleep(0)
        self._followed |= set(customers)

    async def follow_all(self) -> CoverageChanges:
        self.changes.append(changes := Changes(None))
        self._all = True
        return changes

    async def watch(self, customers: Iterable[CustomerId]) -> CoverageChanges:
        self.changes.append(changes := Changes(frozenset(customers)))
        self._followed |= set(customers)
        return changes

    def covered(self) -> Mapping[CustomerId, frozenset[DataClass]]:
        return {
            customer: opened_classes(standing)
            for (partner, customer), standing in self._gate.standings.items()
            if partner == self.partner and (self._all or customer in self._followed)
            if isinstance(covered(self._key, standing, self._gate.clock.now()), Allow)
        }

    def decide(self, customer: CustomerId, data_class: DataClass, data_time: Instant | None = None) -> Decision:
        return allowed(self._key, self._standing(customer), data_class, data_time, self._gate.clock.now())

    def denied(self, accesses: Iterable[Access]) -> set[CustomerId]:
        return {customer for customer, data_class in accesses if isinstance(self.decide(customer, data_class), Deny)}

    def decide_covered(self, customer: CustomerId) -> Decision:
        return covered(self._key, self._standing(customer), self._gate.clock.now())

    def opened_from(self, customer: CustomerId) -> Instant:
        consent = self._standing(customer).consent
        return Instant(0) if consent is None else consent.data_start_time

    def standing(self, customer: CustomerId) -> MarkedStanding:
        return self._standing(customer)

    def customers(self) -> Sequence[CustomerId]:
        key = self._key
        return [
            customer
            for (partner, customer), standing in self._gate.standings.items()
            if partner == key.partner and standing.demo == (key.kind is KeyKind.DEMO)
            if self._all or customer in self._followed
        ]

    def listed_number(self, customer: CustomerId) -> int:
        return self._key.listed_numbers.get(customer, 0)

    def unlisted(self) -> Iterable[tuple[CustomerId, int, int]]:
        return self._key.unlisted

    def revision_number(self) -> int:
        return self._gate.number

    def authority_epoch(self) -> str:
        return self._gate.epoch

    def now(self) -> Instant:
        return self._gate.clock.now()

    def ends_told(self) -> Instant:
        return min(self._gate.clock.now(), *(Instant(end - 1) for end in self._gate.ends), Instant(2**63 - 1))

    def require(self, customer: CustomerId, data_class: DataClass, data_time: Instant | None = None) -> None:
        decision = self.decide(customer, data_class, data_time)
        if isinstance(decision, Deny):
            raise self.denial(customer, decision)
        self._scope |= {(customer, data_class)}

    def next_write(self, accesses: frozenset[Access]) -> None:
        self._scope = accesses

    def hands_out(self, held: Mapping[Access, Handed]) -> None:
        """Nobody counts here."""

    def denial(self, customer: CustomerId, decision: Decision) -> ConsentryError:
        assert isinstance(decision, Deny)
        return denied(decision, subject=f"customers/{customer}", may_know=self._standing(customer).connected)

    def check(self) -> None:
        """What every write must pass."""
        now = self._gate.clock.now()
        if isinstance(decision := usable(self._credential, now), Deny):
            raise denied(decision)
        for customer, data_class in self._scope:
            if isinstance(decision := self.decide(customer, data_class), Deny):
                raise self.denial(customer, decision)

    def _standing(self, customer: CustomerId) -> MarkedStanding:
        assert self._all or customer in self._followed, "follow comes before decide"
        return self._gate.standings.get((self.partner, customer), MarkedStanding(self.partner, customer))


@dataclass(frozen=True)
class RunningDevices:
    """The service, and a way to it."""

    devices: Devices
    gate: RuleGate
    channel: grpc.aio.Channel


@asynccontextmanager
async def running_devices(folder: Path, gate: RuleGate) -> AsyncIterator[RunningDevices]:
    """The service on a free port, with its data in `folder`."""
    devices = await start(DevicesSettings(listen="127.0.0.1:0", data_dir=folder, drain_quiet=0.02), clock=gate.clock, gate=gate)
    channel = open_channel(devices.address)
    try:
        yield RunningDevices(devices, gate, channel)
    finally:
        await channel.close()
        await devices.stop()

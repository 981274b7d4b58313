"""Callers that take access away and give it back, at random and all at once, and note what they were answered.

Each caller has a subject of its own: nobody else gives back what it has taken. A call that fails while the authority is away is
made again until it is answered; only an answer ENFORCED counts as a denial.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import consent_pb2, data_class_pb2, directory_pb2, enforcement_pb2, keys_pb2
from consentry_core.rpc.client.channels import bearer
from support.authority import PLAN_PAID, AuthorityCalls, IssuedKey
from support.late_writes import Denial, Subject
from support.processes import boot

_T = TypeVar("_T")
Enforcement = enforcement_pb2.Enforcement
Point = enforcement_pb2.EnforcementPointReceipt
ENFORCED = Enforcement.STATE_ENFORCED
_CUSTOMERS = FieldMask(paths=["customers"])
CLASSES = ("inventory", "telemetry", "alarms")


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """One change that took access away, as it was answered. `seconds`: from the call to the answer ENFORCED."""

    what: str
    asked: int
    enforced: int
    enforcement: Enforcement
    attempts: int

    @property
    def seconds(self) -> float:
        """From the (first) call to the answer ENFORCED."""
        return (self.enforced - self.asked) / 1e9

    def __str__(self) -> str:
        """What happened when, in seconds after the call, for whoever has to understand it."""
        offset = time.time_ns() - boot() + self.asked

        def after(moment: Timestamp) -> float:
            return round((moment.ToNanoseconds() - offset) / 1e9, 3)

        told = self.enforcement
        points = [(Point.State.Name(point.state)[6:], after(point.acknowledge_time)) for point in told.points]
        commit, enforced = after(told.commit_time), after(told.enforce_time)
        times = f"committed {commit}, enforced {enforced}, answered {self.seconds:.3f}"
        return f"{self.what}: {times}, points {points}, calls {self.attempts}"


@dataclass
class Story:
    """Everything that was taken away and given back."""

    withdrawals: list[Withdrawal] = field(default_factory=list)
    denials: list[Denial] = field(default_factory=list)
    failures: int = 0


class Callers:
    """The callers, and what they can do."""

    def __init__(self, authority: AuthorityCalls, story: Story, chance: random.Random) -> None:
        self._authority = authority
        self.story = story
        self._chance = chance

    async def go_on(self, take_and_give: Callable[[], Awaitable[None]], over: asyncio.Event) -> None:
        """Do it again and again, with breaks. Ends with everything given back."""
        while not over.is_set():
            await asyncio.sleep(self._chance.uniform(0.05, 1.0))
            await take_and_give()

    # What a caller takes and gives back

    async def consent(self, customer: str, partner: str) -> None:
        """Revoke it, or disconnect the two, or narrow it to alarms; grant it again."""
        owner, reader = f"customers/{customer}", f"partners/{partner}"
        metadata = bearer(await self._admin(f"customers/{customer}"))
        consents = self._authority.consents
        what = self._chance.choice(("revoke", "revoke", "narrow", "disconnect"))
        taken = CLASSES
        if what == "revoke":
            revoke = consent_pb2.RevokeConsentRequest(customer=owner, partner=reader)
            denials = await self._take(what, revoke, consents.RevokeConsent, metadata, _consents(customer, partner, taken))
        elif what == "disconnect":
            disconnect = directory_pb2.DisconnectCustomerRequest(customer=owner, partner=reader)
            call, operator = self._authority.directory.DisconnectCustomer, bearer(self._authority.operator)
            denials = await self._take(what, disconnect, call, operator, _consents(customer, partner, taken))
        else:
            only = [data_class_pb2.DATA_CLASS_ALARMS]
            narrow = consent_pb2.GrantConsentRequest(customer=owner, partner=reader, data_classes=only)
            denials = await self._take(what, narrow, consents.GrantConsent, metadata, _consents(customer, partner, taken[:2]))
        await self._meanwhile()
        if what == "disconnect":  # brings no consent back
            await self._answered(lambda: self._authority.connect(partner, customer))
        _given_back(denials)
        await self._answered(lambda: self._authority.consent(customer, partner))

    async def subscription(self, customer: str) -> None:
        """Cancel it; set it again."""
        request = directory_pb2.CancelSubscriptionRequest(customer=f"customers/{customer}")
        operator, subjects = bearer(self._authority.operator), [("subscription", customer)]
        denials = await self._take("cancel", request, self._authority.directory.CancelSubscription, operator, subjects)
        await self._meanwhile()
        _given_back(denials)
        await self._answered(lambda: self._authority.subscribe(customer, PLAN_PAID))

    async def key(self, key: IssuedKey) -> None:
        """Disable it; enable it."""
        metadata = bearer(await self._admin(_partner_of(key)))
        request = keys_pb2.DisableKeyRequest(name=key.name)
        denials = await self._take("disable", request, self._authority.keys.DisableKey, metadata, [("key", key.name)])
        await self._meanwhile()
        _given_back(denials)
        enable = keys_pb2.EnableKeyRequest(name=key.name)
        await self._answered(lambda: self._authority.keys.EnableKey(enable, metadata=metadata))

    async def listed(self, key: IssuedKey, customer: str) -> None:
        """Take a customer off a key's list; put it back."""
        metadata = bearer(await self._admin(_partner_of(key)))
        everybody = list(key.key.customers)
        request = keys_pb2.UpdateKeyRequest(key=keys_pb2.Key(name=key.name), update_mask=_CUSTOMERS)
        request.key.customers.extend(name for name in everybody if name != f"customers/{customer}")
        subjects = [("listed", key.name, customer)]
        denials = await self._take("unlist", request, self._authority.keys.UpdateKey, metadata, subjects)
        await self._meanwhile()
        _given_back(denials)
        back = keys_pb2.UpdateKeyRequest(key=keys_pb2.Key(name=key.name, customers=everybody), update_mask=_CUSTOMERS)
        await self._answered(lambda: self._authority.keys.UpdateKey(back, metadata=metadata))

    # How

    async def _take(self, what: str, request: Any, call: Any, metadata: Any, subjects: Sequence[Subject]) -> list[Denial]:
        """Make a call that takes access away, in one of the ways in which callers wait for it to be enforced."""
        asked, attempts = boot(), 1
        way = self._chance.random()
        if way < 0.2:  # somebody else makes the same call at the same time: whoever is answered first may rely on it
            twice = [asyncio.create_task(self._answered(lambda: call(request, metadata=metadata))) for _ in range(2)]
            done, _ = await asyncio.wait(twice, return_when=asyncio.FIRST_COMPLETED)
            enforcement, enforced = done.pop().result().enforcement, boot()
            both = [(await other).enforcement for other in twice]
            assert all(answer.state == ENFORCED for answer in both)
        else:
            if way < 0.4:  # it does not wait: it asks again until it is done
                request.enforcement_timeout.CopyFrom(Duration())
            enforcement = (await self._answered(lambda: call(request, metadata=metadata))).enforcement
            while enforcement.state != ENFORCED:
                attempts += 1
                await asyncio.sleep(0.02)
                enforcement = (await self._answered(lambda: call(request, metadata=metadata))).enforcement
            enforced = boot()
        self.story.withdrawals.append(Withdrawal(what, asked, enforced, enforcement, attempts))
        denials = [Denial(subject, enforced) for subject in subjects]
        self.story.denials += denials
        return denials

    async def _answered(self, call: Callable[[], Awaitable[_T]]) -> _T:
        while True:
            try:
                return await call()
            except grpc.aio.AioRpcError as error:
                # The authority was killed: what has become of the call is not known, and it is made again.
                if error.code() is not grpc.StatusCode.UNAVAILABLE:
                    raise
                self.story.failures += 1
            await asyncio.sleep(self._chance.uniform(0.05, 0.2))

    async def _admin(self, organization: str) -> str:
        return await self._answered(lambda: self._authority.admin(organization))

    async def _meanwhile(self) -> None:
        await asyncio.sleep(self._chance.uniform(0.0, 0.6))


def _consents(customer: str, partner: str, classes: Sequence[str]) -> list[Subject]:
    return [("consent", partner, customer, data_class) for data_class in classes]


def _partner_of(key: IssuedKey) -> str:
    return "/".join(key.name.split("/")[:2])


def _given_back(denials: Sequence[Denial]) -> None:
    now = boot()
    for denial in denials:
        denial.ended = now

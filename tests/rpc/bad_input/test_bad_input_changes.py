"""Changes that must not be: each is refused with what to do about it, and neither database is any other afterwards."""

from collections.abc import Mapping

import grpc
import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import consent_pb2, coverage_pb2, directory_pb2, keys_pb2, tokens_pb2
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.values.clock import SECOND
from consentry_rule import Instant
from support.calls import METHODS
from support.refusals import Refusal
from support.requests import ACME, NORTH
from support.world import World

INVALID, PRECONDITION = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.FAILED_PRECONDITION
SPECIFIC = keys_pb2.Key.KIND_SPECIFIC_CUSTOMERS
_PATHS = {path.rpartition("/")[2]: path for path in METHODS}


async def refused(world: World, method: str, request: Message, secret: str | None = None) -> Refusal:
    """The refusal of a change that leaves everything as it was."""
    with world.nothing_written():
        answer = await world.call(_PATHS[method], [request], secret=secret)
    assert answer.refusal is not None
    return answer.refusal


def listing(world: World, method: str, customers: list[str]) -> Message:
    """A request that puts these customers on a key's list."""
    named = [f"customers/{customer}" for customer in customers]
    if method == "CreateKey":
        return keys_pb2.CreateKeyRequest(parent=ACME, key=keys_pb2.Key(kind=SPECIFIC, customers=named))
    key = keys_pb2.Key(name=world.keys["spare key"].name, customers=named)
    return keys_pb2.UpdateKeyRequest(key=key, update_mask=FieldMask(paths=["customers"]))


@pytest.mark.parametrize("method", ["CreateKey", "UpdateKey"])
class TestCustomersOnAKey:
    """The list of a KIND_SPECIFIC_CUSTOMERS key, at its creation and later."""

    async def test_none(self, world: World, method: str) -> None:
        told = await refused(world, method, listing(world, method, []))
        assert (told.code, told.reason, told.fields) == (INVALID, "CUSTOMERS_REQUIRED", ("key.customers",))

    async def test_one_that_is_not_valid_another_partners_and_one_that_is_not_there(self, world: World, method: str) -> None:
        """All of them are named, and the last two get the same words."""
        told = await refused(world, method, listing(world, method, ["north", "silent", "south", "nobody"]))
        assert (told.code, told.reason) == (PRECONDITION, "CUSTOMERS_NOT_VALID")
        assert told.subjects == {
            "customers/silent": "CONSENT_MISSING",
            "customers/south": "NOT_CONNECTED",
            "customers/nobody": "NOT_CONNECTED",
        }

    async def test_the_demo_customer(self, world: World, method: str) -> None:
        told = await refused(world, method, listing(world, method, ["demo"]))
        assert (told.code, told.reason) == (INVALID, "DEMO_CUSTOMER")

    async def test_on_a_key_of_another_kind(self, world: World, method: str) -> None:
        request = listing(world, method, ["north"])
        assert isinstance(request, keys_pb2.CreateKeyRequest | keys_pb2.UpdateKeyRequest)
        request.key.kind = keys_pb2.Key.KIND_ALL_CUSTOMERS
        if method == "UpdateKey":
            request.key.name = world.keys["all key"].name
        told = await refused(world, method, request)
        assert (told.code, told.reason, told.fields) == (INVALID, "CUSTOMERS_NOT_ALLOWED", ("key.customers",))


def relisting(world: World, method: str, customers: list[str], key: str = "spare key") -> Message:
    """A request that adds or removes these."""
    named = [f"customers/{customer}" for customer in customers]
    made = keys_pb2.AddKeyCustomersRequest if method == "AddKeyCustomers" else keys_pb2.RemoveKeyCustomersRequest
    return made(name=world.keys[key].name, customers=named)


@pytest.mark.parametrize("method", ["AddKeyCustomers", "RemoveKeyCustomers"])
class TestCustomersAddedAndRemoved:
    """Changes of a list by name."""

    async def test_nobody_and_too_many_at_once(self, world: World, method: str) -> None:
        told = await refused(world, method, relisting(world, method, []))
        assert (told.code, told.reason, told.fields) == (INVALID, "CUSTOMERS_REQUIRED", ("customers",))
        told = await refused(world, method, relisting(world, method, ["north"] * 5_001))
        assert (told.code, told.reason, told.fields) == (INVALID, "TOO_MANY", ("customers",))

    async def test_on_a_key_that_has_no_list(self, world: World, method: str) -> None:
        told = await refused(world, method, relisting(world, method, ["north"], "all key"))
        assert (told.code, told.reason) == (PRECONDITION, "KEY_WITHOUT_LIST")

    async def test_of_a_key_that_was_changed_meanwhile(self, world: World, method: str) -> None:
        request = relisting(world, method, ["north"])
        assert isinstance(request, keys_pb2.AddKeyCustomersRequest | keys_pb2.RemoveKeyCustomersRequest)
        request.etag = "v0"
        assert (await refused(world, method, request)).code is grpc.StatusCode.ABORTED


async def test_adding_who_cannot_be_on_a_list(world: World) -> None:
    """All of them are named, whoever is valid among them stays off, and the demo customer is on no list."""
    told = await refused(world, "AddKeyCustomers", relisting(world, "AddKeyCustomers", ["north", "silent", "south", "nobody"]))
    assert (told.code, told.reason) == (PRECONDITION, "CUSTOMERS_NOT_VALID")
    assert told.subjects == {
        "customers/silent": "CONSENT_MISSING",
        "customers/south": "NOT_CONNECTED",
        "customers/nobody": "NOT_CONNECTED",
    }
    told = await refused(world, "AddKeyCustomers", relisting(world, "AddKeyCustomers", ["demo"]))
    assert (told.code, told.reason, told.fields) == (INVALID, "DEMO_CUSTOMER", ("customers",))


async def test_removing_everybody(world: World) -> None:
    request = relisting(world, "RemoveKeyCustomers", ["north", "east", "nobody"])
    told = await refused(world, "RemoveKeyCustomers", request)
    assert (told.code, told.reason) == (PRECONDITION, "LIST_WOULD_BE_EMPTY")


async def test_consent_to_a_partner_that_is_not_connected_or_not_there(world: World) -> None:
    """The same answer, so that nobody learns which partners there are."""
    told = {
        partner: await refused(
            world,
            "GrantConsent",
            consent_pb2.GrantConsentRequest(customer="customers/east", partner=f"partners/{partner}"),
            "admin of east",
        )
        for partner in ("rival", "nobody")
    }
    for partner, refusal in told.items():
        assert (refusal.code, refusal.reason) == (PRECONDITION, "NOT_CONNECTED")
        assert refusal.subjects == {f"partners/{partner}": "NOT_CONNECTED"}
    assert told["rival"].message == told["nobody"].message


async def test_consents_that_were_never_given_say_nothing_of_the_partner(world: World) -> None:
    for method, request in (
        ("GetConsent", lambda partner: consent_pb2.GetConsentRequest(name=f"customers/east/consents/{partner}")),
        (
            "RevokeConsent",
            lambda partner: consent_pb2.RevokeConsentRequest(customer="customers/east", partner=f"partners/{partner}"),
        ),
    ):
        told = [await refused(world, method, request(partner), "admin of east") for partner in ("rival", "nobody")]
        assert [refusal.code for refusal in told] == [grpc.StatusCode.NOT_FOUND] * 2
        assert told[0].message.replace("rival", "nobody") == told[1].message


async def test_ends_in_the_past(world: World) -> None:
    """Also one that is just over, and one that is a nanosecond away from the epoch."""
    plan = directory_pb2.Subscription.PLAN_PAID
    for instant in (Instant(1), Instant(world.now - SECOND), world.pair.authority.clock.now()):
        past = to_timestamp(instant)
        subscription = directory_pb2.Subscription(plan=plan, expire_time=past)
        key = keys_pb2.Key(name=world.keys["spare key"].name, expire_time=past)
        requests: Mapping[str, tuple[Message, str]] = {
            "SetSubscription": (
                directory_pb2.SetSubscriptionRequest(customer=NORTH, subscription=subscription),
                "subscription.expire_time",
            ),
            "CreateCustomer": (
                directory_pb2.CreateCustomerRequest(
                    customer_id="late", customer=directory_pb2.Customer(subscription=subscription)
                ),
                "customer.subscription.expire_time",
            ),
            "GrantConsent": (
                consent_pb2.GrantConsentRequest(customer=NORTH, partner=ACME, expire_time=past),
                "expire_time",
            ),
            "CreateKey": (
                keys_pb2.CreateKeyRequest(parent=ACME, key=keys_pb2.Key(kind=keys_pb2.Key.KIND_DEMO, expire_time=past)),
                "key.expire_time",
            ),
            "UpdateKey": (
                keys_pb2.UpdateKeyRequest(key=key, update_mask=FieldMask(paths=["expire_time"])),
                "key.expire_time",
            ),
            "CreateToken": (
                tokens_pb2.CreateTokenRequest(role=tokens_pb2.Token.ROLE_PARTNER_ADMIN, organization=ACME, expire_time=past),
                "expire_time",
            ),
        }
        for method, (request, field) in requests.items():
            told = await refused(world, method, request)
            assert (told.code, told.reason, told.fields) == (INVALID, "TIME_NOT_IN_FUTURE", (field,)), method


@pytest.mark.parametrize(
    "wrong",
    [Timestamp(seconds=-1), Timestamp(seconds=2**63 - 1), Timestamp(nanos=-1), Timestamp(nanos=2**31 - 1)],
    ids=["before 1970", "after 9999", "negative nanoseconds", "too many nanoseconds"],
)
async def test_times_that_are_none(world: World, wrong: Timestamp) -> None:
    told = await refused(
        world, "GrantConsent", consent_pb2.GrantConsentRequest(customer=NORTH, partner=ACME, data_start_time=wrong)
    )
    assert (told.code, told.reason, told.fields) == (INVALID, "TIME_INVALID", ("data_start_time",))


async def test_nobody_issues_a_token_that_reaches_further_than_the_own(world: World) -> None:
    """Every role, for every organisation, by everybody who may issue tokens at all."""
    token = tokens_pb2.Token
    may = {
        "admin of acme": {(token.ROLE_PARTNER_ADMIN, ACME)},
        "admin of north": {(token.ROLE_CUSTOMER_ADMIN, NORTH), (token.ROLE_GATEWAY, NORTH)},
    }
    organizations = ("", ACME, "partners/rival", "partners/nobody", NORTH, "customers/south", "customers/nobody")
    for caller, allowed in may.items():
        with world.nothing_written():
            for role in token.Role.values():
                for organization in organizations:
                    if (role, organization) in allowed:
                        continue
                    request = tokens_pb2.CreateTokenRequest(role=role, organization=organization)
                    answer = await world.call(_PATHS["CreateToken"], [request], secret=caller)
                    assert answer.code in {grpc.StatusCode.PERMISSION_DENIED, INVALID}, (caller, role, organization)


async def test_a_very_long_answer_of_what_is_wrong_still_arrives(world: World) -> None:
    """Headers have room for a few kilobytes, and every character that is not ASCII takes up to twelve."""
    paths = ["\N{OLD PERSIAN NUMBER HUNDRED}" * 5_000 + str(number) for number in range(50)]
    told = await refused(
        world,
        "UpdateKey",
        keys_pb2.UpdateKeyRequest(key=keys_pb2.Key(name=world.keys["spare key"].name), update_mask=FieldMask(paths=paths)),
    )
    assert (told.code, told.reason, told.fields) == (INVALID, "UPDATE_MASK_INVALID", ("update_mask",))
    many = [f"nobody-{number:05}" for number in range(5_000)]
    told = await refused(world, "CreateKey", listing(world, "CreateKey", many))
    assert (told.code, told.reason) == (PRECONDITION, "CUSTOMERS_NOT_VALID")


async def test_revisions_that_are_none_or_of_another_history(world: World) -> None:
    wrong = {
        "x": (INVALID, "REVISION_INVALID"),
        "x.": (INVALID, "REVISION_INVALID"),
        ".1": (INVALID, "REVISION_INVALID"),
        "x.-1": (INVALID, "REVISION_INVALID"),
        "x.1e3": (INVALID, "REVISION_INVALID"),
        "x." + "9" * 5_000: (INVALID, "REVISION_INVALID"),
        "x.\N{ARABIC-INDIC DIGIT ONE}": (INVALID, "REVISION_INVALID"),
        "x.1": (grpc.StatusCode.OUT_OF_RANGE, "RESYNC_REQUIRED"),
    }
    for text, expected in wrong.items():
        listed = await refused(world, "ListCoveredCustomers", coverage_pb2.ListCoveredCustomersRequest(at_least_revision=text))
        watched = await refused(world, "WatchCoverage", coverage_pb2.WatchCoverageRequest(after_revision=text))
        assert [(told.code, told.reason) for told in (listed, watched)] == [expected] * 2, text
    shown = await world.pair.authority.coverage.ListCoveredCustomers(
        coverage_pb2.ListCoveredCustomersRequest(), metadata=bearer(world.secrets["all key"])
    )
    ahead = f"{shown.revision.partition('.')[0]}.9999999999999999999"
    told = await refused(world, "ListCoveredCustomers", coverage_pb2.ListCoveredCustomersRequest(at_least_revision=ahead))
    assert (told.code, told.reason) == (grpc.StatusCode.UNAVAILABLE, "REVISION_NOT_YET")
    assert told.retry_after

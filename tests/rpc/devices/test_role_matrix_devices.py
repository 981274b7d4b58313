"""Every method of the device-data service, with every kind of caller, about every kind of customer, behind the real guard.

What must come out is written down here by itself, and not taken from the rule:

              north        east         silent       south        nobody       demo
    demo key  NOT_DEMO     NOT_DEMO     NOT_DEMO     NOT_COVERED  NOT_COVERED  answered
    all key   answered     answered     no consent   NOT_COVERED  NOT_COVERED  DEMO
    specific  answered     not on key   not on key   NOT_COVERED  NOT_COVERED  DEMO
    rival's   answered     NOT_COVERED  NOT_COVERED  answered     NOT_COVERED  DEMO
    any token                 CALLER_NOT_ALLOWED, whoever the customer is

and the other way about for `Publish`: a gateway publishes its own customer's things, and nobody else publishes anything.
`SimulateTelemetry` is about nobody: every key is answered.
"""

from collections.abc import Sequence

import grpc
import pytest
from google.protobuf.message import Message

from consentry.devices.v1 import feed_pb2
from consentry_core.callers.policy import Caller
from consentry_devices.rpc.policies import POLICIES
from support.calls import Answer, short
from support.requests import NORTH, good, names_in
from support.world import World

PUBLISH = "/consentry.devices.v1.GatewayService/Publish"
WATCH = "/consentry.devices.v1.FeedService/Watch"
SIMULATE = "/consentry.devices.v1.TelemetryService/SimulateTelemetry"
READS = sorted(set(POLICIES) - {PUBLISH, SIMULATE})

KEYS = ("demo key", "all key", "specific key", "key of rival")
TOKENS = (
    "operator",
    "service",
    "admin of acme",
    "admin of rival",
    "admin of north",
    "admin of south",
    "gateway of north",
    "gateway of south",
    "gateway of demo",
)
CUSTOMERS = ("north", "east", "silent", "south", "nobody", "demo")
ANSWERED = ""
MATRIX = {
    "demo key": ("NOT_DEMO_CUSTOMER",) * 3 + ("NOT_COVERED",) * 2 + (ANSWERED,),
    "all key": (ANSWERED, ANSWERED, "CONSENT_MISSING", "NOT_COVERED", "NOT_COVERED", "DEMO_CUSTOMER"),
    "specific key": (ANSWERED, "NOT_ON_KEY", "NOT_ON_KEY", "NOT_COVERED", "NOT_COVERED", "DEMO_CUSTOMER"),
    "key of rival": (ANSWERED, "NOT_COVERED", "NOT_COVERED", ANSWERED, "NOT_COVERED", "DEMO_CUSTOMER"),
}


def about(world: World, path: str, customer: str) -> Sequence[Message]:
    """The good request, about another customer."""
    if path == WATCH:
        return [feed_pb2.WatchRequest(customers=[f"customers/{customer}"], stop_when_synced=True)]
    requests = good(world, path)
    for text in tuple(names_in(requests)):
        requests = text.replaced(requests, text.value.replace(NORTH, f"customers/{customer}"))
    return requests


def outcome(answer: Answer) -> str:
    """The reason of a denial; nothing for an answer. That there is no such device, say, is an answer too."""
    if answer.refusal is None or answer.code is grpc.StatusCode.NOT_FOUND:
        return ANSWERED
    assert answer.code is grpc.StatusCode.PERMISSION_DENIED, answer.refusal
    return answer.refusal.reason


def test_the_policies_are_as_this_matrix_has_them() -> None:
    assert {path: callers for path, callers in POLICIES.items() if path != PUBLISH} == dict.fromkeys(
        [*READS, SIMULATE], frozenset({Caller.KEY})
    )
    assert POLICIES[PUBLISH] == {Caller.GATEWAY}


@pytest.mark.parametrize("key", KEYS)
async def test_keys_read_what_they_cover_and_nothing_else(world: World, key: str) -> None:
    with world.nothing_written():
        found = {
            f"{short(path)} {customer}": outcome(await world.call(path, about(world, path, customer), secret=key))
            for path in READS
            for customer in CUSTOMERS
        }
    expected = {
        f"{short(path)} {customer}": reason for path in READS for customer, reason in zip(CUSTOMERS, MATRIX[key], strict=True)
    }
    assert {place: reason for place, reason in found.items() if reason != expected[place]} == {}


async def test_tokens_read_nothing(world: World) -> None:
    """Neither an operator's, nor those of the very customer whose data it is."""
    with world.nothing_written():
        found = {
            f"{short(path)} {token} {customer}": outcome(await world.call(path, about(world, path, customer), secret=token))
            for path in READS
            for token in TOKENS
            for customer in ("north", "nobody")
        }
    assert {place: reason for place, reason in found.items() if reason != "CALLER_NOT_ALLOWED"} == {}


async def test_every_key_may_try_made_up_readings_and_no_token_may(world: World) -> None:
    with world.nothing_written():
        found = {
            caller: outcome(await world.call(SIMULATE, good(world, SIMULATE), secret=caller)) for caller in (*KEYS, *TOKENS)
        }
    assert found == dict.fromkeys(KEYS, ANSWERED) | dict.fromkeys(TOKENS, "CALLER_NOT_ALLOWED")


async def test_only_a_gateway_publishes_and_only_its_own_customers_things(world: World) -> None:
    with world.nothing_written():
        found = {
            f"{caller} {customer}": outcome(await world.call(PUBLISH, about(world, PUBLISH, customer), secret=caller))
            for caller in (*KEYS, *TOKENS)
            for customer in CUSTOMERS
            if (caller, customer)
            not in {("gateway of north", "north"), ("gateway of south", "south"), ("gateway of demo", "demo")}
        }
    expected = {place: "FOREIGN_CUSTOMER" if place.startswith("gateway") else "CALLER_NOT_ALLOWED" for place in found}
    assert found == expected
    assert (await world.call(PUBLISH, about(world, PUBLISH, "north"))).refusal is None


async def test_a_customer_of_others_and_one_that_is_not_there_get_the_same_answer_byte_for_byte(world: World) -> None:
    differ = {}
    for path in READS:
        for key in KEYS:
            for customer, reason in zip(CUSTOMERS, MATRIX[key], strict=True):
                if reason == "NOT_COVERED" and customer != "nobody":
                    nobody = "q" * len(customer)  # lengths stand in the bytes
                    theirs, nobodys = [
                        _bytes(await world.call(path, about(world, path, name), secret=key), name)
                        for name in (customer, nobody)
                    ]
                    if theirs != nobodys:
                        differ[f"{short(path)} {key} {customer}"] = theirs, nobodys
    assert differ == {}


def _bytes(answer: Answer, customer: str) -> tuple[object, ...]:
    """Everything that was answered, with the customer's name taken out; cursors say when they were made."""
    assert answer.error is not None
    name = customer.encode()
    metadata = [
        (key, (value if isinstance(value, bytes) else value.encode()).replace(name, b"X"))
        for key, value in answer.error.trailing_metadata() or ()
    ]
    received = [feed_pb2.WatchResponse.FromString(message) for message in answer.received]
    for response in received:
        response.ClearField("cursor")
    return (
        answer.code,
        (answer.error.details() or "").replace(customer, "X"),
        tuple(metadata),
        tuple(response.SerializeToString().replace(name, b"X") for response in received),
    )

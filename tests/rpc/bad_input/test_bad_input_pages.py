"""Page sizes and page tokens, at every method that lists: a list is a method whose request has a `page_size`."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

import grpc
import pytest
from google.protobuf import message_factory
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from consentry_core.callers.policy import Caller
from support.calls import METHODS, POLICIES, Answer, short
from support.requests import good
from support.world import World

INVALID = grpc.StatusCode.INVALID_ARGUMENT
LISTS = sorted(path for path, method in METHODS.items() if "page_size" in method.input_type.fields_by_name)

# Another resource of the same kind, for a caller who may list both.
_ANOTHER = {
    "customers/north": "customers/east",
    "customers/north/alarms/power": "customers/north/alarms/heat",
    "partners/acme": "partners/rival",
    "partners/acme/keys/reported": "partners/rival/keys/reported",
}
# Does not change which items there are, only how new the answer must be.
_NO_PARAMETER = {"at_least_revision"}


def asking(world: World, path: str, **fields: Any) -> Message:
    """The good request for a list, with other fields."""
    request = copy.deepcopy(good(world, path)[0])
    for name, value in fields.items():
        if isinstance(value, list):
            getattr(request, name)[:] = value
        else:
            setattr(request, name, value)
    return request


def items(path: str, answer: Answer) -> list[Any]:
    """What a page lists."""
    response: Any = page(path, answer)
    repeated = [field for field in METHODS[path].output_type.fields if field.is_repeated]
    assert len(repeated) == 1 or path.endswith("/ListAccesses")  # which tells, beside its items, what it does not know of
    found = list(getattr(response, repeated[0].name))
    # How old a lease is differs from answer to answer; who holds one does not.
    return [item.name for item in found] if path.endswith("/ListEnforcementPoints") else found


def page(path: str, answer: Answer) -> Any:
    assert answer.refusal is None, (path, answer.refusal)
    return message_factory.GetMessageClass(METHODS[path].output_type).FromString(answer.received[0])


async def first_token(world: World, path: str, secret: str | None = None) -> str:
    """The token for the second page of one item."""
    token = page(path, await world.call(path, [asking(world, path, page_size=1)], secret=secret)).next_page_token
    assert token, f"{path}: the world holds one item only"
    return str(token)


def test_the_lists_are_found() -> None:
    lists = {short(path) for path in METHODS if "/List" in path}
    assert lists | {"TelemetryService/QueryLatest"} == {short(path) for path in LISTS}


async def test_pages_of_any_size_follow_each_other_and_hold_everything_once(world: World) -> None:
    wrong = {}
    for path in LISTS:
        everything = items(path, await world.call(path, [asking(world, path)]))
        assert len(everything) > 1, path
        for size in (1, 2):
            found: list[Any] = []
            token = ""
            while True:
                answer = await world.call(path, [asking(world, path, page_size=size, page_token=token)])
                assert len(items(path, answer)) <= size
                found += items(path, answer)
                token = page(path, answer).next_page_token
                if not token:
                    break
            if found != everything:
                wrong[f"{short(path)} by {size}"] = found
    assert wrong == {}


async def test_sizes_above_the_maximum_are_coerced_and_below_0_refused(world: World) -> None:
    wrong = {}
    for path in LISTS:
        everything = items(path, await world.call(path, [asking(world, path)]))
        for size in (1_001, 10_001, 2**31 - 1):
            if items(path, await world.call(path, [asking(world, path, page_size=size)])) != everything:
                wrong[f"{short(path)}: {size}"] = "not coerced"
        for size in (-1, -(2**31)):
            refusal = (await world.call(path, [asking(world, path, page_size=size)])).refusal
            if refusal is None or (refusal.code, refusal.reason, refusal.fields) != (
                INVALID,
                "PAGE_SIZE_INVALID",
                ("page_size",),
            ):
                wrong[f"{short(path)}: {size}"] = str(refusal)
    assert wrong == {}


async def refused(world: World, path: str, request: Message, secret: str | None = None) -> str:
    """What is wrong with the refusal of a foreign token; nothing, if nothing is."""
    told = (await world.call(path, [request], secret=secret)).refusal
    if told is None:
        return "answered"
    if (told.code, told.reason, told.fields) != (INVALID, "PAGE_TOKEN_INVALID", ("page_token",)):
        return str(told)
    return ""


def damaged(token: str) -> Mapping[str, str]:
    """Texts that are not a token, and yet like it."""
    other = "A" if token[0] != "A" else "B"
    return {
        "cut": token[:-1],
        "cut to a character": token[0],
        "longer": f"{token}A",
        "twice": token * 2,
        "first character": other + token[1:],
        "last character": token[:-1] + ("A" if token[-1] != "A" else "Q"),
        "other case": token.swapcase(),
        "padded": f"{token}=",
        "spaced": f" {token}",
        "no base64": "!",
        "not ASCII": "\N{SNOWMAN}" * 8,
        "empty payload": "A" * 22,
        "huge": "A" * 1_000_000,
    }


async def test_damaged_tokens_are_refused(world: World) -> None:
    wrong = {}
    for path in LISTS:
        token = await first_token(world, path)
        for how, text in damaged(token).items():
            if problem := await refused(world, path, asking(world, path, page_token=text)):
                wrong[f"{short(path)}: {how}"] = problem
    assert wrong == {}


async def test_tokens_of_other_methods_are_refused(world: World) -> None:
    tokens = {path: await first_token(world, path) for path in LISTS}
    wrong = {
        f"{short(path)} with a token of {short(other)}": problem
        for path in LISTS
        for other, token in tokens.items()
        if other != path and (problem := await refused(world, path, asking(world, path, page_token=token)))
    }
    assert wrong == {}


def other_parameters(world: World, path: str) -> Iterator[Message]:
    """The request with one parameter other than it was, for each."""
    for field in METHODS[path].input_type.fields:
        if field.name in {"page_size", "page_token"} | _NO_PARAMETER:
            continue
        value = getattr(good(world, path)[0], field.name)
        if field.is_repeated:
            yield asking(world, path, **{field.name: list(value[1:])})
        elif field.type == field.TYPE_STRING:
            yield asking(world, path, **{field.name: _ANOTHER[value]}, **_moved(good(world, path)[0], value, _ANOTHER[value]))
        elif field.message_type is Timestamp.DESCRIPTOR:
            request: Any = asking(world, path)
            getattr(request, field.name).FromSeconds(1)
            yield request
        elif field.type == field.TYPE_BOOL:
            yield asking(world, path, **{field.name: not value})
        else:
            pytest.fail(f"{path}: say here what other values of {field.name} there are")


def _moved(request: Message, parent: str, other: str) -> dict[str, list[str]]:
    """The names in a request that lie below its parent, below another."""
    return {
        field.name: [name.replace(parent, other) for name in value]
        for field, value in request.ListFields()
        if field.is_repeated
    }


async def test_tokens_of_other_parameters_are_refused(world: World) -> None:
    """To a caller who may ask for both."""
    wrong, tried = {}, 0
    for path in LISTS:
        operated = Caller.OPERATOR in POLICIES[path]
        secret = "operator" if operated else None
        token = await first_token(world, path, secret)
        for request in other_parameters(world, path):
            without = await world.call(path, [request], secret=secret)
            if without.code is grpc.StatusCode.PERMISSION_DENIED:
                continue  # another organisation's, which nobody else may list at all
            request.page_token = token  # type: ignore[attr-defined] # of a list
            tried += 1
            if problem := await refused(world, path, request, secret):
                wrong[short(path)] = problem
    assert wrong == {}
    assert tried > 8


async def test_tokens_of_other_callers_are_refused(world: World) -> None:
    """Whoever may list the same, of another organisation or in another role; keys of one partner may share theirs on data."""
    others = ["operator", "admin of rival", "admin of south", "key of rival"]
    wrong, tried = {}, set()
    for path in LISTS:
        token = await first_token(world, path)
        own = [] if "ListCoveredCustomers" not in path else ["specific key", "demo key"]
        for other in others + own:
            without = await world.call(path, [asking(world, path)], secret=other)
            preferred = world.metadata_for(path)
            if without.refusal is not None or world.secrets[other] in str(preferred):
                continue
            tried.add(short(path))
            if problem := await refused(world, path, asking(world, path, page_token=token), other):
                wrong[f"{short(path)}: {other}"] = problem
    assert wrong == {}
    assert tried == {
        "AlarmService/ListAlarmEvents",
        "AlarmService/ListAlarms",
        "CoverageService/ListCoveredCustomers",
        "DirectoryService/ListConnections",
        "InventoryService/ListDevices",
        "InventoryService/ListLocations",
        "InventoryService/ListSensors",
        "TelemetryService/QueryLatest",
        "TokenService/ListTokens",
    }

"""Names that are none, messages that are none, and messages that are too large, to every method of both services."""

from collections.abc import Iterator

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor, MethodDescriptor

from support.calls import METHODS, short
from support.requests import ELSEWHERE, GOOD, OUTPUT_ONLY, TEXTS, good, names_in
from support.world import World

INVALID = grpc.StatusCode.INVALID_ARGUMENT


def text_fields(message: Descriptor, path: str) -> Iterator[tuple[str, FieldDescriptor]]:
    """Every field with text that a request can hold, with its path."""
    for field in message.fields:
        at = f"{path}.{field.name}"
        if field.type == FieldDescriptor.TYPE_STRING:
            yield at, field
        elif field.message_type is not None:
            yield from text_fields(field.message_type, at)


def test_every_method_has_a_good_request() -> None:
    assert set(GOOD) == set(METHODS)


async def test_good_requests_are_good(world: World) -> None:
    """The tests that spoil them would find nothing with requests that are refused anyway."""
    refused = {}
    taking_away = ("/Cancel", "/Disconnect", "/Delete")  # last, so that what they take away is there
    for path in sorted(METHODS, key=lambda path: any(word in path for word in taking_away)):
        answer = await world.call(path, good(world, path))
        if answer.refusal is not None:
            refused[short(path)] = answer.refusal
    assert refused == {}


async def test_every_name_that_a_request_can_hold_is_in_its_good_request(world: World) -> None:
    """So that a new field with a name in it cannot be forgotten."""
    forgotten = []
    for path, method in METHODS.items():
        held = {f"{method.input_type.full_name}.{_without_indexes(text.path)}" for text in names_in(good(world, path))}
        for at, field in text_fields(method.input_type, method.input_type.full_name):
            if field.name not in TEXTS and at not in OUTPUT_ONLY | ELSEWHERE and at not in held:
                forgotten.append(at)
    assert forgotten == []


def _without_indexes(path: str) -> str:
    return ".".join(part.partition("[")[0] for part in path.split("."))


def wrong(name: str) -> dict[str, str]:
    """Texts that are not names of the kind that this name is of."""
    head, _, last = name.rpartition("/")
    return {
        "empty": "",
        "upper case": name.upper(),
        "a space behind": f"{name} ",
        "a line feed behind": f"{name}\n",
        "a slash behind": f"{name}/",
        "a slash before": f"/{name}",
        "one part more": f"{name}/x",
        "an id that is empty": f"{head}/" if head else "",
        "an id that climbs": f"{head}/../{last}",
        "an id with a zero byte": f"{name[:-1]}\0{name[-1]}",
        "an id that only looks like it": f"{head}/{last[:-1]}\N{CYRILLIC SMALL LETTER A}",
        "escaped": name.replace("/", "%2F") + "%20",
        "another collection": f"things/{last}",
        "far too long": f"{head}/{'a' * 100_000}",
    }


async def test_a_name_with_wrong_syntax_is_refused_by_every_method_that_takes_one(world: World) -> None:
    """With the path of the field, and before anything of it is looked up or written."""
    tried, not_refused = 0, {}
    with world.nothing_written():
        for path in METHODS:
            for text in names_in(good(world, path)):
                for how, spoilt in wrong(text.value).items():
                    if spoilt == text.value or (not spoilt and text.optional):
                        continue
                    answer = await world.call(path, text.replaced(good(world, path), spoilt))
                    told = (*answer.told, answer.refusal.fields if answer.refusal else ())
                    if told != (INVALID, "NAME_INVALID", (text.path,)):
                        not_refused[f"{short(path)} {text.path}: {how}"] = told
                    tried += 1
    assert not_refused == {}
    assert tried > 500


MALFORMED = {
    "no message": b"\xff\xff\xff",
    "a field that ends early": b"\x0a\x7fabc",
    "a text that is not UTF-8": b"\x0a\x02\xc3\x28",
    "groups without an end": b"\x0b" * 10_000,
    "a wire type that is none": b"\x0f",
}


async def test_a_malformed_message_is_refused_by_every_method(world: World) -> None:
    """Also as the second message of a stream; and only from who may call the method at all."""
    answers, strangers = {}, {}
    with world.nothing_written():
        for path, method in METHODS.items():
            for how, malformed in MALFORMED.items():
                if how == "a text that is not UTF-8" and not _begins_with_text(method.input_type):
                    continue
                place = f"{short(path)}: {how}"
                answers[place] = (await world.call(path, [malformed])).told
                strangers[place] = (await world.call(path, [malformed], ())).told
                if method.client_streaming:
                    answers[f"{place}, second"] = (await world.call(path, [good(world, path)[0], malformed])).told
    assert {place: told for place, told in answers.items() if told != (INVALID, "MESSAGE_MALFORMED")} == {}
    assert set(strangers.values()) == {(grpc.StatusCode.UNAUTHENTICATED, "CREDENTIAL_MISSING")}


def _begins_with_text(message: Descriptor) -> bool:
    first = message.fields_by_number.get(1)
    return first is not None and first.type == FieldDescriptor.TYPE_STRING


async def test_a_message_that_is_too_large_is_refused_by_the_transport_and_the_service_goes_on(world: World) -> None:
    """In every shape, before it is read: the status is the transport's own and has no details."""
    large = b"\xaa\x7d" + (5_000_000).to_bytes(4, "little") + bytes(5_000_000)
    shapes = {(path.split(".")[1], *shape(method)): path for path, method in METHODS.items()}
    assert len(shapes) == 6
    with world.nothing_written():
        for path in shapes.values():
            assert (await world.call(path, [large])).code is grpc.StatusCode.RESOURCE_EXHAUSTED, path
            if METHODS[path].client_streaming:
                assert (await world.call(path, [good(world, path)[0], large])).code is grpc.StatusCode.RESOURCE_EXHAUSTED, path
    for path in shapes.values():
        assert (await world.call(path, good(world, path))).refusal is None


def shape(method: MethodDescriptor) -> tuple[bool, bool]:
    return method.client_streaming, method.server_streaming


async def test_fields_that_nobody_knows_are_no_error(world: World) -> None:
    """A newer client may send them; they do nothing."""
    unknown = b"\xaa\xfe\x7f\x03abc"
    path = "/consentry.devices.v1.InventoryService/ListDevices"
    plain = await world.call(path, good(world, path))
    assert (await world.call(path, [good(world, path)[0].SerializeToString() + unknown])).received == plain.received

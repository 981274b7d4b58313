"""Free texts: every one that a request of either service can hold is refused with what a terminal obeys, or said why not."""

import copy
from collections.abc import Iterator, Sequence
from typing import Any

import grpc
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from support.calls import METHODS
from support.requests import OUTPUT_ONLY, TEXTS, good
from support.texts import is_plain
from support.world import World

INVALID = grpc.StatusCode.INVALID_ARGUMENT
HOSTILE = "x\x1b[2J\u202e\n2026 forged line"

_A = "consentry.authority.v1."
NOT_KEPT = {
    **dict.fromkeys(
        (
            *(f"{_A}CreateKeyRequest.key.{field}" for field in ("creator", "hint", "etag", "secrets.hint")),
            *(f"{_A}UpdateKeyRequest.key.{field}" for field in ("creator", "hint", "secrets.hint")),
            "consentry.devices.v1.PublishRequest.frame.inventory.devices.gateways",
        ),
        "what only the service writes is not looked at",
    ),
    **dict.fromkeys(
        (f"{_A}{method}KeyRequest.etag" for method in ("Delete", "Disable", "Enable", "Rotate")),
        "compared with the key's own, and no other is right",
    ),
    **dict.fromkeys(
        (
            f"{_A}UpdateKeyRequest.key.etag",
            f"{_A}AddKeyCustomersRequest.etag",
            f"{_A}RemoveKeyCustomersRequest.etag",
        ),
        "likewise",
    ),
    f"{_A}VerifyCredentialRequest.secret": "a secret that is none does not count",
}
"""Texts that are neither refused nor kept, with the reason."""


def texts_of(message: Descriptor, steps: tuple[FieldDescriptor, ...] = ()) -> Iterator[tuple[FieldDescriptor, ...]]:
    """The way to every free text that a message can hold."""
    for field in message.fields:
        if field.type == FieldDescriptor.TYPE_STRING:
            if field.name in TEXTS:
                yield (*steps, field)
        elif field.message_type is not None:
            yield from texts_of(field.message_type, (*steps, field))


def placed(requests: Sequence[Message], way: tuple[FieldDescriptor, ...], text: str) -> Sequence[Message]:
    """A good request with this text in that place."""
    changed: list[Any] = copy.deepcopy(list(requests))
    if len(changed) > 1:  # a stream: the message that holds it, or one more
        found = next((one for one in changed if one.HasField(way[0].name)), None)
        if found is None:
            found = type(changed[0])()
            changed.append(found)
        holder = found
    else:
        (holder,) = changed
    if "update_mask" in holder.DESCRIPTOR.fields_by_name and way[0].name != "update_mask":
        holder.update_mask.paths[:] = [way[1].name]
    for place, step in enumerate(way[:-1]):
        if step.message_type is not None and step.message_type.GetOptions().map_entry:
            getattr(holder, step.name)[text if way[place + 1].name == "key" else "team"] = text
            return changed
        holder = getattr(holder, step.name)
        if step.is_repeated:
            holder = holder[0] if len(holder) else holder.add()
    last = way[-1]
    if last.is_repeated:
        getattr(holder, last.name).append(text)
    else:
        setattr(holder, last.name, text)
    return changed


async def test_every_text_of_every_request_is_plain_or_refused(world: World) -> None:
    """With the name of the field, and nothing is written."""
    taken, elsewhere, tried = set(), {}, 0
    with world.nothing_written():
        for path, method in METHODS.items():
            for way in texts_of(method.input_type):
                name = ".".join([method.input_type.full_name, *(step.name for step in way)])
                if name in OUTPUT_ONLY or name in NOT_KEPT:
                    continue
                answer = await world.call(path, placed(good(world, path), way, HOSTILE))
                tried += 1
                if answer.refusal is None or answer.refusal.code is not INVALID:
                    taken.add(name)
                elif not (any(names(field, way) for field in answer.refusal.fields) and is_plain(answer.refusal.message)):
                    elsewhere[name] = answer.refusal
    assert taken == set()
    assert elsewhere == {}
    assert tried > 50


def names(field: str, way: tuple[FieldDescriptor, ...]) -> bool:
    """Whether an error's field is the one that was spoilt, or what it is in."""
    told = [part.partition("[")[0] for part in field.split(".")]
    meant = [step.name for step in way]
    return told == meant[: len(told)] or told[:-1] == meant[:-1] or told[-1] == meant[-1]


def test_what_is_not_kept_is_there() -> None:
    """An exemption for a field that is gone would hide the next one of its name."""
    known = {
        ".".join([method.input_type.full_name, *(step.name for step in way)])
        for method in METHODS.values()
        for way in texts_of(method.input_type)
    }
    assert set(NOT_KEPT) - known == set()

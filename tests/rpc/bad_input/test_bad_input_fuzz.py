"""Any bytes at all, to every method, from somebody who may call it: always an answer or a refusal of ours, never a crash.

Three kinds of input: bytes that mean nothing, good requests with bytes changed, and good requests with fields changed to what
nobody expects there. Streams are tried as well, each with all that it is sent.
"""

import asyncio
import copy
import logging
import sqlite3
from collections.abc import Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.calls import METHODS, encoded, short
from support.requests import Requests, good
from support.world import World, running_world

CRASHES = {grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN, grpc.StatusCode.DATA_LOSS, grpc.StatusCode.UNIMPLEMENTED}
AT_ONCE = 8  # calls of one example; they run side by side

_WORDS = (
    "", "x", "\0", "..", "/", "%s", "'; DROP TABLE keys; --", "\N{SNOWMAN}", "A" * 5_000, "customers/", "customers/demo",
    "customers/south", "customers/nobody", "partners/rival", "partners/acme/keys/x", "customers/north/consents/rival",
    "customers/north/devices/ups", "customers/north/devices/none", "customers/north/alarms/none", "tokens/none", "*", "kind",
)  # fmt: skip
_NUMBERS = (0, 1, -1, 2**31 - 1, -(2**31), 2**32 - 1, 2**62, 2**63 - 1, -(2**63), 2**64 - 1)

words = st.one_of(st.sampled_from(_WORDS), st.text(max_size=30))
numbers = st.one_of(st.sampled_from(_NUMBERS), st.integers(-(2**63), 2**64 - 1))
floats = st.floats(width=64)


@st.composite
def change_bytes(draw: st.DrawFn, raw: bytes) -> bytes:
    """A few bytes of it written over, left out, put in, or repeated."""
    changed = bytearray(raw)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(changed)))
        end = draw(st.integers(at, min(at + 8, len(changed))))
        changed[at:end] = draw(st.one_of(st.binary(max_size=8), st.just(bytes(changed[at:end]) * 2), st.just(b"")))
    return bytes(changed)


@st.composite
def change_fields(draw: st.DrawFn, request: Message) -> bytes:
    """A few fields of it, however deep, given other values of their type."""
    changed = copy.deepcopy(request)
    for _ in range(draw(st.integers(1, 3))):
        _change_one(draw, changed)
    return changed.SerializeToString()


def _change_one(draw: st.DrawFn, message: Message) -> None:
    fields: list[Any] = list(message.DESCRIPTOR.fields)
    if not fields:
        return
    field = draw(st.sampled_from(fields))
    holder: Any = message
    if field.message_type is not None:
        if field.message_type.GetOptions().map_entry:
            key, value = (_values(field.message_type.fields_by_name[part]) for part in ("key", "value"))
            getattr(holder, field.name).update(draw(st.dictionaries(key, value, max_size=3)))
            return
        if field.is_repeated:
            items = getattr(holder, field.name)
            inner = items.add() if not items or draw(st.booleans()) else draw(st.sampled_from(list(items)))
        else:
            inner = getattr(holder, field.name)
            inner.SetInParent()
        _change_one(draw, inner)
        return
    values = draw(st.lists(_values(field), max_size=3)) if field.is_repeated else draw(_values(field))
    if not field.is_repeated:
        setattr(holder, field.name, values)
        return
    if draw(st.booleans()):
        holder.ClearField(field.name)
    getattr(holder, field.name).extend(values)


def _values(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return words if field.type == FieldDescriptor.TYPE_STRING else st.binary(max_size=20)
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return st.booleans()
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return floats
    bits = 64 if field.cpp_type in {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64} else 32
    unsigned = field.cpp_type in {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
    lowest, highest = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return numbers.map(lambda number: max(lowest, min(number, highest)))


@st.composite
def calls(draw: st.DrawFn, good_requests: Mapping[str, Requests]) -> tuple[str, Sequence[bytes]]:
    """A method, and what it is sent."""
    path = draw(st.sampled_from(sorted(good_requests)))
    requests = good_requests[path]
    changed = draw(st.integers(0, len(requests) - 1))
    raw = list(encoded(requests))
    how = draw(st.sampled_from(["fields", "fields", "fields", "bytes", "anything"]))
    if how == "fields":
        raw[changed] = draw(change_fields(requests[changed]))
    elif how == "bytes":
        raw[changed] = draw(change_bytes(raw[changed]))
    else:
        raw[changed] = draw(st.binary(max_size=60))
    return path, raw


async def send(world: World, path: str, raw: Sequence[bytes]) -> None:
    """Call, and fail the test when the answer is a crash."""
    answer = await world.call(path, raw, first_only=True)
    assert answer.code not in CRASHES, f"{short(path)} {[message.hex() for message in raw]}: {answer.refusal}"


def test_no_input_is_answered_with_a_crash(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And afterwards both services still do their work, their databases are whole, and no secret is where none belongs."""
    caplog.set_level(logging.INFO)
    caplog.set_level(logging.WARNING, "sqlalchemy")
    with asyncio.Runner() as runner:
        entered = running_world(tmp_path)
        world = runner.run(entered.__aenter__())
        try:
            _fuzz(runner, world)
            runner.run(_still_works(world))
            assert "internal error" not in caplog.text
            assert world.leaks(caplog.text) == []
            assert world.bare() == []
        finally:
            runner.run(entered.__aexit__(None, None, None))


def _fuzz(runner: asyncio.Runner, world: World) -> None:
    good_requests = {path: good(world, path) for path in METHODS}

    @settings(max_examples=150, suppress_health_check=list(HealthCheck), database=None)
    @given(st.lists(calls(good_requests), min_size=AT_ONCE, max_size=AT_ONCE))
    def fuzz(batch: list[tuple[str, Sequence[bytes]]]) -> None:
        async def all_of_it() -> None:
            await asyncio.gather(*(send(world, path, raw) for path, raw in batch))

        runner.run(all_of_it())

    fuzz()


async def _still_works(world: World) -> None:
    for path in ("/consentry.authority.v1.TokenService/WhoAmI", "/consentry.devices.v1.InventoryService/ListDevices"):
        assert (await world.call(path, good(world, path))).refusal is None
    for file in (world.pair.folder / "authority" / "authority.db", world.pair.folder / "devices" / "devices.db"):
        with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
            assert connection.execute("PRAGMA foreign_key_check").fetchall() == []

"""Whatever a Redfish service, a upsd or a Modbus device answers: it is a poll or unread, never an error, and it is bounded."""

import asyncio
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from consentry_core.values.names import resource_id
from consentry_gateway.profiles import PROFILES
from consentry_gateway.reading.alarms import AlarmBook
from consentry_gateway.reading.decode import decode
from consentry_gateway.reading.model import Device, DeviceId
from consentry_gateway.reading.raw import Answers
from consentry_gateway.sources.modbus.access import maps
from consentry_gateway.sources.modbus.registers import blocks, field, value_of
from consentry_gateway.sources.nut.source import answers_of
from consentry_gateway.sources.polling import AgentSilent
from consentry_gateway.sources.redfish.session import Json, Unread, path_of
from consentry_gateway.sources.redfish.tree import Tree
from support.polls import at
from support.redfish_service import newer, older

(REDFISH,) = (profile for profile in PROFILES if profile.source == "redfish")
NAMES = sorted({name for column in REDFISH.columns() for name in column.split(".")[1:]} | {"Members", "@odata.id", "State"})
VALUES = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20) | st.sampled_from(["OK", "RPM", "Absent"])
)
ANYTHING = st.recursive(
    VALUES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=4)
)
PATHS = [*older(), *newer()]


def check(source: str, answers: Answers, unread: frozenset[str] = frozenset()) -> None:
    """Decode answers with every profile of a source."""
    for profile in PROFILES:
        if profile.source == source:
            poll = decode((profile,), Device(DeviceId("it"), ""), answers, at(0), unread=unread)
            AlarmBook().observe(poll)
            for reading in poll.readings:
                resource_id(reading.sensor.id, "id")
            for device in poll.devices:
                resource_id(device.id, "id")


@given(st.dictionaries(st.sampled_from(PATHS), ANYTHING, max_size=6), st.sampled_from([older, newer]))
@settings(max_examples=40, deadline=None)
def test_a_redfish_service(changes: Mapping[str, object], resources: object) -> None:
    found: dict[str, object] = {**resources(), **changes}  # type: ignore[operator]

    async def get(link: object) -> Json | None:
        path = path_of(link)
        if path is None:
            raise Unread("a link leads out of the service")
        resource = found.get(path.removeprefix("/redfish/v1"))
        if resource is not None and not isinstance(resource, dict):
            raise Unread("its answer is no resource")
        return resource

    tree = Tree(get, REDFISH.columns())
    root = found["/"]
    try:
        asyncio.run(tree.walk(root if isinstance(root, dict) else {}))
    except AgentSilent:
        return
    check("redfish", tree.answers, frozenset(tree.unread))


@given(
    st.dictionaries(
        st.sampled_from(
            [
                *(name.removesuffix(".0") for profile in PROFILES if profile.source == "nut" for name in profile.scalars()),
                "outlet.1.current",
                "outlet.0.x",
                "ambient.2.temperature.high",
                "",
            ]
        )
        | st.text(max_size=10),
        st.text(max_size=20) | st.sampled_from(["OL", "OB LB", "1", "-1", "1e999"]),
    )
)
@settings(max_examples=150, deadline=None)
def test_a_upsd(variables: Mapping[str, str]) -> None:
    check("nut", answers_of(variables))


@given(st.binary(min_size=240, max_size=240))
@settings(max_examples=150, deadline=None)
def test_a_modbus_device(data: bytes) -> None:
    words = [int.from_bytes(data[place : place + 2]) for place in range(0, len(data), 2)]
    for profile in maps().values():
        answers = {}
        for block in blocks(field(address) for address in profile.scalars()):
            for each in block.fields:
                answers[each.address] = value_of(each, words[: each.count])
        check("modbus", answers)

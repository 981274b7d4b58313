"""Whatever has a word for each data class has one for all of them. Fails by name when a class was added and one was forgotten.

`match` statements over classes are the type checker's: each of them ends in `assert_never`.
"""

from consentry.authority.v1 import data_class_pb2
from consentry_authority.commands.records import WHEN_NONE_WAS_NAMED
from consentry_core.protocol.data_classes import DATA_CLASS_TO_WIRE
from consentry_devices.log.entries import CLASS_OF, Kind
from consentry_devices.rpc.watch.snapshot import ORDER
from consentry_rule import DataClass


def test_the_protos_name_every_data_class() -> None:
    named = {name.removeprefix("DATA_CLASS_") for name in data_class_pb2.DataClass.keys()}  # noqa: SIM118 - no mapping
    assert named - {"UNSPECIFIED"} == {data_class.name for data_class in DataClass}


def test_every_data_class_goes_over_the_wire() -> None:
    assert set(DATA_CLASS_TO_WIRE) == set(DataClass)


def test_every_data_class_has_its_place_in_a_snapshot() -> None:
    assert sorted(ORDER, key=str) == sorted(DataClass, key=str)


def test_something_in_the_log_is_of_every_data_class() -> None:
    assert set(CLASS_OF.values()) == set(DataClass)
    assert set(CLASS_OF) == set(Kind) - {Kind.DAMAGED}


def test_what_was_meant_when_none_was_named_never_grows() -> None:
    assert {data_class.value for data_class in WHEN_NONE_WAS_NAMED} == {"alarms", "inventory", "telemetry"}

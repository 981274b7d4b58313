"""Classes of data on the wire, for every message that names some: converters in pairs."""

from collections.abc import Iterable
from functools import lru_cache

from consentry.authority.v1 import data_class_pb2
from consentry_core.values.errors import InvalidArgument
from consentry_core.values.reasons import ErrorReason
from consentry_rule import DataClass

DATA_CLASS_TO_WIRE = {
    DataClass.INVENTORY: data_class_pb2.DATA_CLASS_INVENTORY,
    DataClass.TELEMETRY: data_class_pb2.DATA_CLASS_TELEMETRY,
    DataClass.ALARMS: data_class_pb2.DATA_CLASS_ALARMS,
}
DATA_CLASS_FROM_WIRE = {wire: data_class for data_class, wire in DATA_CLASS_TO_WIRE.items()}


def data_classes_to_wire(classes: Iterable[DataClass]) -> tuple[data_class_pb2.DataClass.ValueType, ...]:
    """The classes, ordered."""
    return _to_wire(frozenset(classes))


@lru_cache(maxsize=64)
def _to_wire(classes: frozenset[DataClass]) -> tuple[data_class_pb2.DataClass.ValueType, ...]:
    """Asked for each of a partner's customers, and there are not many different answers."""
    return tuple(sorted(DATA_CLASS_TO_WIRE[data_class] for data_class in classes))


def data_classes_from_wire(classes: Iterable[data_class_pb2.DataClass.ValueType], field: str) -> frozenset[DataClass]:
    """The classes that a request names. InvalidArgument for one that is none."""
    named = set(classes)  # of which there are few, however often a message names them
    if not named <= DATA_CLASS_FROM_WIRE.keys():
        known = ", ".join(data_class_pb2.DataClass.Name(wire) for wire in sorted(DATA_CLASS_FROM_WIRE))
        raise InvalidArgument(field, f"must be one of {known}", reason=ErrorReason.DATA_CLASS_INVALID)
    return frozenset(DATA_CLASS_FROM_WIRE[data_class] for data_class in named)


def known_data_classes(classes: Iterable[data_class_pb2.DataClass.ValueType]) -> frozenset[DataClass]:
    """The classes that an answer names; those that only a newer service knows are left out."""
    return frozenset(DATA_CLASS_FROM_WIRE[data_class] for data_class in classes if data_class in DATA_CLASS_FROM_WIRE)

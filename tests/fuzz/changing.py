"""Messages changed field by field, so that a fuzzer gets past their encoding, which random bytes seldom have."""

from random import Random
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

_TEXTS = (
    "", "x", "..", "load", "charge", "UPS", "\0", "\N{SNOWMAN}", "a" * 70,
    "customers/north/devices/ups", "customers/south/devices/ups",
    "customers/north/devices/ups/sensors/load", "customers/north/alarms/heat", "customers/north/locations/site",
)  # fmt: skip
_NUMBERS = (0, 1, -1, 2, 255, 2**31 - 1, -(2**31), 2**32 - 1, 2**63 - 1, -(2**63), 1_790_000_000, 1_790_000_000 * 10**9)
_FLOATS = (0.0, -0.0, 1.5, 1e308, 5e-324, float("nan"), float("inf"), float("-inf"))


def change(message: Message, random: Random) -> None:
    """Change one field, however deep."""
    fields: list[Any] = list(message.DESCRIPTOR.fields)
    field = random.choice(fields)
    holder: Any = message
    if field.is_repeated:
        _change_list(getattr(holder, field.name), field, random)
    elif random.random() < 0.1:
        holder.ClearField(field.name)
    elif field.message_type is not None:
        change(getattr(holder, field.name), random)
    else:
        setattr(holder, field.name, _value(field, random))


def _change_list(items: Any, field: FieldDescriptor, random: Random) -> None:
    how = random.random()
    if items and how < 0.2:
        del items[random.randrange(len(items))]
    elif field.message_type is not None:
        change(random.choice(items) if items and how < 0.8 else items.add(), random)
    elif items and how < 0.7:
        items[random.randrange(len(items))] = _value(field, random)
    else:
        items.append(_value(field, random))


def _value(field: FieldDescriptor, random: Random) -> Any:
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return random.choice(_TEXTS) if field.type == FieldDescriptor.TYPE_STRING else random.randbytes(random.randrange(9))
    if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
        return random.random() < 0.5
    if field.cpp_type == FieldDescriptor.CPPTYPE_DOUBLE:
        return random.choice(_FLOATS)
    bits = 64 if field.cpp_type in {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64} else 32
    unsigned = field.cpp_type in {FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64}
    lowest, highest = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return max(lowest, min(random.choice((*_NUMBERS, random.randrange(4))), highest))

"""The few rules of protobuf's wire form that let encoded messages be put together, and taken apart, without being parsed."""

from collections.abc import Iterator


def varint(number: int) -> bytes:
    """A number of variable length."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def delimited(field_number: int, payload: bytes) -> bytes:
    """A field that holds a submessage, a string or packed numbers."""
    return b"".join((varint(field_number << 3 | 2), varint(len(payload)), payload))


def number(field_number: int, value: int) -> bytes:
    """A field that holds a number of variable length."""
    return varint(field_number << 3) + varint(value)


def fields(message: bytes, at: int = 0, end: int | None = None) -> Iterator[tuple[int, slice]]:
    """The fields of a message that we have written, or of the part between two places: numbers, and where their values are."""
    end = len(message) if end is None else end
    while at < end:
        tag, at = read_varint(message, at)
        match tag & 7:
            case 0:
                start, at = at, read_varint(message, at)[1]
            case 1:
                start, at = at, at + 8
            case _:
                length, start = read_varint(message, at)
                at = start + length
        yield tag >> 3, slice(start, at)


def read_varint(message: bytes, at: int) -> tuple[int, int]:
    """The number that is encoded here, and where it ends."""
    found, shift = 0, 0
    while message[at] > 0x7F:
        found |= (message[at] & 0x7F) << shift
        at, shift = at + 1, shift + 7
    return found | message[at] << shift, at + 1

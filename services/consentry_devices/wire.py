"""The two rules of protobuf's wire form that let encoded messages be put together without being encoded again."""


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

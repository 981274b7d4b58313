"""The map of a Modbus device: addresses that say which registers they are and what their bits mean. No I/O.

A profile writes `register(128, "uint32")` where others write an OID. The most significant word comes first, as it nearly always
does; a kind that ends in `s` (`uint32s`) has its words swapped. Where each bit of an unsigned number says something, `bit` is 0
or 1, and `bits` tells which of some is set: the number of the first of them that is, or -1. Bit 0 is the least significant one.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consentry_gateway.reading.raw import Raw

MOST_REGISTERS = 120
"""In one request; the protocol allows 125."""

TABLES = ("holding", "input", "coil", "discrete")
_FORMS = {
    "uint16": ">H",
    "int16": ">h",
    "uint32": ">I",
    "int32": ">i",
    "uint64": ">Q",
    "int64": ">q",
    "float32": ">f",
    "float64": ">d",
}
_ADDRESS = re.compile(r"([a-z]+)\.(\d{1,5})\.([a-z]+)(\d{1,3})(s?)(?:\.(bits?)(\d{1,2}(?:-\d{1,2})*))?\.0")


@dataclass(frozen=True, slots=True)
class Field:
    """What stands at an address: `count` registers (or bits, of coils and discrete inputs) of a table, from `start` on."""

    address: str
    table: str
    start: int
    count: int
    kind: str
    swapped: bool = False
    bits: tuple[int, ...] = ()
    which: bool = False

    @property
    def end(self) -> int:
        """The first register after it."""
        return self.start + self.count


@dataclass(frozen=True, slots=True)
class Block:
    """What one request asks for: fields that lie side by side. Some devices refuse to say what lies between."""

    table: str
    start: int
    end: int
    fields: tuple[Field, ...]


def register(
    start: int, kind: str = "uint16", *, table: str = "holding", bit: int | None = None, bits: Sequence[int] = ()
) -> str:
    """The address of a number, a text (`text16` has 16 registers), a number that is a name (`decimal32`), or of bits.

    ValueError when there can be no such.
    """
    mark = f".bits{'-'.join(map(str, bits))}" if bits else "" if bit is None else f".bit{bit}"
    address = f"{table}.{start}.{kind}{mark}.0"
    field(address)
    return address


def coil(start: int, *, table: str = "coil") -> str:
    """The address of a coil, or of a discrete input (`table="discrete"`): 0 or 1."""
    return register(start, "bool1", table=table)


def field(address: str) -> Field:
    """What an address says. ValueError when it says nothing."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise ValueError(f"{address} is no address of Modbus")
    table, start, base, size, swapped = found[1], int(found[2]), found[3], int(found[4]), bool(found[5])
    kind, bits = f"{base}{size}", tuple(int(bit) for bit in (found[7] or "").split("-") if bit)
    if base in {"text", "bool"}:
        count = size
    elif kind in _FORMS or (base == "decimal" and f"uint{size}" in _FORMS):
        count = size // 16
    else:
        raise ValueError(f"{address}: there is no kind {kind}")
    fits = 0 < count <= MOST_REGISTERS and start + count <= 65536 and all(base == "uint" and bit < size for bit in bits)
    if table not in TABLES or (table in {"coil", "discrete"}) != (kind == "bool1") or not fits:
        raise ValueError(f"{address} cannot be")
    return Field(address, table, start, count, kind, swapped, bits, found[6] == "bits")


def blocks(fields: Iterable[Field]) -> list[Block]:
    """The requests that get all of them."""
    found: list[Block] = []
    for each in sorted(fields, key=lambda one: (one.table, one.start, one.end)):
        last = found[-1] if found else None
        if last is not None and last.table == each.table and each.start <= last.end and each.end - last.start <= MOST_REGISTERS:
            found[-1] = Block(last.table, last.start, max(last.end, each.end), (*last.fields, each))
        else:
            found.append(Block(each.table, each.start, each.end, (each,)))
    return found


def value_of(each: Field, values: Sequence[int]) -> Raw:
    """What its registers say, as they came."""
    if each.kind == "bool1":
        return int(bool(values[0]))
    words = values[::-1] if each.swapped else values
    data = struct.pack(f">{len(words)}H", *words)
    if each.kind.startswith("text"):
        return data.strip(b"\0 ")
    if each.kind.startswith("decimal"):
        return str(int.from_bytes(data))
    (number,) = struct.unpack(_FORMS[each.kind], data)
    if each.kind == "float32":
        return float(f"{number:.7g}")  # more digits than these are not in it
    raw: int | float = number
    if each.which:
        return next((bit for bit in each.bits if int(raw) >> bit & 1), -1)
    return int(raw) >> each.bits[0] & 1 if each.bits else raw

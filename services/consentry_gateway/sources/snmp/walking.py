"""Everything below an OID, whatever it is, with its types: for a recording of an agent that nobody knows yet."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from consentry_gateway.sources.polling import AgentSilent
from consentry_gateway.sources.snmp.wire import NOTHING, Line, raw_of

_ROWS = (20, 5, 1)  # 1: GETNEXT


async def walk(line: Line, root: str, *, version: str, pause: float) -> AsyncIterator[tuple[str, Any]]:
    """Each OID below a root with its value as pysnmp has it. AgentSilent when it goes no further; `pause` between questions."""
    last, way = root, len(_ROWS) - 1 if version == "1" else 0
    while True:
        rows = _ROWS[way]
        indication, status, _, varbinds = await (line.next([last]) if rows == 1 else line.bulk(rows, [last]))
        if status and version == "1":
            return  # that is how it says that there is no more
        if indication or status or not varbinds:
            if way + 1 < len(_ROWS):
                way += 1
                continue
            raise AgentSilent(f"after {last}: {indication or f'error {int(status)}'}")
        for name, value in varbinds:
            oid = str(name)
            if not oid.startswith(f"{root}.") or _numbers(oid) <= _numbers(last) or _is_end(value):
                return
            yield oid, value
            last = oid
        await asyncio.sleep(pause)


def kind_of(value: Any) -> int:
    """The tag of a value's type, as recordings have it: 2 for a number, 4 for octets, 66 for a gauge, ..."""
    tag = value.tagSet[-1]
    return int(tag.tagClass | tag.tagId)


def _is_end(value: Any) -> bool:
    return raw_of(value) is NOTHING and kind_of(value) & 0x80 != 0


def _numbers(oid: str) -> list[int]:
    return [int(part) for part in oid.split(".")]

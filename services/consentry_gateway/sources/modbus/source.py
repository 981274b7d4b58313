"""Modbus TCP as a source of readings: the registers of an agent's map, asked for in blocks."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from consentry_core.values.clock import SECOND, Clock
from consentry_gateway.agents.file import Agent
from consentry_gateway.reading.model import DeviceId, Poll
from consentry_gateway.reading.raw import Raw, is_unreadable
from consentry_gateway.sources.decoding import Decoding
from consentry_gateway.sources.modbus.access import ModbusAccess, maps
from consentry_gateway.sources.modbus.registers import Block, Field, blocks, value_of
from consentry_gateway.sources.modbus.registers import field as field_of
from consentry_gateway.sources.polling import AgentSilent, Reports

if TYPE_CHECKING:
    from consentry_gateway.sources.modbus.client import Line

IDENTITY = "map.0"
_ASK_AGAIN = 3_600 * SECOND  # for registers that the device did not have


@dataclass(slots=True)
class _Known:
    line: "Line"
    fields: tuple[Field, ...]
    refused: set[Field] = field(default_factory=set)
    since: int = 0


class ModbusSource:
    """Asks Modbus devices. `timeout` in seconds and `retries` are those of a request, where the agents file names none."""

    def __init__(self, clock: Clock, *, reports: Reports, timeout: float = 2.0, retries: int = 1) -> None:
        self._clock = clock
        self._timeout = timeout
        self._retries = retries
        self._decoding = Decoding(clock, reports, "modbus", IDENTITY)
        self._known: dict[DeviceId, _Known] = {}

    async def ask(self, agent: Agent) -> Poll:
        """Look at an agent, once."""
        access: ModbusAccess = agent.access
        known = self._known.get(agent.device.id) or self._first(agent, access)
        if self._clock.boot() - known.since > _ASK_AGAIN:
            known.refused, known.since = set(), self._clock.boot()
        answers: dict[str, Raw] = {IDENTITY: access.map}
        unread: dict[str, str] = {}
        try:
            for block in blocks(each for each in known.fields if each not in known.refused):
                await self._read(known, block, answers, unread)
        except AgentSilent:
            known.refused = set()  # another device may answer there next time
            raise
        finally:
            known.line.close()
        described = f"map {access.map}, unit {access.unit}"
        why = next(iter(unread.values()), "")
        return self._decoding.poll(agent, answers, unread=unread.keys(), why_not_all=why, described=described)

    async def close(self) -> None:
        """Close the connections."""
        for known in self._known.values():
            known.line.close()

    def _first(self, agent: Agent, access: ModbusAccess) -> _Known:
        from consentry_gateway.sources.modbus.client import Line  # noqa: PLC0415 - only who has such agents has pymodbus

        retries = self._retries if agent.retries is None else agent.retries
        line = Line(agent.host, agent.port, access.unit, agent.timeout or self._timeout, retries)
        fields = tuple(field_of(address) for address in maps()[access.map].scalars())
        known = self._known[agent.device.id] = _Known(line, fields, since=self._clock.boot())
        return known

    async def _read(self, known: _Known, block: Block, answers: dict[str, Raw], unread: dict[str, str]) -> None:
        """Read a block; if the device refuses it, its fields one by one, so that one that it lacks takes no other away."""
        from consentry_gateway.sources.modbus.client import Refused, Unanswered  # noqa: PLC0415 - likewise

        try:
            values = await known.line.read(block)
        except Unanswered as error:
            unread.update(dict.fromkeys((each.address for each in block.fields), str(error)))
        except Refused:
            first = block.fields[0]
            if all((each.start, each.end) == (first.start, first.end) for each in block.fields):
                known.refused.update(block.fields)
                return
            for alone in {(each.start, each.end): each for each in block.fields}.values():
                same = tuple(each for each in block.fields if (each.start, each.end) == (alone.start, alone.end))
                await self._read(known, Block(block.table, alone.start, alone.end, same), answers, unread)
        else:
            for each in block.fields:
                value = value_of(each, values[each.start - block.start : each.end - block.start])
                # What a device does not have it says 0 for, or "not a number".
                if value != b"" and not is_unreadable(value):
                    answers[each.address] = value

"""Questions that any agent can answer: in batches and by bulk walks where it can, else by smaller ones, then one after another.

1. A question that is not answered, while a small one is, was too large: smaller ones from then on (`Manners`, kept per agent).
2. One that ends in an error is asked again without what the agent stumbles over, or in halves.
3. Tables: GETBULK, a smaller GETBULK, GETNEXT for a few columns, GETNEXT for one. What is left of a table then is not had,
   which is told, and everything else is.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from consentry_gateway.reading.raw import Raw, is_unreadable
from consentry_gateway.sources.polling import AgentSilent
from consentry_gateway.sources.snmp.wire import NOTHING, Line, raw_of

PING = "1.3.6.1.2.1.1.2.0"

_BATCHES = (16, 4, 1)  # the largest stays within one datagram of ordinary size
_BULK, _NEXT = "bulk", "next"
_WALKS = ((_BULK, 6, 6), (_BULK, 2, 4), (_NEXT, 4, 1), (_NEXT, 1, 1))  # how, columns, rows
_FIRST_NEXT = 2
_MOST_COLUMNS = 16  # of one question
_MOST_ROWS = 512  # of one table; an agent that counts on for ever is not followed
_NO_SUCH_NAME, _TOO_BIG = 2, 1
_FIRST_PATIENCE, _LONGEST_PATIENCE, _A_WHILE = 5, 1_000, 50  # polls


@dataclass(slots=True)
class Manners:
    """What an agent was found to bear: how large a batch, which way of walking, what silences it, and what it has not.

    A packet that was lost looks like an agent that cannot. So after some polls that went well it is all tried anew, and after
    ever more of them, until it has been borne for a while. What silenced it is tried by itself, up to the first that does so
    again, since something is missing meanwhile: after a few polls, and twice as many each time that it is silent again.
    """

    batch: int = 0
    walk: int = 0
    polls: int = 0
    mute: dict[str, tuple[int, int]] = field(default_factory=dict)
    """By OID, the poll at which it is tried again, and how many after the last time that is."""
    absent: set[str] = field(default_factory=set)
    rows: dict[str, int] = field(default_factory=dict)
    well: int = 0
    patience: int = _FIRST_PATIENCE

    def due(self) -> list[str]:
        """Of what silenced it, what is to be tried again, the longest due first."""
        return sorted((oid for oid in self.mute if self.mute[oid][0] <= self.polls), key=lambda oid: self.mute[oid][0])

    def hasten(self, oids: Iterable[str]) -> None:
        """Try again at the next poll what silenced it: nothing can be read without."""
        for oid in oids:
            if oid in self.mute:
                due, wait = self.mute[oid]
                self.mute[oid] = (min(due, self.polls + 1), wait)

    def silenced(self, oid: str) -> None:
        """It does not answer when it is asked for this, while it does otherwise. In bad times that says little."""
        _, waited = self.mute.get(oid, (0, 0))
        wait = min(2 * waited, _LONGEST_PATIENCE) if waited and self.well >= _FIRST_PATIENCE else _FIRST_PATIENCE
        self.mute[oid] = (self.polls + wait, wait)

    def poll_went_well(self) -> None:
        """Nothing failed but what is known to."""
        self.well += 1
        less = bool(self.batch or self.walk or self.absent)
        if less and self.well >= self.patience:
            self.batch = self.walk = self.well = 0
            self.absent = set()
            self.patience = min(2 * self.patience, _LONGEST_PATIENCE)
        elif not less and self.well > _A_WHILE:
            self.patience = _FIRST_PATIENCE


class Unanswered(AgentSilent):
    """One question was not answered in time."""


class Session:
    """One look at one agent, to be over `deadline` seconds after it began (by the event loop's clock)."""

    def __init__(self, line: Line, manners: Manners, *, version: str, end: float) -> None:
        self._line = line
        self._manners = manners
        self._version = version
        self._end = end
        self._alive = False
        self.unread: set[str] = set()
        """What could not be had: scalars and columns, of which a column may have been read in part."""
        self.stumbled = False
        """Whether something failed that is not known to."""
        self.lost = False
        """Whether a question was not answered that is usually answered: bad times, or the agent does not bear it."""
        self._whys: list[str] = []
        manners.polls += 1

    async def get(self, oids: Sequence[str]) -> dict[str, Raw]:
        """The answers to the scalars that are there, also to those that are unreadable. AgentSilent when it answers nothing."""
        answers = await self._try_again(oids)
        mute = self._manners.mute.keys() & oids
        self.unread |= mute
        self._whys += (f"{oid}: no answer when it is asked for" for oid in sorted(mute))
        known = {*answers, *self._manners.mute, *self._manners.absent}
        wanted = [oid for oid in oids if oid not in known]
        while wanted:
            size = _BATCHES[self._manners.batch]
            try:
                answers |= await self._get(wanted[:size])
            except Unanswered:
                await self._smaller(wanted[:size])
                wanted = [oid for oid in wanted if oid not in self._manners.mute]
            else:
                wanted = wanted[size:]
        return answers

    async def _try_again(self, oids: Sequence[str]) -> dict[str, Raw]:
        """The answers to those that silenced the agent, if their time has come, up to the first that does so again."""
        answers: dict[str, Raw] = {}
        for oid in self._manners.due():
            if oid not in oids:
                continue
            try:
                answers |= await self._get([oid])
            except Unanswered:
                await self.ping()
                self._manners.silenced(oid)
                break
            del self._manners.mute[oid]
        return answers

    async def walk(self, columns: Sequence[str]) -> dict[str, Raw]:
        """The answers to everything below the columns."""
        answers: dict[str, Raw] = {}
        wanted = sorted(columns, key=self._rows)
        while wanted:
            if asyncio.get_running_loop().time() > self._end:
                self._fail(wanted, "no time was left")
                break
            way = self._manners.walk = self._way()
            how, size, rows = _WALKS[way]
            if way == 0:  # as many rows as there were last time, and one to see the end
                rows = self._rows(wanted[0])
                size = min(size * _WALKS[0][2] // rows, _MOST_COLUMNS)
            group = [column for column in wanted[:size] if way or self._rows(column) == rows]
            why = await self._walk_group(how, rows, group, answers)
            if why and self._manners.walk != way:
                continue  # the next way, from the same column on
            if why:
                self._fail(group, why)
            wanted = wanted[len(group) :]
        return answers

    def _rows(self, column: str) -> int:
        most = _WALKS[0][2]
        return min(self._manners.rows.get(column, most) + 1, most)

    def _way(self) -> int:
        return max(self._manners.walk, _FIRST_NEXT) if self._version == "1" else self._manners.walk  # 1 has no GETBULK

    @property
    def why_not_all(self) -> str:
        """What could not be had, in short; empty when everything could."""
        more = f", and {len(self.unread) - 1} more" if len(self.unread) > 1 else ""
        return f"{self._whys[0]}{more}" if self._whys else ""

    def _fail(self, oids: Sequence[str], why: str) -> None:
        self.stumbled = True
        self.unread.update(oids)
        self._whys.append(f"{oids[0]}: {why}")

    async def _walk_group(self, how: str, rows: int, group: Sequence[str], answers: dict[str, Raw]) -> str:
        """Walk some columns one way; why that failed, if it did, which makes the next way the agent's."""
        try:
            why = await self._walk(how, rows, group, answers)
        except Unanswered:
            await self.ping()  # silence of everything is another matter
            why = "no answer"
            self._manners.walk = max(self._manners.walk, _FIRST_NEXT - 1)  # a smaller bulk would be waited for in vain
        if why and self._manners.walk + 1 < len(_WALKS):
            self._manners.well = 0
            self._manners.walk += 1
        return why

    async def _get(self, oids: Sequence[str]) -> dict[str, Raw]:
        status, index, varbinds = self._checked(await self._line.get(oids))
        if not status:
            found = {str(name): raw for name, raw in _raws(varbinds)}
            if found.keys() >= set(oids):
                self.unread.update(oid for oid in oids if is_unreadable(found[oid]))
                return {oid: found[oid] for oid in oids if found[oid] is not NOTHING}
            # What is in part about something else is believed in nothing.
            if len(oids) == 1:
                self._fail(oids, "an answer about something else")
                return {}
        elif len(oids) == 1:
            self._stumbled(oids[0], status)
            return {}
        elif 0 < index <= len(oids) and status != _TOO_BIG:
            self._stumbled(oids[index - 1], status)
            return await self._get([oid for oid in oids if oid != oids[index - 1]])
        half = len(oids) // 2
        return {**await self._get(oids[:half]), **await self._get(oids[half:])}

    def _stumbled(self, oid: str, status: int) -> None:
        if status == _NO_SUCH_NAME:
            self._manners.absent.add(oid)  # version 1 says so instead of leaving it out
        else:
            self._fail([oid], f"error {status}")

    async def _smaller(self, oids: Sequence[str]) -> None:
        """A batch was not answered: make the next one smaller, or leave out the one that silences the agent."""
        self._manners.well = 0
        self.lost = True
        if self._manners.batch + 1 < len(_BATCHES) and len(oids) > 1:
            await self.ping()
            while _BATCHES[self._manners.batch] >= len(oids) and self._manners.batch + 1 < len(_BATCHES):
                self._manners.batch += 1
            return
        if oids[0] == PING and not self._alive:
            raise Unanswered
        await self.ping()
        if oids[0] == PING:
            return  # it just answered that
        self._manners.silenced(oids[0])
        self._fail(oids[:1], "no answer when it is asked for")

    async def ping(self) -> None:
        """Go on only if the agent answers the smallest question. AgentSilent when it does not."""
        self._checked(await self._line.get([PING]))

    async def _walk(self, how: str, rows: int, columns: Sequence[str], answers: dict[str, Raw]) -> str:
        """Walk columns side by side; why it did not come to an end, if so."""
        counts = dict.fromkeys(columns, 0)
        last = {column: column for column in columns}  # the column, and the last instance that is known of it
        for _ in range(0, _MOST_ROWS, rows):
            if not last:
                break
            asked = tuple(last)
            response = await (self._line.bulk(rows, last.values()) if how is _BULK else self._line.next(last.values()))
            status, index, varbinds = self._checked(response)
            if status == _NO_SUCH_NAME and how is _NEXT and 0 < index <= len(asked):
                del last[asked[index - 1]]  # the end, as version 1 says it
                continue
            if status:
                return f"error {status}"
            if not varbinds:
                return "an empty answer"
            seen: set[str] = set()
            # Row by row, each with an instance of every column that was asked for; the agent may stop anywhere.
            for position, (name, raw) in enumerate(_raws(varbinds)):
                oid, column = str(name), asked[position % len(asked)]
                if column not in last:
                    continue
                if _after(column, oid):
                    return "an answer about something else"
                if raw is NOTHING or not oid.startswith(f"{column}.") or not _after(oid, last[column]):
                    del last[column]
                    continue
                answers[oid] = raw
                last[column] = oid
                counts[column] += 1
                seen.add(column)
            if not seen:
                break
        self._manners.rows |= counts
        return ""

    def _checked(self, response: Any) -> tuple[int, int, Sequence[tuple[Any, Any]]]:
        indication, status, index, varbinds = response
        if indication:
            words = str(indication)
            if "timeout" in words.lower() or "before" in words.lower():
                raise Unanswered(words)
            raise AgentSilent(words)
        self._alive = True
        return int(status), int(index), varbinds


def _raws(varbinds: Iterable[tuple[Any, Any]]) -> Iterable[tuple[Any, Any]]:
    return ((name, raw_of(value)) for name, value in varbinds)


def _after(oid: str, other: str) -> bool:
    return [int(part) for part in oid.split(".")] > [int(part) for part in other.split(".")]

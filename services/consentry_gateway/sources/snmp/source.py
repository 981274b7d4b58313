"""SNMP as a source of readings: what an agent is, is found out once and watched; what it says is asked at every poll."""

import asyncio
import logging
from collections.abc import Set as Collection
from dataclasses import dataclass, field, replace

from consentry_core.values.clock import SECOND, Clock
from consentry_gateway.agents.file import Agent
from consentry_gateway.profiles import Profile
from consentry_gateway.reading.decode import decode
from consentry_gateway.reading.model import Device, DeviceId, Poll
from consentry_gateway.reading.raw import Answers, text_of
from consentry_gateway.reading.recognition import SYS_OBJECT_ID, possible, questions, recognise, watched
from consentry_gateway.sources.polling import AgentSilent, Reports, Undecided
from consentry_gateway.sources.snmp.access import SnmpAccess
from consentry_gateway.sources.snmp.session import PING, Manners, Session, Unanswered
from consentry_gateway.sources.snmp.wire import Engine, Line, refused

_SYS_DESCR = "1.3.6.1.2.1.1.1.0"
_ASK_WHY_AGAIN = 3_600 * SECOND
_WELL_AGAIN = 5  # polls, after which it is over that something could not be read
_BELIEVED = 2  # polls in a row, and one more for each probe, after which one that is never answered is not there
_FOR_TABLES = 0.75  # of a poll's time; the rest is for a question that is under way


@dataclass(slots=True)
class _Known:
    """What is known of an agent. While it is silent, that is how it likes to be asked, and `why` it is silent."""

    manners: Manners
    line: Line | None = None
    profiles: tuple[Profile, ...] = ()
    questions: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()
    object_id: str = ""
    description: str = ""
    devices: dict[DeviceId, Device] = field(default_factory=dict)
    unread: frozenset[str] = frozenset()
    """The probes that could not be read while it was not certain what it is, and how many polls in a row it were the same."""
    doubted: int = 0
    why: str = ""
    asked_why: int = 0


@dataclass(frozen=True, slots=True)
class Look:
    """One look at an agent: what it is, all that it answered to what its profiles ask, and the poll that this makes.

    `unread`: what could not be read of it, and `why_not_all`, in words. While it is `undecided` what it is, there are no
    profiles.
    """

    object_id: str
    description: str
    profiles: tuple[Profile, ...]
    answers: Answers
    unread: Collection[str]
    why_not_all: str
    poll: Poll
    undecided: bool = False


class SnmpSource:
    """Asks SNMP agents. `timeout` in seconds and `retries` are those of one question, where the agents file names none."""

    def __init__(self, clock: Clock, *, reports: Reports, timeout: float = 2.0, retries: int = 1) -> None:
        self._clock = clock
        self._reports = reports
        self._timeout = timeout
        self._retries = retries
        self._engines: dict[SnmpAccess | None, Engine] = {}
        self._known: dict[DeviceId, _Known] = {}
        self._at: dict[tuple[str, int], DeviceId] = {}

    async def ask(self, agent: Agent) -> Poll:
        """Look at an agent, once."""
        look = await self.look(agent)
        if look.undecided:
            raise Undecided
        return look.poll

    async def look(self, agent: Agent) -> Look:
        """The same, with all that was answered."""
        now = self._clock.boot()
        known = self._known.setdefault(agent.device.id, _Known(Manners()))
        try:
            if known.line is None:
                known.line = await self._line(agent, agent.access)
            look = await self._look(agent, known, known.line)
        except AgentSilent as error:
            # Another device may answer at this address, or this one at another, next time.
            line, known.line, known.questions = known.line, None, ()
            if not isinstance(error, Unanswered) or line is None:
                raise
            if not known.why or now - known.asked_why > _ASK_WHY_AGAIN:
                known.why, known.asked_why = await self._why_silent(agent, line), now
            raise AgentSilent(known.why) from error
        known.why = ""
        return look

    async def answers(self, agent: Agent, timeout: float) -> Line | None:  # noqa: ASYNC109 - of one question
        """A line to an agent that answers one question, asked once; None when it does not."""
        try:
            line = await self._line(agent, agent.access, timeout)
            indication, _, _, _ = await line.get([PING])
        except (AgentSilent, OSError):
            return None
        return None if indication else line

    def at(self, host: str) -> tuple[DeviceId, ...]:
        """The devices whose agents are polled at an address."""
        return tuple(device for (address, _), device in self._at.items() if address == host)

    async def close(self) -> None:
        """Close the sockets."""
        for engine in self._engines.values():
            engine.close()

    async def _look(self, agent: Agent, known: _Known, line: Line) -> Look:
        end = asyncio.get_running_loop().time() + agent.deadline * _FOR_TABLES
        session = Session(line, known.manners, version=agent.access.version, end=end)
        if known.why:
            await session.ping()  # while it is silent, one question is enough
        answers = await session.get(known.questions) if known.questions else {}
        if not known.questions or self._changed(known, answers, session.unread):
            await self._recognise(agent, known, session)
            answers = await session.get(known.questions)
        undecided = not known.questions
        if undecided or not known.profiles:
            if not session.stumbled:
                known.manners.poll_went_well()
            device = replace(agent.device, display_name=agent.device.display_name or agent.device.id)
            poll = Poll(self._clock.now(), device, True, (device,), complete=False)
            return Look(
                known.object_id, known.description, (), answers, session.unread, session.why_not_all, poll,
                undecided=undecided,
            )  # fmt: skip
        tables: Answers = {}
        try:
            tables = await session.walk(known.columns)
        except AgentSilent:
            session.unread.update(known.columns)
            session.stumbled = True
        if not session.stumbled:
            known.manners.poll_went_well()
        if session.unread or known.manners.well >= _WELL_AGAIN:
            self._reports.tell(agent.device.id, "not read", session.why_not_all, steady=True)
        everything = {**answers, **tables}
        now, before = self._clock.now(), known.devices.values()
        poll = decode(known.profiles, agent.device, everything, now, unread=session.unread, known=before)
        known.devices |= {device.id: device for device in poll.devices}
        return Look(
            known.object_id, known.description, known.profiles, everything, session.unread, session.why_not_all, poll
        )  # fmt: skip

    @staticmethod
    def _changed(known: _Known, answers: Answers, unread: Collection[str]) -> bool:
        """Whether it is another one now, or says more, or nothing of what it said. A question that was lost says nothing."""
        if SYS_OBJECT_ID not in unread and str(answers.get(SYS_OBJECT_ID, "")) != known.object_id:
            return True
        watching = watched(known.profiles, known.object_id)
        if not unread.isdisjoint(watching):
            return False
        return recognise(answers) != known.profiles

    async def _recognise(self, agent: Agent, known: _Known, session: Session) -> None:
        before, known.unread = known.unread, frozenset()  # unless this ends in doubt as well, the polls are not in a row
        asked = (PING, *(oid for oid in questions() if oid != PING))
        answers = await session.get(asked)
        again = tuple(session.unread.intersection(asked))
        session.unread.clear()
        answers |= await session.get(again)
        # One that is unreadable is there, which is all that is to be known of a probe.
        unread = frozenset(oid for oid in session.unread.intersection(asked) if oid == SYS_OBJECT_ID or oid not in answers)
        session.unread.clear()
        about = await session.get((_SYS_DESCR,))
        known.description = text_of(about.get(_SYS_DESCR))
        found = self._found(known, answers, unread, again=unread == before and not session.lost)
        if found is None:
            known.questions = ()  # it is looked at anew next time
            why = f"not certain yet, nothing is read from it ({session.why_not_all})"
            self._reports.tell(agent.device.id, "family", why, steady=True)
            return
        known.profiles = found
        known.object_id = str(answers.get(SYS_OBJECT_ID, ""))
        scalars = [oid for profile in found for oid in profile.scalars()]
        known.questions = tuple(dict.fromkeys([*watched(found, known.object_id), *scalars]))
        known.columns = tuple(dict.fromkeys(oid for profile in found for oid in profile.columns()))
        known.devices = {}
        described = f"sysObjectID {known.object_id or 'none'}, {known.description!r}"
        if found:
            families = ", ".join(profile.family for profile in found)
            self._reports.tell(agent.device.id, "family", f"{families} ({described})", logging.INFO)
        else:
            self._reports.tell(agent.device.id, "family", f"none that is known, nothing is read from it ({described})")

    @staticmethod
    def _found(known: _Known, answers: Answers, unread: frozenset[str], *, again: bool) -> tuple[Profile, ...] | None:
        """The profiles that the agent fits; None while a probe that could not be read may be one that it has.

        A probe that was lost and one that the agent never answers look the same. So it is asked for again at the next polls. It
        is not there once the same ones could not be read several times in a row, and no other question was lost.
        """
        found = recognise(answers)
        needed = {oid for oid in unread if oid == SYS_OBJECT_ID or possible(answers, (oid,)) != found}
        if not needed:
            return found
        same = str(answers.get(SYS_OBJECT_ID, "")) == known.object_id
        if same and known.profiles and known.profiles in (found, possible(answers, unread)):
            return known.profiles  # as before it was silent
        known.doubted = known.doubted + 1 if again else 0
        known.unread = unread
        if known.doubted >= _BELIEVED + len(needed):
            return found
        known.manners.hasten(needed)
        return None

    async def _line(self, agent: Agent, access: SnmpAccess, timeout: float | None = None) -> Line:  # noqa: ASYNC109 - of each question
        key = access if access.version == "3" else None
        engine = self._engines.get(key)
        if engine is None:
            engine = self._engines[key] = Engine(self._bad)
        wait = timeout or agent.timeout or self._timeout
        retries = self._retries if agent.retries is None else agent.retries
        try:
            line = await engine.line(agent.host, agent.port, access, wait, 0 if timeout else retries)
        except OSError as error:
            raise AgentSilent(f"there is no address for {agent.host}") from error
        self._at[line.address] = agent.device.id
        return line

    def _bad(self, address: tuple[str, int], what: str) -> None:
        device = self._at.get(address)
        if device is not None:
            self._reports.tell(device, f"cannot be decoded in {what.partition(' ')[0]}", what)

    async def _why_silent(self, agent: Agent, silent: Line) -> str:
        """Why nothing came, in words, as far as that can be found out."""
        where = f"{agent.host} port {agent.port}"
        if await refused(silent.address):
            return f"nobody listens at {where}"
        if agent.access.version == "2c":
            line = await self._line(agent, replace(agent.access, version="1"), self._timeout)
            indication, _, _, _ = await line.get([PING])
            if not indication and (await silent.get([PING]))[0]:
                return f'{where} speaks SNMPv1 only: write version = "1" for it in the agents file'
        if agent.access.version == "3":
            return f"no answer from {where}: it is off or out of reach, or does not speak SNMPv3"
        return f"no answer from {where}: it is off or out of reach, or does not know this community, or not for this gateway"

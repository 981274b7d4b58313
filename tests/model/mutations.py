"""Ways of getting it wrong, each of which the model has to find. Each is the code under test with one thing changed."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from consentry_authority.enforcement import flows
from consentry_authority.enforcement.barriers import BOUND, Barrier, Barriers, Ended, Member, Receipt
from consentry_authority.enforcement.coordinator import Coordinator, _UnderWay
from consentry_authority.enforcement.flows import Action, DropMembers, Flow, ReadHead, ReadMembers, ReadTurn, WriteMember
from consentry_authority.enforcement.following import Following
from consentry_authority.enforcement.ports import Grant
from consentry_authority.storage.enforcement.receipts import EVERYTHING
from consentry_core.protocol.follow import (
    LEASE_SECONDS,
    Acknowledgement,
    Credential,
    Facts,
    FromAuthority,
    FromGuard,
    Lease,
    Revision,
)
from consentry_core.protocol.marks import MarkedKey
from consentry_core.values.clock import SECOND, BootTime
from consentry_guard.calls.call import Call
from consentry_guard.follow import known
from consentry_guard.follow.follower import Applied, Follower
from consentry_guard.follow.known import Known
from consentry_guard.follow.leases import Heard, Leases
from consentry_rule import Instant, Token
from model import scripts
from model.authority import Replica, Task
from model.guard import GuardProcess
from model.history import Fact, Read
from model.machines import Machine
from model.world import World


class _AcknowledgesFirst(Follower):
    """Says that a change is applied, and applies it before the next message."""

    def __init__(self, incarnation: str, service: str) -> None:
        super().__init__(incarnation, service)
        self._put_off: list[Facts] = []

    def received(self, message: Lease | Facts, now: BootTime, wall: Instant) -> Applied:
        for facts in self._put_off:
            super().received(facts, now, wall)
        self._put_off = []
        if isinstance(message, Facts) and message.interest == 0 and not message.more and self._incoming is None:
            self._put_off = [message]
            return Applied(reply=(Acknowledgement(message.revision),))
        return super().received(message, now, wall)


class _CountsFromReceipt(GuardProcess):
    """Takes a lease to last for T from when it arrived."""

    def received(self, message: FromAuthority) -> Applied:
        return super().received(replace(message, stamp=self.clock.boot()) if isinstance(message, Lease) else message)


class _CountsTimeFromReceipt(GuardProcess):
    """Takes the authority's time for what it is when the lease arrives, which it was when the lease was made."""

    def received(self, message: FromAuthority) -> Applied:
        if isinstance(message, Lease):
            on_the_way = self.clock.boot() - message.stamp
            message = replace(message, authority_time=Instant(message.authority_time - on_the_way))
        return super().received(message)


class _CountsTimeFromTheStamp(Leases):
    """Takes the authority's time for what it would be if each answer had been on the way for nothing."""

    def heard(self, lease: Lease, now: BootTime, wall: Instant) -> Heard:
        heard = super().heard(lease, now, wall)
        most = (lease.authority_boot or lease.authority_time) - lease.stamp
        return replace(heard, least=most, most=most)


class _AnyWallClock(Leases):
    """Goes by the boot clock alone, whatever the wall clock shows."""

    def use(self, heard: Heard) -> None:
        super().use(heard)
        self._least_apart, self._most_apart = -(2**63), 2**63


class _NarrowsForEver(Leases):
    """Goes by the narrowest that any answer has shown, as if no two clocks ever drifted or stood still."""

    def heard(self, lease: Lease, now: BootTime, wall: Instant) -> Heard:
        former = self._newest
        heard = super().heard(lease, now, wall)
        if former is not None and former.lease.authority_clock == lease.authority_clock:
            heard = self._newest = replace(heard, least=former.least, most=min(heard.most, former.most))
        return heard


class _LeavesOutTheHead(Coordinator):
    """Grants leases at what its own copy shows."""

    def turn(self, stream: flows.Stream) -> Flow[Sequence[FromAuthority]]:
        said: Sequence[FromAuthority] = yield from _without(ReadHead, super().turn(stream))
        return said


class _TellsWhatIsOld(Following):
    """Tells what a copy shows that lags behind what was told before."""

    def turn(self, view: Any, *, committed: Revision | None = None, grant: bool = True) -> Sequence[FromAuthority]:
        head = view.facts.head()
        if self.told is not None and head.number < self.told.number:
            self.told = head
            self._owed.extend([])
        return super().turn(view, committed=committed, grant=grant)


class _PassesWhatConcerns(Following):
    """Tells a guard the revision of a change, and nothing of what it changed."""

    def concerned(self, subjects: Iterable[str]) -> bool:
        return False


class _AppliesWhatIsOld(Follower):
    """Applies whatever it is told to what is in use."""

    def received(self, message: Lease | Facts, now: BootTime, wall: Instant) -> Applied:
        applied = super().received(message, now, wall)
        if isinstance(message, Facts):
            wanted = [credential for credential in message.credentials if credential.name in self._wanted]
            self._in_use.apply(wanted, [standing for standing in message.standings if self._wants(standing)])
        return applied


class _AcknowledgesOnTheWay(Follower):
    """Acknowledges what was applied on a new connection, while facts of the former one are in use."""

    def _complete(self, message: Facts) -> tuple[tuple[str, ...], tuple[FromGuard, ...]]:
        answered, _ = super()._complete(message)
        return answered, (Acknowledgement(message.revision),) if message.interest == 0 and not message.more else ()


class _CountsBeforeApplied(Follower):
    """Takes a lease for usable whatever has been applied."""

    def received(self, message: Lease | Facts, now: BootTime, wall: Instant) -> Applied:
        applied = super().received(message, now, wall)
        if isinstance(message, Lease):
            self._leases.use(self._leases.heard(message, now, wall))
        return applied


class _ServesAfterFarewell(Follower):
    """Takes a lease that was on its way when the last one was given back."""

    def farewell(self) -> list[FromGuard]:
        said = super().farewell()
        self._left = False
        return said


class _RemembersVerdicts(GuardProcess):
    """Checks again when something was told, or a timer runs, and not at every write."""

    def __init__(self, incarnation: str, machine: Machine) -> None:
        super().__init__(incarnation, machine)
        self._verdicts: dict[Read, bool] = {}

    def received(self, message: FromAuthority) -> Applied:
        self._verdicts.clear()
        return super().received(message)

    def renew(self) -> None:
        self._verdicts.clear()
        super().renew()

    def begins(self, read: Read) -> bool:
        if read not in self._verdicts:
            self._verdicts[read] = super().begins(read)
        return self._verdicts[read]


class _AnySecret(Call):
    """Remembers whose secret it was, and not which."""

    def check_credential(self) -> tuple[MarkedKey | Token, Instant]:
        facts, secret_id = self.credential, self.identity.secret_id
        for secret in facts.secrets:
            self.identity = replace(self.identity, secret_id=secret.id)
            try:
                return super().check_credential()
            finally:
                self.identity = replace(self.identity, secret_id=secret_id)
        return super().check_credential()


class _ReusesItsName(GuardProcess):
    """Every run of the process has the same name."""

    def __init__(self, incarnation: str, machine: Machine) -> None:
        super().__init__(incarnation.rpartition("-")[0] + "-0000", machine)


class _UsesWhatItForgot(Follower):
    """Lets the authority know that it wants no more news, and goes by what it knew."""

    def forget(self, forgotten: Iterable[str]) -> list[FromGuard]:
        drop, known.Known.forget = known.Known.forget, lambda *_: None  # type: ignore[method-assign]
        try:
            return super().forget(forgotten)
        finally:
            known.Known.forget = drop  # type: ignore[method-assign]


class _MembersBeforeTheCommit(Replica):
    """Reads who is a member, and then commits."""

    def commit(self, changed: Mapping[str, Fact]) -> None:
        self.tasks.append(self._commit(changed))

    def _commit(self, changed: Mapping[str, Fact]) -> Task:
        coordinator = self.coordinator
        members = yield from self.carried(coordinator._members())
        committed = self.database.commit(changed, self.clock.now())
        self.observer.committed(self, committed)
        if committed.narrowing:
            change = _UnderWay(committed.revision, committed.commit_time)
            coordinator._under_way[committed.revision.number] = change
            coordinator._raise(change, members, self.clock.boot())
            self.callers.append(self.call(committed))


class _RemembersTheMembers(Coordinator):
    """Opens a barrier over the members that were read last, before its change was committed."""

    _last: Sequence[Member] | None = None

    def _members(self) -> Flow[Sequence[Member]]:
        last, self._last = self._last, (yield from super()._members())
        return self._last if last is None else last


class _RowAfterTheHead(Coordinator):
    """Writes the member's row when the lease has been made."""

    def turn(self, stream: flows.Stream) -> Flow[Sequence[FromAuthority]]:
        if not self._grants(stream):
            return (yield from super().turn(stream))
        said: Sequence[FromAuthority] = yield ReadTurn(stream, (yield ReadHead()), True)
        yield from self._granting(stream)
        return said


class _HeadBeforeTheRow(Coordinator):
    """Reads the head that the lease names, and then writes the member's row."""

    def turn(self, stream: flows.Stream) -> Flow[Sequence[FromAuthority]]:
        if not self._grants(stream):
            return (yield from super().turn(stream))
        committed = yield ReadHead()
        yield from self._granting(stream)
        said: Sequence[FromAuthority] = yield ReadTurn(stream, committed, True)
        return said


class _GrantsWithoutARow(Coordinator):
    """Writes the member's row with its first lease, and not with the next ones."""

    def _granting(self, stream: flows.Stream) -> Flow[None]:
        first = self._renewals.last(stream.speaker.incarnation) is None
        yield from super()._granting(stream) if first else iter(())


class _ExpiresByStoredTime(Replica):
    """Leaves out members whose last lease, by the time in their row, is long over."""

    def perform(self, action: Action) -> Any:
        done = super().perform(action)
        match action:
            case WriteMember(Grant(speaker, _, time)):
                members = self.database.members
                members[speaker.incarnation] = replace(members[speaker.incarnation], join_time=time)
            case ReadMembers():
                return [member for member in done if self.clock.now() < member.join_time + BOUND]
        return done


class _ExpiresWhoeverCameBack(Replica):
    """Drops the row of a silent member, whatever it was granted since."""

    def perform(self, action: Action) -> Any:
        if isinstance(action, DropMembers):
            for member in action.silent:
                self.database.leave(member.incarnation)
        return super().perform(action)


class _TakesRowsByTheirCount(Replica):
    """Drops whatever row has the count of leases that was read."""

    def perform(self, action: Action) -> Any:
        if isinstance(action, DropMembers):
            for member in action.silent:
                row = self.database.members.get(member.incarnation)
                if row is not None and row.leases == member.leases:
                    self.database.leave(member.incarnation)
        return super().perform(action)


class _ForgetsWhoWasThere(Coordinator):
    """Does not reckon with those who served before a restore."""

    def _raise(self, change: _UnderWay, members: Sequence[Member], since: BootTime) -> None:
        super()._raise(change, [one for one in members if not one.incarnation.startswith("before-")], since)


class _AnswersBeforeKept(Coordinator):
    """Says ENFORCED, and keeps the receipt afterwards."""

    def _end(self, ended: Ended) -> None:
        for barrier in ended.barriers:
            self._under_way[barrier.revision.number].kept.reach()
        super()._end(ended)


class _AnswersAtOnce(Coordinator):
    """Takes a change that it is asked about, and has not begun, for enforced."""

    def enforced(self, revision: Revision, patience: float | None) -> Flow[Receipt | None]:
        if revision.number in self._under_way:
            return (yield from super().enforced(revision, patience))
        found: tuple[Receipt, str] | None = yield flows.ReadReceipt(revision)
        return found and replace(found[0], enforce_time=self._clock.now())


class _ImpatientBarriers(Barriers):
    """Waits for T, as if all clocks ran alike."""

    def begin(
        self,
        revision: Revision,
        commit_time: Instant,
        members: Iterable[Member],
        *,
        committed: BootTime,
        now: BootTime,
        wall: Instant,
    ) -> tuple[Barrier, Ended]:
        barrier, ended = super().begin(revision, commit_time, members, committed=committed, now=now, wall=wall)
        barrier.ends = BootTime(committed + LEASE_SECONDS * SECOND)
        return barrier, ended


class _DropsAtTheEnd(Barriers):
    """Drops silent members when a barrier ends, whenever they were read."""

    def begin(
        self,
        revision: Revision,
        commit_time: Instant,
        members: Iterable[Member],
        *,
        committed: BootTime,
        now: BootTime,
        wall: Instant,
    ) -> tuple[Barrier, Ended]:
        return super().begin(revision, commit_time, members, committed=committed, now=committed, wall=wall)


class _DropsWhoIsAway(Barriers):
    """Drops members as soon as nobody has a stream of theirs."""

    def watch(self, members: Iterable[Member], *, now: BootTime) -> None:
        super().watch(members, now=BootTime(now - BOUND))


class _TakesOldAnswers(Follower):
    """Takes what still comes of a wish that was dropped for an answer to the one after it."""

    def _is_told(self, name: str) -> bool:
        return name in self._wanted


class _TakesAnyHistory(Follower):
    """Does not look whether the authority has forgotten something: that alone would give the wrong lease away."""

    def _refuse_if_older(self, head: Revision) -> None:
        pass


class _AnswersAboutTheFirst(Replica):
    """Answers who asks again about the first change that took something away from the subject, whatever came after it."""

    def number_of(self, subject: str, field: str) -> int | None:
        return min((number for number, one in self.database.receipts.items() if subject in one.subjects), default=None)


class _AnswersAsTheBackupSays(Replica):
    """Takes what the backup has for what everybody goes by."""

    def number_of(self, subject: str, field: str) -> int | None:
        number = super().number_of(subject, field)
        receipt = None if number is None else self.database.receipts.get(number)
        return None if receipt is not None and EVERYTHING in receipt.subjects else number


@dataclass(frozen=True)
class Mutation:
    """A world in which one thing is wrong.

    `trouble` is the kind in which that shows, within so many runs; or there is a script in which it does.
    """

    name: str
    replica: type[Replica] = Replica
    guard: type[GuardProcess] = GuardProcess
    trouble: str = "everything"
    within: int = 100
    script: Callable[[World], None] | None = None


def _guard(follower: type[Follower] = Follower, call: type[Call] = Call) -> type[GuardProcess]:
    return type(follower.__name__, (GuardProcess,), {"follower_class": follower, "call_class": call})


class _GoesOnFromTheSnapshot(Follower):
    """Applies whatever differs of a list to the list that was told whole, and not to what has become of it since."""

    def __init__(self, incarnation: str, service: str) -> None:
        super().__init__(incarnation, service)
        self._told_whole: dict[str, MarkedKey | Token | None] = {}

    def _with_lists(self, known: Known, credentials: Iterable[Credential]) -> list[Credential]:
        told = list(credentials)
        for each in told:
            if each.difference is None:
                facts = each.facts
                # Passed off as new enough, or the follower would find it out by itself.
                self._told_whole[each.name] = replace(facts, list_number=2**62) if isinstance(facts, MarkedKey) else facts
        first = Known(credentials={**known.credentials, **self._told_whole}, answered=known.answered)
        return super()._with_lists(first, told)


def _leases(leases: type[Leases]) -> type[GuardProcess]:
    def __init__(self: Follower, incarnation: str, service: str) -> None:  # noqa: N807 - of the class below
        Follower.__init__(self, incarnation, service)
        self._leases = leases()

    return _guard(type(leases.__name__, (Follower,), {"__init__": __init__}))


def _replica(
    coordinator: type[Coordinator] = Coordinator,
    *,
    following: type[Following] = Following,
    barriers: type[Barriers] | None = None,
) -> type[Replica]:
    if barriers is not None:
        coordinator = _with_barriers(barriers)
    return type(coordinator.__name__, (Replica,), {"following_class": following, "coordinator_class": coordinator})


def _with_barriers(barriers: type[Barriers]) -> type[Coordinator]:
    def __init__(self: Coordinator, *parts: Any) -> None:  # noqa: N807 - of the class below
        Coordinator.__init__(self, *parts)
        self._barriers = barriers()

    return type(barriers.__name__, (Coordinator,), {"__init__": __init__})


def _without(left_out: type[Action], flow: Flow[Any]) -> Flow[Any]:
    """A flow, with some of its actions not carried out."""
    try:
        action = next(flow)
        while True:
            action = flow.send(None if isinstance(action, left_out) else (yield action))
    except StopIteration as over:
        return over.value


MUTATIONS = (
    Mutation("a removal's difference applied to the wrong base", guard=_guard(_GoesOnFromTheSnapshot), within=400),
    Mutation("acknowledge before applying", guard=_guard(_AcknowledgesFirst)),
    Mutation("lease counted from receipt of the answer", guard=_CountsFromReceipt),
    Mutation(
        "the authority's time counted from receipt of the answer", guard=_CountsTimeFromReceipt, trouble="ends and clocks"
    ),
    Mutation("the authority's time counted from the stamp", guard=_leases(_CountsTimeFromTheStamp), trouble="machines"),
    Mutation("the wall clock not looked at", guard=_leases(_AnyWallClock), trouble="machines"),
    Mutation("what was known of two clocks kept for ever", guard=_leases(_NarrowsForEver), trouble="machines", within=300),
    Mutation(
        "committed head left out of the lease",
        replica=_replica(_LeavesOutTheHead),
        guard=_guard(_TakesAnyHistory),
        trouble="copies that lag",
    ),
    Mutation("a late snapshot told", replica=_replica(following=_TellsWhatIsOld), trouble="copies that lag", within=300),
    Mutation("a late snapshot applied", guard=_guard(_AppliesWhatIsOld), trouble="copies that lag"),
    Mutation("acknowledging while facts of a former connection are in use", guard=_guard(_AcknowledgesOnTheWay)),
    Mutation("a lease usable before its revision is applied", guard=_guard(_CountsBeforeApplied)),
    Mutation("a lease taken after the farewell", guard=_guard(_ServesAfterFarewell), trouble="comings and goings"),
    Mutation("the per-write check left to timers", guard=_RemembersVerdicts),
    Mutation("identity remembered without secret id", guard=_guard(call=_AnySecret)),
    Mutation("an old incarnation's name reused", guard=_ReusesItsName, script=scripts.farewell_on_its_way),
    Mutation("interest dropped but what was remembered still used", guard=_guard(_UsesWhatItForgot), trouble="interests"),
    Mutation("an old answer taken for a new one", guard=_guard(_TakesOldAnswers), trouble="interests", within=1000),
    Mutation("members read before the commit", replica=_MembersBeforeTheCommit, script=scripts.joined_meanwhile),
    Mutation(
        "the member's row written after reading the head",
        replica=_replica(_RowAfterTheHead),
        script=scripts.committed_meanwhile,
    ),
    Mutation("members read for an earlier barrier", replica=_replica(_RemembersTheMembers)),
    Mutation(
        "the head read before the member's row is written",
        replica=_replica(_HeadBeforeTheRow),
        script=scripts.committed_meanwhile_and_shown_late,
    ),
    Mutation("a row for the first lease alone", replica=_replica(_GrantsWithoutARow), trouble="silent members"),
    Mutation("taken for enforced because nobody has begun", replica=_replica(_AnswersAtOnce), trouble="asking again"),
    Mutation("members left out by the time in their rows", replica=_ExpiresByStoredTime),
    Mutation("a silent member dropped although it came back", replica=_ExpiresWhoeverCameBack, trouble="silent members"),
    Mutation("a row taken for another by its count", replica=_TakesRowsByTheirCount, script=scripts.back_with_the_same_count),
    Mutation("a row dropped too soon", replica=_replica(barriers=_DropsAtTheEnd), script=scripts.counted_late),
    Mutation(
        "a row dropped because nobody has its stream", replica=_replica(barriers=_DropsWhoIsAway), trouble="silent members"
    ),
    Mutation("a change that concerns a guard passed by", replica=_replica(following=_PassesWhatConcerns)),
    Mutation("a bound without drift and slack", replica=_replica(barriers=_ImpatientBarriers), trouble="silent members"),
    Mutation("those who served before a restore left out", replica=_replica(_ForgetsWhoWasThere), trouble="restarts"),
    Mutation("answered before the receipt is kept", replica=_replica(_AnswersBeforeKept), within=400),
    Mutation(
        "asked again, answered about an earlier change", replica=_AnswersAboutTheFirst, trouble="asking again", within=400
    ),
    Mutation(
        "asked again after a restore, answered by the backup",
        replica=_AnswersAsTheBackupSays,
        trouble="asking again",
        within=400,
    ),
)

"""The simulated world: two machines with guards, two replicas on one database, the network between them, and time.

After every operation everything that can go on goes on: messages that are not held back arrive, processes that are not paused
answer. Then what holds at every moment is checked (`checks`).
"""

from collections.abc import Iterator

from consentry_authority.enforcement.barriers import BOUND
from consentry_authority.enforcement.limits import PACE
from consentry_core.protocol.follow import FromAuthority, Lease, Revision
from consentry_core.values import names
from consentry_core.values.clock import SECOND, BootTime
from consentry_rule import Instant
from model.authority import Replica, Stream
from model.changes import ACME, ALL, BEST, CHANGES, DEMO, PAIRS, SLOTS, TOKEN, Change, State, first_facts, reads
from model.checks import Checks
from model.database import FIELDS, Committed, Database
from model.guard import GuardProcess
from model.history import Read
from model.machines import FAST, MILLION, SLOW, START, Connection, Machine

CONSENTS = [names.CONSENT.format(customer, partner) for partner, customer in (*PAIRS, (ACME, DEMO))]
PARTNERS = [names.PARTNER.format(partner) for partner in (ACME, BEST)]


class World:
    """Everything there is. `parts` say which classes it is made of."""

    def __init__(self, replica: type[Replica] = Replica, guard: type[GuardProcess] = GuardProcess) -> None:
        self.time = 0
        self._replica_class, self._guard_class = replica, guard
        self.database = Database(first_facts())
        self.credentials = {slot: f"{slot}0" for slot in SLOTS}
        self.reads: list[Read] = [read for slot in SLOTS for read in reads(slot, f"{slot}0")]
        self._made = 0
        self.connections: list[Connection] = []
        self.checks = Checks(self)
        clock = lambda: self.time  # noqa: E731
        self._authority_machines = [Machine(clock, FAST, 7 * SECOND), Machine(clock, SLOW, 900 * SECOND)]
        self._guard_machines = [Machine(clock, SLOW, 50 * SECOND), Machine(clock, MILLION, 4000 * SECOND)]
        self.replicas: list[Replica | None] = [self._new_replica(index) for index in range(2)]
        self.guards = [self._new_guard(index) for index in range(2)]
        self.go_on()

    # Processes

    def _new_replica(self, index: int) -> Replica:
        replica = self._replica_class(self.database, self._authority_machines[index], self)
        replica.start()
        self.checks.started(replica)
        return replica

    def _new_guard(self, index: int) -> GuardProcess:
        self._made += 1
        guard = self._guard_class(f"incarnation-{index}-{self._made:04}", self._guard_machines[index])
        guard.send(guard.follower.want([*self.credentials.values(), *self.interesting(guard)]))
        self.connect(guard, index)
        return guard

    def interesting(self, guard: GuardProcess) -> list[str]:
        """The names of standings that a guard follows: one by one, or a partner's all at once."""
        return CONSENTS if guard.machine is self._guard_machines[0] else PARTNERS

    def connect(self, guard: GuardProcess, choice: int) -> None:
        """A guard connects to a replica; it has hung up what it had."""
        guard.hang_up()
        running = [replica for replica in self.replicas if replica is not None]
        if guard.left or guard.paused or not running:
            return
        replica = running[choice % len(running)]
        stream = Stream()
        stream.connection = Connection(guard, stream)
        guard.connect(stream.connection)
        replica.accept(stream)
        self.connections.append(stream.connection)

    def crash_guard(self, index: int) -> None:
        """The process is gone; another incarnation starts on the same machine."""
        self.guards[index].hang_up()
        self.guards[index] = self._new_guard(index)

    def crash_replica(self, index: int) -> None:
        """All that it had in memory is gone."""
        replica = self.replicas[index]
        if replica is not None:
            for stream in replica.streams:
                stream.connection.authority_there = False
            self.checks.crashed(replica)
            self.replicas[index] = None

    def start_replica(self, index: int) -> None:
        """It starts, if it is down."""
        if self.replicas[index] is None:
            self.replicas[index] = self._new_replica(index)

    def running(self) -> list[Replica]:
        """The replicas that are there and not paused."""
        return [replica for replica in self.replicas if replica is not None and not replica.paused]

    # The state

    def commit(self, which: int, choice: int) -> None:
        """Something is changed through one of the replicas."""
        running = self.running()
        if not running:
            return
        replica = running[choice % len(running)]
        now = replica.clock.now()
        state = State(self.database.history.facts(self.database.history.head), self.credentials, now)
        changed = CHANGES[which % len(CHANGES)](state, choice // len(running))
        if changed:
            self._commit(replica, changed)
        for slot, name in tuple(self.credentials.items()):
            if self.database.history.at(name, self.database.history.head) is None:
                self._replace(replica, slot)

    def ask_again(self, choice: int) -> None:
        """Somebody asks for what is so already."""
        running = self.running()
        if not running:
            return
        replica, choice = running[choice % len(running)], choice // len(running)
        subjects = [*self.credentials.values(), *CONSENTS]
        replica.tasks.append(replica.asked_again(subjects[choice % len(subjects)], FIELDS[choice // 16 % len(FIELDS)]))

    def _commit(self, replica: Replica, changed: Change) -> None:
        replica.commit(changed)

    def _replace(self, replica: Replica, slot: str) -> None:
        """A new credential in place of a deleted one; calls with the old one are still there."""
        self._made += 1
        name = f"{slot}{self._made}"
        self.credentials[slot] = name
        self.reads = [*self.reads[-16:], *reads(slot, name)]
        self._commit(replica, {name: first_facts()[f"{slot}0"]})
        for guard in self.guards:
            if not guard.paused:
                guard.send(guard.follower.want([name]))

    def restore(self, back: int) -> None:
        """The database is taken back to an older content, in a new epoch, while no replica runs."""
        for index in range(2):
            self.crash_replica(index)
        self.database.restore(back, Instant(START + self.time))
        for index in range(2):
            self.start_replica(index)

    # Going on

    def go_on(self) -> None:
        """Whatever is not held back happens, until nothing does."""
        busy = True
        while busy:
            busy = False
            for connection in tuple(self.connections):
                busy |= self._carry(connection)
            for replica in self.running():
                if not replica.slow:
                    busy |= replica.run()
            for replica in self.running():
                self.checks.answered(replica)

    def _carry(self, connection: Connection) -> bool:
        busy = False
        while connection.flows_up and connection.up:
            self.deliver_up(connection)
            busy = True
        while connection.flows_down and connection.down and connection.guard_there and not connection.process.paused:
            self.deliver_down(connection)
            busy = True
        if not connection.guard_there:
            connection.down.clear()
            if connection.flows_up and not connection.up and not connection.stream.closed:
                connection.stream.closed = connection.stream.news = True
                busy = True
        if not connection.authority_there:
            connection.up.clear()
            if connection.guard_there and connection.flows_down and not connection.down and not connection.process.paused:
                connection.process.hang_up()
                busy = True
        if not connection.guard_there and not connection.authority_there:
            self.connections.remove(connection)
        return busy

    def deliver_up(self, connection: Connection) -> None:
        """A message reaches the authority's machine."""
        connection.stream.inbox.append(connection.up.popleft())
        connection.stream.news = True

    def deliver_down(self, connection: Connection) -> None:
        """A message reaches the guard, which applies it in one step."""
        process, message = connection.process, connection.down.popleft()
        already = len(connection.up)
        process.received(message)
        self.checks.applied(process, message, list(connection.up)[already:])

    def committed(self, replica: Replica, committed: Committed) -> None:
        """Something was committed: every replica hears of it."""
        self.checks.committed(replica, committed)
        for other in self.replicas:
            if other is not None:
                other.news.committed(committed) if other is replica else other.news.missed()
                other.wake()

    def heard(self, replica: Replica, incarnation: str, applied: Revision | None) -> None:
        """A member said something to one replica: the others hear of it too."""
        for other in self.replicas:
            if other is not None and other is not replica:
                other.tasks.append(other.hears(incarnation, applied))

    def granted(self, stream: Stream, message: FromAuthority) -> None:
        if isinstance(message, Lease):
            self.checks.granted(stream, message)

    # Time

    def advance(self, duration: int) -> None:
        """Time passes; what is due on the way happens when it is due."""
        end = self.time + duration
        while True:
            due = min((moment for moment in self._due() if moment <= end), default=None)
            if due is None:
                break
            self.time = max(self.time, due)
            self._timers()
            self.go_on()
            self.checks.check()
        self.time = end

    def heal(self) -> None:
        """Everything works again, for long enough that everybody has to serve, by what is so, and nothing is pending."""
        for index in range(2):
            self.start_replica(index)
        for replica in self.replicas:
            assert replica is not None
            if replica.paused or replica.slow:
                self.checks.disturbed(replica)
            replica.paused, replica.slow, replica.shows = False, False, None
            replica.wake()
        for connection in self.connections:
            connection.flows_up = connection.flows_down = True
        for index, guard in enumerate(self.guards):
            guard.paused = False
            if guard.left:
                self.crash_guard(index)
        self.go_on()
        self.checks.check()
        # A lease that was asked for before a clock was set is of no use, and the next one has its pace to wait for.
        self.advance(2 * PACE + SECOND // 2)
        self.checks.check()
        self.checks.healed()
        self.advance(BOUND)
        self.checks.check()
        self.checks.settled()

    def _due(self) -> Iterator[int]:
        for replica in self.running():
            tick = replica.barriers.next_tick()
            due = [stream.due for stream in replica.streams if stream.due is not None]
            yield from map(replica.machine.when, [replica.next_look, *due, *([] if tick is None else [tick])])
        for guard in self.guards:
            if not guard.paused and not guard.left:
                yield guard.machine.when(guard.next_renewal)

    def _timers(self) -> None:
        for replica in self.running():
            tick = replica.barriers.next_tick()
            if tick is not None and replica.clock.boot() >= tick:
                replica.tick()
            for stream in replica.streams:
                if stream.due is not None and replica.clock.boot() >= stream.due:
                    stream.due, stream.news = None, True
            if replica.clock.boot() >= replica.next_look:
                replica.next_look = BootTime(replica.clock.boot() + BOUND)
                replica.tasks.append(replica.look())
        for index, guard in enumerate(self.guards):
            if not guard.paused and not guard.left and guard.clock.boot() >= guard.next_renewal:
                if guard.connection is None:
                    self.connect(guard, index)
                guard.renew()


__all__ = ["ALL", "TOKEN", "World"]

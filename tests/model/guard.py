"""The guard's process: carries what the follower says and hears as `consentry_guard.rpc.authority` does, and begins writes."""

from collections.abc import Iterable
from typing import Any, cast

from consentry_core.callers.identity import Identity
from consentry_core.protocol.follow import LEASE_SECONDS, FromAuthority, FromGuard
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import ConsentryError
from consentry_guard.calls.call import Call
from consentry_guard.follow.follower import Applied, Follower
from model.history import Read
from model.machines import Connection, Machine, ProcessClock

RENEW_EVERY = LEASE_SECONDS * SECOND // 3


class GuardProcess:
    """One run of one process behind a guard."""

    call_class: type[Call] = Call
    follower_class: type[Follower] = Follower

    def __init__(self, incarnation: str, machine: Machine) -> None:
        self.incarnation = incarnation
        self.machine = machine
        self.clock = ProcessClock(machine)
        self.follower = self.follower_class(incarnation, "devices")
        self.connection: Connection | None = None
        self.paused = False
        self.left = False
        self.next_renewal = BootTime(0)
        self._calls: dict[Read, Call] = {}

    def connect(self, connection: Connection) -> None:
        """A connection was made."""
        self.connection = connection
        connection.up.extend(self.follower.connected(self.clock.boot(), self.clock.wall()))
        self.next_renewal = BootTime(self.clock.boot() + RENEW_EVERY)

    def hang_up(self) -> None:
        """The connection is gone, as far as this side can tell."""
        if self.connection is not None:
            self.connection.guard_there = False
            self.connection = None
            self.follower.disconnected()

    def send(self, messages: Iterable[FromGuard]) -> None:
        """Say this on the connection that there is."""
        if self.connection is not None:
            self.connection.up.extend(messages)

    def received(self, message: FromAuthority) -> Applied:
        """A message arrived."""
        applied = self.follower.received(message, self.clock.boot(), self.clock.wall())
        self.send(applied.reply)
        return applied

    def renew(self) -> None:
        """It is time to ask for the next lease."""
        self.send(self.follower.renewal(self.clock.boot(), self.clock.wall()))
        self.next_renewal = BootTime(self.clock.boot() + RENEW_EVERY)

    def farewell(self) -> None:
        """A clean stop: the connection is there until the authority hangs up."""
        self.left = True
        self.send(self.follower.farewell())

    def begins(self, read: Read) -> bool:
        """Whether a write of this begins now, if the call that it is for wants to write."""
        call = self._calls.get(read)
        if call is None:
            # The check needs neither the call to the service nor a way to follow more.
            identity = Identity(read.credential, read.secret_id)
            nobody = cast(Any, None)
            call = self._calls[read] = self.call_class(nobody, identity, self.follower, nobody, self.clock)
            if read.customer is not None:
                call.next_write(frozenset({(read.customer, read.data_class)}))
        try:
            call.check()
        except ConsentryError:
            return False
        return True

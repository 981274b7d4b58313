"""Runs that chance takes long to find, written down: each one a way in which a row or a lease could be taken for another."""

from consentry_core.values import names
from model.authority import Replica
from model.changes import ALL, PAIRS
from model.guard import GuardProcess
from model.machines import Connection
from model.world import World

MILLISECOND = 1_000_000
REVOKE = 0


def _go_on(world: World, milliseconds: int = 0) -> None:
    world.go_on()
    world.checks.check()
    world.advance(milliseconds * MILLISECOND)
    world.go_on()
    world.checks.check()


def _hold(guard: GuardProcess, *, up: bool = False, down: bool = False) -> Connection:
    """Hold what the guard says (`up`), and what it is told (`down`)."""
    assert guard.connection is not None
    guard.connection.flows_up, guard.connection.flows_down = not up, not down
    return guard.connection


def back_with_the_same_count(world: World) -> None:
    """A member is dropped and comes back; another barrier still waits for what it was, with the same count of leases."""
    world.crash_replica(1)
    world.crash_guard(0)
    _go_on(world)
    guard = world.guards[0]
    _hold(guard, up=True, down=True)
    world.commit(REVOKE, 0)
    _go_on(world, 1600)
    world.commit(REVOKE, 1)
    guard.paused = True
    _go_on(world, 3600)  # the first barrier has dropped it
    guard.paused = False
    world.connect(guard, 0)
    _hold(guard, down=True)
    _go_on(world)
    _hold(guard, up=True)  # it has a lease again, and what it says of that is not heard
    _go_on(world, 1500)  # the second barrier is over
    _hold(guard, up=True, down=True)
    world.commit(REVOKE, 2)
    _go_on(world)


def counted_late(world: World) -> None:
    """Members are read long after the commit: a lease that was granted in between outlasts the barrier."""
    slow, guard = _slow(world), world.guards[0]
    world.connect(guard, 1)
    _go_on(world)
    _hold(guard, down=True)
    world.commit(REVOKE, 0)
    slow.step(slow.tasks[-1])
    _go_on(world, 1700)  # another lease is granted
    slow.slow = False
    _go_on(world)  # the members are read
    _hold(guard, up=True)  # the lease arrives, and nobody hears of it
    _go_on(world, 3400)  # the barrier is over
    assert not world.database.pending()
    _hold(guard, up=True, down=True)
    world.commit(REVOKE, 2)
    _go_on(world)


def farewell_on_its_way(world: World) -> None:
    """A process says farewell and ends; another one runs on its machine when that is heard."""
    guard = world.guards[0]
    connection = _hold(guard, up=True)
    guard.farewell()
    world.crash_guard(0)
    _go_on(world, 1300)  # a name that is not new, if it should be one, has a lease again by now
    _hold(world.guards[0], down=True)
    connection.flows_up = True
    _go_on(world)
    world.commit(REVOKE, 0)
    _go_on(world)


def joined_meanwhile(world: World) -> None:
    """An incarnation joins while a change is being committed, and hears nothing more."""
    world.guards[0].farewell()
    _go_on(world)
    slow = _slow(world)
    tasks = len(slow.tasks)
    world.commit(REVOKE, 0)
    if not world.database.history.head:  # what is read before the commit is read
        assert len(slow.tasks) > tasks
        slow.step(slow.tasks[-1])
    world.crash_guard(0)
    world.connect(world.guards[0], 1)
    _go_on(world)
    _hold(world.guards[0], down=True)
    slow.slow = False
    _go_on(world)


def committed_meanwhile(world: World) -> None:
    """A change is committed while an incarnation that nobody knows yet gets its first lease, and is told all it asked for."""
    world.guards[0].farewell()
    _go_on(world)
    slow = _slow(world)
    world.crash_guard(0)
    guard, all_names = world.guards[0], [*world.credentials.values(), *world.interesting(world.guards[0])]
    asked = [world.credentials[ALL], names.CONSENT.format(*reversed(PAIRS[0]))]  # few enough for one answer
    guard.follower.forget(name for name in all_names if name not in asked)
    world.connect(guard, 0)
    connection, stream = guard.connection, slow.tasks[-1]
    assert connection is not None
    _go_on(world)
    slow.step(stream)
    world.commit(REVOKE, 1)
    _go_on(world)
    while not connection.down:
        slow.step(stream)
    _go_on(world)  # what is told arrives; of the change nobody hears here


def _slow(world: World) -> Replica:
    """The first replica, slow from now on; the second is not."""
    slow = world.replicas[0]
    assert slow is not None
    slow.slow = True
    world.checks.disturbed(slow)
    return slow

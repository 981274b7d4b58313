"""What can happen in the simulated world, as numbers: a run is a list of them, so that a failing one shrinks well."""

from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

from consentry_core.values.clock import SECOND
from model.authority import Replica
from model.guard import GuardProcess
from model.machines import Connection
from model.world import CONSENTS, PARTNERS, World

Step: TypeAlias = Callable[[World, int], None]

_DURATIONS = (1_000_000, 150_000_000, 700_000_000, 1_600_000_000, 3 * SECOND, 4_950_000_000, 5_200_000_000)
_WALL_STEPS = (SECOND, -SECOND, 3600 * SECOND, -3600 * SECOND)


def _guard(world: World, choice: int) -> GuardProcess:
    return world.guards[choice % 2]


def _replica(world: World, choice: int) -> Replica | None:
    return world.replicas[choice % 2]


def _connection(world: World, choice: int) -> Connection | None:
    return world.connections[choice % len(world.connections)] if world.connections else None


def advance(world: World, choice: int) -> None:
    """Time passes."""
    world.advance(_DURATIONS[choice % len(_DURATIONS)])


def change(world: World, choice: int) -> None:
    """The state is changed."""
    world.commit(choice, choice // 16)


def narrow(world: World, choice: int) -> None:
    """A consent is revoked: the commonest way of taking away."""
    world.commit(0, choice)


def widen(world: World, choice: int) -> None:
    """A customer is connected, or its consent granted."""
    world.commit(1, choice)


def ask_again(world: World, choice: int) -> None:
    """A call that has done its work is made again."""
    world.ask_again(choice)


def hold_up(world: World, choice: int) -> None:
    """What the guard says is on its way, and stays there."""
    connection = _connection(world, choice)
    if connection is not None:
        connection.flows_up = False


def hold_down(world: World, choice: int) -> None:
    """What the authority says is on its way, and stays there."""
    connection = _connection(world, choice)
    if connection is not None:
        connection.flows_down = False


def flow(world: World, choice: int) -> None:
    """A connection flows again."""
    connection = _connection(world, choice)
    if connection is not None:
        connection.flows_up = connection.flows_down = True


def deliver(world: World, choice: int) -> None:
    """One message arrives on a connection that is held."""
    connection = _connection(world, choice // 2)
    if connection is None:
        return
    if choice % 2 and connection.up:
        world.deliver_up(connection)
    elif connection.down and connection.guard_there and not connection.process.paused:
        world.deliver_down(connection)


def connect(world: World, choice: int) -> None:
    """A guard connects anew, whatever it had."""
    world.connect(_guard(world, choice), choice // 2)


def cut(world: World, choice: int) -> None:
    """A guard is cut off: its connection breaks, and the authority hears nothing of that."""
    guard = _guard(world, choice)
    if guard.connection is not None and not guard.paused:
        guard.connection.flows_up = choice // 2 % 2 == 0
        guard.hang_up()


def pause_guard(world: World, choice: int) -> None:
    """SIGSTOP, or SIGCONT."""
    guard = _guard(world, choice)
    guard.paused = not guard.paused


def crash_guard(world: World, choice: int) -> None:
    """Kill -9, and another start."""
    world.crash_guard(choice % 2)


def farewell(world: World, choice: int) -> None:
    """A guard's process begins to stop; a crash makes it another."""
    guard = _guard(world, choice)
    if not guard.paused and not guard.left:
        guard.farewell()


def forget(world: World, choice: int) -> None:
    """A guard wants to know no more about something."""
    guard, choice = _guard(world, choice), choice // 2
    wanted = [*world.credentials.values(), *CONSENTS, *PARTNERS]
    if not guard.paused:
        guard.send(guard.follower.forget(wanted[choice % len(wanted)] for choice in (choice, choice // 8)))


def want(world: World, choice: int) -> None:
    """A guard wants to know everything, or one thing."""
    guard, choice = _guard(world, choice), choice // 2
    wanted = [*world.credentials.values(), *CONSENTS, *PARTNERS]
    if not guard.paused:
        all_ = [*world.credentials.values(), *world.interesting(guard)]
        guard.send(guard.follower.want(all_ if choice % 4 == 0 else [wanted[choice // 4 % len(wanted)]]))


def pause_replica(world: World, choice: int) -> None:
    """SIGSTOP, or SIGCONT."""
    replica = _replica(world, choice)
    if replica is not None:
        replica.paused = not replica.paused
        world.checks.disturbed(replica)


def slow_replica(world: World, choice: int) -> None:
    """Its database is slow, or no longer: every step waits for `step_replica`."""
    replica = _replica(world, choice)
    if replica is not None:
        replica.slow = not replica.slow
        world.checks.disturbed(replica)


def step_replica(world: World, choice: int) -> None:
    """One task of a slow replica goes on by one step: half of the time the newest."""
    replica, choice = _replica(world, choice), choice // 2
    if replica is not None and not replica.paused and replica.tasks:
        replica.step(replica.tasks[-1 - (choice // 2 % len(replica.tasks) if choice % 2 else 0)])


def crash_replica(world: World, choice: int) -> None:
    """Kill -9."""
    world.crash_replica(choice % 2)


def start_replica(world: World, choice: int) -> None:
    """It starts again."""
    world.start_replica(choice % 2)


def lag(world: World, choice: int) -> None:
    """What a replica reads stands still, goes back to an older copy, or is the primary's again."""
    replica, choice = _replica(world, choice), choice // 2
    if replica is not None:
        replica.shows = None if choice % 3 == 0 else max(world.database.history.head - choice % 3 + 1, 0)
        replica.wake()


def step_wall(world: World, choice: int) -> None:
    """Somebody sets a wall clock."""
    replica = _replica(world, choice)
    if replica is not None:
        replica.machine.wall_offset += _WALL_STEPS[choice // 2 % len(_WALL_STEPS)]


def pause_machine(world: World, choice: int) -> None:
    """The virtual machine that a guard runs in is paused, its boot clock too; when it goes on its wall clock is set."""
    guard = _guard(world, choice)
    if not guard.paused:
        duration = _DURATIONS[choice // 2 % len(_DURATIONS)]
        guard.paused = True
        world.advance(duration)
        guard.machine.stand_still(duration)
        guard.paused = False


def step_guard_wall(world: World, choice: int) -> None:
    """Somebody sets the wall clock of a guard's machine."""
    _guard(world, choice).machine.wall_offset += _WALL_STEPS[choice // 2 % len(_WALL_STEPS)]


def restore(world: World, choice: int) -> None:
    """The database is restored from a backup."""
    world.restore(1 + choice % 4)


def heal(world: World, _choice: int) -> None:
    """Everything works again; a moment later everybody serves, by what is so."""
    world.heal()


def connect_held(world: World, choice: int) -> None:
    """A guard connects anew, and hears nothing on the new connection yet."""
    guard, choice = _guard(world, choice), choice // 2
    world.connect(guard, choice)
    if guard.connection is not None:
        guard.connection.flows_down = False
        guard.connection.flows_up = choice // 2 % 2 == 0


def _table(**weights: int) -> Sequence[Step]:
    return tuple(globals()[name] for name, weight in weights.items() for _ in range(weight))


_STATE = {"advance": 4, "narrow": 4, "widen": 2}

TROUBLES: Mapping[str, Sequence[Step]] = {
    # Everything together, and then one kind of trouble at a time: rare sequences are found sooner among fewer things.
    "everything": _table(
        advance=12, narrow=8, change=10, widen=8, hold_up=4, hold_down=4, flow=4, deliver=8, connect=4, connect_held=3, cut=3,
        pause_guard=4, crash_guard=2, farewell=2, forget=3, want=4, pause_replica=2, slow_replica=4, step_replica=10,
        crash_replica=2, start_replica=3, lag=5, step_wall=1, restore=1, heal=2, ask_again=6,
        pause_machine=2, step_guard_wall=1,
    ),
    "silent members": _table(
        **_STATE, hold_up=2, hold_down=2, flow=2, connect_held=2, cut=2, crash_guard=1, deliver=2,
    ),
    "a slow database": _table(
        **_STATE, slow_replica=1, step_replica=12, connect=2, crash_guard=2, hold_down=3, flow=1, lag=1,
    ),
    "restarts": _table(
        **_STATE, crash_replica=2, start_replica=3, pause_replica=2, cut=2, connect=2, restore=1, hold_down=1,
    ),
    "comings and goings": _table(
        **_STATE, farewell=3, crash_guard=3, hold_up=2, hold_down=2, flow=2, deliver=3, connect_held=1,
    ),
    "interests": _table(**_STATE, forget=4, want=6, hold_down=2, hold_up=2, deliver=6, flow=2, change=4),
    "ends and clocks": _table(**_STATE, change=8, pause_guard=3, hold_down=2, flow=2, step_wall=2, deliver=1),
    "machines": _table(
        **_STATE, change=4, pause_machine=3, step_guard_wall=1, hold_up=2, hold_down=2, flow=3, deliver=2, cut=1, connect=1,
        step_wall=1,
    ),
    "asking again": _table(
        **_STATE, change=6, ask_again=6, hold_up=2, hold_down=2, flow=2, deliver=2, slow_replica=1, step_replica=4,
        crash_replica=1, start_replica=2, restore=1, pause_guard=1, cut=1,
    ),
    "copies that lag": _table(**_STATE, change=4, lag=5, connect=4, connect_held=2, deliver=4, flow=2, hold_down=1),
}  # fmt: skip
"""What a run is drawn from."""

HIGHEST = (1 << 20) - 1


def decode(trouble: str, numbers: Sequence[int]) -> list[tuple[Step, int]]:
    """What happens in a run, and what each step is about."""
    table = TROUBLES[trouble]
    return [(table[number % len(table)], number // len(table)) for number in numbers]


def run(world: World, trouble: str, numbers: Sequence[int]) -> None:
    """A whole run; at its end everything heals."""
    for step, choice in decode(trouble, numbers):
        step(world, choice)
        world.go_on()
        world.checks.check()
    world.heal()


def told(trouble: str, numbers: Sequence[int]) -> str:
    """A run in words."""
    return "\n".join(f"{step.__name__}({choice})" for step, choice in decode(trouble, numbers))

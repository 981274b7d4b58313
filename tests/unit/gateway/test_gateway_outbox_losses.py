"""Nothing leaves the outbox silently: whatever happens, and killed whenever it is."""

import contextlib
import subprocess
import sys
import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from consentry_gateway.outbox.outbox import Outbox, OutboxFull
from support.outboxes import RANDOM, measured, seconds_of


@given(
    st.lists(
        st.one_of(
            st.tuples(st.just("put"), st.integers(1, 3), st.booleans()),
            st.tuples(st.just("acknowledge"), st.integers(0, 5), st.just(False)),
            st.tuples(st.just("refuse"), st.integers(1, 5), st.just(False)),
            st.tuples(st.just("send"), st.integers(1, 4), st.just(False)),
            st.tuples(st.just("restart"), st.just(0), st.just(False)),
        ),
        max_size=30,
    )
)
@settings(max_examples=30, deadline=None)
def test_each_reading_is_pending_acknowledged_or_part_of_a_loss(steps: list[tuple[str, int, bool]]) -> None:
    """Whatever happens, in a folder of its own: no second is silently missing, and no number."""
    with tempfile.TemporaryDirectory() as folder:
        outbox = Outbox(Path(folder), RANDOM, most_bytes=900)
        put: set[int] = set()
        done: set[int] = set()  # acknowledged, as readings or as a loss
        first = 0
        for what, count, with_told in steps:
            if what == "put":
                seconds = range(len(put) + 1, len(put) + 1 + count)
                put |= set(seconds)
                with contextlib.suppress(OutboxFull):
                    outbox.append([measured(second, b"told" * 20 if with_told else b"") for second in seconds], {})
            elif what == "acknowledge":
                sent = outbox.after(first, 1_000)[:count]
                for each in sent:
                    done |= seconds_of(each)
                    first = each.number
                outbox.acknowledge(first)
            elif what == "refuse":
                sent = outbox.after(first, count)
                if sent and sent[-1].payload:
                    outbox.empty(sent[-1].number)
            elif what == "send":
                outbox.after(first, count)
            else:
                outbox.close()
                outbox = Outbox(Path(folder), RANDOM, most_bytes=900)
        left = outbox.after(first, 1_000)
        assert done.union(*map(seconds_of, left)) >= put
        numbers = [number for each in left for number in range(each.number - each.count + 1, each.number + 1)]
        assert numbers == sorted(numbers)
        assert {number for number in numbers if number > first} == set(
            range(first + 1, (numbers[-1] if numbers else first) + 1)
        )
        outbox.close()


_DROPPING = """
import itertools, os, pathlib, sys
from consentry_gateway.outbox.outbox import Draft, Outbox, Span
outbox = Outbox(pathlib.Path(sys.argv[1]), os.urandom, most_bytes=20_000)
for second in itertools.count(1):
    outbox.append([Draft("ups", b"told" if second % 50 == 0 else b"", b"r" * 500, Span(second * 10**9, second * 10**9))], {})
    print(second, flush=True)
"""


def test_killed_in_the_middle_of_dropping_it_misses_nothing(tmp_path: Path) -> None:
    for kill_after in (60, 90, 130):
        folder = tmp_path / str(kill_after)
        with subprocess.Popen([sys.executable, "-c", _DROPPING, str(folder)], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for _ in range(kill_after):
                last = int(process.stdout.readline())
            process.kill()
            last = max([last, *map(int, process.stdout.read().split())])
        outbox = Outbox(folder, RANDOM)
        left = outbox.after(0, 1_000)
        assert set().union(*map(seconds_of, left)) >= set(range(1, last + 1))
        numbers = [number for each in left for number in range(each.number - each.count + 1, each.number + 1)]
        assert numbers == list(range(1, numbers[-1] + 1))
        assert sum(each.payload.startswith(b"told") for each in left) == last // 50
        assert sum(each.lost for each in left) >= 1
        outbox.close()

"""Cursors are bound to what they came from; the ring forgets the oldest and says so."""

import asyncio
import functools
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentry_core.values.errors import InvalidArgument, OutOfRange
from consentry_devices.feed.cursor import MOST_NAMED, NOTHING, Cursor, Cursors, Known, Phase, Place, laid_over
from consentry_devices.log.entries import Entry, Kind
from consentry_devices.log.ring import BATCH_BYTES, Ring
from consentry_devices.log.runs import Runs
from consentry_rule import CustomerId, DataClass, Instant

KEY = secrets.token_bytes(32)


@dataclass(frozen=True)
class Numbers:
    """What cursors ask of a log. Runs: (first number, name)."""

    store_id: str = "store-1"
    last: int = 2**63 - 1
    runs: tuple[tuple[int, str], ...] = ((1, "run-1"),)

    def tail(self) -> int:
        return self.last

    def run_of(self, seq: int) -> str:
        return Runs(self.runs).of(seq)


CURSORS = Cursors(KEY, Numbers(), "acme", "north;")

numbers = st.integers(0, 2**63 - 1)
instants = st.integers(0, 2**62).map(Instant)
digests = st.binary(min_size=8, max_size=8)
places = st.builds(Place, numbers, numbers, instants, numbers, st.sampled_from(["", "north/ups", "north/" + "d" * 63]))
some = st.frozensets(digests, max_size=3)
flags = (st.none() | some, st.booleans(), st.booleans(), st.booleans())
knowns = st.builds(Known, digests, numbers, instants, digests, digests, *flags)
cursors = st.builds(Cursor, places, knowns, st.sampled_from(Phase), some)


def at(seq: int) -> Cursor:
    return Cursor(Place.at(seq, Instant(3)), Known())


@given(cursors)
def test_a_cursor_is_read_back_as_it_was_made(cursor: Cursor) -> None:
    assert CURSORS.read(CURSORS.make(cursor)) == cursor


@given(cursors, st.integers(0), st.integers(1, 255))
def test_a_changed_cursor_is_refused(cursor: Cursor, place: int, flip: int) -> None:
    text = CURSORS.make(cursor)
    place %= len(text)
    changed = text[:place] + chr((ord(text[place]) + flip) % 128) + text[place + 1 :]
    if changed != text:
        with pytest.raises((InvalidArgument, OutOfRange)):
            CURSORS.read(changed)


def test_a_cursor_names_so_many_members_and_of_more_none() -> None:
    """With another key than before, nothing is known of them then."""
    cursor = at(1)
    for number in range(MOST_NAMED):
        cursor = cursor.entering(f"c{number}", b"k" * 8)
    assert len(cursor.entered) == MOST_NAMED
    assert cursor.entering("c7", b"k" * 8) == cursor, "it has entered already"
    assert len(cursor.leaving("c7").entered) == MOST_NAMED - 1
    assert cursor.leaving("never") == cursor
    assert len(CURSORS.make(cursor)) < 800
    more = cursor.entering("one-more", b"k" * 8)
    assert (more.known.named, more.entered) == (None, frozenset())
    assert (more.known.epoch, more.known.key) == (NOTHING, NOTHING)
    same = replace(cursor, known=replace(cursor.known, epoch=b"e" * 8, key=b"k" * 8)).entering("one-more", b"k" * 8)
    assert (same.known.named, same.known.epoch, same.known.key) == (None, b"e" * 8, b"k" * 8)
    assert more.leaving("c7") == more


@pytest.mark.parametrize("text", ["", "x", "é", "A" * 100, "A" * 1000, " "])
def test_what_is_no_cursor_is_an_invalid_argument(text: str) -> None:
    with pytest.raises(InvalidArgument, match="after_cursor"):
        CURSORS.read(text)


def test_a_cursor_of_another_store_asks_for_a_resync() -> None:
    foreign = Cursors(secrets.token_bytes(32), Numbers("store-2"), "acme", "north;").make(at(1))
    with pytest.raises(OutOfRange) as caught:
        CURSORS.read(foreign)
    assert caught.value.reason == "RESYNC_REQUIRED"


def test_a_cursor_of_what_a_restored_store_has_lost_asks_for_a_resync() -> None:
    """The copy ended at 10; what came after it is another run's, before and after its number is reached again."""
    before = Cursors(KEY, Numbers(last=20, runs=((1, "run-1"), (5, "run-2"))), "acme", "north;")
    restored = Cursors(KEY, Numbers(last=12, runs=((1, "run-1"), (5, "run-2"), (11, "run-3"))), "acme", "north;")
    for seq in (0, 1, 7, 10):
        assert restored.read(before.make(at(seq))) == at(seq)
    for seq in (11, 12, 13, 20):
        with pytest.raises(OutOfRange, match="restored") as caught:
            restored.read(before.make(at(seq)))
        assert caught.value.reason == "RESYNC_REQUIRED"


@pytest.mark.parametrize(("partner", "filter_text"), [("other", "north;"), ("acme", "south;"), ("acmenorth", ";")])
def test_a_cursor_of_another_partner_or_filter_is_refused(partner: str, filter_text: str) -> None:
    foreign = Cursors(KEY, Numbers(), partner, filter_text).make(at(1))
    with pytest.raises(InvalidArgument, match="same partner"):
        CURSORS.read(foreign)


@given(st.lists(st.binary(min_size=8, max_size=8)), st.randoms())
def test_digests_are_laid_over_each_other_in_any_order(digests: list[bytes], random: Random) -> None:
    one = functools.reduce(laid_over, digests, NOTHING)
    random.shuffle(digests)
    assert functools.reduce(laid_over, digests, NOTHING) == one
    assert functools.reduce(laid_over, digests, one) == NOTHING


def entry(seq: int, size: int = 10) -> Entry:
    return Entry(
        seq,
        CustomerId("north"),
        DataClass.TELEMETRY,
        Kind.TELEMETRY,
        "d",
        Instant(seq),
        Instant(seq),
        Instant(seq),
        False,
        bytes(size),
    )


def seqs(entries: Sequence[Entry] | None) -> list[int]:
    assert entries is not None
    return [entry.seq for entry in entries]


def test_the_ring_gives_what_came_after() -> None:
    ring = Ring(tail=100)
    assert ring.after(100) == ()
    assert ring.after(99) is None, "entry 100 came before the ring"
    ring.take((entry(101), entry(102)))
    ring.take((entry(103),))
    assert seqs(ring.after(100)) == [101, 102, 103]
    assert seqs(ring.after(101)) == [102, 103]
    assert ring.after(103) == ()
    assert ring.after(99) is None


def test_the_ring_gives_batches_that_end_in_the_same_places_for_all() -> None:
    """So that what is made of them is made once."""
    ring = Ring(tail=0)
    ring.take(tuple(entry(seq, size=BATCH_BYTES // 3) for seq in range(1, 8)))
    assert seqs(ring.after(0)) == [1, 2, 3]
    assert seqs(ring.after(1)) == [2, 3]
    assert seqs(ring.after(3)) == [4, 5, 6]
    assert seqs(ring.after(6)) == [7]
    ring.take((entry(8, size=2 * BATCH_BYTES), entry(9)))
    assert seqs(ring.after(6)) == [7], "one that is longer than a batch is one by itself"
    assert seqs(ring.after(7)) == [8]
    assert seqs(ring.after(8)) == [9]


def test_the_ring_is_bounded_by_count_and_by_size() -> None:
    size = BATCH_BYTES // 2
    ring = Ring(tail=0, max_entries=4, max_bytes=5 * size)
    ring.take(tuple(entry(seq, size) for seq in range(1, 6)))
    assert ring.after(1) is None
    assert seqs(ring.after(2)) == [3, 4]
    ring.take((entry(6, size=5 * size),))
    assert ring.after(4) is None
    assert seqs(ring.after(5)) == [6]


async def test_the_ring_wakes_whoever_listens() -> None:
    ring = Ring(tail=0)
    with ring.listening() as bell:
        waiting = asyncio.create_task(bell.wait())
        ring.take((entry(1),))
        assert await asyncio.wait_for(waiting, 1)
    bell.clear()
    ring.take((entry(2),))
    assert not await bell.wait(0)

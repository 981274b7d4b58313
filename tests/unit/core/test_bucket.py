"""Token buckets: how much there is, when there is more, and what is forgotten."""

import pytest

from consentry_core.pacing.bucket import Bucket, Buckets, Rate
from consentry_core.values.clock import SECOND, BootTime

RATE = Rate(burst=10, per_second=1)


def at(seconds: float) -> BootTime:
    return BootTime(round(seconds * SECOND))


def test_a_bucket_is_each_names_own_and_fills_steadily() -> None:
    buckets = Buckets()
    buckets.of("a", RATE, at(100)).take(12, at(100))
    assert buckets.of("a", RATE, at(100)).wait(at(100), 1) == pytest.approx(3)
    assert buckets.of("b", RATE, at(100)).wait(at(100), 1) == 0
    assert buckets.of("a", RATE, at(103)).wait(at(103), 1) == 0
    bucket = buckets.of("a", RATE, at(1_100))
    assert bucket.full(at(1_100))
    bucket.take(11, at(1_100))
    assert bucket.wait(at(1_100), 1) > 0, "no more gathers than what can be taken at once"


def test_taking_tells_how_long_it_is_overdrawn() -> None:
    bucket = Bucket(RATE, at(0))
    assert [bucket.take(5, at(0)) for _ in range(3)] == [0, 0, 5]
    assert bucket.left(at(0)) == -5


def test_one_is_taken_only_if_it_is_there() -> None:
    bucket = Bucket(Rate(burst=2, per_second=0.5), at(0))
    assert [bucket.take_one(at(0)) for _ in range(3)] == [True, True, False]
    assert not bucket.take_one(at(1.9))
    assert bucket.take_one(at(2))


def test_another_rate_counts_from_then_on_and_at_most_so_many_are_remembered() -> None:
    buckets = Buckets(most=2)
    buckets.of("a", RATE, at(0)).take(10, at(0))
    assert buckets.of("a", Rate(burst=10, per_second=5), at(1)).left(at(1)) == 5
    for name in ("b", "a", "c"):  # "b" was not asked for for longest
        buckets.of(name, RATE, at(1)).take(1, at(1))
    assert buckets.of("a", RATE, at(1)).left(at(1)) == 4
    assert buckets.of("b", RATE, at(1)).left(at(1)) == 10

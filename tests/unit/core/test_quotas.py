"""Quotas at one process: what is let in, what is told to be left, and when to come back."""

from typing import Any, cast

import pytest

from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.rpc.server.quotas import QuotaMeter
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import ResourceExhausted
from consentry_rule import NO_QUOTA, Quota

KEY = "partners/acme/keys/k"


def at(seconds: float) -> BootTime:
    return BootTime(round(seconds * SECOND))


async def call(*, streaming: bool = False) -> OpenCall:
    return OpenCall("/test", cast("Any", None), streaming=streaming)


async def test_calls_of_a_minute_may_come_at_once_and_then_one_by_one() -> None:
    quotas, quota = QuotaMeter(), Quota(calls_per_minute=3)
    left = [quotas.admit(KEY, quota, await call(), at(0)) for _ in range(3)]
    assert left == [(("consentry-calls-left", str(number)),) for number in (2, 1, 0)]
    with pytest.raises(ResourceExhausted) as refused:
        quotas.admit(KEY, quota, await call(), at(5))
    assert (refused.value.reason, refused.value.metadata) == ("CALLS_PER_MINUTE_EXCEEDED", {"quota": "3"})
    assert refused.value.retry_after == pytest.approx(15)
    quotas.admit(KEY, quota, await call(), at(20.001))
    with pytest.raises(ResourceExhausted):
        quotas.admit(KEY, quota, await call(), at(20.002))
    assert quotas.admit(KEY, quota, await call(), at(500)) == (("consentry-calls-left", "2"),), "a minute's worth at most"


async def test_a_key_uses_up_its_own_quota_only() -> None:
    quotas, quota = QuotaMeter(), Quota(calls_per_minute=1)
    quotas.admit(KEY, quota, await call(), at(0))
    assert quotas.admit("partners/acme/keys/other", quota, await call(), at(0))
    assert quotas.admit("partners/acme/keys/free", NO_QUOTA, await call(), at(0)) == ()


async def test_a_raised_quota_counts_from_now_on() -> None:
    quotas = QuotaMeter()
    quotas.admit(KEY, Quota(calls_per_minute=1), await call(), at(0))
    quotas.admit(KEY, Quota(calls_per_minute=600), await call(), at(0.2))
    quotas.admit(KEY, NO_QUOTA, await call(), at(0.2))


async def test_open_streams_are_counted_until_they_are_over() -> None:
    quotas, quota = QuotaMeter(), Quota(open_streams=2)
    first, second = await call(streaming=True), await call(streaming=True)
    assert quotas.admit(KEY, quota, first, at(0)) == (("consentry-streams-left", "1"),)
    assert quotas.admit(KEY, quota, second, at(0)) == (("consentry-streams-left", "0"),)
    third = await call(streaming=True)
    with pytest.raises(ResourceExhausted) as refused:
        quotas.admit(KEY, quota, third, at(0))
    assert refused.value.reason == "OPEN_STREAMS_EXCEEDED"
    assert refused.value.retry_after > 0
    quotas.release(third)
    assert quotas.admit(KEY, quota, await call(), at(0)) == (("consentry-streams-left", "0"),), "one answer is no stream"
    quotas.release(first)
    quotas.admit(KEY, quota, third, at(0))


async def test_a_key_without_a_quota_of_streams_has_as_many_as_any_key() -> None:
    quotas = QuotaMeter(streams_per_key=2)
    for _ in range(2):
        assert quotas.admit(KEY, NO_QUOTA, await call(streaming=True), at(0)) == (), "what is left is told of quotas only"
    with pytest.raises(ResourceExhausted) as refused:
        quotas.admit(KEY, NO_QUOTA, await call(streaming=True), at(0))
    assert (refused.value.reason, refused.value.metadata) == ("OPEN_STREAMS_EXCEEDED", {"quota": "2"})
    assert refused.value.retry_after > 0
    quotas.admit(KEY, Quota(open_streams=3), await call(streaming=True), at(0))
    quotas.admit("partners/acme/keys/other", NO_QUOTA, await call(streaming=True), at(0))


async def test_streams_that_were_open_before_there_was_a_quota_count() -> None:
    quotas = QuotaMeter()
    open_ones = [await call(streaming=True) for _ in range(3)]
    for each in open_ones:
        quotas.admit(KEY, NO_QUOTA, each, at(0))
    with pytest.raises(ResourceExhausted):
        quotas.admit(KEY, Quota(open_streams=3), await call(streaming=True), at(0))

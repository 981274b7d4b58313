"""Coroutines that have begun."""

import asyncio

import pytest

from consentry_core.pacing.begun import Begun


async def test_its_first_step_is_made_at_once_and_the_rest_by_who_awaits() -> None:
    steps, go_on = list[str](), asyncio.Event()

    async def story() -> str:
        steps.append("begun")
        await go_on.wait()
        steps.append("ended")
        return "the end"

    begun = Begun(story())
    assert steps == ["begun"]
    assert not begun.over
    go_on.set()
    assert await begun == "the end"
    assert steps == ["begun", "ended"]


async def test_one_that_never_waits_is_over_at_once() -> None:
    async def story() -> int:
        return 7

    begun = Begun(story())
    assert begun.over
    assert await begun == 7


async def test_what_it_raises_is_for_who_awaits() -> None:
    async def at_once() -> None:
        raise ValueError("first step")

    async def later() -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    for story in (at_once, later):
        begun = Begun(story())
        assert not begun.over
        with pytest.raises(ValueError, match=r"first step|later"):
            await begun


async def test_it_is_cancelled_with_who_awaits() -> None:
    cleaned = asyncio.Event()

    async def story() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.set()

    begun = Begun(story())

    async def waits() -> None:
        await begun

    waiting = asyncio.create_task(waits())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cleaned.is_set()

"""Being told by a PostgreSQL server that something was committed: LISTEN, on a connection of its own.

A notice is a hint and never the news itself: whoever is told looks into the database from where it stands. So one that was
missed costs time and nothing else, and a reader looks every now and then anyhow. Whenever notices may have been missed (at the
start, and after each connection anew) that is told too, as a notice without a channel.

A connection can die unseen. It is asked something now and then, and given up when no answer comes.
"""

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, Callable
from typing import Any, Final, NamedTuple

import psycopg
from psycopg import sql

from consentry_core.sql.postgres import driver_address

_log = logging.getLogger(__name__)


class Notice(NamedTuple):
    """What was told: on which channel, with which payload. No channel: anything may have been told meanwhile."""

    channel: str
    payload: str = ""


MISSED: Final = Notice("")


async def listen(
    url: str,
    *channels: str,
    away: Callable[[int], float],
    password: str = "",
    every: float = 1.0,
    patience: float = 3.0,
) -> AsyncGenerator[Notice, None]:
    """The notices of these channels for as long as this is iterated, through lost connections too.

    `every`: seconds of silence after which the server is asked whether it is there; `patience`: seconds that it has to answer.
    `away`: seconds to wait before connecting for the n-th time (from 0) since an answer came.
    """
    failures = 0
    while True:
        try:
            connection = await psycopg.AsyncConnection.connect(
                driver_address(url, password), autocommit=True, application_name="consentry-notices", connect_timeout=5
            )
            try:
                for channel in channels:
                    await connection.execute(sql.SQL("LISTEN {}").format(sql.Identifier(channel)))
                if failures:
                    _log.info("notices of the database come again")
                failures = 0
                yield MISSED
                async for notice in _notices(connection, every, patience):
                    yield notice
            finally:
                await _close(connection, patience)
        except (psycopg.Error, OSError) as error:  # a time-out is one of the latter
            if not failures:
                _log.warning("notices of the database are lost (%s); looking now and then instead", type(error).__name__)
            await asyncio.sleep(away(failures))
            failures += 1


async def _notices(connection: psycopg.AsyncConnection[Any], every: float, patience: float) -> AsyncGenerator[Notice, None]:
    while True:
        async for told in connection.notifies(timeout=every):
            yield Notice(told.channel, told.payload)
        asking = asyncio.ensure_future(connection.execute("SELECT 1"))  # nothing for a while: is anybody there?
        asking.add_done_callback(lambda asked: asked.cancelled() or asked.exception())  # seen, whoever still waits for it
        answered, _ = await asyncio.wait({asking}, timeout=patience)
        if not answered:
            connection.pgconn.finish()  # a cancellation would be sent to the server, and waited for
        await asking


async def _close(connection: psycopg.AsyncConnection[Any], patience: float) -> None:
    with contextlib.suppress(psycopg.Error, OSError):
        async with asyncio.timeout(patience):
            await connection.close()

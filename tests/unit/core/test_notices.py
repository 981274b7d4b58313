"""Notices of a real PostgreSQL: told, missed, and a connection that died unseen."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager

import psycopg
import sqlalchemy as sa

from consentry_core.sql.notices import MISSED, Notice, listen
from consentry_core.sql.postgres import driver_address
from support.postgres import PostgresServer, new_database
from support.tcp_proxy import TcpProxy


async def notify(url: str, channel: str, payload: str) -> None:
    async with await psycopg.AsyncConnection.connect(driver_address(url), autocommit=True) as connection:
        await connection.execute("SELECT pg_notify(%s, %s)", [channel, payload])


@asynccontextmanager
async def listening(url: str, *channels: str, every: float = 0.05) -> AsyncIterator[AsyncIterator[Notice]]:
    async with asyncio.timeout(60), aclosing(listen(url, *channels, every=every, patience=0.5, away=lambda _: 0.02)) as notices:
        yield notices


async def test_what_is_committed_elsewhere_is_told_on_its_channel_only(database_url: str) -> None:
    async with listening(database_url, "revisions", "odd name;--") as notices:
        assert await anext(notices) == MISSED
        await notify(database_url, "others", "0")
        await notify(database_url, "revisions", "41")
        await notify(database_url, "odd name;--", "42")
        assert [await anext(notices) for _ in range(2)] == [Notice("revisions", "41"), Notice("odd name;--", "42")]


async def test_after_a_killed_server_what_was_missed_is_said_and_notices_come_again() -> None:
    server = PostgresServer()
    try:
        with new_database(server.url("postgres"), "listened") as url:
            async with listening(url, "revisions") as notices:
                assert await anext(notices) == MISSED
                await asyncio.to_thread(server.kill)
                coming = asyncio.ensure_future(anext(notices))
                await asyncio.to_thread(server.start)
                assert await coming == MISSED
                await notify(url, "revisions", "1")
                assert await anext(notices) == Notice("revisions", "1")
    finally:
        server.stop()


async def test_a_connection_that_died_unseen_is_found_out(database_url: str) -> None:
    address = sa.make_url(database_url)
    proxy = TcpProxy(f"{address.host}:{address.port}")
    await proxy.start()
    host, _, port = proxy.address.rpartition(":")
    through = address.set(host=host, port=int(port)).render_as_string(hide_password=False)
    async with listening(through, "revisions") as notices:
        assert await anext(notices) == MISSED
        proxy.swallow()
        assert await anext(notices) == MISSED
        await notify(database_url, "revisions", "7")
        assert await anext(notices) == Notice("revisions", "7")
    await proxy.close()

"""A bare grpc.aio server with one streaming method, the baseline of `bench.revocation` and `bench.memory`.

Every stream says hello and then waits; `{"cut": true}` on standard input ends all of them with PERMISSION_DENIED. No gate, no
guard, no feed: what gRPC itself costs. `{"rss": true}` as in `bench.devices_process`.
"""

import asyncio
import gc
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import click
import grpc

from bench.devices_process import answer_questions, resident_kib
from consentry.devices.v1 import feed_pb2, feed_pb2_grpc
from consentry_core.rpc.server.open_call import Context
from consentry_core.rpc.server.serving import OPTIONS, announce


class _Feed(feed_pb2_grpc.FeedServiceServicer):
    def __init__(self) -> None:
        self.cut = asyncio.Event()

    async def Watch(  # noqa: N802 - the proto's name
        self, request: feed_pb2.WatchRequest, context: Context
    ) -> AsyncIterator[feed_pb2.WatchResponse]:
        yield feed_pb2.WatchResponse(synced=feed_pb2.WatchResponse.Synced())
        await self.cut.wait()
        await context.abort(grpc.StatusCode.PERMISSION_DENIED, "cut")


async def _serve(ready_file: Path) -> None:
    feed, loop = _Feed(), asyncio.get_running_loop()
    server = grpc.aio.server(options=OPTIONS)
    feed_pb2_grpc.add_FeedServiceServicer_to_server(feed, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()

    def cut() -> None:
        feed.cut.set()
        feed.cut = asyncio.Event()

    def answer(question: dict[str, Any]) -> Any:
        if "rss" in question:
            gc.collect()
            return resident_kib()
        now = time.time_ns()
        loop.call_soon_threadsafe(cut)
        return now

    answer_questions(answer)
    announce(f"127.0.0.1:{port}", ready_file)
    await asyncio.Event().wait()


@click.command()
@click.option("--ready-file", type=click.Path(path_type=Path), required=True)
def main(ready_file: Path) -> None:
    """Serve."""
    asyncio.run(_serve(ready_file))


if __name__ == "__main__":
    main()

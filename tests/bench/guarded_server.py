"""A server for `bench.decision`: one unary method, served bare on one port and behind a guard on another.

Both have the options that the services run with and the same handler. The guarded one does what guarding means: who calls,
whether this method is for it, whether the customer is open to it now, and the check of the write.
"""

import asyncio
import signal
from collections.abc import Iterable
from pathlib import Path

import click
import grpc

from consentry.devices.v1 import telemetry_pb2
from consentry_core.callers.policy import Caller
from consentry_core.process.lifecycle import settle
from consentry_core.rpc.server.gate import GatedServer
from consentry_core.rpc.server.open_call import Context
from consentry_core.rpc.server.serving import OPTIONS, announce
from consentry_guard import Access, Guard
from consentry_rule import CustomerId, DataClass

METHOD = "/consentry.bench.Latest/Query"
_ANSWER = telemetry_pb2.QueryLatestResponse(
    readings=[telemetry_pb2.Reading(device="customers/north/devices/ups", sensor="load", value=41.5)]
)


async def _answer(request: telemetry_pb2.QueryLatestRequest, context: Context) -> telemetry_pb2.QueryLatestResponse:
    return _ANSWER


def _scope(request: telemetry_pb2.QueryLatestRequest) -> Iterable[Access]:
    return ((CustomerId(request.parent.removeprefix("customers/")), DataClass.TELEMETRY),)


def _server(guard: Guard | None = None) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(options=OPTIONS)
    _, service, method = METHOD.split("/")
    handler = grpc.unary_unary_rpc_method_handler(
        _answer,
        request_deserializer=telemetry_pb2.QueryLatestRequest.FromString,
        response_serializer=telemetry_pb2.QueryLatestResponse.SerializeToString,
    )
    added_to = server if guard is None else GatedServer(server, guard)
    added_to.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(service, {method: handler}),))
    return server, server.add_insecure_port("127.0.0.1:0")


async def _serve(authority: str, token: str, ready_file: Path) -> None:
    over, serving = asyncio.Event(), asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    guard = Guard(
        target=authority,
        token=token,
        service="bench",
        policies={METHOD: frozenset({Caller.KEY})},
        scopes={METHOD: _scope},
        on_serving=lambda yes: serving.set() if yes else None,
    )
    bare, bare_port = _server()
    guarded, guarded_port = _server(guard)
    await guard.start()
    await bare.start()
    await guarded.start()
    await serving.wait()
    settle()  # as both services do
    announce(f"127.0.0.1:{bare_port} 127.0.0.1:{guarded_port}", ready_file)
    await over.wait()
    await asyncio.gather(bare.stop(None), guarded.stop(None))
    await guard.stop()


@click.command()
@click.option("--authority", required=True)
@click.option("--token-file", type=click.Path(path_type=Path), required=True)
@click.option("--ready-file", type=click.Path(path_type=Path), required=True)
def main(authority: str, token_file: Path, ready_file: Path) -> None:
    """Serve both until SIGTERM."""
    asyncio.run(_serve(authority, token_file.read_text(encoding="utf-8").strip(), ready_file))


if __name__ == "__main__":
    main()

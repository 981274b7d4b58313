"""A server for `bench.verify`: VerifyCredential's messages, and its refusal, with nothing behind them."""

import asyncio
import signal
from pathlib import Path

import click
import grpc

from consentry.authority.v1 import enforcement_pb2
from consentry_core.process.lifecycle import settle
from consentry_core.rpc.errors import told
from consentry_core.rpc.server.open_call import Context
from consentry_core.rpc.server.serving import OPTIONS, announce
from consentry_core.values.errors import Unauthenticated

METHOD = "/consentry.bench.Echo/Verify"
REFUSAL = "/consentry.bench.Echo/Refuse"
_ANSWER = enforcement_pb2.VerifyCredentialResponse(
    credential="partners/acme/keys/0123456789abcdef",
    secret_id="0123456789abcdef",
    revision=enforcement_pb2.Revision(epoch="0123456789abcdef", number=7),
)
_REFUSED = told(Unauthenticated("the credential is not valid"))


async def _answer(
    request: enforcement_pb2.VerifyCredentialRequest, context: Context
) -> enforcement_pb2.VerifyCredentialResponse:
    return _ANSWER


async def _refuse(request: enforcement_pb2.VerifyCredentialRequest, context: Context) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, *_REFUSED)


async def _serve(ready_file: Path) -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    server = grpc.aio.server(options=OPTIONS)
    handlers = {
        method.rpartition("/")[2]: grpc.unary_unary_rpc_method_handler(
            answer,
            request_deserializer=enforcement_pb2.VerifyCredentialRequest.FromString,
            response_serializer=enforcement_pb2.VerifyCredentialResponse.SerializeToString,
        )
        for method, answer in ((METHOD, _answer), (REFUSAL, _refuse))
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(METHOD.split("/")[1], handlers),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    settle()  # as both services do
    announce(f"127.0.0.1:{port}", ready_file)
    await over.wait()
    await server.stop(None)


@click.command()
@click.option("--ready-file", type=click.Path(path_type=Path), required=True)
def main(ready_file: Path) -> None:
    """Serve until SIGTERM."""
    asyncio.run(_serve(ready_file))


if __name__ == "__main__":
    main()

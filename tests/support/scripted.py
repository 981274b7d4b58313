"""Services that do as a test says, on a real server: for the client, which must cope with whatever a service does.

    feed = ScriptedFeed([message, Unavailable("gone", retry_after=0.01)], [message, HANG])
    with serving(feed=feed) as address: ...

Each list is one opening of the stream: messages to send, then perhaps an error to end with, HANG, or nothing (the stream ends
with OK). What was asked is in `requests` and `secrets`; `left` is set when a stream is over, whoever ended it.
"""

import contextlib
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NoReturn

import grpc

from consentry.authority.v1 import coverage_pb2, coverage_pb2_grpc
from consentry.devices.v1 import alarms_pb2_grpc, feed_pb2, feed_pb2_grpc, inventory_pb2_grpc, telemetry_pb2_grpc
from consentry_core.rpc.errors import STATUS_OF, to_status, trailing_metadata
from consentry_core.values.errors import ConsentryError

HANG = object()


class _Script:
    def __init__(self, *openings: Sequence[Any]) -> None:
        self._openings = list(openings)
        self.requests: list[Any] = []
        self.secrets: list[str] = []
        self.left = threading.Event()
        self.hanging = threading.Event()
        self.asked = threading.Event()

    def play(self, request: Any, context: grpc.ServicerContext) -> Iterator[Any]:
        self.requests.append(request)
        self.asked.set()
        gone = threading.Event()
        if not (context.add_callback(gone.set) and context.add_callback(self.left.set)):
            gone.set()  # it has left already
            self.left.set()
        self.secrets.append(str(dict(context.invocation_metadata())["authorization"]))
        for step in self._openings.pop(0):
            if isinstance(step, ConsentryError):
                refuse(context, step)
            elif step is HANG:
                self.hanging.set()
                assert gone.wait(10)
                context.abort(grpc.StatusCode.CANCELLED, "nobody is left to answer")
            else:
                yield step

    def answer(self, request: Any, context: grpc.ServicerContext) -> Any:
        return next(self.play(request, context))


def refuse(context: grpc.ServicerContext, error: ConsentryError) -> NoReturn:
    """End a call as our services do."""
    context.set_trailing_metadata(trailing_metadata(to_status(error)))
    context.abort(STATUS_OF[type(error)], error.message)


class ScriptedFeed(_Script, feed_pb2_grpc.FeedServiceServicer):
    """A feed."""

    def Watch(self, request: feed_pb2.WatchRequest, context: Any) -> Iterator[feed_pb2.WatchResponse]:  # noqa: N802
        return self.play(request, context)


class ScriptedCoverage(_Script, coverage_pb2_grpc.CoverageServiceServicer):
    """Coverage: both methods share the script, a list of one step for each call of the list."""

    def ListCoveredCustomers(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.answer(request, context)

    def WatchCoverage(  # noqa: N802
        self, request: coverage_pb2.WatchCoverageRequest, context: Any
    ) -> Iterator[coverage_pb2.WatchCoverageResponse]:
        return self.play(request, context)


class ScriptedTelemetry(_Script, telemetry_pb2_grpc.TelemetryServiceServicer):
    """Readings."""

    def QueryLatest(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.answer(request, context)

    def QueryHistory(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        return self.play(request, context)

    def SimulateTelemetry(self, request: Any, context: Any) -> Iterator[Any]:  # noqa: N802
        return self.play(request, context)


class ScriptedInventory(_Script, inventory_pb2_grpc.InventoryServiceServicer):
    """Inventory."""

    def ListLocations(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.answer(request, context)

    def ListDevices(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.answer(request, context)

    def GetDevice(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.answer(request, context)

    def ListSensors(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.answer(request, context)


class ScriptedAlarms(_Script, alarms_pb2_grpc.AlarmServiceServicer):
    """Alarms."""

    def ListAlarms(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.answer(request, context)

    def GetAlarm(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.answer(request, context)

    def ListAlarmEvents(self, request: Any, context: Any) -> Any:  # noqa: N802
        return self.answer(request, context)


@contextlib.contextmanager
def serving(
    *,
    feed: ScriptedFeed | None = None,
    coverage: ScriptedCoverage | None = None,
    telemetry: ScriptedTelemetry | None = None,
    inventory: ScriptedInventory | None = None,
    alarms: ScriptedAlarms | None = None,
    port: int = 0,
) -> Iterator[str]:
    """The address of a server with these services; those left out answer UNIMPLEMENTED."""
    server = grpc.server(ThreadPoolExecutor(4), options=(("grpc.so_reuseport", 0),))
    feed_pb2_grpc.add_FeedServiceServicer_to_server(feed or ScriptedFeed(), server)
    coverage_pb2_grpc.add_CoverageServiceServicer_to_server(coverage or ScriptedCoverage(), server)
    telemetry_pb2_grpc.add_TelemetryServiceServicer_to_server(telemetry or ScriptedTelemetry(), server)
    inventory_pb2_grpc.add_InventoryServiceServicer_to_server(inventory or ScriptedInventory(), server)
    alarms_pb2_grpc.add_AlarmServiceServicer_to_server(alarms or ScriptedAlarms(), server)
    port = server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()

"""Health checks with all of their methods: grpcio's servicer has no `List`, and its refusals have no message.

A service serves while everything that it needs works. `Serving` puts that together: each cause says for itself whether it does.
"""

import asyncio
from collections.abc import Sequence
from typing import Any

from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from consentry_core.values.errors import NotFound
from consentry_core.values.reasons import ErrorReason

_SERVING, _NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


_messages: Any = health_pb2  # its stubs have not heard of `List`


class Health(HealthServicer):
    """Answers for `services`, and for all of them under the empty name."""

    def __init__(self, services: Sequence[str]) -> None:
        super().__init__()
        self._server_status: dict[str, Any]
        self._names = ("", *services)
        self._missing: dict[str, frozenset[str]] = {}
        self._changing: asyncio.Lock = asyncio.Lock()

    async def Check(self, request: health_pb2.HealthCheckRequest, context: Any) -> health_pb2.HealthCheckResponse:  # noqa: N802
        """Whether the service can do its work now. NotFound for one that is not here."""
        status = self._server_status.get(request.service)
        if status is None:
            raise NotFound("there is no such service here; Health.List names them", reason=ErrorReason.SERVICE_UNKNOWN)
        return health_pb2.HealthCheckResponse(status=status)

    async def List(self, _request: Any, _context: Any) -> Any:  # noqa: N802
        """The same of every service."""
        statuses = {name: health_pb2.HealthCheckResponse(status=status) for name, status in self._server_status.items()}
        return _messages.HealthListResponse(statuses=statuses)

    def missing(self) -> tuple[str, ...]:
        """What keeps some service from its work now, in words."""
        return tuple(sorted(cause for cause in self._missing if cause))

    async def set_working(self, cause: str, yes: bool, services: Sequence[str] = ()) -> None:
        """Note whether what is called `cause` works, for these services (none named: for all) and so for the whole.

        A service serves while nothing that it needs is missing.
        """
        if yes:
            self._missing.pop(cause, None)
        else:
            self._missing[cause] = frozenset(services or self._names)
        async with self._changing:
            for name in self._names:
                missing = any(name in names or (name == "" and names) for names in self._missing.values())
                status = _NOT_SERVING if missing else _SERVING
                if self._server_status.get(name) != status:
                    await self.set(name, status)


def add_health(server: Any, health: Health) -> str:
    """Add the health service to a server; its full name."""
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    return str(health_pb2.DESCRIPTOR.services_by_name["Health"].full_name)

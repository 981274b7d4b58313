"""An enforcement point that a test plays itself."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from consentry.authority.v1 import enforcement_pb2
from consentry_core.protocol.follow import Revision
from consentry_core.protocol.follow_wire import revision_to_wire
from consentry_core.rpc.client.channels import bearer
from support.authority import AuthorityCalls

_Follow = enforcement_pb2.FollowRequest


class SilentMember:
    """It has a lease, and says nothing of its own accord."""

    def __init__(self, call: Any) -> None:
        self._call = call

    async def acknowledge(self, revision: str) -> None:
        """Say that everything up to a revision is applied."""
        applied = revision_to_wire(Revision.parse(revision, "revision"))
        await self._call.write(_Follow(acknowledgement=_Follow.Acknowledgement(revision=applied)))


@contextlib.asynccontextmanager
async def silent_member(authority: AuthorityCalls) -> AsyncIterator[SilentMember]:
    """An enforcement point that has a lease, and what it is owed is up to the test."""
    call: Any = authority.enforcement.Follow(metadata=bearer(authority.service))
    await call.write(_Follow(hello=_Follow.Hello(incarnation="silent-0123456789", service="silent")))
    await call.write(_Follow(renewal=_Follow.Renewal(stamp_nano=1)))
    while not (await asyncio.wait_for(call.read(), 10)).HasField("lease"):
        pass
    yield SilentMember(call)
    call.cancel()

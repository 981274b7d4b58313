"""Every method of a service, called in the world as large as it has become: how large what it says is.

Methods come from the descriptors, requests from `support.requests`; whatever is paged is asked for the largest page. Shared by
the tests of both services.
"""

from collections.abc import AsyncIterator, Iterable
from typing import Any

import grpc

from support.calls import METHODS
from support.requests import good
from support.world import World

LARGEST = 1 << 20
"""Bytes that nothing exceeds which a method answers or a stream tells."""

_ONE_MILLION = 1_000_000


async def sizes_of(world: World, paths: Iterable[str]) -> AsyncIterator[tuple[str, grpc.StatusCode, int]]:
    """Each method with how it ended, and the size of the largest message that it said."""
    for path in paths:
        requests: list[Any] = list(good(world, path))
        for request in requests:
            for field in request.DESCRIPTOR.fields:
                if field.name.endswith("page_size"):
                    setattr(request, field.name, _ONE_MILLION)
        answer = await world.call(path, requests)
        yield path, answer.code, max(map(len, answer.received), default=0)


def methods_of(package: str) -> list[str]:
    """Those of a package, what takes away last: the others need it."""
    paths = [path for path in METHODS if path.startswith(f"/{package}.")]
    return sorted(paths, key=lambda path: any(word in path for word in ("/Cancel", "/Disconnect", "/Delete", "/Revoke")))

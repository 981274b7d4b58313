"""How many connections one address may have: of more, those that were opened last are hung up on.

gRPC counts connections in all, and refuses further ones: without this, one client could have all of them.
"""

import asyncio
import contextlib
import logging
import socket
from collections import defaultdict
from collections.abc import Collection, Iterable, Mapping
from ipaddress import ip_address

from consentry_core.rpc.server.stuck import connected_sockets
from consentry_rule import Network

_log = logging.getLogger(__name__)
_EVERY = 1.0  # seconds; a look takes some microseconds for each open file
_Endpoint = tuple[str, int]


class Connections:
    """Looks after those that came to `ports`. `most` an address; any number for `exempt` networks, such as proxies'."""

    def __init__(self, ports: Collection[int], *, most: int, exempt: Iterable[Network] = ()) -> None:
        self._ports = ports
        self._most = most
        self._exempt = tuple(exempt)
        self._seen: dict[_Endpoint, int] = {}  # when it was first seen, in looks
        self._looks = 0

    async def run(self) -> None:
        """Look, again and again, until cancelled."""
        while True:
            for address, count in (await asyncio.to_thread(self.look)).items():
                _log.warning(
                    "hung up on connections beyond %d of one address: address=%s connections=%d", self._most, address, count
                )
            await asyncio.sleep(_EVERY)

    def look(self) -> Mapping[str, int]:
        """Hang up on what is too much; how many were, by address."""
        self._looks += 1
        seen: dict[_Endpoint, int] = {}
        found: defaultdict[str, list[_Endpoint]] = defaultdict(list)
        for endpoint, _ in connected_sockets(self._ports):
            seen[endpoint] = self._seen.get(endpoint, self._looks)
            found[endpoint[0]].append(endpoint)
        self._seen = seen
        surplus: set[_Endpoint] = set()
        for address, endpoints in found.items():
            if len(endpoints) > self._most and not any(ip_address(address) in network for network in self._exempt):
                surplus.update(sorted(endpoints, key=seen.__getitem__)[self._most :])
        if surplus:
            for endpoint, connection in connected_sockets(self._ports):
                if endpoint in surplus:
                    with contextlib.suppress(OSError):  # gone meanwhile
                        connection.shutdown(socket.SHUT_RDWR)
        return {address: sum(each[0] == address for each in surplus) for address in {each[0] for each in surplus}}

"""What is taken from pysnmp, and where it is made to fit: questions by OID alone, answers that are mended first."""

import asyncio
import socket
import warnings
from collections.abc import Callable, Iterable
from typing import Any

from consentry_gateway.reading.raw import UNREADABLE, Raw
from consentry_gateway.sources.snmp import ber
from consentry_gateway.sources.snmp.access import SnmpAccess

with warnings.catch_warnings():
    # pysnmp asks pysmi for its compilers under their old names; none of them is used here.
    warnings.simplefilter("ignore", DeprecationWarning)
    from pyasn1.type.univ import ObjectIdentifier, OctetString  # type: ignore[import-untyped]
    from pysnmp.carrier.asyncio.dgram import udp, udp6
    from pysnmp.error import PySnmpError
    from pysnmp.hlapi.v3arch import asyncio as hlapi
    from pysnmp.hlapi.v3arch.asyncio import (
        CommunityData,
        ContextData,
        ObjectType,
        SnmpEngine,
        Udp6TransportTarget,
        UdpTransportTarget,
        UsmUserData,
    )
    from pysnmp.proto.rfc1902 import Null, ObjectName, Opaque
    from pysnmp.proto.rfc1905 import EndOfMibView, NoSuchInstance, NoSuchObject

NOTHING = object()
"""The answer to a question about what is not there."""

_SPECIAL = b"\x9f"  # what an Opaque begins with that holds a number

_AUTHENTICATIONS = {
    "none": hlapi.usmNoAuthProtocol,
    "sha": hlapi.usmHMACSHAAuthProtocol,
    "sha224": hlapi.usmHMAC128SHA224AuthProtocol,
    "sha256": hlapi.usmHMAC192SHA256AuthProtocol,
    "sha384": hlapi.usmHMAC256SHA384AuthProtocol,
    "sha512": hlapi.usmHMAC384SHA512AuthProtocol,
}
_PRIVACIES = {
    "none": hlapi.usmNoPrivProtocol,
    "aes128": hlapi.usmAesCfb128Protocol,
    "aes192": hlapi.usmAesBlumenthalCfb192Protocol,
    "aes256": hlapi.usmAesBlumenthalCfb256Protocol,
    "aes192c": hlapi.usmAesCfb192Protocol,
    "aes256c": hlapi.usmAesCfb256Protocol,
}

OnBad = Callable[[tuple[str, int], str], None]
"""Told the address of an agent that sent something that cannot be decoded, and what."""


class Asked(ObjectType):  # type: ignore[misc] # untyped
    """An OID to ask for, as it is. pysnmp would set up its MIB compiler, in the home folder, for names that nobody uses."""

    def __init__(self, oid: str) -> None:
        self._pair = (ObjectName(oid), Null(""))

    def resolve_with_mib(self, *_: object, **__: object) -> "Asked":
        """Itself."""
        return self

    def __getitem__(self, place: int) -> Any:
        return self._pair[place]


class _Mending:
    """A transport that takes out of what comes in what could not be decoded."""

    on_bad: OnBad

    def datagram_received(self, datagram: bytes, address: Any) -> None:
        """Mend, and hand on."""
        datagram, wrong = ber.mended(datagram)
        for what in wrong:
            self.on_bad(address[:2], what)
        super().datagram_received(datagram, address)  # type: ignore[misc] # of the transport that this is mixed into


class Engine:
    """What sends and receives. It keeps secrets of version 3 by user name: each set of them has an engine of its own."""

    def __init__(self, on_bad: OnBad) -> None:
        self._engine = SnmpEngine()
        self._udp = type("_Udp", (_Mending, udp.UdpAsyncioTransport), {"on_bad": staticmethod(on_bad)})
        self._udp6 = type("_Udp6", (_Mending, udp6.Udp6AsyncioTransport), {"on_bad": staticmethod(on_bad)})

    def close(self) -> None:
        """Close the sockets."""
        self._engine.close_dispatcher()

    async def line(self, host: str, port: int, access: SnmpAccess, timeout: float, retries: int) -> "Line":  # noqa: ASYNC109 - of each question
        """A line to an agent. OSError when the host has no address."""
        family, address = await _resolved(host, port)
        four = family is socket.AF_INET
        base, transport = (UdpTransportTarget, self._udp) if four else (Udp6TransportTarget, self._udp6)
        own: Any = type("_Target", (base,), {"PROTO_TRANSPORT": transport})
        target = await own.create(address, timeout=timeout, retries=retries)
        return Line(self._engine, _credentials(access), target, ContextData(contextName=access.context.encode()))


class Line:
    """A line to one agent: one question at a time."""

    def __init__(self, engine: SnmpEngine, credentials: Any, target: Any, context: ContextData) -> None:
        self._to = (engine, credentials, target, context)
        self.address: tuple[str, int] = target.transport_address[:2]

    async def get(self, oids: Iterable[str]) -> Any:
        """The indication, error status, error index, and the variables with their values."""
        return await hlapi.get_cmd(*self._to, *map(Asked, oids), lookupMib=False)

    async def next(self, oids: Iterable[str]) -> Any:
        """The same for what follows the OIDs."""
        return await hlapi.next_cmd(*self._to, *map(Asked, oids), lookupMib=False)

    async def bulk(self, rows: int, oids: Iterable[str]) -> Any:
        """The same for as many rows of what follows."""
        return await hlapi.bulk_cmd(*self._to, 0, rows, *map(Asked, oids), lookupMib=False)


async def refused(address: tuple[str, int]) -> bool:
    """Whether the host says that nobody listens at a port; only a socket that is connected is told."""
    loop = asyncio.get_running_loop()
    told = loop.create_future()

    class _Asking(asyncio.DatagramProtocol):
        def error_received(self, _: Exception) -> None:
            if not told.done():
                told.set_result(True)

    try:
        transport, _ = await loop.create_datagram_endpoint(_Asking, remote_addr=address)
    except OSError:
        return False
    try:
        transport.sendto(b"0\0")  # an empty message, which an agent does not answer
        return await asyncio.wait_for(told, 0.3)
    except TimeoutError:
        return False
    finally:
        transport.close()


def raw_of(value: Any) -> Raw | object:
    """A value as an answer; NOTHING for what is not there."""
    if isinstance(value, NoSuchInstance | NoSuchObject | EndOfMibView):
        return NOTHING
    if isinstance(value, Opaque) and bytes(value)[:1] != _SPECIAL:
        return UNREADABLE  # what it was made when it could not be decoded; nobody sends another one
    if isinstance(value, OctetString):
        return bytes(value)
    if isinstance(value, ObjectIdentifier):
        return str(value)
    try:
        return int(value)
    except (TypeError, ValueError, PySnmpError):
        return NOTHING


async def _resolved(host: str, port: int) -> tuple[socket.AddressFamily, Any]:
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_DGRAM, proto=socket.IPPROTO_UDP)
    family, _, _, _, address = min(found, key=lambda entry: entry[0] is not socket.AF_INET)
    return family, address


def _credentials(access: SnmpAccess) -> Any:
    if access.version != "3":
        return CommunityData(access.community, mpModel=0 if access.version == "1" else 1)
    return UsmUserData(
        access.user,
        access.auth_password or None,
        access.priv_password or None,
        authProtocol=_AUTHENTICATIONS[access.auth],
        privProtocol=_PRIVACIES[access.priv],
    )

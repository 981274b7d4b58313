"""Where a call comes from.

The address of whoever opened the connection. Where that is a proxy that is trusted by its address, the address that this proxy
names: the last one in `x-forwarded-for`, for what stands before it came from the proxy's client, who can write anything there.

Proxies spell an address in several ways, and all of them are understood: `192.0.2.1`, `192.0.2.1:50000`, `2001:db8::1`,
`[2001:db8::1]`, `[2001:db8::1]:50000`, in quotation marks, `::ffff:192.0.2.1` for an IPv4 one, and with a zone, `fe80::1%eth0`,
which says nothing here.
"""

from collections.abc import Iterable
from ipaddress import IPv6Address, ip_address, ip_network
from urllib.parse import unquote

from consentry_core.process.settings import SettingError
from consentry_core.rpc.server.open_call import Context
from consentry_core.values.text import cleaned
from consentry_rule import Address, Network

_FORWARDED = "x-forwarded-for"
_LAST_PORT = 65_535


class Peers:
    """Tells callers' addresses. `trusted` are the proxies whose word counts."""

    def __init__(self, trusted: Iterable[Network] = ()) -> None:
        self._trusted = tuple(trusted)

    def address(self, context: Context) -> Address | None:
        """The caller's address; None for one that has none (a Unix socket), or that its proxy spells in no known way."""
        peer = _peer_address(context.peer())
        told = self._told(peer, context)
        return peer if told is None else _forwarded(told)

    def described(self, context: Context) -> str:
        """Where a call comes from, for logs, as gRPC has it: `ipv4:192.0.2.1:50000`.

        From a trusted proxy: whom it names, and the proxy, `ipv4:192.0.2.1 via ipv4:10.0.0.1:50000`; `unknown` for a name that
        cannot be read, which is not repeated. On one line of plain text: the path of a Unix socket is its maker's choice.
        """
        peer = cleaned(unquote(context.peer()))
        told = self._told(_peer_address(peer), context) if self._trusted else None
        return peer if told is None else f"{_spelled(_forwarded(told))} via {peer}"

    def _told(self, peer: Address | None, context: Context) -> str | None:
        """Whom the peer names as its client; None when it is no trusted proxy, or names nobody."""
        if peer is None or not any(peer in network for network in self._trusted):
            return None
        told = [value for key, value in context.invocation_metadata() or () if key == _FORWARDED]
        if not told:
            return None
        last = told[-1]
        return last.rpartition(",")[2].strip() if isinstance(last, str) else ""


def trusted_proxies(text: str) -> tuple[Network, ...]:
    """The networks of a setting, divided by commas. SettingError for what is none."""
    try:
        return tuple(ip_network(part.strip()) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise SettingError(
            f"trusted proxies are addresses and networks such as 10.0.0.0/8, divided by commas: {error}"
        ) from error


def _peer_address(peer: str) -> Address | None:
    """Of gRPC's form: `ipv4:192.0.2.1:5000`, `ipv6:%5B2001:db8::1%5D:5000`, `unix:...`."""
    kind, _, rest = peer.partition(":")
    if kind not in {"ipv4", "ipv6"}:
        return None
    return _address(unquote(rest).rpartition(":")[0].strip("[]"))


def _forwarded(text: str) -> Address | None:
    """The address in one of the spellings above; None for anything else."""
    if len(text) > 1 and text[0] == text[-1] == '"':
        text = text[1:-1].strip()
    host, port = text, "0"
    if text.startswith("["):
        host, closed, rest = text[1:].partition("]")
        if not closed or ":" not in host or (rest and not rest.startswith(":")):
            return None
        port = rest[1:] if rest else "0"
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= _LAST_PORT):
        return None
    address, _, zone = host.partition("%")
    if "%" in host and (not zone or ":" not in address):
        return None
    return _address(address)


def _address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped  # what an IPv6 socket calls an IPv4 client
    return address


def _spelled(address: Address | None) -> str:
    """As gRPC spells it, without the port."""
    if address is None:
        return "unknown"
    return f"ipv6:[{address}]" if address.version == 6 else f"ipv4:{address}"

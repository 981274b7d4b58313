"""Where a call comes from: the connection's address, or what a trusted proxy says of its client, and nothing before that."""

from ipaddress import ip_address, ip_network
from typing import Any

import pytest

from consentry_core.process.settings import SettingError
from consentry_core.rpc.server.peers import Peers, trusted_proxies

PROXY = "ipv4:10.0.0.1:5000"


class Connection:
    """As much of a context as says where a call comes from."""

    def __init__(self, peer: str, *forwarded: str | bytes) -> None:
        self._peer = peer
        self._metadata = [("x-forwarded-for", value) for value in forwarded]

    def peer(self) -> str:
        return self._peer

    def invocation_metadata(self) -> list[tuple[str, str | bytes]]:
        return self._metadata


PEERS = Peers([ip_network("10.0.0.0/24"), ip_network("::1")])


def address(peer: str, *forwarded: str | bytes) -> str:
    context: Any = Connection(peer, *forwarded)
    return str(PEERS.address(context))


def described(peer: str, *forwarded: str | bytes, peers: Peers = PEERS) -> str:
    context: Any = Connection(peer, *forwarded)
    return peers.described(context)


@pytest.mark.parametrize(
    ("peer", "expected"),
    [
        ("ipv4:192.0.2.7:5000", "192.0.2.7"),
        ("ipv6:%5B2001:db8::7%5D:5000", "2001:db8::7"),
        ("ipv6:[2001:db8::7]:5000", "2001:db8::7"),
        ("ipv6:%5B::ffff:192.0.2.7%5D:5000", "192.0.2.7"),
        ("unix:/run/consentry.sock", "None"),
        ("unknown", "None"),
    ],
)
def test_the_connections_own_address(peer: str, expected: str) -> None:
    assert address(peer) == expected


def test_whoever_is_no_trusted_proxy_cannot_say_where_it_is() -> None:
    assert address("ipv4:192.0.2.7:5000", "198.51.100.1") == "192.0.2.7"
    assert address("ipv4:10.0.1.1:5000", "198.51.100.1") == "10.0.1.1"


def test_of_what_a_trusted_proxy_says_only_its_own_word_counts() -> None:
    """It appends whom it sees; what stands before that, its client has written."""
    assert address(PROXY, "198.51.100.1") == "198.51.100.1"
    assert address(PROXY, "203.0.113.9, 198.51.100.1") == "198.51.100.1"
    assert address(PROXY, "203.0.113.9", "198.51.100.1") == "198.51.100.1"
    assert address("ipv6:%5B::1%5D:5000", "2001:db8::9") == "2001:db8::9"


def test_a_trusted_proxy_that_says_nothing_is_the_caller_itself() -> None:
    assert address(PROXY) == "10.0.0.1"


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ("198.51.100.1:50000", "198.51.100.1"),
        ("203.0.113.9:1, 198.51.100.1:50000", "198.51.100.1"),
        ("[2001:db8::9]", "2001:db8::9"),
        ("[2001:db8::9]:50000", "2001:db8::9"),
        ('"[2001:db8::9]:50000"', "2001:db8::9"),
        ('" 198.51.100.1 "', "198.51.100.1"),
        ("::ffff:198.51.100.1", "198.51.100.1"),
        ("[::ffff:198.51.100.1]:50000", "198.51.100.1"),
        ("::ffff:c633:6401", "198.51.100.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("[fe80::1%25eth0]:50000", "fe80::1"),
        ("  198.51.100.1\t", "198.51.100.1"),
    ],
)
def test_whatever_way_a_proxy_spells_an_address_it_is_understood(told: str, expected: str) -> None:
    assert address(PROXY, told) == expected


@pytest.mark.parametrize(
    "told",
    [
        "", "unknown", "203.0.113.9,", b"\x01", "198.51.100.1:80x", "198.51.100.1:", "198.51.100.1:65536", "198.51.100.1:-1",
        "[198.51.100.1]:80", "[2001:db8::9", "2001:db8::9]", "[2001:db8::9]x", "[2001:db8::9]50000", "[2001:db8::9]:", "[]:80",
        '"198.51.100.1', "198.51.100.1%eth0", "fe80::1%", "%eth0", "localhost", "198.51.100.1/24", "198.51.100.01", '"', '""',
        "198.51.100.1:\N{ARABIC-INDIC DIGIT FIVE}",
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_from_nowhere(told: str | bytes) -> None:
    assert address(PROXY, told) == "None"


def test_logs_name_whom_a_trusted_proxy_names_and_the_proxy() -> None:
    assert described(PROXY, "203.0.113.9, 198.51.100.1") == "ipv4:198.51.100.1 via ipv4:10.0.0.1:5000"
    assert described("ipv6:%5B::1%5D:5000", "2001:db8::9") == "ipv6:[2001:db8::9] via ipv6:[::1]:5000"
    assert described(PROXY) == PROXY
    assert described(PROXY, "<nonsense>") == "unknown via ipv4:10.0.0.1:5000"


def test_logs_name_the_connection_of_whoever_is_no_trusted_proxy() -> None:
    assert described("ipv6:%5B2001:db8::7%5D:5000", "198.51.100.1") == "ipv6:[2001:db8::7]:5000"
    assert described(PROXY, "198.51.100.1", peers=Peers()) == PROXY
    assert described("unix:/run/consentry.sock", "198.51.100.1") == "unix:/run/consentry.sock"


def test_the_setting() -> None:
    assert trusted_proxies(" 10.0.0.0/24, ::1 ") == (ip_network("10.0.0.0/24"), ip_network("::1"))
    assert trusted_proxies("") == ()
    assert ip_address("10.0.0.9") in trusted_proxies("10.0.0.0/24")[0]
    with pytest.raises(SettingError, match="divided by commas"):
        trusted_proxies("the-proxy")

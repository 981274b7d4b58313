"""The settings of whatever serves, and of whatever connects: certificates, or plaintext where nobody can listen in."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from consentry_core.process.settings import SettingError, setting
from consentry_core.process.tls import ClientTls, ServerTls, on_loopback

_LAST_PORT = 65_535


@dataclass(frozen=True, kw_only=True)
class TransportSettings:
    """How a service is reached; `{program}` is the `program` of the settings that these are part of."""

    tls_certificate: Path | None = setting(
        None,
        "the service's certificate with its chain, PEM; read again when it changes",
        env="CONSENTRY_{program}_TLS_CERTIFICATE",
    )
    tls_key: Path | None = setting(None, "its private key, PEM", env="CONSENTRY_{program}_TLS_KEY")
    tls_client_ca: Path | None = setting(
        None,
        "authorities of clients' certificates, PEM; clients must then show one: all of them, or those at --mutual-listen",
        env="CONSENTRY_{program}_TLS_CLIENT_CA",
    )
    mutual_listen: str = setting(
        "", "further address, where clients must show a certificate", env="CONSENTRY_{program}_MUTUAL_LISTEN"
    )
    plaintext: bool = setting(
        False, "go without TLS beyond the loopback interface too", env="CONSENTRY_{program}_PLAINTEXT"
    )  # fmt: skip
    connection_age: float = setting(
        3600.0, "seconds after which a client must connect anew; 0: never", env="CONSENTRY_{program}_CONNECTION_AGE"
    )
    connection_grace: float = setting(
        60.0, "seconds that calls under way have then; streams are resumed", env="CONSENTRY_{program}_CONNECTION_GRACE"
    )
    connection_calls: int = setting(
        1000, "calls, streams included, that may be open on one connection", env="CONSENTRY_{program}_CONNECTION_CALLS"
    )
    connections: int = setting(
        4000, "connections that may be open in all; further ones are refused", env="CONSENTRY_{program}_CONNECTIONS"
    )
    connections_per_address: int = setting(
        500,
        "connections that one address may have, trusted proxies excepted; 0: any number",
        env="CONSENTRY_{program}_CONNECTIONS_PER_ADDRESS",
    )
    drain_quiet: float = setting(
        0.25,
        "seconds without a new call after which a service that goes down stops; until then it tells those that come",
        env="CONSENTRY_{program}_DRAIN_QUIET",
    )
    streams_per_key: int = setting(
        1000,
        "streams that one key may have open, if its quota says nothing of them; 0: any number",
        env="CONSENTRY_{program}_STREAMS_PER_KEY",
    )

    def server_tls(self, listen: str, channelz_listen: str) -> ServerTls | None:
        """How to serve at `listen`; None for plaintext. SettingError when that is not allowed, or makes no sense.

        Channelz, at `channelz_listen` if anywhere, is served in plaintext always: it shows peers' addresses.
        """
        require_address(listen)
        if channelz_listen:
            require_address(channelz_listen)
            require_private(channelz_listen, plaintext=self.plaintext, instead="an address of the loopback interface")
        if self.connection_age < 0 or self.connection_grace < 0 or self.connection_calls < 1:
            raise SettingError(
                "--connection-age and --connection-grace must not be below 0, and --connection-calls must be at least 1"
            )
        if self.connections < 1 or self.connections_per_address < 0:
            raise SettingError("--connections must be at least 1, and --connections-per-address must not be below 0")
        if not 0 <= self.drain_quiet <= 1:
            raise SettingError("--drain-quiet must be from 0 to 1 second")
        if self.streams_per_key < 0:
            raise SettingError("--streams-per-key must not be below 0; 0 allows any number")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingError("--tls-certificate and --tls-key go together; give both or neither")
        if self.mutual_listen and self.tls_client_ca is None:
            raise SettingError("--mutual-listen asks clients for certificates; say with --tls-client-ca who signs them")
        if self.tls_certificate is None or self.tls_key is None:
            if self.tls_client_ca is not None:
                raise SettingError("--tls-client-ca needs TLS; give --tls-certificate and --tls-key too")
            require_private(listen, plaintext=self.plaintext, instead="--tls-certificate and --tls-key")
            return None
        return ServerTls(self.tls_certificate, self.tls_key, self.tls_client_ca)

    def names_of(self, text: str, flag: str) -> Sequence[str]:
        """The certificate names that a setting lists. SettingError when nobody is asked for a certificate."""
        names = tuple(part.strip() for part in text.split(",") if part.strip())
        if names and self.tls_client_ca is None:
            raise SettingError(f"{flag} names certificates that nobody is asked for; give --tls-client-ca too")
        if self.mutual_listen and not names:
            raise SettingError(f"--mutual-listen is for those that {flag} names; give it, `*` for any certificate")
        return names


def client_tls(ca: Path | None, certificate: Path | None, key: Path | None) -> ClientTls | None:
    """How to connect; None for plaintext. SettingError when the parts do not fit together."""
    if (certificate is None) != (key is None):
        raise SettingError("a client's certificate and its key go together; give both or neither")
    if ca is None:
        if certificate is not None:
            raise SettingError("a client's certificate is for TLS; say with --tls-ca who signs the service's")
        return None
    return ClientTls(ca, certificate, key)


def require_address(listen: str) -> None:
    """SettingError unless it is `host:port`."""
    host, _, port = listen.rpartition(":")
    # gRPC itself serves on port 443 when none is named, and cuts one that is too large to 16 bits.
    if not host or not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= _LAST_PORT):
        raise SettingError(
            f"cannot listen on {listen!r}: an address is host:port, with a port from 0 (any free one) to {_LAST_PORT}"
        )


def require_private(address: str, *, plaintext: bool, instead: str) -> None:
    """SettingError when plaintext at this address could be listened in on, and is not asked for."""
    if not plaintext and not on_loopback(address):
        raise SettingError(
            f"without TLS, what crosses the network at {address} can be read by others; give {instead}, "
            "or --plaintext if something else protects them there"
        )

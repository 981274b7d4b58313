"""What the device-data service can be told."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from consentry_core.process.files import read_credential
from consentry_core.process.settings import SettingError, setting
from consentry_core.process.tls import ClientTls
from consentry_core.process.transport import TransportSettings, client_tls, require_private
from consentry_devices.ingest.quotas import Quotas, Rates

_LEAST_BYTES = 16 * 2**20


@dataclass(frozen=True, kw_only=True)
class DevicesSettings(TransportSettings):
    """How the device-data service runs."""

    program: ClassVar[str] = "DEVICES"

    listen: str = setting("127.0.0.1:7402", "address to serve on", env="CONSENTRY_DEVICES_LISTEN")
    authority: str = setting("127.0.0.1:7401", "address of the authority")
    authority_tls_ca: Path | None = setting(
        None, "authorities of the authority's certificate, PEM; without: plaintext", env="CONSENTRY_DEVICES_AUTHORITY_TLS_CA"
    )
    authority_tls_certificate: Path | None = setting(
        None,
        "certificate to show the authority, PEM  [default: the service's own]",
        env="CONSENTRY_DEVICES_AUTHORITY_TLS_CERTIFICATE",
    )
    authority_tls_key: Path | None = setting(None, "its private key, PEM", env="CONSENTRY_DEVICES_AUTHORITY_TLS_KEY")
    gateway_clients: str = setting(
        "",
        "names of the certificates that gateways must come with, divided by commas; *.example.com and * stand for several",
        env="CONSENTRY_DEVICES_GATEWAY_CLIENTS",
    )
    token: str | None = setting(None, "the service's own token; better in a file", env="CONSENTRY_DEVICES_TOKEN", secret=True)
    token_file: Path | None = setting(
        None,
        "file with the service's own token  [default: devices.token in the data folder]",
        env="CONSENTRY_DEVICES_TOKEN_FILE",
    )
    data_dir: Path = setting(Path(".consentry"), "folder for the service's data; one process at a time")
    retention_days: int = setting(90, "how long device data is kept", env="CONSENTRY_DEVICES_RETENTION_DAYS")
    retention_bytes: int = setting(
        50 * 2**30, "how much device data is kept; the oldest goes first", env="CONSENTRY_DEVICES_RETENTION_BYTES"
    )
    reflection: bool = setting(True, "let tools such as grpcurl ask what there is")
    admin_listen: str = setting(
        "",
        "address of /livez, /readyz and /metrics, over HTTP without credentials; off when empty",
        env="CONSENTRY_DEVICES_ADMIN_LISTEN",
    )
    channelz_listen: str = setting("", "address of channelz; off when empty", env="CONSENTRY_DEVICES_CHANNELZ_LISTEN")
    gateway_readings: float = setting(2_000_000.0, "readings a second that one customer's gateways may publish; 0: any number")
    gateway_bytes: float = setting(64.0 * 1024 * 1024, "bytes a second that one customer's gateways may publish; 0: any number")
    backlog_readings: float = setting(
        1_000_000.0,
        "readings a second that one customer's gateways may publish of what they kept while they could not; 0: any number",
    )
    backlog_bytes: float = setting(
        32.0 * 1024 * 1024,
        "bytes a second that one customer's gateways may publish of what they kept while they could not; 0: any number",
    )
    ring_mib: int = setting(
        64, "MiB of the newest readings that are kept in memory for readers", env="CONSENTRY_DEVICES_RING_MIB"
    )
    write_timeout: float = setting(
        60.0, "seconds after which a client that has stopped reading is hung up on", env="CONSENTRY_DEVICES_WRITE_TIMEOUT"
    )

    trusted_proxies: str = setting(
        "", "proxies whose x-forwarded-for counts for keys' networks: addresses and networks, divided by commas"
    )

    ready_file: Path | None = setting(
        None, "file to write the address to once it is served: for port 0", env="CONSENTRY_DEVICES_READY_FILE"
    )

    def __post_init__(self) -> None:
        if self.retention_days < 1 or self.retention_bytes < _LEAST_BYTES:
            raise SettingError(
                f"retention must be at least 1 day and {_LEAST_BYTES} bytes (--retention-days, --retention-bytes)"
            )
        if not self.write_timeout > 0 or self.ring_mib < 1:
            raise SettingError("the write timeout must be above 0 s and the ring at least 1 MiB (--write-timeout, --ring-mib)")

    def __repr__(self) -> str:
        return f"DevicesSettings(listen={self.listen!r}, authority={self.authority!r}, data_dir={str(self.data_dir)!r})"

    def quotas(self) -> Quotas:
        """What each customer's gateways may publish. SettingError when that is less than nothing."""
        live, backlog = Rates(self.gateway_readings, self.gateway_bytes), Rates(self.backlog_readings, self.backlog_bytes)
        if min(live.readings, live.bytes, backlog.readings, backlog.bytes) < 0:
            raise SettingError(
                "--gateway-readings, --gateway-bytes, --backlog-readings and --backlog-bytes must not be below 0"
            )
        return Quotas(live, backlog)

    def to_authority(self) -> ClientTls | None:
        """How to connect to the authority; None for plaintext. SettingError when that is not allowed, or makes no sense."""
        if self.authority_tls_ca is None:
            require_private(self.authority, plaintext=self.plaintext, instead="--authority-tls-ca")
            return client_tls(None, self.authority_tls_certificate, self.authority_tls_key)
        certificate, key = self.authority_tls_certificate, self.authority_tls_key
        if certificate is None and key is None:
            certificate, key = self.tls_certificate, self.tls_key
        return client_tls(self.authority_tls_ca, certificate, key)

    def own_token(self) -> str:
        """The token that the service authenticates with at the authority. SettingError when there is none."""
        if self.token:
            return self.token
        if self.token_file is not None:
            return read_credential(self.token_file)
        file = self.data_dir / "devices.token"
        if not os.path.lexists(file):
            raise SettingError(f"cannot read the token file {file}: `consentry init` writes it there, or name it: --token-file")
        return read_credential(file, own=True)

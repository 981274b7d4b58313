"""What a gateway can be told."""

from dataclasses import dataclass
from pathlib import Path

from consentry_core.process.files import read_credential
from consentry_core.process.settings import SettingError, setting
from consentry_core.process.tls import ClientTls
from consentry_core.process.transport import client_tls, require_private
from consentry_core.values import names
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import InvalidArgument
from consentry_gateway.outbox.outbox import MOST_BYTES
from consentry_rule import CustomerId

FEWEST_BYTES = 1024 * 1024


@dataclass(frozen=True, kw_only=True)
class GatewaySettings:
    """What every gateway needs."""

    devices: str = setting("127.0.0.1:7402", "address of the device-data service", env="CONSENTRY_DEVICES")
    token: str | None = setting(None, "the gateway's token; better in a file", env="CONSENTRY_GATEWAY_TOKEN", secret=True)
    token_file: Path | None = setting(
        None, "file with the gateway's token, read again at every connection", env="CONSENTRY_GATEWAY_TOKEN_FILE"
    )
    tls_ca: Path | None = setting(
        None, "authorities of the service's certificate, PEM; without: plaintext", env="CONSENTRY_GATEWAY_TLS_CA"
    )
    tls_certificate: Path | None = setting(
        None, "certificate to show the service, PEM; read again when it changes", env="CONSENTRY_GATEWAY_TLS_CERTIFICATE"
    )
    tls_key: Path | None = setting(None, "its private key, PEM", env="CONSENTRY_GATEWAY_TLS_KEY")
    plaintext: bool = setting(False, "go without TLS beyond the loopback interface too", env="CONSENTRY_GATEWAY_PLAINTEXT")
    customer: str = setting("customers/demo", "the customer whose devices they are", env="CONSENTRY_GATEWAY_CUSTOMER")
    gateway: str = setting(
        "gateway", "the gateway's own id within its customer; one process at a time", env="CONSENTRY_GATEWAY_ID"
    )
    interval: float = setting(5.0, "seconds from one poll of a device to the next", env="CONSENTRY_GATEWAY_INTERVAL")
    data_dir: Path = setting(
        Path(".consentry/gateway"),
        "folder for what is still to be sent; one process at a time",
        env="CONSENTRY_GATEWAY_DATA_DIR",
    )
    outbox_bytes: int = setting(
        MOST_BYTES, "how much may wait to be sent; beyond it the oldest readings are lost", env="CONSENTRY_GATEWAY_OUTBOX_BYTES"
    )

    def __repr__(self) -> str:
        return f"{type(self).__name__}(devices={self.devices!r}, customer={self.customer!r}, gateway={self.gateway!r})"

    def own_token(self) -> str:
        """The token that the gateway authenticates with. SettingError when there is none."""
        if self.token:
            if not (self.token.isascii() and self.token.isprintable() and " " not in self.token):
                raise SettingError("CONSENTRY_GATEWAY_TOKEN holds something else than one token; better give --token-file")
            return self.token
        if self.token_file is None:
            raise SettingError("the gateway needs a token of ROLE_GATEWAY; give --token-file")
        return read_credential(self.token_file)

    def tls(self) -> ClientTls | None:
        """How to connect; None for plaintext. SettingError when that is not allowed, or makes no sense."""
        if self.tls_ca is None:
            require_private(self.devices, plaintext=self.plaintext, instead="--tls-ca")
        return client_tls(self.tls_ca, self.tls_certificate, self.tls_key)

    def checked(self) -> CustomerId:
        """The customer's id. SettingError when a setting cannot be used."""
        self.own_token()
        if self.interval <= 0:
            raise SettingError("--interval must be above 0")
        if self.outbox_bytes < FEWEST_BYTES:
            raise SettingError(f"--outbox-bytes must be at least {FEWEST_BYTES}")
        try:
            names.resource_id(self.gateway, "--gateway")
            return CustomerId(names.CUSTOMER.parse(self.customer, "--customer")[0])
        except InvalidArgument as error:
            raise SettingError(error.message) from error


@dataclass(frozen=True, kw_only=True, repr=False)
class CollectSettings(GatewaySettings):
    """A gateway that collects from agents."""

    agents: Path = setting(Path("agents.toml"), "file that lists the agents (TOML)", env="CONSENTRY_GATEWAY_AGENTS")
    timeout: float = setting(2.0, "seconds to wait for each answer of an agent", env="CONSENTRY_GATEWAY_TIMEOUT")
    retries: int = setting(1, "how often to ask again for an answer that did not come", env="CONSENTRY_GATEWAY_RETRIES")
    traps: str = setting(
        "", "host:port to hear traps and informs at, as a hint to poll at once; empty: nowhere", env="CONSENTRY_GATEWAY_TRAPS"
    )
    unreachable_after: int = setting(
        3, "polls in a row that must fail before a device counts as unreachable", env="CONSENTRY_GATEWAY_UNREACHABLE_AFTER"
    )
    gone_after: float = setting(
        24.0,
        "hours that an agent must answer without a part of its device before the part counts as gone; 0: it never does",
        env="CONSENTRY_GATEWAY_GONE_AFTER",
    )

    def gone_after_nanoseconds(self) -> int:
        """See `gone_after`. SettingError when it is no time."""
        if self.gone_after < 0:
            raise SettingError("--gone-after must not be below 0")
        return round(self.gone_after * 3_600 * SECOND)


@dataclass(frozen=True, kw_only=True, repr=False)
class SimulateSettings(GatewaySettings):
    """A gateway of the demo customer, whose devices are made up. The first start (`consentry init`) writes its token."""

    token_file: Path | None = setting(
        Path(".consentry/demo-gateway.token"),
        "file with the gateway's token, read again at every connection",
        env="CONSENTRY_GATEWAY_TOKEN_FILE",
    )
    speed: float = setting(60.0, "how many times as fast as the clock the fleet lives", env="CONSENTRY_SIMULATOR_SPEED")
    seed: int = setting(1, "what the fleet's noise and power failures are drawn from", env="CONSENTRY_SIMULATOR_SEED")

"""What the console can be told."""

from dataclasses import dataclass
from pathlib import Path

from consentry_core.process.settings import SettingError, setting
from consentry_core.process.tls import ClientTls
from consentry_core.process.transport import client_tls, require_address, require_private


@dataclass(frozen=True, kw_only=True)
class ConsoleSettings:
    """How the console runs."""

    listen: str = setting("127.0.0.1:7403", "address to serve on", env="CONSENTRY_CONSOLE_LISTEN")
    tls_certificate: Path | None = setting(
        None, "the console's certificate with its chain, PEM; without: plaintext", env="CONSENTRY_CONSOLE_TLS_CERTIFICATE"
    )
    tls_key: Path | None = setting(None, "its private key, PEM", env="CONSENTRY_CONSOLE_TLS_KEY")
    plaintext: bool = setting(
        False, "go without TLS beyond the loopback interface too: a proxy in front has it", env="CONSENTRY_CONSOLE_PLAINTEXT"
    )
    authority: str = setting("127.0.0.1:7401", "address of the authority")
    authority_tls_ca: Path | None = setting(
        None, "authorities of the authority's certificate, PEM; without: plaintext", env="CONSENTRY_CONSOLE_AUTHORITY_TLS_CA"
    )
    idle_minutes: int = setting(30, "a session ends when nobody has used it for so long", env="CONSENTRY_CONSOLE_IDLE_MINUTES")
    session_hours: int = setting(12, "a session ends after so long, used or not", env="CONSENTRY_CONSOLE_SESSION_HOURS")
    sessions: int = setting(
        10_000, "sessions that may be open at once; of more, the oldest ends", env="CONSENTRY_CONSOLE_SESSIONS"
    )
    links_file: Path | None = setting(
        None,
        "file with one-time links, as `make run` writes it: a JSON object of codes and tokens; it is read once, and removed",
        env="CONSENTRY_CONSOLE_LINKS_FILE",
    )
    ready_file: Path | None = setting(
        None, "file to write the served address to, once there is one", env="CONSENTRY_CONSOLE_READY_FILE"
    )

    def check(self) -> None:
        """SettingError when something makes no sense, or would be served in the open."""
        require_address(self.listen)
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise SettingError("--tls-certificate and --tls-key go together")
        if self.tls_certificate is None:
            require_private(self.listen, plaintext=self.plaintext, instead="--tls-certificate")
        if self.idle_minutes < 1 or self.session_hours < 1 or self.sessions < 1:
            raise SettingError("--idle-minutes, --session-hours and --sessions must be at least 1")

    @property
    def secure(self) -> bool:
        """Whether browsers come by TLS, to the console or to a proxy in front of it."""
        return self.tls_certificate is not None or self.plaintext

    def to_authority(self) -> ClientTls | None:
        """How to reach the authority; None for plaintext. SettingError for plaintext beyond the loopback interface."""
        if self.authority_tls_ca is None:
            require_private(self.authority, plaintext=self.plaintext, instead="--authority-tls-ca")
        return client_tls(self.authority_tls_ca, None, None)

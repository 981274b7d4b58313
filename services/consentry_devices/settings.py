"""What the device-data service can be told."""

from dataclasses import dataclass
from pathlib import Path

from consentry_core.settings import SettingError, setting


@dataclass(frozen=True, kw_only=True)
class DevicesSettings:
    """How the device-data service runs."""

    listen: str = setting("127.0.0.1:7402", "address to serve on", env="CONSENTRY_DEVICES_LISTEN")
    authority: str = setting("127.0.0.1:7401", "address of the authority")
    token: str | None = setting(None, "the service's own token; better in a file", env="CONSENTRY_DEVICES_TOKEN", secret=True)
    token_file: Path | None = setting(
        None,
        "file with the service's own token  [default: devices.token in the data folder]",
        env="CONSENTRY_DEVICES_TOKEN_FILE",
    )
    data_dir: Path = setting(Path(".consentry"), "folder for the service's data; one process at a time")
    reflection: bool = setting(True, "let tools such as grpcurl ask what there is")
    admin_listen: str = setting(
        "", "address to serve channelz on, for operators; empty: nowhere", env="CONSENTRY_DEVICES_ADMIN_LISTEN"
    )

    trusted_proxies: str = setting(
        "", "proxies whose x-forwarded-for counts for keys' networks: addresses and networks, divided by commas"
    )

    ready_file: Path | None = setting(
        None, "file to write the address to once it is served: for port 0", env="CONSENTRY_DEVICES_READY_FILE"
    )

    def __repr__(self) -> str:
        return f"DevicesSettings(listen={self.listen!r}, authority={self.authority!r}, data_dir={str(self.data_dir)!r})"

    def own_token(self) -> str:
        """The token that the service authenticates with at the authority. SettingError when there is none."""
        if self.token:
            return self.token
        file = self.token_file or self.data_dir / "devices.token"
        try:
            return file.read_text().strip()
        except OSError as error:
            raise SettingError(
                f"cannot read the token file {file} ({error.strerror}); `consentry init` writes it, or give --token-file"
            ) from error

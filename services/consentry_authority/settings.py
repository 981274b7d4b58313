"""What the authority can be told."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from consentry_authority.enforcement.limits import MEMBERS_PER_TOKEN
from consentry_authority.secrets.cost import Cost
from consentry_core.process.settings import setting
from consentry_core.process.transport import TransportSettings

_DEFAULT_COST = Cost()


@dataclass(frozen=True, kw_only=True)
class AuthoritySettings(TransportSettings):
    """Settings of the authority; see `consentry_core.process.settings`."""

    program: ClassVar[str] = "AUTHORITY"

    listen: str = setting("127.0.0.1:7401", "address that the authority serves on", env="CONSENTRY_AUTHORITY_LISTEN")
    data_dir: Path = setting(Path(".consentry"), "folder for databases, keys and tokens")
    checksum_key_file: Path | None = setting(
        None, "file with the keys of secrets' checksums, newest first [default: checksum.key in the data folder]"
    )
    audit_key_file: Path | None = setting(
        None, "file with the keys of the audit log, newest first [default: audit.key in the data folder]"
    )
    connection_calls: int = setting(
        512,
        "calls, streams included, that may be open on one connection; a client holds further ones back until one ends",
        env="CONSENTRY_AUTHORITY_CONNECTION_CALLS",
    )
    argon2_memory_kib: int = setting(_DEFAULT_COST.memory_kib, "memory that hashing a secret takes")
    argon2_time: int = setting(_DEFAULT_COST.time, "passes that hashing a secret makes over that memory")
    argon2_parallelism: int = setting(_DEFAULT_COST.parallelism, "lanes that hashing a secret uses")
    accesses_kept_days: int = setting(400, "how long customers are told what was read of their data")
    members_per_token: int = setting(
        MEMBERS_PER_TOKEN,
        "how many enforcement points a service's token may have at once",
        env="CONSENTRY_AUTHORITY_MEMBERS_PER_TOKEN",
    )
    changes_burst: int = setting(
        600, "changes that one organisation may make at once; withdrawals are never limited; 0: any number of any change"
    )
    changes_per_second: float = setting(1.0, "changes that one organisation may make in the long run")
    keys_per_partner: int = setting(1_000, "keys that one partner may have, deleted ones left out")
    tokens_per_organization: int = setting(
        200, "tokens that one organisation may have, deleted ones left out; operators may issue more for it"
    )
    receipts_kept_days: int = setting(400, "how long it is told how changes were enforced; 0: for ever")
    history_kept_days: int = setting(400, "how long lines of the history are kept; 0: for ever")
    ended_kept_days: int = setting(90, "how long deleted keys and tokens, and dead secrets, are kept; 0: for ever")
    watched_customers: int = setting(
        200_000, "customers that one partner's keys may watch the coverage of together, with WatchCoverage; 0: any number"
    )
    enforcement_clients: str = setting(
        "",
        "names of the certificates that services must come with, divided by commas; *.example.com and * stand for several",
        env="CONSENTRY_AUTHORITY_ENFORCEMENT_CLIENTS",
    )
    reflection: bool = setting(True, "serve reflection, so that grpcurl needs no protos")
    admin_listen: str = setting(
        "",
        "address of /livez, /readyz and /metrics, over HTTP without credentials; off when empty",
        env="CONSENTRY_AUTHORITY_ADMIN_LISTEN",
    )
    channelz_listen: str = setting("", "address of channelz; off when empty", env="CONSENTRY_AUTHORITY_CHANNELZ_LISTEN")

    trusted_proxies: str = setting(
        "", "proxies whose x-forwarded-for counts for keys' networks: addresses and networks, divided by commas"
    )

    oidc_issuer: str = setting("", "identity provider that administrators may be signed in by; off when empty")
    oidc_audience: str = setting("", "what the provider's tokens must be for")
    oidc_jwks: str = setting("", "file or https URL of the provider's keys [default: as its discovery document says]")
    oidc_role_claim: str = setting(
        "consentry_role", "claim that says operator, partner_admin or customer_admin, or the way to it: realm_access.roles"
    )
    oidc_roles: str = setting("", "what other values of that claim stand for: VALUE=ROLE, divided by commas")
    oidc_organization_claim: str = setting(
        "consentry_organization", "claim with the administrator's organisation: partners/ID or customers/ID"
    )

    ready_file: Path | None = setting(
        None,
        "file to write the address to once it is served: for port 0",
        env="CONSENTRY_AUTHORITY_READY_FILE",
    )

    @property
    def database_file(self) -> Path:
        """Where the SQLite database lies."""
        return self.data_dir / "authority.db"

    @property
    def checksum_keys_file(self) -> Path:
        """Where the checksum keys lie."""
        return self.checksum_key_file or self.data_dir / "checksum.key"

    @property
    def audit_keys_file(self) -> Path:
        """Where the keys of the audit log lie."""
        return self.audit_key_file or self.data_dir / "audit.key"

    @property
    def cost(self) -> Cost:
        """What hashing a secret costs."""
        return Cost(self.argon2_memory_kib, self.argon2_time, self.argon2_parallelism)

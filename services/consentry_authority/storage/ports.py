"""Every port that storage implements, on one database: what an engine has to bring, and what the contract suite holds it to."""

from collections.abc import Callable
from dataclasses import dataclass

from consentry_authority.access_log.ports import Accesses
from consentry_authority.audit.chain import AuditKeys
from consentry_authority.audit.ports import AuditEntries
from consentry_authority.commands.change_limits import ChangeLimits
from consentry_authority.commands.ports import SecretsInUse
from consentry_authority.enforcement.ports import EnforcementRecords
from consentry_authority.storage.commits import OwnCommits
from consentry_authority.storage.enforcement.records import SqlEnforcementRecords
from consentry_authority.storage.logs.ports import SqlAccesses, SqlAuditEntries
from consentry_authority.storage.repositories.secrets_in_use import SqlSecretsInUse
from consentry_authority.storage.store import SqlStore
from consentry_core.sql.database import Database
from consentry_core.sql.kept_head import KeptHead
from consentry_core.values.clock import Clock


@dataclass(frozen=True)
class Storage:
    """The ports, on one database."""

    store: SqlStore
    commits: OwnCommits
    enforcement: EnforcementRecords
    audit_entries: AuditEntries
    accesses: Accesses
    secrets_in_use: SecretsInUse


def storage_on(
    database: Database,
    clock: Clock,
    audit_keys: AuditKeys,
    *,
    asking: Callable[[], str] = lambda: "",
    limits: ChangeLimits | None = None,
    kept_head: KeptHead | None = None,
) -> Storage:
    """The ports on a database that is initialised. Closed by `store.close`."""
    commits = OwnCommits()
    store = SqlStore(database, clock, audit_keys, asking=asking, limits=limits, commits=commits, kept_head=kept_head)
    return Storage(
        store=store,
        commits=commits,
        enforcement=SqlEnforcementRecords(store),
        audit_entries=SqlAuditEntries(store, audit_keys),
        accesses=SqlAccesses(store, audit_keys),
        secrets_in_use=SqlSecretsInUse(store),
    )

"""What the audit log needs from the outside. `storage` implements it."""

from collections.abc import Sequence
from typing import Protocol

from consentry_authority.audit.chain import Entry


class AuditEntries(Protocol):
    """The log, to append to. Each entry gets its number and its seal there."""

    async def append(self, entries: Sequence[Entry]) -> None:
        """Write entries at the end, all of them or none."""
        ...

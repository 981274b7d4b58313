"""Whether everything is as the audit log left it: the other half of `audit.chain`, which looks at the log alone.

Who can write to the database can change what decisions are made of, and leave the log as it is. Each entry of a change says
what its subjects were like after it; so the last word on a subject is what it must be like now.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import sqlalchemy as sa

from consentry_authority.audit.chain import Entry, EntryKind
from consentry_authority.commands.records import WHEN_NONE_WAS_NAMED
from consentry_authority.storage.history.descriptions import describe
from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.schema.rows import data_classes_text
from consentry_core.process.logs import redact
from consentry_core.values import names

_CUSTOMERS: Final = "customers"
_SUBJECTS: Final = (names.PARTNER, names.CUSTOMER, names.CONSENT, names.KEY, names.TOKEN)


@dataclass(slots=True)
class _Left:
    """How an entry left a subject; None: it was not there any more."""

    entry: int
    described: dict[str, Any] | None


class AuditedState:
    """What the log says that everything is like. Takes its entries in their order. `whole`: from its first one on."""

    def __init__(self, *, whole: bool = True) -> None:
        self._whole = whole
        self._left: dict[str, _Left] = {}
        self._first_revision = 0

    def take(self, entry: Entry) -> None:
        """The next entry. One that is not as it was written is the chain's to find."""
        if entry.kind != EntryKind.CHANGE:
            return
        self._first_revision = self._first_revision or entry.revision
        try:
            for name, sides in json.loads(entry.document).items():
                if any(pattern.matches(name) for pattern in _SUBJECTS):
                    self._left[name] = _Left(entry.number, self._after(name, sides))
        except (ValueError, AttributeError, KeyError, TypeError):
            return

    def _after(self, name: str, sides: dict[str, Any]) -> dict[str, Any] | None:
        if sides["after"] is None:
            return None
        before = self._left.get(name)
        if not self._whole and (sides["before"] is not None if before is None else _CUSTOMERS not in (before.described or {})):
            return dict(sides["after"])  # who was on its list before is told by an entry that is not here
        # Of a list only what came and what went is told.
        listed = set(((before and before.described) or {}).get(_CUSTOMERS, ()))
        listed = (listed | set(sides.get("added", ()))) - set(sides.get("removed", ()))
        return {**sides["after"], _CUSTOMERS: sorted(listed)}

    def differences(self, connection: sa.Connection) -> Iterator[str]:
        """What is not as its last entry left it; and what no entry tells of, if the log is as old as the history."""
        for name, left in self._left.items():
            if not _same(left.described, _now(connection, name)):
                yield f"{name} is not as entry {left.entry} left it: it was changed past the authority"
        if self._first_revision == 1 and self._whole:
            for name in _everything(connection):
                if name not in self._left:
                    yield f"{name} is there, and no entry tells of it"


def _same(left: dict[str, Any] | None, now: dict[str, Any] | None) -> bool:
    """Compared is what both tell of: a column may be younger than the entry. Of secrets, those that live."""
    if left is None or now is None:
        return left is now
    left, now = _with_named_classes(_with_live_secrets(left)), _with_live_secrets(now)
    return all(left[word] == now[word] for word in left.keys() & now.keys())


def _with_live_secrets(described: dict[str, Any]) -> dict[str, Any]:
    if "secrets" not in described:
        return described
    return {**described, "secrets": [secret for secret in described["secrets"] if secret.get("live", True)]}


def _with_named_classes(described: dict[str, Any]) -> dict[str, Any]:
    """A consent of an entry that named no class, as the migration has written it out since."""
    consent = described.get("consent")
    if not consent or consent.get("data_classes") != "":
        return described
    return {**described, "consent": {**consent, "data_classes": data_classes_text(WHEN_NONE_WAS_NAMED)}}


def _now(connection: sa.Connection, name: str) -> dict[str, Any] | None:
    """What it is like, in the log's own words."""
    described = describe(connection, name)
    said: dict[str, Any] | None = json.loads(redact(json.dumps(described, default=sorted)))
    return said


def _everything(connection: sa.Connection) -> Iterator[str]:
    """The names of all that entries tell of; the demo customer is there before any."""
    for partner in connection.scalars(sa.select(t.partners.c.id)):
        yield names.PARTNER.format(partner)
    for customer in connection.scalars(sa.select(t.customers.c.id).where(t.customers.c.id != names.DEMO_CUSTOMER)):
        yield names.CUSTOMER.format(customer)
    for row in connection.execute(sa.select(t.connections.c.customer, t.connections.c.partner)):
        yield names.CONSENT.format(row.customer, row.partner)
    for row in connection.execute(sa.select(t.keys.c.partner, t.keys.c.id)):
        yield names.KEY.format(row.partner, row.id)
    for token in connection.scalars(sa.select(t.tokens.c.id)):
        yield names.TOKEN.format(token)

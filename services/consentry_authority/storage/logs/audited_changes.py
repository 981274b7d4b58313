"""What the audit log says of a change: both sides of what differs, and in whose history it stands. No SQL."""

import json
from dataclasses import asdict
from typing import Any

from consentry_authority.audit.chain import Entry, EntryKind
from consentry_authority.commands.ports import Origin
from consentry_authority.storage.history.descriptions import CUSTOMERS, Description
from consentry_authority.storage.history.place import Differences, Recorded
from consentry_core.values import names
from consentry_rule import Instant


def entries_of(changed: Differences, origin: Origin, *, recorded: Recorded | None, now: Instant) -> list[Entry]:
    """The entries of what a transaction has changed; none when it changed nothing that is described.

    What had ended by itself before it was changed is told first, as of its end: no other entry would say so.
    """
    if not changed:
        return []
    entries = [
        Entry(time=end, kind=EntryKind.END, document=_document({name: (before, None)}))
        for name, (before, after) in changed.items()
        if (end := ended(name, before, after, now)) is not None
    ]
    time, revision = (now, 0) if recorded is None else (recorded.commit_time, recorded.number)
    document = _document(changed)
    change = Entry(time=time, kind=EntryKind.CHANGE, outcome="OK", revision=revision, document=document, **asdict(origin))
    return [*entries, change]


def concerned(entry: Entry) -> set[tuple[str, str]]:
    """The (customer, partner or empty) in whose history an entry stands."""
    if entry.kind not in (EntryKind.CHANGE, EntryKind.END):
        return set()
    try:
        changed = json.loads(entry.document)
        return {concern for name, sides in changed.items() for concern in _concerns(name, sides["after"] or sides["before"])}
    except (ValueError, AttributeError, KeyError, TypeError):
        return set()  # no document of ours: the chain does not fit either


def ended(name: str, before: Description | None, after: Description | None, now: Instant) -> Instant | None:
    """When what is now changed had ended by itself; None when it had not, or is not what has changed."""
    if before is None:
        return None
    if names.CUSTOMER.matches(name):
        end, over = before["subscription_expire_time"], before["subscription_cancel_time"]
    else:
        consent = before.get("consent")
        if not names.CONSENT.matches(name) or consent is None or (after and after["consent"] == consent):
            return None
        end, over = consent["expire_time"], consent["revoke_time"]
    return Instant(end) if over is None and end is not None and end <= now else None


def _concerns(name: str, description: Description | None) -> tuple[tuple[str, str], ...]:
    """In whose history a change of this subject stands."""
    if names.CONSENT.matches(name):
        customer, partner = names.CONSENT.parse(name, "name")
        return ((customer, partner),)
    organization = name
    if names.TOKEN.matches(name):
        organization = str((description or {}).get("organization", ""))
    return ((names.CUSTOMER.parse(organization, "name")[0], ""),) if names.CUSTOMER.matches(organization) else ()


def _document(changed: Differences) -> str:
    return json.dumps({name: _difference(*pair) for name, pair in sorted(changed.items())}, separators=(",", ":"))


def _difference(before: Description | None, after: Description | None) -> dict[str, Any]:
    """Both sides; of lists, what came and what went."""
    sides: dict[str, Any] = {"before": None, "after": None}
    for side, said in (("before", before), ("after", after)):
        sides[side] = None if said is None else {key: value for key, value in said.items() if key != CUSTOMERS}
    for word, customers in zip(("added", "removed"), (after or {}).get(CUSTOMERS, ()), strict=False):
        if customers:
            sides[word] = sorted(customers)
    return sides

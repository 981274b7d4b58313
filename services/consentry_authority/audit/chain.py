"""The chain that makes changes of the audit log visible.

    digest(n) = HMAC-SHA256(audit key, digest(n-1) | everything that entry n says, its number included)

1. Who can write to the database, and has not the key, cannot make an entry, nor change, move or leave out one: no digest after
   it fits.
2. Who cuts the log off at its end leaves a chain that fits. That shows against a head that was exported before (`Head`), and
   against the history: every change of the authority names an entry, and the last one too.
3. Who has the key as well can write another log, but none that leads to a head that was exported.

The first key seals; older ones stay while entries that they sealed are to be verified.
"""

import hashlib
import hmac
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from enum import StrEnum

from consentry_core.values.encoding import base32
from consentry_rule import Instant

FIRST_DIGEST = ""
"""What the first entry is chained to."""


class EntryKind(StrEnum):
    """What an entry tells of."""

    CHANGE = "change"
    """A transaction changed something. Written in that transaction: no entry, no change."""
    END = "end"
    """Something had ended by itself; told when what follows it was changed."""
    REFUSAL = "refusal"
    """An authenticated caller was refused."""
    FAILURE = "failure"
    """A credential did not count."""
    EXPORTED = "exported"
    """The log up to an entry was exported, and is removed: `document` names its number and digest."""
    LEFT_OUT = "left out"
    """So many refusals and failures were not written, because there were too many."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One line of the log. Texts that do not apply are empty; `revision` is 0 for what is no change of the history.

    `document` is JSON: of a change, what differs by subject, before and after; never a secret.
    """

    number: int
    time: Instant
    kind: str  # an `EntryKind`, unless somebody changed it
    actor: str = ""
    organization: str = ""
    method: str = ""
    peer: str = ""
    request_id: str = ""
    outcome: str = ""
    revision: int = 0
    document: str = ""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An entry with its place in the chain."""

    entry: Entry
    key_id: str
    digest: str


@dataclass(frozen=True, slots=True)
class Head:
    """The end of the log at some moment: keep it where who runs the authority cannot change it."""

    number: int
    digest: str


class AuditKeys:
    """The keys of the chain, newest first."""

    def __init__(self, keys: Sequence[bytes]) -> None:
        self._keys = {_key_id(key): key for key in keys}
        self._newest = _key_id(keys[0])

    def seal(self, entry: Entry, before: str) -> Sealed:
        """The entry as the next one after the digest `before`."""
        return Sealed(entry, self._newest, _digest(self._keys[self._newest], entry, before))

    def fits(self, sealed: Sealed, before: str) -> bool:
        """Whether the entry was sealed, as it is, after the digest `before`."""
        key = self._keys.get(sealed.key_id)
        return key is not None and hmac.compare_digest(sealed.digest, _digest(key, sealed.entry, before))

    def knows(self, key_id: str) -> bool:
        """Whether it is one of these keys."""
        return key_id in self._keys


def verify(
    keys: AuditKeys, log: Iterable[Sealed], heads: Sequence[Head] = (), base: Head = Head(0, FIRST_DIGEST)
) -> Iterator[str]:
    """What is wrong with a log, read from its beginning; nothing when it is whole. `heads` were exported earlier.

    `base`: the last entry that is not in it any more. One of those that are has to say that it was exported.
    """
    expected: defaultdict[int, set[str]] = defaultdict(set)
    for head in heads:
        if head.number or head.digest != FIRST_DIGEST:  # one of a log with nothing in it is what every log begins with
            expected[head.number].add(head.digest)
    number, before = base.number, base.digest
    begun = base.number == 0
    for removed in [named for named in expected if named <= base.number]:
        del expected[removed]  # of what was removed; its own file shows whether it is as it was
    for sealed in log:
        entry = sealed.entry
        begun = begun or (entry.kind == EntryKind.EXPORTED and exported(entry) == base)
        if entry.number != number + 1:
            yield _missing(number + 1, entry.number - 1)
        if not keys.knows(sealed.key_id):
            yield f"entry {entry.number} was sealed with key {sealed.key_id}, which is not in the key file"
        elif entry.number == number + 1 and not keys.fits(sealed, before):
            yield f"entry {entry.number} does not fit its digest: it, or the digest before it, was changed or moved"
        if expected.pop(entry.number, {sealed.digest}) != {sealed.digest}:
            yield f"entry {entry.number} is not the one that the exported head names: the log was written anew"
        number, before = entry.number, sealed.digest
    if not begun:
        yield f"the log begins after entry {base.number}, and no entry says that those were exported: its beginning was cut off"
    for missing in sorted(expected):
        yield f"the log ends with entry {number}, and the exported head names entry {missing}: its end was cut off"


def exported(entry: Entry) -> Head | None:
    """The last entry that this one says was exported."""
    try:
        said = json.loads(entry.document)
        return Head(said["number"], said["digest"])
    except (ValueError, KeyError, TypeError):
        return None


def _missing(first: int, last: int) -> str:
    return f"entry {first} is missing" if first == last else f"entries {first} to {last} are missing"


def _digest(key: bytes, entry: Entry, before: str) -> str:
    # What somebody wrote there may be of any type.
    said = json.dumps([before, *astuple(entry)], ensure_ascii=True, separators=(",", ":"), default=repr)
    return hmac.digest(key, said.encode(), "sha256").hex()


def _key_id(key: bytes) -> str:
    return base32(hashlib.sha256(b"consentry audit key id" + key).digest())[:8]

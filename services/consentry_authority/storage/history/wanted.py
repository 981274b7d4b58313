"""What a call wants to be so, and by which change it came to be so.

A call that finds what it wants to be so already changes nothing. Its answer is the receipt of the change that brought that
about: who asks again gets the answer that it got before, and does not wait for what others change meanwhile.

1. Every change marks the fields that it has changed, of each resource, with its number (`field_numbers`). So what is marked has
   been as it is since the last change of it: what was widened and narrowed again since counts from then. Whoever has applied
   that change or a later one denies what it denies.
2. What is not marked has been so since the resource was created, whose number is marked too, or since before the marks began.
   What was taken away by then, and from whom, is in the receipts; the last of these counts.
3. What is deleted, or killed, cannot be asked for again: the second call does not find what it names.
4. A restore is a change that may have taken anything from anybody: others may still serve by the history that was lost. The
   marks from before it say nothing about them, and begin anew.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from consentry_authority.storage.enforcement.members import EVERYTHING, last_number
from consentry_authority.storage.schema import tables as t
from consentry_core.values import names
from consentry_rule import CustomerId, KeyId, PartnerId

_ALL = ""  # the field of the mark that says when a resource was created; as a resource too, where all marks begin

_FIELDS_OF_PATH: Mapping[str, tuple[str, ...]] = {
    "allowed_networks": ("networks",),
    "quota": ("calls_per_minute", "open_streams"),
    "quota.calls_per_minute": ("calls_per_minute",),
    "quota.open_streams": ("open_streams",),
}
"""Where `UpdateKey` has other words than the description. One label is a part of `labels`."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Fields of a resource, as it is described (`descriptions`).

    `subjects` are those that it can take access away from; a name that ends in `/` stands for all below it.
    """

    resource: str
    fields: frozenset[str]
    subjects: tuple[str, ...]


def consent(customer: CustomerId, partner: PartnerId) -> Wanted:
    """A consent as it was granted, or revoked."""
    name = names.CONSENT.format(customer, partner)
    return Wanted(name, frozenset({"consent"}), (name,))


def disconnected(customer: CustomerId, partner: PartnerId) -> Wanted:
    """That the two do not work together."""
    name = names.CONSENT.format(customer, partner)
    return Wanted(name, frozenset({"disconnect_time"}), (name,))


def subscription(customer: CustomerId) -> Wanted:
    """A customer's subscription."""
    name = names.CUSTOMER.format(customer)
    fields = frozenset({"plan", "subscription_expire_time", "subscription_cancel_time"})
    return Wanted(name, fields, (f"{name}/consents/",))


def key(partner: PartnerId, key_id: KeyId, paths: Iterable[str]) -> Wanted:
    """What these paths of a key say."""
    name = names.KEY.format(partner, key_id)
    fields = frozenset(field for path in paths for field in _FIELDS_OF_PATH.get(path, (path.partition(".")[0],)))
    return Wanted(name, fields, (name,))


def rehearsal(partner: PartnerId) -> Wanted:
    """Whether a partner rehearses a withdrawal."""
    name = names.PARTNER.format(partner)
    return Wanted(name, frozenset({"rehearsing"}), (f"{name}/keys/",))


def mark(connection: sa.Connection, name: str, before: Mapping[str, Any], after: Mapping[str, Any], number: int) -> None:
    """A change was made of a resource that was there before it."""
    changed = sorted(field for field in {*before, *after} if before.get(field) != after.get(field))
    columns = t.field_numbers.c
    connection.execute(sa.delete(t.field_numbers).where(columns.resource == name, columns.field.in_(changed)))
    connection.execute(sa.insert(t.field_numbers), [{"resource": name, "field": field, "number": number} for field in changed])


def mark_created(connection: sa.Connection, name: str, number: int) -> None:
    """A change made a resource."""
    connection.execute(sa.insert(t.field_numbers).values(resource=name, field=_ALL, number=number))


def begin_anew(connection: sa.Connection, number: int) -> None:
    """What is marked so far came about by this change at the latest, and nothing more can be said of it."""
    connection.execute(sa.delete(t.field_numbers))
    connection.execute(sa.insert(t.field_numbers).values(resource=_ALL, field=_ALL, number=number))


def number_of(connection: sa.Connection, wanted: Wanted) -> int | None:
    """The change that brought about what is wanted, and is so; None when none has that is on record: it was never otherwise.

    For what was so before the marks began: the last change before them that took something away from its subjects.
    """
    columns = t.field_numbers.c
    marks = sa.select(sa.func.max(columns.number))
    marked: int | None = connection.scalar(marks.where(columns.resource == wanted.resource, columns.field.in_(wanted.fields)))
    if marked is None:
        marked = connection.scalar(marks.where(columns.resource == wanted.resource, columns.field == _ALL))
    if marked is not None:
        return marked
    began: int = connection.execute(marks.where(columns.resource == _ALL)).scalar_one()
    return last_number(connection, (EVERYTHING, *wanted.subjects), until=began)

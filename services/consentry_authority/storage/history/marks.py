"""By which change each field came to be what it is.

A call that finds what it wants to be so already saves what is there, and changes nothing (`Touched.found`). Its answer is the
receipt of the change that brought that about: who asks again gets the answer that it got before, and does not wait for what
others change meanwhile.

1. Every change marks the fields that it has changed, of each resource, with its number (`field_numbers`). So what is marked has
   been as it is since the last change of it: what was widened and narrowed again since counts from then. Whoever has applied
   that change or a later one denies what it denies.
2. What is not marked has been so since the resource was created, whose number is marked too, or since before the marks began.
   What was taken away by then, and from whom, is in the receipts; the last of these counts.
3. What is deleted, or killed, cannot be asked for again: the second call does not find what it names.
4. A restore is a change that may have taken anything from anybody: others may still serve by the history that was lost. The
   marks from before it say nothing about them, and begin anew.
"""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa

from consentry_authority.storage.enforcement.receipts import EVERYTHING, last_number
from consentry_authority.storage.schema import tables as t
from consentry_core.values import names

_ALL = ""  # the field of the mark that says when a resource was created; as a resource too, where all marks begin


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


def number_of(connection: sa.Connection, found: Mapping[str, Collection[str]]) -> int | None:
    """The change that brought about what was found: fields of resources, by name. None when none has that is on record.

    What none has was never otherwise. Of what was so before the marks began: the last change before them that took something
    away that depends on the resource.
    """
    numbers = [_number_of(connection, resource, fields) for resource, fields in found.items()]
    return max((number for number in numbers if number is not None), default=None)


def _number_of(connection: sa.Connection, resource: str, fields: Collection[str]) -> int | None:
    columns = t.field_numbers.c
    marks = sa.select(sa.func.max(columns.number))
    marked: int | None = connection.scalar(marks.where(columns.resource == resource, columns.field.in_(fields)))
    if marked is None:
        marked = connection.scalar(marks.where(columns.resource == resource, columns.field == _ALL))
    if marked is not None:
        return marked
    began: int = connection.execute(marks.where(columns.resource == _ALL)).scalar_one()
    return last_number(connection, (EVERYTHING, _subjects(resource)), until=began)


def _subjects(resource: str) -> str:
    """Whom a change of it can take access away from; a name that ends in `/` stands for all below it."""
    if names.CUSTOMER.matches(resource):
        return f"{resource}/consents/"
    return f"{resource}/keys/" if names.PARTNER.matches(resource) else resource

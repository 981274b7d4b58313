"""A customer's own part of the audit log, in the order of time."""

from collections.abc import Sequence

import sqlalchemy as sa

from consentry_authority.audit.chain import Entry
from consentry_authority.commands.ports import Place
from consentry_authority.storage.history.descriptions import Description, describe
from consentry_authority.storage.logs.audit_log import sealed_of
from consentry_authority.storage.logs.audited_changes import ended
from consentry_authority.storage.schema import tables as t
from consentry_core.values import names
from consentry_rule import CustomerId, Instant, PartnerId


class SqlAudit:
    """The port `ReadAudit`, on SQL."""

    def __init__(self, connection: sa.Connection, now: Instant) -> None:
        self._connection = connection
        self._now = now

    def of_customer(
        self, customer: CustomerId, partner: PartnerId | None, before: Place | None, *, limit: int
    ) -> Sequence[tuple[Place, Entry]]:
        filed = t.audit_customers.c
        place = (filed.time, filed.number, filed.partner)
        query = sa.select(*(column.label(f"place_{column.name}") for column in place), t.audit).join_from(
            t.audit_customers, t.audit, filed.number == t.audit.c.number
        )
        query = query.where(filed.customer == customer)
        if partner is not None:
            query = query.where(filed.partner.in_((partner, "")))
        if before is not None:
            query = query.where(sa.tuple_(*place) < sa.tuple_(*before))
        query = query.order_by(*(column.desc() for column in place)).limit(limit)
        return [
            (Place(Instant(row.place_time), row.place_number, row.place_partner), sealed_of(row).entry)
            for row in self._connection.execute(query)
        ]

    def ended(
        self, customer: CustomerId, partner: PartnerId | None, before: Place | None, *, limit: int
    ) -> Sequence[tuple[Place, Description]]:
        consents = t.consents.c
        place = (consents.expire_time, sa.literal(0), consents.partner)
        query = sa.select(t.consents).where(
            consents.customer == customer, consents.revoke_time.is_(None), consents.expire_time <= self._now
        )
        if partner is not None:
            query = query.where(consents.partner == partner)
        if before is not None:
            query = query.where(sa.tuple_(*place) < sa.tuple_(*before))
        query = query.order_by(consents.expire_time.desc(), consents.partner.desc()).limit(limit)
        found: list[tuple[Place, Description]] = [
            (Place(Instant(row["expire_time"]), 0, row["partner"]), dict(row))
            for row in self._connection.execute(query).mappings()
        ]
        described = describe(self._connection, names.CUSTOMER.format(customer))
        end = None if described is None else ended(names.CUSTOMER.format(customer), described, None, self._now)
        lapsed = None if end is None else Place(end, 0, "")
        if described is not None and lapsed is not None and (before is None or lapsed < before):
            found.append((lapsed, described))
        return found

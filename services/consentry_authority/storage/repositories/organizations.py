"""Partners, customers, and what is between them."""

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa

from consentry_authority.commands.records import (
    ConnectionRecord,
    ConsentRecord,
    CustomerRecord,
    PartnerRecord,
    Plan,
    SubscriptionRecord,
)
from consentry_authority.storage.history.place import Touched
from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.schema.rows import data_classes, data_classes_text, instant
from consentry_core.values import names
from consentry_rule import CustomerId, Instant, KeyKind, PartnerId


class SqlPartners:
    """See `ports.Partners`."""

    def __init__(self, connection: sa.Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def get(self, partner: PartnerId) -> PartnerRecord | None:
        """See `ports.ReadPartners.get`."""
        row = self._connection.execute(sa.select(t.partners).where(t.partners.c.id == partner)).one_or_none()
        return None if row is None else _partner(row)

    def page(self, *, after: str, limit: int) -> Sequence[PartnerRecord]:
        """See `ports.ReadPartners.page`."""
        query = sa.select(t.partners).where(t.partners.c.id > after).order_by(t.partners.c.id).limit(limit)
        return [_partner(row) for row in self._connection.execute(query)]

    def demo_keys(self, partner: PartnerId) -> tuple[str, ...]:
        """See `ports.ReadPartners.demo_keys`."""
        demo = (t.keys.c.partner == partner, t.keys.c.kind == KeyKind.DEMO.value, t.keys.c.delete_time.is_(None))
        found = self._connection.scalars(sa.select(t.keys.c.id).where(*demo).order_by(t.keys.c.id))
        return tuple(names.KEY.format(partner, key) for key in found)

    def add(self, partner: PartnerRecord) -> None:
        """See `ports.Partners.add`. Touches nothing that decisions are made of: nobody has a key yet."""
        self._touched.organization(partner.name)
        self._connection.execute(
            sa.insert(t.partners).values(
                id=partner.id,
                display_name=partner.display_name,
                create_time=partner.create_time,
                rehearsing=partner.rehearsing,
            )
        )

    def save(self, partner: PartnerRecord) -> None:
        """See `ports.Partners.save`. A rehearsal touches the partner's demo keys and how the demo customer stands to it."""
        self._touched.organization(partner.name)
        before = self.get(partner.id)
        if before is not None and before.rehearsing != partner.rehearsing:
            self._touched.rehearsal(partner.id, before.rehearsing)
            for key in self.demo_keys(partner.id):
                self._touched.credential(key)
        self._connection.execute(
            sa.update(t.partners)
            .where(t.partners.c.id == partner.id)
            .values(display_name=partner.display_name, rehearsing=partner.rehearsing)
        )


class SqlCustomers:
    """See `ports.Customers`."""

    def __init__(self, connection: sa.Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def get(self, customer: CustomerId) -> CustomerRecord | None:
        """See `ports.ReadCustomers.get`."""
        row = self._connection.execute(sa.select(t.customers).where(t.customers.c.id == customer)).one_or_none()
        return None if row is None else _customer(row)

    def page(self, *, after: str, limit: int) -> Sequence[CustomerRecord]:
        """See `ports.ReadCustomers.page`."""
        query = sa.select(t.customers).where(t.customers.c.id > after).order_by(t.customers.c.id).limit(limit)
        return [_customer(row) for row in self._connection.execute(query)]

    def add(self, customer: CustomerRecord) -> None:
        """See `ports.Customers.add`. Touches nothing that decisions are made of: nobody is connected yet."""
        self._touched.organization(customer.name)
        self._connection.execute(
            sa.insert(t.customers).values(
                id=customer.id, create_time=customer.create_time, demo=customer.demo, **_customer_values(customer)
            )
        )

    def save(self, customer: CustomerRecord) -> None:
        """See `ports.Customers.save`. A change of subscription touches how the customer stands towards every partner."""
        self._touched.organization(customer.name)
        before = self.get(customer.id)
        if before is not None and before.subscription != customer.subscription:
            partners = sa.select(t.connections.c.partner).where(t.connections.c.customer == customer.id)
            for partner in self._connection.scalars(partners).all():
                self._touched.standing(PartnerId(partner), customer.id)
        self._connection.execute(
            sa.update(t.customers).where(t.customers.c.id == customer.id).values(**_customer_values(customer))
        )


class SqlConnections:
    """See `ports.Connections`."""

    def __init__(self, connection: sa.Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def get(self, partner: PartnerId, customer: CustomerId) -> ConnectionRecord | None:
        """See `ports.ReadConnections.get`."""
        row = self._connection.execute(sa.select(t.connections).where(_between(partner, customer))).one_or_none()
        return None if row is None else _connection(row)

    def page(
        self, *, partner: PartnerId | None, customer: CustomerId | None, after: tuple[str, str], limit: int
    ) -> Sequence[ConnectionRecord]:
        """See `ports.ReadConnections.page`."""
        columns = t.connections.c
        query = sa.select(t.connections).where(
            columns.disconnect_time.is_(None), sa.tuple_(columns.partner, columns.customer) > sa.tuple_(*after)
        )
        if partner is not None:
            query = query.where(columns.partner == partner)
        if customer is not None:
            query = query.where(columns.customer == customer)
        query = query.order_by(columns.partner, columns.customer).limit(limit)
        return [_connection(row) for row in self._connection.execute(query)]

    def save(self, connection: ConnectionRecord) -> None:
        """See `ports.Connections.save`."""
        self._touched.relation(connection.partner, connection.customer)
        values = {"connect_time": connection.connect_time, "disconnect_time": connection.disconnect_time}
        if self.get(connection.partner, connection.customer) is None:
            statement: sa.Executable = sa.insert(t.connections).values(
                partner=connection.partner,
                customer=connection.customer,
                opened_number=0,
                closed_number=0,
                class_numbers="",
                **values,
            )
        else:
            statement = sa.update(t.connections).where(_between(connection.partner, connection.customer)).values(**values)
        self._connection.execute(statement)


class SqlConsents:
    """See `ports.Consents`."""

    def __init__(self, connection: sa.Connection, touched: Touched) -> None:
        self._connection = connection
        self._touched = touched

    def get(self, customer: CustomerId, partner: PartnerId) -> ConsentRecord | None:
        """See `ports.ReadConsents.get`."""
        row = self._connection.execute(
            sa.select(t.consents).where(t.consents.c.customer == customer, t.consents.c.partner == partner)
        ).one_or_none()
        return None if row is None else _consent(row)

    def page(self, customer: CustomerId, *, after: str, limit: int) -> Sequence[ConsentRecord]:
        """See `ports.ReadConsents.page`."""
        query = (
            sa.select(t.consents)
            .where(t.consents.c.customer == customer, t.consents.c.partner > after)
            .order_by(t.consents.c.partner)
            .limit(limit)
        )
        return [_consent(row) for row in self._connection.execute(query)]

    def save(self, consent: ConsentRecord) -> None:
        """See `ports.Consents.save`."""
        self._touched.relation(consent.partner, consent.customer)
        values = {
            "grant_time": consent.grant_time,
            "expire_time": consent.expire_time,
            "data_start_time": consent.data_start_time,
            "data_classes": data_classes_text(consent.data_classes),
            "purpose": consent.purpose,
            "revoke_time": consent.revoke_time,
        }
        if self.get(consent.customer, consent.partner) is None:
            statement: sa.Executable = sa.insert(t.consents).values(
                customer=consent.customer, partner=consent.partner, **values
            )
        else:
            statement = (
                sa.update(t.consents)
                .where(t.consents.c.customer == consent.customer, t.consents.c.partner == consent.partner)
                .values(**values)
            )
        self._connection.execute(statement)


def _between(partner: PartnerId, customer: CustomerId) -> sa.ColumnElement[bool]:
    return (t.connections.c.partner == partner) & (t.connections.c.customer == customer)


def _partner(row: sa.Row[Any]) -> PartnerRecord:
    return PartnerRecord(PartnerId(row.id), row.display_name, Instant(row.create_time), row.rehearsing)


def _customer(row: sa.Row[Any]) -> CustomerRecord:
    subscription = None
    if row.plan is not None:
        subscription = SubscriptionRecord(
            Plan(row.plan), instant(row.subscription_expire_time), instant(row.subscription_cancel_time)
        )
    return CustomerRecord(CustomerId(row.id), row.display_name, Instant(row.create_time), row.demo, subscription)


def _customer_values(customer: CustomerRecord) -> dict[str, Any]:
    subscription = customer.subscription
    return {
        "display_name": customer.display_name,
        "plan": subscription and subscription.plan.value,
        "subscription_expire_time": subscription and subscription.expire_time,
        "subscription_cancel_time": subscription and subscription.cancel_time,
    }


def _connection(row: sa.Row[Any]) -> ConnectionRecord:
    return ConnectionRecord(
        PartnerId(row.partner), CustomerId(row.customer), Instant(row.connect_time), instant(row.disconnect_time)
    )


def _consent(row: sa.Row[Any]) -> ConsentRecord:
    return ConsentRecord(
        customer=CustomerId(row.customer),
        partner=PartnerId(row.partner),
        grant_time=Instant(row.grant_time),
        data_start_time=Instant(row.data_start_time),
        expire_time=instant(row.expire_time),
        revoke_time=instant(row.revoke_time),
        data_classes=data_classes(row.data_classes),
        purpose=row.purpose,
    )

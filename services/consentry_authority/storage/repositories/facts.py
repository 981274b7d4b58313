"""What decisions are made of, out of the tables. Joins, and never filters by validity."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any

import sqlalchemy as sa

from consentry_authority.commands.ports import Change, StoredSecret
from consentry_authority.storage.repositories.key_lists import KeyLists
from consentry_authority.storage.schema import tables as t
from consentry_authority.storage.schema.rows import class_numbers, data_classes, instant, networks, quota, words
from consentry_core.protocol.follow import Revision
from consentry_core.protocol.marks import ListDifference, MarkedKey, MarkedStanding
from consentry_core.values import names
from consentry_rule import (
    Consent,
    CustomerId,
    Instant,
    KeyKind,
    PartnerId,
    Secret,
    Subscription,
    Token,
    TokenRole,
)

_AT_ONCE = 1000  # names in one query; databases have a limit
_PAGE = 1000
_DEMO = CustomerId(names.DEMO_CUSTOMER)

_STANDINGS = (
    sa.select(
        t.connections.c.partner,
        t.connections.c.customer,
        t.connections.c.disconnect_time,
        t.connections.c.opened_number,
        t.connections.c.closed_number,
        t.connections.c.class_numbers,
        t.customers.c.demo,
        t.customers.c.plan,
        t.customers.c.subscription_expire_time,
        t.customers.c.subscription_cancel_time,
        t.consents.c.grant_time,
        t.consents.c.expire_time,
        t.consents.c.revoke_time,
        t.consents.c.data_start_time,
        t.consents.c.data_classes,
    )
    .join_from(t.connections, t.customers, t.customers.c.id == t.connections.c.customer)
    .outerjoin(
        t.consents,
        (t.consents.c.customer == t.connections.c.customer) & (t.consents.c.partner == t.connections.c.partner),
    )
)

_LISTINGS = sa.select(*(t.key_listings.c[name] for name in ("customer", "first_number", "listed_number", "unlisted_number")))

_KEY_COLUMNS = tuple(
    t.keys.c[name]
    for name in (
        "kind", "disabled", "expire_time", "networks", "calls_per_minute", "open_streams", "audiences", "list_number",
    )
)  # fmt: skip

_TOKEN_COLUMNS = tuple(t.tokens.c[name] for name in ("role", "organization", "expire_time", "audience", "partners"))


class SqlFacts:
    """The port `ReadFacts`, on SQL."""

    def __init__(self, connection: sa.Connection, lists: KeyLists | None = None) -> None:
        self._connection = connection
        self._lists = lists or KeyLists(connection)

    def head(self) -> Revision:
        row = self._connection.execute(sa.select(t.revision.c.epoch, t.revision.c.number)).one()
        return Revision(row.epoch, row.number)

    def changes_after(self, number: int) -> Iterator[Change]:
        """Walks the primary key of `changes`."""
        columns = t.changes.c
        query = sa.select(columns.number, columns.commit_time, columns.subject).order_by(columns.number, columns.subject)
        after = (number + 1, "")  # before every line of the next number: no subject is empty
        while True:
            where = sa.tuple_(columns.number, columns.subject) > sa.tuple_(*after)
            page = self._connection.execute(query.where(where).limit(_PAGE)).all()
            for row in page:
                yield Change(row.number, Instant(row.commit_time), row.subject)
            if len(page) < _PAGE:
                return
            after = (page[-1].number, page[-1].subject)

    def commit_time_of(self, number: int) -> Instant | None:
        return instant(
            self._connection.scalar(
                sa.select(t.changes.c.commit_time)
                .where(t.changes.c.number <= number)
                .order_by(t.changes.c.number.desc())
                .limit(1)
            )
        )

    def exact_commit_time(self, number: int) -> Instant | None:
        """When a change was committed; None for one that is not in the history any more."""
        return instant(self._connection.scalar(sa.select(t.changes.c.commit_time).where(t.changes.c.number == number).limit(1)))

    def credential(self, name: str) -> MarkedKey | Token | None:
        found = self.terms(name)
        if not isinstance(found, MarkedKey) or found.kind is not KeyKind.SPECIFIC_CUSTOMERS:
            return found
        key = names.KEY.parse(name, "name")[1]
        customers = self._lists.of(found.partner, key)
        columns = t.key_listings.c
        rows = self._connection.execute(_LISTINGS.where(_of(found.partner, key)).order_by(columns.customer)).all()
        return replace(
            found,
            customers=customers,
            listed_numbers={customer: listed for customer, _, listed, _ in rows if customer in customers},
            unlisted=tuple((customer, first, unlisted) for customer, first, _, unlisted in rows if unlisted),
        )

    def terms(self, name: str) -> MarkedKey | Token | None:
        if names.KEY.matches(name):
            partner, key = names.KEY.parse(name, "name")
            return self._key(name, PartnerId(partner), key)
        if names.TOKEN.matches(name):
            return self._token(name, *names.TOKEN.parse(name, "name"))
        return None

    def list_difference(self, partner: PartnerId, key: str, base: int) -> ListDifference:
        """Walks two indexes from the number on."""
        columns = t.key_listings.c
        changed = {
            row.customer: row
            for number in (columns.listed_number, columns.unlisted_number)
            for row in self._connection.execute(_LISTINGS.where(_of(partner, key), number > base))
        }
        rows = [changed[customer] for customer in sorted(changed)]
        return ListDifference(
            base,
            tuple((row.customer, row.listed_number) for row in rows if row.listed_number > row.unlisted_number),
            tuple((row.customer, row.first_number, row.unlisted_number) for row in rows if row.unlisted_number),
        )

    def secret(self, secret_id: str) -> StoredSecret | None:
        row = self._connection.execute(
            sa.select(t.secrets.c.credential, t.secrets.c.argon2_hash).where(t.secrets.c.id == secret_id)
        ).one_or_none()
        return None if row is None else StoredSecret(row.credential, row.argon2_hash)

    def standing(self, partner: PartnerId, customer: CustomerId) -> MarkedStanding:
        return self.standings_to(partner, [customer])[0]

    def standings_of(self, partner: PartnerId, *, after: CustomerId | None = None, limit: int) -> Sequence[MarkedStanding]:
        """Walks the primary key of `connections`, so a page costs what it holds."""
        query = _STANDINGS.where(t.connections.c.partner == partner, t.connections.c.customer > (after or ""))
        return [_standing(row) for row in self._connection.execute(query.order_by(t.connections.c.customer).limit(limit))]

    def standings_changed(
        self, partner: PartnerId, since: tuple[int, Instant], now: Instant, *, after: CustomerId, limit: int
    ) -> Sequence[MarkedStanding]:
        """Walks the primary key of `connections`."""
        number, time = since
        columns = t.connections.c
        ends = (t.consents.c.expire_time, t.customers.c.subscription_expire_time)
        newer = sa.or_(
            columns.opened_number > number,
            columns.closed_number > number,
            columns.class_numbers != "",
            *((end > time) & (end <= now) for end in ends),
        )
        query = _STANDINGS.where(columns.partner == partner, columns.customer > after, newer)
        return [_standing(row) for row in self._connection.execute(query.order_by(columns.customer).limit(limit))]

    def standings_to(self, partner: PartnerId, customers: Sequence[CustomerId]) -> Sequence[MarkedStanding]:
        return self.standings_between([(partner, customer) for customer in customers])

    def standings_between(self, pairs: Sequence[tuple[PartnerId, CustomerId]]) -> Sequence[MarkedStanding]:
        """A query for each partner, or each customer, whichever are fewer.

        SQLite has no index search for a list of pairs: asked for pairs it reads the whole table.
        """
        found: dict[tuple[PartnerId, CustomerId], MarkedStanding] = {}
        columns = t.connections.c
        by_partner = len({partner for partner, _ in pairs}) <= len({customer for _, customer in pairs})
        one, many = (columns.partner, columns.customer) if by_partner else (columns.customer, columns.partner)
        groups: defaultdict[str, list[str]] = defaultdict(list)
        for partner, customer in pairs:
            groups[partner if by_partner else customer].append(customer if by_partner else partner)
        for anchor, others in groups.items():
            for start in range(0, len(others), _AT_ONCE):
                query = _STANDINGS.where(one == anchor, many.in_(others[start : start + _AT_ONCE]))
                for standing in map(_standing, self._connection.execute(query)):
                    found[standing.partner, standing.customer] = standing
        for partner, customer in pairs:
            if customer == names.DEMO_CUSTOMER:
                found[partner, customer] = self.demo_standing(partner)
        return [found.get(between) or MarkedStanding(*between) for between in pairs]

    def demo_standing(self, partner: PartnerId) -> MarkedStanding:
        columns = t.partners.c
        query = sa.select(columns.demo_opened_number, columns.demo_closed_number).where(columns.id == partner)
        row = self._connection.execute(query).one_or_none()
        opened, closed = (0, 0) if row is None else row
        return MarkedStanding(partner, _DEMO, demo=True, opened_number=opened, closed_number=closed)

    def _key(self, name: str, partner: PartnerId, key: str) -> MarkedKey | None:
        row = self._connection.execute(
            sa.select(*_KEY_COLUMNS, t.partners.c.rehearsing)
            .join_from(t.keys, t.partners, t.partners.c.id == t.keys.c.partner)
            .where(t.keys.c.partner == partner, t.keys.c.id == key, t.keys.c.delete_time.is_(None))
        ).one_or_none()
        if row is None:
            return None
        return MarkedKey(
            kind=KeyKind(row.kind),
            partner=partner,
            disabled=row.disabled,
            expire_time=instant(row.expire_time),
            rehearsing=row.rehearsing,
            secrets=self._secrets(name),
            networks=networks(row.networks),
            quota=quota(row.calls_per_minute, row.open_streams),
            audiences=words(row.audiences),
            list_number=row.list_number,
        )

    def _token(self, name: str, token: str) -> Token | None:
        row = self._connection.execute(
            sa.select(*_TOKEN_COLUMNS).where(t.tokens.c.id == token, t.tokens.c.delete_time.is_(None))
        ).one_or_none()
        if row is None:
            return None
        return Token(
            role=TokenRole(row.role),
            organization=row.organization,
            expire_time=instant(row.expire_time),
            secrets=self._secrets(name),
            audience=row.audience or "",
            partners=words(row.partners),
        )

    def _secrets(self, credential: str) -> tuple[Secret, ...]:
        found = self._connection.execute(
            sa.select(t.secrets.c.id, t.secrets.c.expire_time)
            .where(t.secrets.c.credential == credential, t.secrets.c.argon2_hash.is_not(None))
            .order_by(t.secrets.c.id)
        )
        return tuple(Secret(row.id, instant(row.expire_time)) for row in found)


def _of(partner: PartnerId, key: str) -> sa.ColumnElement[bool]:
    return sa.and_(t.key_listings.c.partner == partner, t.key_listings.c.key == key)


def _standing(row: Any) -> MarkedStanding:
    # Lists of all of a partner's customers pass here: taking a row apart at once is twice as fast as asking it for its columns.
    (
        partner, customer, disconnect_time, opened_number, closed_number, numbers, demo,
        plan, subscription_expire_time, subscription_cancel_time,
        grant_time, expire_time, revoke_time, data_start_time, classes,
    ) = row  # fmt: skip
    subscription = consent = None
    if plan is not None:
        subscription = _subscription(subscription_cancel_time is not None, subscription_expire_time)
    if grant_time is not None:
        consent = Consent(data_start_time, revoke_time is not None, expire_time, data_classes(classes))
    marks = class_numbers(numbers) if numbers else ()
    return MarkedStanding(
        partner, customer, demo, disconnect_time is None, subscription, consent,
        disconnect_time, opened_number, closed_number, marks,
    )  # fmt: skip


@lru_cache(maxsize=1024)
def _subscription(cancelled: bool, expire_time: Instant | None) -> Subscription:
    """Most customers' are alike."""
    return Subscription(cancelled, expire_time)

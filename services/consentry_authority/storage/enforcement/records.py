"""The port of enforcement, on SQL: each call a transaction, before most of what waits, in turns that hold up no lease."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

import sqlalchemy as sa

from consentry_authority.enforcement.barriers import Barrier, Member, Receipt
from consentry_authority.enforcement.ports import Claim, Grant, Leave, MemberChange, Pending
from consentry_authority.storage.enforcement import members as member_rows
from consentry_authority.storage.enforcement import receipts as receipt_rows
from consentry_authority.storage.logs import access_log
from consentry_authority.storage.repositories.facts import SqlFacts
from consentry_authority.storage.store import SqlStore
from consentry_core.protocol.follow import Revision
from consentry_core.values.errors import ConsentryError

_LANE: Final = "receipts"


class SqlEnforcementRecords:
    """The port `EnforcementRecords`, on SQL: one database is read and written, so whatever is read shows the committed head."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    async def primary_head(self) -> Revision | None:
        return None

    async def members(self) -> Sequence[Member]:
        return await self._store.read_aside(member_rows.members)

    async def change_members(
        self, changes: Sequence[MemberChange], token: str, *, most: int, admit: Callable[[], None]
    ) -> Sequence[Exception | None]:
        change = partial(_change_members, changes=changes, most=most, admit=admit)
        return await self._store.write_aside(change, urgent=True, lane=token)

    async def drop(self, silent: Sequence[Member]) -> int:
        return await self._store.write_aside(partial(member_rows.expire, expired=silent), urgent=True, lane=_LANE)

    async def pending(self) -> Pending:
        return await self._store.read_aside(
            lambda connection: Pending(
                receipt_rows.pending(connection), member_rows.members(connection), SqlFacts(connection).head()
            )
        )

    async def close_receipts(self, barriers: Sequence[Barrier]) -> None:
        change = partial(receipt_rows.close_receipts, barriers=barriers)
        await self._store.write_aside(change, urgent=True, lane=_LANE)

    async def receipt(self, revision: Revision) -> tuple[Receipt, str] | None:
        return await self._store.read_aside(
            lambda connection: receipt_rows.receipt(connection, revision) or receipt_rows.change(connection, revision)
        )

    async def receipts(self, epoch: str, numbers: Sequence[int], *, most_points: int) -> Mapping[int, Receipt]:
        found = await self._store.read_aside(
            partial(receipt_rows.receipts, epoch=epoch, numbers=numbers, most_points=most_points)
        )
        return {number: receipt for number, (receipt, _) in found.items()}

    async def last_number(self, subjects: Sequence[str]) -> int | None:
        return await self._store.read_aside(partial(receipt_rows.last_number, subjects=subjects))


def _change_members(
    connection: sa.Connection, *, changes: Sequence[MemberChange], most: int, admit: Callable[[], None]
) -> list[Exception | None]:
    outcomes: list[Exception | None] = []
    for change in changes:
        try:
            with connection.begin_nested():
                _change_member(connection, change, most, admit)
            outcomes.append(None)
        except ConsentryError as refusal:
            outcomes.append(refusal)
    return outcomes


def _change_member(connection: sa.Connection, change: MemberChange, most: int, admit: Callable[[], None]) -> None:
    match change:
        case Claim(speaker, time):
            access_log.claim(connection, speaker, time, admit=admit)
        case Grant(speaker, applied, time):
            member_rows.grant(connection, speaker, applied, time, most=most, admit=admit)
        case Leave(speaker, time):
            member_rows.leave(connection, speaker.incarnation, time)

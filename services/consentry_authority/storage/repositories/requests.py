"""Requests that had an id, kept for two days: who asks again after that asks anew."""

from typing import Final

import sqlalchemy as sa

from consentry_authority.commands.ports import CarriedOut
from consentry_authority.storage.schema import tables as t
from consentry_core.values.clock import SECOND
from consentry_rule import Instant

KEPT: Final = 2 * 24 * 3600 * SECOND
"""Nanoseconds."""


class SqlRequests:
    """See `ports.Requests`."""

    def __init__(self, connection: sa.Connection, now: Instant) -> None:
        self._connection = connection
        self._now = now

    def get(self, caller: str, request_id: str) -> CarriedOut | None:
        """See `ports.Requests.get`."""
        columns = t.requests.c
        row = self._connection.execute(
            sa.select(t.requests).where(
                columns.caller == caller, columns.id == request_id, columns.create_time > self._now - KEPT
            )
        ).one_or_none()
        return None if row is None else CarriedOut(row.fingerprint, row.resource)

    def keep(self, caller: str, request_id: str, carried_out: CarriedOut) -> None:
        """See `ports.Requests.keep`. One that was kept under the same id is too old to count, or this would not be called."""
        columns = t.requests.c
        self._connection.execute(sa.delete(t.requests).where(columns.caller == caller, columns.id == request_id))
        self._connection.execute(
            sa.insert(t.requests).values(
                caller=caller,
                id=request_id,
                create_time=self._now,
                fingerprint=carried_out.fingerprint,
                resource=carried_out.resource,
            )
        )

"""What has ended, written down: receipts of barriers, and members that are no more.

In pieces, and in a lane of its own: no lease waits for more than one of them, and whoever makes many receipts, or makes others
wait for writes, makes no receipt wait for more than a few.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Final, TypeVar

import sqlalchemy as sa

from consentry_authority.enforcement.barriers import Barrier, Member, point_name
from consentry_authority.storage.enforcement import members as rows
from consentry_authority.storage.store import Store

_T = TypeVar("_T")
_log = logging.getLogger(__name__)

_LANE: Final = "receipts"
_BARRIERS_AT_ONCE, _POINTS_AT_ONCE = 50, 500
_MEMBERS_AT_ONCE = 400
_NAMED = 3


async def keep_receipts(store: Store, barriers: Sequence[Barrier], kept: Callable[[Barrier], None]) -> None:
    """Write their receipts, and call `kept` for each. One that cannot be written is pending until the next start."""
    for piece in _pieces(barriers):
        try:
            await _write(store, partial(rows.close_receipts, barriers=piece))
        except Exception:  # noqa: BLE001 - the change is enforced; its receipt is written after the next start
            _log.exception("receipts could not be kept")
            for barrier in piece:
                barrier.enforce_time = None  # until then it is pending
        for barrier in piece:
            kept(barrier)


async def drop(store: Store, expired: Sequence[Member]) -> None:
    """Drop members that are still as they were read. One line in the log for all of them."""
    dropped = 0
    for start in range(0, len(expired), _MEMBERS_AT_ONCE):
        piece = expired[start : start + _MEMBERS_AT_ONCE]
        try:
            dropped += await _write(store, partial(rows.expire, expired=piece))
        except Exception:  # noqa: BLE001 - they stay, and are dropped with the next barrier, or the next look
            _log.exception("members could not be dropped")
    if dropped:
        some = ", ".join(point_name(member.incarnation) for member in expired[:_NAMED])
        _log.warning("enforcement points fell silent, and their leases have ended: %d, among them %s", dropped, some)


async def _write(store: Store, change: Callable[[sa.Connection], _T]) -> _T:
    return await store.write_aside(change, urgent=True, lane=_LANE)


def _pieces(barriers: Sequence[Barrier]) -> Iterator[Sequence[Barrier]]:
    piece: list[Barrier] = []
    points = 0
    for barrier in barriers:
        if piece and (len(piece) >= _BARRIERS_AT_ONCE or points + len(barrier.points) > _POINTS_AT_ONCE):
            yield piece
            piece, points = [], 0
        piece.append(barrier)
        points += len(barrier.points)
    if piece:
        yield piece

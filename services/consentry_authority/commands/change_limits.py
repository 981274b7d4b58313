"""How much one organisation may change: enough for people and for scripts, and never so much that somebody can fill the disk.

1. A bucket for each organisation, `burst` large, that fills by `per_second`. A change takes one out of it; one of a key with a
   long list takes more, for everybody else's changes wait for it.
2. What withdraws access as a whole is never counted and never waits: revoking, disabling, deleting, disconnecting, cancelling,
   killing a secret. Doing that again takes what is counted first: a grant, an enabling, a creation.
3. When the bucket is empty, a change that takes access away in part (it narrows a consent, ends a key earlier, rotates it) is
   made all the same: one a second for each credential, so that nobody narrows by a nanosecond as fast as it can. Anything else
   is refused then, and nothing of it is done.

Operators act for nobody in particular, and are not limited. Kept in memory: a restart fills the buckets.
"""

import asyncio
from dataclasses import dataclass
from typing import Final

from consentry_core.values.clock import SECOND, BootTime, Clock
from consentry_core.values.errors import ResourceExhausted

WITHDRAWALS: Final = frozenset(
    f"/consentry.authority.v1.{method}"
    for method in (
        "ConsentService/RevokeConsent",
        "DirectoryService/CancelSubscription",
        "DirectoryService/DisconnectCustomer",
        "KeyService/DeleteKey",
        "KeyService/DisableKey",
        "KeyService/RevokeSecret",
        "TokenService/DeleteToken",
    )
)
_LISTED_FOR_ONE = 1_000  # customers on the lists that a change has to look at, for as much as one change
_MOST = 10_000  # organisations and credentials that are remembered: those that were full, or idle, are forgotten


@dataclass(slots=True)
class _Bucket:
    left: float
    filled: BootTime


class ChangeLimits:
    """Counts changes. `burst` 0: any number."""

    def __init__(self, clock: Clock, *, burst: int = 0, per_second: float = 1.0) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._buckets: dict[str, _Bucket] = {}
        self._paced: dict[str, BootTime] = {}  # by credential, when its next change may be made

    async def turn(self, organization: str, credential: str, method: str) -> bool:
        """Wait until a change may be made; whether any may, or only one that takes access away."""
        if not self._burst or not organization or method in WITHDRAWALS:
            return True
        bucket = self._bucket(organization)
        if bucket.left >= 1:
            bucket.left -= 1
            return True
        now = self._clock.boot()
        turn = max(self._paced.get(credential, now), now)
        if len(self._paced) >= _MOST:
            self._paced = {each: at for each, at in self._paced.items() if at > now}
        self._paced[credential] = BootTime(turn + round(SECOND / self._per_second))
        await asyncio.sleep((turn - now) / SECOND)
        return False

    def made(self, organization: str, listed: int) -> None:
        """A change was made that had to look at so many customers on lists."""
        if self._burst and organization:
            self._bucket(organization).left -= listed // _LISTED_FOR_ONE

    def exceeded(self, organization: str) -> ResourceExhausted:
        """Why a change is not made."""
        wait = max(1 - self._bucket(organization).left, 0.0) / self._per_second
        return ResourceExhausted(
            f"your organisation has changed as much as it may for now; come back in {max(wait, 1):.0f} s. Withdrawing access "
            "is never limited: revoke, disable, delete",
            retry_after=max(wait, 1.0),
            reason="CHANGES_EXCEEDED",
        )

    def _bucket(self, organization: str) -> _Bucket:
        now = self._clock.boot()
        bucket = self._buckets.get(organization)
        if bucket is None:
            if len(self._buckets) >= _MOST:
                self._buckets = {name: each for name, each in self._buckets.items() if self._fill(each, now).left < self._burst}
            bucket = self._buckets[organization] = _Bucket(self._burst, now)
        return self._fill(bucket, now)

    def _fill(self, bucket: _Bucket, now: BootTime) -> _Bucket:
        bucket.left = min(self._burst, bucket.left + (now - bucket.filled) / SECOND * self._per_second)
        bucket.filled = now
        return bucket

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
from typing import Final

from consentry_core.pacing.bucket import Bucket, Buckets, Rate
from consentry_core.values.clock import BootTime, Clock
from consentry_core.values.errors import ResourceExhausted
from consentry_core.values.reasons import ErrorReason

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


class ChangeLimits:
    """Counts changes. `burst` 0: any number."""

    def __init__(self, clock: Clock, *, burst: int = 0, per_second: float = 1.0) -> None:
        self._clock = clock
        self._burst = burst
        self._per_second = per_second
        self._organizations = Buckets()
        self._credentials = Buckets()

    async def turn(self, organization: str, credential: str, method: str) -> bool:
        """Wait until a change may be made; whether any may, or only one that takes access away."""
        if not self._burst or not organization or method in WITHDRAWALS:
            return True
        now = self._clock.boot()
        if self._bucket(organization, now).take_one(now):
            return True
        await asyncio.sleep(self._credentials.of(credential, Rate(1, self._per_second), now).take(1, now))
        return False

    def made(self, organization: str, listed: int) -> None:
        """A change was made that had to look at so many customers on lists."""
        if self._burst and organization:
            now = self._clock.boot()
            self._bucket(organization, now).take(listed // _LISTED_FOR_ONE, now)

    def exceeded(self, organization: str) -> ResourceExhausted:
        """Why a change is not made."""
        now = self._clock.boot()
        wait = self._bucket(organization, now).wait(now, 1)
        return ResourceExhausted(
            f"your organisation has changed as much as it may for now; come back in {max(wait, 1):.0f} s. Withdrawing access "
            "is never limited: revoke, disable, delete",
            retry_after=max(wait, 1.0),
            reason=ErrorReason.CHANGES_EXCEEDED,
        )

    def _bucket(self, organization: str, now: BootTime) -> Bucket:
        return self._organizations.of(organization, Rate(self._burst, self._per_second), now)

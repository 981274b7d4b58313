"""Keys' quotas at the authority itself: coverage lists and watches, and `WhoAmI`, count together.

`RevokeSecret` does not: whoever finds a secret can kill it, whatever else is done with its key.
"""

import contextlib
from collections.abc import Iterator

from consentry_authority.admission.current import CurrentFacts
from consentry_authority.admission.gate import calling
from consentry_core.callers.policy import Caller
from consentry_core.rpc.server.open_call import Context, current_call
from consentry_core.rpc.server.quotas import Quotas
from consentry_core.values.clock import Clock
from consentry_rule import NO_QUOTA, Key, Quota


class KeyQuotas:
    """Counts calls for their keys. `streams_per_key` is for keys whose quota says nothing of streams; 0: any number."""

    def __init__(self, current: CurrentFacts, clock: Clock, *, streams_per_key: int) -> None:
        self._current = current
        self._clock = clock
        self._quotas = Quotas(streams_per_key=streams_per_key)

    async def counting(self, context: Context) -> contextlib.AbstractContextManager[None]:
        """Count the call while it is answered, if a key calls. ResourceExhausted, on entering, when it is beyond the quota."""
        if calling().kind is not Caller.KEY:
            return contextlib.nullcontext()
        key = await self._current.credential(calling().credential)
        return self._counting(key.quota if isinstance(key, Key) else NO_QUOTA, context)

    @contextlib.contextmanager
    def _counting(self, quota: Quota, context: Context) -> Iterator[None]:
        call = current_call.get()
        try:
            left = self._quotas.admit(calling().credential, quota, call, self._clock.boot())
            if left:
                context.set_trailing_metadata(left)
            yield
        finally:
            self._quotas.release(call)

"""What has changed under one call, collected until somebody takes it."""

from consentry_core.waking import Bell, Waking
from consentry_rule import CustomerId


class Changes:
    """See `CoverageChanges`. What is added can be taken at once; `waking` rings the bell a little later, with many others."""

    def __init__(self, customers: frozenset[CustomerId] | None, waking: Waking | None = None) -> None:
        self._customers = customers  # None: all of the partner's
        self._changed: set[CustomerId] = set()
        self._waking = waking or Waking()
        self._bell = Bell()

    async def wait(self) -> None:
        """See `CoverageChanges.wait`."""
        while not self._changed:
            self._bell.clear()
            await self._bell.wait()

    def ring(self, bell: Bell) -> None:
        """See `CoverageChanges.ring`."""
        self._bell = bell
        if self._changed:
            bell.ring()

    def __bool__(self) -> bool:
        return bool(self._changed)

    def take(self) -> frozenset[CustomerId]:
        """See `CoverageChanges.take`."""
        if not self._changed:
            return frozenset()
        taken = frozenset(self._changed)
        self._changed.clear()
        return taken

    def add(self, customer: CustomerId) -> None:
        """Something has changed about this customer."""
        if self._customers is None or customer in self._customers:
            self._changed.add(customer)
            self._waking.ring((self._bell,))

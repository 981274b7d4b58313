"""What has changed under a call: which customers a change of its key is about, collected until somebody takes them."""

from collections.abc import Iterable

from consentry_core.pacing.waking import Bell, Waking
from consentry_core.protocol.marks import MarkedKey
from consentry_core.values import names
from consentry_rule import CustomerId, KeyKind, Token

_DEMO = CustomerId(names.DEMO_CUSTOMER)


class Changes:
    """See `CoverageChanges`. What is added can be taken at once; `waking` rings the bell a little later, with many others.

    Says what to look at again. That nothing is written that is denied does not depend on it, but on the check of each write.
    """

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
        self.add_all((customer,))

    def add_all(self, customers: Iterable[CustomerId]) -> None:
        """Something has changed about these customers."""
        if self._customers is not None:
            customers = self._customers.intersection(customers)
        self._changed.update(customers)
        if self._changed:
            self._waking.ring((self._bell,))


def touched_customers(
    former: MarkedKey | Token | None, facts: MarkedKey | Token | None, relisted: frozenset[CustomerId] | None = None
) -> frozenset[CustomerId]:
    """The customers whose coverage may differ between two versions of a key, or did in between: by their numbers.

    `relisted` are those, when a difference of the list has said so: then nobody has to compare two lists.
    """
    if not isinstance(former, MarkedKey) or not isinstance(facts, MarkedKey):
        return frozenset()
    if facts.kind is KeyKind.DEMO:
        return frozenset({_DEMO}) if former.rehearsing != facts.rehearsing else frozenset()
    if relisted is not None:
        return relisted
    renumbered = former.listed_numbers.items() ^ facts.listed_numbers.items()
    return (former.customers ^ facts.customers).union(customer for customer, _ in renumbered)

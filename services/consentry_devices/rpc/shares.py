"""How much is kept for the open calls of each key, and for all of them: memory that lasts as long as a call does."""

from collections import Counter

from consentry_core.values.errors import ResourceExhausted

_RETRY = 5.0  # nobody knows when one of the open calls ends


class Shares:
    """What open calls hold, in a unit of its owner's choice. `what` says what is counted, in words for whoever is refused.

    Whoever holds little (`least`) is let in also when all that there is is taken: others cannot keep anybody out.
    """

    def __init__(self, what: str, *, per_lane: int, in_all: int, least: int) -> None:
        self._what = what
        self._per_lane = per_lane
        self._in_all = in_all
        self._least = least
        self._held: Counter[str] = Counter()
        self._sum = 0

    def take(self, lane: str, amount: int) -> None:
        """Hold so much more. ResourceExhausted when that is too much; then nothing more is held."""
        of_lane = self._held[lane] + amount
        if amount > 0 and (of_lane > self._per_lane or (self._sum + amount > self._in_all and of_lane > self._least)):
            raise ResourceExhausted(
                f"the open calls of one key may hold {self._per_lane} {self._what} here, and those of all keys {self._in_all}; "
                "close some, ask for less, or try again later",
                retry_after=_RETRY,
                reason="OPEN_CALLS_TOO_LARGE",
                metadata={"most": str(self._per_lane)},
            )
        self._held[lane] = of_lane
        self._sum += amount

    def put_back(self, lane: str, amount: int) -> None:
        """Hold so much less."""
        self._sum -= amount
        self._held[lane] -= amount
        if not self._held[lane]:
            del self._held[lane]


class Share:
    """What one call holds; put back when it ends."""

    def __init__(self, shares: Shares, lane: str) -> None:
        self._shares = shares
        self._lane = lane
        self._amount = 0

    def hold(self, amount: int) -> None:
        """Hold so much from now on. See `Shares.take`."""
        if amount != self._amount:
            self._shares.take(self._lane, amount - self._amount)
            self._amount = amount

    def __enter__(self) -> "Share":
        return self

    def __exit__(self, *_: object) -> None:
        self._shares.put_back(self._lane, self._amount)
        self._amount = 0

"""Which secrets are in use here: what the authority is told every now and then, and never once a call."""

from collections.abc import Iterable

from consentry_core.protocol.follow import NAMES_AT_ONCE, Uses
from consentry_core.values.clock import SECOND, BootTime
from consentry_rule import Instant

TELL_EVERY = 20 * SECOND


class SecretUses:
    """The secrets that let calls in since the authority was told."""

    def __init__(self) -> None:
        self._since: dict[str, Instant] = {}
        self._told = BootTime(0)

    def used(self, secret_id: str, at: Instant) -> None:
        """A secret let a call in. On the way of every call: one entry in a dictionary."""
        self._since[secret_id] = at

    def due(self, now: BootTime) -> bool:
        """Whether it is time to tell."""
        return now - self._told >= TELL_EVERY

    def tell(self, in_use: Iterable[str], at: Instant, now: BootTime) -> list[Uses]:
        """What to say; `in_use` are the secrets of calls that are open. Empties the list."""
        uses = list((self._since | dict.fromkeys(in_use, at)).items())
        self._since, self._told = {}, now
        return [Uses(tuple(uses[start : start + NAMES_AT_ONCE])) for start in range(0, len(uses), NAMES_AT_ONCE)]

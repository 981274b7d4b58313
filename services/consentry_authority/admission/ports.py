"""What admission needs from the outside, beside the ports of `commands`. `storage` implements it."""

from collections.abc import Sequence
from typing import Protocol

from consentry_rule import Instant


class SecretsInUse(Protocol):
    """Where it is kept when secrets were last used."""

    async def mark_used(self, uses: Sequence[tuple[str, Instant]]) -> None:
        """These secrets, by id, were in use at these times; times before the one that is kept change nothing."""
        ...

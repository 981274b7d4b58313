"""Waiting for a far side that may be gone without a word: a connection can pass nothing more and stay open.

Looks count, which are made evenly, and no clock: a process that was stopped, or a loop that was blocked, makes one look when it
goes on, and takes what has come meanwhile before the next. Only a wait is looked at: who does not read takes its time.
"""

LOOKS = 4
"""Looks that a limit is divided into; a silence is noticed after the limit, and at most one look more."""


class Silence:
    """One connection's silence. `waiting` is set where the next message is waited for."""

    __slots__ = ("_seen", "noticed", "waiting")

    def __init__(self) -> None:
        self._seen = 0
        self.waiting = False
        self.noticed = False
        """Whether it has lasted too long."""

    def heard(self) -> None:
        """Something has come, and nothing is waited for now."""
        self._seen, self.waiting = 0, False

    def look(self) -> bool:
        """To be called each `LOOKS`-th part of the limit. Whether the wait has lasted for longer."""
        self._seen = self._seen + 1 if self.waiting else 0
        self.noticed = self.noticed or self._seen > LOOKS
        return self.noticed

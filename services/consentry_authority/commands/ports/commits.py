"""Who tells of commits: everything that is remembered, waited for or told anew follows from what is heard here."""

from typing import Protocol

from consentry_core.protocol.follow import Revision
from consentry_core.values.clock import BootTime
from consentry_rule import Instant


class Commit(Protocol):
    """A change that was committed."""

    @property
    def revision(self) -> Revision:
        """Its place in the history."""
        ...

    @property
    def commit_time(self) -> Instant:
        """When."""
        ...

    @property
    def since(self) -> BootTime | None:
        """Likewise, by the clock that leases are counted with; None when nobody noted it."""
        ...

    @property
    def narrowing(self) -> bool:
        """Whether it took access away, and is to be enforced."""
        ...

    @property
    def subjects(self) -> frozenset[str]:
        """The credentials and standings that it touched, by name."""
        ...


class Listener(Protocol):
    """Who hears of commits, on the event loop. It must not block."""

    def committed(self, commit: Commit) -> None:
        """Something was committed by this process: called in the order of the commits, before the caller is answered."""
        ...

    def missed(self) -> None:
        """Something may have been committed by another process: what is remembered counts no longer."""
        ...


class Commits(Protocol):
    """Tells of every commit, whichever process made it."""

    def subscribe(self, listener: Listener) -> None:
        """Tell this one too, from now on."""
        ...

"""Commits of this process, told to whoever listens: enough as long as no other process writes to the database."""

from consentry_authority.commands.ports import Commit, Listener


class OwnCommits:
    """Tells every listener of every commit that this process has made, and that another may have made one."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Tell this one too, from now on."""
        self._listeners.append(listener)

    def committed(self, commit: Commit) -> None:
        """Something was committed. Called on the event loop, in the order of the commits, before the caller is answered."""
        for listener in self._listeners:
            listener.committed(commit)

    def missed(self) -> None:
        """Something may have been committed by another process. Called on the event loop."""
        for listener in self._listeners:
            listener.missed()

"""Libraries that only some sources need. They are imported when such an agent is read; a missing one is named before."""

import importlib.util

from consentry_gateway.agents.entry import Entry


def need(entry: Entry, library: str, extra: str) -> None:
    """SettingError, with the line of the agent that needs it, when a library is not installed."""
    if importlib.util.find_spec(library) is None:
        raise entry.wrong("source", f"{extra} needs the package {library}: pip install 'consentry[{extra}]'")

"""The device-data service as a process for the benchmark of ingest: the product's own, with a record of what it committed.

Answers lines of JSON on its standard input:

    {"groups": true}           the groups that were committed since it was last asked: how many entries each
"""

from typing import Any

from bench.devices_process import answer_questions
from consentry_devices.__main__ import main
from consentry_devices.log import appender
from consentry_devices.log.entries import Entry
from consentry_devices.storage import store

_groups: list[int] = []


class RecordedLog(appender.AppendedLog):
    """The product's log, on record."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.subscribe(_record)


def _record(entries: tuple[Entry, ...]) -> None:
    _groups.append(len(entries))


def _answer(_question: dict[str, Any]) -> Any:
    told = list(_groups)
    _groups.clear()
    return told


if __name__ == "__main__":
    store.AppendedLog = RecordedLog  # type: ignore[attr-defined, assignment]
    answer_questions(_answer)
    main()

"""The device-data service as a process for benchmarks: the product's own, with every write of a customer's data on record.

Answers lines of JSON on its standard input:

    {"rss": true}              collects garbage first, then the resident memory in KiB
    {"writes": [from, to]}     how many writes with data of customer `$BENCH_CUSTOMER` were begun between the two, and in all;
                               with a third element, of that one of the customers that it names, between commas

Times are wall-clock nanoseconds of this host. A write is begun in the step in which its check has passed, so that is when its
time is taken.
"""

import gc
import json
import os
import sys
import threading
import time
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Any

from consentry_core.rpc.server import gate
from consentry_core.rpc.server.open_call import OpenCall
from consentry_devices.__main__ import main
from consentry_guard.calls.call import Call
from consentry_rule import CustomerId

_begun: dict[CustomerId, list[int]] = {CustomerId(each): [] for each in os.environ.get("BENCH_CUSTOMER", "").split(",")}


class RecordedCall(OpenCall):
    """The product's open call, on record."""

    def check(self) -> None:
        """See `OpenCall.check`; what passes is handed to the transport in the same step."""
        super().check()
        if isinstance(self.caller, Call):
            for customer in {customer for customer, _ in self.caller._scope} & _begun.keys():
                _begun[customer].append(time.time_ns())


def resident_kib() -> int:
    """This process's resident memory."""
    fields = Path("/proc/self/statm").read_text(encoding="ascii").split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE") // 1024


def answer_questions(answer: Any) -> None:
    """Answer lines of JSON in a thread of its own, for as long as somebody asks."""

    def listen() -> None:
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), flush=True)
        os._exit(0)  # whoever started this process is gone

    threading.Thread(target=listen, daemon=True).start()


def _answer(question: dict[str, Any]) -> Any:
    if "rss" in question:
        gc.collect()
        return resident_kib()
    after, until, *named = question["writes"]
    begun = _begun[named[0]] if named else next(iter(_begun.values()))
    return [bisect_right(begun, until) - bisect_left(begun, after), len(begun)]


if __name__ == "__main__":
    gate.OpenCall = RecordedCall  # type: ignore[attr-defined] # the gate makes these from here on
    answer_questions(_answer)
    main()

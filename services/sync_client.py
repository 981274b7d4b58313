"""Writes the client for programs without an event loop, from the one for asyncio: `make gen` runs it.

    python services/sync_client.py FOLDER

What is the same but for `async` and `await` is written once, in `aio.py` and `aio_calls.py`. What differs in more than words is
in `aio_way.py` and `sync_way.py`, by the same names.
"""

import re
import sys
from pathlib import Path

CLIENT = Path(__file__).with_name("consentry_client")
HEADER = "# Written from {source} by `make gen`: change that one.\n"
WORDS = (
    (r"\b(async|await) ", ""),
    (r"\b[Aa]sync(?=Client|Calls|Iterator|Generator|contextmanager)", ""),
    (r"__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\baclosing\b", "closing"),
    (r"\bgrpc\.aio\.", "grpc."),
    (r"\baio_(?=calls|way)", "sync_"),
    (r"\bfor asyncio\b", "for programs without an event loop"),
    (r"For one event loop\.", "Safe to use from several threads."),
)


def main(folder: Path) -> None:
    """Write `sync.py` and `sync_calls.py` there."""
    for source in ("aio.py", "aio_calls.py"):
        text = (CLIENT / source).read_text(encoding="utf-8")
        for pattern, replacement in WORDS:
            text = re.sub(pattern, replacement, text)
        (folder / source.replace("aio", "sync")).write_text(HEADER.format(source=source) + text, encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))

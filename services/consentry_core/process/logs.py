"""Logs: one line an event, `key=value`, to standard error.

Whatever a log line is made of, it stays one: what a terminal or a reader would take for something else is escaped
(`consentry_core.values.text`). Only a traceback has lines of its own, each of them indented, so that none looks like an event.
Secrets are blotted out even if somebody logs one by mistake.
"""

import logging
import re
import sys

from consentry_core.values.text import shown

# The random part and the checksum of a secret (see the authority's `secret.py`): recognisable, so that it can be kept out.
# With a whole id it is wherever it begins: before it may stand a part of an escape, of a line break or of a foreign letter.
_SECRET = re.compile(
    r"(?:\b|(?=(?:ck_[a-z]+|ct)_[0-9a-z]{16}_))(ck_demo|ck_all|ck_spec|ct)_([0-9a-z]{4})[0-9a-zA-Z]*_[0-9a-zA-Z_]{8,}"
)
FORM = "%(asctime)s %(levelname)s %(name)s %(message)s"


def redact(text: str) -> str:
    """The text with anything that looks like a secret of ours cut down to its public beginning."""
    return _SECRET.sub(r"\1_\2...", text)


class Formatter(logging.Formatter):
    """The form of every log line of ours, whoever logs."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        """The event on one line."""
        return shown(super().formatMessage(record))

    def formatException(self, ei: object) -> str:  # noqa: N802 - likewise
        """The traceback, its lines indented and escaped: messages of errors hold what others sent."""
        return _indented(super().formatException(ei))  # type: ignore[arg-type] # what the library gives

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - likewise
        """Where something was logged from, likewise."""
        return _indented(super().formatStack(stack_info))

    def format(self, record: logging.LogRecord) -> str:
        """The lines, redacted last, so that tracebacks and foreign libraries' records are covered too."""
        if record.exc_info:
            record.exc_text = None  # another handler may have left it there as it was
        return redact(super().format(record))


def _indented(text: str) -> str:
    return "\n".join("  " + shown(line) for line in text.split("\n"))


def configure(level: str = "INFO") -> None:
    """Send the process's logs to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(Formatter(FORM))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # One line per request of a library is noise at INFO.
    logging.getLogger("alembic").setLevel(logging.WARNING)

"""Logs: one line an event, `key=value`, to standard error. Secrets are blotted out even if somebody logs one by mistake."""

import logging
import re
import sys

# The random part and the checksum of a secret (see the authority's `secret.py`): recognisable, so that it can be kept out.
# With a whole id it is wherever it begins: before it may stand a part of an escape, of a line break or of a foreign letter.
_SECRET = re.compile(
    r"(?:\b|(?=(?:ck_[a-z]+|ct)_[0-9a-z]{16}_))(ck_demo|ck_all|ck_spec|ct)_([0-9a-z]{4})[0-9a-zA-Z]*_[0-9a-zA-Z_]{8,}"
)


def redact(text: str) -> str:
    """The text with anything that looks like a secret of ours cut down to its public beginning."""
    return _SECRET.sub(r"\1_\2...", text)


class _Formatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        """The line, redacted last, so that tracebacks and foreign libraries' records are covered too."""
        return redact(super().format(record))


def configure(level: str = "INFO") -> None:
    """Send the process's logs to standard error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Formatter("%(asctime)s %(levelname)s %(name)s %(message)s"))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    # One line per request of a library is noise at INFO.
    logging.getLogger("alembic").setLevel(logging.WARNING)

"""Templates. Everything that is put into one is escaped, and shown without control and bidi characters, whoever wrote it."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from google.protobuf.timestamp_pb2 import Timestamp
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape
from starlette.responses import HTMLResponse

from consentry_console.web.texts import Texts
from consentry_core.values.text import shown

_FOLDER: Final = Path(__file__).parents[1] / "templates"


class Rendering:
    """Makes pages out of templates."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=FileSystemLoader(_FOLDER),
            autoescape=True,
            undefined=StrictUndefined,
            finalize=_finalized,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.filters["time"] = time_of
        self._templates.filters["last"] = lambda name: name.rpartition("/")[2]

    def text(self, template: str, texts: Texts, values: Mapping[str, Any]) -> str:
        """A template, or a part of a page, as HTML."""
        return self._templates.get_template(template).render(t=texts, **values)

    def page(self, template: str, texts: Texts, values: Mapping[str, Any], status: int = 200) -> HTMLResponse:
        """A whole page."""
        return HTMLResponse(self.text(template, texts, values), status)


def time_of(time: Timestamp | datetime | None) -> Markup:
    """A time, exact for machines and on hover; a script of ours tells it in the reader's zone."""
    if time is None or (isinstance(time, Timestamp) and not time.ByteSize()):
        return Markup("&ndash;")
    moment = time.ToDatetime(UTC) if isinstance(time, Timestamp) else time
    exact = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03d}Z"
    return Markup('<time datetime="{0}" title="{0}">{1}</time>').format(exact, f"{moment:%Y-%m-%d %H:%M:%S} UTC")


def _finalized(value: Any) -> Any:
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    return escape(shown(value))

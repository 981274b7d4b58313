"""Pages as requests ask for them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from google.protobuf.message import Message

from consentry_authority.admission.gate import calling
from consentry_authority.commands.pages import Page
from consentry_core.rpc.server.open_call import current_call
from consentry_core.values.paging import PageTokens, page_size

MOST_BYTES: Final = 1_000_000
"""Of the items in one answer: the rest of it fits into 1 MiB with them."""

_FRAMING = 8  # bytes, of an item in its list
_T = TypeVar("_T")
_M = TypeVar("_M", bound=Message)


class PagedRequest(Protocol):
    """A request for one page."""

    @property
    def page_size(self) -> int:
        """How many, at most."""
        ...

    @property
    def page_token(self) -> str:
        """Where to go on."""
        ...


@dataclass(frozen=True, slots=True)
class AskedPage:
    """A page that was asked for: `limit` items after `after`."""

    after: str
    limit: int
    _tokens: PageTokens
    _question: str

    def fill(self, page: Page[_T], to_wire: Callable[[_T], _M], *, beside: int = 0) -> tuple[list[_M], str]:
        """The page as messages, and the token for what comes after. Cut short when it would be larger than an answer may be.

        One item is always in it: no resource is larger than that by itself. `beside`: bytes of what else is in the answer.
        """
        messages: list[_M] = []
        size = beside
        for item, before in zip(page.items, (None, *page.items), strict=False):
            message = to_wire(item)
            size += message.ByteSize() + _FRAMING
            if before is not None and size > MOST_BYTES:
                return messages, self.token(page.position(before))
            messages.append(message)
        return messages, self.token(page.last)

    def token(self, last: str) -> str:
        """The token for what comes after `last`; empty when nothing does."""
        return self._tokens.make(self._question, last) if last else ""


def asked_page(tokens: PageTokens, request: PagedRequest, *parameters: str) -> AskedPage:
    """Read what a request says of its page. A token opens only for the same method, organisation and parameters."""
    actor = calling()
    question = "\n".join((current_call.get().method, actor.kind.name, actor.organization, *parameters))
    limit = page_size(request.page_size)
    return AskedPage(tokens.read(question, request.page_token), limit, tokens, question)

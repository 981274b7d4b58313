"""Pages as requests ask for them."""

from dataclasses import dataclass
from typing import Protocol

from consentry_authority.rpc.gate import calling
from consentry_core.paging import PageTokens, page_size
from consentry_core.rpc.open_call import current_call


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

    def token(self, last: str) -> str:
        """The token for what comes after `last`; empty when nothing does."""
        return self._tokens.make(self._question, last) if last else ""


def asked_page(tokens: PageTokens, request: PagedRequest, *parameters: str) -> AskedPage:
    """Read what a request says of its page. A token opens only for the same method, organisation and parameters."""
    actor = calling()
    question = "\n".join((current_call.get().method, actor.kind.name, actor.organization, *parameters))
    limit = page_size(request.page_size)
    return AskedPage(tokens.read(question, request.page_token), limit, tokens, question)

"""One visit of a page: who comes, in which language, and what is done when the authority refuses."""

from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import quote

import grpc
from starlette.datastructures import FormData
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from consentry_client.errors import CallFailed, Unauthenticated
from consentry_console.platform import Platform
from consentry_console.session.sessions import Session, Sessions
from consentry_console.web.rendering import Rendering
from consentry_console.web.texts import Texts, chosen
from consentry_core.values.clock import Clock

_STATUS: Final = {
    grpc.StatusCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    grpc.StatusCode.PERMISSION_DENIED: HTTPStatus.FORBIDDEN,
    grpc.StatusCode.INVALID_ARGUMENT: HTTPStatus.BAD_REQUEST,
    grpc.StatusCode.ALREADY_EXISTS: HTTPStatus.CONFLICT,
    grpc.StatusCode.ABORTED: HTTPStatus.CONFLICT,
    grpc.StatusCode.FAILED_PRECONDITION: HTTPStatus.CONFLICT,
    grpc.StatusCode.RESOURCE_EXHAUSTED: HTTPStatus.TOO_MANY_REQUESTS,
    grpc.StatusCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED: HTTPStatus.SERVICE_UNAVAILABLE,
}
SIGN_IN: Final = "/sign-in"


@dataclass(frozen=True, kw_only=True)
class Console:
    """What all pages work with. `secure`: browsers come by TLS."""

    platform: Platform
    sessions: Sessions
    rendering: Rendering
    clock: Clock
    secure: bool

    @property
    def cookie(self) -> str:
        """The cookie's name. The prefix makes browsers hold that it is ours alone, which they do for TLS only."""
        return "__Host-consentry" if self.secure else "consentry"

    def keep(self, response: Response, cookie: str) -> None:
        """Give a session's cookie to the browser."""
        response.set_cookie(self.cookie, cookie, httponly=True, secure=self.secure, samesite="lax", path="/")

    def session_of(self, request: Request) -> Session | None:
        """The session that a request came with."""
        return self.sessions.find(request.cookies.get(self.cookie, ""))


@dataclass(frozen=True)
class Visit:
    """A request of somebody who is signed in."""

    console: Console
    request: Request
    session: Session
    texts: Texts

    @property
    def organization(self) -> str:
        """Of whom the visitor is."""
        return self.session.person.organization

    def page(self, template: str, status: int = 200, **values: Any) -> Response:
        """A whole page."""
        return self.console.rendering.page(template, self.texts, self.shared() | values, status)

    def part(self, template: str, **values: Any) -> str:
        """A part of one."""
        return self.console.rendering.text(template, self.texts, self.shared() | values)

    def shared(self) -> dict[str, Any]:
        """What every template may use."""
        path = self.request.url.path
        return {"person": self.session.person, "form_key": self.session.form_key, "path": path}

    async def ask(self, method: Any, request: Any) -> Any:
        """One answer of the authority."""
        return await self.console.platform.ask(self.session.secret, method, request)

    def pages(self, method: Any, request: Any) -> AsyncIterator[Any]:
        """All pages of a list of the authority."""
        return self.console.platform.pages(self.session.secret, method, request)

    async def form(self) -> FormData:
        """What was sent, by a page of this very session: 403 for any other."""
        form = await self.request.form(max_files=0, max_fields=2_000)
        if not self.session.knows(str(form.get("form_key", ""))):
            raise HTTPException(HTTPStatus.FORBIDDEN, "this form is of another session; open the page again")
        return form


Handler = Callable[[Visit], Awaitable[Response]]


def go(path: str) -> Response:
    """On to another page of ours."""
    return RedirectResponse(path, HTTPStatus.SEE_OTHER)


def route(console: Console, path: str, handler: Handler, roles: Collection[str], *, method: str = "GET") -> Route:
    """A page for these roles."""

    async def visited(request: Request) -> Response:
        texts = chosen(request.headers.get("accept-language", ""))
        session = console.session_of(request)
        if session is None:
            wanted = request.url.path if method == "GET" else ""
            return go(f"{SIGN_IN}?next={quote(wanted)}" if wanted not in {"", "/"} else SIGN_IN)
        visit = Visit(console, request, session, texts)
        if session.person.role not in roles:
            return visit.page("failed.html", HTTPStatus.NOT_FOUND, title=texts("failed.nothing"), message="", code="")
        try:
            return await handler(visit)
        except Unauthenticated:
            console.sessions.end_all_of(session.secret)  # its token is over, and so is all that stands for it
            return go(f"{SIGN_IN}?ended=1")
        except CallFailed as failure:
            status = _STATUS.get(failure.status, HTTPStatus.BAD_GATEWAY)
            away = status is HTTPStatus.SERVICE_UNAVAILABLE
            title = texts("failed.away" if away else "failed.refused")
            return visit.page("failed.html", status, title=title, message=failure.message, code=failure.reason)

    return Route(path, visited, methods=[method])

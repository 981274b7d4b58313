"""Signing in with a token, pasted once or behind a one-time link, and signing out."""

import json
from collections.abc import Sequence
from pathlib import Path

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from consentry_client.errors import CallFailed, Unauthenticated
from consentry_console.pages.common import SIGN_IN, Console, go
from consentry_console.web.texts import chosen
from consentry_core.process.settings import SettingError

_MOST = 512  # characters of a credential


def read_links(file: Path | None) -> dict[str, str]:
    """Codes of one-time links and their tokens; the file is gone then. SettingError when it is no such file."""
    if file is None:
        return {}
    try:
        links = json.loads(file.read_text(encoding="utf-8"))
        file.unlink()
    except (OSError, ValueError) as error:
        raise SettingError(f"the links file {file} cannot be used ({type(error).__name__}); give another, or none") from error
    if not (isinstance(links, dict) and all(isinstance(each, str) for each in links.values())):
        raise SettingError(f"the links file {file} is no JSON object of codes and tokens")
    return links


class SigningIn:
    """The pages that nobody needs a session for."""

    def __init__(self, console: Console, links: dict[str, str]) -> None:
        self._console = console
        self._links = links

    def routes(self) -> Sequence[Route]:
        """All of them."""
        return (
            Route(SIGN_IN, self.page, methods=["GET"]),
            Route(SIGN_IN, self.sign_in, methods=["POST"]),
            Route("/link/{code}", self.link_page, methods=["GET"]),
            Route("/link/{code}", self.link, methods=["POST"]),
            Route("/sign-out", self.sign_out, methods=["POST"]),
        )

    async def page(self, request: Request) -> Response:
        """Where a token is pasted."""
        return self._page(request, ended="ended" in request.query_params)

    async def sign_in(self, request: Request) -> Response:
        """A token was pasted."""
        form = await request.form(max_files=0, max_fields=10)
        return await self._begin(request, str(form.get("token", "")).strip(), _own_path(str(form.get("next", ""))))

    async def link_page(self, request: Request) -> Response:
        """A link was opened: asked first, for mail programs and chats open links by themselves."""
        texts = chosen(request.headers.get("accept-language", ""))
        known = request.path_params["code"] in self._links
        return self._console.rendering.page(
            "link.html", texts, {"known": known, "person": None, "path": ""}, 200 if known else 404
        )

    async def link(self, request: Request) -> Response:
        """It counts once."""
        return await self._begin(request, self._links.pop(request.path_params["code"], ""), "/")

    async def sign_out(self, request: Request) -> Response:
        """End the session, wherever else its token is signed in too."""
        session = self._console.session_of(request)
        form = await request.form(max_files=0, max_fields=10)
        if session is not None and session.knows(str(form.get("form_key", ""))):
            self._console.sessions.end_all_of(session.secret)
        response = go(SIGN_IN)
        response.delete_cookie(self._console.cookie, path="/", secure=self._console.secure, httponly=True)
        return response

    async def _begin(self, request: Request, secret: str, then: str) -> Response:
        console = self._console
        if not (secret and secret.isascii() and secret.isprintable() and len(secret) <= _MOST):
            return self._page(request, refused=True)
        try:
            person = await console.platform.who(secret)
        except Unauthenticated:
            return self._page(request, refused=True)
        except CallFailed:
            return self._page(request, away=True)
        if not person.role:
            return self._page(request, wrong_kind=True)
        response = go(then or "/")
        console.keep(response, console.sessions.begin(person, secret, instead_of=request.cookies.get(console.cookie, "")))
        return response

    def _page(
        self, request: Request, *, ended: bool = False, refused: bool = False, away: bool = False, wrong_kind: bool = False
    ) -> Response:
        texts = chosen(request.headers.get("accept-language", ""))
        told = next(
            (name for name, yes in (("refused", refused), ("away", away), ("kind", wrong_kind), ("ended", ended)) if yes), ""
        )
        wanted = _own_path(request.query_params.get("next", ""))
        values = {"told": told, "next": wanted, "person": None, "path": ""}
        status = {"refused": 403, "kind": 403, "away": 503}.get(told, 200)
        return self._console.rendering.page("sign_in.html", texts, values, status)


def _own_path(path: str) -> str:
    """A path of ours; empty for anything that could lead elsewhere."""
    fits = (
        path.startswith("/")
        and not path.startswith(("//", "/\\"))
        and path.isascii()
        and path.isprintable()
        and "\\" not in path
    )
    return path if fits else ""

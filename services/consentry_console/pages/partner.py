"""A partner's pages: Administration > API, with its keys, the dialog that makes one, and the one that shows the secret once."""

import secrets
from collections.abc import Sequence
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from starlette.responses import Response
from starlette.routing import Route

from consentry.authority.v1 import directory_pb2, keys_pb2
from consentry_console.pages.common import Console, Visit, go, route
from consentry_core.values import names

_ROLES: Final = frozenset({"partner-admin"})
_KINDS: Final = ("KIND_DEMO", "KIND_ALL_CUSTOMERS", "KIND_SPECIFIC_CUSTOMERS")
_OVERLAPS: Final = (0, 3600, 86_400, 604_800)  # seconds
_AT_ONCE: Final = Duration()
_MOST_WAITING: Final = 8  # secrets of one session that are not shown yet


class PartnerPages:
    """All of them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._keys = console.platform.keys

    def routes(self) -> Sequence[Route]:
        """Their addresses."""
        console = self._console
        return (
            route(console, "/api", self.keys, _ROLES),
            route(console, "/api/new", self.new, _ROLES),
            route(console, "/api/new", self.create, _ROLES, method="POST"),
            route(console, "/api/secret/{place}", self.secret, _ROLES),
            route(console, "/api/keys/{key}", self.key, _ROLES),
            route(console, "/api/keys/{key}/{change}", self.change, _ROLES, method="POST"),
            route(console, "/customers", self.customers, _ROLES),
        )

    async def keys(self, visit: Visit) -> Response:
        """The valid keys; the others on demand."""
        show_all = visit.request.query_params.get("show") == "all"
        token = visit.request.query_params.get("page", "")
        request = keys_pb2.ListKeysRequest(parent=visit.organization, page_size=50, page_token=token, show_invalid=show_all)
        return visit.page("api.html", page=await visit.ask(self._keys.ListKeys, request), show_all=show_all)

    async def new(self, visit: Visit) -> Response:
        """The dialog."""
        valid = [each.customer for each in await self._connections(visit) if each.valid]
        return visit.page("new_key.html", kinds=_KINDS, customers=valid, request_id=secrets.token_hex(16))

    async def create(self, visit: Visit) -> Response:
        """A key, made once however often the form is sent."""
        form = await visit.form()
        kind = str(form.get("kind", ""))
        key = keys_pb2.Key(
            kind=keys_pb2.Key.Kind.Value(kind) if kind in _KINDS else keys_pb2.Key.KIND_UNSPECIFIED,
            display_name=str(form.get("display_name", "")),
            customers=[str(each) for each in form.getlist("customer")] if kind == "KIND_SPECIFIC_CUSTOMERS" else [],
        )
        request = keys_pb2.CreateKeyRequest(parent=visit.organization, key=key, request_id=str(form.get("request_id", "")))
        answer = await visit.ask(self._keys.CreateKey, request)
        return _once(visit, answer)

    async def secret(self, visit: Visit) -> Response:
        """The secret, once: it is taken out as it is shown."""
        told = visit.session.shown_once.pop(visit.request.path_params["place"], None)
        return visit.page("secret.html", 200 if told else 410, secret=told or "")

    async def key(self, visit: Visit) -> Response:
        """One key, with what can be done with it."""
        answer = await visit.ask(self._keys.GetKey, keys_pb2.GetKeyRequest(name=_name(visit)))
        asked = visit.request.query_params.get("ask", "")
        return visit.page(
            "key.html",
            key=answer.key,
            asked=asked,
            overlaps=_OVERLAPS,
            request_id=secrets.token_hex(16),
            customers=answer.customers,
        )

    async def change(self, visit: Visit) -> Response:
        """Rotate, disable, enable or delete it."""
        form, name = await visit.form(), _name(visit)
        etag = str(form.get("etag", ""))
        match visit.request.path_params["change"]:
            case "rotate":
                overlap = int(str(form.get("overlap", "0"))) if str(form.get("overlap", "0")).isdigit() else 0
                request: Any = keys_pb2.RotateKeyRequest(
                    name=name,
                    etag=etag,
                    overlap=Duration(seconds=min(overlap, max(_OVERLAPS))),
                    request_id=str(form.get("request_id", "")),
                    enforcement_timeout=_AT_ONCE,
                )
                return _once(visit, await visit.ask(self._keys.RotateKey, request))
            case "disable":
                request = keys_pb2.DisableKeyRequest(name=name, etag=etag, enforcement_timeout=_AT_ONCE)
                return _receipt(await visit.ask(self._keys.DisableKey, request))
            case "enable":
                await visit.ask(self._keys.EnableKey, keys_pb2.EnableKeyRequest(name=name, etag=etag))
                return go(f"/api/keys/{name.rpartition('/')[2]}")
            case "delete":
                request = keys_pb2.DeleteKeyRequest(name=name, etag=etag, enforcement_timeout=_AT_ONCE)
                return _receipt(await visit.ask(self._keys.DeleteKey, request))
        return go("/api")

    async def customers(self, visit: Visit) -> Response:
        """Who is connected, whether it counts, and why not."""
        return visit.page("customers.html", connections=await self._connections(visit))

    async def _connections(self, visit: Visit) -> list[Any]:
        request = directory_pb2.ListConnectionsRequest(parent=visit.organization)
        pages = visit.pages(self._console.platform.directory.ListConnections, request)
        return [each async for page in pages for each in page.connections]


def _name(visit: Visit) -> str:
    return names.KEY.format(visit.organization.rpartition("/")[2], visit.request.path_params["key"])


def _once(visit: Visit, answer: Any) -> Response:
    """On to the page that shows a secret, which is kept for that until then; or to the key, if it was shown before."""
    if not answer.secret:
        return go(f"/api/keys/{answer.key.name.rpartition('/')[2]}?ask=shown")
    waiting = visit.session.shown_once
    while len(waiting) >= _MOST_WAITING:
        del waiting[next(iter(waiting))]
    place = secrets.token_urlsafe(16)
    waiting[place] = answer.secret
    return go(f"/api/secret/{place}")


def _receipt(answer: Any) -> Response:
    return go(f"/receipts/{answer.enforcement.revision}")

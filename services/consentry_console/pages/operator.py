"""An operator's pages: the directory, connections, and enforcement points."""

from collections.abc import Sequence

from starlette.responses import Response
from starlette.routing import Route

from consentry.authority.v1 import directory_pb2, enforcement_pb2
from consentry_console.pages.common import Console, Visit, route

_ROLES = frozenset({"operator"})
_PAGE = 50


class OperatorPages:
    """All of them."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def routes(self) -> Sequence[Route]:
        """Their addresses."""
        return (
            route(self._console, "/directory", self.directory, _ROLES),
            route(self._console, "/enforcement", self.enforcement, _ROLES),
        )

    async def directory(self, visit: Visit) -> Response:
        """Partners, customers and what is between them, a page of each."""
        asked, directory = visit.request.query_params, self._console.platform.directory
        partners = directory_pb2.ListPartnersRequest(page_size=_PAGE, page_token=asked.get("partners", ""))
        customers = directory_pb2.ListCustomersRequest(page_size=_PAGE, page_token=asked.get("customers", ""))
        connections = directory_pb2.ListConnectionsRequest(page_size=_PAGE, page_token=asked.get("connections", ""))
        return visit.page(
            "directory.html",
            partners=await visit.ask(directory.ListPartners, partners),
            customers=await visit.ask(directory.ListCustomers, customers),
            connections=await visit.ask(directory.ListConnections, connections),
        )

    async def enforcement(self, visit: Visit) -> Response:
        """Who serves guarded data, and what it owes."""
        request = enforcement_pb2.ListEnforcementPointsRequest(page_size=_PAGE)
        answer = await visit.ask(self._console.platform.enforcement.ListEnforcementPoints, request)
        return visit.page("enforcement.html", points=answer.enforcement_points)

"""A customer's pages: Administration > Subscriptions, with the check box; the history; who read what."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from starlette.datastructures import FormData
from starlette.responses import Response
from starlette.routing import Route

from consentry.authority.v1 import consent_pb2, data_class_pb2, directory_pb2
from consentry_console.pages.common import Console, Visit, go, route
from consentry_core.protocol.times import to_timestamp
from consentry_core.values import names

_ROLES = frozenset({"customer-admin"})
_CLASSES = tuple(data_class_pb2.DataClass.keys()[1:])
_AT_ONCE = Duration()
_HOURS = 24


@dataclass(frozen=True)
class Partnership:
    """One partner of the customer's, and the consent towards it if there ever was one."""

    partner: str
    connected: bool
    consent: Any = None

    @property
    def allowed(self) -> bool:
        """Whether the box is checked."""
        return self.consent is not None and self.consent.state == consent_pb2.Consent.STATE_ACTIVE


class CustomerPages:
    """All of them."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._consents = console.platform.consents

    def routes(self) -> Sequence[Route]:
        """Their addresses."""
        return (
            route(self._console, "/subscriptions", self.subscriptions, _ROLES),
            route(self._console, "/subscriptions/{partner}", self.decide, _ROLES, method="POST"),
            route(self._console, "/history", self.history, _ROLES),
            route(self._console, "/readers", self.readers, _ROLES),
        )

    async def subscriptions(self, visit: Visit) -> Response:
        """Each partner with its check box."""
        partners = sorted((await self._partnerships(visit)).values(), key=lambda each: (not each.connected, each.partner))
        return visit.page("subscriptions.html", partners=partners, classes=_CLASSES)

    async def decide(self, visit: Visit) -> Response:
        """The box was checked or unchecked, or what stands behind it changed."""
        form = await visit.form()
        partner = names.PARTNER.format(visit.request.path_params["partner"])
        if form.get("allow") == "on":
            granted = await visit.ask(self._consents.GrantConsent, _grant(visit.organization, partner, form))
            return _receipt(granted.enforcement) if granted.enforcement.revision else go("/subscriptions")
        if form.get("sure") != "yes":
            known = (await self._partnerships(visit)).get(partner, Partnership(partner, connected=False))
            return (
                go("/subscriptions")
                if not known.allowed
                else visit.page("unchecking.html", partner=partner, consent=known.consent)
            )
        revoke = consent_pb2.RevokeConsentRequest(customer=visit.organization, partner=partner, enforcement_timeout=_AT_ONCE)
        return _receipt((await visit.ask(self._consents.RevokeConsent, revoke)).enforcement)

    async def history(self, visit: Visit) -> Response:
        """Everything that was decided, newest first, a page at a time."""
        token = visit.request.query_params.get("page", "")
        request = consent_pb2.ListConsentEventsRequest(parent=visit.organization, page_size=50, page_token=token)
        return visit.page("history.html", page=await visit.ask(self._consents.ListConsentEvents, request))

    async def readers(self, visit: Visit) -> Response:
        """Who read what of the last day, by hour and key."""
        now = datetime.fromtimestamp(self._console.clock.now() / 1e9, UTC)
        first = (now - timedelta(hours=_HOURS - 1)).replace(minute=0, second=0, microsecond=0)
        since = Timestamp()
        since.FromDatetime(first)
        request = consent_pb2.ListAccessesRequest(parent=visit.organization, start_time=since)
        accesses, unreported = [], []
        async for page in visit.pages(self._consents.ListAccesses, request):
            accesses += page.accesses
            unreported += page.unreported_intervals
        return visit.page(
            "readers.html",
            accesses=accesses,
            unreported=unreported,
            bars=_bars(accesses, first),
            class_name=data_class_pb2.DataClass.Name,
        )

    async def _partnerships(self, visit: Visit) -> dict[str, Partnership]:
        directory = self._console.platform.directory
        found: dict[str, Partnership] = {}
        connections = directory_pb2.ListConnectionsRequest(parent=visit.organization)
        async for page in visit.pages(directory.ListConnections, connections):
            found |= {each.partner: Partnership(each.partner, connected=True) for each in page.connections}
        async for page in visit.pages(self._consents.ListConsents, consent_pb2.ListConsentsRequest(parent=visit.organization)):
            for consent in page.consents:
                found[consent.partner] = Partnership(consent.partner, connected=consent.partner in found, consent=consent)
        return found


@dataclass(frozen=True)
class Bar:
    """An hour of the chart: how many readings, and how high that is of 100."""

    hour: datetime
    readings: int
    refusals: int
    height: int


def _bars(accesses: Sequence[Any], first: datetime) -> list[Bar]:
    readings: dict[datetime, int] = defaultdict(int)
    refusals: dict[datetime, int] = defaultdict(int)
    for access in accesses:
        hour = access.hour.ToDatetime(UTC)
        readings[hour] += access.readings
        refusals[hour] += access.refusals
    most = max(readings.values(), default=0) or 1
    hours = [first + timedelta(hours=number) for number in range(_HOURS)]
    return [Bar(hour, readings[hour], refusals[hour], round(100 * readings[hour] / most)) for hour in hours]


def _grant(customer: str, partner: str, form: FormData) -> consent_pb2.GrantConsentRequest:
    request = consent_pb2.GrantConsentRequest(
        customer=customer,
        partner=partner,
        data_classes=[data_class_pb2.DataClass.Value(name) for name in _CLASSES if form.get(name) == "on"],
        purpose=str(form.get("purpose", "")),
        enforcement_timeout=_AT_ONCE,
    )
    for field, name in (("expire_time", "ends"), ("data_start_time", "earliest")):
        day = _day(str(form.get(name, "")))
        if day is not None:
            getattr(request, field).CopyFrom(day)
    return request


def _day(text: str) -> Timestamp | None:
    """The beginning of a day, in UTC, as date fields send it."""
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        return None
    return to_timestamp(int(day.timestamp()) * 1_000_000_000)  # type: ignore[arg-type]


def _receipt(enforcement: Any) -> Response:
    return go(f"/receipts/{enforcement.revision}")

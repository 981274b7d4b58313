"""EnforcementService: what guards call."""

import contextlib
from collections.abc import AsyncIterator
from functools import partial

from consentry.authority.v1 import enforcement_pb2, enforcement_pb2_grpc
from consentry_authority.access_log.log import AccessLog
from consentry_authority.admission.authentication import Authenticator
from consentry_authority.admission.current import UntilTouched
from consentry_authority.admission.gate import calling, host_of
from consentry_authority.commands.actor import not_yours, require_own
from consentry_authority.commands.live import live_credential
from consentry_authority.commands.pages import page_of
from consentry_authority.enforcement.barriers import PointStatus, point_name
from consentry_authority.rpc.access_log import report_from_wire, require_reach
from consentry_authority.rpc.following import Streams
from consentry_authority.rpc.paging import asked_page
from consentry_authority.rpc.receipts import receipt_to_wire
from consentry_authority.rpc.shared import Shared
from consentry_core.callers.identity import Identity
from consentry_core.protocol.follow import Revision
from consentry_core.protocol.follow_wire import revision_to_wire
from consentry_core.protocol.times import to_duration, to_timestamp
from consentry_core.rpc.bearer import invalid
from consentry_core.rpc.server.open_call import Context
from consentry_core.values.errors import NotFound, Unauthenticated
from consentry_core.values.reasons import ErrorReason
from consentry_core.values.text import plain
from consentry_rule import Deny, Token, shown

_LONGEST_PEER = 200
_OWED_TOLD = 20


class EnforcementServicer(enforcement_pb2_grpc.EnforcementServiceServicer):
    """Answers the calls of the service; the proto says what each does."""

    def __init__(self, shared: Shared, streams: Streams, authenticator: Authenticator, access_log: AccessLog) -> None:
        self._store = shared.store
        self._page_tokens = shared.page_tokens
        self._current = shared.current
        self._verified: UntilTouched[tuple[str, str], enforcement_pb2.VerifyCredentialResponse] = shared.current.until_touched()
        """By service and secret. It tells the head, so it follows from the whole state."""
        self._streams = streams
        self._enforcement = streams.enforcement
        self._prover = streams.prover
        self._authenticator = authenticator
        self._access_log = access_log

    async def VerifyCredential(  # noqa: N802 - the proto's name
        self, request: enforcement_pb2.VerifyCredentialRequest, context: Context
    ) -> enforcement_pb2.VerifyCredentialResponse:
        service, secret = calling().credential, request.secret
        plain(request.peer, "peer", _LONGEST_PEER)
        identity = self._authenticator.recall(secret)
        if identity is None and not self._authenticator.made_here(secret):
            raise _secret_invalid(service, request.peer, "malformed or forged")
        try:
            if identity is None:
                identity = await self._authenticator.identify(secret)
            verified = self._verified.get((service, identity.secret_id))
            if verified is None:
                verified = await self._verified.find((service, identity.secret_id), partial(self._verify, service, identity))
        except Unauthenticated as error:
            raise _secret_invalid(service, request.peer, error.detail) from None
        return verified

    async def _verify(self, service: str, identity: Identity) -> enforcement_pb2.VerifyCredentialResponse:
        """What the service is told of an identity that was proved. It follows from the database's state alone."""
        # Before the facts: decided by is then what is at least as new as what is told.
        head = await self._current.head()
        facts = await self._current.credential(identity.credential)
        if facts is not None and isinstance(shown(facts, await self._token(service)), Deny):
            raise invalid(f"{identity.credential} is not for {service}")
        live_credential(facts, identity.secret_id)  # remembered is whose it was, also when it has been killed since
        return enforcement_pb2.VerifyCredentialResponse(
            credential=identity.credential,
            secret_id=identity.secret_id,
            revision=revision_to_wire(head),
            proof=self._prover.prove(service, identity.credential),
        )

    async def _token(self, service: str) -> Token:
        """The calling service's token; what it is for never changes."""
        token = await self._current.credential(service)
        if not isinstance(token, Token):
            raise invalid("deleted")
        return token

    async def Follow(  # noqa: N802 - the proto's name
        self, request_iterator: AsyncIterator[enforcement_pb2.FollowRequest], context: Context
    ) -> AsyncIterator[enforcement_pb2.FollowResponse]:
        token = partial(self._token, calling().credential)
        async with contextlib.aclosing(self._streams.follow(request_iterator, token)) as answers:
            async for said in answers:
                yield said

    async def ReportAccesses(  # noqa: N802 - the proto's name
        self, request: enforcement_pb2.ReportAccessesRequest, context: Context
    ) -> enforcement_pb2.ReportAccessesResponse:
        service = calling().credential
        self._access_log.admit(service, len(request.counts))
        report = report_from_wire(request)
        token = await self._token(service)
        require_reach(report, token)
        await self._access_log.take(report, service, token)
        return enforcement_pb2.ReportAccessesResponse()

    async def GetEnforcement(  # noqa: N802 - the proto's name
        self, request: enforcement_pb2.GetEnforcementRequest, context: Context
    ) -> enforcement_pb2.GetEnforcementResponse:
        revision = Revision.parse(request.revision, "revision")
        head = await self._store.read(lambda view: view.facts.head())
        found = await self._enforcement.receipt(revision) if revision.epoch == head.epoch else None
        if found is None:
            if calling().operates:
                raise NotFound("there is no change of this revision, or it is kept no longer")
            raise not_yours()
        receipt, organization = found
        require_own(calling(), organization)
        return enforcement_pb2.GetEnforcementResponse(enforcement=receipt_to_wire(receipt))

    async def ListEnforcementPoints(  # noqa: N802 - the proto's name
        self, request: enforcement_pb2.ListEnforcementPointsRequest, context: Context
    ) -> enforcement_pb2.ListEnforcementPointsResponse:
        asked = asked_page(self._page_tokens, request)
        points = [point for point in await self._enforcement.points() if point.member.incarnation > asked.after]
        page = page_of(points, asked.limit, lambda point: point.member.incarnation)
        told, token = asked.fill(page, _status_to_wire)
        return enforcement_pb2.ListEnforcementPointsResponse(enforcement_points=told, next_page_token=token)


def _secret_invalid(service: str, peer: str, detail: str) -> Unauthenticated:
    """The one answer for a secret that does not count, and what the audit log is told of it.

    Told apart from a refusal of the asking service's own token, which is no fault of the secret's holder. A flood by one client
    of a guard leaves room in the audit log for the failures of others there.
    """
    refusal = invalid(f"{detail}, shown by {peer}" if peer else detail)
    refusal.reason, refusal.source = ErrorReason.SECRET_INVALID, f"{service} {host_of(peer)}"
    return refusal


def _status_to_wire(point: PointStatus) -> enforcement_pb2.EnforcementPoint:
    member = point.member
    return enforcement_pb2.EnforcementPoint(
        name=point_name(member.incarnation),
        service=member.service,
        join_time=to_timestamp(member.join_time),
        connected=point.connected,
        lease_age=None if point.lease_age is None else to_duration(point.lease_age),
        applied_revision="" if member.applied is None else str(member.applied),
        owed_revisions=[str(revision) for revision in point.owed[:_OWED_TOLD]],
    )

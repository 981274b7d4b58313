"""The guard's connection to the authority: carries what the follower says and hears, and verifies secrets."""

import asyncio
import contextlib
import logging
import random
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

import grpc

from consentry.authority.v1 import enforcement_pb2, enforcement_pb2_grpc
from consentry_core.callers.identity import Identity
from consentry_core.pacing.backoff import Backoff
from consentry_core.pacing.begun import Begun
from consentry_core.pacing.silence import Silence
from consentry_core.process.tls import ClientTls
from consentry_core.protocol.follow import LEASE_SECONDS, FromGuard, Lease, Revision
from consentry_core.protocol.follow_pieces import Reassembly
from consentry_core.protocol.follow_wire import from_response, revision_from_wire, to_request
from consentry_core.rpc.bearer import invalid
from consentry_core.rpc.client.channels import bearer, open_channel
from consentry_core.rpc.client.listening import FellSilent, listening
from consentry_core.rpc.client.renewed import connection_of, leave
from consentry_core.rpc.errors import error_info, retry_after
from consentry_core.rpc.server.wakeups import take_all_at_once
from consentry_core.values.clock import BootTime, Clock
from consentry_core.values.errors import InvalidArgument, ResourceExhausted, Unavailable
from consentry_core.values.reasons import ErrorReason
from consentry_guard.follow.follower import Applied, Follower, HistoryWentBack, ListMissing
from consentry_guard.reports.files import Report
from consentry_guard.rpc.report_wire import report_to_wire

_FollowCall: TypeAlias = "grpc.aio.StreamStreamCall[enforcement_pb2.FollowRequest, enforcement_pb2.FollowResponse]"

_log = logging.getLogger(__name__)
_RENEW_EVERY = LEASE_SECONDS / 3
_RENEW_AT_MOST_EVERY = LEASE_SECONDS / 4
_VERIFY_TIMEOUT = 5.0
_FAREWELL_TIMEOUT = 1.0
_REPORT_TIMEOUT = 2.0
# Facts of a partner with many customers come in pieces; one piece is far below this.
_LONGEST_BACKOFF = 1.0
_SILENCE = (
    LEASE_SECONDS * 0.4
)  # noticed half a lease after the renewal at the latest, while the lease that there is still lasts
_LONGEST_SILENCE = 2 * LEASE_SECONDS
_AGED = "max connection age"  # in the words of gRPC

_NEVER = frozenset(
    {ErrorReason.NOT_YOUR_INCARNATION, ErrorReason.KEY_OUT_OF_REACH}
)  # what is refused for these is refused again


@dataclass(frozen=True, slots=True)
class Verified:
    """Whose secret it is, as of a revision; and the proof that this was verified."""

    identity: Identity
    revision: Revision
    proof: bytes = field(repr=False)


class Authority:
    """The authority at `target`, asked with the service's own token.

    `applied` is told what each message changed; `renewing` is called whenever the lease is renewed on a connection; `disowned`
    when the authority has refused what it was shown as proof, and hung up.
    """

    def __init__(
        self,
        target: str,
        token: str,
        follower: Follower,
        clock: Clock,
        *,
        applied: Callable[[Applied], None],
        renewing: Callable[[BootTime], None],
        disowned: Callable[[], None],
        tls: ClientTls | None = None,
    ) -> None:
        self._tls = tls
        self._renewing = renewing
        self._disowned = disowned
        self._target = target
        self._metadata = bearer(token)
        self._follower = follower
        self._clock = clock
        self._applied = applied
        # One entry per wish; emptied at every reconnect.
        self._outgoing: asyncio.Queue[FromGuard | Begun[None]] = asyncio.Queue()
        self._saying = False
        self._channel: grpc.aio.Channel | None = None
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._silence = Silence()
        self._patience = _SILENCE
        self._hung_up = asyncio.Event()
        self._hung_up.set()

    def start(self) -> None:
        """Connect, and stay connected, in the background."""
        take_all_at_once()
        self._channel = open_channel(self._target, self._tls)
        self._task = asyncio.create_task(self._stay_connected(self._channel))

    async def stop(self) -> None:
        """Give the lease back, if anybody is there to take it, and hang up."""
        self.send(self._follower.farewell())
        if self._task is not None:
            with contextlib.suppress(TimeoutError):
                # The authority ends the stream when it has taken the farewell.
                await asyncio.wait_for(self._hung_up.wait(), _FAREWELL_TIMEOUT)
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        if self._channel is not None:
            await self._channel.close()

    def send(self, messages: Iterable[FromGuard]) -> None:
        """Say this on the connection that there is."""
        for message in messages:
            self._outgoing.put_nowait(message)

    async def verify(self, secret: str, peer: str) -> Verified:
        """Whose secret this is, that `peer` sent. Unauthenticated when it does not count, Unavailable when nobody can tell."""
        if self._channel is None:
            raise _out_of_reach()
        stub = enforcement_pb2_grpc.EnforcementServiceStub(self._channel)
        request = enforcement_pb2.VerifyCredentialRequest(secret=secret, peer=peer)
        try:
            answer = await stub.VerifyCredential(request, metadata=self._metadata, timeout=_VERIFY_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.UNAUTHENTICATED and error_info(error).reason == ErrorReason.SECRET_INVALID:
                raise invalid() from None
            if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                raise ResourceExhausted(
                    "too many credentials are being verified; try again later",
                    retry_after=retry_after(error) or 1.0,
                    reason=ErrorReason.VERIFICATION_BUSY,
                ) from None
            _complain(error)
            raise _out_of_reach() from None
        identity = Identity(answer.credential, answer.secret_id)
        return Verified(identity, revision_from_wire(answer.revision), answer.proof)

    async def report(self, report: Report) -> None:
        """Hand over what was read. InvalidArgument when the authority will never take it, Unavailable when not now."""
        if self._channel is None:
            raise _out_of_reach()
        stub = enforcement_pb2_grpc.EnforcementServiceStub(self._channel)
        try:
            await stub.ReportAccesses(report_to_wire(report), metadata=self._metadata, timeout=_REPORT_TIMEOUT)
        except grpc.aio.AioRpcError as error:
            reason = error_info(error).reason  # empty: somebody on the way said so, who knows nothing of it
            if reason and (error.code() is grpc.StatusCode.INVALID_ARGUMENT or reason in _NEVER):
                raise InvalidArgument("", error.details() or "") from None
            raise Unavailable(f"{error.code().name}: {error.details()}") from None

    async def _stay_connected(self, channel: grpc.aio.Channel) -> None:
        backoff = Backoff(random.random, first=0.05, longest=_LONGEST_BACKOFF)
        while True:
            asked = None
            try:
                await self._converse(channel)
                backoff.succeeded()
            except grpc.aio.AioRpcError as error:
                if error_info(error).reason == ErrorReason.NOT_VERIFIED:
                    _log.warning("the authority does not know its proofs again; all callers are verified anew")
                    self._disowned()
                else:
                    _complain(error)
                if error.code() is grpc.StatusCode.RESOURCE_EXHAUSTED:
                    # It says when there may be room again: asking before would only cost both.
                    asked = retry_after(error) or _LONGEST_BACKOFF
            except FellSilent:
                _log.warning("the authority has not answered a renewal for %g s; connecting anew", self._patience)
                # An authority that is only slow is not helped by everybody who asks for everything again.
                self._patience = min(2 * self._patience, _LONGEST_SILENCE)
            except ListMissing as error:
                _log.warning("%s; learning all anew", error)
            except HistoryWentBack as error:
                _log.error("nothing is served until this is mended: %s", error)
            except Exception:  # noqa: BLE001 - whatever it was, a guard that gave up would never serve again
                _log.exception("the conversation with the authority broke down; beginning anew")
            finally:
                self._follower.disconnected()
            await asyncio.sleep(backoff.failed(asked))

    async def _converse(self, channel: grpc.aio.Channel) -> None:
        follow = enforcement_pb2_grpc.EnforcementServiceStub(channel).Follow
        self._outgoing = asyncio.Queue()
        self._silence = silence = Silence()
        connection, joining = connection_of(follow), Reassembly()
        call: _FollowCall = follow(metadata=self._metadata)
        tasks: list[asyncio.Task[None]] = []
        try:
            # Only then is a lease asked for: the longer ago that was when it comes, the less of it is left.
            await call.wait_for_connection()
            self.send(self._follower.connected(self._clock.boot(), self._clock.wall()))
            silence.waiting = True
            self._hung_up.clear()
            # Both write, and neither outlives the call.
            tasks += [asyncio.create_task(self._say(call, self._outgoing)), asyncio.create_task(self._renew())]
            async with listening(call, silence, self._patience):
                async for response in call:
                    self._hear(call, joining.take(response))
        except FellSilent:
            leave(follow, connection)
            raise
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._hung_up.set()
            call.cancel()  # since grpcio 1.83 an abandoned call is not collected

    def _hear(self, call: "_FollowCall", response: enforcement_pb2.FollowResponse | None) -> None:
        """Apply what the authority says, begin to acknowledge it, and only then tell of it: all in one step.

        None is a piece that is joined to the next.
        """
        message = None if response is None else from_response(response)
        self._silence.heard()
        if isinstance(message, Lease):
            self._patience = _SILENCE
        else:
            self._silence.waiting = True  # for the lease
        if message is None:
            return
        applied = self._follower.received(message, self._clock.boot(), self._clock.wall())
        self._say_at_once(call, applied.reply)
        self._applied(applied)

    def hurry(self) -> None:
        """Ask for the next lease as soon as the authority answers one."""
        self._hurry.set()

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(_RENEW_AT_MOST_EVERY)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._hurry.wait(), _RENEW_EVERY - _RENEW_AT_MOST_EVERY)
            self._hurry.clear()
            now = self._clock.boot()
            self.send(self._follower.renewal(now, self._clock.wall()))
            self._silence.waiting = True
            self._renewing(now)

    def _say_at_once(self, call: "_FollowCall", messages: Iterable[FromGuard]) -> None:
        """Say this in the very step in which it became true, unless something else is being said.

        Barriers wait for it, and what `applied` wakes next may keep the event loop for many steps.
        """
        for message in messages:
            if self._saying or not self._outgoing.empty():
                self._outgoing.put_nowait(message)
                continue
            begun = Begun(call.write(to_request(message)))
            if not begun.over:
                self._saying = True
                self._outgoing.put_nowait(begun)

    async def _say(self, call: "_FollowCall", outgoing: "asyncio.Queue[FromGuard | Begun[None]]") -> None:
        self._saying = False
        while True:
            message = await outgoing.get()
            self._saying = True
            await (message if isinstance(message, Begun) else call.write(to_request(message)))
            self._saying = False


def _out_of_reach() -> Unavailable:
    return Unavailable(
        "the authority is out of reach, and this credential is not known here; try again",
        reason=ErrorReason.AUTHORITY_UNREACHABLE,
    )


def _complain(error: grpc.aio.AioRpcError) -> None:
    if error.code() in {grpc.StatusCode.UNAUTHENTICATED, grpc.StatusCode.PERMISSION_DENIED}:
        _log.error(
            "the authority refuses this service (%s); it takes a valid token of ROLE_SERVICE, and the client certificate "
            "that it asks for, if it does",
            error.details(),
        )
    elif error.details() == _AGED:
        _log.info("the connection to the authority has come of age; connecting anew")
    else:
        _log.warning("authority out of reach: %s %s", error.code().name, error.details())

"""`Follow` streams: what a guard says is taken in small steps, and what it is told is read and said in small pieces.

What one stream costs others is bounded, whatever its guard says:

1. It is read no faster than it is taken: with a few messages waiting, or many snapshots owed, reading stops.
2. The streams of one token take what was said to them, and put together what they say, one after the other, a message at a
   time; and for half of the time the event loop looks after everybody else.
3. What is read for them takes turns, with one thread for a token at a time; what is written for them is written together.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from typing import Final
from weakref import WeakValueDictionary

from consentry.authority.v1 import enforcement_pb2
from consentry_authority.admission.gate import calling
from consentry_authority.admission.last_uses import LastUses
from consentry_authority.commands.actor import Actor
from consentry_authority.commands.live import require_usable, usable_credential
from consentry_authority.commands.ports import View
from consentry_authority.enforcement.barriers import Speaker
from consentry_authority.enforcement.dating import Dating
from consentry_authority.enforcement.following import Following
from consentry_authority.enforcement.news import News
from consentry_authority.enforcement.proving import Proved, Prover
from consentry_authority.enforcement.runner import EnforcementRunner
from consentry_authority.rpc.shared import Shared
from consentry_core.protocol.follow import (
    NAMES_AT_ONCE,
    FromAuthority,
    Renewal,
    Revision,
    Uses,
)
from consentry_core.protocol.follow_pieces import split
from consentry_core.protocol.follow_wire import from_request, to_response
from consentry_core.rpc.server.open_call import current_call
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import InvalidArgument, ResourceExhausted, Unavailable
from consentry_core.values.reasons import ErrorReason
from consentry_rule import Key, Secret, Token

_INBOX: Final = 4  # messages
_LONGEST_MESSAGE: Final = 256 * 1024  # bytes
_SPENT_AT_ONCE: Final = 0.001  # seconds
_TURNED_AWAY_AFTER, _MOST_TURNED_AWAY = 20.0, 4_000  # seconds; streams of one token that wait for their refusal


class Streams:
    """All of them."""

    def __init__(self, shared: Shared, enforcement: EnforcementRunner, news: News, last_uses: LastUses, prover: Prover) -> None:
        self.news = news
        self.enforcement = enforcement
        self.last_uses = last_uses
        self.clock = shared.clock
        self.prover = prover
        self.dating = Dating(shared.clock, shared.random)
        self._turned_away: Counter[str] = Counter()
        self._shares: WeakValueDictionary[str, _Share] = WeakValueDictionary()

    def share(self, token: str) -> "_Share":
        """All of a token's streams have one."""
        share = self._shares.get(token)
        if share is None:
            share = self._shares[token] = _Share()
        return share

    async def follow(
        self, requests: AsyncIterator[enforcement_pb2.FollowRequest], token: Callable[[], Awaitable[Token]]
    ) -> AsyncGenerator[enforcement_pb2.FollowResponse, None]:
        """Answer one that is opened with a token, which `token` looks up. ResourceExhausted, after a while, for too many."""
        name = calling().credential
        try:
            async with contextlib.aclosing(self._admitted(requests, token, name)) as answers:
                async for said in answers:
                    yield said
        except ResourceExhausted:
            await self._wait_to_be_turned_away(name)
            raise

    async def _wait_to_be_turned_away(self, token: str) -> None:
        """Answered at once, it would come again at once: opening a stream costs more than refusing it does."""
        if self._turned_away[token] < _MOST_TURNED_AWAY:
            self._turned_away[token] += 1
            try:
                await asyncio.sleep(_TURNED_AWAY_AFTER)
            finally:
                self._turned_away[token] -= 1

    async def _admitted(
        self, requests: AsyncIterator[enforcement_pb2.FollowRequest], token: Callable[[], Awaitable[Token]], name: str
    ) -> AsyncGenerator[enforcement_pb2.FollowResponse, None]:
        fleets = self.enforcement.fleets
        fleets.open_stream(name)
        with contextlib.ExitStack() as closing:
            closing.callback(fleets.close_stream, name)
            news = closing.enter_context(self.news.listening())
            async with contextlib.aclosing(_Stream(self, calling(), await token(), news, closing).answer(requests)) as answers:
                async for said in answers:
                    yield said


class _Share:
    """A token's share of the event loop: what is done for its streams is done one step at a time, and half of the time."""

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._spent = 0.0

    @contextlib.asynccontextmanager
    async def step(self) -> AsyncIterator[None]:
        """One step, in which nothing is awaited."""
        loop = asyncio.get_running_loop()
        async with self._lock:
            if self._spent > _SPENT_AT_ONCE:
                spent, self._spent = self._spent, 0.0
                await asyncio.sleep(spent)
            began = loop.time()
            try:
                yield
            finally:
                self._spent += loop.time() - began


class _Stream:
    """One of them."""

    def __init__(
        self, streams: Streams, caller: Actor, token: Token, news: asyncio.Event, closing: contextlib.ExitStack
    ) -> None:
        self._streams = streams
        self._caller = caller
        self._token: Key | Token = token
        self._secret: Secret | None = None
        self._news = news
        self._closing = closing
        self.following = Following(token)
        self._proved = Proved(streams.prover, caller.credential, token)
        self._inbox: asyncio.Queue[enforcement_pb2.FollowRequest] = asyncio.Queue(_INBOX)
        self._share = streams.share(caller.credential)
        self._counted = 0
        self._asked = BootTime(0)  # when the newest renewal was heard
        self._timer: asyncio.TimerHandle | None = None
        self._call = current_call.get()
        closing.callback(self._let_go)

    async def answer(
        self, requests: AsyncIterator[enforcement_pb2.FollowRequest]
    ) -> AsyncGenerator[enforcement_pb2.FollowResponse, None]:
        """Until the guard has said all that it had to say, and has been answered."""
        listening = asyncio.create_task(_listen(requests, self._inbox, self._news))
        following, news, enforcement = self.following, self._news, self._streams.enforcement
        try:
            while True:
                await news.wait()
                news.clear()
                over = listening.done()
                # Taken in between turns only: a turn runs in a thread of its own.
                await self._take_some()
                if following.gone:
                    return
                if following.hello is not None:
                    for said in await enforcement.turn(self):
                        async with self._share.step():
                            wire = to_response(self._streams.dating(said, self._asked))
                        for piece in split(wire):
                            yield piece
                if following.owes or not self._inbox.empty():
                    news.set()
                elif over:
                    listening.result()
                    return
        finally:
            listening.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await listening

    @property
    def speaker(self) -> Speaker:
        """Who speaks on it, once it has said hello."""
        hello = self.following.hello
        assert hello is not None  # noqa: S101 - nothing else is taken before it
        return Speaker(hello.incarnation, hello.service, self._name)

    @property
    def _name(self) -> str:
        return self._caller.credential

    async def _take_some(self) -> None:
        """Take what was said, as far as it has room and its token's other streams have had their turns."""
        for _ in range(_INBOX):
            if self._inbox.empty() or self.following.gone or self.following.full:
                return
            async with self._share.step():
                message = from_request(self._inbox.get_nowait())
                if isinstance(message, Renewal):
                    self._asked = self._streams.clock.boot()
                self.following.received(message)
                self._proved.received(message)  # before a turn answers it
                self._count()
            if isinstance(message, Uses):
                self._streams.last_uses.told(message.uses, self._streams.clock.now())
            await self._streams.enforcement.taken(self, message)

    def _count(self) -> None:
        """What it follows counts for its token."""
        more = len(self.following) - self._counted
        if more:
            self._streams.enforcement.fleets.follow(self._name, more)
            self._counted += more

    def concerned(self, subjects: frozenset[str]) -> bool:
        """Whether its own token has been touched, or was never looked at. Raises when the token's end has come."""
        if self._secret is None or self._name in subjects:
            return True
        require_usable(self._token, self._secret, self._caller.address, self._streams.clock.now())
        return False

    def read(self, view: View, *, committed: Revision | None, grant: bool) -> Sequence[FromAuthority]:
        """What its next turn says. The service's own token is a grant too: a deleted one follows nothing any more."""
        caller = self._caller
        self._token, self._secret = usable_credential(
            view.facts.credential(caller.credential), caller.secret_id, caller.address, view.now
        )
        return list(self.following.turn(view, committed=committed, grant=grant))

    def wake_in(self, duration: int) -> None:
        """Give it a turn after so many nanoseconds."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(duration / SECOND, self._news.set)

    def replaced(self) -> None:
        """Another stream of its incarnation has taken its place: end it."""
        self._call.end(
            Unavailable("this incarnation has opened another stream, which goes on", reason=ErrorReason.FOLLOWED_ANEW)
        )

    def _let_go(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.following.hello is not None:
            self._streams.enforcement.coordinator.closed(self)
        self._streams.enforcement.fleets.follow(self._name, -self._counted)


async def _listen(
    requests: AsyncIterator[enforcement_pb2.FollowRequest],
    inbox: asyncio.Queue[enforcement_pb2.FollowRequest],
    news: asyncio.Event,
) -> None:
    """Read what a guard says, for as long as there is room for it."""
    try:
        async for request in requests:
            _require_small(request)
            await inbox.put(request)
            news.set()
    finally:
        news.set()


def _require_small(request: enforcement_pb2.FollowRequest) -> None:
    """InvalidArgument for a message that is too large to be taken in one step."""
    said = (request.interest.names, request.forget.names, request.uses.uses, request.proofs.proofs)
    if any(len(names) > NAMES_AT_ONCE for names in said):
        raise InvalidArgument(
            "message", f"must hold at most {NAMES_AT_ONCE}; say the rest in the next one", reason=ErrorReason.TOO_MANY
        )
    if request.ByteSize() > _LONGEST_MESSAGE:
        raise InvalidArgument("message", f"must have at most {_LONGEST_MESSAGE} bytes", reason=ErrorReason.MESSAGE_TOO_LARGE)

"""What every method that reads does first, and what every list does: who asks, how much, and from where on."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from google.protobuf.message import Message

from consentry_core.pacing.lanes import Places
from consentry_core.rpc.server.open_call import current_call
from consentry_core.values.paging import PageTokens, page_size
from consentry_devices.history.ranges import Work
from consentry_guard import Access, GuardedCall, Handed, guarded_call
from consentry_rule import CustomerId, DataClass

_T = TypeVar("_T")
_M = TypeVar("_M", bound=Message)

PAGE_BYTES = 512 * 1024
_READ_AT_ONCE = 200  # items, of some kB at most each
_CONVERTED_AT_ONCE = 50  # items: within a millisecond
_PAGES, _PAGES_PER_KEY, _PAGES_WAITING = 8, 2, 500


async def let_in(customer: CustomerId, data_class: DataClass) -> GuardedCall:
    """The call, if it may read this class of the customer's data now; else the denial is raised, whatever exists."""
    call = guarded_call()
    await call.follow([customer])
    call.require(customer, data_class)
    return call


def hands_out(call: GuardedCall, access: Access, devices: Iterable[str | None], *, readings: int = 0) -> None:
    """Say for the customer's access log what the answer is about: devices (None for none), and how many measured values."""
    call.hands_out({access: Handed(readings, frozenset(device for device in devices if device is not None))})


def lane() -> str:
    """The lane of whoever asks at this moment: its credential's."""
    call = current_call.get(None)
    return "" if call is None or call.caller is None else guarded_call().identity.credential


class Pages:
    """Lists, page by page. A few pages are made at the same time, keys in turn; what takes long is done by `work`."""

    def __init__(self, tokens: PageTokens, work: Work) -> None:
        self.tokens = tokens
        self.work = work
        self.places = Places("pages", in_all=_PAGES, per_lane=_PAGES_PER_KEY, waiting=_PAGES_WAITING)

    def asked(self, call: GuardedCall, size: int, token: str, *question: str) -> "Page":
        """The page of a request. Its token opens only for the same question of the same partner."""
        text = "\n".join((call.partner, *question))
        return Page(self, call.identity.credential, page_size(size), self.tokens.read(text, token), text)


@dataclass(frozen=True, slots=True)
class Page:
    """One page that was asked for: how many, and after which item."""

    pages: Pages
    lane: str
    size: int
    after: str
    question: str

    async def fill(
        self,
        read: Callable[[str, int], Awaitable[Sequence[_T]]],
        key: Callable[[_T], str],
        convert: Callable[[_T], _M],
        is_open: Callable[[_T], bool] = lambda _: True,
    ) -> tuple[Sequence[_T], Sequence[_M], str]:
        """The items of the page, as messages too, and the token of the next.

        `read` gives at most so many items after a key. Those that are not open are left out, by what is known after the last
        `await`: a consent that was revoked and granted anew while we read may open less. A page holds fewer than were asked for
        once they make `PAGE_BYTES`.
        """
        found: list[tuple[_T, _M, int]] = []
        after = self.after
        async with self.pages.places.taken(self.lane):
            while True:
                limit = min(self.size + 1 - len(found), _READ_AT_ONCE)
                more = await read(after, limit)
                converted = await self._converted(more, convert)
                found = [one for one in (*found, *converted) if is_open(one[0])]
                if len(found) > self.size or len(more) < limit or sum(size for *_, size in found) > PAGE_BYTES:
                    break
                after = key(more[-1])
        there_is_more = len(more) == limit
        kept = _within(found, self.size)
        there_is_more = there_is_more or len(kept) < len(found)
        items, messages = [item for item, *_ in kept], [message for _, message, _ in kept]
        if not there_is_more:
            return items, messages, ""
        last = key(items[-1]) if len(kept) < len(found) or not more else key(more[-1])
        return items, messages, self.pages.tokens.make(self.question, last)

    async def _converted(self, items: Sequence[_T], convert: Callable[[_T], _M]) -> Sequence[tuple[_T, _M, int]]:
        def work() -> Sequence[tuple[_T, _M, int]]:
            messages = [convert(item) for item in items]
            return [(item, message, message.ByteSize()) for item, message in zip(items, messages, strict=True)]

        if len(items) <= _CONVERTED_AT_ONCE:
            return work()
        done: Sequence[tuple[_T, _M, int]] = await self.pages.work(work)
        return done


def _within(found: Sequence[tuple[_T, _M, int]], most: int) -> Sequence[tuple[_T, _M, int]]:
    """The first of them that one page holds, one at least."""
    size = 0
    for count, (*_, length) in enumerate(found[:most]):
        size += length
        if size > PAGE_BYTES and count:
            return found[:count]
    return found[:most]

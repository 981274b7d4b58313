"""What every method that reads does first, and what every list does: who asks, how much, and from where on."""

from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from consentry_core.paging import PageTokens, page_size
from consentry_guard import Access, GuardedCall, Handed, guarded_call
from consentry_rule import CustomerId, DataClass

_T = TypeVar("_T")


async def let_in(customer: CustomerId, data_class: DataClass) -> GuardedCall:
    """The call, if it may read this class of the customer's data now; else the denial is raised, whatever exists."""
    call = guarded_call()
    await call.follow([customer])
    call.require(customer, data_class)
    return call


def hands_out(call: GuardedCall, access: Access, devices: Iterable[str | None], *, readings: int = 0) -> None:
    """Say for the customer's access log what the answer is about: devices (None for none), and how many measured values."""
    call.hands_out({access: Handed(readings, frozenset(device for device in devices if device is not None))})


@dataclass(frozen=True, slots=True)
class Page:
    """One page that was asked for: how many, and after which item."""

    size: int
    after: str
    question: str
    tokens: PageTokens

    @classmethod
    def asked(cls, call: GuardedCall, tokens: PageTokens, size: int, token: str, *question: str) -> "Page":
        """The page of a request. Its token opens only for the same question of the same partner."""
        text = "\n".join((call.partner, *question))
        return cls(page_size(size), tokens.read(text, token), text, tokens)

    async def fill(
        self,
        read: Callable[[str, int], Awaitable[Sequence[_T]]],
        key: Callable[[_T], str],
        is_open: Callable[[_T], bool] = lambda _: True,
    ) -> tuple[Sequence[_T], str]:
        """The items of the page, and the token of the next.

        `read` gives at most so many items after a key. Those that are not open are left out, by what is known after the last
        `await`: a consent that was revoked and granted anew while we read may open less.
        """
        found: list[_T] = []
        after = self.after
        while True:
            more = await read(after, self.size + 1)
            found = [item for item in (*found, *more) if is_open(item)]
            if len(found) > self.size or len(more) <= self.size:
                break
            after = key(more[-1])
        items = found[: self.size]
        return items, self.tokens.make(self.question, key(items[-1])) if len(found) > self.size else ""

"""Do what a request asks for once, however often it is sent under one `request_id`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from consentry_authority.commands.ports import CarriedOut, Transaction
from consentry_core.values.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class Asked:
    """A request that has an id. `caller` is the organisation that chose it, `fingerprint` a hash of all else that was asked."""

    caller: str
    id: str
    fingerprint: str


class _Named(Protocol):
    @property
    def name(self) -> str: ...


_N = TypeVar("_N", bound=_Named)


def once(transaction: Transaction, asked: Asked | None, make: Callable[[], _N], find: Callable[[str], _N]) -> tuple[_N, bool]:
    """What `make` made; and True with what `find` finds under its name, when this was asked before.

    InvalidArgument when something else was asked under the same id. In the transaction that makes it: of two requests that come
    at once, the second finds what the first has made.
    """
    if asked is None:
        return make(), False
    before = transaction.requests.get(asked.caller, asked.id)
    if before is None:
        made = make()
        transaction.requests.keep(asked.caller, asked.id, CarriedOut(asked.fingerprint, made.name))
        return made, False
    if before.fingerprint != asked.fingerprint:
        raise InvalidArgument(
            "request_id",
            "was sent with another request before; choose a new one, or send that request as it was",
            reason="REQUEST_ID_REUSED",
        )
    return find(before.resource), True

"""The calls that are under way behind a guard, and how those are found that a change concerns."""

from collections.abc import Iterator

from consentry_core.rpc.server.open_call import OpenCall
from consentry_core.values import names
from consentry_guard.calls.call import Call
from consentry_rule import PartnerId


class OpenCalls:
    """Found by the gate's own, by credential, and by the partner whose key a call came with.

    A change of one standing looks at its own partner's calls, and not at all there are.
    """

    def __init__(self) -> None:
        self._calls: dict[OpenCall, Call] = {}
        self._by_credential: dict[str, set[Call]] = {}
        self._keys_of: dict[PartnerId, set[str]] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._calls)

    def __iter__(self) -> Iterator[Call]:
        """All of them; some may go meanwhile."""
        return iter(tuple(self._calls.values()))

    def add(self, call: Call) -> None:
        """One whose caller is known; changes do not find it yet."""
        self._calls[call.open_call] = call

    def get(self, open_call: OpenCall) -> Call | None:
        """What was added for it."""
        return self._calls.get(open_call)

    def register(self, call: Call) -> None:
        """From now on changes of its credential, and of its partner's customers, find it."""
        name = call.identity.credential
        same = self._by_credential.get(name)
        if same is None:
            same = self._by_credential[name] = set()
            partner = _partner_of(name)
            if partner is not None:
                self._keys_of.setdefault(partner, set()).add(name)
        same.add(call)

    def of_credential(self, name: str) -> tuple[Call, ...]:
        """Those that came with a secret of this credential."""
        return tuple(self._by_credential.get(name, ()))

    def of_partner(self, partner: PartnerId) -> tuple[Call, ...]:
        """Those that came with one of the partner's keys."""
        return tuple(call for name in self._keys_of.get(partner, ()) for call in self._by_credential[name])

    def remove(self, open_call: OpenCall) -> Call | None:
        """It is over; returns what was added for it."""
        call = self._calls.pop(open_call, None)
        if call is not None:
            self._forget(call, call.identity.credential)
        return call

    def _forget(self, call: Call, name: str) -> None:
        same = self._by_credential.get(name)
        if same is None:
            return
        same.discard(call)
        if same:
            return
        del self._by_credential[name]
        partner = _partner_of(name)
        if partner is not None:
            keys = self._keys_of[partner]
            keys.discard(name)
            if not keys:
                del self._keys_of[partner]


def _partner_of(credential: str) -> PartnerId | None:
    """The partner whose key this is; None for a token."""
    return PartnerId(names.KEY.parse(credential, "credential")[0]) if names.KEY.matches(credential) else None

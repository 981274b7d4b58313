"""Calls that enforcement points refused, on their way to the audit log: their services' word, and bounded whoever gives it.

An enforcement point samples what it tells; that it does is not relied on. Each service has a budget of its own here, so that
one whose token is in bad hands can neither fill the log nor keep out what others tell, nor what the authority itself refuses.
"""

import json
from collections.abc import Callable

from consentry_authority.access_log.reports import LeftOut
from consentry_authority.audit.chain import Entry, EntryKind
from consentry_authority.audit.sampling import Sampler
from consentry_core.protocol.refused_call import RefusedCall
from consentry_core.values import names
from consentry_core.values.clock import Clock
from consentry_rule import Deny, Key, Token, shown


class RefusedCalls:
    """Makes entries of what services tell. Belongs to the thread that writes to the database."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._samplers: dict[str, Sampler] = {}  # by service; as many as there are tokens, which operators issue

    def entries(
        self,
        service: str,
        facts: Token,
        calls: tuple[RefusedCall, ...],
        left_out: tuple[LeftOut, ...],
        credential: Callable[[str], Key | Token | None],
    ) -> list[Entry]:
        """The entries for a report that came with this service's token, whose `facts` these are; `credential` looks one up."""
        now, wall = self._clock.boot(), self._clock.now()
        sampler = self._samplers.setdefault(service, Sampler())
        document = json.dumps({"told_by": service})
        entries = []
        for call in calls:
            if not sampler.takes(EntryKind.REFUSAL, call.caller, call.reason, now):
                continue
            organization = _organization(call.caller, facts, credential)
            if organization is None:
                continue
            entries.append(
                Entry(
                    time=min(call.time, wall),
                    kind=EntryKind.REFUSAL,
                    actor=call.caller,
                    organization=organization,
                    method=call.method,
                    peer=call.peer,
                    request_id=call.request_id,
                    outcome=call.reason,
                    document=document,
                )
            )
        for each in left_out:
            sampler.leave_out(EntryKind.REFUSAL, each.reason, each.count)
        beyond = sampler.left_out_by(now)
        if beyond:
            document = json.dumps({"left_out": beyond, "told_by": service})
            entries.append(Entry(time=wall, kind=EntryKind.LEFT_OUT, document=document))
        return entries


def _organization(caller: str, service: Token, credential: Callable[[str], Key | Token | None]) -> str | None:
    """Whose credential it is; empty for one that has gone; None for one that the service, being limited, was never shown."""
    if names.KEY.matches(caller):
        return names.PARTNER.format(names.KEY.parse(caller, "caller")[0])
    token = credential(caller)
    if service.partners and (token is None or isinstance(shown(token, service), Deny)):
        return None
    return token.organization if isinstance(token, Token) else ""

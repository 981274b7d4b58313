"""A call that an enforcement point refused, as it tells the authority of it."""

from dataclasses import dataclass

from consentry_rule import Instant


@dataclass(frozen=True, slots=True)
class RefusedCall:
    """`caller` is its credential's name, `peer` as `Peers.described` says, `request_id` what its client calls it."""

    time: Instant
    caller: str
    method: str
    reason: str
    peer: str
    request_id: str

"""What a key is called by programs, where and from where it can be used, and how much: what may stand there."""

import re
from collections.abc import Mapping, Sequence
from ipaddress import ip_network

from consentry_core.values.errors import InvalidArgument
from consentry_core.values.text import plain
from consentry_rule import Network, Quota

_MOST_LABELS, _LONGEST_VALUE, _MOST_NETWORKS, _LARGEST_QUOTA = 32, 63, 100, 1_000_000
_MOST_AUDIENCES = 20
_is_label = re.compile(r"[a-z][a-z0-9_-]{0,62}").fullmatch
_is_audience = re.compile(r"[a-z][a-z0-9-]{0,62}").fullmatch


def label_name(given: str, field: str) -> str:
    """What a label is called."""
    if _is_label(given) is None:
        raise InvalidArgument(
            field, "must name labels by 1 to 63 a-z, 0-9, '-' and '_', beginning with a letter", reason="LABELS_INVALID"
        )
    return given


def labels(given: Mapping[str, str], field: str) -> tuple[tuple[str, str], ...]:
    """The labels, ordered."""
    if len(given) > _MOST_LABELS:
        raise InvalidArgument(field, f"must be at most {_MOST_LABELS}", reason="LABELS_INVALID")
    for name, value in given.items():
        label_name(name, field)
        plain(value, f"{field}.{name}", _LONGEST_VALUE, reason="LABELS_INVALID")
    return tuple(sorted(given.items()))


def networks(given: Sequence[str], field: str) -> tuple[Network, ...]:
    """The networks, each once, ordered."""
    if len(given) > _MOST_NETWORKS:  # first: a message holds hundreds of thousands, and everybody else's changes wait meanwhile
        raise InvalidArgument(field, f"must be at most {_MOST_NETWORKS}; join some", reason="NETWORK_INVALID")
    found: set[Network] = set()
    for index, text in enumerate(given):
        try:
            found.add(ip_network(text))
        except ValueError:
            raise InvalidArgument(
                f"{field}[{index}]",
                "must be a network such as 192.0.2.0/24 or 2001:db8::/32, or one address; no bit may be set behind the prefix",
                reason="NETWORK_INVALID",
            ) from None
    return tuple(sorted(found, key=lambda network: (network.version, int(network.network_address), network.prefixlen)))


def audience(given: str, field: str) -> str:
    """What a service is to keys that are limited."""
    if _is_audience(given) is None:
        raise InvalidArgument(
            field, "must be 1 to 63 a-z, 0-9 and '-', beginning with a letter, such as `devices`", reason="AUDIENCE_INVALID"
        )
    return given


def audiences(given: Sequence[str], field: str) -> frozenset[str]:
    """The services that a key is limited to."""
    if len(given) > _MOST_AUDIENCES:
        raise InvalidArgument(field, f"must be at most {_MOST_AUDIENCES}", reason="AUDIENCE_INVALID")
    return frozenset(audience(text, f"{field}[{index}]") for index, text in enumerate(given))


def quota(given: Quota, field: str) -> Quota:
    """The quota."""
    for name, limit in (("calls_per_minute", given.calls_per_minute), ("open_streams", given.open_streams)):
        if not 0 <= limit <= _LARGEST_QUOTA:
            raise InvalidArgument(
                f"{field}.{name}", f"must be from 1 to {_LARGEST_QUOTA}, or 0 for no limit", reason="QUOTA_INVALID"
            )
    return given

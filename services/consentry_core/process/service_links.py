"""Kubernetes' service links: variables that a pod is given for every service beside it, wanted or not.

A service named `consentry-authority` makes, among others, `CONSENTRY_AUTHORITY_PORT=tcp://10.0.0.1:7401`, which looks like a
setting of ours. Kubernetes' own forms, with values as it writes them, are recognised; anything else stays what it is, a typing
error (https://kubernetes.io/docs/concepts/services-networking/service/#environment-variables).
"""

import re
from collections.abc import Mapping
from ipaddress import ip_address

_PROTOCOL = r"(?:TCP|UDP|SCTP)"
_is_url = re.compile(rf"(?i:{_PROTOCOL})://(?:\[[0-9A-Fa-f:.]+\]|[0-9A-Fa-f:.]+):\d{{1,5}}").fullmatch
_is_port = re.compile(r"\d{1,5}").fullmatch
_is_protocol = re.compile(rf"(?i:{_PROTOCOL})").fullmatch


def _is_address(text: str) -> bool:
    try:
        ip_address(text)
    except ValueError:
        return text == "None"  # a headless service has none
    return True


_FORMS = tuple(
    (re.compile(rf"[A-Z][A-Z0-9_]*{end}").fullmatch, is_such)
    for end, is_such in (
        ("_SERVICE_HOST", _is_address),
        (r"_SERVICE_PORT(?:_[A-Z0-9_]+)?", _is_port),
        ("_PORT", _is_url),
        (rf"_PORT_\d{{1,5}}_{_PROTOCOL}", _is_url),
        (rf"_PORT_\d{{1,5}}_{_PROTOCOL}_PROTO", _is_protocol),
        (rf"_PORT_\d{{1,5}}_{_PROTOCOL}_PORT", _is_port),
        (rf"_PORT_\d{{1,5}}_{_PROTOCOL}_ADDR", _is_address),
    )
)


def service_links(environment: Mapping[str, str]) -> frozenset[str]:
    """The names of the variables that are links to services."""
    return frozenset(
        name
        for name, value in environment.items()
        if any(is_form(name) is not None and is_such(value) for is_form, is_such in _FORMS)
    )

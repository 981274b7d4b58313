"""Resource names: their syntax, once. Every name from outside goes through `NamePattern.parse` before anything looks at it.

partners/{p}   partners/{p}/keys/{k}   customers/{c}   customers/{c}/consents/{p}   tokens/{t}
customers/{c}/locations/{l}   customers/{c}/devices/{d}   customers/{c}/devices/{d}/sensors/{s}   customers/{c}/alarms/{a}
"""

import re

from consentry_core.errors import InvalidArgument

_ORGANIZATION_ID = r"[a-z][a-z0-9-]{1,38}[a-z0-9]"
_RESOURCE_ID = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
_ORGANIZATION_RULE = "3 to 40 of a-z, 0-9 and '-', starting with a letter, ending with a letter or a digit"
_RESOURCE_RULE = "1 to 63 of a-z, 0-9, '.', '_' and '-', starting and ending with a letter or a digit"

_is_organization_id = re.compile(_ORGANIZATION_ID).fullmatch
_is_resource_id = re.compile(_RESOURCE_ID).fullmatch


class NamePattern:
    """The syntax of one resource type's names, such as `partners/{partner}/keys/{key}`."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        variables = re.findall(r"{(\w+)}", pattern)
        expression = pattern
        for variable in variables:
            part = _ORGANIZATION_ID if variable in {"partner", "customer"} else _RESOURCE_ID
            expression = expression.replace("{" + variable + "}", f"({part})")
        self.expression = expression
        """As a regular expression."""
        self._match = re.compile(expression).fullmatch
        self._template = re.sub(r"{\w+}", "{}", pattern)

    def parse(self, name: str, field: str) -> tuple[str, ...]:
        """The ids in a name, in their order. InvalidArgument, naming `field`, when it is not such a name."""
        found = self._match(name)
        if found is None:
            raise InvalidArgument(field, f"must be of the form {self.pattern}, ids lower case", reason="NAME_INVALID")
        return found.groups()

    def matches(self, name: str) -> bool:
        """Whether it is such a name."""
        return self._match(name) is not None

    def format(self, *ids: str) -> str:
        """The name of ids that are known to be good."""
        return self._template.format(*ids)


PARTNER = NamePattern("partners/{partner}")
KEY = NamePattern("partners/{partner}/keys/{key}")
CUSTOMER = NamePattern("customers/{customer}")
CONSENT = NamePattern("customers/{customer}/consents/{partner}")
TOKEN = NamePattern("tokens/{token}")
LOCATION = NamePattern("customers/{customer}/locations/{location}")
DEVICE = NamePattern("customers/{customer}/devices/{device}")
SENSOR = NamePattern("customers/{customer}/devices/{device}/sensors/{sensor}")
ALARM = NamePattern("customers/{customer}/alarms/{alarm}")

DEMO_CUSTOMER = "demo"
"""The id of the customer whose made-up data every demo key reads."""


def organization_id(text: str, field: str) -> str:
    """A new partner's or customer's id, checked."""
    if _is_organization_id(text) is None:
        raise InvalidArgument(field, f"must be {_ORGANIZATION_RULE}", reason="NAME_INVALID")
    return text


def resource_id(text: str, field: str) -> str:
    """A new resource's id, checked."""
    if _is_resource_id(text) is None:
        raise InvalidArgument(field, f"must be {_RESOURCE_RULE}", reason="NAME_INVALID")
    return text

"""Resource names: their syntax, once. Every name from outside goes through `NamePattern.parse` before anything looks at it.

partners/{p}   partners/{p}/keys/{k}   customers/{c}   customers/{c}/consents/{p}   tokens/{t}
customers/{c}/locations/{l}   customers/{c}/devices/{d}   customers/{c}/devices/{d}/sensors/{s}   customers/{c}/alarms/{a}
"""

import re

from consentry_core.values.errors import InvalidArgument

_ORGANIZATION_ID = r"[a-z][a-z0-9-]{1,38}[a-z0-9]"
_RESOURCE_ID = r"[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?"
_ORGANIZATION_RULE = "3 to 40 of a-z, 0-9 and '-', starting with a letter, ending with a letter or a digit"
_RESOURCE_RULE = "1 to 63 of a-z, 0-9, '.', '_' and '-', starting and ending with a letter or a digit"

_ORGANIZATIONS = frozenset({"partner", "customer"})
_LONGEST_ORGANIZATION, _LONGEST_RESOURCE = 40, 63

_is_organization_id = re.compile(_ORGANIZATION_ID).fullmatch
_is_resource_id = re.compile(_RESOURCE_ID).fullmatch


class NamePattern:
    """The syntax of one resource type's names, such as `partners/{partner}/keys/{key}`."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        variables = re.findall(r"{(\w+)}", pattern)
        expression = pattern
        for variable in variables:
            part = _ORGANIZATION_ID if variable in _ORGANIZATIONS else _RESOURCE_ID
            expression = expression.replace("{" + variable + "}", f"({part})")
        self.expression = expression
        """As a regular expression."""
        self._match = re.compile(expression).fullmatch
        self._template = re.sub(r"{\w+}", "{}", pattern)

    def parse(self, name: str, field: str) -> tuple[str, ...]:
        """The ids in a name, in their order. InvalidArgument, naming `field`, when it is not such a name."""
        found = self._match(name)
        if found is None:
            raise InvalidArgument(field, f"must be of the form {self.pattern}{self._wrong_in(name)}", reason="NAME_INVALID")
        return found.groups()

    def _wrong_in(self, name: str) -> str:
        """What is wrong with the first id that is none, for a name that has the parts of one."""
        parts, wanted = name.split("/", self.pattern.count("/") + 1), self.pattern.split("/")
        if len(parts) != len(wanted):
            return ", ids lower case"
        for part, word in zip(parts, wanted, strict=True):
            if not word.startswith("{"):
                if part != word:
                    break
                continue
            kind = word.strip("{}")
            of_organization = kind in _ORGANIZATIONS
            if (_is_organization_id if of_organization else _is_resource_id)(part) is None:
                return f"; the {kind}'s id must be {_rule(part, organization=of_organization)}"
        return ", ids lower case"

    def matches(self, name: str) -> bool:
        """Whether it is such a name."""
        return self._match(name) is not None

    def format(self, *ids: str) -> str:
        """The name of ids that are known to be good."""
        return self._template.format(*ids)


def _rule(text: str, *, organization: bool) -> str:
    """What an id must be, for one that is not."""
    rule, longest = (_ORGANIZATION_RULE, _LONGEST_ORGANIZATION) if organization else (_RESOURCE_RULE, _LONGEST_RESOURCE)
    return f"{rule}; it has {len(text)} characters" if len(text) > longest else rule


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
        raise InvalidArgument(field, f"must be {_rule(text, organization=True)}", reason="NAME_INVALID")
    return text


def resource_id(text: str, field: str) -> str:
    """A new resource's id, checked."""
    if _is_resource_id(text) is None:
        raise InvalidArgument(field, f"must be {_rule(text, organization=False)}", reason="NAME_INVALID")
    return text

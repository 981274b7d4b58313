"""What the rule reads. Frozen values; where they come from is not their business."""

from dataclasses import dataclass
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import NewType, TypeAlias

Instant = NewType("Instant", int)
"""A moment: nanoseconds since the Unix epoch, UTC."""

PartnerId = NewType("PartnerId", str)
CustomerId = NewType("CustomerId", str)
KeyId = NewType("KeyId", str)


Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network


class DataClass(Enum):
    """A kind of device data that a consent can include or leave out."""

    INVENTORY = "inventory"
    TELEMETRY = "telemetry"
    ALARMS = "alarms"


ALL_DATA_CLASSES = frozenset(DataClass)


class KeyKind(Enum):
    """Which customers a key covers."""

    DEMO = "demo"
    ALL_CUSTOMERS = "all_customers"
    SPECIFIC_CUSTOMERS = "specific_customers"


class TokenRole(Enum):
    """What the holder of a token may do."""

    OPERATOR = "operator"
    PARTNER_ADMIN = "partner_admin"
    CUSTOMER_ADMIN = "customer_admin"
    GATEWAY = "gateway"
    SERVICE = "service"


@dataclass(frozen=True, slots=True)
class Secret:
    """One secret of a key or token that lets its holder in. Dead ones are not among a credential's secrets."""

    id: str
    expire_time: Instant | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """How much an enforcement point lets a key ask. 0: no limit. Whoever has enough of it left may read no more and no less."""

    calls_per_minute: int = 0
    open_streams: int = 0


NO_QUOTA = Quota()


@dataclass(frozen=True, slots=True)
class Key:
    """A partner's API key. `customers` is the list of a SPECIFIC_CUSTOMERS key; `rehearsing` matters to a DEMO key.

    `networks` are those that it can be used from; none named means from everywhere. `audiences` are the services that it is
    limited to; none named means all.
    """

    kind: KeyKind
    partner: PartnerId
    deleted: bool = False
    disabled: bool = False
    expire_time: Instant | None = None
    customers: frozenset[CustomerId] = frozenset()
    rehearsing: bool = False
    secrets: tuple[Secret, ...] = ()
    networks: tuple[Network, ...] = ()
    quota: Quota = NO_QUOTA
    audiences: frozenset[str] = frozenset()

    @property
    def organization(self) -> str:
        """The partner's resource name: what a token has as a field."""
        return f"partners/{self.partner}"


@dataclass(frozen=True, slots=True)
class Token:
    """The credential of anybody who is not a partner's API key. `organization` is a resource name, or empty.

    A service's has an `audience`, what it is to keys that are limited to some; `partners` are the partners, by their resource
    names, whose credentials alone it may be shown; none named means everybody's.
    """

    role: TokenRole
    organization: str = ""
    deleted: bool = False
    disabled: bool = False
    expire_time: Instant | None = None
    secrets: tuple[Secret, ...] = ()
    audience: str = ""
    partners: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Subscription:
    """A customer's subscription. Active while neither cancelled nor past its end."""

    cancelled: bool = False
    expire_time: Instant | None = None


@dataclass(frozen=True, slots=True)
class Consent:
    """A customer's permission that one partner may read its data.

    It opens the data classes that it names, one by one, and no others. One that was given before a class existed does not open
    it.
    """

    data_start_time: Instant
    revoked: bool = False
    expire_time: Instant | None = None
    data_classes: frozenset[DataClass] = frozenset()


@dataclass(frozen=True, slots=True)
class Standing:
    """How one customer stands towards one partner: everything of the two that a decision needs."""

    partner: PartnerId
    customer: CustomerId
    demo: bool = False
    connected: bool = False
    subscription: Subscription | None = None
    consent: Consent | None = None

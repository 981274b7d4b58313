"""What the rule reads. Frozen values; where they come from is not their business."""

from collections.abc import Mapping
from dataclasses import dataclass, field
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

    `listed_numbers` and `unlisted` decide nothing. They say what a reader missed that comes back: by customer on the list, the
    change that put it there; and of each that was taken off it, even if it is on it again, the first change that put it there
    and the last that took it off.
    """

    kind: KeyKind
    partner: PartnerId
    deleted: bool = False
    disabled: bool = False
    expire_time: Instant | None = None
    customers: frozenset[CustomerId] = frozenset()
    rehearsing: bool = False
    secrets: tuple[Secret, ...] = ()
    listed_numbers: Mapping[CustomerId, int] = field(default_factory=dict, hash=False)
    unlisted: tuple[tuple[CustomerId, int, int], ...] = ()
    networks: tuple[Network, ...] = ()
    quota: Quota = NO_QUOTA
    audiences: frozenset[str] = frozenset()


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
    """A customer's permission that one partner may read its data. No data classes named means all of them."""

    data_start_time: Instant
    revoked: bool = False
    expire_time: Instant | None = None
    data_classes: frozenset[DataClass] = field(default=frozenset())


@dataclass(frozen=True, slots=True)
class Standing:
    """How one customer stands towards one partner: everything of the two that a decision needs.

    `disconnect_time` and the numbers decide nothing. They say what a denial may tell, and what a reader missed that comes back:
    the last changes by which the customer became valid, and was seen to have ceased to be (0: never), and by which each data
    class was opened or closed while it was valid (not there: never). The demo customer is valid from the first change on, and
    is not while the partner rehearses a withdrawal.
    """

    partner: PartnerId
    customer: CustomerId
    demo: bool = False
    connected: bool = False
    subscription: Subscription | None = None
    consent: Consent | None = None
    disconnect_time: Instant | None = None
    opened_number: int = 0
    closed_number: int = 0
    class_numbers: tuple[tuple[DataClass, int], ...] = ()

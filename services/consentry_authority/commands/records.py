"""What the authority keeps: its resources as frozen values. The facts that the rule reads are made from them by the storage."""

from dataclasses import dataclass
from enum import Enum

from consentry_core.values import names
from consentry_rule import (
    NO_QUOTA,
    CustomerId,
    DataClass,
    Instant,
    KeyId,
    KeyKind,
    Network,
    PartnerId,
    Quota,
    TokenRole,
)


class Plan(Enum):
    """What a customer has bought. Both plans give the same access."""

    TRIAL = "trial"
    PAID = "paid"


@dataclass(frozen=True, slots=True)
class PartnerRecord:
    """An organisation that reads device data. `rehearsing`: it rehearses a withdrawal on the demo customer."""

    id: PartnerId
    display_name: str
    create_time: Instant
    rehearsing: bool = False

    @property
    def name(self) -> str:
        """The resource name."""
        return names.PARTNER.format(self.id)


@dataclass(frozen=True, slots=True)
class SubscriptionRecord:
    """A customer's subscription, active or not."""

    plan: Plan
    expire_time: Instant | None = None
    cancel_time: Instant | None = None


@dataclass(frozen=True, slots=True)
class CustomerRecord:
    """An organisation that owns devices. `demo` is true of the one that demo keys read."""

    id: CustomerId
    display_name: str
    create_time: Instant
    demo: bool = False
    subscription: SubscriptionRecord | None = None

    @property
    def name(self) -> str:
        """The resource name."""
        return names.CUSTOMER.format(self.id)


@dataclass(frozen=True, slots=True)
class ConnectionRecord:
    """Partner and customer work together, or have: the record stays when they part and is taken up again."""

    partner: PartnerId
    customer: CustomerId
    connect_time: Instant
    disconnect_time: Instant | None = None

    @property
    def connected(self) -> bool:
        """Whether they work together now."""
        return self.disconnect_time is None


WHEN_NONE_WAS_NAMED = frozenset({DataClass.ALARMS, DataClass.INVENTORY, DataClass.TELEMETRY})
"""What a consent gave that named no class, in entries of the audit log from before classes were written down one by one.

These are all that there were then, and never more: a class that is added later does not belong here.
"""


@dataclass(frozen=True, slots=True)
class ConsentRecord:
    """A customer's consent towards one partner, as last granted, with the data classes that it opens."""

    customer: CustomerId
    partner: PartnerId
    grant_time: Instant
    data_start_time: Instant
    data_classes: frozenset[DataClass]
    expire_time: Instant | None = None
    revoke_time: Instant | None = None
    purpose: str = ""

    @property
    def name(self) -> str:
        """The resource name."""
        return names.CONSENT.format(self.customer, self.partner)


@dataclass(frozen=True, slots=True)
class LiveSecret:
    """The public side of a secret that lets its holder in."""

    id: str
    hint: str
    create_time: Instant
    expire_time: Instant | None = None
    last_use_time: Instant | None = None


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """An API key. `version` counts its changes; `hint` is the public beginning of its newest secret.

    `customers` are those on its list; when that is too long to be told, there are none, and `customers_left_out` says how many.
    `secrets` are its live ones, newest first; `last_use_time` is that of any, dead ones too.
    """

    partner: PartnerId
    id: KeyId
    display_name: str
    kind: KeyKind
    create_time: Instant
    creator: str
    hint: str
    customers: frozenset[CustomerId] = frozenset()
    expire_time: Instant | None = None
    disabled: bool = False
    version: int = 1
    labels: tuple[tuple[str, str], ...] = ()
    networks: tuple[Network, ...] = ()
    quota: Quota = NO_QUOTA
    secrets: tuple[LiveSecret, ...] = ()
    last_use_time: Instant | None = None
    audiences: frozenset[str] = frozenset()
    customers_left_out: int = 0

    @property
    def name(self) -> str:
        """The resource name."""
        return names.KEY.format(self.partner, self.id)


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token. `organization` is a partner's or customer's resource name, or empty.

    A service's has an `audience`; `partners` are those that it is limited to, by name.
    """

    id: str
    role: TokenRole
    organization: str
    display_name: str
    create_time: Instant
    creator: str
    hint: str
    expire_time: Instant | None = None
    delete_time: Instant | None = None
    last_use_time: Instant | None = None
    audience: str = ""
    partners: frozenset[str] = frozenset()

    @property
    def name(self) -> str:
        """The resource name."""
        return names.TOKEN.format(self.id)


@dataclass(frozen=True, slots=True)
class SecretRecord:
    """A secret at rest: the Argon2 hash, never the secret. `hint` is its public beginning, `checksum_key` that key's id."""

    id: str
    argon2_hash: str
    hint: str
    expire_time: Instant | None = None
    checksum_key: str = ""

"""What one hostile credential can ask for, and none at all: each way of attacking is a module here.

A module `support.attackers.NAME` begins with what the attack does, and has

    async def attack(order: Order, over: asyncio.Event) -> Counter[str]:

It attacks until `over` is set, ends by itself soon after, and returns how often each answer came (status names, and whatever
else is worth counting). `python -m support.attackers NAME ORDER` runs it in a process of its own (see `__main__`), so that what
it costs is not paid by those who measure.
"""

import json
import pkgutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from consentry.authority.v1 import directory_pb2, keys_pb2, tokens_pb2
from consentry_core.rpc.client.channels import bearer
from support.authority import AuthorityCalls

PARTNER, CUSTOMER = "hostile", "hostile"


@dataclass(frozen=True)
class Order:
    """Whom to attack with what.

    `secrets`: what the attacker holds, by name: `service` (a service's token), `limited_service` (one that is limited to the
    attacker's own partner), `all_key` and `demo_key` (keys of its partner), `partner_admin`, `customer_admin` and `gateway` (of
    its organisations `partners/hostile` and `customers/hostile`). `times`: the load, over the one that was seen to do harm.
    """

    authority: str
    devices: str
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    times: float = 1.0

    def write(self, file: Path) -> None:
        """As a file."""
        file.write_text(json.dumps(asdict(self)), encoding="utf-8")

    @classmethod
    def read(cls, file: Path) -> "Order":
        """Out of a file."""
        return cls(**json.loads(file.read_text(encoding="utf-8")))


def ways() -> Sequence[str]:
    """The names of all attacks."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


async def enrol(calls: AuthorityCalls) -> dict[str, str]:
    """The attacker's organisations, made by an operator who knows no better: the secrets of an `Order`.

    A partner of that name may be there already, with as many customers as somebody wants it to have.
    """
    partners = await calls.directory.ListPartners(directory_pb2.ListPartnersRequest(), metadata=bearer(calls.operator))
    if f"partners/{PARTNER}" not in {partner.name for partner in partners.partners}:
        await calls.partner(PARTNER)
    await calls.valid_customer(CUSTOMER, PARTNER)
    limited = tokens_pb2.CreateTokenRequest(
        role=tokens_pb2.Token.ROLE_SERVICE, audience="hostile", partners=[f"partners/{PARTNER}"]
    )
    return {
        "service": await _service(calls, tokens_pb2.CreateTokenRequest(role=tokens_pb2.Token.ROLE_SERVICE, audience="hostile")),
        "limited_service": await _service(calls, limited),
        "all_key": (await calls.key(PARTNER)).secret,
        "demo_key": (await calls.key(PARTNER, keys_pb2.Key.KIND_DEMO)).secret,
        "partner_admin": await calls.admin(f"partners/{PARTNER}"),
        "customer_admin": await calls.admin(f"customers/{CUSTOMER}"),
        "gateway": (await calls.token(tokens_pb2.Token.ROLE_GATEWAY, f"customers/{CUSTOMER}")).secret,
    }


async def _service(calls: AuthorityCalls, request: tokens_pb2.CreateTokenRequest) -> str:
    return (await calls.tokens.CreateToken(request, metadata=bearer(calls.operator))).secret

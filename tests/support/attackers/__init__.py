"""What one hostile credential can ask for, and none at all: each way of attacking is a module here.

A module `support.attackers.NAME` begins with what the attack does, and has

    async def attack(order: Order, over: asyncio.Event) -> Counter[str]:

It attacks until `over` is set, ends by itself soon after, and returns how often each answer came (status names, and whatever
else is worth counting). `python -m support.attackers NAME ORDER` runs it in a process of its own (see `__main__`), so that what
it costs is not paid by those who measure.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path


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

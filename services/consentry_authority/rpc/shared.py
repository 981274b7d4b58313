"""What every servicer stands on."""

from dataclasses import dataclass

from consentry_authority.admission.current import CurrentFacts
from consentry_authority.admission.quotas import KeyQuotas
from consentry_authority.commands.ports import Store
from consentry_authority.rpc.receipts import Receipts
from consentry_core.values.clock import Clock
from consentry_core.values.encoding import RandomBytes
from consentry_core.values.paging import PageTokens


@dataclass(frozen=True, kw_only=True)
class Shared:
    """The state and the ways to answer from it. `random` makes public ids."""

    store: Store
    current: CurrentFacts
    quotas: KeyQuotas
    receipts: Receipts
    page_tokens: PageTokens
    clock: Clock
    random: RandomBytes

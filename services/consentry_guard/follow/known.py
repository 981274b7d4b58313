"""Facts by name: what a follower learned on one connection, or goes by."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from consentry_core.protocol.follow import Credential, Revision
from consentry_core.protocol.marks import MarkedKey, MarkedStanding
from consentry_core.values import names
from consentry_rule import CustomerId, PartnerId, Token


@dataclass(slots=True)
class Known:
    """What was learned on one connection, or is in use.

    `answered` names what a snapshot has come for; everything about those is as it was at `revision`, or later.
    """

    revision: Revision | None = None
    credentials: dict[str, MarkedKey | Token | None] = field(default_factory=dict)
    standings: dict[PartnerId, dict[CustomerId, MarkedStanding]] = field(default_factory=dict)
    answered: set[str] = field(default_factory=set)

    def takes(self, revision: Revision) -> bool:
        """Whether facts of a revision are of this history, and not older than what is known."""
        known = self.revision
        return known is None or (known.epoch == revision.epoch and known.number <= revision.number)

    def whole(self, credential: Credential) -> Credential | None:
        """A credential with its list, also when only what differs of that was told; None when the list before is missing.

        One that is newer will do: see `ListDifference`.
        """
        difference, facts = credential.difference, credential.facts
        if difference is None or not isinstance(facts, MarkedKey):
            return credential
        known = self.credentials.get(credential.name)
        if not isinstance(known, MarkedKey) or known.list_number < difference.base:
            return None
        return Credential(credential.name, difference.applied_to(known, facts))

    def apply(self, credentials: Iterable[Credential], standings: Iterable[MarkedStanding]) -> None:
        """These are so from now on."""
        for credential in credentials:
            self.credentials[credential.name] = credential.facts
        for standing in standings:
            self.standings.setdefault(standing.partner, {})[standing.customer] = standing

    def standing(self, partner: PartnerId, customer: CustomerId) -> MarkedStanding | None:
        """One standing, if there is one."""
        return self.standings.get(partner, {}).get(customer)

    def forget(self, name: str, told: Callable[[str], bool]) -> None:
        """Let go of everything that is known of a name, and of no other of which news is told."""
        self.answered.discard(name)
        self.credentials.pop(name, None)
        if names.CONSENT.matches(name):
            customer, partner = names.CONSENT.parse(name, "name")
            if not told(names.PARTNER.format(partner)):
                self.standings.get(PartnerId(partner), {}).pop(CustomerId(customer), None)
        elif names.PARTNER.matches(name):
            partner_id = PartnerId(names.PARTNER.parse(name, "name")[0])
            self.standings[partner_id] = {
                customer: standing
                for customer, standing in self.standings.get(partner_id, {}).items()
                if told(names.CONSENT.format(customer, partner_id))
            }


def reaches(applied: Revision | None, wanted: Revision) -> bool:
    """Whether what shows everything up to one revision shows everything up to another."""
    return applied is not None and applied.epoch == wanted.epoch and applied.number >= wanted.number

"""The customer's switch."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from consentry_authority.commands.consents.get_consent import get_consent
from consentry_authority.commands.consents.grant_consent import Grant, grant_consent
from consentry_authority.commands.consents.list_consents import list_consents
from consentry_authority.commands.consents.revoke_consent import revoke_consent
from consentry_authority.commands.records import ConsentRecord
from consentry_authority.commands.states import State, consent_state
from consentry_core.values.errors import FailedPrecondition, InvalidArgument, NotFound
from consentry_rule import ALL_DATA_CLASSES, DataClass, Instant, PartnerId
from support.stores import ACME, NORTH, OTHER, StoreUnderTest, open_store

ALARMS = frozenset({DataClass.ALARMS})


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[StoreUnderTest]:
    with open_store(tmp_path) as kept:
        kept.partner(ACME)
        kept.partner(OTHER)
        kept.customer(NORTH)
        kept.connect(ACME, NORTH)
        yield kept


def grant(kept: StoreUnderTest, wanted: Grant | None = None) -> ConsentRecord:
    return kept.do(lambda tx: grant_consent(tx, NORTH, ACME, wanted or Grant())).value


def revoke(kept: StoreUnderTest) -> ConsentRecord:
    return kept.do(lambda tx: revoke_consent(tx, NORTH, ACME)).value


def test_a_grant_opens_data_from_its_own_moment_on(kept: StoreUnderTest) -> None:
    assert grant(kept).data_start_time == kept.clock.now()


def test_a_grant_that_names_no_class_writes_down_those_that_there_are(kept: StoreUnderTest) -> None:
    """One by one, so that a class that is added later is not among them."""
    granted = grant(kept)
    assert granted.data_classes == ALL_DATA_CLASSES
    assert kept.ask(lambda tx: get_consent(tx, NORTH, ACME)).data_classes == ALL_DATA_CLASSES
    assert grant(kept, Grant(data_classes=ALL_DATA_CLASSES)) == granted, "the same in other words"


def test_a_grant_says_from_when_on(kept: StoreUnderTest) -> None:
    assert grant(kept, Grant(data_start_time=Instant(7))).data_start_time == 7


def test_granting_again_keeps_what_is_open_and_replaces_the_rest(kept: StoreUnderTest) -> None:
    first = grant(kept, Grant(purpose="monitoring", expire_time=kept.later(100)))
    kept.clock.advance(10)
    second = grant(kept, Grant(data_classes=ALARMS))
    assert second.data_start_time == first.data_start_time
    assert (second.grant_time, second.data_classes) == (kept.clock.now(), ALARMS)
    assert (second.purpose, second.expire_time) == ("", None)
    assert kept.ask(lambda tx: get_consent(tx, NORTH, ACME)) == second


def test_a_grant_after_a_revocation_opens_nothing_from_before(kept: StoreUnderTest) -> None:
    grant(kept, Grant(data_start_time=Instant(7)))
    revoke(kept)
    kept.clock.advance(10)
    again = grant(kept)
    assert (again.data_start_time, again.revoke_time) == (kept.clock.now(), None)


def test_a_grant_after_an_end_opens_nothing_from_before(kept: StoreUnderTest) -> None:
    grant(kept, Grant(data_start_time=Instant(7), expire_time=kept.later(10)))
    kept.clock.advance(10)
    assert grant(kept).data_start_time == kept.clock.now()


def test_revoking_twice_changes_nothing(kept: StoreUnderTest) -> None:
    grant(kept)
    first = kept.do(lambda tx: revoke_consent(tx, NORTH, ACME))
    kept.clock.advance(10)
    second = kept.do(lambda tx: revoke_consent(tx, NORTH, ACME))
    assert (first.changed, second.changed) == (True, False)
    assert (second.value, second.revision, second.commit_time) == (first.value, first.revision, first.commit_time)


def test_what_was_never_granted_is_not_there(kept: StoreUnderTest) -> None:
    for question in (get_consent, revoke_consent):
        with pytest.raises(NotFound):
            kept.do(lambda tx, question=question: question(tx, NORTH, ACME))  # type: ignore[misc]


@pytest.mark.parametrize("partner", [OTHER, PartnerId("nobody")])
def test_without_a_connection_there_is_nothing_to_consent_to(kept: StoreUnderTest, partner: PartnerId) -> None:
    with pytest.raises(FailedPrecondition) as refused:
        kept.do(lambda tx: grant_consent(tx, NORTH, partner, Grant()))
    assert refused.value.reason == "NOT_CONNECTED"
    assert [violation.field for violation in refused.value.violations] == [f"partners/{partner}"]
    assert (
        refused.value.message
        == "the partner is not connected to your organisation; ask the platform's operator to connect the two"
    )


@pytest.mark.parametrize("seconds", [0, -1])
def test_an_end_must_lie_in_the_future(kept: StoreUnderTest, seconds: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        grant(kept, Grant(expire_time=kept.later(seconds)))
    assert refused.value.violations[0].field == "expire_time"


def test_a_purpose_has_an_end(kept: StoreUnderTest) -> None:
    assert grant(kept, Grant(purpose="x" * 500)).purpose == "x" * 500
    with pytest.raises(InvalidArgument):
        grant(kept, Grant(purpose="x" * 501))


def test_its_state_follows_the_clock(kept: StoreUnderTest) -> None:
    consent = grant(kept, Grant(expire_time=kept.later(10)))
    assert consent_state(consent, kept.later(9)) is State.ACTIVE
    assert consent_state(consent, kept.later(10)) is State.EXPIRED
    assert consent_state(revoke(kept), kept.later(9)) is State.REVOKED


def test_all_are_listed(kept: StoreUnderTest) -> None:
    kept.connect(OTHER, NORTH)
    grant(kept)
    kept.consent(NORTH, OTHER)
    revoke(kept)
    page = kept.ask(lambda tx: list_consents(tx, NORTH, after="", limit=1))
    rest = kept.ask(lambda tx: list_consents(tx, NORTH, after=page.last, limit=1))
    assert [consent.partner for consent in (*page.items, *rest.items)] == [ACME, OTHER]

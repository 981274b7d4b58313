"""Keys: what stands on their lists, what can change, and who was first."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from consentry_authority.commands.actor import Actor
from consentry_authority.commands.consents.revoke_consent import revoke_consent
from consentry_authority.commands.directory.disconnect_customer import disconnect_customer
from consentry_authority.commands.keys import key_customers
from consentry_authority.commands.keys.add_key_customers import add_key_customers
from consentry_authority.commands.keys.create_key import NewKey, create_key
from consentry_authority.commands.keys.delete_key import delete_key
from consentry_authority.commands.keys.disable_key import disable_key
from consentry_authority.commands.keys.enable_key import enable_key
from consentry_authority.commands.keys.get_key import etag_of, get_key
from consentry_authority.commands.keys.list_keys import list_keys
from consentry_authority.commands.keys.remove_key_customers import remove_key_customers
from consentry_authority.commands.keys.rotate_key import rotate_key
from consentry_authority.commands.keys.update_key import KeyUpdate, update_key
from consentry_authority.commands.ports import Transaction
from consentry_authority.commands.records import KeyRecord, SecretRecord
from consentry_authority.storage.repositories.key_lists import KeyLists
from consentry_core.callers.policy import Caller
from consentry_core.values.clock import SECOND
from consentry_core.values.errors import Aborted, FailedPrecondition, InvalidArgument, NotFound
from consentry_rule import Allow, CustomerId, Instant, Key, KeyId, KeyKind, Quota, covered
from support.stores import ACME, EAST, NORTH, OTHER, SOUTH, WEST, StoreUnderTest, open_store

ADMIN = Actor("tokens/admin", Caller.PARTNER_ADMIN, "partners/acme")
SPECIFIC = KeyKind.SPECIFIC_CUSTOMERS


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[StoreUnderTest]:
    with open_store(tmp_path) as kept:
        kept.partner(ACME)
        kept.partner(OTHER)
        kept.valid_customer(NORTH, ACME)
        kept.valid_customer(SOUTH, ACME)
        yield kept


def create(
    kept: StoreUnderTest,
    kind: KeyKind = SPECIFIC,
    customers: Sequence[CustomerId] = (NORTH,),
    *,
    key: str = "k1",
    expire_time: Instant | None = None,
) -> KeyRecord:
    new = NewKey(ACME, KeyId(key), kind, "", customers, expire_time)
    return kept.do(lambda tx: create_key(tx, ADMIN, new, SecretRecord(key, "hash", f"ck_{key}"))).value


def update(kept: StoreUnderTest, *paths: str, etag: str = "", **values: object) -> KeyRecord:
    defaults: dict[str, object] = {"display_name": "", "expire_time": None, "customers": ()}
    wanted = KeyUpdate(frozenset(paths), **(defaults | values))  # type: ignore[arg-type]
    return kept.do(lambda tx: update_key(tx, ACME, KeyId("k1"), wanted, etag=etag)).value


def covers(kept: StoreUnderTest, customer: CustomerId) -> bool:
    key = kept.ask(lambda tx: tx.facts.credential("partners/acme/keys/k1"))
    assert isinstance(key, Key)
    return isinstance(covered(key, kept.ask(lambda tx: tx.facts.standing(ACME, customer)), kept.clock.now()), Allow)


class TestList:
    """The customers on a KIND_SPECIFIC_CUSTOMERS key."""

    def test_it_has_no_doubles(self, kept: StoreUnderTest) -> None:
        key = create(kept, customers=[SOUTH, NORTH, SOUTH])
        assert key.customers == {NORTH, SOUTH}
        assert kept.ask(lambda tx: get_key(tx, ACME, KeyId("k1"))) == key

    def test_it_is_not_empty(self, kept: StoreUnderTest) -> None:
        with pytest.raises(InvalidArgument) as refused:
            create(kept, customers=[])
        assert refused.value.violations[0].field == "key.customers"

    @pytest.mark.parametrize("kind", [KeyKind.DEMO, KeyKind.ALL_CUSTOMERS])
    def test_other_kinds_have_none(self, kept: StoreUnderTest, kind: KeyKind) -> None:
        with pytest.raises(InvalidArgument):
            create(kept, kind, [NORTH])
        assert create(kept, kind, []).customers == frozenset()

    def test_the_demo_customer_stands_on_none(self, kept: StoreUnderTest) -> None:
        with pytest.raises(InvalidArgument) as refused:
            create(kept, customers=[NORTH, CustomerId("demo")])
        assert refused.value.reason == "DEMO_CUSTOMER"

    def test_every_customer_that_is_not_valid_is_named(self, kept: StoreUnderTest) -> None:
        kept.customer(EAST)  # there, and another partner's
        kept.connect(OTHER, EAST)
        kept.customer(WEST, subscribed=False)
        kept.connect(ACME, WEST)
        kept.do(lambda tx: revoke_consent(tx, SOUTH, ACME))
        nobody = CustomerId("nobody")
        with pytest.raises(FailedPrecondition) as refused:
            create(kept, customers=[NORTH, WEST, nobody, EAST, SOUTH])
        found = {violation.field: (violation.reason, violation.description) for violation in refused.value.violations}
        assert set(found) == {"customers/east", "customers/nobody", "customers/south", "customers/west"}
        assert found["customers/nobody"] == found["customers/east"]
        assert found["customers/nobody"][0] == "NOT_CONNECTED"
        assert found["customers/south"][0] == "CONSENT_REVOKED"
        assert found["customers/west"][0] == "SUBSCRIPTION_MISSING"
        assert kept.ask(lambda tx: tx.keys.get(ACME, KeyId("k1"))) is None

    def test_one_that_was_connected_once_looks_like_one_that_never_was(self, kept: StoreUnderTest) -> None:
        kept.do(lambda tx: disconnect_customer(tx, ACME, SOUTH))
        with pytest.raises(FailedPrecondition) as refused:
            create(kept, customers=[SOUTH, CustomerId("nobody")])
        first, second = refused.value.violations
        assert (first.reason, first.description) == (second.reason, second.description)

    def test_one_that_becomes_invalid_drops_out_and_comes_back(self, kept: StoreUnderTest) -> None:
        create(kept)
        kept.do(lambda tx: revoke_consent(tx, NORTH, ACME))
        assert not covers(kept, NORTH)
        kept.consent(NORTH, ACME)
        assert covers(kept, NORTH)

    def test_only_new_ones_must_be_valid(self, kept: StoreUnderTest) -> None:
        create(kept)
        kept.do(lambda tx: revoke_consent(tx, NORTH, ACME))
        assert update(kept, "customers", customers=[NORTH, SOUTH]).customers == {NORTH, SOUTH}
        kept.customer(EAST)
        with pytest.raises(FailedPrecondition) as refused:
            update(kept, "customers", customers=[NORTH, SOUTH, EAST])
        assert [violation.field for violation in refused.value.violations] == ["customers/east"]
        assert update(kept, "customers", customers=[SOUTH]).customers == {SOUTH}

    def test_an_update_cannot_empty_it(self, kept: StoreUnderTest) -> None:
        create(kept)
        with pytest.raises(InvalidArgument):
            update(kept, "customers")


class TestUpdate:
    """What an update changes."""

    def test_only_what_the_mask_names(self, kept: StoreUnderTest) -> None:
        before = create(kept, expire_time=kept.later(100))
        after = update(kept, "display_name", display_name="New", expire_time=kept.later(-5), customers=[SOUTH])
        assert (after.display_name, after.expire_time, after.customers) == ("New", before.expire_time, frozenset({NORTH}))
        assert update(kept, "expire_time").expire_time is None

    @pytest.mark.parametrize("paths", [(), ("kind",), ("display_name", "state", "hint"), ("*",)])
    def test_a_mask_names_what_can_change(self, kept: StoreUnderTest, paths: tuple[str, ...]) -> None:
        create(kept)
        with pytest.raises(InvalidArgument) as refused:
            update(kept, *paths)
        assert refused.value.violations[0].field == "update_mask"
        for path in {"state", "hint", "kind"}.intersection(paths):
            assert path in refused.value.message

    def test_an_end_must_lie_in_the_future_unless_it_stays(self, kept: StoreUnderTest) -> None:
        end = kept.later(10)
        create(kept, expire_time=end)
        with pytest.raises(InvalidArgument):
            update(kept, "expire_time", expire_time=kept.clock.now())
        kept.clock.advance(20)
        assert update(kept, "expire_time", "display_name", expire_time=end, display_name="Ended").expire_time == end

    def test_the_same_again_changes_nothing(self, kept: StoreUnderTest) -> None:
        create(kept)
        first = update(kept, "display_name", display_name="New")
        assert update(kept, "display_name", display_name="New") == first


class TestEtag:
    """Whoever was first."""

    def test_it_changes_with_every_change(self, kept: StoreUnderTest) -> None:
        etags = [etag_of(create(kept))]
        etags.append(etag_of(update(kept, "display_name", display_name="New")))
        etags.append(etag_of(kept.do(lambda tx: disable_key(tx, ACME, KeyId("k1"))).value))
        etags.append(etag_of(kept.do(lambda tx: enable_key(tx, ACME, KeyId("k1"))).value))
        assert len(set(etags)) == 4
        assert etags[-1] == etag_of(kept.ask(lambda tx: get_key(tx, ACME, KeyId("k1"))))

    def test_an_old_one_aborts(self, kept: StoreUnderTest) -> None:
        old = etag_of(create(kept))
        update(kept, "display_name", etag=old, display_name="New")
        for late in (
            lambda tx: disable_key(tx, ACME, KeyId("k1"), etag=old),
            lambda tx: enable_key(tx, ACME, KeyId("k1"), etag=old),
            lambda tx: delete_key(tx, ACME, KeyId("k1"), etag=old),
        ):
            with pytest.raises(Aborted):
                kept.do(late)
        with pytest.raises(Aborted):
            update(kept, "display_name", etag=old, display_name="Late")


def test_disabling_and_enabling_twice_change_nothing(kept: StoreUnderTest) -> None:
    create(kept)
    assert kept.do(lambda tx: disable_key(tx, ACME, KeyId("k1"))).changed
    assert not kept.do(lambda tx: disable_key(tx, ACME, KeyId("k1"))).changed
    assert not covers(kept, NORTH)
    assert kept.do(lambda tx: enable_key(tx, ACME, KeyId("k1"))).changed
    assert not kept.do(lambda tx: enable_key(tx, ACME, KeyId("k1"))).changed
    assert covers(kept, NORTH)


def test_a_deleted_key_is_not_there(kept: StoreUnderTest) -> None:
    create(kept)
    kept.do(lambda tx: delete_key(tx, ACME, KeyId("k1")))
    for question in (get_key, delete_key, disable_key):
        with pytest.raises(NotFound):
            kept.do(lambda tx, question=question: question(tx, ACME, KeyId("k1")))  # type: ignore[misc]


def test_the_list_shows_the_valid_ones_unless_asked_for_all(kept: StoreUnderTest) -> None:
    for name in ("k1", "k2", "k3", "k4"):
        create(kept, KeyKind.ALL_CUSTOMERS, [], key=name, expire_time=kept.later(10) if name == "k2" else None)
    kept.do(lambda tx: disable_key(tx, ACME, KeyId("k1")))
    kept.do(lambda tx: delete_key(tx, ACME, KeyId("k4")))
    kept.clock.advance(10)
    shown = kept.ask(lambda tx: list_keys(tx, ACME, show_invalid=False, after="", limit=10))
    everything = kept.ask(lambda tx: list_keys(tx, ACME, show_invalid=True, after="", limit=10))
    assert [key.id for key in shown.items] == ["k3"]
    assert [key.id for key in everything.items] == ["k1", "k2", "k3"]
    assert [key.hint for key in everything.items] == ["ck_k1", "ck_k2", "ck_k3"]


def test_a_short_page_is_not_the_last(kept: StoreUnderTest) -> None:
    for name in ("k1", "k2"):
        create(kept, KeyKind.ALL_CUSTOMERS, [], key=name)
    kept.do(lambda tx: disable_key(tx, ACME, KeyId("k1")))
    first = kept.ask(lambda tx: list_keys(tx, ACME, show_invalid=False, after="", limit=1))
    assert (list(first.items), first.last) == ([], "k1")
    rest = kept.ask(lambda tx: list_keys(tx, ACME, show_invalid=False, after="k1", limit=1))
    assert ([key.id for key in rest.items], rest.last) == (["k2"], "")


def test_another_partners_keys_are_not_listed(kept: StoreUnderTest) -> None:
    kept.key(OTHER, "theirs")
    assert kept.ask(lambda tx: list_keys(tx, ACME, show_invalid=True, after="", limit=10)).items == []


def test_a_rotation_ends_the_older_secret_also_when_the_clock_was_set_back(kept: StoreUnderTest) -> None:
    """Else the one that everybody uses would end, and the one that was rotated out would go on."""
    key = create(kept)
    rotate(kept, key, "second")
    kept.clock.advance(-3600)
    assert [secret.id for secret in rotate(kept, key, "third").secrets] == ["third", "second"]
    assert [secret.id for secret in rotate(kept, key, "fourth").secrets] == ["fourth", "third"]


def rotate(kept: StoreUnderTest, key: KeyRecord, secret: str) -> KeyRecord:
    new = SecretRecord(secret, "hash", f"hint of {secret}")
    return kept.do(lambda tx: rotate_key(tx, ACME, key.id, new, 24 * 3600 * SECOND)).value


def test_a_list_grows_by_so_many_at_once(kept: StoreUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever others change waits for it."""
    monkeypatch.setattr(key_customers, "MOST_NEW", 1)
    create(kept, customers=(NORTH,))
    assert update(kept, "customers", customers=(NORTH, SOUTH)).customers == {NORTH, SOUTH}, "one of them is new"
    for new in ((NORTH, EAST, WEST), (EAST, WEST)):
        with pytest.raises(InvalidArgument, match="AddKeyCustomers") as refused:
            update(kept, "customers", customers=new)
        assert refused.value.reason == "TOO_MANY"
    with pytest.raises(InvalidArgument):
        create(kept, customers=(NORTH, SOUTH), key="k2")
    assert update(kept, "customers", customers=(SOUTH,)).customers == {SOUTH}


def add(kept: StoreUnderTest, *customers: CustomerId, etag: str = "") -> KeyRecord:
    return kept.do(lambda tx: add_key_customers(tx, ACME, KeyId("k1"), customers, etag=etag)).value


def remove(kept: StoreUnderTest, *customers: CustomerId, etag: str = "") -> KeyRecord:
    return kept.do(lambda tx: remove_key_customers(tx, ACME, KeyId("k1"), customers, etag=etag)).value


def test_customers_are_added_and_removed_by_name(kept: StoreUnderTest) -> None:
    """Whoever is there already, or is not there, changes nothing; each change is another version of the key."""
    first = create(kept)
    added = add(kept, SOUTH, NORTH, SOUTH)
    assert (added.customers, added.version) == (frozenset({NORTH, SOUTH}), first.version + 1)
    assert add(kept, SOUTH) == added
    assert (covers(kept, NORTH), covers(kept, SOUTH)) == (True, True)
    removed = remove(kept, NORTH, EAST)
    assert (removed.customers, removed.version) == (frozenset({SOUTH}), added.version + 1)
    assert remove(kept, NORTH) == removed
    assert (covers(kept, NORTH), covers(kept, SOUTH)) == (False, True)
    for change in (add, remove):
        with pytest.raises(Aborted):
            change(kept, NORTH, etag=etag_of(first))
    assert change(kept, WEST, etag=etag_of(removed)) == removed


def test_taking_somebody_off_is_enforced_and_putting_somebody_on_is_not(kept: StoreUnderTest) -> None:
    create(kept, customers=(NORTH,))
    assert not kept.do(lambda tx: add_key_customers(tx, ACME, KeyId("k1"), [SOUTH])).narrowing
    assert kept.do(lambda tx: remove_key_customers(tx, ACME, KeyId("k1"), [SOUTH])).narrowing
    assert not kept.do(lambda tx: remove_key_customers(tx, ACME, KeyId("k1"), [SOUTH])).changed


def test_who_cannot_stand_on_a_list_is_not_added_and_nobody_with_it(
    kept: StoreUnderTest, monkeypatch: pytest.MonkeyPatch
) -> None:
    create(kept)
    kept.customer(EAST)
    with pytest.raises(FailedPrecondition) as refused:
        add(kept, SOUTH, EAST, WEST)
    assert refused.value.reason == "CUSTOMERS_NOT_VALID"
    assert [violation.field for violation in refused.value.violations] == ["customers/east", "customers/west"]
    with pytest.raises(InvalidArgument) as demo:
        add(kept, CustomerId("demo"))
    assert demo.value.reason == "DEMO_CUSTOMER"
    monkeypatch.setattr("consentry_authority.commands.keys.add_key_customers.MOST_LISTED", 1)
    with pytest.raises(FailedPrecondition) as full:
        add(kept, SOUTH)
    assert full.value.reason == "CUSTOMERS_EXCEEDED"
    assert update(kept, "display_name", display_name="x").customers == {NORTH}


def test_the_last_is_not_removed_and_a_key_without_a_list_has_none_to_change(kept: StoreUnderTest) -> None:
    create(kept, customers=(NORTH, SOUTH))
    with pytest.raises(FailedPrecondition) as nobody_left:
        remove(kept, NORTH, SOUTH, EAST)
    assert nobody_left.value.reason == "LIST_WOULD_BE_EMPTY"
    kept.do(lambda tx: delete_key(tx, ACME, KeyId("k1")))
    for change in (add, remove):
        with pytest.raises(NotFound):
            change(kept, NORTH)
    kept.key(ACME, "all")
    for use_case in (add_key_customers, remove_key_customers):
        with pytest.raises(FailedPrecondition) as no_list:
            kept.do(lambda tx, use_case=use_case: use_case(tx, ACME, KeyId("all"), [NORTH]))  # type: ignore[misc]
        assert no_list.value.reason == "KEY_WITHOUT_LIST"


def test_a_list_is_not_read_to_change_something_else(kept: StoreUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor to add somebody or take somebody off: with a list that is too long to be told, all of it stays where it is."""
    monkeypatch.setattr("consentry_authority.storage.repositories.credentials.MOST_TOLD", 1)
    create(kept, customers=(NORTH, SOUTH))
    kept.valid_customer(EAST, ACME)
    monkeypatch.setattr(KeyLists, "of", lambda *_: pytest.fail("the list was read"))
    assert update(kept, "display_name", display_name="x").customers_left_out == 2
    assert update(kept, "quota", quota=Quota(1, 1)).customers_left_out == 2
    assert add(kept, EAST).customers_left_out == 3
    assert remove(kept, NORTH).customers_left_out == 2
    kept.do(lambda tx: disable_key(tx, ACME, KeyId("k1")))
    listed = kept.ask(lambda tx: tx.keys.customers_page(ACME, KeyId("k1"), after="", limit=10))
    assert listed == [EAST, SOUTH]


def test_a_list_is_what_it_was_changed_to_within_the_same_transaction(kept: StoreUnderTest) -> None:
    """It is read once, and known from then on."""

    def change(tx: Transaction) -> tuple[frozenset[CustomerId], ...]:
        told = []
        for customers in ((NORTH, SOUTH), (SOUTH,), (NORTH,)):
            wanted = KeyUpdate(frozenset(["customers"]), "", None, customers)
            told.append(update_key(tx, ACME, KeyId("k1"), wanted).customers)
            found = tx.facts.credential("partners/acme/keys/k1")
            assert isinstance(found, Key)
            told.append(found.customers)
        return tuple(told)

    create(kept, customers=(NORTH,))
    both, south, north = frozenset({NORTH, SOUTH}), frozenset({SOUTH}), frozenset({NORTH})
    assert kept.do(change).value == (both, both, south, south, north, north)
    assert kept.ask(lambda tx: get_key(tx, ACME, KeyId("k1"))).customers == north

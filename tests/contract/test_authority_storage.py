"""What every engine of the authority's storage must do, port by port. Another engine is another entry in `ENGINES`.

What is decided by, found and written into the history is held in `test_authority_facts`, `_found` and `_history`.
"""

import threading
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa

from consentry_authority.access_log.ports import Forget
from consentry_authority.access_log.reports import HOUR, AccessCount, AccessReport, Period
from consentry_authority.audit.chain import Entry, EntryKind
from consentry_authority.commands.consents.revoke_consent import revoke_consent
from consentry_authority.commands.ports import Commit, Transaction
from consentry_authority.enforcement.barriers import BOUND, Barriers, Member, PointState, Receipt, Speaker
from consentry_authority.enforcement.ports import Claim, Grant, Leave, MemberChange
from consentry_core.protocol.follow import Revision
from consentry_core.values.clock import SECOND, BootTime
from consentry_core.values.errors import PermissionDenied, ResourceExhausted
from consentry_rule import CustomerId, DataClass, Instant
from support.stores import ACME, NORTH, SOUTH, StoreUnderTest

TOKEN = "tokens/devices"
ONE, TWO = Speaker("incarnation-000001", "devices", TOKEN), Speaker("incarnation-000002", "devices", TOKEN)
AT = Instant(7 * SECOND)
STANDING = "customers/north/consents/acme"


@pytest.fixture
def kept(opened_store: StoreUnderTest) -> StoreUnderTest:
    """A store with partner acme and its valid customer north."""
    opened_store.partner(ACME)
    opened_store.valid_customer(NORTH, ACME)
    return opened_store


class Doorman:
    """Lets so many incarnations in that nobody has spoken for."""

    def __init__(self, most: int = 100) -> None:
        self.admitted = 0
        self._most = most

    def __call__(self) -> None:
        if self.admitted == self._most:
            raise ResourceExhausted("too many", retry_after=1.0, reason="INCARNATIONS_EXCEEDED")
        self.admitted += 1


async def change(kept: StoreUnderTest, *changes: MemberChange, most: int = 100, admit: Any = None) -> list[str]:
    """What each of them was refused with; empty for what was made."""
    outcomes = await kept.storage.enforcement.change_members(
        changes, changes[0].speaker.token, most=most, admit=admit or Doorman()
    )
    return ["" if outcome is None else type(outcome).__name__ for outcome in outcomes]


def revoked(tx: Transaction) -> object:
    return revoke_consent(tx, NORTH, ACME)


# Writers, one after the other


def test_the_revisions_row_is_locked_before_anything_is_read_that_decides(kept: StoreUnderTest) -> None:
    """Two that read first, and wait for each other only to write, could each miss what the other takes away."""
    statements: list[str] = []

    def listen(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        statements.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", listen)
    try:
        kept.do(revoked)
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", listen)
    first = next(statement for statement in statements if not statement.startswith("BEGIN"))
    assert first.startswith("SELECT revision.number")
    assert "FOR UPDATE" in first or statements[0] == "BEGIN IMMEDIATE"


def test_who_writes_at_the_same_time_waits_and_decides_by_what_the_first_has_changed(kept: StoreUnderTest) -> None:
    """Through two connections, as two processes have them."""
    reads, go_on = threading.Event(), threading.Event()
    committed: list[Any] = []

    def first(tx: Transaction) -> object:
        reads.set()
        assert go_on.wait(10)
        return revoke_consent(tx, NORTH, ACME)

    threads = [threading.Thread(target=lambda: committed.append(kept.do(first)))]
    threads[0].start()
    assert reads.wait(10)
    threads.append(threading.Thread(target=lambda: committed.append(kept.do(revoked))))
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(10)
    made, found = committed
    assert (made.changed, made.narrowing) == (True, True)
    assert (found.changed, found.narrowing, found.revision) == (False, True, made.revision)


async def test_commits_are_told_in_their_order_before_whoever_made_them_is_answered(kept: StoreUnderTest) -> None:
    class Heard:
        def __init__(self) -> None:
            self.commits: list[Commit] = []

        def committed(self, commit: Commit) -> None:
            self.commits.append(commit)

        def missed(self) -> None:
            raise AssertionError("nobody else writes")

    heard = Heard()
    kept.storage.commits.subscribe(heard)
    committed = await kept.store.write(revoked)
    assert [(one.revision, one.narrowing, one.subjects) for one in heard.commits] == [
        (committed.revision, True, frozenset({STANDING}))
    ]
    await kept.store.write(revoked)
    assert len(heard.commits) == 1, "what changes nothing is no commit"


# Members


async def test_a_row_counts_its_leases_and_says_what_was_applied_last(kept: StoreUnderTest) -> None:
    records = kept.storage.enforcement
    applied = Revision("e", 3)
    assert await change(kept, Grant(ONE, None, AT), Grant(TWO, None, AT)) == ["", ""]
    assert await change(kept, Grant(ONE, applied, Instant(AT + 1))) == [""]
    assert await records.members() == [
        Member(ONE.incarnation, "devices", AT, 2, applied),
        Member(TWO.incarnation, "devices", AT, 1),
    ]
    assert await change(kept, Grant(ONE, None, AT), Leave(TWO, AT)) == ["", ""]
    assert await records.members() == [Member(ONE.incarnation, "devices", AT, 3, applied)], "what was applied stays so"


async def test_what_is_refused_is_undone_and_the_others_are_made(kept: StoreUnderTest) -> None:
    thief = replace(ONE, token="tokens/other")
    assert await change(kept, Claim(ONE, AT)) == [""]
    assert await change(kept, Grant(thief, None, AT), Grant(replace(TWO, token="tokens/other"), None, AT)) == [
        PermissionDenied.__name__,
        "",
    ]
    assert [one.incarnation for one in await kept.storage.enforcement.members()] == [TWO.incarnation]
    doorman = Doorman(1)
    newcomers = [Speaker(f"newcomer-{number:09}", "devices", TOKEN) for number in range(2)]
    assert await change(kept, *(Claim(one, AT) for one in newcomers), admit=doorman) == ["", ResourceExhausted.__name__]
    assert await change(kept, Grant(newcomers[0], None, AT), admit=doorman) == [""], "it is no newcomer any more"


async def test_a_token_has_at_most_so_many_members_and_renewing_is_no_new_one(kept: StoreUnderTest) -> None:
    assert await change(kept, Grant(ONE, None, AT), Grant(TWO, None, AT), Grant(ONE, None, AT), most=1) == [
        "",
        ResourceExhausted.__name__,
        "",
    ]


async def test_only_members_that_are_as_they_were_read_are_dropped(kept: StoreUnderTest) -> None:
    """One that was granted a lease since, and one that was dropped, came back and has as many leases, both stay."""
    records = kept.storage.enforcement
    await change(kept, Grant(ONE, None, AT), Grant(TWO, None, AT))
    read = await records.members()
    await change(kept, Grant(ONE, None, AT), Leave(TWO, AT))
    await change(kept, Grant(TWO, None, Instant(AT + 1)))
    assert await records.drop(read) == 0
    assert await records.drop(await records.members()) == 2
    assert await records.members() == []


# Receipts


async def test_what_is_pending_is_found_with_the_members_and_the_head(kept: StoreUnderTest) -> None:
    committed = kept.do(revoked)
    await change(kept, Grant(ONE, None, AT))
    pending = await kept.storage.enforcement.pending()
    assert pending.changes == [(committed.revision.number, committed.commit_time)]
    assert [one.incarnation for one in pending.members] == [ONE.incarnation]
    assert pending.head == committed.revision


async def test_a_receipt_that_is_kept_stays_as_it_is(kept: StoreUnderTest) -> None:
    records, committed = kept.storage.enforcement, kept.do(revoked)
    assert await records.receipt(committed.revision) == (Receipt(committed.revision, committed.commit_time), "")
    members = [Member(one.incarnation, "devices", AT, 1) for one in (ONE, TWO)]
    barrier, _ = Barriers().begin(
        committed.revision, committed.commit_time, members, committed=BootTime(0), now=BootTime(0), wall=AT
    )
    barrier.points[ONE.incarnation] = replace(barrier.points[ONE.incarnation], state=PointState.LEFT)
    barrier.enforce_time = AT
    await records.close_receipts([barrier])
    kept_receipt = await records.receipt(committed.revision)
    assert kept_receipt == (barrier.receipt(), "")
    barrier.enforce_time = Instant(AT + BOUND)
    await records.close_receipts([barrier])
    assert await records.receipt(committed.revision) == kept_receipt, "another replica waited too, and was first"
    assert (await records.pending()).changes == []
    few = await records.receipts(committed.revision.epoch, [committed.revision.number], most_points=1)
    assert [len(receipt.points) for receipt in few.values()] == [1]


async def test_a_change_that_took_nothing_away_is_enforced_since_its_commit(kept: StoreUnderTest) -> None:
    kept.customer(SOUTH)
    widened = kept.connect(ACME, SOUTH)
    records, place = kept.storage.enforcement, widened.revision
    assert await records.receipt(place) == (Receipt(place, widened.commit_time, widened.commit_time), "")
    assert await records.receipts(place.epoch, [place.number], most_points=1) == {}
    assert await records.receipt(replace(place, number=place.number + 1)) is None


async def test_the_last_change_that_took_something_from_a_subject_or_from_all_below_it(kept: StoreUnderTest) -> None:
    records = kept.storage.enforcement
    assert await records.last_number([STANDING]) is None
    number = kept.do(revoked).revision.number
    for subject in (STANDING, "customers/north/consents/"):
        assert await records.last_number([subject]) == number
    assert await records.last_number(["customers/nor/consents/", "customers/north/consents/other"]) is None


async def test_one_database_needs_no_other_head(kept: StoreUnderTest) -> None:
    """Whatever is read after a member's row was written shows every commit that did not find it."""
    head = await kept.storage.enforcement.primary_head()
    assert head is None or head == kept.ask(lambda tx: tx.facts.head())


# Logs


def _report(number: int, *, messages: int, customer: CustomerId = NORTH) -> AccessReport:
    count = AccessCount(Instant(0), "partners/acme/keys/k1", customer, DataClass.TELEMETRY, messages, 10, 100, 1, 0)
    return AccessReport(ONE.incarnation, "devices", number, Instant(number), Instant(number + 1), (count,), last=False)


async def _keep(kept: StoreUnderTest, report: AccessReport, token: str = TOKEN, forget: Forget | None = None) -> int:
    def entries(find: Any) -> Sequence[Entry]:
        assert find("tokens/nobody") is None
        return [Entry(time=AT, kind=EntryKind.REFUSAL, actor="partners/acme/keys/k1")]

    return await kept.storage.accesses.keep(report, token, admit=Doorman(), entries=entries, forget=forget)


async def _page(kept: StoreUnderTest) -> list[int]:
    found = await kept.storage.accesses.page(NORTH, "partners/acme/keys/", Period(), after=None, limit=10)
    return [count.messages for count in found]


def _refusals(kept: StoreUnderTest) -> int:
    log = kept.store._database.write_now(lambda connection: connection.exec_driver_sql("SELECT kind FROM audit").all())
    return [row.kind for row in log].count(EntryKind.REFUSAL)


async def test_a_report_is_counted_once_and_what_it_tells_is_entered_with_it(kept: StoreUnderTest) -> None:
    assert await _keep(kept, _report(1, messages=3)) == 1
    assert await _keep(kept, _report(1, messages=3)) == 0
    assert (await _page(kept), _refusals(kept)) == ([3], 1)
    assert await _keep(kept, _report(2, messages=4)) == 0, "no new row: it is added to the hour's"
    assert (await _page(kept), _refusals(kept)) == ([7], 2)
    with pytest.raises(PermissionDenied):
        await _keep(kept, _report(3, messages=5), "tokens/other")
    assert (await _page(kept), _refusals(kept)) == ([7], 2), "all of it or nothing"


async def test_what_nobody_has_spoken_for_is_told_and_what_is_old_goes(kept: StoreUnderTest) -> None:
    await _keep(kept, _report(1, messages=3))
    await _keep(kept, replace(_report(2, messages=1), start=Instant(50), end=Instant(60)))
    gaps = await kept.storage.accesses.unreported(Period(), Instant(100 * HOUR))
    assert [(gap.start, gap.end) for gap in gaps] == [(Instant(2), Instant(50))]
    later = replace(_report(3, messages=1), start=Instant(60), end=Instant(70))
    await _keep(kept, later, forget=Forget(Instant(100 * HOUR), Instant(200 * HOUR)))
    assert await _page(kept) == []
    assert await kept.storage.accesses.unreported(Period(), Instant(100 * HOUR)) == []


async def test_entries_are_numbered_and_sealed_where_the_log_ends(kept: StoreUnderTest) -> None:
    before = _refusals(kept)
    entry = Entry(time=AT, kind=EntryKind.REFUSAL, actor="tokens/t", peer="ipv4:192.0.2.1:5")
    await kept.storage.audit_entries.append([entry, entry])
    await kept.storage.audit_entries.append([])
    assert _refusals(kept) == before + 2
    kept.do(revoked)
    filed = kept.ask(lambda tx: tx.audit.of_customer(NORTH, ACME, None, limit=10))
    assert next(entry.kind for _, entry in filed) == EntryKind.CHANGE


async def test_the_latest_use_of_a_secret_counts(kept: StoreUnderTest) -> None:
    key = kept.key(ACME, "k1")
    for at in (AT, Instant(AT - 1)):
        await kept.storage.secrets_in_use.mark_used([("acme-k1", at), ("nobodys", at)])
    (secret,) = kept.ask(lambda tx: tx.keys.get(ACME, key.id) or pytest.fail("it is there")).secrets
    assert secret.last_use_time == AT

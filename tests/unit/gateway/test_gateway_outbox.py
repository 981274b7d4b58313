"""What is still to be sent: numbered without holes, over restarts, bounded, and never shared."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from consentry_core.process.settings import SettingError
from consentry_gateway.outbox import pending
from consentry_gateway.outbox.outbox import Draft, Outbox, OutboxFailed, OutboxFull
from consentry_gateway.outbox.pending import ROW_BYTES, Rows
from support.outboxes import RANDOM, at, between, losses, measured, payloads, told


def test_numbers_and_epoch_survive_a_restart(tmp_path: Path) -> None:
    before = Outbox(tmp_path, RANDOM)
    before.append(told(b"a", b"b"), {})
    epoch = before.epoch
    before.close()
    after = Outbox(tmp_path, RANDOM)
    after.append(told(b"c"), {})
    assert after.epoch == epoch
    assert len(epoch) >= 16
    assert payloads(after) == [(1, b"a"), (2, b"b"), (3, b"c")]
    after.close()


def test_numbers_go_on_when_everything_was_acknowledged(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM)
    outbox.append(told(b"a", b"b"), {})
    outbox.acknowledge(2)
    assert len(outbox) == 0
    outbox.append(told(b"c"), {})
    assert payloads(outbox) == [(3, b"c")]
    outbox.close()


def test_an_emptied_frame_keeps_its_number_and_says_what_is_lost(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM)
    outbox.append([Draft("ups", b"a"), measured(5, b"b"), Draft("pdu", b"c")], {})
    assert outbox.empty(1) == "ups"
    assert outbox.empty(1) is None
    assert outbox.empty(2) == "ups"
    assert payloads(outbox) == [(1, b""), (2, b""), (3, b"c")]
    assert losses(outbox) == [(2, 1, at(5))]
    assert outbox.empty(2) == "ups"  # even the times were refused
    assert losses(outbox) == []
    assert outbox.empty(2) is None
    outbox.close()


def test_the_oldest_readings_make_room_and_what_was_told_stays(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM, most_bytes=3 * (ROW_BYTES + 105))
    for second in range(1, 8):
        outbox.append([measured(second, b"told" if second == 2 else b"")], {"key": str(second)})
    found = outbox.after(0, 100)
    assert [(pending.number, pending.count, pending.lost) for pending in found] == [
        (2, 2, True), (5, 3, True), (6, 1, False), (7, 1, False),
    ]  # fmt: skip
    assert found[0].payload == b"told"
    assert losses(outbox) == [(2, 2, between(1, 2)), (5, 3, between(3, 5))]
    assert outbox.recall("key") == ["7"]
    outbox.close()


def test_an_outage_of_any_length_is_one_loss(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM, most_bytes=1_000)
    for second in range(1, 101):
        outbox.append([measured(second)], {})
    assert len(outbox) <= 5
    ((last, count, span),) = losses(outbox)
    assert last == count
    assert span == between(1, last)
    outbox.close()


def test_what_may_have_been_sent_is_not_joined_with_what_was_not(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM, most_bytes=3 * (ROW_BYTES + 100))
    outbox.append([measured(1), measured(2)], {})
    assert len(outbox.after(0, 1)) == 1  # number 1 is on its way
    outbox.append([measured(3), measured(4), measured(5), measured(6)], {})
    assert losses(outbox)[:2] == [(1, 1, at(1)), (4, 3, between(2, 4))]
    outbox.close()


def test_an_acknowledgement_within_a_loss_keeps_the_rest_of_it(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM, most_bytes=1_000)
    for second in range(1, 20):
        outbox.append([measured(second)], {})
    ((last, _, _),) = losses(outbox)
    outbox.acknowledge(last - 1)
    assert outbox.fits(last - 1)
    assert not outbox.fits(last - 2)
    assert [pending.number for pending in outbox.after(last - 1, 1)] == [last]
    outbox.close()


def test_where_nothing_but_inventory_and_alarms_waits_nothing_more_is_taken_in_and_that_is_a_loss(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM, most_bytes=2 * (ROW_BYTES + 2))
    outbox.append(told(b"ab", b"cd"), {"key": "kept"})
    for second in (3, 4, 5):
        with pytest.raises(OutboxFull):
            outbox.append([measured(second, b"ef")], {"key": "lost"})
    assert outbox.recall("key") == ["kept"]
    assert payloads(outbox) == [(1, b"ab"), (2, b"cd"), (3, b"")]
    assert losses(outbox) == [(3, 1, between(3, 5))]
    outbox.acknowledge(2)
    outbox.append(told(b"gh"), {})
    assert payloads(outbox) == [(3, b""), (4, b"gh")]
    outbox.close()


def test_what_the_disk_does_not_take_is_said_to_be_lost_once_it_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    outbox = Outbox(tmp_path, RANDOM)

    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patched:
        patched.setattr(Rows, "add", full)
        with pytest.raises(OutboxFull, match="disk"):
            outbox.append([measured(1)], {})
    outbox.append([measured(2)], {})
    assert losses(outbox) == [(2, 1, at(1))]
    outbox.close()


def test_the_bound_is_known_again_after_a_restart(tmp_path: Path) -> None:
    before = Outbox(tmp_path, RANDOM)
    before.append(told(b"ab"), {})
    before.close()
    after = Outbox(tmp_path, RANDOM, most_bytes=ROW_BYTES + 3)
    with pytest.raises(OutboxFull):
        after.append(told(b"cd"), {})
    after.close()


@pytest.mark.parametrize(("committed", "fits"), [(0, False), (1, True), (2, True), (3, True), (4, False)])
def test_a_service_that_has_less_than_was_acknowledged_or_more_than_was_sent_has_another_numbering(
    tmp_path: Path, committed: int, fits: bool
) -> None:
    outbox = Outbox(tmp_path, RANDOM)
    outbox.append(told(b"a", b"b", b"c"), {})
    outbox.acknowledge(1)
    assert outbox.fits(committed) is fits
    outbox.close()


def test_a_new_epoch_numbers_what_is_pending_from_1(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM)
    outbox.append(told(b"a", b"b", b"c"), {})
    outbox.acknowledge(1)
    outbox.empty(2)
    epoch = outbox.epoch
    assert outbox.renumber() is None
    outbox.append(told(b"d"), {})
    assert outbox.epoch != epoch
    assert payloads(outbox) == [(1, b"c"), (2, b"d")]
    outbox.close()


def test_what_a_service_acknowledged_and_has_no_more_is_the_first_loss_of_the_new_epoch(tmp_path: Path) -> None:
    before = Outbox(tmp_path, RANDOM)
    for minute in range(1, 11):
        before.append([measured(60 * minute)], {})
        before.acknowledge(minute)
    before.close()
    after = Outbox(tmp_path, RANDOM)
    after.append([measured(660)], {})
    assert not after.fits(7)
    assert after.renumber(7) == between(480, 600)
    assert losses(after) == [(1, 1, between(480, 600))]
    assert [pending.number for pending in after.after(0, 10)] == [1, 2]
    assert after.fits(0)
    assert after.renumber(0) is None
    after.close()


def test_what_was_acknowledged_when_is_remembered_in_bounded_space(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pending, "_MOST_MINUTES", 5)
    outbox = Outbox(tmp_path, RANDOM)
    for number in range(1, 41):
        outbox.append([measured(20 * number)], {})
        outbox.acknowledge(number)
    assert outbox.renumber(37) == between(740, 800)  # to about a minute
    outbox.close()


def test_what_is_remembered_can_be_replaced_and_forgotten(tmp_path: Path) -> None:
    before = Outbox(tmp_path, RANDOM)
    before.append([], {"alarm/a": "1", "alarm/b": "2", "device/a": "3"})
    before.append([], {"alarm/a": None, "alarm/b": "4"})
    before.close()
    after = Outbox(tmp_path, RANDOM)
    assert (after.recall("alarm/"), after.recall("device/")) == (["4"], ["3"])
    after.close()


def test_a_second_gateway_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM)
    with pytest.raises(SettingError, match="another gateway"):
        Outbox(tmp_path, RANDOM)
    outbox.close()
    Outbox(tmp_path, RANDOM).close()


def test_its_files_are_for_their_owner_only(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    outbox = Outbox(tmp_path, RANDOM)
    outbox.append(told(b"a"), {})
    assert {file.name for file in tmp_path.iterdir() if file.stat().st_mode & 0o077} == set()
    outbox.close()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="cannot be written"):
        Outbox(tmp_path / "file", RANDOM)


def test_what_the_disk_does_is_said_and_the_outbox_goes_on_once_it_is_well(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM)
    outbox.append([measured(1)], {"key": "value"})
    outbox._file.close()
    with pytest.raises(OutboxFull, match=r"the disk takes nothing more: .*pending\.sqlite3"):
        outbox.append([measured(2)], {})
    assert outbox.recall("key") == ["value"]
    outbox._file.close()
    with pytest.raises(OutboxFailed, match=r"pending\.sqlite3"):
        outbox.after(0, 10)
    outbox.append([measured(3)], {})
    assert [(pending.number, pending.lost) for pending in outbox.after(0, 10)] == [(1, False), (2, True), (3, False)]
    outbox.close()


def test_a_frame_of_which_something_was_left_out_says_so_in_the_next_epoch_too(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM)
    outbox.append([measured(1)], {})
    draft = outbox.draft(1)
    assert draft is not None
    outbox.replace(1, replace(draft, partly_lost=True))
    for _ in range(2):
        assert [(bool(pending.payload), pending.lost) for pending in outbox.after(0, 10)] == [(True, True)]
        outbox.renumber()
    outbox.close()

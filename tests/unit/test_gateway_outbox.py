"""What is still to be sent: numbered without holes, over restarts, bounded, and never shared."""

import random
from pathlib import Path

import pytest

from consentry_core.settings import SettingError
from consentry_gateway.outbox import Draft, Outbox, OutboxFull, Pending

RANDOM = random.Random(1).randbytes  # noqa: S311 - to be repeated


def drafts(*payloads: bytes) -> list[Draft]:
    return [Draft("ups", payload) for payload in payloads]


def test_numbers_and_epoch_survive_a_restart(tmp_path: Path) -> None:
    before = Outbox(tmp_path, RANDOM)
    before.append(drafts(b"a", b"b"), {})
    epoch = before.epoch
    before.close()
    after = Outbox(tmp_path, RANDOM)
    after.append(drafts(b"c"), {})
    assert after.epoch == epoch
    assert len(epoch) >= 16
    assert after.after(0, 10) == [Pending(1, b"a"), Pending(2, b"b"), Pending(3, b"c")]
    after.close()


def test_numbers_go_on_when_everything_was_acknowledged(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM)
    outbox.append(drafts(b"a", b"b"), {})
    outbox.acknowledge(2)
    assert len(outbox) == 0
    outbox.append(drafts(b"c"), {})
    assert outbox.after(0, 10) == [Pending(3, b"c")]
    outbox.close()


def test_an_emptied_frame_keeps_its_number(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM)
    outbox.append(drafts(b"a", b"b"), {})
    assert outbox.empty(1) == "ups"
    assert outbox.empty(1) is None
    assert outbox.after(0, 10) == [Pending(1, b""), Pending(2, b"b")]
    outbox.close()


def test_what_does_not_fit_is_not_taken_in_and_leaves_no_hole(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM, most_bytes=3)
    outbox.append(drafts(b"ab"), {"key": "kept"})
    with pytest.raises(OutboxFull):
        outbox.append(drafts(b"cd"), {"key": "lost"})
    assert outbox.recall("key") == ["kept"]
    outbox.acknowledge(1)
    outbox.append(drafts(b"ef"), {})
    assert outbox.after(0, 10) == [Pending(2, b"ef")]
    outbox.close()


def test_the_bound_is_known_again_after_a_restart(tmp_path: Path) -> None:
    before = Outbox(tmp_path, RANDOM)
    before.append(drafts(b"ab"), {})
    before.close()
    after = Outbox(tmp_path, RANDOM, most_bytes=3)
    with pytest.raises(OutboxFull):
        after.append(drafts(b"cd"), {})
    after.close()


@pytest.mark.parametrize(("committed", "fits"), [(0, False), (1, True), (2, True), (3, True), (4, False)])
def test_a_service_that_has_less_than_was_acknowledged_or_more_than_was_sent_has_another_numbering(
    tmp_path: Path, committed: int, fits: bool
) -> None:
    outbox = Outbox(tmp_path, RANDOM)
    outbox.append(drafts(b"a", b"b", b"c"), {})
    outbox.acknowledge(1)
    assert outbox.fits(committed) is fits
    outbox.close()


def test_a_new_epoch_numbers_what_is_pending_from_1(tmp_path: Path) -> None:
    outbox = Outbox(tmp_path, RANDOM)
    outbox.append(drafts(b"a", b"b", b"c"), {})
    outbox.acknowledge(1)
    outbox.empty(2)
    epoch = outbox.epoch
    outbox.renumber()
    outbox.append(drafts(b"d"), {})
    assert outbox.epoch != epoch
    assert outbox.after(0, 10) == [Pending(1, b"c"), Pending(2, b"d")]
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


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingError, match="cannot be written"):
        Outbox(tmp_path / "file", RANDOM)

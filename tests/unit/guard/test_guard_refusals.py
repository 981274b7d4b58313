"""What a guard tells of what it refused: a few calls whole, the others counted, and never more than so many."""

from consentry_core.protocol.refused_call import RefusedCall
from consentry_core.values.clock import SECOND
from consentry_guard.reports.refusals import Refusals
from consentry_rule import Instant
from support.texts import is_plain

KEY = "partners/acme/keys/k1"


def at(seconds: float) -> Instant:
    return Instant(round((1_000_000 + seconds) * SECOND))


def refuse(
    refusals: Refusals, seconds: float, *, caller: str = KEY, reason: str = "KEY_DISABLED", request_id: str = ""
) -> None:
    if refusals.takes(caller, reason, at(seconds)):
        refusals.note(RefusedCall(at(seconds), caller, "/a.B/C", reason, "ipv4:192.0.2.1:5", request_id))


def test_ten_of_a_callers_calls_are_told_of_in_a_minute_and_the_others_counted_when_it_is_over() -> None:
    refusals = Refusals()
    for second in range(50):
        refuse(refusals, second)
    told = refusals.take(at(50))
    assert (len(told.calls), told.left_out) == (10, ())
    assert not refusals.take(at(59))
    refuse(refusals, 60)
    told = refusals.take(at(61))
    assert (len(told.calls), told.left_out) == (1, (("KEY_DISABLED", 40),))


def test_what_a_caller_says_of_itself_is_made_plain() -> None:
    """The authority refuses a report that holds anything else, and with it all that the report tells."""
    refusals = Refusals()
    refuse(refusals, 1, request_id="id\x1b[2J\n\u202e" + "x" * 300)
    (call,) = refusals.take(at(2)).calls
    assert call.request_id.startswith("id\ufffd[2J\ufffd\ufffdx")
    assert is_plain(call.request_id)
    assert len(call.request_id) <= 200


def test_who_floods_leaves_room_for_others() -> None:
    refusals = Refusals()
    for _ in range(10_000):
        refuse(refusals, 1)
    refuse(refusals, 2, caller="partners/other/keys/k2", reason="NETWORK_NOT_ALLOWED")
    assert refusals.take(at(3)).calls[-1].caller == "partners/other/keys/k2"


def test_a_flood_of_many_callers_and_reasons_is_bounded() -> None:
    refusals = Refusals()
    for number in range(10_000):
        refuse(refusals, 1, caller=f"partners/acme/keys/k{number}", reason=f"R{number}")
    told = refusals.take(at(2), last=True)
    assert len(told.calls) == 100
    assert len(told.left_out) == 51
    assert sum(count for _, count in told.left_out) == 9_900


def test_what_a_caller_says_of_itself_is_cut_and_holds_no_secret() -> None:
    refusals = Refusals()
    refuse(refusals, 1, request_id="ck_all_0123456789abcdef_" + "0" * 60 + "x" * 1_000)
    (call,) = refusals.take(at(2)).calls
    assert "0" * 20 not in call.request_id
    assert len(call.request_id) <= 200


def test_a_clock_that_is_set_back_begins_another_minute() -> None:
    refusals = Refusals()
    for _ in range(11):
        refuse(refusals, 1_000)
    refuse(refusals, 1)
    told = refusals.take(at(2))
    assert (len(told.calls), told.left_out) == (11, (("KEY_DISABLED", 1),))

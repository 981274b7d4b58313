"""When a watch comes back, after how long, and where it goes on."""

from datetime import timedelta

import grpc
import pytest

from consentry.authority.v1 import coverage_pb2, data_class_pb2
from consentry.devices.v1 import feed_pb2
from consentry_client import DataClass, Heartbeat, Synced
from consentry_client.errors import (
    EXCEPTION_OF,
    CallFailed,
    DeadlineExceeded,
    ResourceExhausted,
    Unavailable,
    UnexpectedFailure,
    ended_early,
)
from consentry_client.requests import history_request, latest_request
from consentry_client.resuming import Answer, Attempts, CoverageWatch, FeedWatch
from consentry_core.pacing.backoff import Backoff
from consentry_core.pacing.silence import Silence
from consentry_core.rpc.errors import STATUS_OF


def lowest() -> float:
    return 0.0


def highest() -> float:
    return 1.0


def unavailable(retry_after: float | None = None) -> Unavailable:
    return Unavailable("down", status=grpc.StatusCode.UNAVAILABLE, retry_after=retry_after)


def heartbeat(cursor: str) -> feed_pb2.WatchResponse:
    return feed_pb2.WatchResponse(cursor=cursor, heartbeat=feed_pb2.WatchResponse.Heartbeat())


def synced(cursor: str) -> feed_pb2.WatchResponse:
    return feed_pb2.WatchResponse(cursor=cursor, synced=feed_pb2.WatchResponse.Synced())


def test_waits_grow_and_are_bounded() -> None:
    backoff = Backoff(highest)
    waits = [backoff.failed(None) for _ in range(40)]
    assert waits[:4] == [0.2, 0.4, 0.8, 1.6]
    assert waits[-1] == 10.0


def test_waits_are_spread_over_half_of_the_step() -> None:
    assert Backoff(lowest).failed(None) == 0.1
    assert Backoff(highest).failed(None) == 0.2


def test_nobody_comes_back_earlier_than_asked() -> None:
    assert Backoff(lowest).failed(30.0) == 30.0
    assert Backoff(highest).failed(30.0) > 30.0


def test_a_message_makes_waits_short_again() -> None:
    watch = FeedWatch(highest)
    for _ in range(5):
        watch.lost(unavailable())
    watch.receive(heartbeat("c1"))
    assert watch.lost(unavailable()) == 0.2


def test_the_first_request_is_as_the_caller_asked() -> None:
    watch = FeedWatch(
        lowest,
        customers=["customers/north"],
        data_classes=[DataClass.ALARMS],
        live=True,
        heartbeat_interval=timedelta(seconds=1.5),
    )
    request = watch.request()
    assert request.customers == ["customers/north"]
    assert request.data_classes == [data_class_pb2.DATA_CLASS_ALARMS]
    assert request.WhichOneof("start") == "live"
    assert request.heartbeat_interval.ToTimedelta() == timedelta(seconds=1.5)


def test_devices_and_deliveries_are_asked_for_again_after_the_newest_cursor() -> None:
    watch = FeedWatch(lowest, devices=["customers/north/devices/ups"], sample_interval=timedelta(seconds=2.5), strict=True)
    watch.receive(heartbeat("c1"))
    request = watch.request()
    assert (list(request.devices), request.after_cursor, request.strict) == (["customers/north/devices/ups"], "c1", True)
    assert request.delivery == feed_pb2.WatchRequest.DELIVERY_SAMPLE
    assert request.sample_interval.ToTimedelta() == timedelta(seconds=2.5)
    assert FeedWatch(lowest, latest=True).request().delivery == feed_pb2.WatchRequest.DELIVERY_LATEST
    with pytest.raises(ValueError, match="either the latest or a sample"):
        FeedWatch(lowest, latest=True, sample_interval=timedelta(seconds=1))


def test_without_a_start_nothing_is_chosen_and_the_service_starts_with_a_snapshot() -> None:
    assert FeedWatch(lowest).request() == feed_pb2.WatchRequest()


def test_later_requests_go_on_after_the_newest_cursor_with_the_same_filter() -> None:
    watch = FeedWatch(lowest, customers=["customers/north"], live=True)
    watch.receive(heartbeat("c1"))
    watch.receive(heartbeat("c2"))
    assert watch.request() == feed_pb2.WatchRequest(customers=["customers/north"], after_cursor="c2")


def test_a_watch_that_has_heard_nothing_starts_as_it_was_asked_to() -> None:
    watch = FeedWatch(lowest, after_cursor="c0")
    watch.lost(unavailable())
    assert watch.request().after_cursor == "c0"


def test_live_and_after_a_cursor_exclude_each_other() -> None:
    with pytest.raises(ValueError, match="either live or after a cursor"):
        FeedWatch(lowest, live=True, after_cursor="c0")


@pytest.mark.parametrize("what", ["customers", "devices"])
def test_one_name_is_not_taken_for_its_letters(what: str) -> None:
    with pytest.raises(TypeError, match=r"give a list: \['customers/north'\]"):
        FeedWatch(lowest, **{what: "customers/north"})  # type: ignore[arg-type] # mypy takes any value for any field
    for devices, sensors in (("d", ()), ((), "s")):
        with pytest.raises(TypeError, match="give a list"):
            latest_request("customers/north", devices, sensors)
        with pytest.raises(TypeError, match="give a list"):
            history_request("customers/north", 1, None, devices, sensors)


def test_a_pull_is_done_when_it_is_synced_and_other_watches_never_are() -> None:
    pull, watch = FeedWatch(lowest, stop_when_synced=True), FeedWatch(lowest)
    assert isinstance(pull.receive(heartbeat("c1")), Heartbeat)
    assert not pull.done
    assert isinstance(pull.receive(synced("c2")), Synced)
    assert pull.done
    watch.receive(synced("c2"))
    assert not watch.done


def test_an_event_of_an_unknown_kind_is_passed_over_and_moves_the_cursor() -> None:
    watch = FeedWatch(lowest)
    assert watch.receive(feed_pb2.WatchResponse(cursor="c7")) is None
    assert watch.request().after_cursor == "c7"


@pytest.mark.parametrize(
    "failure",
    [
        unavailable(),
        unavailable(2.0),
        ended_early(),
        ResourceExhausted("slower", status=grpc.StatusCode.RESOURCE_EXHAUSTED, retry_after=1.0),
    ],
)
def test_what_passes_by_itself_is_waited_for(failure: CallFailed) -> None:
    assert FeedWatch(lowest).lost(failure) > 0


BROKEN = [
    grpc.StatusCode.INTERNAL,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
]


def failure(status: grpc.StatusCode, reason: str = "") -> CallFailed:
    return EXCEPTION_OF.get(status, UnexpectedFailure)("no", status=status, reason=reason)


@pytest.mark.parametrize("status", BROKEN)
def test_a_way_that_broke_is_tried_again_and_not_for_ever(status: grpc.StatusCode) -> None:
    watch = FeedWatch(lowest)
    waits = [watch.lost(failure(status)) for _ in range(9)]
    assert waits == sorted(waits)
    with pytest.raises(CallFailed, match="given up after 10 such ends without progress") as caught:
        watch.lost(failure(status))
    assert (caught.value.status, type(caught.value)) == (status, type(failure(status)))


@pytest.mark.parametrize("status", BROKEN)
def test_progress_is_worth_ten_more_ends(status: grpc.StatusCode) -> None:
    watch = FeedWatch(lowest, after_cursor="c0")
    for number in range(30):
        watch.lost(failure(status))
        if number % 9 == 8:
            watch.receive(feed_pb2.WatchResponse(cursor=f"c{number}"))


def test_a_current_state_that_is_begun_again_and_again_is_no_progress() -> None:
    watch = FeedWatch(lowest)
    for _ in range(9):
        watch.receive(feed_pb2.WatchResponse(cursor="in the snapshot"))
        watch.lost(failure(grpc.StatusCode.INTERNAL))
    with pytest.raises(UnexpectedFailure):
        watch.lost(failure(grpc.StatusCode.INTERNAL))
    watch.receive(synced("c1"))
    for _ in range(30):
        watch.lost(failure(grpc.StatusCode.INTERNAL))
        watch.receive(feed_pb2.WatchResponse(cursor="c2"))


def test_changes_that_are_told_again_and_again_are_no_progress() -> None:
    response = coverage_pb2.WatchCoverageResponse
    watch = CoverageWatch(lowest, after_revision="e.1")
    told_again = response(revision="e.1", covered=response.Covered(customer="customers/north"))
    for _ in range(9):
        watch.receive(told_again)
        watch.lost(failure(grpc.StatusCode.INTERNAL))
    with pytest.raises(UnexpectedFailure):
        watch.lost(failure(grpc.StatusCode.INTERNAL))
    for number in range(30):
        watch.receive(response(revision=f"e.{number + 2}", covered=told_again.covered))
        watch.lost(failure(grpc.StatusCode.INTERNAL))


@pytest.mark.parametrize(
    "refusal",
    [
        ResourceExhausted("too large", status=grpc.StatusCode.RESOURCE_EXHAUSTED),
        *(failure(status, "OURS") for status in BROKEN),
        *(failure(status) for status in grpc.StatusCode if status not in {*BROKEN, grpc.StatusCode.UNAVAILABLE}),
    ],
    ids=lambda refusal: f"{refusal.status.name}-{refusal.reason or 'no reason'}",
)
def test_what_does_not_pass_by_itself_ends_the_watch(refusal: CallFailed) -> None:
    with pytest.raises(type(refusal)) as caught:
        FeedWatch(lowest).lost(refusal)
    assert caught.value is refusal


# Silence


def test_three_heartbeats_may_be_missed_as_asked_for_or_as_the_services_send_them() -> None:
    assert (FeedWatch(lowest).silence, CoverageWatch(lowest).silence) == (45.0, 45.0)
    two = timedelta(seconds=2)
    assert FeedWatch(lowest, heartbeat_interval=two).silence == 6.0
    assert FeedWatch(lowest, heartbeat_interval=timedelta(0)).silence == 3.0, "the service refuses it, and has time to"
    coverage = CoverageWatch(lowest, heartbeat_interval=two)
    assert (coverage.silence, coverage.request().heartbeat_interval.ToTimedelta()) == (6.0, two)


def test_a_message_that_takes_longer_than_that_gets_through_some_time() -> None:
    watch = FeedWatch(lowest, heartbeat_interval=timedelta(seconds=1))
    silences = []
    for _ in range(6):
        silences.append(watch.silence)
        assert watch.lost(watch.silent()) > 0
    assert silences == [3.0, 6.0, 12.0, 24.0, 48.0, 48.0]
    watch.receive(heartbeat("c1"))
    assert watch.silence == 3.0


def test_patience_counts_silences_but_the_first() -> None:
    watch = FeedWatch(lowest, patience=30.0)
    watch.lost(watch.silent())
    with pytest.raises(Unavailable, match="nothing came for 90 s"):
        watch.lost(watch.silent())


def test_looks_count_and_no_clock() -> None:
    silence = Silence()
    assert not any(silence.look() for _ in range(100)), "nobody waits"
    silence.waiting = True
    assert [silence.look() for _ in range(5)] == [False, False, False, False, True]
    silence = Silence()
    for _ in range(100):  # whatever time passes between: each message is waited for anew
        silence.waiting = True
        assert not any(silence.look() for _ in range(4))
        silence.heard()


# A single question


class Ticking:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        return self.time


@pytest.mark.parametrize("status", [*BROKEN, grpc.StatusCode.UNAVAILABLE])
def test_a_question_is_asked_three_times(status: grpc.StatusCode) -> None:
    attempts = Attempts(lowest, 30.0, Ticking().now)
    assert [attempts.failed(failure(status)) for _ in range(2)] == [0.1, 0.2]
    with pytest.raises(CallFailed, match="given up after 3 attempts"):
        attempts.failed(failure(status))


def test_a_question_is_not_asked_again_when_its_time_is_up() -> None:
    ticking = Ticking()
    attempts, late = Attempts(lowest, 30.0, ticking.now), failure(grpc.StatusCode.DEADLINE_EXCEEDED)
    ticking.time += 29.95
    with pytest.raises(DeadlineExceeded) as caught:
        attempts.failed(late)
    assert caught.value is late


@pytest.mark.parametrize("status", [status for status in grpc.StatusCode if status not in BROKEN])
def test_an_answer_of_ours_is_an_answer(status: grpc.StatusCode) -> None:
    refusal = failure(status, "OURS")
    with pytest.raises(type(refusal)) as caught:
        Attempts(lowest, 30.0, Ticking().now).failed(refusal)
    assert caught.value is refusal


def test_an_answer_of_which_something_came_is_not_asked_for_again() -> None:
    answer: Answer[str, str] = Answer(lowest, "?", 30.0, Ticking().now)
    assert answer.lost(failure(grpc.StatusCode.INTERNAL)) == 0.1
    answer.receive("a part")
    with pytest.raises(Unavailable, match="not complete") as caught:
        answer.lost(failure(grpc.StatusCode.INTERNAL))
    assert caught.value.reason == "ANSWER_CUT_OFF"


def test_patience_ends_with_what_was_waited_for() -> None:
    watch = FeedWatch(lowest, patience=5.0)
    assert watch.lost(unavailable(4.0)) == 4.0
    with pytest.raises(Unavailable):
        watch.lost(unavailable(4.0))


def test_a_message_restores_patience() -> None:
    watch = FeedWatch(lowest, patience=5.0)
    for number in range(10):
        assert watch.lost(unavailable(4.0)) == 4.0
        watch.receive(heartbeat(f"c{number}"))


def test_no_patience_gives_up_at_once() -> None:
    with pytest.raises(Unavailable):
        FeedWatch(lowest, patience=0.0).lost(unavailable())


def test_a_coverage_watch_goes_on_after_the_newest_revision() -> None:
    watch = CoverageWatch(lowest)
    assert watch.request() == coverage_pb2.WatchCoverageRequest()
    watch.receive(coverage_pb2.WatchCoverageResponse(revision="e.7", synced=coverage_pb2.WatchCoverageResponse.Synced()))
    assert watch.request().after_revision == "e.7"


def test_a_coverage_watch_that_was_cut_before_the_list_was_complete_asks_for_all_of_it_again() -> None:
    watch = CoverageWatch(lowest)
    covered = coverage_pb2.WatchCoverageResponse.Covered(customer="customers/north")
    watch.receive(coverage_pb2.WatchCoverageResponse(revision="", covered=covered))
    assert watch.request().after_revision == ""


def test_every_status_that_our_services_answer_has_an_exception_of_its_name() -> None:
    for error, status in STATUS_OF.items():
        assert EXCEPTION_OF[status].__name__ == error.__name__

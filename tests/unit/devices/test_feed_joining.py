"""Messages are made once for all who may have the same, and hold exactly what each of them may have."""

from collections.abc import Sequence

from hypothesis import given
from hypothesis import strategies as st

from consentry.devices.v1 import feed_pb2
from consentry_devices.feed.filter import Filter
from consentry_devices.feed.joining import Joining, Message
from consentry_devices.feed.reader import Reader
from consentry_devices.log.entries import Entry, Kind
from consentry_devices.log.ring import BATCH_BYTES
from consentry_devices.rpc.inventory_part import pieces
from consentry_devices.rpc.watch.events import FIELDS
from consentry_rule import CustomerId, DataClass, Instant
from support.clocks import FakeClock
from support.device_frames import NORTH, NOW, SECOND, SOUTH, telemetry
from support.devices import RuleCall, RuleGate

CLASS_OF = {Kind.TELEMETRY: DataClass.TELEMETRY, Kind.ALARM: DataClass.ALARMS, Kind.INVENTORY: DataClass.INVENTORY}


def entry(seq: int, customer: CustomerId = NORTH, kind: Kind = Kind.TELEMETRY, start: int = 0, size: int = 0) -> Entry:
    """Two readings from `start` seconds on, or something else of that time; texts make it as long as is wanted."""
    time = NOW + start * SECOND
    if kind is Kind.TELEMETRY:
        block = telemetry(float(seq), "x" * size or 0.5, customer=customer, start=time)
        payload, min_time, max_time = block.payload, block.min_time, block.max_time
    else:
        payload, min_time, max_time = b"", Instant(time), Instant(time)
    return Entry(seq, customer, CLASS_OF[kind], kind, "ups", min_time, max_time, Instant(NOW), False, payload)


def reader(*consents: tuple[CustomerId, int], classes: Sequence[DataClass] = (), position: int = 0) -> Reader:
    """A reader over all customers, those that consent to these classes, to data from so many seconds on."""
    gate = RuleGate(FakeClock(Instant(NOW)))
    for customer, start in consents:
        gate.consent(customer, *classes, start=NOW + start * SECOND)
    call = RuleCall(gate, "the-key")
    call._all = True
    reader = Reader(call, "the-key", Filter(), lambda _, payload: payload)
    list(reader.start(position))
    return reader


def all_of(messages: Sequence[Message]) -> list[object]:
    return [(feed_pb2.WatchResponse.FromString(message.event), message.accesses, message.seq) for message in messages]


def test_who_may_have_the_same_gets_the_very_same() -> None:
    joining = Joining(FIELDS, pieces)
    entries = [entry(1), entry(2, SOUTH), entry(3)]
    both, again = reader((NORTH, 0), (SOUTH, 0)), reader((NORTH, -5), (SOUTH, 0))
    (first,) = joining.messages(entries, both)
    (second,) = joining.messages(entries, again)
    assert first is second
    (other,) = joining.messages(entries, reader((NORTH, 0)))
    assert other.accesses == {(NORTH, DataClass.TELEMETRY)}
    assert [device.device for device in feed_pb2.WatchResponse.FromString(other.event).telemetry.devices] == [
        f"customers/{NORTH}/devices/ups"
    ] * 2


def test_who_may_have_a_part_gets_that_part() -> None:
    joining = Joining(FIELDS, pieces)
    entries = [entry(1), entry(2)]
    list(joining.messages(entries, reader((NORTH, 0))))
    (message,) = joining.messages(entries, reader((NORTH, 1)))
    devices = feed_pb2.WatchResponse.FromString(message.event).telemetry.devices
    assert [list(device.block.values) for device in devices] == [[0.5], [0.5]]


def test_what_was_made_is_forgotten_when_it_is_too_much() -> None:
    joining, eyes = Joining(FIELDS, pieces, max_bytes=BATCH_BYTES), reader((NORTH, 0))
    entries = [entry(1, size=1_000)]
    (made,) = joining.messages(entries, eyes)
    assert next(iter(joining.messages(entries, eyes))) is made
    for seq in range(2, 400):
        list(joining.messages([entry(seq, size=1_000)], eyes))
    assert next(iter(joining.messages(entries, eyes))) is not made


def test_messages_end_where_they_are_long_enough() -> None:
    blocks = [entry(seq, size=BATCH_BYTES // 3) for seq in range(1, 8)]
    messages = list(Joining(FIELDS, pieces).messages(blocks, reader((NORTH, 0))))
    assert [message.seq for message in messages] == [2, 4, 6, 7]
    assert all(len(message.event) <= BATCH_BYTES + 1_000 for message in messages)


entries = st.lists(
    st.tuples(st.sampled_from([NORTH, SOUTH]), st.sampled_from(list(CLASS_OF)), st.integers(-4, 4)), min_size=1, max_size=8
)


@given(
    entries,
    st.lists(st.tuples(st.sampled_from([NORTH, SOUTH]), st.integers(-5, 5)), unique_by=lambda consent: consent[0]),
    st.lists(st.sampled_from(DataClass), unique=True),
    st.integers(0, 9),
    st.integers(0, 9),
)
def test_shared_or_not_it_is_the_same(
    happened: list[tuple[CustomerId, Kind, int]],
    consents: list[tuple[CustomerId, int]],
    classes: list[DataClass],
    position: int,
    told: int,
) -> None:
    """Whatever is open, from whenever on, and whatever a snapshot has told of it."""
    log = [entry(seq, customer, kind, start) for seq, (customer, kind, start) in enumerate(happened, 1)]
    eyes = reader(*consents, classes=classes, position=position)
    for customer, _ in consents:
        if DataClass.TELEMETRY in (classes or DataClass):
            eyes.told(customer, DataClass.TELEMETRY, told)
    joining = Joining(FIELDS, pieces)
    alone = all_of(list(joining.one_by_one(log, eyes.open_payload)))
    assert all_of(list(joining.messages(log, eyes))) == alone
    assert all_of(list(joining.messages(log, eyes))) == alone

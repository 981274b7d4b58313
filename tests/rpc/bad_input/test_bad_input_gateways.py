"""What a gateway must not publish, on the pair: refused with the frame's number, nothing of it stored, nothing of it read."""

from collections.abc import Mapping

import grpc
import pytest

from consentry.devices.v1 import feed_pb2, gateway_pb2, telemetry_pb2
from consentry_core.protocol.times import to_timestamp
from consentry_core.rpc.client.channels import bearer
from consentry_core.rpc.errors import error_info
from consentry_core.values.clock import SECOND
from consentry_devices.blocks.wire import delimited
from consentry_rule import Instant
from support.gateways import EPOCH, Frame, block, publish, publishing, readings
from support.requests import NORTH
from support.world import World

INVALID, DENIED = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.PERMISSION_DENIED
NEXT = 6  # the number of the next frame of north's gateway, in the world
PUBLISH = "/consentry.devices.v1.GatewayService/Publish"
HISTORY = "/consentry.devices.v1.TelemetryService/QueryHistory"
_UPS = f"{NORTH}/devices/ups"


def bad_frames(now: int) -> Mapping[str, tuple[Frame, grpc.StatusCode, str]]:
    """Frames, each with one thing wrong, and something right before it."""
    foreign = readings(NEXT, now, 1.0)
    foreign.telemetry.add(device="customers/south/devices/ups", block=block(now, 1.0))
    unequal = readings(NEXT, now, 1.0, 2.0)
    unequal.telemetry[0].block.values.append(3.0)
    not_a_number = readings(NEXT, now, 1.0, float("nan"))
    half = readings(NEXT, now, 1.0)
    half.telemetry.add(device=f"{NORTH}/devices/nobody", block=block(now, 1.0))
    return {
        "another customer's device": (foreign, DENIED, "FOREIGN_CUSTOMER"),
        "a time in the far future": (readings(NEXT, now + 400 * SECOND, 1.0), INVALID, "TIME_INVALID"),
        "the last time there is": (readings(NEXT, 2**63 - 1 - SECOND, 1.0), INVALID, "TIME_INVALID"),
        "columns of unequal length": (unequal, INVALID, "COLUMNS_UNEQUAL"),
        "no number": (not_a_number, INVALID, "VALUE_NOT_FINITE"),
        "infinity": (readings(NEXT, now, float("inf")), INVALID, "VALUE_NOT_FINITE"),
        "a device that nobody told of, after one that is there": (half, INVALID, "UNKNOWN_REFERENCE"),
        "a number that is not the next": (readings(NEXT + 1, now, 1.0), INVALID, "FRAME_OUT_OF_ORDER"),
        "the last number there is": (readings(2**64 - 1, now, 1.0), INVALID, "FRAME_OUT_OF_ORDER"),
        "a number that was used for something else": (readings(1, now, 1.0), INVALID, "FRAME_CONFLICT"),
    }


async def test_a_bad_frame_is_refused_and_nothing_of_it_is_stored_or_read(world: World) -> None:
    gateway = bearer(world.secrets["gateway of north"])
    told = {}
    async with world.pair.watch(world.secrets["all key"], live=feed_pb2.WatchRequest.Live()) as reader:
        await reader.until("synced")
        with world.nothing_written():
            for how, (frame, code, reason) in bad_frames(world.now).items():
                async with publishing(world.pair.channel, gateway) as stream:
                    await stream.send(frame)
                    numbers, error = await stream.until_error()
                info = error_info(error)
                outcome = (error.code(), info.reason, info.metadata.get("frame_number"), numbers)
                if outcome != (code, reason, str(frame.number), [NEXT - 1]):
                    told[how] = outcome
        assert told == {}
        await publish(world.pair.channel, gateway, readings(NEXT, world.now + SECOND, 77.0))
        await reader.until("telemetry")
        assert reader.events() == ["customer_added"] * 2 + ["synced", "telemetry"], "nothing came of the others"
        assert reader.values() == [77.0]


def smuggled(now: int) -> Mapping[str, bytes]:
    """Blocks that are honest when they are parsed, and something else for who takes the columns as they came."""
    honest = block(now, 1.0, 2.0).SerializeToString()
    sensors, one, two = b"\x0a\x04load", block(now, 1.0), block(now + SECOND, 2.0)
    for piece in (one, two):
        piece.ClearField("sensors")
    values = telemetry_pb2.TelemetryBlock.VALUES_FIELD_NUMBER
    by_element = telemetry_pb2.TelemetryBlock(sensors=["load"], sensor_indexes=[0, 0], times_unix_nano=[now, now + SECOND])
    unpacked = b"".join(bytes([values << 3 | 1]) + telemetry_pb2.TelemetryBlock(values=[value]).SerializeToString()[2:]
                        for value in (1.0, 2.0))  # fmt: skip
    return {
        "columns in two pieces": sensors + one.SerializeToString() + two.SerializeToString(),
        "elements that are not packed": by_element.SerializeToString() + unpacked,
        "an unknown field": honest + b"\xfa\x3f\x08smuggled",
        "a field of a later version": delimited(14, b"smuggled") + honest,
        "fields in another order": one.SerializeToString() + two.SerializeToString() + sensors,
    }


async def test_bytes_that_are_smuggled_into_a_block_reach_nobody(world: World) -> None:
    """On the wire as they are, which no client library would write. What is kept and handed out is what was parsed."""
    gateway = bearer(world.secrets["gateway of north"])
    request = gateway_pb2.PublishRequest
    hello = request(hello=request.Hello(gateway="gw", epoch=EPOCH)).SerializeToString()
    begin = world.now + 10 * SECOND
    wrong = {}
    for place, (how, raw) in enumerate(smuggled(begin).items()):
        frame_fields = request.Frame(number=NEXT + place).SerializeToString()
        device_block = delimited(1, _UPS.encode()) + delimited(2, raw)
        frame = frame_fields + delimited(request.Frame.TELEMETRY_FIELD_NUMBER, device_block)
        message = delimited(request.FRAME_FIELD_NUMBER, frame)
        answer = await world.call(PUBLISH, [hello, message], gateway)
        assert answer.refusal is None, (how, answer.refusal)
        asked = telemetry_pb2.QueryHistoryRequest(parent=NORTH, start_time=to_timestamp(Instant(begin)))
        handed = (await world.call(HISTORY, [asked])).received
        for chunk in handed:
            parsed = telemetry_pb2.QueryHistoryResponse.FromString(chunk)
            blocks = [telemetry.block for telemetry in parsed.telemetry]
            clean = parsed.SerializeToString(deterministic=True) == chunk and b"smuggled" not in chunk
            if not clean or len(blocks) != place + 1 or any(found != block(begin, 1.0, 2.0) for found in blocks):
                wrong[how] = parsed
    assert wrong == {}
    assert "smuggled" not in str(world.stored())


async def test_a_frame_of_100_megabytes_is_refused_by_the_transport_and_the_gateway_can_go_on(world: World) -> None:
    request = gateway_pb2.PublishRequest
    hello = request(hello=request.Hello(gateway="gw", epoch=EPOCH))
    large = request(frame=readings(NEXT, world.now, 1.0)).SerializeToString() + delimited(14, bytes(100_000_000))
    with world.nothing_written():
        assert (await world.call(PUBLISH, [hello, large])).code is grpc.StatusCode.RESOURCE_EXHAUSTED
    gateway = bearer(world.secrets["gateway of north"])
    await publish(world.pair.channel, gateway, readings(NEXT, world.now, 1.0))


@pytest.mark.parametrize("count", [1_001, 50_000])
async def test_a_reader_that_names_more_customers_than_anybody_needs_is_refused(world: World, count: int) -> None:
    """Each would be followed one by one, and the guard's own connection would not survive the message that says so."""
    request = feed_pb2.WatchRequest(customers=[f"customers/c{number:05}" for number in range(count)])
    path = "/consentry.devices.v1.FeedService/Watch"
    with world.nothing_written():
        told = (await world.call(path, [request])).refusal
    assert told is not None
    assert (told.code, told.reason, told.fields) == (INVALID, "TOO_MANY", ("customers",))
    del request.customers[1_000:]
    request.customers[0] = NORTH
    request.stop_when_synced = True
    assert (await world.call(path, [request])).refusal is None

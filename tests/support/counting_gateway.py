"""A gateway that counts: with the product's own outbox and publisher, as a process that a test kills.

    python -m support.counting_gateway ADDRESS TOKEN_FILE FOLDER CUSTOMER START STOP_FILE

Every frame gives each sensor its next `READINGS` numbers. Every `STEPS`th frame is also the next step of an alarm's life and
the next name of the devices. How far it has counted is put into the outbox with the frame: a kill loses both or neither.

`START` is the time of the first reading, in nanoseconds since the Unix epoch. Once the stop file is there it counts no further,
waits until everything is acknowledged, and ends; `FOLDER/counted` then says how many frames there were.
"""

import asyncio
import random
import secrets
import sys
from pathlib import Path

from consentry.devices.v1 import alarms_pb2, gateway_pb2, inventory_pb2, telemetry_pb2
from consentry_core.rpc.client.channels import open_channel
from consentry_core.values.clock import SystemClock
from consentry_gateway.outbox.outbox import Outbox
from consentry_gateway.outbox.pending import Draft
from consentry_gateway.publishing.publisher import Publisher

DEVICES = tuple(f"ups-{number}" for number in range(4))
SENSORS = tuple(f"sensor-{number}" for number in range(5))
READINGS = 5
STEPS = 10
PACE = 0.01  # seconds between frames
_COUNTED = "counted"


def payload(customer: str, start: int, number: int) -> bytes:
    """The frame that is counted as `number`, from 1."""
    frame = gateway_pb2.PublishRequest.Frame()
    told = number % STEPS == 0
    for device in DEVICES:
        name = f"customers/{customer}/devices/{device}"
        if told or number == 1:
            frame.inventory.devices.add(name=name, display_name=str(number // STEPS), type=inventory_pb2.Device.TYPE_UPS)
        if number == 1:
            frame.inventory.sensors.extend(inventory_pb2.Sensor(name=f"{name}/sensors/{sensor}") for sensor in SENSORS)
        frame.telemetry.add(device=name, block=_block(start, number))
    if told:
        frame.alarms.append(_alarm(customer, start, number // STEPS))
    return frame.SerializeToString()


def _block(start: int, number: int) -> telemetry_pb2.TelemetryBlock:
    counts = range(READINGS * (number - 1) + 1, READINGS * number + 1)
    return telemetry_pb2.TelemetryBlock(
        sensors=SENSORS,
        sensor_indexes=[index for _ in counts for index in range(len(SENSORS))],
        times_unix_nano=[start + count for count in counts for _ in SENSORS],
        values=[float(count) for count in counts for _ in SENSORS],
    )


def _alarm(customer: str, start: int, step: int) -> alarms_pb2.Alarm:
    """Each step is one event: activated, changed, cleared, and again."""
    round_, phase = divmod(step - 1, 3)
    alarm = alarms_pb2.Alarm(
        name=f"customers/{customer}/alarms/power",
        device=f"customers/{customer}/devices/{DEVICES[0]}",
        label="Power Failure" if phase == 0 else "Power Failure Again",
        severity=alarms_pb2.Alarm.SEVERITY_CRITICAL,
    )
    alarm.activate_time.FromNanoseconds(start + 1_000 * round_)
    if phase == 2:
        alarm.clear_time.FromNanoseconds(start + 1_000 * round_ + 1)
    return alarm


async def count(*, address: str, token_file: Path, folder: Path, customer: str, start: int, stop_file: Path) -> None:
    """Count until the stop file is there and everything is acknowledged."""
    outbox = Outbox(folder, secrets.token_bytes)
    counted = int(next(iter(outbox.recall(_COUNTED)), "0"))
    async with open_channel(address) as channel:
        publisher = Publisher(
            channel,
            lambda: token_file.read_text(encoding="utf-8"),
            "counting",
            outbox,
            clock=SystemClock(),
            jitter=random.Random(),  # noqa: S311 - spreads reconnects
            on_refused=_refused,
            on_new_epoch=_renumbered,
            longest_wait=0.5,
        )
        publishing = asyncio.create_task(publisher.run())
        while not stop_file.exists():  # noqa: ASYNC240 - nothing else runs here that could wait
            counted += 1
            await publisher.put([Draft("counting", payload(customer, start, counted))], {_COUNTED: str(counted)})
            await asyncio.sleep(PACE)
        await publisher.acknowledged()
        publishing.cancel()
        await asyncio.wait([publishing])
        publisher.close()
    part = folder / "counted.part"
    part.write_text(str(counted), encoding="utf-8")
    part.rename(folder / _COUNTED)


def _refused(about: str) -> None:
    raise AssertionError(f"a frame was refused: {about}")


def _renumbered() -> None:
    raise AssertionError("the service has lost frames that it had acknowledged")


if __name__ == "__main__":
    where, token, outbox_folder, whose, first, stop = sys.argv[1:]
    asyncio.run(
        count(
            address=where,
            token_file=Path(token),
            folder=Path(outbox_folder),
            customer=whose,
            start=int(first),
            stop_file=Path(stop),
        )
    )

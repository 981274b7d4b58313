"""Nothing is lost and nothing comes twice, though gateway, device-data service and reader are killed (-9) at random under load.

The gateway counts (`support.counting_gateway`): every sensor's readings, an alarm's events and the devices' names go up by one.
The reader (`support.counting_reader`) keeps what it was told and the cursor together, and puts down whatever is not the next.

`FEED_KILLS` is how often something is killed: a few times in `make test`, more than a hundred times in `make kills`.
`FEED_SEED` repeats chances.
"""

import asyncio
import os
import random
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from consentry.authority.v1 import tokens_pb2
from consentry.devices.v1 import telemetry_pb2
from consentry_client import DeviceReadings, Telemetry
from consentry_core.rpc.client.channels import open_channel
from support.authority import AuthorityCalls, prepare
from support.counting_gateway import DEVICES, SENSORS
from support.counting_reader import EVERYTHING, Ledger, due
from support.processes import Process, Service, until

KILLS = int(os.environ.get("FEED_KILLS", "9"))
SEED = int(os.environ.get("FEED_SEED", "0")) or random.SystemRandom().randrange(1, 1 << 30)
CUSTOMER = "north"

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kills")]


async def test_every_reading_arrives_once_and_in_order_whatever_is_killed(tmp_path: Path) -> None:
    chance = random.Random(SEED)  # noqa: S311 - to be repeated
    print(f"\nFEED_SEED={SEED} FEED_KILLS={KILLS}")
    home, stop, database = tmp_path / "authority", tmp_path / "stop", tmp_path / "reader.sqlite3"
    prepare(home)
    authority = Service("authority", tmp_path, "authority", f"--data-dir={home}")
    devices = Service(
        "devices", tmp_path, "devices", f"--data-dir={tmp_path / 'data'}", f"--token-file={home / 'devices.token'}"
    )
    processes: list[Process] = [authority, devices]
    try:
        await authority.serve()
        devices.add_arguments(f"--authority={authority.address}")
        await devices.serve()
        token, secret = await _populate(home, authority.address, tmp_path)
        counted = tmp_path / "outbox" / "counted"
        counted.parent.mkdir()
        gateway = Process(
            "gateway", tmp_path, "support.counting_gateway", devices.address, str(token), str(counted.parent), CUSTOMER,
            str(time.time_ns()), str(stop),
        )  # fmt: skip
        reader = Process(
            "reader", tmp_path, "support.counting_reader", devices.address, str(secret), str(database), str(counted)
        )
        processes += [gateway, reader]
        reader.start()
        ledger = Ledger(database)
        await until(lambda: ledger.cursor() is not None, "the reader has begun", every=0.05)
        gateway.start()
        await _goes_on(ledger)
        for _ in range(KILLS):
            await asyncio.sleep(chance.uniform(0.05, 1.5))  # under load, at moments of no one's choice
            victim = chance.choice((devices, gateway, reader))
            assert victim.ended is None, victim.last_words()
            await victim.kill()
            victim.kills += 1
            if victim is devices:
                await devices.serve()
            else:
                victim.start()
        await _goes_on(ledger)
        stop.touch()
        await gateway.wait(60)
        await reader.wait(60)
    finally:
        await asyncio.gather(*(process.kill() for process in processes))
    frames = int(counted.read_text(encoding="utf-8"))
    readings = sum(count for what, count in due(frames).items() if EVERYTHING[what] == "readings")
    print(f"killed: { ({process.name: process.kills for process in processes[1:]}) }; {frames} frames, {readings} readings")
    assert not ledger.wrong()
    assert ledger.last() == due(frames)
    ledger.close()


async def _populate(home: Path, address: str, folder: Path) -> tuple[Path, Path]:
    """A valid customer; files with its gateway's token and its partner's key."""
    async with open_channel(address) as channel:
        calls = AuthorityCalls(home, channel)
        await calls.partner("acme")
        await calls.valid_customer(CUSTOMER, "acme")
        issued = await calls.token(tokens_pb2.Token.ROLE_GATEWAY, f"customers/{CUSTOMER}")
        key = await calls.key("acme")
    token, secret = folder / "gateway.token", folder / "key.token"
    token.write_text(issued.secret, encoding="utf-8")
    secret.write_text(key.secret, encoding="utf-8")
    return token, secret


async def _goes_on(ledger: Ledger) -> None:
    """Wait until the reader is told more of everything: all three are at work."""
    before = ledger.last()

    def more() -> bool:
        last = ledger.last()
        return all(last.get(what, 0) > before.get(what, 0) for what in EVERYTHING)

    await until(more, f"the reader is told of more than {before}", every=0.05)


@pytest.mark.parametrize(
    ("counts", "wrong"),
    [((1, 2, 3), []), ((1, 3), ["ups-0/sensor-0: 3 where 2 was due"]), ((1, 1), ["ups-0/sensor-0: 1 where 2 was due"])],
    ids=["counted", "lost", "repeated"],
)
def test_what_is_lost_or_repeated_is_found_out(tmp_path: Path, counts: Sequence[int], wrong: Sequence[str]) -> None:
    ledger = Ledger(tmp_path / "reader.sqlite3")
    for count in counts:
        block = telemetry_pb2.TelemetryBlock(
            sensors=[SENSORS[0]], sensor_indexes=[0], times_unix_nano=[count], values=[float(count)]
        )
        told = telemetry_pb2.DeviceTelemetry(device=f"customers/{CUSTOMER}/devices/{DEVICES[0]}", reading_count=1, block=block)
        ledger.take(Telemetry(f"c{count}", (DeviceReadings(told),)))
    assert ledger.wrong() == wrong
    ledger.close()

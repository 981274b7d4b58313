"""What an idle stream costs the device-data service in memory: a `Watch` that has been told everything and waits.

The resident memory before and after 1,000 more streams, garbage collected both times; the baseline is the same with a bare
grpc.aio server whose streams wait for nothing.
"""

from bench.harness import Report, run
from bench.stage import Process, authority, stage

_STREAMS = 1_000
_WARM_UP = 20
_ROUNDS = 3


async def _kib_per_stream(server: Process, readers: list[Process], secrets: list[str]) -> float:
    """Opens a few streams with one process of readers, then 1,000 more with another."""
    few, many = readers
    how = {"address": server.address, "secrets": secrets, "customers": [], "live": False}
    opened = await few.ask(open=how | {"streams": _WARM_UP})
    assert not opened["failed"], opened
    before = await server.ask(rss=True)
    opened = await many.ask(open=how | {"streams": _STREAMS})
    assert not opened["failed"], opened
    after = await server.ask(rss=True)
    for process in readers:
        await process.ask(close=True)
    return float(after - before) / _STREAMS


async def _measure(report: Report) -> None:
    guarded, bare = [], []
    for _ in range(_ROUNDS):  # each in processes of its own: memory that was used before is not taken again
        with stage() as processes:
            async with authority(processes) as running:
                await running.partner("acme")
                await running.valid_customer("north", "acme")
                secrets = [(await running.key("acme")).secret for _ in range(10)]
                readers = [await processes.start(f"readers-{each}", "bench.readers_process", serves=False) for each in range(2)]
                baseline = await processes.start("bare", "bench.bare_streams")
                devices = await processes.start(
                    "devices", "bench.devices_process", "--listen=127.0.0.1:0", f"--authority={running.address}",
                    f"--token-file={running.folder / 'devices.token'}", f"--data-dir={processes.folder / 'devices'}",
                )  # fmt: skip
                bare.append(await _kib_per_stream(baseline, readers, secrets))
                guarded.append(await _kib_per_stream(devices, readers, secrets))
    report.median("kib_per_stream", guarded, f"KiB of resident memory per idle stream, {_STREAMS:,} of them", at_most=40)
    report.median("kib_per_stream_bare", bare, "the same of a bare grpc.aio server")
    report.median("over_bare", [ours / theirs for ours, theirs in zip(guarded, bare, strict=True)], "guarded over bare")


if __name__ == "__main__":
    run("memory", _measure)

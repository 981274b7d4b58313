"""Beside what somebody would pick instead, in the same run: Cerbos, NATS, DuckDB; only `make bench-peers` installs them.

None of them does what this does, so each comparison says what it leaves out:

* `cerbos_over_decision`: one decision asked of Cerbos over gRPC on this host, one after the other, over one of the guard in
  process. Cerbos decides by a policy over the attributes that it is sent: it neither knows whose secret it is nor remembers a
  consent. The guard decides by facts that it follows.
* `live_over_nats`: readings delivered to 20 readers while published, over the same messages published through NATS to 20
  subscribers, that parse them likewise. Core NATS stores nothing, checks nothing, and keeps no place for who was away.
* `raw_over_duckdb`, `downsample_over_duckdb`: speed of the questions of `bench.history`, over DuckDB on a Parquet file of the
  same readings. DuckDB runs in the asking process, with both cores, and asks nobody whether it may.
"""

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from statistics import median

import duckdb
import grpc
import numpy as np
from cerbos.engine.v1 import engine_pb2
from cerbos.request.v1 import request_pb2
from cerbos.svc.v1 import svc_pb2_grpc
from google.protobuf.struct_pb2 import Value

from bench import decision, feed, history
from bench.bare_history import payloads
from bench.harness import Report, in_pairs, ratios, run
from bench.stage import stage

_CERBOS = Path("build/peers/node_modules/@cerbos/cerbos-linux-x64/cerbos-linux-x64")
_NATS = Path(sys.executable).with_name("nats-server")
_ASKED, _ROUNDS = 3_000, 5
_PATIENCE = 30.0

_POLICY = """
apiVersion: api.cerbos.dev/v1
resourcePolicy:
  resource: device_data
  version: default
  rules:
    - actions: ["telemetry"]
      effect: EFFECT_ALLOW
      roles: ["key"]
      condition:
        match:
          all:
            of:
              - expr: P.attr.enabled && P.attr.end > P.attr.now
              - expr: R.attr.customer in P.attr.customers
              - expr: R.attr.connected && R.attr.subscription_end > P.attr.now
              - expr: R.attr.consent && R.attr.consent_end > P.attr.now && "telemetry" in R.attr.classes
"""

_DOWNSAMPLE = """
SELECT sensor, (time - ?) // ? AS step, min(value), max(value), avg(value), arg_max(value, time), count(*)
FROM read_parquet(?) GROUP BY sensor, step ORDER BY sensor, step
"""


def _value(of: object) -> Value:
    value = Value()
    match of:
        case bool():
            value.bool_value = of
        case float():
            value.number_value = of
        case str():
            value.string_value = of
        case list():
            value.list_value.extend(of)
    return value


def _question(now: float) -> request_pb2.CheckResourcesRequest:
    later = now + 3600.0
    principal = {"enabled": True, "end": later, "now": now, "customers": ["north"]}
    resource = {"customer": "north", "connected": True, "subscription_end": later, "consent": True, "consent_end": later,
                "classes": ["telemetry"]}  # fmt: skip
    request = request_pb2.CheckResourcesRequest(
        principal=engine_pb2.Principal(id="key", roles=["key"], attr={name: _value(of) for name, of in principal.items()})
    )
    entry = request.resources.add(actions=["telemetry"])
    entry.resource.kind, entry.resource.id = "device_data", "north"
    for name, of in resource.items():
        entry.resource.attr[name].CopyFrom(_value(of))
    return request


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


async def _until_it_listens(port: int) -> None:
    async with asyncio.timeout(_PATIENCE):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except ConnectionRefusedError:
                await asyncio.sleep(0.05)  # nothing else tells that somebody else's server has come up
                continue
            writer.close()
            return


@contextlib.asynccontextmanager
async def _server(folder: Path, name: str, port: int, *command: str) -> AsyncIterator[str]:
    """A peer's server until the end of the block; its address."""
    with (folder / f"{name}.log").open("w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)  # noqa: ASYNC220 - nothing else runs meanwhile
    try:
        await _until_it_listens(port)
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


async def _decisions(report: Report, folder: Path) -> None:
    policies = folder / "policies"
    policies.mkdir()
    (policies / "device_data.yaml").write_text(_POLICY, encoding="utf-8")
    port, other = _free_port(), _free_port()
    listen = [f"server.grpcListenAddr=127.0.0.1:{port}", f"server.httpListenAddr=127.0.0.1:{other}", "telemetry.disabled=true",
              f"storage.disk.directory={policies}", "storage.driver=disk"]  # fmt: skip
    command = [str(_CERBOS), "server", *(f"--set={setting}" for setting in listen)]
    async with _server(folder, "cerbos", port, *command) as address, grpc.aio.insecure_channel(address) as channel:
        check = svc_pb2_grpc.CerbosServiceStub(channel).CheckResources
        question, asked, decided = _question(time.time()), list[float](), list[float]()
        call = await decision.warm_call()
        for number in range(_ASKED + 100):
            began = time.perf_counter()
            answer = await check(question)
            asked.append(time.perf_counter() - began)
            if number == 0:
                (result,) = answer.results
                assert result.actions["telemetry"] == 1, answer  # EFFECT_ALLOW
            began = time.perf_counter()
            call.check()
            decided.append(time.perf_counter() - began)
    theirs, ours = median(asked[100:]) * 1e6, median(decided[100:]) * 1e6
    report.figure("cerbos_us", theirs, "us, p50, a decision asked of Cerbos over gRPC")
    report.figure("decision_us", ours, "us, p50, the guard's, in process, between those")
    report.figure("cerbos_over_decision", theirs / ours, "the one over the other")


async def _feed(report: Report) -> None:
    with stage() as processes:
        async with feed.staged(processes) as scene:
            port = _free_port()
            config = processes.folder / "nats.conf"
            config.write_text(f"listen: 127.0.0.1:{port}\nmax_payload: 8MB\nmax_pending: 1GB\n", encoding="utf-8")
            async with _server(processes.folder, "nats", port, str(_NATS), "-c", str(config)) as address:
                readers = await processes.start("nats-readers", "bench.peer_nats", serves=False)
                sender = await processes.start("nats-sender", "bench.peer_nats", serves=False)
                readings = feed.readings_of(feed.LARGE)

                async def nats() -> float:
                    await readers.ask(open={"address": address, "streams": feed.READERS})
                    sent = await sender.ask(publish={"address": address, "file": scene.file})
                    last = await readers.ask(read=readings)
                    await readers.ask(close=True)
                    return float(readings * feed.READERS / ((last - sent) / 1e9))

                await scene.live(feed.LARGE)  # records what is published through NATS
                pairs = await in_pairs(_ROUNDS, nats, partial(scene.live, feed.LARGE))
    report.median("nats_per_s", [theirs for theirs, _ in pairs], f"readings/s through NATS to {feed.READERS} subscribers")
    report.median("live_per_s", [ours for _, ours in pairs], "readings/s of ours: checked, committed to disk, resumable")
    report.median("live_over_nats", ratios(pairs), "the one over the other")


async def _history(report: Report) -> None:
    with stage() as processes:
        async with history.staged(processes) as scene:
            dense, minutely = (_parquet(scene.database, processes.folder, each) for each in ("dense", "minutely"))
            database = duckdb.connect()

            async def raw() -> float:
                began = time.perf_counter()
                found = database.execute("SELECT sensor, time, value FROM read_parquet(?)", [str(dense)]).fetchnumpy()
                assert len(found["value"]) == 1_000_000
                return time.perf_counter() - began

            async def downsample() -> float:
                step = history.MINUTES * history.MINUTE // history.STEPS
                began = time.perf_counter()
                found = database.execute(_DOWNSAMPLE, [scene.begin, step, str(minutely)]).fetchnumpy()
                assert len(found["step"]) == history.STEPS * len(history.SENSORS)
                return time.perf_counter() - began

            for warm_up in (scene.raw, raw, scene.downsample, downsample):
                await warm_up()
            whole = await in_pairs(3 * _ROUNDS, raw, scene.raw)
            steps = await in_pairs(3 * _ROUNDS, downsample, scene.downsample)
    report.median("duckdb_raw_ms", [theirs * 1e3 for theirs, _ in whole], "ms, a million readings as arrays, of Parquet")
    report.median("raw_over_duckdb", [1 / ratio for ratio in ratios(whole)], "speed of ours, over that")
    report.median("duckdb_downsample_ms", [theirs * 1e3 for theirs, _ in steps], "ms, 30 days of minutes in 500 steps")
    report.median("downsample_over_duckdb", [1 / ratio for ratio in ratios(steps)], "speed of ours, over that")


def _parquet(database: Path, folder: Path, device: str) -> Path:
    """A device's readings as a Parquet file, in the order of their times."""
    parts = [history.columns(payload) for payload in payloads(database, device)]
    sensor, time_, value = (np.concatenate(column) for column in zip(*parts, strict=True))
    file = folder / f"{device}.parquet"
    connection = duckdb.connect()
    connection.register("readings", {"sensor": sensor, "time": time_, "value": value})
    connection.sql("SELECT * FROM readings ORDER BY time").write_parquet(str(file))
    return file


async def _measure(report: Report) -> None:
    with stage() as processes:
        await _decisions(report, processes.folder)
    await _feed(report)
    await _history(report)


if __name__ == "__main__":
    run("peers", _measure)

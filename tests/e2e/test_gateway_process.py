"""The gateway's own commands as processes, and its README."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from consentry_gateway import profiles
from consentry_gateway.agents.file import read_site
from consentry_gateway.reading import model
from consentry_gateway.reading.decode import decode
from consentry_gateway.reading.raw import Answers
from consentry_gateway.simulator import recorded
from consentry_gateway.sources.modbus.registers import register
from support.certificates import Certificates
from support.polls import at

README = (Path(model.__file__).parents[1] / "README.md").read_text(encoding="utf-8")

# What only the servers and the demo need.
_NOT_INSTALLED = """
import sys
class Missing:
    def find_spec(self, name, *_):
        if name.split(".")[0] in {"sqlalchemy", "alembic", "grpc_health", "grpc_channelz", "grpc_reflection", "numpy", "argon2",
                                  "snmpsim", "snmpsim_data"}:
            raise ImportError(name)
sys.meta_path.insert(0, Missing())
import consentry_gateway.__main__
"""


def fenced(language: str, about: str = "") -> str:
    """The block of the README that is about this."""
    (found,) = (block for block in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if about in block)
    return str(found)


def test_the_profile_in_the_readme_is_one() -> None:
    names = {name: getattr(profiles, name) for name in profiles.__all__} | {"DeviceType": model.DeviceType}
    exec(fenced("python", "COOLER"), names)  # noqa: S102 - our own README
    answers: Answers = {"1.3.6.1.4.1.99999.1.1.0": b"Cooler 20", "1.3.6.1.4.1.99999.2.1.0": 171, "1.3.6.1.4.1.99999.3.1.2": 55}
    poll = decode((names["COOLER"],), model.Device(model.DeviceId("cooler"), ""), answers, at(0))
    assert [device.display_name for device in poll.devices] == ["Cooler 20", "Fan 2"]
    assert [(reading.sensor.metric, reading.value) for reading in poll.readings] == [
        ("cooling.supply.temperature", 17.1), ("fan.speed", 55.0),
    ]  # fmt: skip


def test_the_map_in_the_readme_is_one() -> None:
    names = {name: getattr(profiles, name) for name in profiles.__all__} | {
        "DeviceType": model.DeviceType,
        "register": register,
    }
    exec(fenced("python", "METER"), names)  # noqa: S102 - our own README
    assert names["METER"].object_ids == ("acme-meter",)


def test_the_agents_file_in_the_readme_is_one(tmp_path: Path) -> None:
    (tmp_path / "agents.toml").write_text(fenced("toml"), encoding="utf-8")
    authorities = Certificates(tmp_path / "made").ca.read_text(encoding="utf-8")
    for name in re.findall(r'_file = "(.*?)"', fenced("toml")):
        (tmp_path / name).write_text(authorities if name.endswith(".pem") else "made-up-password", encoding="utf-8")
    assert [agent.device.id for agent in read_site(tmp_path / "agents.toml").agents] == [
        "rack-3-pdu", "2001-db8-7-161", "10.0.0.5-3493", "10.0.0.6-502", "bmc-7.example.com-443",
    ]  # fmt: skip


@pytest.mark.slow
def test_a_gateway_needs_nothing_that_only_servers_need() -> None:
    subprocess.run([sys.executable, "-c", _NOT_INSTALLED], check=True, timeout=60)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_simulator_in_order(tmp_path: Path, number: signal.Signals) -> None:
    command = [
        sys.executable,
        "-m",
        "consentry_gateway",
        "simulate",
        f"--data-dir={tmp_path}",
        "--devices=127.0.0.1:1",
    ]
    environment = os.environ | {"CONSENTRY_GATEWAY_TOKEN": "ct_made_up"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        lines = []
        while "publishes for" not in (line := process.stderr.readline()):
            lines.append(line)
            assert line, lines
        process.send_signal(number)
        _, rest = process.communicate(timeout=20)
    assert process.returncode == 0, rest
    assert "ct_made_up" not in "".join(lines) + rest


@pytest.mark.slow
def test_replay_says_where_its_agents_are_and_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "consentry_gateway", "replay", "--port=0", "--recording=geist-temperature-sensor"]
    environment = os.environ | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stdout is not None
        assert f"SNMP agents answer at {recorded.HOST}:" in process.stdout.readline()
        process.terminate()
        assert process.wait(20) == 0
    assert list(tmp_path.iterdir()) == []

"""Looking at agents by hand: what is found, what would be published, and a recording that others can use."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from consentry_cli.cli import cli
from consentry_core.process.settings import SettingError
from consentry_core.values.clock import SystemClock
from consentry_gateway.agents.file import read_site
from consentry_gateway.looking.discovering import Found, addresses, described, discover
from consentry_gateway.looking.recording import Value, lines, without_names
from consentry_gateway.reading.decode import decode
from consentry_gateway.reading.model import Device, DeviceId
from consentry_gateway.reading.raw import Answers
from consentry_gateway.reading.recognition import recognise
from consentry_gateway.simulator import recorded
from consentry_gateway.sources.polling import Reports
from consentry_gateway.sources.snmp.access import SnmpAccess
from consentry_gateway.sources.snmp.source import SnmpSource
from support.agents import AUTH_PASSWORD, PRIV_PASSWORD, answers_of, parsed, told, write_agents_file
from support.polls import at
from support.snmp_proxy import proxying

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("snmp")]


def looking(folder: Path, *arguments: object, community: str = "apc-8932") -> Result:
    """`consentry gateway ...`, in a folder."""
    (folder / "community").write_text(community)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        return CliRunner().invoke(cli, ["gateway", *map(str, arguments)])


def test_try_says_what_would_be_published_and_what_not_and_why(
    tmp_path: Path, recorded_agents: recorded.RecordedAgents
) -> None:
    result = looking(tmp_path, "try", "127.0.0.1", "--port", recorded_agents.port, "--community-file", "community")
    assert result.exit_code == 0, result.output
    said = result.output.splitlines()
    expected = (Path(__file__).parents[1] / "support/recordings/apc-8932.expected").read_text().splitlines()
    published = [line.partition(" ")[2] for line in expected if not line.startswith(("device", "alarm"))]
    assert f"published    {len(published)}" in said
    assert any(line.endswith("input.realpower = 160 W   1.3.6.1.4.1.318.1.1.26.4.3.1.5.1 = 16 x 10") for line in said)
    assert any("ambient.temperature: the device says that it has none   1.3.6." in line for line in said)
    assert not list(tmp_path.glob("*.sqlite3"))


def test_try_by_an_agents_file_and_by_snmpv3(tmp_path: Path, recorded_agents: recorded.RecordedAgents) -> None:
    write_agents_file(tmp_path / "agents.toml", recorded_agents, "apc-8932", "eaton-9px")
    assert "Eaton" in looking(tmp_path, "try", "eaton-9px", "--agents", "agents.toml").output
    refused = looking(tmp_path, "try", "other", "--agents", "agents.toml")
    assert (refused.exit_code, "no agent has the id or host other" in refused.output) == (2, True)
    (tmp_path / "auth").write_text(AUTH_PASSWORD)
    (tmp_path / "priv").write_text(PRIV_PASSWORD)
    result = looking(
        tmp_path, "try", "127.0.0.1", "--port", recorded_agents.port, "--snmp-version", "3", "--user", "modern",
        "--auth", "sha256", "--auth-password-file", "auth", "--priv", "aes128", "--priv-password-file", "priv",
        "--context", "apc-8932",
    )  # fmt: skip
    assert "AP8932" in result.output


def test_try_says_why_there_is_nothing(tmp_path: Path, recorded_agents: recorded.RecordedAgents) -> None:
    wrong = looking(tmp_path, "try", "127.0.0.1", "--port", recorded_agents.port, "--timeout", "0.1")
    assert (wrong.exit_code, "does not know this community" in wrong.output) == (2, True)
    other = looking(tmp_path, "try", "127.0.0.1", "--snmp-version", "4")
    assert (other.exit_code, "version: must be one of 1, 2c, 3" in other.output) == (2, True)


def test_discover_writes_an_agents_file_that_a_gateway_can_read_and_none_over_another(
    tmp_path: Path, recorded_agents: recorded.RecordedAgents
) -> None:
    how = ("--port", recorded_agents.port, "--community-file", "community", "--timeout", "0.3", "--pace", "1000")
    result = looking(tmp_path, "discover", "127.0.0.0/29", *how)
    assert result.exit_code == 0, result.output
    assert "127.0.0.1  APC rack PDU, generation 2: AP8932" in result.output
    (agent,) = read_site(tmp_path / "agents.toml").agents
    assert (agent.host, agent.port, agent.access.community) == ("127.0.0.1", recorded_agents.port, "apc-8932")
    assert (tmp_path / "agents.toml").stat().st_mode & 0o077 == 0
    again = looking(tmp_path, "discover", "127.0.0.0/29", *how)
    assert (again.exit_code, "is there already" in again.output) == (2, True)
    nobody = looking(tmp_path, "discover", "127.0.0.9", *how, "--output", "other.toml")
    assert (nobody.exit_code, "none of the 1 addresses answered" in nobody.output) == (2, True)
    assert not (tmp_path / "other.toml").exists()


@pytest.fixture
async def source() -> AsyncIterator[SnmpSource]:
    clock = SystemClock()
    source = SnmpSource(clock, reports=Reports(clock), timeout=0.5, retries=0)
    yield source
    await source.close()


async def found(source: SnmpSource, network: str, port: int, access: SnmpAccess) -> list[Found]:
    """All that is discovered, by address."""
    hosts = addresses(network)
    one = [one async for one in discover(source, hosts, port, access, timeout=0.3, pace=1_000)]
    return sorted(one, key=lambda found: found.agent.host)


async def test_agents_at_several_addresses_are_found_by_every_version(
    source: SnmpSource, recorded_agents: recorded.RecordedAgents
) -> None:
    async with (
        proxying("127.0.0.1", recorded_agents.port, at="127.0.0.2") as proxy,
        proxying("127.0.0.1", recorded_agents.port, at="127.0.0.5", port_at=proxy.port),
        proxying("127.0.0.1", recorded_agents.port, at="::1", port_at=proxy.port),
    ):
        for version, names in (("1", "127.0.0.2"), ("2c", "127.0.0.0/29")):
            access = SnmpAccess("eaton-9px", version)
            hosts = [one.agent.host for one in await found(source, names, proxy.port, access)]
            assert hosts == (["127.0.0.2"] if version == "1" else ["127.0.0.2", "127.0.0.5"])
        (six,) = await found(source, "::1", proxy.port, SnmpAccess("eaton-9px"))
        assert described(six).startswith("Eaton")
        # Those that do not answer are asked one question, and no other.
        asked = len(proxy.asked)
        assert await found(source, "127.0.0.2", proxy.port, SnmpAccess("nobody-knows-this")) == []
        assert len(proxy.asked) == asked + 1


def test_a_network_that_is_too_large_or_none_is_refused() -> None:
    assert len(addresses("10.0.0.0/24")) == 254
    assert addresses("::1") == ["::1"]
    for network in ("10.0.0.0/8", "2001:db8::/64", "10.0.0", "my-pdu"):
        with pytest.raises(SettingError, match=r"asked; name a smaller one|is no network"):
            addresses(network)


@pytest.mark.parametrize(("name", "version"), [("eaton-9px", "1"), ("geist-temperature-sensor", "2c")])
def test_what_is_recorded_is_read_as_the_agent_is(
    name: str, version: str, tmp_path: Path, recorded_agents: recorded.RecordedAgents
) -> None:
    result = looking(
        tmp_path, "record", "127.0.0.1", "--port", recorded_agents.port, "--community-file", "community",
        "--snmp-version", version, "--pace", "1000", community=name,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "read it before you send it" in result.output
    text = (tmp_path / "127.0.0.1.snmprec").read_text()
    assert values_told(parsed(text)) == values_told(answers_of(name))
    for oid in ("1.3.6.1.2.1.1.4.0", "1.3.6.1.2.1.1.5.0", "1.3.6.1.2.1.1.6.0"):
        name_of = answers_of(name).get(oid)
        assert not isinstance(name_of, bytes) or len(name_of) < 5 or name_of.decode() not in text


def values_told(answers: Answers) -> list[str]:
    """What is told of answers, without what devices are called."""
    poll = decode(recognise(answers), Device(DeviceId("it"), "it"), answers, at(0))
    return [line for line in told(poll).splitlines() if not line.startswith("device")]


def test_names_contacts_and_addresses_are_taken_out() -> None:
    system = "1.3.6.1.2.1.1"
    found = [
        Value(f"{system}.1.0", 4, b"Card of pdu7 at 10.1.2.3, MN:AP8932 v6.7.2"),
        Value(f"{system}.4.0", 4, b"ops@example.com"),
        Value(f"{system}.5.0", 4, b"pdu7"),
        Value(f"{system}.6.0", 4, "Rack 3, Bürostraße".encode()),
        Value("1.3.6.1.4.1.9.1.0", 64, "10.9.8.7"),
        Value("1.3.6.1.4.1.9.2.0", 4, bytes([0, 0xC0, 0xB7, 0x12, 0x34, 0x56])),
        Value("1.3.6.1.4.1.9.3.0", 4, b"mail admin@example.org or ups.dc1.example.com, 00:C0:B7:12:34:56, fe80::1:2"),
        Value("1.3.6.1.4.1.9.4.10.1.2.3.1", 2, 7),
        Value("1.3.6.1.4.1.9.5.0", 4, "in RACK 3, BÜROSTRASSE and Rack 3, Bürostraße".encode()),
        Value("1.3.6.1.4.1.9.6.0", 68, bytes.fromhex("9f780442f60000")),
        Value("1.3.6.1.4.1.9.7.0", 2, -5),
        Value("1.3.6.1.4.1.9.8.0", 4, b"23.5 C"),
        Value("1.3.6.1.2.1.33.1.1.5.0", 4, b"UPS of Anna"),
    ]
    assert list(lines(without_names(found, "10.1.2.3"))) == [
        "1.3.6.1.2.1.1.1.0|4|Card of name at address, MN:AP8932 v6.7.2",
        "1.3.6.1.2.1.1.4.0|4|contact",
        "1.3.6.1.2.1.1.5.0|4|name",
        "1.3.6.1.2.1.1.6.0|4|location",
        "1.3.6.1.2.1.33.1.1.5.0|4|Name 0",
        "1.3.6.1.4.1.9.1.0|64|192.0.2.1",
        "1.3.6.1.4.1.9.2.0|4x|020000000001",
        "1.3.6.1.4.1.9.3.0|4|mail address or address, address, address",
        f"1.3.6.1.4.1.9.5.0|4x|{'in RACK 3, BÜROSTRASSE and location'.encode().hex()}",
        "1.3.6.1.4.1.9.6.0|68x|9f780442f60000",
        "1.3.6.1.4.1.9.7.0|2|-5",
        "1.3.6.1.4.1.9.8.0|4|23.5 C",
    ]


def test_the_commands_of_the_readme_do_what_it_says(tmp_path: Path, recorded_agents: recorded.RecordedAgents) -> None:
    readme = (Path(__file__).parents[2] / "services/consentry_gateway/README.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"^```sh\n(.*?)^```$", readme, re.DOTALL | re.MULTILINE)
    script = block.replace("1161", str(recorded_agents.port))
    environment = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}", "HOME": str(tmp_path)}
    done = subprocess.run(
        ["/bin/bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [agent.host for agent in read_site(tmp_path / "found.toml").agents] == ["127.0.0.1"]
    assert "input.realpower = 160 W" in done.stdout
    assert "SW-DC01-WEST-01-B" not in (tmp_path / "pdu.snmprec").read_text()
    assert values_told(parsed((tmp_path / "pdu.snmprec").read_text())) == values_told(answers_of("apc-8932"))

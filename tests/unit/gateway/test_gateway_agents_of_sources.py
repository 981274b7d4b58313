"""The agents file, for agents that are not asked by SNMP: how to reach them, and every mistake with its line and field."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from consentry_core.process.settings import SettingError
from consentry_gateway.agents.file import read_site
from consentry_gateway.agents.trust import Trust
from consentry_gateway.sources.modbus.access import ModbusAccess, maps
from consentry_gateway.sources.nut.access import NutAccess
from consentry_gateway.sources.redfish.access import RedfishAccess
from support.certificates import Certificates

GOOD = """
[[agents]]
id = "ups"
source = "nut"
host = "127.0.0.1"
ups = "rack-3"
user = "monitor"
password_file = "nut.password"
tls = true
ca_file = "ca.pem"

[[agents]]
id = "meter"
source = "modbus"
host = "127.0.0.1"
map = "schneider-pm5000"
unit = 7

[[agents]]
id = "server"
source = "redfish"
host = "127.0.0.1"
user = "monitor"
password_env = "BMC_PASSWORD"
fingerprint = "{fingerprint}"
timeout = 20
""".replace("{fingerprint}", ":".join(["9f"] * 32))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    Certificates(tmp_path)
    (tmp_path / "nut.password").write_text("s3cret-nut\n", encoding="utf-8")
    monkeypatch.setenv("BMC_PASSWORD", "s3cret-bmc")
    return tmp_path


def write(folder: Path, text: str) -> Path:
    path = folder / "agents.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_each_source_has_fields_and_a_port_of_its_own_and_shows_no_secret(folder: Path) -> None:
    site = read_site(write(folder, GOOD))
    assert [(agent.source, agent.port, agent.access) for agent in site.agents] == [
        ("nut", 3493, NutAccess("rack-3", "monitor", "s3cret-nut", Trust(folder / "ca.pem"))),
        ("modbus", 502, ModbusAccess("schneider-pm5000", 7)),
        ("redfish", 443, RedfishAccess("monitor", "s3cret-bmc", Trust(fingerprint=b"\x9f" * 32))),
    ]  # fmt: skip
    assert "s3cret" not in repr(site)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('source = "nut"', 'source = "nuts"'), r"line 2, agents\[0\].source: must be one of snmp, nut, modbus, redfish"),
        (('ups = "rack-3"', 'ups = "rack 3"'), r"line 2, agents\[0\].ups: must be ASCII, without blanks"),
        (('user = "monitor"\npassword_file', 'user = "a\\nLOGIN x"\npassword_file'), r"agents\[0\].user: must be ASCII"),
        (("tls = true\n", ""), r"line 2, agents\[0\].ca_file: makes sense with tls = true only"),
        (("tls = true", "tls = 1"), r"agents\[0\].tls: must be true or false"),
        (('ca_file = "ca.pem"', 'ca_file = "nowhere.pem"'), r"agents\[0\].ca_file: .*nowhere.pem cannot be read"),
        (('ca_file = "ca.pem"', 'ca_file = "nut.password"'), r"agents\[0\].ca_file: .*cannot be read as certificates"),
        (('password_file = "nut.password"\n', ""), r"agents\[0\].password: must be given"),
        (('map = "schneider-pm5000"\n', ""), r"line 12, agents\[1\].map: must be given"),
        (('map = "schneider-pm5000"', 'map = "x"'), r"agents\[1\].map: must be one of apc-smart-ups, schneider-pm5000"),
        (("unit = 7", "unit = 256"), r"agents\[1\].unit: must be a number from 0 to 255"),
        (("unit = 7", "unit = 1.5"), r"agents\[1\].unit: must be a whole number"),
        (("unit = 7", 'community = "public"'), r"agents\[1\].community: unknown"),
        (("BMC_PASSWORD", "NO_SUCH"), r"line 19, agents\[2\].password_env: there is no environment variable NO_SUCH"),
        (("timeout = 20", "insecure = true"), r"agents\[2\].insecure: fingerprint is given already"),
        ((":9f:9f", ":9f:9g"), r"agents\[2\].fingerprint: must be the SHA-256 of the certificate, in hex"),
        ((":9f:9f", ":9f"), r"agents\[2\].fingerprint: must be a SHA-256, which has 64 hex digits"),
        (("timeout = 20", 'scheme = "ftp"'), r"agents\[2\].scheme: must be one of https, http"),
        (('user = "monitor"\npassword_env', 'user = "a:b"\npassword_env'), r"agents\[2\].user: must have no colon"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_field(folder: Path, change: tuple[str, str], message: str) -> None:
    assert change[0] in GOOD
    with pytest.raises(SettingError, match=message) as raised:
        read_site(write(folder, GOOD.replace(change[0], change[1], 1)))
    assert "s3cret" not in raised.value.message


@pytest.mark.parametrize(("library", "extra"), [("aionut", "nut"), ("pymodbus", "modbus"), ("aiohttp", "redfish")])
def test_a_library_that_is_not_installed_is_named_with_its_extra(
    folder: Path, library: str, extra: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == library else found(name))
    message = rf"agents\[\d\].source: {extra} needs the package {library}: pip install 'consentry\[{extra}\]'"
    with pytest.raises(SettingError, match=message):
        read_site(write(folder, GOOD))


def test_every_map_has_a_name_of_its_own() -> None:
    assert set(maps()) == {"apc-smart-ups", "schneider-pm5000"}


def test_who_has_no_such_agents_needs_none_of_their_libraries() -> None:
    libraries = {"aionut", "pymodbus", "aiohttp"}
    code = f"import sys, consentry_gateway.app, consentry_gateway.__main__; print(sorted({libraries} & set(sys.modules)))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"

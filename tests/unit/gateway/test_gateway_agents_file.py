"""The agents file: read, or refused with the line and the field."""

from pathlib import Path

import pytest

from consentry_core.process.settings import SettingError
from consentry_gateway.agents.file import read_site

GOOD = """
[[locations]]
id = "rack-1"
kind = "rack"
parent = "hall"

[[locations]]
id = "hall"
kind = "room"
display_name = "Hall 1"

[[agents]]
id = "pdu"
host = "127.0.0.1"
port = 1161
community = "s3cret-community"
location = "rack-1"

[[agents]]
host = "127.0.0.1"
community = "public"
display_name = "UPS of Hall 1"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "agents.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_locations_come_parents_first_and_agents_with_what_was_left_out_filled_in(tmp_path: Path) -> None:
    site = read_site(write(tmp_path, GOOD))
    assert [(place.id, place.display_name, place.parent) for place in site.locations] == [
        ("hall", "Hall 1", None), ("rack-1", "rack-1", "hall"),
    ]  # fmt: skip
    assert [(agent.device.id, agent.port, agent.device.location) for agent in site.agents] == [
        ("pdu", 1161, "rack-1"), ("ups-of-hall-1", 161, None),
    ]  # fmt: skip


def test_a_community_is_not_shown(tmp_path: Path) -> None:
    assert "s3cret" not in repr(read_site(write(tmp_path, GOOD)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('kind = "rack"', 'kind = "shelf"'), r"line 2, locations\[0\].kind: must be one of site, building, room, rack"),
        (('parent = "hall"', 'parent = "attic"'), r"line 2, locations\[0\].parent: there is no location attic"),
        (('display_name = "Hall 1"', 'parent = "rack-1"'), r"the location lies within itself"),
        (("port = 1161", "port = 99999"), r"line 12, agents\[0\].port: must be a number from 1 to 65535"),
        (("port = 1161", "prot = 1161"), r"line 12, agents\[0\].prot: unknown"),
        (('community = "s3cret-community"', ""), r"line 12, agents\[0\].community: must be given"),
        (('community = "s3cret-community"', "community = 7"), r"line 12, agents\[0\].community: must be a text"),
        (('location = "rack-1"', 'location = "attic"'), r"line 12, agents\[0\].location: there is no location attic"),
        (('id = "pdu"', 'id = "PDU!"'), r"line 12, agents\[0\].id: must be 1 to 63"),
        (('display_name = "UPS of Hall 1"', 'id = "pdu"'), r"line 19, agents\[1\].id: pdu is there already"),
        (("UPS of Hall 1", "U" * 201), r"line 19, agents\[1\].display_name: must have at most 200 characters; it has 201"),
        (("UPS of Hall 1", "UPS\u202e"), r"line 19, agents\[1\].display_name: must be one line of plain text"),
        (('"Hall 1"', f'"{"H" * 201}"'), r"line 7, locations\[1\].display_name: must have at most 200 characters"),
        (("[[agents]]", "[[agent]]"), r"agent: unknown"),
        (('id = "pdu"', "id = "), r"is not TOML: .*line 13"),
    ],
)
def test_a_mistake_is_named_with_its_line_and_field(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    with pytest.raises(SettingError, match=message) as raised:
        read_site(write(tmp_path, GOOD.replace(*change)))
    assert "s3cret" not in raised.value.message


@pytest.mark.parametrize(("below", "taken"), [(16, True), (17, False)])
def test_locations_nest_as_deep_as_the_service_takes_them(below: int, taken: bool, tmp_path: Path) -> None:
    places = ['[[locations]]\nid = "l0"\nkind = "site"\n']
    places += [f'[[locations]]\nid = "l{n}"\nkind = "room"\nparent = "l{n - 1}"\n' for n in range(1, below + 1)]
    file = write(tmp_path, "".join(places) + '[[agents]]\nhost = "127.0.0.1"\ncommunity = "public"\n')
    if taken:
        assert len(read_site(file).locations) == below + 1
    else:
        with pytest.raises(SettingError, match=rf"line {4 * below}, locations\[{below}\].parent: .*not nest deeper than 16"):
            read_site(file)


def test_a_file_without_agents_and_one_that_is_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="names no agents"):
        read_site(write(tmp_path, ""))
    with pytest.raises(SettingError, match=r"cannot read the agents file .*none\.toml"):
        read_site(tmp_path / "none.toml")


V3 = """
[[agents]]
host = "::1"
version = "3"
user = "monitor"
auth = "sha256"
auth_password_file = "pdu.auth"
priv = "aes128"
priv_password_env = "CONSENTRY_TEST_PRIV"
interval = 60
timeout = 5
retries = 0
"""


def test_secrets_of_version_3_stand_in_files_and_the_environment_and_are_not_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pdu.auth").write_text("auth-s3cret\n")
    monkeypatch.setenv("CONSENTRY_TEST_PRIV", "priv-s3cret")
    site = read_site(write(tmp_path, V3))
    (agent,) = site.agents
    access = agent.access
    assert (access.version, access.user, access.auth, access.priv) == ("3", "monitor", "sha256", "aes128")
    assert (access.auth_password, access.priv_password) == ("auth-s3cret", "priv-s3cret")
    assert (agent.interval, agent.timeout, agent.retries) == (60, 5, 0)
    assert "s3cret" not in repr(site)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('version = "3"', 'version = "4"'), r"agents\[0\].version: must be one of 1, 2c, 3"),
        (('user = "monitor"', ""), r"agents\[0\].user: must be given"),
        (('auth = "sha256"', 'auth = "md5"'), r"agents\[0\].auth: must be one of none, sha, sha224"),
        (('auth = "sha256"', ""), r"agents\[0\].priv: there is no privacy without authentication"),
        (('auth_password_file = "pdu.auth"', 'auth_password_file = "other"'), r"_file: cannot read the file .*other"),
        (('auth_password_file = "pdu.auth"', 'auth_password = "s3cret"'), r"auth_password: must have at least 8 characters"),
        (("CONSENTRY_TEST_PRIV", "CONSENTRY_TEST_OTHER"), r"priv_password_env: there is no environment variable"),
        (("interval = 60", "interval = 0"), r"interval: must be a number from 0.1 to 86400"),
        (("timeout = 5", 'timeout = "long"'), r"timeout: must be a number"),
        (("retries = 0", 'community = "public"'), r"community: unknown"),
        (("retries = 0", 'source = "telepathy"'), r"source: must be one of snmp"),
    ],
)  # fmt: skip
def test_a_mistake_about_reaching_an_agent_is_named_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: tuple[str, str], message: str
) -> None:
    (tmp_path / "pdu.auth").write_text("auth-s3cret")
    monkeypatch.setenv("CONSENTRY_TEST_PRIV", "priv-s3cret")
    with pytest.raises(SettingError, match=message) as raised:
        read_site(write(tmp_path, V3.replace(*change)))
    assert "s3cret" not in raised.value.message

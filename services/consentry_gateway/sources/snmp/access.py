"""How an SNMP agent is reached: which version it speaks, and the secrets for that.

version = "2c"                     # "1", "2c" or "3"; 2c when left out
community = "public"               # of 1 and 2c; or community_file, community_env

user = "monitor"                   # of 3
auth = "sha256"                    # sha, sha224, sha256, sha384, sha512; left out: none
auth_password_file = "pdu.auth"    # or auth_password, auth_password_env
priv = "aes128"                    # aes128, aes192, aes256 (aes192c, aes256c: with keys as Cisco makes them); left out: none
priv_password_env = "PDU_PRIV"     # or priv_password, priv_password_file
context = ""                       # the context's name
"""

from dataclasses import dataclass, field

from consentry_gateway.agents.entry import Entry

AUTHENTICATIONS = ("none", "sha", "sha224", "sha256", "sha384", "sha512")
PRIVACIES = ("none", "aes128", "aes192", "aes256", "aes192c", "aes256c")
VERSIONS = ("1", "2c", "3")

_SHORTEST_PASSWORD = 8  # RFC 3414, 11.2


@dataclass(frozen=True, slots=True)
class SnmpAccess:
    """What an agent wants to hear. Communities and passwords are secrets: no repr shows them."""

    community: str = field(default="", repr=False)
    version: str = "2c"
    user: str = field(default="", repr=False)
    auth: str = "none"
    auth_password: str = field(default="", repr=False)
    priv: str = "none"
    priv_password: str = field(default="", repr=False)
    context: str = ""


def read_snmp_access(entry: Entry) -> SnmpAccess:
    """The fields of an agent's table that say how to reach it. SettingError when one of them is wrong."""
    version = entry.one_of("version", {name: name for name in VERSIONS}, "2c")
    if version != "3":
        return SnmpAccess(entry.secret("community"), version)
    user = entry.text("user")
    auth = entry.one_of("auth", {name: name for name in AUTHENTICATIONS}, "none")
    priv = entry.one_of("priv", {name: name for name in PRIVACIES}, "none")
    if priv != "none" and auth == "none":
        raise entry.wrong("priv", "there is no privacy without authentication; give auth")
    auth_password = _password(entry, "auth_password") if auth != "none" else ""
    priv_password = _password(entry, "priv_password") if priv != "none" else ""
    return SnmpAccess("", version, user, auth, auth_password, priv, priv_password, entry.text("context", ""))


def _password(entry: Entry, name: str) -> str:
    value = entry.secret(name)
    if len(value) < _SHORTEST_PASSWORD:
        raise entry.wrong(name, f"must have at least {_SHORTEST_PASSWORD} characters")
    return value

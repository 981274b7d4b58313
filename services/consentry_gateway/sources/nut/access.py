"""How a UPS is reached through the `upsd` of Network UPS Tools.

source = "nut"
ups = "rack-3"                     # its name in ups.conf; may be left out where upsd has only one
user = "monitor"                   # upsd lets everybody read; where it does not:
password_file = "nut.password"     # or password, password_env
tls = true                         # ask for TLS, and go no further without; then as `trust` has it
"""

from dataclasses import dataclass, field

from consentry_gateway.agents.entry import Entry
from consentry_gateway.agents.extras import need
from consentry_gateway.agents.trust import Trust, read_trust

PORT = 3493


@dataclass(frozen=True, slots=True)
class NutAccess:
    """Which UPS it is, and what upsd wants to hear. The password is a secret: no repr shows it. `tls` None: plaintext."""

    ups: str = ""
    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    tls: Trust | None = None


def read_nut_access(entry: Entry) -> NutAccess:
    """The fields of an agent's table that say how to reach it. SettingError when one of them is wrong."""
    need(entry, "aionut", "nut")
    ups, user = entry.text("ups", ""), entry.text("user", "")
    password = entry.secret("password") if user else ""
    # They stand in lines of words: a blank or an end of line would begin another one.
    for name, value in (("ups", ups), ("user", user), ("password", password)):
        if not (value.isascii() and value.isprintable()) or (name != "password" and set(value) & set(' "\\')):
            raise entry.wrong(name, "must be ASCII, without blanks, quotes and control characters")
    if entry.flag("tls"):
        return NutAccess(ups, user, password, read_trust(entry))
    for name in ("ca_file", "fingerprint", "insecure"):
        if entry.has(name):
            raise entry.wrong(name, "makes sense with tls = true only")
    return NutAccess(ups, user, password)

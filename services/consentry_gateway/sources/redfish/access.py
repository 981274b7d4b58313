"""How a Redfish service (a BMC, or a chassis manager) is reached.

source = "redfish"
user = "monitor"                   # ReadOnly is enough; left out: nobody, for services that let everybody read
password_file = "bmc.password"     # or password, password_env
ca_file = "bmc-ca.pem"             # or fingerprint, or insecure, as `trust` has it
scheme = "https"                   # or http, which shows the password to whoever listens
"""

from dataclasses import dataclass, field

from consentry_gateway.agents.entry import Entry
from consentry_gateway.agents.extras import need
from consentry_gateway.agents.trust import Trust, read_trust

PORT = 443


@dataclass(frozen=True, slots=True)
class RedfishAccess:
    """Who asks, and whom to trust. The password is a secret: no repr shows it."""

    user: str = field(default="", repr=False)
    password: str = field(default="", repr=False)
    trust: Trust = Trust()  # noqa: RUF009 - it never changes
    scheme: str = "https"


def read_redfish_access(entry: Entry) -> RedfishAccess:
    """The fields of an agent's table that say how to reach it. SettingError when one of them is wrong."""
    need(entry, "aiohttp", "redfish")
    user = entry.text("user", "")
    if ":" in user:
        raise entry.wrong("user", "must have no colon")
    password = entry.secret("password") if user else ""
    return RedfishAccess(user, password, read_trust(entry), entry.one_of("scheme", {"https": "https", "http": "http"}, "https"))

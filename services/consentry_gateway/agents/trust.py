"""Whose certificate an agent may show, for the sources that speak TLS.

ca_file = "bmc-ca.pem"             # the authorities of its certificate, beside this file; left out: those of the system
fingerprint = "9f86d081..."        # or the SHA-256 of the certificate itself, in hex: for one that nobody vouches for
insecure = true                    # or whoever answers
"""

import hashlib
import hmac
import ssl
from dataclasses import dataclass
from pathlib import Path

from consentry_gateway.agents.entry import Entry

_DIGEST = hashlib.sha256().digest_size


@dataclass(frozen=True, slots=True)
class Trust:
    """What makes a certificate good. Without any of it: what the system trusts, with the agent's name in it."""

    ca_file: Path | None = None
    fingerprint: bytes = b""
    insecure: bool = False

    def context(self) -> ssl.SSLContext:
        """How to shake hands. With a fingerprint the certificate is looked at afterwards, before anything is sent."""
        context = ssl.create_default_context(cafile=self.ca_file)
        if self.fingerprint or self.insecure:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def accepts(self, certificate: bytes | None) -> bool:
        """Whether a certificate (DER) that came through the handshake is the one."""
        return not self.fingerprint or hmac.compare_digest(hashlib.sha256(certificate or b"").digest(), self.fingerprint)


def read_trust(entry: Entry) -> Trust:
    """The fields of an agent's table that say whom to trust. SettingError when one of them is wrong."""
    given = [name for name in ("ca_file", "fingerprint", "insecure") if entry.has(name)]
    if len(given) > 1:
        raise entry.wrong(given[1], f"{given[0]} is given already; one of them is enough")
    if "ca_file" in given:
        file = entry.file("ca_file")
        try:
            ssl.create_default_context(cafile=file)
        except (OSError, ssl.SSLError) as error:
            raise entry.wrong("ca_file", f"{file} cannot be read as certificates in PEM") from error
        return Trust(file)
    if "fingerprint" in given:
        try:
            fingerprint = bytes.fromhex(entry.text("fingerprint").replace(":", ""))
        except ValueError as error:
            raise entry.wrong("fingerprint", "must be the SHA-256 of the certificate, in hex") from error
        if len(fingerprint) != _DIGEST:
            raise entry.wrong("fingerprint", f"must be a SHA-256, which has {2 * _DIGEST} hex digits")
        return Trust(None, fingerprint)
    return Trust(insecure=entry.flag("insecure"))

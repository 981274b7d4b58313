"""Certificates made for a test: an authority of its own, files as a deployment has them."""

import hashlib
import ssl
from pathlib import Path

import trustme

from consentry_core.process.tls import ClientTls


class Certificates:
    """Issued by one authority, in a folder."""

    def __init__(self, folder: Path, name: str = "ca") -> None:
        self._authority = trustme.CA(organization_name=name)
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.ca = folder / f"{name}.pem"
        self._authority.cert_pem.write_to_path(self.ca)

    def issue(self, file: str, *names: str, common_name: str | None = None) -> tuple[Path, Path]:
        """A certificate with these names, and its key: written as an attentive operator does it, each file replaced at once."""
        issued = self._authority.issue_cert(*names, common_name=common_name)
        certificate, key = self._folder / f"{file}.pem", self._folder / f"{file}.key"
        _replace(certificate, b"".join(pem.bytes() for pem in issued.cert_chain_pems))
        _replace(key, issued.private_key_pem.bytes())
        return certificate, key

    def loopback(self, *names: str) -> tuple[Path, Path]:
        """A certificate of a service on the loopback interface, that may be shown to another service too."""
        return self.issue("service", "localhost", "127.0.0.1", *names)

    def client(self, name: str = "") -> ClientTls:
        """A client that trusts this authority, and shows a certificate of that name, if any."""
        return ClientTls(self.ca, *self.issue(name, name)) if name else ClientTls(self.ca)

    def trust(self, other: "Certificates") -> None:
        """Trust what another authority signs instead."""
        _replace(self.ca, other.ca.read_bytes())


def _replace(file: Path, content: bytes) -> None:
    part = file.with_name(f"{file.name}.part")
    part.write_bytes(content)
    part.replace(file)


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """What a server shows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(certificate, key)
    return context


def fingerprint_of(certificate: Path) -> bytes:
    """The SHA-256 of the first certificate of a file."""
    pem = certificate.read_text().partition("-----END CERTIFICATE-----")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem[0] + pem[1])).digest()

"""Certificates: which files they come from, and that they may be replaced while a program runs.

A service shows its certificate to whoever connects; a client trusts the authorities (CA) of one file. Where a service names
such a file too, its clients show certificates as well (mutual TLS).
"""

import logging
import ssl
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path

from consentry_core.process.files import read_text
from consentry_core.process.settings import SettingError

_log = logging.getLogger(__name__)

_Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class ServerTls:
    """What a service shows, and whom it trusts to have signed its clients' certificates. PEM files."""

    certificate: Path
    key: Path
    client_ca: Path | None = None

    def files(self) -> "PemFiles":
        """The files to read."""
        return PemFiles(ca=self.client_ca, certificate=self.certificate, key=self.key)


@dataclass(frozen=True)
class ClientTls:
    """Whom a client trusts to have signed the service's certificate, and what it shows itself, if anything. PEM files."""

    ca: Path
    certificate: Path | None = None
    key: Path | None = None

    def files(self) -> "PemFiles":
        """The files to read."""
        return PemFiles(ca=self.ca, certificate=self.certificate, key=self.key)


@dataclass(frozen=True)
class Pem:
    """What stood in the files."""

    ca: bytes | None
    certificate: bytes | None
    key: bytes | None

    def __repr__(self) -> str:
        return "Pem(...)"


class PemFiles:
    """Certificates in files that others may replace at any time, one file after the other."""

    def __init__(self, *, ca: Path | None, certificate: Path | None, key: Path | None) -> None:
        self._ca = ca
        self._certificate = certificate
        self._key = key
        self._stamp: _Stamp | None = None

    def read(self) -> Pem:
        """What stands in them now. SettingError, saying what to change, when that cannot be used."""
        if (self._certificate is None) != (self._key is None):
            raise SettingError("a certificate and its private key go together; give both files or neither")
        self._stamp = self._look()
        pem = Pem(*(None if file is None else _read_pem(file) for file in (self._ca, self._certificate, self._key)))
        try:
            self._check()
        except ssl.SSLError as error:
            raise SettingError(
                f"the certificate files {self._names()} cannot be used ({error.reason or error}): they must be PEM, and "
                "the key, without a passphrase, the certificate's own"
            ) from error
        except OSError as error:
            raise SettingError(
                f"cannot read the certificate file {error.filename or self._names()} ({error.strerror})"
            ) from error
        return pem

    def changed(self) -> Pem | None:
        """What stands in them, if that is new since it was read and can be used. What cannot is told to the log, once."""
        if self._look() == self._stamp:
            return None
        try:
            pem = self.read()
        except SettingError as error:
            _log.error("new certificates are not used, the former ones stay: %s", error.message)
            return None
        _log.info("new certificates are in use: %s", self._names())
        return pem

    def _check(self) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if self._ca is not None:
            context.load_verify_locations(self._ca)
        if self._certificate is not None:
            # Without a password it would be asked for on the terminal.
            context.load_cert_chain(self._certificate, self._key, password=lambda: "")

    def _look(self) -> _Stamp:
        return tuple(_stamp(file) for file in (self._ca, self._certificate, self._key) if file is not None)

    def _names(self) -> str:
        return ", ".join(str(file) for file in (self._ca, self._certificate, self._key) if file is not None)


def _read_pem(file: Path) -> bytes:
    text = read_text(file, "certificate file")
    if "-----BEGIN " not in text:
        raise SettingError(f"the certificate file {file} holds no PEM: nothing in it begins with -----BEGIN")
    return text.encode()


def _stamp(file: Path) -> tuple[int, int, int]:
    """Changes when the file is written or replaced; zeros while it is not there."""
    try:
        status = file.stat()
    except OSError:
        return 0, 0, 0
    return status.st_mtime_ns, status.st_size, status.st_ino


def on_loopback(address: str) -> bool:
    """Whether `host:port` stays within this machine, so that plaintext on it can be heard by nobody else."""
    if address.startswith(("unix:", "unix-abstract:")):
        return True
    host = address.rpartition(":")[0].removeprefix("dns:").lstrip("/").strip("[]")
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

"""A connection to `upsd`: aionut's, and what that leaves out.

aionut speaks the protocol (RFC 9271), keeps one connection, and asks again when it was cut. Added here: TLS (STARTTLS), values
that are not ASCII, answers that end too early or not at all, and a socket that is closed when the password is refused.
Nothing logs in to a UPS: `upsd` would count the gateway among the machines that must be off before it cuts the power.
"""

import asyncio
import logging
import re
import socket
import ssl
from collections.abc import Mapping
from itertools import islice

from aionut import (
    AIONUTClient,
    NUTCommandError,
    NUTConnectionClosedError,
    NUTError,
    NUTLoginError,
    NUTOSError,
    NUTProtocolError,
    NUTTimeoutError,
)

from consentry_gateway.sources.nut.access import NutAccess
from consentry_gateway.sources.polling import AgentSilent

MOST_BYTES = 256 * 1024
"""Of one answer; a large UPS has some hundred variables, which are some ten kilobytes."""
MOST_VARIABLES = 2_000

# At its finest level aionut writes every line that it sends, passwords too.
logging.getLogger("aionut").setLevel(logging.INFO)

_CODE = re.compile(r"ERR ([A-Z0-9-]{1,40})")
_WORDS = {
    "ACCESS-DENIED": "it refuses this user and password, or this gateway's address",
    "UNKNOWN-UPS": "it knows no UPS of this name",
    "DATA-STALE": "it has heard nothing of the UPS for a while",
    "DRIVER-NOT-CONNECTED": "its driver for the UPS does not run",
    "FEATURE-NOT-CONFIGURED": "it has no TLS; give it a certificate, or leave tls out",
    "FEATURE-NOT-SUPPORTED": "it has no TLS; give it a certificate, or leave tls out",
    "USERNAME-REQUIRED": "it wants a user and a password",
    "PASSWORD-REQUIRED": "it wants a user and a password",
}


class Upsd(AIONUTClient):
    """One connection. `timeout` in seconds, of every answer."""

    def __init__(self, host: str, port: int, access: NutAccess, timeout: float) -> None:
        super().__init__(host, port, timeout=timeout)
        self._access = access
        self._context = access.tls.context() if access.tls else None

    async def variables(self) -> Mapping[str, str]:
        """All that upsd says of the UPS. AgentSilent, with the reason in words, when it says nothing."""
        try:
            ups = self._access.ups or await self._only_one()
            found = await self.list_vars(ups)
        except BaseException as error:
            self.disconnect()  # it may stand in the middle of an answer
            if isinstance(error, NUTError | LookupError | ValueError):
                raise AgentSilent(f"{self.host} port {self.port}: {_in_words(error)}") from error
            raise
        return {name: _unescaped(value) for name, value in islice(found.items(), MOST_VARIABLES)}

    async def _only_one(self) -> str:
        names = list(await self.list_ups())
        if len(names) == 1:
            return names[0]
        if not names:
            raise AgentSilent(f"{self.host} port {self.port}: upsd has no UPS")
        raise AgentSilent(f"{self.host} port {self.port}: upsd has {len(names)} UPSs; say which one with ups")

    async def _connect(self) -> None:
        async with asyncio.timeout(self.timeout):
            self._reader, self._writer = await asyncio.open_connection(self.host, self.port, limit=MOST_BYTES)
        self._connected = True  # so that `disconnect` closes it
        try:
            await self._secure(self._reader, self._writer)
            if self._access.user:
                await self._write_command_or_raise(f"USERNAME {self._access.user}\n", "OK")
                password = self._access.password.replace("\\", "\\\\").replace('"', '\\"')
                await self._write_command_or_raise(f'PASSWORD "{password}"\n', "OK")
        except BaseException:
            self.disconnect()
            raise

    async def _secure(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        trust = self._access.tls
        if trust is None or self._context is None:
            return
        await self._write_command_or_raise("STARTTLS\n", "OK STARTTLS")
        if getattr(reader, "_buffer", b""):
            raise NUTProtocolError("something came in plaintext before TLS had begun")
        await writer.start_tls(self._context, server_hostname=self.host, ssl_handshake_timeout=self.timeout)
        if not trust.accepts(writer.get_extra_info("ssl_object").getpeercert(binary_form=True)):
            raise ssl.SSLError("its certificate is not the one of the fingerprint")

    async def _read_util(self, data: str) -> str:
        if self._reader is None:
            raise NUTConnectionClosedError("not connected")
        try:
            async with asyncio.timeout(self.timeout):
                response = await self._reader.readuntil(data.encode("ascii"))
        except asyncio.IncompleteReadError as error:
            raise NUTConnectionClosedError("the connection ended within an answer") from error
        except asyncio.LimitOverrunError as error:
            raise NUTProtocolError(f"an answer of more than {MOST_BYTES} bytes") from error
        return response.decode("utf-8", "replace")


def _in_words(error: BaseException) -> str:
    cause = error.__cause__
    if isinstance(error, NUTLoginError | NUTCommandError):
        code = _CODE.search(str(error))
        return _WORDS.get(code[1], f"it answers {code[1]}") if code else "it answers with an error"
    if isinstance(error, NUTConnectionClosedError):
        return "it ends the connection"
    if isinstance(cause, ssl.SSLError):
        return f"TLS fails: {getattr(cause, 'reason', None) or cause.args[-1]}"
    if isinstance(error, NUTTimeoutError) or isinstance(cause, TimeoutError):
        return "no answer: it is off or out of reach"
    if isinstance(error, NUTOSError):
        if isinstance(cause, socket.gaierror):
            return "there is no address of this name"
        if isinstance(cause, ConnectionRefusedError):
            return "nobody listens"
        return f"the connection fails: {getattr(cause, 'strerror', None) or type(cause).__name__}"
    return "what it says is not the protocol of upsd"


def _unescaped(value: str) -> str:
    """The value itself. aionut takes the quotes at its ends away, an escaped one too."""
    lost = len(value) - len(value.rstrip("\\")) & 1
    return re.sub(r"\\(.)", r"\1", value + '"' * lost)

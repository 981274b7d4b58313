"""TLS as gRPC has it: credentials that follow their files, and which methods need whose certificate."""

import re
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import grpc

from consentry_core.callers.policy import Caller, Policies
from consentry_core.process.tls import Pem, ServerTls
from consentry_core.rpc.server.open_call import Context, OpenCall
from consentry_core.values.errors import PermissionDenied

_ANY = "*"
_is_label = re.compile(r"[A-Za-z0-9_-]+").fullmatch


def server_credentials(tls: ServerTls, *, demand: bool) -> grpc.ServerCredentials:
    """What to serve with; `demand`: clients must show a certificate. SettingError when the files cannot be used.

    At every handshake the files are looked at, and those that were replaced are read again. A connection that is there keeps
    what it began with until it ends.
    """
    files = tls.files()

    def replaced() -> grpc.ServerCertificateConfiguration | None:
        pem = files.changed()
        return None if pem is None else _configuration(pem)

    first = _configuration(files.read())
    # None stands for "as before"; the stubs do not know.
    newest = cast("Callable[[], grpc.ServerCertificateConfiguration]", replaced)
    return grpc.dynamic_ssl_server_credentials(first, newest, require_client_authentication=demand)


def _configuration(pem: Pem) -> grpc.ServerCertificateConfiguration:
    assert pem.key is not None and pem.certificate is not None, "a server has both"  # noqa: S101, PT018 - by its settings
    return grpc.ssl_server_certificate_configuration([(pem.key, pem.certificate)], root_certificates=pem.ca)


def channel_credentials(pem: Pem) -> grpc.ChannelCredentials:
    """What to connect with."""
    return grpc.ssl_channel_credentials(pem.ca, pem.key, pem.certificate)


class RequiredCertificates:
    """The methods that only callers of one kind may call, and the names of the certificates that they must come with.

    A name is a subject alternative name (DNS, URI, e-mail, address), or the common name of a certificate that has none; in the
    list, `*.example.com` stands for a host's name of one label more (and not for `ada@host.example.com`, who is a person), and
    `*` for any certificate. An empty list asks for none.
    """

    def __init__(self, policies: Policies, kind: Caller, names: Sequence[str], *, flag: str) -> None:
        self._methods = frozenset(method for method, callers in policies.items() if callers == {kind}) if names else frozenset()
        self._names = frozenset(names)
        self._flag = flag

    def require(self, call: OpenCall) -> None:
        """PermissionDenied when the method needs a certificate and the connection has none of a name that is listed."""
        if call.method not in self._methods:
            return
        names = certificate_names(call.context)
        if names is None:
            raise PermissionDenied(
                "this method takes a client certificate; connect to the address that asks for one (--mutual-listen, if it is "
                "set) with the certificate and key of a client",
                reason="CERTIFICATE_MISSING",
            )
        if _ANY not in self._names and not any(self._listed(name) for name in names):
            raise PermissionDenied(
                f"the client certificate's names ({', '.join(names)[:200]}) are not among those that may call this method; "
                f"have one of them added to {self._flag}, or use another certificate",
                reason="CERTIFICATE_NOT_ALLOWED",
            )

    def _listed(self, name: str) -> bool:
        label, _, domain = name.partition(".")
        return name in self._names or (_is_label(label) is not None and f"*.{domain}" in self._names)


NO_CERTIFICATES = RequiredCertificates({}, Caller.SERVICE, (), flag="")
"""None are required."""


def certificate_names(context: Context) -> Sequence[str] | None:
    """What the client's certificate names it; None when it has shown none."""
    told = context.auth_context()
    if not told or "x509_pem_cert" not in told:
        return None
    return _texts(told.get("x509_subject_alternative_name", ())) or _texts(told.get("x509_common_name", ()))


def _texts(values: Iterable[bytes]) -> tuple[str, ...]:
    return tuple(text for value in values if (text := value.decode("utf-8", "replace")))

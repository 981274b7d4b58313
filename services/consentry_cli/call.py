"""Calling a service from a command: its address, the caller's credential, and how a failure is told. In one place.

    @keys.command("get")
    @authority_call
    @click.argument("name")
    def get(call: Call, name: str) -> None: ...

The credential comes from the variable CONSENTRY_TOKEN, from a file, or from a profile, and never from an argument, which every
user of the machine could read in the list of processes. Exit codes: 1 for what a service refuses, 2 for what is wrong with the
command.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import click
import grpc

from consentry.authority.v1 import tokens_pb2
from consentry.authority.v1.tokens_pb2_grpc import TokenServiceStub
from consentry_cli import profiles
from consentry_cli.answers import Answers, Form
from consentry_cli.helping import shared
from consentry_cli.output import Failed, say, say_values
from consentry_cli.params import PAGE_SIZE, ShortName
from consentry_client.errors import CallFailed, DeadlineExceeded, Unavailable, broken_on_the_way, failure_of
from consentry_core.process.files import read_credential
from consentry_core.process.settings import FromEnvironment, SettingError
from consentry_core.process.tls import ClientTls
from consentry_core.process.transport import client_tls, require_private
from consentry_core.rpc.client.channels import bearer, open_sync_channel

_TOKEN_VARIABLE = "CONSENTRY_TOKEN"  # noqa: S105 - the name of a variable
_TIMEOUT = 30.0

_P = ParamSpec("_P")
_Q = TypeVar("_Q")
_A = TypeVar("_A")


_FILE: Any = click.Path(path_type=Path)
_TRANSPORT = (
    click.option(
        "--plaintext",
        is_flag=True,
        envvar="CONSENTRY_PLAINTEXT",
        show_envvar=True,
        help="Go without TLS beyond the loopback interface too.",
    ),
    click.option(
        "--tls-key", type=_FILE, envvar="CONSENTRY_TLS_KEY", show_envvar=True, help="The private key of --tls-certificate, PEM."
    ),
    click.option(
        "--tls-certificate",
        type=_FILE,
        envvar="CONSENTRY_TLS_CERTIFICATE",
        show_envvar=True,
        help="Certificate to show the service, PEM, where it asks for one.",
    ),
    click.option(
        "--tls-ca",
        type=_FILE,
        envvar="CONSENTRY_TLS_CA",
        show_envvar=True,
        help="Authorities of the service's certificate, PEM. Without: plaintext.",
    ),
)


_TRANSPORT_NAMES = ("plaintext", "tls_ca", "tls_certificate", "tls_key")


class Call:
    """A way to a service, for the time of one command, and the form in which its answers are printed."""

    def __init__(self, channel: grpc.Channel, secret: str, answers: Answers) -> None:
        self.channel = channel
        self.secret = secret
        self.answers = answers

    def whole(self, value: Any) -> Any:
        """A name of which only the last id was typed: it is one of the caller's own organisation."""
        if not isinstance(value, ShortName):
            return value
        answer = self.ask(TokenServiceStub(self.channel).WhoAmI, tokens_pb2.WhoAmIRequest())
        try:
            return value.within(answer.organization)
        except ValueError as error:
            raise click.UsageError(str(error)) from error

    def ask(self, method: "grpc.UnaryUnaryMultiCallable[_Q, _A]", request: _Q) -> _A:
        """The answer."""
        try:
            return method(request, metadata=bearer(self.secret), timeout=_TIMEOUT)
        except grpc.RpcError as error:
            raise failure_of(error) from error

    def ask_all(self, method: "grpc.UnaryUnaryMultiCallable[_Q, _A]", request: _Q) -> _A:
        """The answers to all pages as one."""
        page_request: Any = request
        page_request.page_size = PAGE_SIZE
        page: Any = self.ask(method, request)
        answer = page
        while page.next_page_token:
            page_request.page_token = page.next_page_token
            page = self.ask(method, request)
            answer.MergeFrom(page)
        answer.next_page_token = ""
        found: _A = answer
        return found


class Refused(Failed):
    """A service refused, or could not be reached. Exit code 1."""

    def __init__(self, failure: CallFailed, service: str, address: str, *, as_json: bool = False) -> None:
        self.failure = failure
        self.service = service
        self.address = address
        self._as_json = as_json
        super().__init__(_told(failure, service, address))

    def show(self, file: Any = None) -> None:
        """One line, and one more for each field that is wrong; for programs, an object."""
        if self._as_json:
            violations = [{"field": each.field, "description": each.description} for each in self.failure.violations]
            status, reason = self.failure.status.name, self.failure.reason
            error = {"status": status, "reason": reason, "message": self.message, "violations": violations}
            say_values({"error": error}, err=True)
            return
        say(f"error: {self.message}", err=True)
        for violation in self.failure.violations:
            line = f"{violation.field}: {violation.description}" if violation.field else violation.description
            if line != self.failure.message:
                say(f"  {line}", err=True)


def authority_call(command: Callable[Concatenate[Call, _P], None]) -> Callable[..., None]:
    """A command that calls the authority."""
    return _calling(command, "authority", "CONSENTRY_AUTHORITY", "127.0.0.1:7401")


def devices_call(command: Callable[Concatenate[Call, _P], None]) -> Callable[..., None]:
    """A command that calls the device-data service."""
    return _calling(command, "devices", "CONSENTRY_DEVICES", "127.0.0.1:7402")


def _calling(command: Callable[Concatenate[Call, _P], None], service: str, variable: str, default: str) -> Callable[..., None]:
    @functools.wraps(command)
    def call(
        *,
        address: str,
        credential: str | None,
        token_file: Path | None,
        profile: str | None,
        form: str,
        as_json: bool,
        **values: Any,
    ) -> None:
        kept = profiles.chosen(profile)
        answers = Answers(Form.JSON if as_json else Form(form))
        transport = {name: _kept(kept, name, values.pop(name)) for name in _TRANSPORT_NAMES}
        address = _kept(kept, service, address, parameter="address")
        secret = _secret(credential, token_file, kept)
        tls = way_to(address, **transport)
        with failures(service, address, as_json=answers.for_programs), open_sync_channel(address, tls) as channel:
            calling = Call(channel, secret, answers)
            named = {name: calling.whole(value) for name, value in values.items()}
            command(calling, **named)  # type: ignore[call-arg] # click gives what it declared

    decorated: Callable[..., None] = call
    for option in (
        *_TRANSPORT,
        click.option("--json", "as_json", is_flag=True, help="The same as --output json; refusals are told in JSON too."),
        click.option(
            "--output",
            "-o",
            "form",
            type=click.Choice([form.value for form in Form]),
            default=Form.TABLE.value,
            show_default=True,
            help="How to answer: a table that fits the terminal, all of it (wide), JSON, JSON lines, CSV.",
        ),
        click.option(
            "--profile",
            envvar="CONSENTRY_PROFILE",
            show_envvar=True,
            help="Addresses and credential that `consentry login` has kept under this name.",
        ),
        click.option(
            "--token-file",
            type=click.Path(path_type=Path),
            envvar="CONSENTRY_TOKEN_FILE",
            show_envvar=True,
            help="File with the token or API key to call with.",
        ),
        click.option("--token", "credential", cls=FromEnvironment, envvar=_TOKEN_VARIABLE, help="The token or API key itself"),
        click.option(
            f"--{service}",
            "address",
            default=default,
            envvar=variable,
            show_default=True,
            show_envvar=True,
            help="Address of the authority." if service == "authority" else "Address of the device-data service.",
        ),
    ):
        decorated = shared(option)(decorated)
    return decorated


def _kept(profile: profiles.Profile, name: str, given: Any, *, parameter: str = "") -> Any:
    """What was said on the command line or in the environment; else what the profile says, else the default."""
    source = click.get_current_context().get_parameter_source(parameter or name)
    kept = getattr(profile, name)
    if source is not click.core.ParameterSource.DEFAULT or not kept:
        return given
    return Path(kept) if name.startswith("tls") else kept


def way_to(
    address: str, *, plaintext: bool, tls_ca: Path | None, tls_certificate: Path | None, tls_key: Path | None
) -> ClientTls | None:
    """How to connect there. SettingError for plaintext beyond the loopback interface, unless it is asked for."""
    if tls_ca is None:
        require_private(address, plaintext=plaintext, instead="--tls-ca")
    return client_tls(tls_ca, tls_certificate, tls_key)


def _secret(credential: str | None, token_file: Path | None, profile: profiles.Profile) -> str:
    """The credential, from the first of these that is said.

    1. A file named on the command line; 2. a profile named there; 3. the variable; 4. the file that a variable names; 5. the
    profile called `default`.
    """
    context = click.get_current_context()
    named = context.get_parameter_source("token_file") is click.core.ParameterSource.COMMANDLINE
    asked = context.get_parameter_source("profile") is click.core.ParameterSource.COMMANDLINE
    if not named and asked and profile.secret:
        return profile.secret
    secret = "" if named else credential or ""
    if not secret and token_file is not None:
        return read_credential(token_file)
    secret = secret.strip() or profile.secret
    if not secret:
        raise SettingError(
            f"no credential; set {_TOKEN_VARIABLE} to a token or API key, name a file with --token-file, or keep one with "
            "`consentry login`"
        )
    return credential_of(secret)


def credential_of(text: str) -> str:
    """A credential as somebody gave it. SettingError when it can be none."""
    text = text.strip()
    if not (text and text.isascii() and text.isprintable()):
        raise SettingError("that is no credential: a token or API key is one line of letters, digits and underscores")
    return text


@contextmanager
def failures(service: str, address: str, *, as_json: bool = False) -> Iterator[None]:
    """What a service refuses, as a command's end."""
    try:
        yield
    except CallFailed as failure:
        raise Refused(failure, service, address, as_json=as_json) from failure


def _told(failure: CallFailed, service: str, address: str) -> str:
    name = "authority" if service == "authority" else "device-data service"
    if failure.reason or not broken_on_the_way(failure):
        return str(failure)
    if not isinstance(failure, Unavailable | DeadlineExceeded):
        return f"{failure}; the {name} itself did not say so: a proxy on the way, at {address}, may have lost it; try again"
    return (
        f"{failure.status.name}: no answer from the {name} at {address}; "
        f"check that it runs (`consentry {service}`) and that --{service} is its address"
    )

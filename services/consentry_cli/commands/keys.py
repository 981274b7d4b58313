"""`consentry keys`: a partner's API keys. With a token of that partner's administrator."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import click
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.timestamp_pb2 import Timestamp

from consentry.authority.v1 import keys_pb2
from consentry.authority.v1.keys_pb2_grpc import KeyServiceStub
from consentry_cli.call import Call, authority_call
from consentry_cli.helping import Group
from consentry_cli.params import CUSTOMER, KEY, PARTNER, SPAN, TIME, EnumValue, final, request_id
from consentry_core.protocol.times import to_duration

_KIND = EnumValue(keys_pb2.Key.Kind.DESCRIPTOR)
_COLUMNS = ["name", "display_name", "kind", "state", "hint", "customers", "create_time", "expire_time", "last_use_time"]

_Option: TypeAlias = Callable[[Callable[..., None]], Callable[..., None]]

_TERMS: Sequence[_Option] = (
    click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="One of its labels, for programs."),
    click.option("--network", "networks", multiple=True, help="One of the networks that it can be used from: 192.0.2.0/24."),
    click.option("--audience", "audiences", multiple=True, help="One of the services that it is limited to: devices."),
    click.option("--calls-per-minute", type=click.IntRange(min=0), help="At each enforcement point; 0: no limit."),
    click.option("--open-streams", type=click.IntRange(min=0), help="At each enforcement point; 0: no limit."),
)
_CHANGED_TERMS: Sequence[_Option] = (
    click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Set this label; the others stay."),
    click.option("--no-label", "gone_labels", multiple=True, metavar="NAME", help="Take this label off; the others stay."),
    click.option(
        "--network",
        "networks",
        multiple=True,
        help="One of the networks that it can be used from: 192.0.2.0/24; replaces the whole list.",
    ),
    click.option("--from-everywhere", is_flag=True, help="It can be used from every network: empties that list."),
    click.option(
        "--audience",
        "audiences",
        multiple=True,
        help="One of the services that it is limited to: devices; replaces the whole list.",
    ),
    click.option("--for-every-service", is_flag=True, help="It is limited to no audience: empties that list."),
    click.option(
        "--calls-per-minute",
        type=click.IntRange(min=0),
        help="At each enforcement point; 0: no limit any more. The limit of open streams stays.",
    ),
    click.option(
        "--open-streams",
        type=click.IntRange(min=0),
        help="At each enforcement point; 0: no limit any more. The limit of calls stays.",
    ),
)
_LIMITS = ("calls_per_minute", "open_streams")


def _options(options: Sequence[_Option]) -> _Option:
    """All of them on one command, shown in their order."""

    def add(command: Callable[..., None]) -> Callable[..., None]:
        for option in reversed(options):
            command = option(command)
        return command

    return add


def _terms_of(given: Mapping[str, Any]) -> dict[str, Any]:
    """What the options say of a key's fields."""
    limits = {name: given[name] for name in _LIMITS if given[name] is not None}
    return {
        "labels": _labels_of(given["labels"]),
        "allowed_networks": given["networks"],
        "audiences": given["audiences"],
        "quota": keys_pb2.Key.Quota(**limits) if limits else None,
    }


def _labels_of(texts: Sequence[str]) -> dict[str, str]:
    pairs = [text.partition("=") for text in texts]
    if not all(name and equals for name, equals, _ in pairs):
        raise click.UsageError("a label is NAME=VALUE")
    return {name: value for name, _, value in pairs}


def _changed_terms(given: Mapping[str, Any]) -> Iterator[str]:
    """The paths of what the options change of a key."""
    for option, other, emptied, path in (
        ("networks", "--network", "from_everywhere", "allowed_networks"),
        ("audiences", "--audience", "for_every_service", "audiences"),
    ):
        if given[option] and given[emptied]:
            raise click.UsageError(f"{other} and --{emptied.replace('_', '-')} exclude each other")
        if given[option] or given[emptied]:
            yield path
    labels = _labels_of(given["labels"])
    for name in given["gone_labels"]:
        if name in labels:
            raise click.UsageError(f"--label {name}=... and --no-label {name} exclude each other")
    yield from (f"labels.{name}" for name in (*labels, *given["gone_labels"]))
    yield from (f"quota.{name}" for name in _LIMITS if given[name] is not None)


@click.group(cls=Group)
def keys() -> None:
    """A partner's API keys.

    With a token of that partner's administrator.
    """


@keys.command()
@authority_call
@click.argument("partner", type=PARTNER)
@click.option("--kind", type=_KIND, required=True, help="Which customers it covers. Fixed for the key's life.")
@click.option("--customer", "customers", type=CUSTOMER, multiple=True, help="For --kind specific-customers: one of them.")
@click.option("--display-name", default="", help="For people.")
@click.option("--expire-time", type=TIME, help="When it ends by itself: RFC 3339, or from now (+30d). Never, if left out.")
@_options(_TERMS)
@request_id
@click.option("--quiet", "-q", is_flag=True, help="Print the secret and nothing else.")
def create(
    call: Call,
    *,
    partner: str,
    kind: keys_pb2.Key.Kind.ValueType,
    customers: tuple[str, ...],
    display_name: str,
    expire_time: Timestamp | None,
    request_id: str,
    quiet: bool,
    **terms: Any,
) -> None:
    """Issue a key. Its secret is printed, alone on standard output, and can never be shown again."""
    key = keys_pb2.Key(kind=kind, customers=customers, display_name=display_name, expire_time=expire_time, **_terms_of(terms))
    answer = call.ask(
        KeyServiceStub(call.channel).CreateKey, keys_pb2.CreateKeyRequest(parent=partner, key=key, request_id=request_id)
    )
    call.answers.secret(answer, answer.key, answer.secret, quiet=quiet)


@keys.command()
@authority_call
@click.argument("key", type=KEY)
def get(call: Call, key: str) -> None:
    """Show one key, never its secret."""
    call.answers.show(call.ask(KeyServiceStub(call.channel).GetKey, keys_pb2.GetKeyRequest(name=key)), "key")


@keys.command("list")
@authority_call
@click.argument("partner", type=PARTNER)
@click.option("--all", "show_invalid", is_flag=True, help="Also those that are disabled or past their end.")
def list_(call: Call, partner: str, show_invalid: bool) -> None:
    """List the partner's valid keys."""
    request = keys_pb2.ListKeysRequest(parent=partner, show_invalid=show_invalid)
    call.answers.table(call.ask_all(KeyServiceStub(call.channel).ListKeys, request), "keys", _COLUMNS)


@keys.command()
@authority_call
@click.argument("key", type=KEY)
@click.option("--display-name", help="For people.")
@click.option("--expire-time", type=TIME, help="When it ends by itself: RFC 3339, or from now (+30d).")
@click.option("--no-expire-time", is_flag=True, help="It does not end by itself.")
@click.option("--customer", "customers", type=CUSTOMER, multiple=True, help="One of its customers; replaces the whole list.")
@_options(_CHANGED_TERMS)
@click.option("--etag", default="", help="Refuse the change if the key is not as it was when this was read.")
def update(
    call: Call,
    *,
    key: str,
    display_name: str | None,
    expire_time: Timestamp | None,
    no_expire_time: bool,
    customers: tuple[str, ...],
    etag: str,
    **terms: Any,
) -> None:
    """Change a key. What is not named stays as it is.

    --customer, --network and --audience are given once for each that is to be on the list, and replace all that was on it.
    Labels and limits are changed one by one.
    """
    if no_expire_time and expire_time is not None:
        raise click.UsageError("--expire-time and --no-expire-time exclude each other")
    named = {
        "display_name": display_name is not None,
        "expire_time": expire_time is not None or no_expire_time,
        "customers": bool(customers),
    }
    mask = FieldMask(paths=[*(path for path, given in named.items() if given), *_changed_terms(terms)])
    if not mask.paths:
        raise click.UsageError(
            "nothing to change: give --display-name, --expire-time, --customer or another option of what is to be"
        )
    changed = keys_pb2.Key(
        name=key,
        etag=etag,
        display_name=display_name or "",
        expire_time=expire_time,
        customers=customers,
        **_terms_of(terms),
    )
    answer = call.ask(KeyServiceStub(call.channel).UpdateKey, keys_pb2.UpdateKeyRequest(key=changed, update_mask=mask))
    call.answers.show(answer, "key")


@keys.command("add-customers")
@authority_call
@click.argument("key", type=KEY)
@click.argument("customers", type=CUSTOMER, nargs=-1, required=True)
@click.option("--etag", default="", help="Refuse the change if the key is not as it was when this was read.")
@request_id
def add_customers(call: Call, *, key: str, customers: tuple[str, ...], etag: str, request_id: str) -> None:
    """Put customers on a key's list, and leave the others there."""
    request = keys_pb2.AddKeyCustomersRequest(name=key, customers=customers, etag=etag, request_id=request_id)
    call.answers.show(call.ask(KeyServiceStub(call.channel).AddKeyCustomers, request), "key")


@keys.command("remove-customers")
@authority_call
@click.argument("key", type=KEY)
@click.argument("customers", type=CUSTOMER, nargs=-1, required=True)
@click.option("--etag", default="", help="Refuse the change if the key is not as it was when this was read.")
@request_id
def remove_customers(call: Call, *, key: str, customers: tuple[str, ...], etag: str, request_id: str) -> None:
    """Take customers off a key's list."""
    request = keys_pb2.RemoveKeyCustomersRequest(name=key, customers=customers, etag=etag, request_id=request_id)
    call.answers.show(call.ask(KeyServiceStub(call.channel).RemoveKeyCustomers, request), "key")


@keys.command()
@authority_call
@click.argument("key", type=KEY)
def disable(call: Call, key: str) -> None:
    """Suspend a key."""
    answer = call.ask(KeyServiceStub(call.channel).DisableKey, keys_pb2.DisableKeyRequest(name=key))
    call.answers.show(answer, "key")


@keys.command()
@authority_call
@click.argument("key", type=KEY)
def enable(call: Call, key: str) -> None:
    """End a suspension."""
    answer = call.ask(KeyServiceStub(call.channel).EnableKey, keys_pb2.EnableKeyRequest(name=key))
    call.answers.show(answer, "key")


@keys.command()
@authority_call
@click.argument("key", type=KEY)
@final("This ends the key for good, and all streams that were opened with it")
def delete(call: Call, key: str) -> None:
    """End a key for good, and the streams that were opened with it."""
    answer = call.ask(KeyServiceStub(call.channel).DeleteKey, keys_pb2.DeleteKeyRequest(name=key))
    call.answers.show(answer)


@keys.command()
@authority_call
@click.argument("key", type=KEY)
@click.option("--overlap", type=SPAN, default="0s", show_default=True, help="How long the former secret goes on: 0 to 30d.")
@click.option("--etag", default="", help="Refuse the rotation if the key is not as it was when this was read.")
@request_id
@click.option("--quiet", "-q", is_flag=True, help="Print the secret and nothing else.")
def rotate(call: Call, *, key: str, overlap: int, etag: str, request_id: str, quiet: bool) -> None:
    """Give a key a new secret.

    It is printed, alone on standard output, and can never be shown again. The key keeps its name, kind, list and history.
    """
    request = keys_pb2.RotateKeyRequest(name=key, etag=etag, overlap=to_duration(overlap), request_id=request_id)
    answer = call.ask(KeyServiceStub(call.channel).RotateKey, request)
    call.answers.secret(answer, answer.key, answer.secret, quiet=quiet, verb="has a new secret")


@keys.command("revoke-secret")
@authority_call
@final("This kills the secret that it is called with, for good")
def revoke_secret(call: Call) -> None:
    """Kill the secret that this is called with.

    Of a key or a token, found or stolen: whoever holds it may end it, for good. Its key's other secret goes on.
    """
    answer = call.ask(KeyServiceStub(call.channel).RevokeSecret, keys_pb2.RevokeSecretRequest())
    call.answers.show(answer)


@keys.command()
@authority_call
@click.argument("partner", type=PARTNER)
@click.option("--end", is_flag=True, help="Give the demo customer back.")
def rehearse(call: Call, partner: str, end: bool) -> None:
    """Withdraw the demo customer from the partner's demo keys.

    To see what a real customer's withdrawal does to a program, on made-up data. --end gives it back.
    """
    request = keys_pb2.SetRehearsalRequest(partner=partner, rehearsing=not end)
    call.answers.show(call.ask(KeyServiceStub(call.channel).SetRehearsal, request))

"""Names, pages, bearer credentials, revisions, identity, errors: the small parts that everything stands on."""

import itertools
import re
import secrets
from urllib.parse import quote

import grpc
import pytest
from google.rpc import error_details_pb2
from hypothesis import given
from hypothesis import strategies as st

from consentry_core.callers.identity import Identity, IdentityMemory
from consentry_core.process.settings import SettingError, refuse_unknown
from consentry_core.protocol.follow import Revision
from consentry_core.rpc.bearer import bearer_secret
from consentry_core.rpc.errors import STATUS_OF, to_status
from consentry_core.values import errors, names
from consentry_core.values.encoding import base64url, from_base64url
from consentry_core.values.paging import PageTokens, page_size
from consentry_rule import Deny, Reason

PATTERNS = [value for value in vars(names).values() if isinstance(value, names.NamePattern)]


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.pattern)
def test_a_name_is_read_back_as_it_was_written(pattern: names.NamePattern) -> None:
    ids = tuple(f"abc{number}" for number in range(pattern.pattern.count("{")))
    assert pattern.parse(pattern.format(*ids), "name") == ids


BAD = ["", "x", "partners/", "partners/A", "partners/ab", "partners/-abc", "partners/abc-", "partners/abc/", "partners/abc\n",
       "customers/abc/devices/", "customers/abc/devices/-", "customers/abc/devices/a/b", "tokens/" + 64 * "a",
       "partners/" + 41 * "a", "customers/äbc", "customers/abc/devices/a b", "customers/abc/devices/../x"]  # fmt: skip


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.pattern)
def test_anything_else_is_refused_and_the_field_is_named(pattern: names.NamePattern, name: str) -> None:
    with pytest.raises(errors.InvalidArgument) as caught:
        pattern.parse(name, "request.name")
    assert caught.value.violations[0].field == "request.name"


@pytest.mark.parametrize(("asked", "given"), [(0, 100), (1, 1), (1000, 1000), (1001, 1000), (2**31 - 1, 1000)])
def test_page_sizes_are_coerced(asked: int, given: int) -> None:
    assert page_size(asked) == given


def test_a_page_size_below_zero_is_refused() -> None:
    with pytest.raises(errors.InvalidArgument, match="page_size"):
        page_size(-1)


def test_page_tokens_open_only_for_their_question() -> None:
    tokens = PageTokens(secrets.token_bytes(32))
    token = tokens.make("ListKeys acme", "k1")
    assert tokens.read("ListKeys acme", token) == "k1"
    assert tokens.read("ListKeys acme", "") == ""
    for question, foreign in [
        ("ListKeys other", token),
        ("ListKeys acme", token[:-1]),
        ("ListKeys acme", "AAAA" + token[4:]),
        ("ListKeys acme", "not base64!"),
        ("ListKeys acme", PageTokens(secrets.token_bytes(32)).make("ListKeys acme", "k1")),
    ]:
        with pytest.raises(errors.InvalidArgument, match="page_token"):
            tokens.read(question, foreign)


@given(st.binary())
def test_base64url_is_read_back(data: bytes) -> None:
    assert from_base64url(base64url(data)) == data


@given(st.text())
def test_base64url_has_one_form(text: str) -> None:
    """Two texts never mean the same bytes: a cursor or token that was tampered with is never taken for another."""
    data = from_base64url(text)
    assert data is None or base64url(data) == text


@pytest.mark.parametrize("value", ["Bearer s3cret", "bearer s3cret", "BEARER  s3cret "])
def test_a_bearer_credential_in_any_case(value: str) -> None:
    assert bearer_secret([("x", "y"), ("authorization", value)]) == "s3cret"


@pytest.mark.parametrize(
    "metadata",
    [
        [],
        [("authorization", "Bearer a"), ("authorization", "Bearer a")],
        [("authorization", "Basic abc")],
        [("authorization", "s3cret")],
        [("authorization", "Bearer ")],
        [("authorization", "Bearer " + 201 * "a")],
        [("authorization", "Bearer ä")],
        [("authorization", b"Bearer a")],
    ],
)
def test_any_other_credential_is_refused_without_being_repeated(metadata: list[tuple[str, str | bytes]]) -> None:
    with pytest.raises(errors.Unauthenticated) as caught:
        bearer_secret(metadata)
    assert "s3cret" not in str(caught.value)


def test_revisions_have_a_text_form() -> None:
    revision = Revision("k3v9", 12)
    assert Revision.parse(str(revision), "revision") == revision
    for text in ("", "12", "k3v9.", ".12", "k3v9.x", "k3v9.-1", "k3v9." + 30 * "9"):
        with pytest.raises(errors.InvalidArgument, match="after_revision"):
            Revision.parse(text, "after_revision")


def test_identity_is_remembered_without_the_secret_and_within_bounds() -> None:
    memory = IdentityMemory(secrets.token_bytes, capacity=2)
    identities = {f"secret-{n}": Identity(f"tokens/t{n}", f"s{n}") for n in range(3)}
    memory.remember("secret-0", identities["secret-0"])
    memory.remember("secret-1", identities["secret-1"])
    assert memory.recall("secret-0") == identities["secret-0"]
    memory.remember("secret-2", identities["secret-2"])
    assert memory.recall("secret-1") is None, "the one not used for longest goes"
    assert memory.recall("secret-0") == identities["secret-0"]
    assert memory.recall("secret-9") is None
    assert not any(b"secret-" in mark for mark in memory._identities)


def subclasses(error: type[errors.ConsentryError]) -> set[type[errors.ConsentryError]]:
    return {error}.union(*(subclasses(child) for child in error.__subclasses__()))


def test_every_error_has_a_status_and_each_its_own() -> None:
    leaves = {error for error in subclasses(errors.ConsentryError) if not error.__subclasses__()}
    assert set(STATUS_OF) == leaves
    assert len(set(STATUS_OF.values())) == len(STATUS_OF)


def test_every_denial_has_an_error_that_says_what_to_do() -> None:
    for reason, may_know in itertools.product(Reason, (True, False)):
        error = errors.denied(Deny(reason), subject="customers/north", may_know=may_know)
        expected = grpc.StatusCode.PERMISSION_DENIED
        if reason in {Reason.KEY_DELETED, Reason.KEY_EXPIRED}:
            expected = grpc.StatusCode.UNAUTHENTICATED
        assert STATUS_OF[type(error)] is expected
        assert len(error.message) > 20


def test_one_who_may_not_know_is_always_told_the_same() -> None:
    told = {
        (error.reason, error.message)
        for reason in set(Reason) - {Reason.KEY_DELETED, Reason.KEY_EXPIRED}
        for error in [errors.denied(Deny(reason), may_know=False)]
    }
    assert len(told) == 1


def test_a_status_stays_small_enough_to_arrive() -> None:
    """Headers have room for a few kilobytes: a detail that does not fit is left out, the ErrorInfo is there."""
    many = [errors.Violation(f"customers/{n}", 200 * "x") for n in range(100)]
    status = to_status(errors.FailedPrecondition("no", violations=many))
    assert status.ByteSize() < 8192
    assert status.details[0].Is(error_details_pb2.ErrorInfo.DESCRIPTOR)


@pytest.mark.parametrize("pattern", PATTERNS, ids=lambda pattern: pattern.pattern)
def test_an_id_that_is_too_long_is_told_its_rule(pattern: names.NamePattern) -> None:
    """Whichever id of the name it is: what it must be, how long it is, and that it is that one."""
    kinds = re.findall(r"{(\w+)}", pattern.pattern)
    for place, kind in enumerate(kinds):
        longest = 40 if kind in {"partner", "customer"} else 63
        ids = ["abc"] * len(kinds)
        ids[place] = "a" * longest
        pattern.parse(pattern.format(*ids), "name")
        ids[place] += "a"
        with pytest.raises(errors.InvalidArgument) as refused:
            pattern.parse(pattern.format(*ids), "name")
        told = refused.value.violations[0].description
        assert f"the {kind}'s id must be" in told
        assert f"to {longest} of a-z" in told
        assert f"it has {longest + 1} characters" in told


def test_a_new_id_that_is_too_long_is_told_its_rule() -> None:
    with pytest.raises(errors.InvalidArgument, match=r"hello.gateway: must be 1 to 63 .* it has 64 characters"):
        names.resource_id("a" * 64, "hello.gateway")
    with pytest.raises(errors.InvalidArgument, match=r"partner_id: must be 3 to 40 .* it has 41 characters"):
        names.organization_id("a" * 41, "partner_id")


def test_unknown_settings_are_refused_without_their_values() -> None:
    environment = {"CONSENTRY_LISTEM": "s3cret", "CONSENTRY_LISTEN": "x", "PATH": "y"}
    with pytest.raises(SettingError, match="CONSENTRY_LISTEM") as caught:
        refuse_unknown({"CONSENTRY_LISTEN"}, environment)
    assert "s3cret" not in str(caught.value)
    assert "did you mean CONSENTRY_LISTEN?" in str(caught.value)
    refuse_unknown({"CONSENTRY_LISTEN", "CONSENTRY_LISTEM"}, environment)
    with pytest.raises(SettingError) as caught:
        refuse_unknown({"CONSENTRY_LISTEN"}, {"CONSENTRY_XYZ": ""})
    assert "did you mean" not in str(caught.value)


def _links(service: str, port: int = 7401, address: str = "10.96.0.17", protocol: str = "tcp") -> dict[str, str]:
    """What Kubernetes sets for a service with one port, in every pod beside it."""
    url, of_port = f"{protocol}://{address}:{port}", f"{service}_PORT_{port}_{protocol.upper()}"
    return {
        f"{service}_SERVICE_HOST": address, f"{service}_SERVICE_PORT": str(port), f"{service}_SERVICE_PORT_GRPC": str(port),
        f"{service}_PORT": url, of_port: url, f"{of_port}_PROTO": protocol, f"{of_port}_PORT": str(port),
        f"{of_port}_ADDR": address,
    }  # fmt: skip


def test_kubernetes_links_to_services_are_passed_over_whatever_the_service_is_called() -> None:
    for service in ("CONSENTRY", "CONSENTRY_AUTHORITY", "CONSENTRY_DEVICES", "CONSENTRY_DEVICES_MUTUAL_2"):
        for links in (_links(service), _links(service, 53, "fd00::1", "udp"), _links(service, address="[fd00::1]")):
            environment = {
                name: value.strip("[]") if name.endswith(("_HOST", "_ADDR")) else value for name, value in links.items()
            }
            assert refuse_unknown({"CONSENTRY_AUTHORITY"}, environment) == environment.keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("CONSENTRY_AUTHORITY_PORT", "7401"),
        ("CONSENTRY_AUTHORITY_PORT", "http://10.96.0.17:7401"),
        ("CONSENTRY_AUTHORITY_SERVICE_HOST", "authority"),
        ("CONSENTRY_AUTHORITY_SERVICE_PORT", "grpc"),
        ("CONSENTRY_AUTHORITY_PORT_7401", "tcp://10.96.0.17:7401"),
        ("CONSENTRY_AUTHORITY_PORT_7401_TCP_PROTO", "7401"),
        ("CONSENTRY_AUTHORITY_LISTEN_", "10.96.0.17"),
    ],
)
def test_what_only_looks_like_a_link_is_a_setting_that_nobody_knows(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=f"unknown setting {name}"):
        refuse_unknown({"CONSENTRY_AUTHORITY_LISTEN"}, {name: value})


@pytest.mark.parametrize("text", ["x", "%", "ü", "\N{SNOWMAN}", "\N{OLD PERSIAN NUMBER HUNDRED}"])
def test_a_status_leaves_room_in_the_headers_whatever_its_message_is_made_of(text: str) -> None:
    """Headers have room for 8 kB: the message in per cent encoding, and the details in base64."""
    for length in (10, 300, 900, 100_000):
        status = to_status(errors.NotFound(text * length))
        sent = quote(status.message, safe=" .") if text != "x" else status.message
        assert len(sent) <= 1_000
        assert status.details, "and the reason is among the details"
        assert text * 10 in status.message
        assert len(status.SerializeToString()) * 4 / 3 + len(sent) < 7_500

"""The console without scripts: every form as a plain browser sends it, and what no other site and no other person can send."""

import hashlib
import re
import tomllib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

import consentry_console
from consentry.authority.v1 import (
    consent_pb2,
    coverage_pb2,
    data_class_pb2,
    directory_pb2,
    enforcement_pb2,
    keys_pb2,
    tokens_pb2,
)
from consentry_console.web.texts import languages
from consentry_core.rpc.client.channels import bearer
from consentry_rule.rule import Reason
from support.console import ServedConsole, Visitor, hidden_fields, pair_with_people, running_console
from support.pair import Pair

PAGES = {
    "customer-admin": ["/subscriptions", "/history", "/readers"],
    "partner-admin": ["/api", "/api/new", "/customers", "/api/secret/none"],
    "operator": ["/directory", "/enforcement"],
}


@dataclass
class House:
    """A console, the pair behind it, and tokens by role."""

    console: ServedConsole
    pair: Pair
    tokens: dict[str, str] = field(repr=False)

    async def visitor(self, role: str, **headers: str) -> Visitor:
        """Somebody who has signed in."""
        visitor = Visitor(self.console, **headers)
        answer = await visitor.sign_in(self.tokens[role])
        assert answer.status_code == 200, answer.text
        return visitor


async def covered(house: House, secret: str) -> list[str]:
    """What a key covers now."""
    authority = house.pair.authority
    answer = await authority.coverage.ListCoveredCustomers(coverage_pb2.ListCoveredCustomersRequest(), metadata=bearer(secret))
    return [each.name for each in answer.customers]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[House]:
    async with pair_with_people(tmp_path) as pair, running_console(pair) as console:
        tokens = {
            "operator": pair.authority.operator,
            "partner-admin": await pair.authority.admin("partners/acme"),
            "customer-admin": await pair.authority.admin("customers/north"),
        }
        yield House(console, pair, tokens)


async def test_consent_is_taken_back_and_the_receipt_fills(house: House) -> None:
    north = await house.visitor("customer-admin")
    page = await north.get("/subscriptions")
    assert 'name="allow" checked' in page.text
    asked = await north.post("/subscriptions/acme", page="/subscriptions", purpose="")
    assert "Take the permission back from acme?" in asked.text
    key = await house.pair.authority.key("acme")
    sure = hidden_fields(asked.text, "/subscriptions/acme")
    receipt = await north.client.post("/subscriptions/acme", data=sure, headers={"Origin": north.base}, follow_redirects=True)
    assert receipt.url.path.startswith("/receipts/")
    while "Pending" in receipt.text:
        assert '<noscript><meta http-equiv="refresh" content="1"></noscript>' in receipt.text
        receipt = await north.get(receipt.url.path)
    assert "Enforced" in receipt.text
    assert await covered(house, key.secret) == []
    assert "Taken back" in (await north.get("/subscriptions")).text
    history = (await north.get("/history")).text
    assert "Access taken back" in history
    assert receipt.url.path in history


async def test_consent_is_given_as_it_was_chosen(house: House) -> None:
    south = Visitor(house.console)
    await south.sign_in(await house.pair.authority.admin("customers/south"))
    answer = await south.post(
        "/subscriptions/acme",
        page="/subscriptions",
        allow="on",
        DATA_CLASS_ALARMS="on",
        purpose="Support <b>",
        ends="2099-12-31",
    )
    assert answer.status_code == 200
    page = await south.get("/subscriptions")
    assert 'value="Support &lt;b&gt;"' in page.text
    assert 'value="2099-12-31"' in page.text
    checked = re.findall(r'name="(DATA_CLASS_\w+)" checked', page.text)
    assert checked == ["DATA_CLASS_ALARMS"]


async def test_a_key_is_made_once_and_its_secret_shown_once(house: House) -> None:
    acme = await house.visitor("partner-admin")
    form = hidden_fields((await acme.get("/api/new")).text, "/api/new")
    fields = form | {"kind": "KIND_ALL_CUSTOMERS", "display_name": "Monitoring"}
    headers = {"Origin": acme.base}
    shown = await acme.client.post("/api/new", data=fields, headers=headers, follow_redirects=True)
    assert shown.headers["cache-control"] == "no-store"
    (secret,) = re.findall(r"ck_all_\w+", shown.text)
    assert secret not in str(shown.url)
    assert await covered(house, secret) == ["customers/north"]
    assert secret not in (await acme.get(shown.url.path)).text
    again = await acme.client.post("/api/new", data=fields, headers=headers, follow_redirects=True)
    assert "cannot be shown again" in again.text
    listed = (await acme.get("/api")).text
    assert listed.count("Monitoring") == 1
    assert secret not in listed


async def test_a_key_is_rotated_disabled_enabled_and_deleted(house: House) -> None:
    acme = await house.visitor("partner-admin")
    key = await house.pair.authority.key("acme", keys_pb2.Key.KIND_DEMO, display_name="Trial")
    page = f"/api/keys/{key.name.rpartition('/')[2]}"
    rotated = await acme.post(f"{page}/rotate", page=page, overlap="0")
    assert re.search(r"ck_demo_\w+", rotated.text)
    assert "Receipt" in (await acme.post(f"{page}/disable", page=page)).text
    assert "Trial" not in (await acme.get("/api")).text
    assert "Trial" in (await acme.get("/api?show=all")).text
    assert "valid" in (await acme.post(f"{page}/enable", page=page)).text
    stale = hidden_fields((await acme.get(page)).text, f"{page}/rotate") | {"etag": "old"}
    refused = await acme.client.post(f"{page}/rotate", data=stale, headers={"Origin": acme.base}, follow_redirects=True)
    assert refused.status_code == 409
    assert "Receipt" in (await acme.post(f"{page}/delete", page=f"{page}?ask=delete")).text
    assert (await acme.get(page)).status_code == 404


async def test_customers_are_listed_with_the_reason_in_words(house: House) -> None:
    page = (await (await house.visitor("partner-admin")).get("/customers")).text
    assert re.search(r"customers/north</td><td>yes", page)
    assert "it has not allowed API access" in page


@pytest.mark.parametrize("role", PAGES)
async def test_every_page_is_for_its_role_only(house: House, role: str) -> None:
    visitor, nobody = await house.visitor(role), Visitor(house.console)
    for owner, pages in PAGES.items():
        for page in pages:
            answer = await visitor.get(page)
            expected = {410} if page == "/api/secret/none" else {200}
            assert answer.status_code in (expected if owner == role else {404}), (role, page)
            turned_away = await nobody.client.get(page)
            assert (turned_away.status_code, turned_away.headers["location"].partition("?")[0]) == (303, "/sign-in")


async def test_another_organisations_key_and_receipt_are_not_there(house: House) -> None:
    await house.pair.authority.partner("rival")
    key = await house.pair.authority.key("rival", keys_pb2.Key.KIND_DEMO)
    acme = await house.visitor("partner-admin")
    assert (await acme.get(f"/api/keys/{key.name.rpartition('/')[2]}")).status_code == 404
    revoked = await house.pair.authority.revoke("north", "acme")
    revision = revoked.enforcement.revision
    assert (await (await house.visitor("customer-admin")).get(f"/receipts/{revision}")).status_code == 200
    assert (await acme.get(f"/receipts/{revision}")).status_code in {403, 404}


# What others may not do


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
    ids=str,
)
async def test_no_other_site_sends_a_form(house: House, headers: dict[str, str]) -> None:
    north = await house.visitor("customer-admin")
    fields = hidden_fields((await north.get("/subscriptions")).text, "/subscriptions/acme") | {"sure": "yes"}
    answer = await north.client.post("/subscriptions/acme", data=fields, headers=headers)
    assert answer.status_code == 403
    assert 'name="allow" checked' in (await north.get("/subscriptions")).text


async def test_a_form_of_another_session_is_refused(house: House) -> None:
    north, other = await house.visitor("customer-admin"), await house.visitor("customer-admin")
    fields = hidden_fields((await other.get("/subscriptions")).text, "/subscriptions/acme") | {"sure": "yes"}
    for stolen in (fields, {"sure": "yes"}, fields | {"form_key": "ü"}):
        answer = await north.client.post("/subscriptions/acme", data=stolen, headers={"Origin": north.base})
        assert answer.status_code == 403


async def test_signing_in_makes_a_new_session_and_signing_out_ends_all_of_it(house: House) -> None:
    visitor = Visitor(house.console)
    visitor.client.cookies.set("consentry", "chosen-by-somebody-else", domain="127.0.0.1")
    await visitor.sign_in(house.tokens["customer-admin"])
    cookie = visitor.client.cookies["consentry"]
    assert cookie != "chosen-by-somebody-else"
    elsewhere = await house.visitor("customer-admin")
    await visitor.post("/sign-out", page="/subscriptions")
    visitor.client.cookies.set("consentry", cookie, domain="127.0.0.1")
    for each in (visitor, elsewhere):
        assert (await each.get("/subscriptions")).url.path == "/sign-in"


async def test_a_session_ends_with_its_token(house: House) -> None:
    token = await house.pair.authority.token(tokens_pb2.Token.ROLE_CUSTOMER_ADMIN, "customers/north")
    visitor = Visitor(house.console)
    await visitor.sign_in(token.secret)
    assert (await visitor.get("/subscriptions")).status_code == 200
    await house.pair.authority.tokens.DeleteToken(
        tokens_pb2.DeleteTokenRequest(name=token.token.name), metadata=bearer(house.pair.authority.operator)
    )
    ended = await visitor.get("/subscriptions")
    assert ended.url.path == "/sign-in"
    assert "session has ended" in ended.text


@pytest.mark.parametrize("token", ["", "nonsense", "ct_made_up", "x" * 5000, "\x1b[2J", "ümlaut"])
async def test_what_is_no_token_signs_nobody_in(house: House, token: str) -> None:
    visitor = Visitor(house.console)
    answer = await visitor.sign_in(token)
    assert answer.status_code == 403
    assert "consentry" not in visitor.client.cookies


async def test_an_api_key_signs_nobody_in(house: House) -> None:
    visitor = Visitor(house.console)
    key = await house.pair.authority.key("acme")
    assert "API keys are for programs" in (await visitor.sign_in(key.secret)).text
    assert "consentry" not in visitor.client.cookies


@pytest.mark.parametrize(
    "wanted",
    ["//evil.example", "https://evil.example", "/\\evil.example", "\\\\evil.example", "/a\r\nX: y", "javascript:alert(1)"],
)
async def test_nobody_is_sent_elsewhere_after_signing_in(house: House, wanted: str) -> None:
    visitor = Visitor(house.console)
    fields = {"token": house.tokens["customer-admin"], "next": wanted}
    answer = await visitor.client.post("/sign-in", data=fields, headers={"Origin": visitor.base})
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


async def test_every_answer_has_the_headers_that_browsers_obey(house: House) -> None:
    visitor = await house.visitor("customer-admin")
    for path in ("/subscriptions", "/sign-in", "/nothing", "/static/console.js", "/link/none", "/livez"):
        headers = (await visitor.client.get(path)).headers
        policy = headers["content-security-policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["cache-control"] == ("public, max-age=3600" if path.startswith("/static") else "no-store")
        assert "server" not in headers


async def test_the_cookie_is_for_this_console_alone(tmp_path: Path) -> None:
    async with pair_with_people(tmp_path) as pair, running_console(pair, plaintext=True) as console:
        token = await pair.authority.admin("customers/north")
        origin = {"Origin": f"https://{console.address}"}
        answer = await Visitor(console).client.post("/sign-in", data={"token": token}, headers=origin)
        cookie = answer.headers["set-cookie"]
        assert cookie.startswith("__Host-consentry=")
        assert {"HttpOnly", "Secure", "SameSite=lax", "Path=/"} <= {part.strip() for part in cookie.split(";")}
        assert token not in cookie
        assert "max-age" in answer.headers["strict-transport-security"]


async def test_whatever_others_wrote_is_text(tmp_path: Path) -> None:
    async with pair_with_people(tmp_path) as pair, running_console(pair) as console:
        hostile = "<script>alert(1)</script>\" onload='x' {{ 7*7 }}"
        await pair.authority.key("acme", keys_pb2.Key.KIND_DEMO, display_name=hostile)
        acme = Visitor(console)
        await acme.sign_in(await pair.authority.admin("partners/acme"))
        page = (await acme.get("/api")).text
        assert "<script>alert" not in page
        assert "onload='x'" not in page
        assert "49" not in re.sub(r"<time.*?</time>", "", page)
        assert "&lt;script&gt;" in page


async def test_a_page_that_is_too_large_is_not_taken(house: House) -> None:
    north = await house.visitor("customer-admin")
    fields = hidden_fields((await north.get("/subscriptions")).text, "/subscriptions/acme") | {"purpose": "x" * 2_000_000}
    try:
        answer = await north.client.post("/subscriptions/acme", data=fields, headers={"Origin": north.base})
    except httpx.HTTPError:
        return
    assert answer.status_code >= 400


async def test_an_authority_that_is_away_is_told_and_the_session_stays(tmp_path: Path) -> None:
    async with pair_with_people(tmp_path) as pair, running_console(pair) as console:
        visitor = Visitor(console)
        await visitor.sign_in(await pair.authority.admin("customers/north"))
        await pair.authority.authority.stop()
        away = await visitor.get("/subscriptions")
        assert away.status_code == 503
        assert "away at the moment" in away.text
        assert "Sign out" in away.text


async def test_a_link_counts_once_and_only_when_it_is_meant(tmp_path: Path) -> None:
    async with pair_with_people(tmp_path) as pair:
        links = tmp_path / "links.token"
        links.write_text(f'{{"code": "{await pair.authority.admin("customers/north")}"}}', encoding="utf-8")
        async with running_console(pair, links_file=links) as console:
            assert not links.exists()
            visitor, late = Visitor(console), Visitor(console)
            assert "signs you in" in (await visitor.get("/link/code")).text
            assert "signs you in" in (await visitor.get("/link/code")).text  # opened by a program that looks at links
            answer = await visitor.client.post("/link/code", headers={"Origin": visitor.base}, follow_redirects=True)
            assert answer.url.path == "/subscriptions"
            assert (await late.get("/link/code")).status_code == 404
            refused = await late.client.post("/link/code", headers={"Origin": late.base})
            assert refused.status_code == 403


# Texts


def test_every_language_says_the_same_things() -> None:
    first, *others = languages().values()
    for other in others:
        assert set(first._texts) == set(other._texts)


def test_there_is_a_text_for_every_value_that_a_page_shows() -> None:
    enums = {
        "subscriptions.state": consent_pb2.Consent.State,
        "event": consent_pb2.ConsentEvent.Kind,
        "receipt.state_of": enforcement_pb2.EnforcementPointReceipt.State,
        "api.state_of": keys_pb2.Key.State,
        "kind": keys_pb2.Key.Kind,
        "plan": directory_pb2.Subscription.Plan,
        "plan_state": directory_pb2.Subscription.State,
    }
    wanted = {f"{prefix}.{name}" for prefix, enum in enums.items() for name in enum.keys()}  # noqa: SIM118 - no mapping
    wanted |= {f"classes.{name}" for name in data_class_pb2.DataClass.keys()[1:]}
    connection = ("NOT_CONNECTED", "SUBSCRIPTION_", "CONSENT_")
    wanted |= {f"reason.{reason.value}" for reason in Reason if reason.value.startswith(connection)}
    for texts in languages().values():
        assert not {name for name in wanted if not texts.has(name)}


def test_texts_that_templates_name_are_there() -> None:
    folder = Path(consentry_console.__file__).parent
    named = {
        name
        for file in (folder / "templates").glob("*.html")
        for name in re.findall(r't\("([a-z_]+\.[a-z_.]+[a-z_])"[,)]', file.read_text(encoding="utf-8"))
    }
    assert len(named) > 80
    assert not {name for name in named if not languages()["en"].has(name)}


def test_what_is_vendored_is_what_its_licence_file_says() -> None:
    folder = Path(consentry_console.__file__).parent / "static"
    vendored = tomllib.loads((folder / "vendored.toml").read_text(encoding="utf-8"))
    assert set(vendored) == {"htmx.min.js", "htmx-sse.min.js"}
    for name, said in vendored.items():
        assert hashlib.sha256((folder / name).read_bytes()).hexdigest() == said["sha256"]
        assert (folder / said["license"]).is_file()

"""Credentials that let nobody in, at every method of both services, and good ones of the wrong kind."""

import base64
import secrets
from collections.abc import Mapping

import grpc

from consentry.authority.v1 import keys_pb2, tokens_pb2
from consentry_authority.secrets.format import KEY_PREFIXES, TOKEN_PREFIX, ChecksumKeys
from consentry_authority.setup.first_start import read_checksum_keys
from consentry_core.callers.policy import Caller
from consentry_core.rpc.client.channels import bearer
from consentry_rule import KeyKind
from support.authority import settings_of
from support.calls import METHODS, POLICIES, Metadata, short
from support.requests import good
from support.world import World

UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")
_TO_RFC4648 = str.maketrans("0123456789abcdefghjkmnpqrstvwxyz", "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567")


def made_here(world: World, prefix: str, public_id: str = "") -> str:
    """A secret with a good checksum; with a public id that is known, its random part is still another."""
    known = base64.b32decode(public_id.translate(_TO_RFC4648)) if public_id else secrets.token_bytes(10)
    keys = read_checksum_keys(settings_of(world.pair.authority.folder))
    return keys.make(prefix, lambda size: known if size == len(known) else secrets.token_bytes(size)).text


async def deleted(world: World) -> tuple[str, str]:
    """A key and a token that let their holders in a moment ago."""
    authority = world.pair.authority
    key = await authority.key("acme")
    token = await authority.token(tokens_pb2.Token.ROLE_OPERATOR)
    world.secrets |= {"deleted key": key.secret, "deleted token": token.secret}
    for service in ("authority.v1.CoverageService/ListCoveredCustomers", "devices.v1.InventoryService/ListDevices"):
        path = f"/consentry.{service}"
        assert (await world.call(path, good(world, path), bearer(key.secret))).refusal is None
    delete_key, delete_token = keys_pb2.DeleteKeyRequest(name=key.name), tokens_pb2.DeleteTokenRequest(name=token.token.name)
    await authority.keys.DeleteKey(delete_key, metadata=bearer(world.secrets["admin of acme"]))
    await authority.tokens.DeleteToken(delete_token, metadata=bearer(world.secrets["operator"]))
    return key.secret, token.secret


async def not_valid(world: World) -> Mapping[str, Metadata]:
    """Credentials that must all get the one answer."""
    operator, key = world.secrets["operator"], world.secrets["all key"]
    forger = ChecksumKeys([b"x" * 32])
    all_prefix = KEY_PREFIXES[KeyKind.ALL_CUSTOMERS]
    deleted_key, deleted_token = await deleted(world)
    secret_texts = {
        "malformed": "nothing-of-ours",
        "one character other": operator[:-1] + ("0" if operator[-1] != "0" else "1"),
        "one character less": operator[:-1],
        "one character more": f"{operator}0",
        "upper case": operator.upper(),
        "forged": forger.make(TOKEN_PREFIX, secrets.token_bytes).text,
        "an unknown token": made_here(world, TOKEN_PREFIX),
        "an unknown key": made_here(world, all_prefix),
        "the id of a key, another secret": made_here(world, all_prefix, key.removeprefix(all_prefix)[:16]),
        "the id of a key, as a token": made_here(world, TOKEN_PREFIX, key.removeprefix(all_prefix)[:16]),
        "a deleted key": deleted_key,
        "a deleted token": deleted_token,
        "its public beginning": "_".join(key.split("_")[:3]),
        "longer than any of ours": "x" * 1_000,
        "two of them": f"{key} {operator}",
    }
    return {name: bearer(text) for name, text in secret_texts.items()}


async def test_what_is_no_valid_credential_gets_one_answer_at_every_method(world: World) -> None:
    """Malformed, forged, mistyped, unknown and deleted cannot be told apart, nor existing things from others."""
    offered = await not_valid(world)
    with world.nothing_written():
        answers = {
            f"{short(path)}: {name}": (await world.call(path, good(world, path), metadata)).refusal
            for path in METHODS
            for name, metadata in offered.items()
        }
    first = next(iter(answers.values()))
    assert first is not None
    assert (first.code, first.reason) == (UNAUTHENTICATED, "CREDENTIAL_INVALID")
    assert {place: answer for place, answer in answers.items() if answer != first} == {}


async def test_no_credential_or_more_than_one_is_said_so_at_every_method(world: World) -> None:
    good_one = world.secrets["all key"]
    offered: Mapping[str, tuple[Metadata, str, str]] = {
        "none": ((), "CREDENTIAL_MISSING", "authorization: Bearer"),
        "the same twice": (bearer(good_one) * 2, "CREDENTIAL_INVALID", "exactly one"),
        "two good ones": (bearer(good_one) + bearer(world.secrets["operator"]), "CREDENTIAL_INVALID", "exactly one"),
        "a good one and none": ((*bearer(good_one), ("authorization", "")), "CREDENTIAL_INVALID", "exactly one"),
        "empty": ((("authorization", ""),), "CREDENTIAL_INVALID", "Bearer"),
        "no secret": ((("authorization", "Bearer"),), "CREDENTIAL_INVALID", "not valid"),
        "no scheme": ((("authorization", good_one),), "CREDENTIAL_INVALID", "Bearer"),
        "another scheme": ((("authorization", f"Basic {good_one}"),), "CREDENTIAL_INVALID", "Bearer"),
        "another place": ((("x-authorization", f"Bearer {good_one}"),), "CREDENTIAL_MISSING", "authorization: Bearer"),
    }
    wrong = {}
    with world.nothing_written():
        for path in METHODS:
            for name, (metadata, reason, advice) in offered.items():
                answer = await world.call(path, good(world, path), metadata)
                told = answer.refusal
                if told is None or (told.code, told.reason) != (UNAUTHENTICATED, reason) or advice not in told.message:
                    wrong[f"{short(path)}: {name}"] = told
    assert wrong == {}


async def test_a_disabled_key_is_told_that_it_is_at_every_method_for_keys(world: World) -> None:
    await world.pair.authority.keys.DisableKey(
        keys_pb2.DisableKeyRequest(name=world.keys["all key"].name), metadata=bearer(world.secrets["admin of acme"])
    )
    told = {
        short(path): (await world.call(path, good(world, path), secret="all key")).told
        for path, callers in POLICIES.items()
        if Caller.KEY in callers and not path.endswith("/RevokeSecret")  # a suspended secret can be killed all the same
    }
    assert set(told.values()) == {(grpc.StatusCode.PERMISSION_DENIED, "KEY_DISABLED")}, told


async def test_a_credential_of_the_wrong_kind_is_told_which_kind_the_method_takes(world: World) -> None:
    """A key on an administrator's method, a token on a data method, and every other pair, whatever the request says."""
    kinds = {
        "demo key": Caller.KEY, "all key": Caller.KEY, "specific key": Caller.KEY, "operator": Caller.OPERATOR,
        "admin of acme": Caller.PARTNER_ADMIN, "admin of north": Caller.CUSTOMER_ADMIN, "gateway of north": Caller.GATEWAY,
        "service": Caller.SERVICE,
    }  # fmt: skip
    assert set(kinds.values()) == set(Caller)
    wrong = {}
    with world.nothing_written():
        for path, callers in POLICIES.items():
            for name, kind in kinds.items():
                if kind in callers:
                    continue
                for messages in (good(world, path), [b"\xff\xff"]):
                    answer = await world.call(path, messages, secret=name)
                    advice = answer.refusal is not None and all(each.value in answer.refusal.message for each in callers)
                    if answer.told != DENIED or not advice:
                        wrong[f"{short(path)}: {name}"] = answer.refusal
    assert wrong == {}


async def test_the_search_for_secrets_finds_them(world: World) -> None:
    """Which is made after every test of bad input, in the logs, in every error, and in the files of both services."""
    secret = world.secrets["spare key"]
    random_part = secret.split("_")[-2]
    assert world.leaks("") == []
    assert world.leaks(f"whose secret is {secret}?") == ["spare key in the logs"] * 2
    assert world.leaks(f"random={random_part}") == ["spare key in the logs"]
    kept = world.pair.folder / "devices" / "core.dump"
    kept.write_bytes(b"\0" + random_part.encode())
    assert world.leaks("") == ["spare key in core.dump"]
    kept.unlink()

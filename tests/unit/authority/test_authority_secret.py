"""Secrets: one format, told from anything else without a database."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consentry_authority.secrets.format import KEY_PREFIXES, TOKEN_PREFIX, ChecksumKeys
from consentry_core.process.logs import redact

OLD, NEW = b"o" * 32, b"n" * 32
KEYS = ChecksumKeys([NEW])
PREFIXES = [*KEY_PREFIXES.values(), TOKEN_PREFIX]


def counting(count: int) -> bytes:
    return bytes(index * 7 % 256 for index in range(count))


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_secret_is_read_back(prefix: str) -> None:
    secret = KEYS.make(prefix, counting)
    assert KEYS.public_id(secret.text) == secret.id
    assert secret.hint == prefix + secret.id
    assert secret.text.startswith(secret.hint + "_")
    assert len(secret.text) == len(prefix) + 16 + 1 + 52 + 1 + 4 + 16


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_change_of_any_character_is_noticed(prefix: str) -> None:
    text = KEYS.make(prefix, counting).text
    for position, character in enumerate(text):
        for other in ("0", "1", character.upper() if character.isalpha() else "z"):
            if other != character:
                assert KEYS.public_id(text[:position] + other + text[position + 1 :]) is None


@given(st.text(max_size=120))
def test_other_texts_are_none_of_ours(text: str) -> None:
    assert KEYS.public_id(text) is None


def test_a_longer_or_shorter_text_is_none_of_ours() -> None:
    text = KEYS.make(TOKEN_PREFIX, counting).text
    for other in (text[:-1], text + "0", " " + text, text + "\n", text.upper(), text.replace("ct_", "ck_all_")):
        assert KEYS.public_id(other) is None


def test_a_secret_of_another_authority_is_forged_here() -> None:
    assert KEYS.public_id(ChecksumKeys([OLD]).make(TOKEN_PREFIX, counting).text) is None


def test_an_older_checksum_key_still_checks_and_the_newest_makes() -> None:
    both = ChecksumKeys([NEW, OLD])
    assert both.public_id(ChecksumKeys([OLD]).make(TOKEN_PREFIX, counting).text) is not None
    assert KEYS.public_id(both.make(TOKEN_PREFIX, counting).text) is not None


@pytest.mark.parametrize("prefix", PREFIXES)
def test_logs_blot_secrets_out(prefix: str) -> None:
    secret = KEYS.make(prefix, counting)
    lines = json.dumps(f"a purpose\n{secret.text}\t{secret.text} \N{KEY}{secret.text}")  # as the audit log has it
    written = redact(f"before {secret.text} and 'Bearer {secret.text}' and {secret.text!r} and {lines} and KEY_{secret.text}.")
    random_part = secret.text.removeprefix(secret.hint + "_")
    for start in range(len(random_part) - 8):
        assert random_part[start : start + 8] not in written
    assert prefix + secret.id[:4] in written
    for plain in ("direct_memory_some_thing_long", "stack_all_nodes_everywhere"):
        assert redact(plain) == plain


def test_a_new_secret_does_not_show_itself() -> None:
    secret = KEYS.make(TOKEN_PREFIX, counting)
    assert secret.text not in repr(secret)
    assert secret.text not in str(secret)

"""From a secret to whose it is: what it costs, and that it is always the same answer."""

import asyncio
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from consentry_authority.admission.authentication import Authenticator, SecretMaker
from consentry_authority.commands.records import SecretRecord, TokenRecord
from consentry_authority.secrets.format import TOKEN_PREFIX, ChecksumKeys
from consentry_authority.secrets.hashing import Cost, Passwords
from consentry_core.callers.identity import Identity, IdentityMemory
from consentry_core.values.errors import ResourceExhausted, Unauthenticated
from consentry_rule import TokenRole
from support.stores import StoreUnderTest, open_store

CHEAP = Cost(memory_kib=8, time=1)
DEARER = Cost(memory_kib=16, time=1)
CHECKSUM_KEYS = ChecksumKeys([b"k" * 32])


class CountedPasswords(Passwords):
    """Passwords that count how often Argon2 ran."""

    runs = 0
    unusable = 0

    async def verify(self, argon2_hash: str | None, secret: str, *, usable: bool = True) -> bool:
        """See `Passwords.verify`."""
        self.runs += 1
        self.unusable += not usable
        return await super().verify(argon2_hash, secret, usable=usable)


@dataclass
class Bench:
    """An authenticator on a real store with one token in it."""

    kept: StoreUnderTest
    passwords: CountedPasswords = field(default_factory=lambda: CountedPasswords(CHEAP, secrets.token_bytes))
    secret: str = ""
    record: SecretRecord | None = None

    def __post_init__(self) -> None:
        self.id_bytes = secrets.token_bytes(10)  # what a public id is made of
        self.secret, record = SecretMaker(
            CHECKSUM_KEYS,
            self.passwords,
            lambda count: self.id_bytes if count == len(self.id_bytes) else secrets.token_bytes(count),
        ).make_now(TOKEN_PREFIX)
        self.record = record
        self.kept.do(lambda tx: tx.tokens.add(self.token, record))
        self.authenticator = self.fresh(self.passwords)

    @property
    def token(self) -> TokenRecord:
        """The token."""
        return TokenRecord("t1", TokenRole.OPERATOR, "", "", self.kept.clock.now(), "", "")

    def fresh(self, passwords: Passwords) -> Authenticator:
        """An authenticator that remembers nothing."""
        return Authenticator(CHECKSUM_KEYS, IdentityMemory(secrets.token_bytes), self.kept.store, passwords)

    def stored_hash(self) -> str:
        """What stands in the database."""
        assert self.record is not None
        public_id = self.record.id
        found = self.kept.ask(lambda tx: tx.facts.secret(public_id))
        assert found is not None
        return found.argon2_hash or ""


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    with open_store(tmp_path) as kept:
        bench = Bench(kept)
        yield bench
        bench.passwords.close()


async def test_a_secret_proves_its_credential(bench: Bench) -> None:
    assert bench.record is not None
    assert await bench.authenticator.identify(bench.secret) == Identity("tokens/t1", bench.record.id)


async def test_what_was_proved_is_remembered(bench: Bench) -> None:
    await bench.authenticator.identify(bench.secret)
    await bench.authenticator.identify(bench.secret)
    assert bench.passwords.runs == 1


async def test_a_forged_secret_costs_no_argon2(bench: Bench) -> None:
    forged = ChecksumKeys([b"x" * 32]).make(TOKEN_PREFIX, secrets.token_bytes).text
    with pytest.raises(Unauthenticated):
        await bench.authenticator.identify(forged)
    assert bench.passwords.runs == 0


async def test_unknown_and_wrong_cost_the_same_and_get_the_same_answer(bench: Bench) -> None:
    unknown = CHECKSUM_KEYS.make(TOKEN_PREFIX, secrets.token_bytes).text
    # Only a holder of the checksum key can make a secret that is wrong and not forged.
    wrong = CHECKSUM_KEYS.make(TOKEN_PREFIX, secrets.token_bytes)
    another = replace(bench.token, id="t2")
    somebodys = bench.stored_hash()
    bench.kept.do(lambda tx: tx.tokens.add(another, SecretRecord(wrong.id, somebodys, wrong.hint)))
    answers = []
    for secret in (unknown, wrong.text):
        with pytest.raises(Unauthenticated) as refused:
            await bench.authenticator.identify(secret)
        answers.append((refused.value.message, refused.value.reason, dict(refused.value.metadata)))
    assert answers[0] == answers[1]
    assert bench.passwords.runs == 2


async def test_a_deleted_one_costs_no_argon2_and_gets_that_answer_too(bench: Bench) -> None:
    bench.kept.do(lambda tx: tx.tokens.delete(bench.token))
    with pytest.raises(Unauthenticated, match="the credential is not valid"):
        await bench.authenticator.identify(bench.secret)
    assert bench.passwords.runs == 0


async def test_a_hash_of_another_cost_is_replaced_on_use(bench: Bench) -> None:
    before, head = bench.stored_hash(), bench.kept.ask(lambda tx: tx.facts.head())
    dearer = Passwords(DEARER, secrets.token_bytes)
    await bench.fresh(dearer).identify(bench.secret)
    after = bench.stored_hash()
    assert after != before
    assert not dearer.outdated(after)
    assert await dearer.verify(after, bench.secret)
    assert bench.kept.ask(lambda tx: tx.facts.head()) == head, "nobody decides by it, so it is no change"
    dearer.close()


async def test_many_who_send_the_same_wait_for_one_run(bench: Bench) -> None:
    identities = await asyncio.gather(*(bench.authenticator.identify(bench.secret) for _ in range(20)))
    assert len(set(identities)) == 1
    assert bench.passwords.runs == 1


async def test_a_caller_that_goes_does_not_take_the_answer_from_the_others(bench: Bench) -> None:
    first, second = (asyncio.create_task(bench.authenticator.identify(bench.secret)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).credential == "tokens/t1"
    assert bench.passwords.runs == 1


async def test_versions_of_one_credential_are_proved_a_few_at_a_time(bench: Bench) -> None:
    """Of secrets with one public id one is right. Whoever can make the others holds a checksum key."""
    assert bench.record is not None
    the_id = bench.id_bytes
    wrong = [
        CHECKSUM_KEYS.make(TOKEN_PREFIX, lambda count: the_id if count == len(the_id) else secrets.token_bytes(count)).text
        for _ in range(10)
    ]
    assert {CHECKSUM_KEYS.public_id(text) for text in wrong} == {bench.record.id}
    answers = await asyncio.gather(*(bench.authenticator.identify(text) for text in wrong), return_exceptions=True)
    refused = [answer for answer in answers if isinstance(answer, ResourceExhausted)]
    assert len(refused) == 8
    assert all(answer.reason == "VERIFICATION_BUSY" and answer.retry_after > 0 for answer in refused)
    assert bench.passwords.runs == 2
    assert (await bench.authenticator.identify(bench.secret)).credential == "tokens/t1"


async def test_who_could_not_be_let_in_anyway_is_not_in_the_reserved_share(bench: Bench) -> None:
    assert bench.record is not None
    ended = replace(bench.token, id="t2", expire_time=bench.kept.later(1))
    text, record = SecretMaker(CHECKSUM_KEYS, bench.passwords, secrets.token_bytes).make_now(TOKEN_PREFIX)
    bench.kept.do(lambda tx: tx.tokens.add(ended, record))
    bench.kept.clock.advance(2)
    assert (await bench.authenticator.identify(text)).credential == "tokens/t2", "whose it is; the gate says that it has ended"
    with pytest.raises(Unauthenticated):
        await bench.authenticator.identify(CHECKSUM_KEYS.make(TOKEN_PREFIX, secrets.token_bytes).text)
    assert (bench.passwords.runs, bench.passwords.unusable) == (2, 2)
    await bench.authenticator.identify(bench.secret)
    assert (bench.passwords.runs, bench.passwords.unusable) == (3, 2)


class TestFullPool:
    """More callers than the pool has places."""

    async def test_the_next_one_is_told_to_come_back(self) -> None:
        go_on = threading.Event()
        passwords = Passwords(CHEAP, secrets.token_bytes, threads=1, waiting=1)
        kept = passwords.hash_now("secret")
        busy = [asyncio.create_task(passwords._reserved.run(lambda: go_on.wait(10))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ResourceExhausted) as refused:
            await passwords.verify(kept, "secret")
        assert refused.value.reason == "ARGON2_POOL_FULL"
        assert refused.value.retry_after > 0
        go_on.set()
        await asyncio.gather(*busy)
        assert await passwords.verify(await passwords.hash("secret"), "secret")
        passwords.close()

    @pytest.mark.parametrize("making", [False, True])
    async def test_others_and_new_ones_do_not_fill_the_reserved_share(self, making: bool) -> None:
        """An administrator who creates keys as fast as it can keeps nobody out, neither does who tries dead secrets."""
        go_on = threading.Event()
        passwords = Passwords(CHEAP, secrets.token_bytes, threads=1, waiting=4)
        kept = await passwords.hash("secret")
        share = passwords._made if making else passwords._others
        busy = [asyncio.create_task(share.run(lambda: go_on.wait(10))) for _ in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(ResourceExhausted):
            await (passwords.hash("anything") if making else passwords.verify(None, "anything", usable=False))
        assert await passwords.verify(kept, "secret"), "at once, while all the others wait"
        go_on.set()
        await asyncio.gather(*busy)
        passwords.close()

    async def test_a_caller_that_goes_keeps_its_place_until_the_work_is_done(self) -> None:
        go_on = threading.Event()
        passwords = Passwords(CHEAP, secrets.token_bytes, threads=1, waiting=0)
        busy = asyncio.create_task(passwords._reserved.run(lambda: go_on.wait(10)))
        await asyncio.sleep(0)
        busy.cancel()
        with pytest.raises(asyncio.CancelledError):
            await busy
        with pytest.raises(ResourceExhausted):
            await passwords.verify(None, "secret")
        go_on.set()
        passwords.close()


def test_an_empty_hash_is_nobodys() -> None:
    passwords = Passwords(CHEAP, secrets.token_bytes)
    assert not asyncio.run(passwords.verify(None, "anything"))
    passwords.close()


def test_the_default_cost_is_what_owasp_recommends_at_least() -> None:
    assert (Cost().memory_kib, Cost().time, Cost().parallelism) == (19 * 1024, 2, 1)

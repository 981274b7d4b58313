"""The only place where the authority's objects meet."""

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import grpc
from google.protobuf.descriptor import ServiceDescriptor

from consentry.authority.v1 import (
    consent_pb2,
    consent_pb2_grpc,
    coverage_pb2,
    coverage_pb2_grpc,
    directory_pb2,
    directory_pb2_grpc,
    enforcement_pb2,
    enforcement_pb2_grpc,
    keys_pb2,
    keys_pb2_grpc,
    tokens_pb2,
    tokens_pb2_grpc,
)
from consentry_authority.access_log import AccessLog
from consentry_authority.audit_log import check_keys_fit, read_audit_keys
from consentry_authority.auditing import Auditing
from consentry_authority.authentication import Authenticator, SecretMaker
from consentry_authority.change_limits import ChangeLimits
from consentry_authority.coverage_watches import CoverageWatches
from consentry_authority.coverage_work import CoverageWork
from consentry_authority.current import CurrentFacts
from consentry_authority.enforcement.limits import Newcomers
from consentry_authority.enforcement.news import News
from consentry_authority.enforcement.proving import Prover
from consentry_authority.enforcing import Enforcing
from consentry_authority.first_start import initialize, migrate_database, read_checksum_keys, restored, rotate_checksum_key
from consentry_authority.last_uses import LastUses
from consentry_authority.passwords import Passwords
from consentry_authority.retention import Kept, Retention
from consentry_authority.rpc.asking import asking
from consentry_authority.rpc.consents import ConsentServicer
from consentry_authority.rpc.coverage import CoverageServicer
from consentry_authority.rpc.directory import DirectoryServicer
from consentry_authority.rpc.enforcement import EnforcementServicer
from consentry_authority.rpc.gate import AuthorityGate
from consentry_authority.rpc.keys import KeyServicer
from consentry_authority.rpc.policies import POLICIES
from consentry_authority.rpc.quotas import KeyQuotas
from consentry_authority.rpc.receipts import Receipts
from consentry_authority.rpc.tokens import TokenServicer
from consentry_authority.settings import AuthoritySettings
from consentry_authority.signed_in import signed_in
from consentry_authority.storage.opening import check_checksum_keys, hold_head, open_existing, page_token_key
from consentry_authority.storage.store import Store
from consentry_core import logs
from consentry_core.clock import Clock, SystemClock
from consentry_core.database import Database
from consentry_core.encoding import RandomBytes
from consentry_core.folders import FolderLock
from consentry_core.identity import IdentityMemory
from consentry_core.lifecycle import ended, settle
from consentry_core.paging import PageTokens
from consentry_core.probing import probe_writes
from consentry_core.rpc.certificates import RequiredCertificates
from consentry_core.rpc.peers import Peers, trusted_proxies
from consentry_core.rpc.policy import Caller
from consentry_core.rpc.server import AddServicers, RpcServer, announce, connection_limits, serve_admin, until_signalled

__all__ = [
    "Authority",
    "AuthoritySettings",
    "initialize",
    "migrate_database",
    "restored",
    "rotate_checksum_key",
    "run",
    "start",
]

_log = logging.getLogger(__name__)


class Authority:
    """A running authority. `address` is where it serves, `mutual_address` where it asks for certificates, if elsewhere."""

    def __init__(self, address: str, store: Store, closing: contextlib.AsyncExitStack, *, mutual_address: str = "") -> None:
        self.address = address
        self.mutual_address = mutual_address
        self.store = store
        self._closing = closing

    async def stop(self) -> None:
        """Drain, then close what is below."""
        await self._closing.aclose()


async def start(
    settings: AuthoritySettings, *, clock: Clock | None = None, random: RandomBytes = secrets.token_bytes
) -> Authority:
    """Serve. SettingError when the data folder is not ready, another authority uses it, or the address is taken."""
    clock = clock or SystemClock()
    tls = settings.server_tls(settings.listen, settings.admin_listen)
    services = settings.names_of(settings.enforcement_clients, "--enforcement-clients")
    # What is opened later is closed earlier, also when something on the way fails.
    async with contextlib.AsyncExitStack() as opened:
        engine = open_existing(settings.database_file)
        opened.callback(engine.dispose)
        opened.callback(FolderLock(settings.data_dir, "authority.lock", "authority").release)
        checksum_keys, audit_keys = read_checksum_keys(settings), read_audit_keys(settings)
        check_keys_fit(engine, settings, audit_keys)
        passwords = Passwords(settings.cost, random)
        opened.callback(passwords.close)
        database = Database(engine)
        database.write_now(lambda connection: check_checksum_keys(connection, checksum_keys.marks()))
        kept_head = hold_head(engine, settings.database_file)
        opened.callback(kept_head.close)
        limits = ChangeLimits(clock, burst=settings.changes_burst, per_second=settings.changes_per_second)
        store = Store(database, clock, audit_keys, asking=asking, limits=limits, kept_head=kept_head)
        shared_key = page_token_key(engine)
        opened.callback(store.close)
        current, work = CurrentFacts(store), CoverageWork(store)
        newcomers = Newcomers(settings.members_per_token)
        parts = _Parts(
            store=store,
            clock=clock,
            random=random,
            page_tokens=PageTokens(shared_key),
            prover=Prover(shared_key),
            authenticator=Authenticator(checksum_keys, IdentityMemory(random), store, passwords),
            secret_maker=SecretMaker(checksum_keys, passwords, random),
            news=News(),
            enforcing=Enforcing(store, clock, members=settings.members_per_token, newcomers=newcomers),
            access_log=AccessLog(store, clock, audit_keys, kept_days=settings.accesses_kept_days, newcomers=newcomers),
            last_uses=LastUses(store),
            current=current,
            quotas=KeyQuotas(current, clock, streams_per_key=settings.streams_per_key),
            coverage_work=work,
            coverage_watches=CoverageWatches(store, current, work, clock, most_customers=settings.watched_customers),
            most_keys=settings.keys_per_partner,
            most_tokens=settings.tokens_per_organization,
        )
        parts.last_uses.start()
        opened.push_async_callback(parts.last_uses.stop)
        await parts.enforcing.start()
        opened.push_async_callback(parts.enforcing.stop)
        store.on_commit(parts.news.committed)
        store.on_commit(parts.enforcing.committed)
        kept = Kept(settings.receipts_kept_days, settings.history_kept_days, settings.ended_kept_days)
        retention = Retention(store, clock, audit_keys, kept)
        retention.start()
        opened.push_async_callback(retention.stop)
        auditing = Auditing(store, audit_keys, clock)
        auditing.start()
        opened.push_async_callback(auditing.stop)
        served = _served(parts)
        server = RpcServer(
            AuthorityGate(
                authenticator=parts.authenticator,
                current=parts.current,
                policies=POLICIES,
                last_uses=parts.last_uses,
                peers=Peers(trusted_proxies(settings.trusted_proxies)),
                clock=clock,
                auditing=auditing,
                certificates=RequiredCertificates(POLICIES, Caller.SERVICE, services, flag="--enforcement-clients"),
                signed_in=signed_in(settings, clock),
            ),
            [service for service, _ in served],
            partial(_add, served),
            reflection=settings.reflection,
            limits=connection_limits(settings, trusted_proxies(settings.trusted_proxies)),
        )
        opened.push_async_callback(server.stop)
        writing = [service.full_name for service, _ in served if service.name != "CoverageService"]
        tell = partial(server.set_serving, cause="writes", services=writing)
        opened.push_async_callback(ended, asyncio.create_task(probe_writes(database, tell), name="probe-writes"))
        if settings.admin_listen:
            admin = await serve_admin(settings.admin_listen)
            opened.push_async_callback(admin.stop, None)
        address = await server.start(settings.listen, tls=tls, mutual_listen=settings.mutual_listen)
        return Authority(address, store, opened.pop_all(), mutual_address=server.mutual_address)


def run(settings: AuthoritySettings) -> None:
    """Serve until SIGTERM or SIGINT, then drain."""
    logs.configure()
    asyncio.run(_run(settings))


async def _run(settings: AuthoritySettings) -> None:
    authority = await start(settings)
    _log.info("authority serves address=%s", authority.address)
    settle()
    announce(authority.address, settings.ready_file)
    try:
        await until_signalled()
    finally:
        await authority.stop()


@dataclass(frozen=True, kw_only=True)
class _Parts:
    store: Store
    clock: Clock
    random: RandomBytes
    page_tokens: PageTokens
    prover: Prover
    authenticator: Authenticator
    secret_maker: SecretMaker
    news: News
    enforcing: Enforcing
    access_log: AccessLog
    last_uses: LastUses
    current: CurrentFacts
    quotas: KeyQuotas
    coverage_work: CoverageWork
    coverage_watches: CoverageWatches
    most_keys: int
    most_tokens: int


def _served(parts: _Parts) -> Sequence[tuple[ServiceDescriptor, AddServicers]]:
    """Every service with what answers it. A new one is a line here."""
    store, pages, news = parts.store, parts.page_tokens, parts.news
    clock, maker, random = parts.clock, parts.secret_maker, parts.random
    receipts = Receipts(parts.enforcing)
    directory = DirectoryServicer(store, pages, clock, receipts)
    tokens = TokenServicer(
        store=store,
        page_tokens=pages,
        secret_maker=maker,
        random=random,
        receipts=receipts,
        quotas=parts.quotas,
        most=parts.most_tokens,
    )
    consents = ConsentServicer(store, pages, clock, receipts, parts.access_log)
    keys = KeyServicer(
        store=store,
        page_tokens=pages,
        clock=clock,
        secret_maker=maker,
        random=random,
        receipts=receipts,
        most=parts.most_keys,
    )
    coverage = CoverageServicer(
        current=parts.current,
        work=parts.coverage_work,
        watches=parts.coverage_watches,
        page_tokens=pages,
        clock=clock,
        quotas=parts.quotas,
    )
    enforcement = EnforcementServicer(
        store=store,
        page_tokens=pages,
        authenticator=parts.authenticator,
        news=news,
        enforcing=parts.enforcing,
        access_log=parts.access_log,
        current=parts.current,
        last_uses=parts.last_uses,
        clock=clock,
        prover=parts.prover,
        random=random,
    )
    return (
        (
            directory_pb2.DESCRIPTOR.services_by_name["DirectoryService"],
            partial(directory_pb2_grpc.add_DirectoryServiceServicer_to_server, directory),
        ),
        (
            tokens_pb2.DESCRIPTOR.services_by_name["TokenService"],
            partial(tokens_pb2_grpc.add_TokenServiceServicer_to_server, tokens),
        ),
        (
            consent_pb2.DESCRIPTOR.services_by_name["ConsentService"],
            partial(consent_pb2_grpc.add_ConsentServiceServicer_to_server, consents),
        ),
        (
            keys_pb2.DESCRIPTOR.services_by_name["KeyService"],
            partial(keys_pb2_grpc.add_KeyServiceServicer_to_server, keys),
        ),
        (
            coverage_pb2.DESCRIPTOR.services_by_name["CoverageService"],
            partial(coverage_pb2_grpc.add_CoverageServiceServicer_to_server, coverage),
        ),
        (
            enforcement_pb2.DESCRIPTOR.services_by_name["EnforcementService"],
            partial(enforcement_pb2_grpc.add_EnforcementServiceServicer_to_server, enforcement),
        ),
    )


def _add(served: Sequence[tuple[ServiceDescriptor, AddServicers]], server: grpc.aio.Server) -> None:
    for _, add in served:
        add(server)

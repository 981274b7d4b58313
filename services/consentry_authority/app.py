"""The only place where the authority's objects meet."""

import asyncio
import contextlib
import logging
import secrets
from functools import partial

import grpc

from consentry_authority.access_log.log import AccessLog
from consentry_authority.admission.asking import asking
from consentry_authority.admission.authentication import Authenticator, SecretMaker
from consentry_authority.admission.current import CurrentFacts
from consentry_authority.admission.gate import AuthorityGate, Reporting, Transport
from consentry_authority.admission.last_uses import LastUses
from consentry_authority.admission.policies import POLICIES
from consentry_authority.admission.quotas import KeyQuotas
from consentry_authority.admission.signed_in import signed_in
from consentry_authority.audit.writing import AuditLog
from consentry_authority.commands.coverage.open_watches import CoverageWatches
from consentry_authority.commands.coverage.work import CoverageWork
from consentry_authority.enforcement.limits import Newcomers
from consentry_authority.enforcement.news import News
from consentry_authority.enforcement.proving import Prover
from consentry_authority.enforcement.runner import EnforcementRunner
from consentry_authority.rpc.consents import ConsentServicer
from consentry_authority.rpc.coverage import CoverageServicer
from consentry_authority.rpc.directory import DirectoryServicer
from consentry_authority.rpc.enforcement import EnforcementServicer
from consentry_authority.rpc.following import Streams
from consentry_authority.rpc.keys import KeyServicer
from consentry_authority.rpc.receipts import Receipts
from consentry_authority.rpc.services import service_of
from consentry_authority.rpc.shared import Shared
from consentry_authority.rpc.tokens import TokenServicer
from consentry_authority.secrets.hashing import Passwords
from consentry_authority.settings import AuthoritySettings
from consentry_authority.setup.first_start import initialize, migrate_database, restored, rotate_checksum_key
from consentry_authority.setup.opened import open_folder
from consentry_authority.setup.retention import Kept, Retention
from consentry_authority.storage.store import SqlStore
from consentry_core.callers.identity import IdentityMemory
from consentry_core.callers.policy import Caller
from consentry_core.observing.metrics import Metrics
from consentry_core.observing.serving import seen
from consentry_core.process import logs
from consentry_core.process.lifecycle import ended, settle
from consentry_core.rpc.certificates import RequiredCertificates
from consentry_core.rpc.server.peers import Peers, trusted_proxies
from consentry_core.rpc.server.serving import RpcServer, announce, connection_limits, serve_channelz, until_signalled
from consentry_core.sql.probing import probe_writes
from consentry_core.values.clock import Clock, SystemClock
from consentry_core.values.encoding import RandomBytes
from consentry_core.values.paging import PageTokens

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
    """A running authority. `address` is where it serves, `mutual_address` where it asks for certificates, if elsewhere.

    `admin_address`: where it is seen by those who run it, if anywhere.
    """

    def __init__(
        self,
        address: str,
        store: SqlStore,
        closing: contextlib.AsyncExitStack,
        *,
        mutual_address: str = "",
        admin_address: str = "",
    ) -> None:
        self.address = address
        self.mutual_address = mutual_address
        self.admin_address = admin_address
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
    tls = settings.server_tls(settings.listen, settings.channelz_listen)
    services = settings.names_of(settings.enforcement_clients, "--enforcement-clients")
    proxies = trusted_proxies(settings.trusted_proxies)
    # What is opened later is closed earlier, also when something on the way fails.
    async with contextlib.AsyncExitStack() as opened:
        passwords = Passwords(settings.cost, random)
        opened.callback(passwords.close)
        folder = open_folder(settings, clock, opened, asking=asking)
        storage, store, commits = folder.storage, folder.storage.store, folder.storage.commits
        news, newcomers = News(), Newcomers(settings.members_per_token)
        enforcement = EnforcementRunner(store, storage.enforcement, clock, news, newcomers, members=settings.members_per_token)
        current = CurrentFacts(store, commits)
        access_log = AccessLog(storage.accesses, clock, kept_days=settings.accesses_kept_days, newcomers=newcomers)
        last_uses, audit_log = LastUses(storage.secrets_in_use), AuditLog(storage.audit_entries, clock)
        kept = Kept(settings.receipts_kept_days, settings.history_kept_days, settings.ended_kept_days)
        for part in (last_uses, audit_log, Retention(store, clock, kept)):
            part.start()
            opened.push_async_callback(part.stop)
        await enforcement.start()
        opened.push_async_callback(enforcement.stop)
        commits.subscribe(news)
        commits.subscribe(enforcement.coordinator)
        authenticator = Authenticator(folder.checksum_keys, IdentityMemory(random), store, passwords)
        maker = SecretMaker(folder.checksum_keys, passwords, random)
        shared = Shared(
            store=store,
            current=current,
            quotas=KeyQuotas(current, clock, streams_per_key=settings.streams_per_key),
            receipts=Receipts(enforcement),
            page_tokens=PageTokens(folder.shared_key),
            clock=clock,
            random=random,
        )
        streams = Streams(shared, enforcement, news, last_uses, Prover(folder.shared_key))
        work = CoverageWork(store)
        watches = CoverageWatches(commits, current, work, clock, most_customers=settings.watched_customers)
        served = [
            service_of(servicer)
            for servicer in (
                DirectoryServicer(shared),
                TokenServicer(shared, maker, most=settings.tokens_per_organization),
                ConsentServicer(shared, access_log),
                KeyServicer(shared, maker, most=settings.keys_per_partner),
                CoverageServicer(shared, work, watches),
                EnforcementServicer(shared, streams, authenticator, access_log),
            )
        ]
        gate = AuthorityGate(
            policies=POLICIES,
            clock=clock,
            current=current,
            authenticator=authenticator,
            signed_in=signed_in(settings, clock),
            transport=Transport(
                peers=Peers(proxies),
                certificates=RequiredCertificates(POLICIES, Caller.SERVICE, services, flag="--enforcement-clients"),
            ),
            reporting=Reporting(audit_log=audit_log, last_uses=last_uses),
        )

        def add(server: grpc.aio.Server) -> None:
            for service in served:
                service.add(server)

        metrics = Metrics() if settings.admin_listen else None
        server = RpcServer(
            gate,
            [service.descriptor for service in served],
            add,
            reflection=settings.reflection,
            limits=connection_limits(settings, proxies),
            observer=metrics,
        )
        if metrics is not None:
            enforcing = enforcement.coordinator
            metrics.looked_at("consentry_barriers_open", "Changes that are being enforced.", lambda: enforcing.barriers_open)
            metrics.looked_at("consentry_points_connected", "Enforcement points.", lambda: enforcing.points_connected)
            metrics.looked_at("consentry_calls_open", "Calls under way.", lambda: len(server.open_calls()))
        admin_address = await opened.enter_async_context(seen(settings.admin_listen, metrics, server.readiness))
        opened.push_async_callback(server.stop)
        writing = [service.descriptor.full_name for service in served if service.descriptor.name != "CoverageService"]
        tell = partial(server.set_serving, cause="the database cannot be written", services=writing)
        opened.push_async_callback(ended, asyncio.create_task(probe_writes(folder.database, tell), name="probe-writes"))
        if settings.channelz_listen:
            channelz = await serve_channelz(settings.channelz_listen)
            opened.push_async_callback(channelz.stop, None)
        address = await server.start(settings.listen, tls=tls, mutual_listen=settings.mutual_listen)
        return Authority(address, store, opened.pop_all(), mutual_address=server.mutual_address, admin_address=admin_address)


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

"""Channels to the two services."""

import grpc

from consentry_core.process.tls import ClientTls
from consentry_core.rpc.client.renewed import RenewedChannel, RenewedSyncChannel

# Reconnect fast: a guard that has lost its authority has seconds, not the default's two minutes.
OPTIONS: tuple[tuple[str, str | int], ...] = (
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.http2.ping_timeout_ms", 5_000),  # by itself the other one ends no connection: that took a minute
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    # How long one attempt may take, whatever it is called: a busy server, or one that is far away, needs more than the backoff.
    ("grpc.min_reconnect_backoff_ms", 2_000),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # Without bandwidth probing some 80 kB instead of 6 MB can be under way to a reader that has stopped reading; that much it
    # still receives after a cut.
    ("grpc.http2.bdp_probe", 0),
    ("grpc.enable_http_proxy", 0),
    # Each channel its own connection: closing one does not leave another on a shared socket.
    ("grpc.use_local_subchannel_pool", 1),
)


def open_channel(target: str, tls: ClientTls | None = None) -> grpc.aio.Channel:
    """An asyncio channel; without `tls`, plaintext. Connects by itself, at the first call.

    SettingError when the certificates cannot be used.
    """

    def opened(credentials: grpc.ChannelCredentials | None) -> grpc.aio.Channel:
        if credentials is None:
            return grpc.aio.insecure_channel(target, options=OPTIONS)
        return grpc.aio.secure_channel(target, credentials, options=OPTIONS)

    return RenewedChannel(tls, opened)


def open_sync_channel(target: str, tls: ClientTls | None = None) -> grpc.Channel:
    """A channel for programs without an event loop; see `open_channel`."""

    def opened(credentials: grpc.ChannelCredentials | None) -> grpc.Channel:
        if credentials is None:
            return grpc.insecure_channel(target, options=OPTIONS)
        return grpc.secure_channel(target, credentials, options=OPTIONS)

    return RenewedSyncChannel(tls, opened)


def bearer(secret: str) -> tuple[tuple[str, str], ...]:
    """The metadata that authenticates a call."""
    return (("authorization", f"Bearer {secret}"),)

"""Clients ping no more often than services permit."""

from consentry_core.rpc.client import channels as client
from consentry_core.rpc.server import serving as server


def test_a_client_pings_less_often_than_a_service_permits() -> None:
    pings, permits = dict(client.OPTIONS), dict(server.OPTIONS)
    permitted = int(permits["grpc.http2.min_ping_interval_without_data_ms"])
    assert int(permits["grpc.http2.min_recv_ping_interval_without_data_ms"]) == permitted
    assert int(pings["grpc.keepalive_time_ms"]) >= 2 * permitted
    if pings["grpc.keepalive_permit_without_calls"]:
        assert permits["grpc.keepalive_permit_without_calls"]

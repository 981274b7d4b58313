"""Secrets go over the network protected, or not at all."""

from consentry_core.tls import ClientTls, on_loopback


def protected(target: str, tls: ClientTls | None, *, plaintext: bool) -> ClientTls | None:
    """How to connect; None for plaintext. ValueError when others could listen in, and that is not asked for."""
    if tls is None and not plaintext and not on_loopback(target):
        raise ValueError(
            f"without TLS, the secret would cross the network readable at {target}; give tls=ClientTls(ca=...), or "
            "plaintext=True if something else protects it there"
        )
    return tls

"""Secrets go over the network protected, or not at all."""

from consentry_core.process.tls import ClientTls, on_loopback


def protected(target: str, tls: ClientTls | None, *, plaintext: bool) -> ClientTls | None:
    """How to connect; None for plaintext. ValueError when others could listen in, and that is not asked for."""
    if tls is None and not plaintext and not on_loopback(target):
        raise ValueError(
            f"without TLS, the secret would cross the network readable at {target}; give tls=ClientTls(ca=...), or "
            "plaintext=True if something else protects it there"
        )
    return tls


def credential(secret: str) -> str:
    """The key's or token's secret, without the white space around it. ValueError when it can be none; it is not shown."""
    secret = secret.strip()
    if not secret or not (secret.isascii() and secret.isprintable()):
        raise ValueError(
            "that is no secret of a key or token, which is one line of letters, digits and underscores; see where it comes from"
        )
    return secret

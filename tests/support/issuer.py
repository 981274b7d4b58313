"""A real identity provider on this machine: discovery and JWKS over HTTP, keys that rotate, tokens that it signs.

with running_issuer() as issuer:
    issuer.token(consentry_role="operator")
    issuer.rotate()
"""

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

from consentry_core.values.clock import SECOND, Clock

AUDIENCE = "consentry"
_MAKERS: Mapping[str, Any] = {
    "RS256": (lambda: rsa.generate_private_key(65537, 2048), RSAAlgorithm),
    "ES256": (lambda: ec.generate_private_key(ec.SECP256R1()), ECAlgorithm),
    "EdDSA": (ed25519.Ed25519PrivateKey.generate, OKPAlgorithm),
}


class Issuer:
    """The provider. `asked` counts what it was asked for, by path; `answers` replaces answers; `drips` are sent slowly."""

    def __init__(self, url: str, clock: Clock) -> None:
        self.url = url
        self.asked: dict[str, int] = {}
        self.answers: dict[str, bytes] = {}
        self.drips: set[str] = set()
        self.over = threading.Event()
        self._clock = clock
        self._made = 0
        self.algorithm = "ES256"
        self.rotate()

    def rotate(self, algorithm: str = "ES256") -> None:
        """Another key in place of the former one."""
        self._made += 1
        self.algorithm, self.key_id = algorithm, f"key-{self._made}"
        make, kind = _MAKERS[algorithm]
        self.key = make()
        public = kind.to_jwk(self.key.public_key(), as_dict=True)
        self.jwk = {**public, "kid": self.key_id, "use": "sig", "alg": algorithm}

    def claims(self, **claims: Any) -> dict[str, Any]:
        """Those of a token that counts; None leaves one out."""
        now = self._clock.now() // SECOND
        given = {"iss": self.url, "aud": AUDIENCE, "sub": "ada|1", "iat": now, "exp": now + 300, **claims}
        return {name: value for name, value in given.items() if value is not None}

    def token(self, headers: Mapping[str, Any] | None = None, **claims: Any) -> str:
        """A token, signed with the key of now."""
        return jwt.encode(
            self.claims(**claims), self.key, algorithm=self.algorithm, headers={"kid": self.key_id, **(headers or {})}
        )

    def answer(self, path: str) -> bytes | None:
        """What is served there."""
        self.asked[path] = self.asked.get(path, 0) + 1
        if path in self.answers:
            return self.answers[path]
        documents: Mapping[str, Any] = {
            "/.well-known/openid-configuration": {"issuer": self.url, "jwks_uri": f"{self.url}/keys"},
            "/keys": {"keys": [self.jwk]},
        }
        return json.dumps(documents[path]).encode() if path in documents else None


@contextlib.contextmanager
def running_issuer(clock: Clock) -> Iterator[Issuer]:
    """A provider on a free loopback port."""

    class Answering(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = issuer.answer(self.path)
            self.send_response(200 if content is not None else 404)
            self.send_header("Content-Length", str(len(content or b"")))
            self.end_headers()
            if self.path not in issuer.drips:
                self.wfile.write(content or b"")
                return
            with contextlib.suppress(OSError):
                for byte in content or b"":
                    self.wfile.write(bytes([byte]))
                    if issuer.over.wait(0.05):
                        return

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class's name
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answering)
    issuer = Issuer(f"http://127.0.0.1:{server.server_address[1]}", clock)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield issuer
    finally:
        issuer.over.set()
        server.shutdown()
        server.server_close()
        thread.join()

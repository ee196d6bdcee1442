"""A city's unified identity, small but real: an OpenID Connect provider on a loopback address.

It signs people in without asking, gives codes for challenges, exchanges each code once for a signed ID token, and
publishes its keys. What it is to do wrong is said by its attributes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qs, unquote, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey

CLIENT = "shutong"
SECRET = "s3cret-of-the-client"


@dataclass
class Person:
    """Somebody the provider knows."""

    subject: str
    claims: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _Given:
    person: Person
    challenge: str
    nonce: str
    redirect: str


class Provider:
    """The provider; use it as a context.

    Attributes:
        person: Who is signed in at its pages.
        change: Changes the claims of an ID token before it is signed.
        sign: Signs the claims of an ID token; by default with the provider's own key.
        status: Status of its answers, where it is not to answer well.
        asked: Paths that were asked for.
    """

    def __init__(self) -> None:
        self.person = Person("u-1")
        self.change: Callable[[dict[str, Any]], None] = lambda _: None
        self.sign: Callable[[dict[str, Any]], str] = self._signed
        self.status = 200
        self.asked: list[str] = []
        self._codes: dict[str, _Given] = {}
        self.new_key()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._answering())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self.issuer = f"http://127.0.0.1:{self._server.server_port}/realms/city"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def register(self, home: Path, **given: str) -> None:
        """Have a hub know the provider: its settings, the client's secret in ``SHUTONG_SECRET_OIDC``."""
        told = {
            "enabled": "true", "issuer": f'"{self.issuer}"', "client_id": f'"{CLIENT}"',
            "client_secret": '"env:SHUTONG_SECRET_OIDC"', **given,
        }  # fmt: skip
        text = "\n".join(f"{name} = {value}" for name, value in told.items())
        with (home / "shutong.toml").open("a", encoding="utf-8") as file:
            file.write(f"\n[accounts.oidc]\n{text}\n")

    def new_key(self) -> None:
        """Change the key, as providers do from time to time."""
        self.key = RSAKey.generate_key(2048, {"kid": secrets.token_hex(4), "use": "sig", "alg": "RS256"})

    def authorise(self, address: str) -> dict[str, str]:
        """Do what a browser does that is sent to the provider: the parameters it is sent back with."""
        asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
        assert asked["client_id"] == CLIENT
        assert asked["response_type"] == "code"
        assert asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = secrets.token_urlsafe(16)
        given = _Given(self.person, asked["code_challenge"], asked["nonce"], asked["redirect_uri"])
        self._codes[code] = given
        return {"code": code, "state": asked["state"], "iss": self.issuer}

    def symmetric(self, claims: dict[str, Any]) -> str:
        """Sign with what everybody may know, the text of the public key."""
        signed = _part({"alg": "HS256", "typ": "JWT"}) + "." + _part(claims)
        made = hmac.digest(self.key.as_pem(private=False), signed.encode(), "sha256")
        return f"{signed}.{base64.urlsafe_b64encode(made).decode().rstrip('=')}"

    def unsigned(self, claims: dict[str, Any]) -> str:
        """Do not sign at all."""
        return f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}."

    def _signed(self, claims: dict[str, Any]) -> str:
        return jwt.encode({"alg": "RS256", "kid": str(self.key.kid)}, claims, self.key)

    def _described(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/auth",
            "token_endpoint": f"{self.issuer}/token",
            "jwks_uri": f"{self.issuer}/keys",
            "id_token_signing_alg_values_supported": ["RS256", "HS256", "none"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic"],
        }

    def _exchange(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        shown = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        if [unquote(part) for part in shown] != [CLIENT, SECRET]:
            return 401, {"error": "invalid_client"}
        given = self._codes.pop(form.get("code", ""), None)
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if given is None or challenge != given.challenge or form.get("redirect_uri") != given.redirect:
            return 400, {"error": "invalid_grant"}
        moment = int(time.time())
        claims = {
            "iss": self.issuer, "sub": given.person.subject, "aud": CLIENT, "iat": moment, "exp": moment + 300,
            "nonce": given.nonce, **given.person.claims,
        }  # fmt: skip
        self.change(claims)
        token = {"access_token": secrets.token_hex(8), "token_type": "Bearer", "expires_in": 300}
        return 200, {**token, "id_token": self.sign(claims)}

    def _answering(self) -> type[BaseHTTPRequestHandler]:
        provider = self

        class Answering(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                path = urlsplit(self.path).path.removeprefix("/realms/city")
                known = {
                    "/.well-known/openid-configuration": provider._described,
                    "/keys": lambda: KeySet([provider.key]).as_dict(private=False),
                }
                self._answer(path, *((200, known[path]()) if path in known else (404, {})))

            def do_POST(self) -> None:
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                form = {name: values[0] for name, values in parse_qs(text).items()}
                self._answer("/token", *provider._exchange(form, self.headers.get("Authorization", "")))

            def _answer(self, path: str, status: int, document: Any) -> None:
                provider.asked.append(path)
                body = json.dumps(document).encode()
                self.send_response(status if provider.status == 200 else provider.status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *arguments: Any) -> None:
                """Say nothing."""

        return Answering


def _part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).decode().rstrip("=")


def refusal(address: str, error: str = "access_denied") -> dict[str, str]:
    """What a browser comes back with where somebody did not sign in."""
    asked = {name: values[0] for name, values in parse_qs(urlsplit(address).query).items()}
    return {"error": error, "state": asked["state"]}


def query(answer: dict[str, str]) -> str:
    """The parameters as they stand in an address."""
    return urlencode(answer)

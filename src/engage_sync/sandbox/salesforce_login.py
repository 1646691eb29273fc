"""Salesforce's token endpoint and sessions: JWT bearer with a verified signature, client credentials, no passwords
(crm-apis §B2). Tokens carry no `expires_in`; a session that ended shows itself as 401. Writes no secret anywhere."""

from __future__ import annotations

import base64
import binascii
import json
import secrets
import threading
from collections.abc import Callable
from datetime import datetime
from functools import cache
from urllib.parse import parse_qs, unquote_plus

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from engage_sync.sandbox.salesforce_refusal import Denied
from engage_sync.sandbox.salesforce_wire import reply
from engage_sync.sandbox.wire import Answer, Call

JWT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LONGEST = 300
"""Seconds that an assertion may be valid from now on."""
AUDIENCES = ("https://login.salesforce.com", "https://test.salesforce.com")


@cache
def _key() -> rsa.RSAPrivateKey:
    """Generate the app's key, once in a process."""
    return rsa.generate_private_key(public_exponent=65_537, key_size=2048)


@cache
def private_key() -> str:
    """Give the PEM of the key whose certificate the connected app holds."""
    plain = serialization.NoEncryption()
    return _key().private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain).decode()


class BadLogin(Exception):
    """A token request that is refused, with OAuth's error code."""

    def __init__(self, error: str, description: str) -> None:
        self.error = error
        self.description = description
        super().__init__(description)


class Sessions:
    """The app, its user and the sessions given out. `life` seconds end a session, None never; `clock` is a wall clock.
    `disabled` is the user switched off."""

    def __init__(
        self,
        *,
        client_id: str,
        client_secret: str,
        username: str,
        org: str,
        user: str,
        clock: Callable[[], datetime],
        life: float | None,
        disabled: bool,
    ) -> None:
        self.client_id = client_id
        self.username = username
        self.disabled = disabled
        self.approved = True
        self.logins = 0
        self._client_secret = client_secret
        self._org = org
        self._user = user
        self._clock = clock
        self._life = life
        self._lock = threading.Lock()
        self._begun: dict[str, float] = {}

    def open(self) -> str:
        """Begin a session and give its access token."""
        token = f"{self._org[:15]}!{secrets.token_urlsafe(48)}"
        with self._lock:
            self._begun[token] = self._clock().timestamp()
        return token

    def end_all(self) -> None:
        """End every session."""
        with self._lock:
            self._begun.clear()

    def check(self, call: Call) -> None:
        """Let a call with a live session pass. Raises Denied (401)."""
        kind, _, token = call.headers.get("authorization", "").partition(" ")
        begun = self._begun.get(token.strip()) if kind.lower() in ("bearer", "oauth") else None
        over = self._life is not None and begun is not None and self._clock().timestamp() >= begun + self._life
        if begun is None or over or self.disabled:
            raise Denied(401, "INVALID_SESSION_ID", "Session expired or invalid")

    def answer(self, call: Call, base_url: str) -> Answer:
        """Answer a token request; a wrong one is a 400 that ends the connection."""
        try:
            self._grant(call, base_url)
        except BadLogin as refused:
            return reply({"error": refused.error, "error_description": refused.description}, 400)
        with self._lock:
            self.logins += 1
        identity = f"{base_url}/id/{self._org}/{self._user}"
        return reply(
            {
                "access_token": self.open(),
                "signature": base64.b64encode(secrets.token_bytes(32)).decode(),
                "scope": "id api",
                "instance_url": base_url,
                "id": identity,
                "token_type": "Bearer",
                "issued_at": str(int(self._clock().timestamp() * 1000)),
                "api_instance_url": base_url,
            },
            headers={"Cache-Control": "no-store"},
        )

    def _grant(self, call: Call, base_url: str) -> None:
        if call.method != "POST":
            raise BadLogin("invalid_request", "must use HTTP POST")
        form = {name: given[-1] for name, given in parse_qs(call.body.decode(errors="replace")).items()}
        form = {**{name: given[-1] for name, given in call.query.items()}, **form}
        kind = form.get("grant_type")
        if kind == JWT:
            self._assertion(form.get("assertion", ""), base_url)
        elif kind == "client_credentials":
            self._credentials(call, form)
        elif kind == "password":
            raise BadLogin("invalid_grant", "authentication failure")
        else:
            raise BadLogin("unsupported_grant_type", "grant type not supported")
        if self.disabled:
            raise BadLogin("invalid_grant", "inactive user")

    def _credentials(self, call: Call, form: dict[str, str]) -> None:
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        kind, _, coded = call.headers.get("authorization", "").partition(" ")
        if kind.lower() == "basic":
            try:
                client, _, secret = base64.b64decode(coded, validate=True).decode().partition(":")
            except (binascii.Error, UnicodeDecodeError):
                raise BadLogin("invalid_client", "invalid client credentials") from None
            client, secret = unquote_plus(client), unquote_plus(secret)
        self._known(client)
        if secret != self._client_secret:
            raise BadLogin("invalid_client", "invalid client credentials")

    def _known(self, client: object) -> None:
        if client != self.client_id:
            raise BadLogin("invalid_client_id", "client identifier invalid")

    def _assertion(self, assertion: str, base_url: str) -> None:
        claims = _verified(assertion)
        self._known(claims.get("iss"))
        if claims.get("aud") not in (*AUDIENCES, base_url):
            raise BadLogin("invalid_grant", "audience is invalid")
        ends, now = claims.get("exp"), self._clock().timestamp()
        if not isinstance(ends, int | float) or isinstance(ends, bool):
            raise BadLogin("invalid_grant", "invalid assertion")
        if ends <= now:
            raise BadLogin("invalid_grant", "assertion expired")
        if ends > now + LONGEST + 1:
            raise BadLogin("invalid_grant", "invalid assertion")
        if claims.get("sub") != self.username or not self.approved:
            raise BadLogin("invalid_grant", "user hasn't approved this consumer")


def _verified(assertion: str) -> dict[str, object]:
    """Read the claims of an RS256 token whose signature fits the app's certificate. Raises BadLogin."""
    try:
        head, body, signature = assertion.split(".")
        if json.loads(_decoded(head)).get("alg") != "RS256":
            raise BadLogin("invalid_grant", "invalid assertion")
        signed = f"{head}.{body}".encode()
        _key().public_key().verify(_decoded(signature), signed, padding.PKCS1v15(), hashes.SHA256())
        claims = json.loads(_decoded(body))
    except (ValueError, AttributeError, InvalidSignature):
        raise BadLogin("invalid_grant", "invalid assertion") from None
    if not isinstance(claims, dict):
        raise BadLogin("invalid_grant", "invalid assertion")
    return claims


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))

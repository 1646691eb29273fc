"""The token endpoint: JWT bearer and client credentials with everything that can be wrong, and sessions that end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import jwt
import pytest
import urllib3
from cryptography.hazmat.primitives.asymmetric import rsa

from engage_sync.sandbox.salesforce_server import SalesforceSandbox
from tests.sandbox.conftest import Clock, Org

BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def token(sandbox: SalesforceSandbox, *, basic: str | None = None, **form: str) -> tuple[int, dict[str, Any]]:
    headers = urllib3.make_headers(basic_auth=basic) if basic else {}
    url = f"{sandbox.base_url}/services/oauth2/token"
    headers["content-type"] = "application/x-www-form-urlencoded"
    answer = urllib3.request("POST", url, body=urlencode(form), headers=headers)
    return answer.status, answer.json()


def claims(org: Org, **changed: object) -> dict[str, object]:
    box = org.sandbox
    now = int(box.options.clock().timestamp())
    return {
        "iss": box.client_id,
        "sub": box.username,
        "aud": "https://login.salesforce.com",
        "exp": now + 180,
    } | changed


def bearer(org: Org, key: object = None, algorithm: str = "RS256", **changed: object) -> tuple[int, dict[str, Any]]:
    signed = jwt.encode(claims(org, **changed), key or org.sandbox.private_key, algorithm)  # type: ignore[arg-type]
    return token(org.sandbox, grant_type=BEARER, assertion=signed)


def test_a_session_by_jwt(org: Org) -> None:
    status, given = bearer(org)
    assert status == 200
    assert given["instance_url"] == org.sandbox.base_url
    assert given["id"] == f"{org.sandbox.base_url}/id/{org.sandbox.org_id}/{org.sandbox.user_id}"
    assert given["token_type"] == "Bearer"
    assert "expires_in" not in given
    org.token = given["access_token"]
    org.get("limits")
    assert org.status == 200
    assert org.sandbox.logins == 1


@pytest.mark.parametrize("audience", ["https://test.salesforce.com", "own"])
def test_other_audiences(org: Org, audience: str) -> None:
    assert bearer(org, aud=org.sandbox.base_url if audience == "own" else audience)[0] == 200


@pytest.mark.parametrize(
    ("changed", "error", "description"),
    [
        ({"aud": "https://acme.my.salesforce.com"}, "invalid_grant", "audience is invalid"),
        ({"sub": "nobody@acme.example"}, "invalid_grant", "user hasn't approved this consumer"),
        ({"iss": "3MVG9other"}, "invalid_client_id", "client identifier invalid"),
        ({"exp": 0}, "invalid_grant", "assertion expired"),
        ({"exp": 4_000_000_000}, "invalid_grant", "invalid assertion"),
        ({"exp": "soon"}, "invalid_grant", "invalid assertion"),
    ],
)
def test_wrong_claims(org: Org, changed: dict[str, object], error: str, description: str) -> None:
    status, told = bearer(org, **changed)
    assert (status, told) == (400, {"error": error, "error_description": description})
    assert org.sandbox.logins == 0


def test_clocks_that_are_apart(org: Org, clock: Clock) -> None:
    now = clock.now.timestamp()
    assert bearer(org, exp=now + 1)[0] == 200
    assert bearer(org, exp=now + 300)[0] == 200
    assert bearer(org, exp=now - 1)[1]["error_description"] == "assertion expired"
    assert bearer(org, exp=now + 400)[1]["error_description"] == "invalid assertion"


def test_wrong_signatures(org: Org) -> None:
    stranger = rsa.generate_private_key(public_exponent=65_537, key_size=2048)
    for status, told in (bearer(org, stranger), bearer(org, "x" * 40, "HS256")):
        assert (status, told["error_description"]) == (400, "invalid assertion")
    for assertion in ("", "a.b", "a.b.c", "a.b.c.d", "é.é.é"):
        assert token(org.sandbox, grant_type=BEARER, assertion=assertion)[1]["error"] == "invalid_grant"


def test_client_credentials_in_both_places(org: Org) -> None:
    box = org.sandbox
    form = {"grant_type": "client_credentials"}
    assert token(box, basic=f"{box.client_id}:{box.client_secret}", **form)[0] == 200
    assert token(box, client_id=box.client_id, client_secret=box.client_secret, **form)[0] == 200
    assert token(box, client_id=box.client_id, client_secret="no", **form)[1]["error"] == "invalid_client"
    assert token(box, client_id="no", client_secret=box.client_secret, **form)[1]["error"] == "invalid_client_id"
    assert token(box, **form)[1]["error"] == "invalid_client_id"
    assert box.logins == 2


def test_passwords_are_refused(org: Org) -> None:
    box = org.sandbox
    form = {"client_id": box.client_id, "client_secret": box.client_secret, "username": box.username}
    status, told = token(box, grant_type="password", password="x", **form)
    assert (status, told["error"]) == (400, "invalid_grant")
    answer = org.raw("POST", "/services/Soap/u/62.0", b"<login/>", Content_Type="text/xml")
    assert answer.status == 500
    assert b"SOAP API login() is disabled" in answer.data


def test_a_disabled_user(serve_org: Callable[..., Org]) -> None:
    org = serve_org(user_disabled=True)
    assert bearer(org)[1] == {"error": "invalid_grant", "error_description": "inactive user"}
    org.get("limits")
    assert org.status == 401


def test_sessions_end(serve_org: Callable[..., Org], clock: Clock) -> None:
    org = serve_org(session_life=7200)
    clock.advance(7199)
    org.get("limits")
    assert org.status == 200
    clock.advance(1)
    assert org.get("limits") == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]
    assert org.status == 401
    org.token = bearer(org)[1]["access_token"]
    org.get("limits")
    assert org.status == 200
    org.sandbox.end_sessions()
    org.get("limits")
    assert org.status == 401


def test_who_am_i(org: Org) -> None:
    told = org.get("/services/oauth2/userinfo")
    assert told["user_id"] == org.sandbox.user_id
    assert told["organization_id"] == org.sandbox.org_id
    assert told["preferred_username"] == org.sandbox.username
    answer = org.pool.request("GET", told["id"], headers={"Authorization": f"Bearer {org.token}"})
    assert answer.json()["username"] == org.sandbox.username
    org.token = "no"
    assert (org.raw("GET", "/services/oauth2/userinfo").data, org.status) == (b"Bad_OAuth_Token", 403)


def test_calls_without_a_session(org: Org) -> None:
    assert org.sandbox.options.versions[-1] == org.get("/services/data/")[-1]["version"]
    org.token = ""
    for path in ("limits", "query?q=x", "sobjects", "nope"):
        assert org.get(path)[0]["errorCode"] == "INVALID_SESSION_ID"

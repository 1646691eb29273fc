"""Tokens and scopes over HTTP (crm-apis §A2, §A13)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from engage_sync.sandbox.access import OAuthApp
from tests.sandbox.conftest import Client, Clock

CONTACTS = "/crm/v3/objects/contacts"
APP = OAuthApp(client_id="id", client_secret="secret", refresh_token="refresh-1")


def refresh(crm: Client, **changed: str) -> Any:
    form = {
        "grant_type": "refresh_token",
        "client_id": "id",
        "client_secret": "secret",
        "refresh_token": "refresh-1",
    } | changed
    answer = crm.pool.request_encode_body(
        "POST", crm.sandbox.base_url + "/oauth/v1/token", fields=form, encode_multipart=False
    )
    crm.status = answer.status
    return answer.json()


@pytest.mark.parametrize("token", [None, "wrong"])
def test_without_a_known_token(crm: Client, token: str | None) -> None:
    crm.token = token
    answer = crm.get(CONTACTS)
    assert (crm.status, answer["category"]) == (401, "INVALID_AUTHENTICATION")


def test_a_revoked_token(crm: Client) -> None:
    crm.get(CONTACTS)
    assert crm.status == 200
    crm.sandbox.access.revoke(crm.sandbox.token)
    crm.get(CONTACTS)
    assert crm.status == 401


@pytest.mark.parametrize(
    ("method", "path", "scope"),
    [
        ("GET", CONTACTS, "crm.objects.contacts.read"),
        ("POST", CONTACTS + "/search", "crm.objects.contacts.read"),
        ("POST", CONTACTS + "/batch/read", "crm.objects.contacts.read"),
        ("POST", CONTACTS + "/batch/update", "crm.objects.contacts.write"),
        ("PATCH", "/crm/v3/objects/companies/1", "crm.objects.companies.write"),
        ("POST", "/crm/v3/properties/contacts", "crm.schemas.contacts.write"),
        ("POST", "/crm/v3/properties/companies/groups", "crm.schemas.companies.write"),
    ],
)
def test_a_missing_scope_is_named(serve: Callable[..., Client], method: str, path: str, scope: str) -> None:
    crm = serve(scopes=frozenset({"crm.objects.deals.read"}), tokens={"full": frozenset({scope})})
    answer = crm(method, path, None if method == "GET" else {})
    assert (crm.status, answer["category"]) == (403, "MISSING_SCOPES")
    assert scope in answer["errors"][0]["context"]["requiredGranularScopes"]
    crm.token = "full"
    crm(method, path, None if method == "GET" else {})
    assert crm.status not in (401, 403)


def test_a_service_key_tells_its_scopes_and_an_oauth_token_does_not(serve: Callable[..., Client]) -> None:
    path = "/oauth/v2/private-apps/get/access-token-info"
    crm = serve(tokens={"narrow": frozenset({"crm.objects.contacts.read"})}, oauth=APP)
    assert crm.post(path, {"tokenKey": "narrow"})["scopes"] == ["crm.objects.contacts.read"]
    crm.post(path, {"tokenKey": refresh(crm)["access_token"]})
    assert crm.status == 404
    crm.post(path, {"tokenKey": "unknown"})
    assert crm.status == 401
    crm.get(path)
    assert crm.status == 405


def test_properties_can_be_read_with_either_scope(serve: Callable[..., Client]) -> None:
    either = {"a": frozenset({"crm.objects.contacts.read"}), "b": frozenset({"crm.schemas.contacts.read"})}
    crm = serve(tokens=either)
    for crm.token in either:
        crm.get("/crm/v3/properties/contacts")
        assert crm.status == 200


def test_an_access_token_ends_after_its_life(serve: Callable[..., Client], clock: Clock) -> None:
    crm = serve(oauth=APP)
    granted = refresh(crm)
    assert (granted["token_type"], granted["expires_in"], granted["refresh_token"]) == ("bearer", 1800, "refresh-1")
    crm.token = granted["access_token"]
    clock.advance(1799)
    crm.get(CONTACTS)
    assert crm.status == 200
    clock.advance(6)
    answer = crm.get(CONTACTS)
    assert (crm.status, answer["category"]) == (401, "EXPIRED_AUTHENTICATION")
    assert answer["message"].endswith("expired 5 second(s) ago.")
    crm.token = refresh(crm)["access_token"]
    crm.get(CONTACTS)
    assert crm.status == 200


@pytest.mark.parametrize(
    ("changed", "status"),
    [
        ({"refresh_token": "other"}, "BAD_REFRESH_TOKEN"),
        ({"client_secret": "other"}, "BAD_CLIENT_ID"),
        ({"grant_type": "password"}, "BAD_GRANT_TYPE"),
    ],
)
def test_a_refused_refresh(serve: Callable[..., Client], changed: dict[str, str], status: str) -> None:
    crm = serve(oauth=APP)
    answer = refresh(crm, **changed)
    assert (crm.status, answer["status"]) == (400, status)
    assert answer["message"]
    if "refresh_token" in changed:
        assert answer["error"] == "invalid_grant"


def test_rotation_ends_the_old_refresh_token(serve: Callable[..., Client]) -> None:
    rotating = OAuthApp(client_id="id", client_secret="secret", refresh_token="refresh-1", rotate=True)
    crm = serve(oauth=rotating)
    second = refresh(crm)["refresh_token"]
    assert second != "refresh-1"
    refresh(crm)
    assert crm.status == 400
    refresh(crm, refresh_token=second)
    assert crm.status == 200


def test_a_revoked_grant(serve: Callable[..., Client]) -> None:
    crm = serve(oauth=APP)
    crm.sandbox.access.revoke_refresh()
    assert refresh(crm)["error"] == "invalid_grant"


def test_an_oauth_app_has_its_own_scopes(serve: Callable[..., Client]) -> None:
    few = OAuthApp(client_id="id", client_secret="secret", refresh_token="refresh-1", scopes=frozenset())
    crm = serve(oauth=few)
    crm.token = refresh(crm)["access_token"]
    crm.get(CONTACTS)
    assert crm.status == 403

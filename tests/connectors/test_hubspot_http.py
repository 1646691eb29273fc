"""Every way a call can end is the right typed error, at once and without secrets (crm-apis §A13, §C3)."""

import logging
import socket
from dataclasses import replace

import pytest

from engage_sync.connectors.base import CallKind, Kind, Quota, Role, Turnstile
from engage_sync.connectors.hubspot import HubSpot
from engage_sync.connectors.hubspot_errors import CallRefused, ScopeMissing, TokenRefused
from engage_sync.errors import LoginFailed, Misbehaved, Suspended, Transient
from engage_sync.sandbox.access import OAuthApp
from engage_sync.sandbox.faults import Fault
from tests.connectors.sandboxed import Clock, Memory, oauth, sandbox
from tests.connectors.scripted import TOKEN, Said, always, connector, scripted

KIND = Kind("contacts", Role.CONTACT, ("email",))
EMPTY = {"results": []}


def ends(said: Said) -> Exception:
    """Pull once from a server that always says the same; it must have been asked once only."""
    with scripted(always(said)) as server:
        crm = connector(server)
        with pytest.raises(Exception) as caught:  # noqa: PT011  (the type is what the tests look at)
            crm.pull(KIND, None)
        crm.close()
        assert len(server.asked) == 1
        assert TOKEN not in str(caught.value)
        return caught.value


def limit(policy: str) -> dict[str, str]:
    return {"status": "error", "message": "limit", "errorType": "RATE_LIMIT", "policyName": policy}


@pytest.mark.parametrize(
    ("said", "pause", "suspend"),
    [
        (Said(429, limit("SECONDLY")), 1.0, False),
        (Said(429, limit("TEN_SECONDLY_ROLLING")), 10.0, False),
        (Said(429, limit("TEN_SECONDLY_ROLLING"), {"Retry-After": "3"}), 3.0, False),
        (Said(429, limit("TEN_SECONDLY_ROLLING"), {"Retry-After": "10000"}), 10.0, False),
        (Said(429, b"slow down"), 10.0, False),
        (Said(429, limit("DAILY")), None, True),
        (Said(423, {"message": "locked"}), 2.0, False),
        (Said(477, {"message": "moving"}, {"Retry-After": "600"}), 600.0, True),
        (Said(477, {"message": "moving"}), 3600.0, True),
        (Said(477, {"message": "moving"}, {"Retry-After": "1000000"}), 86_400.0, True),
        (Said(500, {"message": "oops"}), None, False),
        (Said(500, b"\xff\xfe\xe9"), None, False),
        (Said(502, b"<html>bad gateway"), None, False),
        (Said(503, b"", {"Retry-After": "7"}), 7.0, False),
        (Said(503, b"", {"Retry-After": "soon"}), None, False),
        (Said(524, b""), None, False),
        (Said(408, b""), None, False),
    ],
)
def test_worth_another_try(said: Said, pause: float | None, suspend: bool) -> None:
    error = ends(said)
    assert type(error) is (Suspended if suspend else Transient)
    assert (error.retry_after, error.suspend) == (pause, suspend)


@pytest.mark.parametrize("status", [301, 302, 307, 400, 404, 405, 409, 414, 415, 501])
def test_not_understood(status: int) -> None:
    error = ends(Said(status, {"message": "no", "correlationId": "c-1"}, {"Location": "http://127.0.0.1:1/elsewhere"}))
    assert isinstance(error, Misbehaved)
    assert error.exit_code == 7
    assert "c-1" in str(error)


@pytest.mark.parametrize(
    "body", [b"<html>hello", b'{"results": [', b"[]", b'"x"', b"\xff", b"", b"{}", b'{"results": 3}']
)
def test_success_that_makes_no_sense_is_tried_again_and_kept(body: bytes) -> None:
    error = ends(Said(200, body))
    assert type(error) is Transient
    assert isinstance(error.__cause__, Misbehaved)


def test_forbidden_names_the_scopes() -> None:
    context = {"requiredGranularScopes": ["crm.objects.contacts.read"]}
    error = ends(Said(403, {"category": "MISSING_SCOPES", "message": "no", "errors": [{"context": context}]}))
    assert isinstance(error, ScopeMissing)
    assert error.scopes == ("crm.objects.contacts.read",)
    assert error.exit_code == 6
    assert "crm.objects.contacts.read" in str(error)


@pytest.mark.parametrize("body", [{"errors": {"a": 1}}, {"errors": [1, None, {"context": 3}]}, {"message": 5}, [1]])
def test_error_bodies_of_any_shape_are_read(body: object) -> None:
    assert isinstance(ends(Said(400, body)), CallRefused)


def test_refused_token_stops_at_once_and_is_not_repeated_in_the_message() -> None:
    error = ends(Said(401, {"message": f"This oauth-token ({TOKEN}) is expired!"}))
    assert isinstance(error, TokenRefused)
    assert error.exit_code == 6
    assert "***" in str(error)


def test_silence_and_refused_connections_are_transient() -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:  # accepts, and never answers
        given = {"auth": {"access_token": TOKEN}, "base_url": f"http://127.0.0.1:{mute.getsockname()[1]}"}
        crm = HubSpot(HubSpot.Settings.model_validate(given), Memory(), timeout=(5.0, 0.2))
        with pytest.raises(Transient, match="no answer"):
            crm.pull(KIND, None)
    with pytest.raises(Transient, match="no answer"):  # nobody listens any more
        crm.pull(KIND, None)
    crm.close()


def test_one_connection_serves_many_calls() -> None:
    with scripted(always(Said(200, EMPTY))) as server:
        crm = connector(server)
        for _ in range(5):
            crm.pull(KIND, None)
        crm.close()
        assert len({asked.peer for asked in server.asked}) == 1
        assert all(asked.headers["authorization"] == f"Bearer {TOKEN}" for asked in server.asked)


def test_building_the_client_leaves_the_loggers_alone() -> None:
    logger = logging.getLogger("urllib3")
    before = logger.level
    logger.setLevel(logging.ERROR)
    with scripted(always(Said(200, EMPTY))) as server:
        crm = connector(server)
        crm.pull(KIND, None)
        crm.close()
        level = logger.level
    logger.setLevel(before)
    assert level == logging.ERROR


class Watch(Turnstile):
    """Keeps what passes."""

    def __init__(self) -> None:
        self.passed: list[tuple[object, ...]] = []

    def enter(self, kind: CallKind) -> None:
        self.passed.append((kind,))

    def leave(
        self, kind: CallKind, *, status: int | None, quota: Quota | None = None, pause: float | None = None
    ) -> None:
        self.passed.append((kind, status, quota, pause))


def test_turnstile_hears_of_quota_and_pause() -> None:
    told = {
        "X-HubSpot-RateLimit-Max": "190",
        "X-HubSpot-RateLimit-Remaining": "42",
        "X-HubSpot-RateLimit-Interval-Milliseconds": "10000",
        "X-HubSpot-RateLimit-Daily": "650000",
        "X-HubSpot-RateLimit-Daily-Remaining": "x",
    }
    watch = Watch()
    with scripted(always(Said(429, limit("SECONDLY"), told))) as server:
        crm = connector(server)
        crm.turnstile = watch
        with pytest.raises(Transient):
            crm.pull(KIND, None)
        crm.close()
    quota = Quota(limit=190, remaining=42, interval=10.0, daily_limit=650_000)
    assert watch.passed == [(CallKind.READ,), (CallKind.READ, 429, quota, 1.0)]


@pytest.mark.lesson(23)
def test_oauth_token_is_renewed_before_its_end_and_rotation_is_remembered() -> None:
    clock, now = Clock(), [0.0]
    with sandbox(clock=clock, oauth=replace(OAuthApp(), rotate=True)) as running:
        memory = Memory()
        given = HubSpot.Settings.model_validate({"auth": oauth(running), "base_url": running.base_url})
        crm = HubSpot(given, memory, clock=lambda: now[0])
        for seconds, logins in ((0, 1), (1439, 1), (1441, 2), (1442, 2)):
            now[0] = seconds
            crm.pull(KIND, None)
            assert running.calls.count("login") == logins
        crm.close()
        later = HubSpot(given, memory)  # another process: only the remembered token is still good
        later.pull(KIND, None)
        later.close()
        assert running.calls.count("login") == 3
        stranger = HubSpot(given, Memory())
        with pytest.raises(LoginFailed, match="refresh token"):
            stranger.pull(KIND, None)


@pytest.mark.lesson(23)
def test_rotated_token_outlives_a_process_that_ends_before_its_first_use() -> None:
    with sandbox(oauth=replace(OAuthApp(), rotate=True)) as running:
        memory = Memory()
        given = HubSpot.Settings.model_validate({"auth": oauth(running), "base_url": running.base_url})
        running.faults.add(Fault("drop_before", kind="[rs]*", times=None))  # reads and searches: the login is answered
        crm = HubSpot(given, memory)
        with pytest.raises(Transient):
            crm.pull(KIND, None)
        crm.close()
        assert (running.calls.statuses()[200], running.calls.count("login")) == (1, 1)
        running.faults.clear()
        later = HubSpot(given, memory)
        assert list(later.pull(KIND, None).records) == []
        later.close()
        assert running.calls.count("login") == 2


def test_new_refresh_token_in_the_file_replaces_the_remembered_one() -> None:
    told = Said(200, {"access_token": "a", "refresh_token": "rotated", "expires_in": 1800})
    with scripted(lambda asked: told if asked.path == "/oauth/v1/token" else Said(200, EMPTY)) as server:
        memory = Memory()
        for refresh_token in ("first", "first", "second"):
            auth = {"client_id": "i", "client_secret": "s", "refresh_token": refresh_token}
            crm = HubSpot(HubSpot.Settings.model_validate({"auth": auth, "base_url": server.url}), memory)
            crm.pull(KIND, None)
            crm.close()
        forms = [asked.body.decode() for asked in server.asked if asked.path == "/oauth/v1/token"]
    assert [form.rsplit("=", 1)[1] for form in forms] == ["first", "rotated", "second"]


@pytest.mark.lesson(1)
def test_throttled_login_is_transient_like_any_other_call() -> None:
    with scripted(always(Said(429, limit("TEN_SECONDLY_ROLLING")))) as server:
        crm = connector(server, client_id="i", client_secret="s", refresh_token="r")
        with pytest.raises(Transient) as caught:
            crm.pull(KIND, None)
        assert caught.value.retry_after == 10.0


def test_endlessly_refused_oauth_token_is_renewed_once_only() -> None:
    token = Said(200, {"access_token": "a", "expires_in": 1800})
    with scripted(lambda asked: token if asked.path == "/oauth/v1/token" else Said(401, {"message": "no"})) as server:
        crm = connector(server, client_id="i", client_secret="s", refresh_token="r")
        with pytest.raises(LoginFailed):
            crm.pull(KIND, None)
        assert [asked.path.split("?")[0] for asked in server.asked] == [
            "/oauth/v1/token",
            "/crm/v3/objects/contacts",
            "/oauth/v1/token",
            "/crm/v3/objects/contacts",
        ]

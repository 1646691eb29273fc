"""Every way a call or a login can end is the right typed error, without secrets (crm-apis §B2, §B9, §B10)."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from engage_sync.connectors.base import CallKind, Kind, Quota, Role, Turnstile
from engage_sync.connectors.salesforce import Salesforce
from engage_sync.connectors.salesforce_errors import AccessRefused, CallRefused, TokenRefused
from engage_sync.errors import EngageError, LoginFailed, Misbehaved, Suspended, Transient, Unreachable
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.salesforce_server import SalesforceSandbox
from engage_sync.testing import pull
from tests.connectors.org import certificate, credentials, hardened, salesforce, sandbox
from tests.connectors.sandboxed import Clock, Memory
from tests.connectors.scripted import Answering, Asked, Said, always, scripted

KIND = Kind("Contact", Role.CONTACT, ("Email",))
TOKEN = "00D5g000004C92W!very.secret"
FOREVER = 10


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def org(clock: Clock) -> Iterator[SalesforceSandbox]:
    with sandbox(clock=clock) as running:
        yield running


def given(url: str, **more: str) -> Salesforce:
    """Give a bare connector with a session that is open already."""
    settings = Salesforce.Settings.model_validate({"auth": {"session_id": TOKEN}, "instance_url": url, **more})
    return Salesforce(settings, Memory())


def ends(answering: Answering) -> EngageError:
    """Pull once from a server that says so; it must have been asked once only."""
    with scripted(answering) as server:
        crm = given(server.url)
        with pytest.raises(EngageError) as caught:
            crm.pull(KIND, None)
        crm.close()
        assert len(server.asked) == 1
        assert TOKEN not in str(caught.value)
        return caught.value


def error(code: str, message: str = "no") -> list[dict[str, str]]:
    return [{"errorCode": code, "message": message}]


@pytest.mark.parametrize(
    ("said", "pause", "suspend"),
    [
        (Said(403, error("REQUEST_LIMIT_EXCEEDED", "ConcurrentRequests Limit exceeded.")), 10.0, False),
        (Said(403, error("REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")), None, True),
        (Said(400, error("UNABLE_TO_LOCK_ROW")), None, False),
        (Said(400, error("QUERY_TIMEOUT")), None, False),
        (Said(500, error("UNKNOWN_EXCEPTION")), None, False),
        (Said(500, b"\xff\xfe\xe9"), None, False),
        (Said(502, b"<html>bad gateway"), None, False),
        (Said(503, error("SERVER_UNAVAILABLE"), {"Retry-After": "7"}), 7.0, False),
        (Said(503, b"<html>", {"Retry-After": "soon"}), None, False),
        (Said(420, b""), None, False),
        (Said(429, b"", {"Retry-After": "3"}), 3.0, False),
    ],
)
def test_worth_another_try(said: Said, pause: float | None, suspend: bool) -> None:
    caught = ends(always(said))
    assert type(caught) is (Suspended if suspend else Transient)
    assert (caught.retry_after, caught.suspend) == (pause, suspend)


@pytest.mark.parametrize("status", [300, 301, 302, 307, 400, 405, 414, 415, 501])
def test_not_understood(status: int) -> None:
    """A redirect is not followed: the session would go along."""
    caught = ends(always(Said(status, error("SOME_CODE", "some words"), {"Location": "http://127.0.0.1:1/elsewhere"})))
    assert isinstance(caught, CallRefused)
    assert caught.exit_code == 7
    assert "SOME_CODE: some words" in str(caught)


def test_retired_version_says_what_to_do() -> None:
    caught = ends(always(Said(410, error("UNSUPPORTED_API_VERSION", "gone"))))
    assert "upgrade engage-sync" in str(caught)


@pytest.mark.parametrize(
    ("code", "words"),
    [("API_DISABLED_FOR_ORG", "API Enabled"), ("CLIENT_NOT_ACCESSIBLE_FOR_USER", "CLIENT_NOT_ACCESSIBLE")],
)
def test_forbidden_is_a_matter_of_permissions(code: str, words: str) -> None:
    caught = ends(always(Said(403, error(code))))
    assert isinstance(caught, AccessRefused)
    assert (caught.exit_code, caught.code) == (6, code)
    assert words in str(caught)


@pytest.mark.parametrize(
    "body", [b"<html>hello", b'{"fields": [', b"[]", b'"x"', b"5", b"\xff", b"", b"{}", b'{"fields": 3}']
)
def test_success_that_makes_no_sense_is_tried_again_and_kept(body: bytes) -> None:
    caught = ends(always(Said(200, body)))
    assert type(caught) is Transient
    assert isinstance(caught.__cause__, Misbehaved)


def test_page_that_repeats_the_session_is_kept_without_it() -> None:
    caught = ends(always(Said(200, f"<html>{TOKEN}".encode())))
    assert TOKEN not in str(getattr(caught.__cause__, "answer", ""))
    refused = ends(always(Said(400, error("X", f"bad header {TOKEN}"))))
    assert TOKEN not in str(refused)
    assert TOKEN not in str(getattr(refused, "answer", ""))


def test_no_connection_and_no_answer_are_worth_another_try() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: nobody else answers here
        crm = given(f"http://127.0.0.1:{taken.getsockname()[1]}")
        with pytest.raises(Transient, match="gave no answer to GET sobjects/Contact/describe"):
            crm.pull(KIND, None)


class Told(Turnstile):
    """Notes what passes."""

    def __init__(self) -> None:
        self.seen: list[tuple[CallKind, int | None, Quota | None, float | None]] = []

    def leave(
        self, kind: CallKind, *, status: int | None, quota: Quota | None = None, pause: float | None = None
    ) -> None:
        self.seen.append((kind, status, quota, pause))


@pytest.mark.parametrize(
    ("header", "quota"),
    [
        ("api-usage=18/5000", Quota(daily_limit=5000, daily_remaining=4982)),
        ("api-usage=9/9; per-app-api-usage=1/2(appName=x)", Quota(daily_limit=9, daily_remaining=0)),
        ("per-app-api-usage=1/2(appName=x); api-usage=12/10", Quota(daily_limit=10, daily_remaining=0)),
        ("api-usage=many", None),
        ("", None),
    ],
)
def test_limit_header_is_read_on_every_answer(header: str, quota: Quota | None) -> None:
    for status in (200, 400):
        with scripted(always(Said(status, {"fields": []}, {"Sforce-Limit-Info": header}))) as server:
            crm = given(server.url)
            crm.turnstile = told = Told()
            with pytest.raises(EngageError):
                crm.pull(KIND, None)
        assert told.seen[0] == (CallKind.READ, status, quota, None)


def test_session_that_ended_is_opened_again_once_and_then_the_run_stops(org: SalesforceSandbox) -> None:
    org.faults.add(Fault("session_expired", times=FOREVER))
    crm = salesforce(org)
    with pytest.raises(TokenRefused) as caught:
        crm.pull(KIND, None)
    assert caught.value.exit_code == 6
    assert org.logins == 2
    assert org.calls.count("read") == 2


def test_given_session_that_ended_says_how_to_go_on(org: SalesforceSandbox) -> None:
    settings = {"auth": {"session_id": TOKEN}, "instance_url": org.base_url}
    crm = Salesforce(Salesforce.Settings.model_validate(settings), Memory())
    with pytest.raises(LoginFailed, match="put a new one into the file, or let engage-sync log in by itself"):
        crm.check()


Mistaken = Callable[[SalesforceSandbox], dict[str, str]]


def another_key(org: SalesforceSandbox) -> dict[str, str]:
    made = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    pem = made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return {**certificate(org), "private_key": pem}


@pytest.mark.parametrize(
    ("auth", "todo"),
    [
        pytest.param(another_key, "must belong to the certificate", id="another key"),
        pytest.param(lambda o: {**certificate(o), "username": "ghost@acme.example"}, "", id="unknown user"),
        pytest.param(lambda o: {**credentials(o), "client_id": "3MVG9wrong"}, "consumer key", id="wrong id"),
        pytest.param(lambda o: {**credentials(o), "client_secret": "wrong"}, "consumer secret", id="wrong secret"),
    ],
)
def test_refused_login_says_what_to_do(org: SalesforceSandbox, auth: Mistaken, todo: str) -> None:
    settings = auth(org)
    with pytest.raises(LoginFailed) as caught:
        salesforce(org, auth=settings).check()
    assert "Salesforce refused the login" in str(caught.value)
    assert todo in str(caught.value)
    for name in ("client_secret", "private_key"):
        assert settings.get(name, "?") not in str(caught.value)


def test_audience_is_the_server_that_is_asked_else_the_one_that_all_share(org: SalesforceSandbox) -> None:
    """The sandbox calls itself by its address, and knows login.salesforce.com."""
    elsewhere = {**certificate(org), "login_url": org.base_url.replace("127.0.0.1", "localhost")}
    assert salesforce(org, auth=elsewhere).check().account == org.org_id
    refused = Said(400, {"error": "invalid_grant", "error_description": "audience is invalid"})
    with scripted(always(refused)) as server:
        with pytest.raises(LoginFailed, match=r"set auth\.login_url to the org's My Domain"):
            salesforce(org, auth={**certificate(org), "login_url": server.url}).check()
        assert len(server.asked) == 2


def test_inactive_user_and_unapproved_user_are_told_apart(org: SalesforceSandbox) -> None:
    org.sessions.approved = False
    with pytest.raises(LoginFailed, match="pre-authorized"):
        salesforce(org, auth=certificate(org)).check()
    org.sessions.approved, org.sessions.disabled = True, True
    with pytest.raises(LoginFailed, match="activate the user in Setup"):
        salesforce(org, auth=certificate(org)).check()


@pytest.mark.parametrize(("hours", "words"), [(2, "120 minutes behind"), (-2, "120 minutes ahead of")])
def test_wrong_clock_is_named(org: SalesforceSandbox, clock: Clock, hours: int, words: str) -> None:
    clock.ahead = timedelta(hours=hours)
    with pytest.raises(LoginFailed, match=words):
        salesforce(org, auth=certificate(org)).check()


def test_key_that_is_none_is_told_without_its_text(org: SalesforceSandbox) -> None:
    broken = "-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----"
    with pytest.raises(LoginFailed, match="must be an RSA private key") as caught:
        salesforce(org, auth={**certificate(org), "private_key": broken}).check()
    assert "c2VjcmV0" not in str(caught.value)


@pytest.mark.lesson(1)
@pytest.mark.parametrize("fault", ["login_503", "login_429", "server_error"])
def test_login_that_fails_for_a_moment_is_tried_again(org: SalesforceSandbox, fault: str) -> None:
    """As any other call is (lessons: token refresh met a rate limit)."""
    org.faults.add(Fault(fault, times=2, path="*/oauth2/token"))
    pauses: list[float] = []
    assert hardened(salesforce(org), pauses).check().objects
    assert len(pauses) == 2


def test_login_that_stays_unreachable_ends_the_run_as_unreachable(org: SalesforceSandbox) -> None:
    org.faults.add(Fault("login_503", times=None))
    with pytest.raises(Unreachable):
        hardened(salesforce(org)).check()


@pytest.mark.parametrize("instance", ["http://elsewhere.example", "ftp://x", "", None])
def test_login_cannot_send_us_to_an_unsafe_place(instance: str | None) -> None:
    """The session would travel there in clear."""
    with scripted(always(Said(200, {"access_token": TOKEN, "instance_url": instance}))) as server:
        auth = {"login_url": server.url, "client_id": "key", "client_secret": "hush"}
        crm = Salesforce(Salesforce.Settings.model_validate({"auth": auth}), Memory())
        with pytest.raises(Misbehaved, match="no usable instance_url") as caught:
            crm.check()
    assert TOKEN not in str(caught.value)


def test_login_names_whose_session_it_is(org: SalesforceSandbox) -> None:
    """From the login itself; where it does not tell, by asking."""
    schema = salesforce(org).check()
    assert (schema.account, schema.site) == (org.org_id, org.base_url)
    token = ""

    def answering(asked: Asked) -> Said:
        nonlocal token
        token = asked.headers.get("authorization", "")
        return Said(200, {"organization_id": "00D000000000001EAA", "user_id": "005000000000001AAA"})

    with scripted(answering) as server:
        assert given(server.url)._http.identity().org == "00D000000000001EAA"
    assert token == f"Bearer {TOKEN}"


def test_whole_pull_with_each_way_to_log_in(org: SalesforceSandbox) -> None:
    ids = org.store.create_many("Contact", [{"LastName": "A"}, {"LastName": "B"}])
    for auth in (credentials(org), certificate(org)):
        assert set(pull(salesforce(org, auth=auth), KIND, None).records) == set(ids)
    assert org.logins == 2


def test_environment_takes_neither_our_session_nor_calls_to_this_machine(
    org: SalesforceSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A .netrc would log in as somebody else, a proxy would read a session that is sent in clear."""
    (tmp_path / ".netrc").write_text("default login somebody password else\n")
    (tmp_path / ".netrc").chmod(0o600)
    monkeypatch.setenv("HOME", str(tmp_path))
    with scripted(always(Said(502, b"a proxy"))) as proxy:
        monkeypatch.setenv("http_proxy", proxy.url)
        assert salesforce(org).check().account == org.org_id
        assert proxy.asked == []


def test_long_error_is_read_to_its_end() -> None:
    caught = ends(always(Said(400, error("UNABLE_TO_LOCK_ROW", "0035g000000000AAA, " * 400))))
    assert type(caught) is Transient


def test_refused_login_does_not_repeat_what_was_sent(org: SalesforceSandbox) -> None:
    """A proxy that shows the request in its page."""

    def echo(asked: Asked) -> Said:
        return Said(403, asked.body + b" " + asked.headers.get("authorization", "").encode())

    with scripted(echo) as server:
        for auth in (certificate(org), credentials(org)):
            with pytest.raises(LoginFailed) as caught:
                salesforce(org, auth={**auth, "login_url": server.url}).check()
            sent = server.asked[-1]
            assertion = sent.body.decode().partition("assertion=")[2][:80]
            login = sent.headers.get("authorization", "").removeprefix("Basic ")
            assert any(part for part in (assertion, login))
            assert all(part not in str(caught.value) for part in (assertion, login) if part)

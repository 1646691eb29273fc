"""Calls to a real receiver on loopback: what is sent, what is repeated, what is given up, and what is never told."""

from __future__ import annotations

import hashlib
import hmac
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from ipaddress import ip_address
from pathlib import Path

import pytest
import structlog
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from engage_sync.core.alerting import Change, Message
from engage_sync.core.definitions import Entity
from engage_sync.errors import Mistake
from engage_sync.sync.alert_channels import tried
from engage_sync.sync.couriers import Delivery, End
from engage_sync.sync.posting import READ_AT_MOST
from engage_sync.sync.webhooks import Answer, Call, Receiver, WebhookCourier
from engage_sync.sync.worked import AlertSettings
from tests.sync.receiver import PATIENCE, Inbox, receiver

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
CALL = Call("k1", '{"signal":"usage_drop","name":"Ölwerk"}'.encode())


@pytest.fixture
def inbox() -> Iterator[Inbox]:
    with receiver() as made:
        yield made


class Sender:
    """A receiver as the product sees it, with pauses that pass at once and are written down."""

    def __init__(self, url: str, secret: str | None = None, *, seconds: float = 60.0) -> None:
        self.pauses: list[float] = []
        self.receiver = Receiver(url, secret, sleep=self.pauses.append, clock=lambda: NOW, seconds=(60.0, seconds))

    def send(self, *calls: Call) -> list[Answer]:
        answers = {call.key: answer for call, answer in self.receiver.send(calls)}
        return [answers[call.key] for call in calls if call.key in answers]

    def many(self, count: int) -> list[Answer]:
        return self.send(*(Call(f"k{n}", b"{}") for n in range(count)))


@pytest.fixture
def sender(inbox: Inbox) -> Iterator[Sender]:
    made = Sender(inbox.url)
    yield made
    made.receiver.close()


def test_what_is_sent(inbox: Inbox) -> None:
    sender = Sender(inbox.url + "/a?token=t", "s3cret")
    assert sender.send(CALL) == [Answer(End.DELIVERED, f"{inbox.name} answered 204", 204)]
    sender.receiver.close()
    (got,) = inbox.got
    assert (got.path, got.body) == ("/hook/a?token=t", CALL.body)
    assert got.headers["Content-Type"] == "application/json"
    assert got.headers["Idempotency-Key"] == "k1"
    assert got.headers["User-Agent"].startswith("engage-sync/")
    assert got.headers["X-Engage-Signature"] == "sha256=" + hmac.digest(b"s3cret", CALL.body, hashlib.sha256).hex()


def test_without_a_secret_there_is_no_signature(inbox: Inbox, sender: Sender) -> None:
    sender.send(CALL)
    assert "X-Engage-Signature" not in inbox.got[0].headers


@pytest.mark.parametrize("status", [200, 201, 202, 204])
def test_any_2xx_is_delivered(inbox: Inbox, sender: Sender, status: int) -> None:
    inbox.otherwise = status
    assert [answer.status for answer in sender.send(CALL)] == [End.DELIVERED]


@pytest.mark.parametrize("trouble", [500, 503, 408, 425, 429, "drop"])
def test_what_passes_is_repeated_after_growing_pauses(inbox: Inbox, sender: Sender, trouble: int | str) -> None:
    inbox.answers = [trouble, trouble]
    assert [answer.status for answer in sender.send(CALL)] == [End.DELIVERED]
    assert [(got.key, got.body) for got in inbox.got] == [(CALL.key, CALL.body)] * 3
    assert sender.pauses == [0.5, 1.0]


@pytest.mark.parametrize("trouble", [500, 429, "drop"])
def test_after_three_tries_it_waits_for_the_next_run(inbox: Inbox, sender: Sender, trouble: int | str) -> None:
    inbox.otherwise = trouble
    (answer,) = sender.send(CALL)
    assert (answer.status, len(inbox.got)) == (End.PENDING, 3)
    expected = "the connection ended before an answer came" if trouble == "drop" else f"answered {trouble}"
    assert answer.message is not None
    assert expected in answer.message


def test_a_slow_receiver(inbox: Inbox) -> None:
    inbox.answers = ["hang"]
    one = Sender(inbox.url, seconds=0.5)
    assert [answer.status for answer in one.send(CALL)] == [End.DELIVERED]
    one.receiver.close()
    inbox.otherwise = "hang"
    other = Sender(inbox.url, seconds=0.1)
    assert other.send(CALL) == [Answer(End.PENDING, f"{inbox.name}: no answer within 0.1 seconds")]
    other.receiver.close()


def test_an_answer_that_comes_byte_by_byte_ends_in_time(inbox: Inbox) -> None:
    """Each byte comes in time; the whole does not, be it before the status or after it. The status is what counts."""
    made = Receiver(inbox.url, None, sleep=lambda _: None, clock=lambda: NOW, seconds=(0.3, 0.3))
    inbox.answers = ["drip", "drip", "drip", "trickle", "farewell", 204]
    calls = [Call(f"k{n}", b"{}") for n in range(4)]
    answers = [answer for call in calls for _, answer in made.send([call])]
    made.close()
    assert [answer.status for answer in answers] == [End.PENDING, *[End.DELIVERED] * 3]
    assert inbox.bytes_said < READ_AT_MOST
    told = answers[0].message or ""
    assert re.match(rf"{inbox.name}: no (whole )?answer within", told)  # a busy machine stalls, too


def test_calls_go_over_the_connections_that_are_open(inbox: Inbox, sender: Sender) -> None:
    for _ in range(20):
        sender.send(CALL)
    assert len({one.caller for one in inbox.got}) == 1


@pytest.mark.parametrize("status", [400, 401, 404, 410, 422])
def test_another_4xx_is_final(inbox: Inbox, sender: Sender, status: int) -> None:
    inbox.otherwise = status
    assert sender.send(CALL) == [Answer(End.FAILED, f"{inbox.name} answered {status}", status)]
    assert len(inbox.got) == 1


@pytest.mark.parametrize("status", [301, 302, 307, 308, 304])
def test_redirects_are_not_followed(inbox: Inbox, sender: Sender, status: int) -> None:
    inbox.otherwise, inbox.headers = status, {"Location": inbox.url + "/elsewhere"}
    (answer,) = sender.send(CALL)
    assert (answer.status, answer.code, len(inbox.got)) == (End.FAILED, status, 1)
    assert answer.message is not None
    assert f"answered {status}, a redirect" in answer.message


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        ("7", 7.0),
        ("30", 30.0),
        (format_datetime(NOW + timedelta(seconds=12), usegmt=True), 12.0),
        (format_datetime(NOW - timedelta(seconds=12), usegmt=True), 0.0),
        ("soon", 0.5),
        ("-1", 0.5),
    ],
)
def test_a_pause_asked_for_is_kept(inbox: Inbox, sender: Sender, asked: str, pause: float) -> None:
    inbox.answers, inbox.headers = [429], {"Retry-After": asked}
    assert [answer.status for answer in sender.send(CALL)] == [End.DELIVERED]
    assert sender.pauses == [pause]


def test_a_pause_too_long_waits_for_the_next_run(inbox: Inbox, sender: Sender) -> None:
    inbox.answers, inbox.headers = [503], {"Retry-After": "31"}
    assert [answer.status for answer in sender.send(CALL)] == [End.PENDING]
    assert (len(inbox.got), sender.pauses) == (1, [])


def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


def test_a_receiver_that_is_down_costs_little() -> None:
    """The rest waits after three in a row; those that were under way by then have ended too."""
    sender = Sender(f"http://127.0.0.1:{closed_port()}/hook")
    answers = sender.many(500)
    assert 3 <= len(answers) <= 3 + 3
    assert {answer.status for answer in answers} == {End.PENDING}
    assert len(sender.pauses) <= 2 * len(answers)
    assert sender.receiver.given_up is not None
    assert "Connection refused" in sender.receiver.given_up
    assert sender.many(10) == []
    sender.receiver.close()


def test_one_that_is_lost_now_and_then_is_not_given_up(inbox: Inbox, sender: Sender) -> None:
    for _ in range(5):
        inbox.answers = ["drop"] * 6
        assert [answer.status for answer in [*sender.send(CALL), *sender.send(CALL)]] == [End.PENDING] * 2
        assert [answer.status for answer in sender.send(CALL)] == [End.DELIVERED]
    assert sender.receiver.given_up is None


def test_errors_of_the_receiver_do_not_keep_the_rest_from_being_tried(inbox: Inbox, sender: Sender) -> None:
    """Perhaps it cannot take some of them: all the others are tried, but once."""
    inbox.otherwise = 500
    answers = sender.many(100)
    assert [answer.status for answer in answers] == [End.PENDING] * 100
    assert len(inbox.got) <= 100 + 2 * 6
    assert sender.receiver.given_up is None
    inbox.otherwise = 204
    assert {answer.status for answer in sender.many(10)} == {End.DELIVERED}


def test_a_few_calls_are_open_at_a_time(inbox: Inbox, sender: Sender) -> None:
    assert {answer.status for answer in sender.many(60)} == {End.DELIVERED}
    assert len(inbox.keys()) == 60
    assert inbox.most_open <= 4


@pytest.mark.parametrize(
    "url",
    ["", "s3cret", "hooks.example.com/s3cret", "ftp://s3cret.example.com", "https:///s3cret", "http://h:99999/s3cret",
     "http://[s3cret/", "https://example.com/s3 cret"],
)  # fmt: skip
def test_what_is_no_address_is_refused_without_showing_it(url: str) -> None:
    with pytest.raises(Mistake, match="the address of the webhook must be") as refused:
        Sender(url)
    assert "s3" not in str(refused.value)


def test_a_host_that_cannot_be_is_a_sentence() -> None:
    sender = Sender(f"http://{'x' * 70}.example/hook")
    assert [answer.status for answer in sender.send(CALL)] == [End.PENDING]
    sender.receiver.close()


@pytest.mark.parametrize("trouble", ["drop", 500, 400, 301, "down"])
def test_neither_path_nor_login_nor_secret_is_told(inbox: Inbox, trouble: int | str) -> None:
    port = closed_port() if trouble == "down" else inbox.port
    inbox.otherwise = trouble
    sender = Sender(f"http://bob:hushhush@127.0.0.1:{port}/hushhush?token=hushhush", "hushhush")
    with structlog.testing.capture_logs() as logged:
        answers = sender.many(8)
    sender.receiver.close()
    assert answers
    assert "hushhush" not in repr((answers, logged, sender.receiver.given_up, sender.receiver, CALL))
    assert "bob" not in repr((answers, logged))
    if inbox.got:
        assert inbox.got[0].headers["Authorization"].startswith("Basic ")


def test_certificates_that_are_not_there_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    sender = Sender("https://127.0.0.1:9/hook")
    (answer,) = sender.send(CALL)
    sender.receiver.close()
    assert answer.status is End.PENDING
    told = "127.0.0.1:9: no connection: the certificates that REQUESTS_CA_BUNDLE or CURL_CA_BUNDLE names cannot be read"
    assert answer.message == told
    settings: AlertSettings = {"webhook": "https://127.0.0.1:9/x", "mail": None, "missed": 1.0}
    message = Message("k", NOW, (Change("k", NOW, "x", NOW, None, ("webhook",)),))
    assert tried(settings, message, "here") == [(f"webhook: not told: {told}", False)]


def test_no_login_comes_from_a_netrc(inbox: Inbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login bob password hushhush\n")
    monkeypatch.setenv("NETRC", str(netrc))
    sender = Sender(inbox.url)
    sender.send(CALL)
    sender.receiver.close()
    assert "Authorization" not in inbox.got[0].headers


def test_a_proxy_of_the_environment_is_used(inbox: Inbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The receiver plays the proxy: it is asked for the whole address."""
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{inbox.port}")
    monkeypatch.delenv("no_proxy", raising=False)
    monkeypatch.delenv("NO_PROXY", raising=False)
    sender = Sender("http://hooks.example.com/hook")
    assert [answer.status for answer in sender.send(CALL)] == [End.DELIVERED]
    sender.receiver.close()
    assert inbox.got[0].path == "http://hooks.example.com/hook"


def certificate(folder: Path) -> tuple[Path, ssl.SSLContext]:
    """Make a certificate for this machine that nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    made = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    signed = made.add_extension(names, critical=False).sign(key, hashes.SHA256())
    file = folder / "own.pem"
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    file.write_bytes(signed.public_bytes(Encoding.PEM) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return file, context


def test_certificates_are_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    monkeypatch.delenv("CURL_CA_BUNDLE", raising=False)
    file, context = certificate(tmp_path)
    with receiver(context) as inbox:
        unknown = Sender(f"https://{inbox.name}/hook")
        (answer,) = unknown.send(CALL)
        unknown.receiver.close()
        assert (answer.status, inbox.got) == (End.PENDING, [])
        assert "certificate verify failed" in (answer.message or "")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(file))
        known = Sender(f"https://{inbox.name}/hook")
        assert [answer.status for answer in known.send(CALL)] == [End.DELIVERED]
        known.receiver.close()


def test_closing_ends_a_pause(inbox: Inbox) -> None:
    """Without a clock of one's own: a run that is interrupted does not sit out what a receiver asked for."""
    inbox.otherwise, inbox.headers = 503, {"Retry-After": "30"}
    made = Receiver(inbox.url, None, sleep=None, clock=lambda: NOW)
    waiting = threading.Thread(target=lambda: list(made.send([CALL])))
    waiting.start()
    assert inbox.answered.wait(PATIENCE)
    begun = time.monotonic()
    made.close()
    waiting.join(PATIENCE)
    assert time.monotonic() - begun < 25
    assert not waiting.is_alive()


def test_what_began_together_is_settled_together(inbox: Inbox) -> None:
    """One commit for all of them."""
    courier = WebhookCourier(inbox.url, None, sleep=lambda _: None, clock=lambda: NOW)
    inbox.answers = [204, 400]
    rows = [Delivery(f"k{n}", "quiet", Entity.USER, f"u{n}", "on", 0, "{}", 0) for n in range(courier.batch)]
    try:
        (ends,) = courier.carry(rows)
    finally:
        courier.close()
    assert sorted(one.key for one in ends) == [row.key for row in rows]
    assert sorted(one.result or "" for one in ends) == ["HTTP 204"] * 3 + ["HTTP 400"]

"""The ways an alert goes out: a webhook as Slack has them, and mail. One attempt each, bounded in time. Nothing that is
said of a failure holds more of an address than host and port: its path, its login and its query may be secrets.
"""

from __future__ import annotations

import json
import smtplib
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from email.message import EmailMessage
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import SplitResult, unquote, urlsplit

from engage_sync.connectors.addresses import is_loopback
from engage_sync.core.alerting import Message, subject, text
from engage_sync.errors import EngageError, Mistake
from engage_sync.sync.bounded import Talk, at_most
from engage_sync.sync.posting import Line, Silent

if TYPE_CHECKING:
    from engage_sync.sync.worked import AlertSettings, MailSettings

SECONDS = 10.0
"""To connect, and for each answer."""
WHOLE = 5
"""Times that, for all of an attempt: a receiver may speak drop by drop."""
WEBHOOK, MAIL = "webhook", "mail"
CHANNELS = (WEBHOOK, MAIL)
MOST_TEXT = 12_000
"""Characters of a webhook's text; Slack cuts at 40,000, others earlier."""
_LONGEST_PAUSE = 3_600.0
_UNWANTED = frozenset({400, 413, 415, 422})
"""Answers that are about what was sent, not about who sent it or where."""
_PORTS = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}


class NotTold(EngageError):
    """An attempt failed. The text is a sentence without secrets; `pause` the seconds that the receiver asked for.
    `refused`: it is there, and does not want this message; another it may take."""

    def __init__(self, what: str, pause: float | None = None, *, refused: bool = False) -> None:
        self.pause, self.refused = pause, refused
        super().__init__(what)


class Channel(Protocol):
    """One way out. `name` says where it leads, without secrets."""

    name: str

    def send(self, message: Message, place: str) -> None:
        """Send once. Raises NotTold."""

    def reach(self) -> bool:
        """Connect, and say nothing. False where that was not tried. Raises NotTold."""


class Webhook:
    """Posts `{"text": …}`. Raises Mistake for what is no http or https address."""

    def __init__(self, url: str, seconds: float = SECONDS) -> None:
        self._line = Line(url, (seconds, seconds), WHOLE * seconds)
        self.name = self._line.name

    def send(self, message: Message, place: str) -> None:
        """Post the message, its key as `Idempotency-Key`. Raises NotTold unless the answer is 2xx."""
        body = json.dumps({"text": _escaped(text(message, place))[:MOST_TEXT]}, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": message.key}
        try:
            with closing(self._line) as line:
                said = line.post(body, headers)
        except Silent as silent:
            raise NotTold(str(silent)) from None
        code, asked = said.code, (said.retry_after or "").strip()
        if not 200 <= code < 300:
            wait = min(float(asked), _LONGEST_PAUSE) if asked.isascii() and asked.isdigit() else None
            raise NotTold(f"{self.name} answered {code}", wait, refused=code in _UNWANTED)

    def reach(self) -> bool:
        """Connect to the host. False behind a proxy. Raises NotTold."""
        try:
            return self._line.reach()
        except Silent as silent:
            raise NotTold(str(silent)) from None


@dataclass(frozen=True, slots=True)
class _Server:
    """A mail server as its URL names it."""

    scheme: str
    host: str
    port: int
    user: str | None
    password: str


class Mail:
    """Mails by SMTP. Raises Mistake for a URL that names no mail server, and for what is no mail address."""

    def __init__(self, settings: MailSettings, seconds: float = SECONDS) -> None:
        self._server = _server(settings["smtp"])
        host = f"[{self._server.host}]" if ":" in self._server.host else self._server.host
        self.name = f"{host}:{self._server.port}"
        self._from, self._to, self._seconds = settings["sender"], tuple(settings["to"]), seconds
        # What the envelope carries, without the names of people.
        self._envelope = [_bare(one) for one in (self._from, *self._to)]

    def send(self, message: Message, place: str) -> None:
        """Mail the message to all at once. Raises NotTold unless the server takes it for one of them at least; a mail
        that is sent again has the same Message-ID."""
        mail = self._mail(message, place)
        try:
            with _limited(self.name, self._seconds) as talk, closing(self._connected(talk)) as client:
                self._deliver(client, mail)
        except (OSError, smtplib.SMTPException, UnicodeError, ValueError) as error:
            refused = isinstance(error, smtplib.SMTPDataError) and error.smtp_code >= 500
            raise NotTold(f"{self.name}: {_smtp_reason(error, self._seconds)}", refused=refused) from None

    def reach(self) -> bool:
        """Hear the server's greeting."""
        try:
            with _limited(self.name, self._seconds) as talk, closing(self._connected(talk)):
                talk.check()
        except (OSError, smtplib.SMTPException, UnicodeError, ValueError) as error:
            raise NotTold(f"{self.name}: {_smtp_reason(error, self._seconds)}") from None
        return True

    def _connected(self, talk: Talk) -> smtplib.SMTP:
        server, seconds, here = self._server, self._seconds, socket.gethostname()
        # With our name given, smtplib asks no name server for it, which may take long.
        if server.scheme == "smtps":
            context = ssl.create_default_context()
            return _SecureClient(talk, server.host, server.port, here, timeout=seconds, context=context)
        return _Client(talk, server.host, server.port, here, timeout=seconds)

    def _deliver(self, client: smtplib.SMTP, mail: EmailMessage) -> None:
        if self._server.scheme == "smtp+starttls":
            client.starttls(context=ssl.create_default_context())
        if self._server.user is not None:
            client.login(self._server.user, self._server.password)
        client.send_message(mail, self._envelope[0], self._envelope[1:])
        # It is taken: how the goodbye goes changes nothing.
        with suppress(OSError, smtplib.SMTPException):
            client.quit()

    def _mail(self, message: Message, place: str) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = subject(message, " ".join(place.split()))
        mail["From"], mail["To"] = self._from, ", ".join(self._to)
        mail["Date"] = format_datetime(message.at)
        mail["Message-ID"] = f"<{message.key}@engage-sync.invalid>"
        mail["Auto-Submitted"] = "auto-generated"
        mail.set_content(text(message, place))
        return mail


class _Client(smtplib.SMTP):
    """A client whose connection belongs to a talk from the first byte on."""

    kept: Any = None

    def __init__(self, talk: Talk, *given: Any, **more: Any) -> None:
        self._talk = talk
        super().__init__(*given, **more)

    def connect(self, *given: Any, **more: Any) -> tuple[int, bytes]:
        """Connect, and hear the greeting."""
        self._talk.goes_over(self)
        return super().connect(*given, **more)


class _SecureClient(_Client, smtplib.SMTP_SSL):
    """The same, secured from the beginning."""


@contextmanager
def _limited(name: str, seconds: float) -> Iterator[Talk]:
    """Give a talk for all of an attempt. Raises NotTold where it was cut off before its end."""
    try:
        with at_most(WHOLE * seconds) as talk:
            yield talk
    except Exception:
        if talk.over:
            raise NotTold(f"{name}: no whole answer within {WHOLE * seconds:g} seconds") from None
        raise


class Unusable:
    """A channel whose settings are wrong: every attempt says so."""

    def __init__(self, name: str, why: str) -> None:
        self.name, self._why = name, why

    def send(self, message: Message, place: str) -> None:  # noqa: ARG002 - the channel's shape
        """Raise NotTold."""
        raise NotTold(self._why)

    def reach(self) -> bool:
        """Raise NotTold."""
        raise NotTold(self._why)


def channels(settings: AlertSettings, seconds: float = SECONDS) -> dict[str, Channel]:
    """Give the channels that are configured, by WEBHOOK and MAIL. Wrong settings make one that fails with a sentence:
    the other works all the same."""
    found: dict[str, Channel] = {}
    url, mail = settings["webhook"], settings["mail"]
    if url:
        found[WEBHOOK] = _made(WEBHOOK, lambda: Webhook(url, seconds))
    if mail is not None:
        found[MAIL] = _made(MAIL, lambda: Mail(mail, seconds))
    return found


def _made(kind: str, make: Callable[[], Channel]) -> Channel:
    try:
        return make()
    except Mistake as mistake:
        return Unusable(kind, f"alerts.{kind}: {mistake}")


def _server(url: str) -> _Server:
    """Take a mail server's URL apart. Raises Mistake, whose sentence does not hold it."""
    wrong = "the mail server must be one like smtp://HOST:25, smtp+starttls://USER:PASSWORD@HOST:587 or smtps://HOST"
    try:
        parts: SplitResult = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError:
        raise Mistake(wrong) from None
    extra = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in _PORTS or not host or extra or any(character.isspace() for character in url.strip()):
        raise Mistake(f"{wrong}; special characters of a password are written as in a URL, e.g. %2F for /")
    user = None if parts.username is None else unquote(parts.username)
    if user is not None and parts.scheme == "smtp" and not is_loopback(host):
        raise Mistake("smtp:// would send the password in clear; use smtp+starttls:// or smtps://")
    return _Server(parts.scheme, host, port or _PORTS[parts.scheme], user, unquote(parts.password or ""))


def _bare(written: str) -> str:
    """Give the address of `Name <address>`. Raises Mistake."""
    probe = EmailMessage()
    try:
        probe["To"] = written
        found = probe["To"].addresses
    except (ValueError, IndexError, AttributeError):
        found = ()
    if len(found) != 1 or not found[0].username or not found[0].domain:
        raise Mistake(f"{written!r} is no mail address; write it like ops@example.com")
    return str(found[0].addr_spec)


def _smtp_reason(error: Exception, seconds: float) -> str:
    """Say why a mail was not taken. What servers say beside their code may repeat a login."""
    if isinstance(error, smtplib.SMTPResponseException | smtplib.SMTPRecipientsRefused):
        return f"the mail server {_refusal(error)}"
    if isinstance(error, smtplib.SMTPNotSupportedError):
        return "the mail server offers no STARTTLS, no login, or no addresses outside ASCII: see what it wants"
    if isinstance(error, TimeoutError) or "timed out" in str(error):
        return f"no answer within {seconds:g} seconds"
    if isinstance(error, ssl.SSLError):
        return f"no TLS connection ({error.reason or 'broken off'})"
    if isinstance(error, OSError) and error.strerror:
        return f"no connection ({error.strerror})"
    return "the connection ended before an answer came"


def _refusal(error: smtplib.SMTPResponseException | smtplib.SMTPRecipientsRefused) -> str:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        codes: Mapping[str, tuple[int, bytes]] = error.recipients
        return f"refused every recipient ({', '.join(sorted({str(one[0]) for one in codes.values()}))})"
    if isinstance(error, smtplib.SMTPAuthenticationError):
        return f"refused the login ({error.smtp_code})"
    return f"answered {error.smtp_code}"


def _escaped(words: str) -> str:
    """Write a text so that nothing in it is a command to Slack, such as <!channel>."""
    return words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def tried(
    settings: AlertSettings, message: Message, place: str, seconds: float = SECONDS
) -> Sequence[tuple[str, bool]]:
    """Send a message to each channel now; give a sentence for each, and whether it went out."""
    told: list[tuple[str, bool]] = []
    for kind, channel in channels(settings, seconds).items():
        try:
            channel.send(message, place)
        except NotTold as error:
            told.append((f"{kind}: not told: {error}", False))
        else:
            told.append((f"{kind}: {channel.name} took it", True))
    return told

"""A mail server on loopback that keeps what it got, and fails as it is told: `login`, `recipients`, `drop` (after the
mail), `stall` (it greets nobody), `drip` (its greeting never ends), or with a code after the mail."""

from __future__ import annotations

import base64
import socketserver
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default

from tests.sync.receiver import Quiet, over_tls, serving

PATIENCE = 30.0


@dataclass
class Mailbox:
    """What came in, and what happens next; after the last of `answers` every mail is taken."""

    port: int
    answers: list[str] = field(default_factory=list)
    got: list[EmailMessage] = field(default_factory=list)
    recipients: list[list[str]] = field(default_factory=list)
    logins: list[str] = field(default_factory=list)
    secured: list[bool] = field(default_factory=list)
    stalling: threading.Event = field(default_factory=threading.Event)
    taken: threading.Event = field(default_factory=threading.Event)
    ending: threading.Event = field(default_factory=threading.Event)

    @property
    def name(self) -> str:
        return f"127.0.0.1:{self.port}"


class _Session(socketserver.StreamRequestHandler):
    mailbox: Mailbox
    tls: ssl.SSLContext | None

    def handle(self) -> None:
        self.behaviour = self.mailbox.answers.pop(0) if self.mailbox.answers else "take"
        self.secure, self.login, self.to = isinstance(self.request, ssl.SSLSocket), "", []
        if self.behaviour == "drip":
            with suppress(OSError):
                while not self.mailbox.ending.wait(0.01):
                    self.wfile.write(b"2")
            return
        if self.behaviour == "stall":
            self.mailbox.stalling.set()
            self.mailbox.ending.wait(PATIENCE)
            return
        self.say("220 mail.test")
        while line := self.rfile.readline():
            word, _, rest = line.decode().strip().partition(" ")
            answer = getattr(self, f"on_{word.lower()}", lambda _: "502 what?")(rest)
            if answer is None:
                return
            if answer:
                self.say(answer)

    def say(self, words: str) -> None:
        self.wfile.write(words.encode() + b"\r\n")
        self.wfile.flush()

    def on_ehlo(self, _: str) -> str:
        offers = ["250-mail.test", "250-AUTH PLAIN LOGIN"]
        if self.tls is not None and not self.secure:
            offers.append("250-STARTTLS")
        return "\r\n".join([*offers, "250 8BITMIME"])

    def on_starttls(self, _: str) -> str:
        assert self.tls is not None
        self.say("220 go on")
        self.request = self.tls.wrap_socket(self.request, server_side=True)
        self.rfile, self.wfile = self.request.makefile("rb"), self.request.makefile("wb")
        self.secure = True
        return ""

    def on_auth(self, rest: str) -> str:
        self.login = base64.b64decode(rest.rpartition(" ")[2]).decode()
        return "535 no: " + self.login.replace("\0", " ") if self.behaviour == "login" else "235 welcome"

    def on_mail(self, _: str) -> str:
        return "250 ok"

    def on_rcpt(self, rest: str) -> str:
        if self.behaviour == "recipients":
            return f"550 nobody: {rest}"
        self.to.append(rest.partition("<")[2].partition(">")[0])
        return "250 ok"

    def on_data(self, _: str) -> str | None:
        self.say("354 go ahead")
        lines = []
        while (line := self.rfile.readline()) not in {b".\r\n", b""}:
            lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
        box, mail = self.mailbox, message_from_bytes(b"".join(lines), policy=default)
        assert isinstance(mail, EmailMessage)
        box.got.append(mail)
        box.recipients.append(self.to)
        box.logins.append(self.login)
        box.secured.append(self.secure)
        if self.behaviour == "drop":
            return None
        if self.behaviour.isdigit():
            return f"{self.behaviour} not now"
        box.taken.set()
        return "250 taken"

    def on_rset(self, _: str) -> str:
        return "250 ok"

    def on_quit(self, _: str) -> str | None:
        self.say("221 bye")
        return None


class _Server(Quiet, socketserver.ThreadingTCPServer):
    tls: ssl.SSLContext | None = None


@contextmanager
def mailbox(tls: ssl.SSLContext | None = None, *, at_once: bool = False) -> Iterator[Mailbox]:
    """Listen on a free port for the length of a `with` block; `tls` after STARTTLS, or `at_once`."""
    handler = type("Session", (_Session,), {"tls": tls})
    with _Server(("127.0.0.1", 0), handler) as server:
        over_tls(server, tls if at_once else None)
        box = handler.mailbox = Mailbox(server.server_address[1])
        with serving(server, box.ending):
            yield box

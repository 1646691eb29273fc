"""How fast the Salesforce connector is, and how few calls it makes, against a sandbox in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from math import ceil
from pathlib import Path

from bench.bench_sync import COMMAND, ENGAGE, write_people
from bench.harness import Row, measured, measured_command

SETUP = """
import logging, structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
from collections import Counter
from engage_sync.connectors.base import Change, Kind, Role
from engage_sync.connectors.salesforce import Salesforce
from engage_sync.connectors.wrappers import harden
import engage_sync.connectors.salesforce_line
class Memory(dict):
    def put(self, key, value):
        self[key] = value
crm = harden(Salesforce(Salesforce.Settings.model_validate({"auth": AUTH}), Memory()))
"""
PUSH_SETUP = """
import json
IDS = json.load(open(IDS_FILE))[:COUNT]
changes = [Change(record, {name: f"{name} of {record}" for name in WRITTEN}) for record in IDS]
"""
PUSH = """
ends = Counter(outcome.status.value for outcome in crm.push(Kind("Contact", Role.CONTACT), changes))
RESULT = dict(ends)
"""
PULL = """
kind, cursor, seen = Kind("Contact", Role.CONTACT, tuple(FIELDS)), None, 0
while True:
    page = crm.pull(kind, cursor)
    seen, cursor = seen + len(page.records), page.cursor
    if page.done:
        break
RESULT = seen
"""
FIELDS = [
    "FirstName", "LastName", "Email", "Title", "Department", "Phone", "MobilePhone", "MailingCity", "MailingStreet",
    "MailingState", "MailingPostalCode", "MailingCountry", "LeadSource", "AccountId", "CreatedDate", "Health__c",
    "Stage__c", "Segments__c", "Link__c", "Plan__c",
]  # fmt: skip
WRITTEN = ["Health__c", "Stage__c", "Segments__c", "Link__c", "Plan__c", "Heat__c"]
CONNECTOR = """connector: salesforce
auth: {{login_url: "{base_url}", client_id: "{client_id}", client_secret: "{client_secret}"}}
objects:
  Contact:
    entity: user
    match: {{email: Email}}
    write: {{Health__c: external_id, Stage__c: primary_user_type}}
"""


class Server:
    """A sandbox in another process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        hello = self._line()
        self.ids: list[str] = list(hello.pop("ids"))  # type: ignore[call-overload]
        self.hello = hello

    def report(self) -> dict[str, int]:
        """Give the counts since the last report."""
        assert self._process.stdin is not None
        self._process.stdin.write("{}\n")
        self._process.stdin.flush()
        return self._line()  # type: ignore[return-value]

    def fill(self, code: str, **more: object) -> str:
        """Put the sandbox's address and our fields into code."""
        auth = {"login_url": self.hello["base_url"], **{n: self.hello[n] for n in ("client_id", "client_secret")}}
        for name, value in {"AUTH": auth, "FIELDS": FIELDS, "WRITTEN": WRITTEN, **more}.items():
            code = code.replace(name, repr(value))
        return code

    def _line(self) -> dict[str, object]:
        assert self._process.stdout is not None
        told: dict[str, object] = json.loads(self._process.stdout.readline())
        return told


@contextmanager
def sandbox(contacts: int) -> Iterator[Server]:
    """Run a sandbox in a process of its own."""
    argv = [sys.executable, "-m", "bench.salesforce_server", str(contacts)]
    root = Path(__file__).parent.parent
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        yield Server(process)
        assert process.stdin is not None
        process.stdin.close()


def connector_rows(contacts: int = 100_000, few: int = 1_000) -> list[Row]:
    """Pull all, write a few by collections, write all by jobs."""
    rows = []
    with sandbox(contacts) as server, tempfile.NamedTemporaryFile("w", suffix=".json") as ids:
        json.dump(server.ids, ids)
        ids.flush()
        setup = server.fill(SETUP)
        done, told = measured(server.fill(PULL), setup=setup), server.report()
        pages = ceil(contacts / 2_000)
        good = done.cpu <= 6 and done.result == contacts and told["calls"] <= pages + 4
        figure = f"{done.cpu:.2f} s CPU, {done.rss_mb:.0f} MB, {told['calls']} calls"
        rows.append(
            Row(f"first pull of {contacts:,} contacts, 20 fields", figure, f"CPU ≤ 6 s, {pages} + 4 calls", "-", good)
        )
        for count, most, name in ((few, ceil(few / 200), "collections"), (contacts, 30, "Bulk 2.0")):
            more = server.fill(PUSH_SETUP, IDS_FILE=ids.name, COUNT=count)
            done, told = measured(PUSH, setup=setup + more), server.report()
            # Besides the write calls there is the description of the object, which a process asks for once.
            calls = told["writes"] if name == "collections" else told["calls"]
            good = calls <= most and done.cpu <= 6 and done.rss_mb <= 600 and done.result == {"written": count}
            figure = f"{done.wall:.1f} s, {done.cpu:.2f} s CPU, {done.rss_mb:.0f} MB, {calls} calls"
            reach = f"≤ {most} calls, CPU ≤ 6 s, RSS ≤ 600 MB" if name != "collections" else f"{most} calls"
            if name != "collections":
                figure += f" and {told['looks']} looks"
            rows.append(Row(f"push of {count:,} changed contacts, {name}", figure, reach, "-", good))
    return rows


def sync_row(contacts: int = 5_000) -> Row:
    """A sync that writes every contact, and the one after it."""
    with sandbox(contacts) as server, tempfile.TemporaryDirectory(prefix="engage-sync-bench-") as name:
        root = Path(name)
        for folder in ("config", "connectors"):
            (root / folder).mkdir()
        (root / "config" / "engage.yaml").write_text(ENGAGE)
        (root / "connectors" / "salesforce.yaml").write_text(CONNECTOR.format(**server.hello))
        write_people(root / "people.jsonl", contacts, "person{}@example.com")
        measured_command(COMMAND, "import", str(root / "people.jsonl"), "--project", str(root))
        first, wrote = measured_command(COMMAND, "sync", "--project", str(root)), server.report()
        second, nothing = measured_command(COMMAND, "sync", "--project", str(root)), server.report()
        good = first.result == second.result == 0 and wrote["writes"] > 0 and nothing["writes"] == 0
        figure = f"{nothing['writes']} write calls (the first: {wrote['writes']}), {second.cpu:.1f} s CPU"
        return Row(f"second sync of {contacts:,} contacts, nothing changed", figure, "0 write calls", "-", good)


def rows() -> list[Row]:
    """Give all rows of this file."""
    return [*connector_rows(), sync_row()]


if __name__ == "__main__":
    for row in rows():
        print(row)

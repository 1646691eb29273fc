"""How fast the HubSpot connector is, and how few calls it makes, against a sandbox in a process of its own.

`rows()` takes the connector alone; a caller that measures whole steps hands in its own code for `pull` or `push`, which
is run with the sandbox's address in place of BASE_URL and TOKEN.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.harness import Row, measured

SETUP = """
import logging, structlog
structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.WARNING))
from engage_sync.connectors.base import Change, Cursor, Kind, Role
from engage_sync.connectors.hubspot import HubSpot
from engage_sync.connectors.wrappers import harden
import hubspot.crm.owners
class Memory(dict):
    def put(self, key, value): self[key] = value
def connect(): return harden(HubSpot(HubSpot.Settings.model_validate(
    {"auth": {"access_token": TOKEN}, "base_url": BASE_URL}), Memory()))
FIELDS = FIELD_LIST
KIND = Kind("contacts", Role.CONTACT, tuple(FIELDS))
def pull_all(crm, cursor):
    seen = 0
    while True:
        page = crm.pull(KIND, cursor)
        seen, cursor = seen + len(page.records), page.cursor
        if page.done:
            return seen, cursor
"""
PULL = """
crm = connect()
seen, cursor = pull_all(crm, START)
RESULT = {"seen": seen, "cursor": cursor, "calls": crm.calls, "pages": crm.pages}
"""
PUSH_SETUP = """
from collections import Counter
changes = [Change(str(number), {"jobtitle": f"new {number}", "city": "Bern"}) for number in range(FIRST, LAST + 1)]
"""
PUSH = """
crm = connect()
ends = Counter(outcome.status.value for outcome in crm.push(KIND, changes))
RESULT = {"ends": ends, "calls": crm.calls}
"""
FIELDS = [
    "email", "firstname", "lastname", "jobtitle", "company", "phone", "mobilephone", "city", "country", "state", "zip",
    "address", "website", "industry", "salutation", "lifecyclestage", "hs_lead_status", "annualrevenue", "createdate",
    "associatedcompanyid",
]  # fmt: skip
LATENCY = 0.15
WINDOWS = 20.0 + LATENCY
"""Seconds that 500 calls take at least at 190 per 10 s: two full windows and the last call."""


class Server:
    """A sandbox in another process."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process
        self.hello = self._line()

    def order(self, **order: object) -> dict[str, object]:
        """Send one command and give its answer."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._line()

    def fill(self, code: str, **more: object) -> str:
        """Put the sandbox's address into code."""
        names = {"BASE_URL": self.hello["base_url"], "TOKEN": self.hello["token"], "FIELD_LIST": FIELDS, **more}
        for name, value in names.items():
            code = code.replace(name, repr(value))
        return code

    def _line(self) -> dict[str, object]:
        assert self._process.stdout is not None
        told: dict[str, object] = json.loads(self._process.stdout.readline())
        return told


@contextmanager
def sandbox(contacts: int, latency: float, limits: str) -> Iterator[Server]:
    """Run a sandbox in a process of its own."""
    argv = [sys.executable, "-m", "bench.hubspot_server", str(contacts), str(latency), limits]
    root = Path(__file__).parent.parent
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=root) as process:
        yield Server(process)
        assert process.stdin is not None
        process.stdin.close()


def pull_rows(contacts: int = 100_000, pull: str = PULL) -> list[Row]:
    """First pull, then increments of 3,570 and of 12,000 within one millisecond."""
    with sandbox(contacts, 0.0, "unlimited") as server:
        setup = server.fill(SETUP)
        first = measured(server.fill(pull, START=None), setup=setup)
        cursor, rows = first.result["cursor"], []
        calls = server.order(report=True)["calls"]
        figure = f"{first.cpu:.2f} s CPU, {first.rss_mb:.0f} MB, {calls['read']} calls"
        good = first.cpu <= 5 and first.rss_mb <= 400 and first.result["seen"] == contacts
        rows.append(
            Row(f"first pull of {contacts:,} contacts, 20 properties", figure, "CPU ≤ 5 s, RSS ≤ 400 MB", "-", good)
        )
        for name, order, count, most in (
            (f"increment of 3,570 among {contacts:,}", "touch", 3_570, 20),
            ("increment of 12,000 sharing one millisecond", "same", 12_000, 62),
        ):
            server.order(**{order: count})
            done = measured(server.fill(pull, START=cursor), setup=setup)
            calls = server.order(report=True)["calls"]
            used = calls["read"] + calls["search"]
            good = used <= most and done.result["seen"] >= count
            rows.append(Row(name, f"{used} calls, {done.result['seen']} records", f"≤ {most} calls", "-", good))
        return rows


def push_rows(changes: int = 50_000, push: str = PUSH, push_setup: str = PUSH_SETUP) -> list[Row]:
    """Push at 190 calls per 10 s and 150 ms latency."""
    with sandbox(changes, LATENCY, "limits") as server:
        ids = {"FIRST": int(str(server.hello["first"])), "LAST": int(str(server.hello["last"]))}
        done = measured(server.fill(push, **ids), setup=server.fill(SETUP + push_setup, **ids))
        report = server.order(report=True)
    twice = sum(count for edits, count in report["edits"].items() if int(edits) > 2)
    calls, statuses = report["calls"]["write"], report["statuses"]
    figure = (
        f"{done.wall:.1f} s, {done.cpu:.2f} s CPU, {calls} calls, {statuses.get('429', 0)} times 429, {twice} twice"
    )
    good = done.wall <= 1.15 * WINDOWS and done.cpu <= 4 and calls == changes // 100 and twice == 0
    reach = f"≤ {1.15 * WINDOWS:.1f} s, CPU ≤ 4 s, {changes // 100} calls"
    return [Row(f"push of {changes:,} contacts, 190 calls/10 s, 150 ms", figure, reach, f"{WINDOWS:.1f} s", good)]


def rows() -> list[Row]:
    """Give all rows of this file."""
    return [*pull_rows(), *push_rows()]


if __name__ == "__main__":
    for row in rows():
        print(row)

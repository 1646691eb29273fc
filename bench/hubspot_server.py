"""A sandbox HubSpot in a process of its own, so that its CPU is not counted as the worker's; driven by lines of JSON.

Started by `bench_hubspot.py`. Commands on stdin: `{"touch": N}` changes N contacts spread over time, `{"same": N}` N
contacts within one millisecond, `{"age": SECONDS}` makes all changes that much older, `{"report": true}` counts calls
and writes. Each gets one line of JSON back.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

from engage_sync.sandbox.limits import UNLIMITED, Rates
from engage_sync.sandbox.seed import Seed
from engage_sync.sandbox.server import Options, Sandbox, start

FIELDS = (
    "address", "annualrevenue", "city", "company", "country", "firstname", "hs_lead_status", "industry", "jobtitle",
    "lastname", "lifecyclestage", "mobilephone", "phone", "salutation", "state", "website", "zip", "email",
)  # fmt: skip


class Clock:
    """The wall clock, or one instant held still."""

    def __init__(self) -> None:
        self.held: datetime | None = None

    def __call__(self) -> datetime:
        return self.held or datetime.now(UTC)


def contact(number: int, names: set[str]) -> dict[str, str]:
    """Give a contact last changed a day or more ago, one a second."""
    stamp = datetime.now(UTC) - timedelta(days=1, seconds=number)
    filled = {name: f"{name} {number}" for name in FIELDS if name in names and name not in {"lifecyclestage"}}
    filled["email"] = f"person{number}@example.com"
    return {**filled, "lastmodifieddate": stamp.strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"}


def obey(sandbox: Sandbox, clock: Clock, order: dict[str, int], ids: list[str]) -> dict[str, object]:
    """Carry out one command."""
    if "touch" in order or "same" in order:
        if "same" in order:
            clock.held = datetime.now(UTC)
        for number, record in enumerate(ids[: order.get("touch") or order.get("same") or 0]):
            sandbox.store.update("contacts", record, {"jobtitle": f"changed {number} {clock()}"})
        clock.held = None
        return {"done": True}
    if "age" in order:
        shelf = sandbox.store.shelf("contacts")
        for record in shelf.records.values():
            shelf.stamp(record, record.modified - order["age"] * 1_000)
        return {"done": True}
    edits = Counter(
        len([e for e in sandbox.store.edits("contacts", one) if e.source.startswith("INTEG")]) for one in ids
    )
    counts = {kind: sandbox.calls.count(kind) for kind in ("read", "search", "write", "login")}
    statuses = {str(status): count for status, count in sandbox.calls.statuses().items()}
    sandbox.calls.clear()
    return {"edits": {str(n): count for n, count in edits.items()}, "calls": counts, "statuses": statuses}


def main() -> None:
    """Serve until stdin ends. Arguments: contacts, latency in seconds, `limits` or `unlimited`."""
    count, latency, limits = int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]
    clock = Clock()
    rates = Rates(burst=190, window=10.0, search=None) if limits == "limits" else UNLIMITED
    options = Options(latency=latency, rates=rates, clock=clock)
    with start(options=options) as sandbox:
        names = set(sandbox.store.types["contacts"].properties)
        made = Seed(contacts=[contact(number, names) for number in range(count)])
        ids = sandbox.store.create_many("contacts", made.contacts)
        print(
            json.dumps({"base_url": sandbox.base_url, "token": sandbox.token, "first": ids[0], "last": ids[-1]}),
            flush=True,
        )
        for line in sys.stdin:
            print(json.dumps(obey(sandbox, clock, json.loads(line), ids)), flush=True)


if __name__ == "__main__":
    main()

"""Views to show: one of a project in which everything is known, one of a process that has just begun."""

from __future__ import annotations

from datetime import UTC, datetime

from engage_sync.core.overview import AlertView, ConnectorView, DaemonView, JobView, Snapshot

NOON = datetime(2026, 6, 1, 12, tzinfo=UTC)

NOTHING_YET: ConnectorView = {
    "last_pull": None,
    "last_push": None,
    "failures": 0,
    "held": False,
    "holds": [],
    "drift": {"kept": 0, "overwritten": 0},
    "quota": None,
    "suspended_until": None,
    "records": {},
    "linked": {},
    "cursor_at": {},
    "silent": {},
}
"""What is known of a connector before its first run."""

SNAPSHOT: Snapshot = {
    "at": "2026-06-01T11:59:00Z",
    "connectors": {
        "hs-eu": {
            "last_pull": "2026-06-01T11:45:00Z",
            "last_push": "2026-06-01T11:00:00.500Z",
            "failures": 3,
            "held": True,
            "holds": ["change_share"],
            "drift": {"kept": 4, "overwritten": 5},
            "quota": {"limit": 1000, "used": 700, "left": 100},
            "suspended_until": "2026-06-02T00:00:00Z",
            "records": {"contacts": {"written": 7, "unchanged": 90, "held": 0}},
            "linked": {"contacts": 97},
            "cursor_at": {"contacts": "2026-06-01T11:45:00Z", "companies": None},
            "silent": {"contacts": {"since": "2026-04-13T08:00:00Z", "usual": 223_200.0}},
        },
        "new": {**NOTHING_YET, "linked": {"Account": 0}, "cursor_at": {"Account": None}},
    },
    "events": {"newest_at": "2026-06-01T11:58:30Z"},
    "runs": {"sync": {"ok": 11, "failed": 2}, "pull": {"ok": 40}},
    "calls": {"hs-eu": {"read": {"ok": 500, "throttled": 6}, "write": {"ok": 70, "unanswered": 1}}},
    "deliveries": {"delivered": 9, "pending": 1, "failed": 0, "skipped": 0, "expired": 0},
    "recorded": {"run": 53, "as_of": "2026-06-01T11:00:00Z"},
}

FULL = DaemonView(
    snapshot=SNAPSHOT,
    leader=True,
    lease={"holder": 'daemon "a"\\1', "host": "here", "pid": 7, "since": "2026-06-01T08:00:00Z"},
    jobs=[
        JobView("pull:hs-eu", datetime(2026, 6, 1, 12, 15, tzinfo=UTC), NOON, NOON, NOON, "ok", 0),
        JobView("compact", None, None, None, None, None, None),
    ],
    alerts=[AlertView("held:hs-eu", NOON, "hs-eu is held")],
    started_at=datetime(2026, 6, 1, 8, tzinfo=UTC),
    version="1.2.3",
    ready=True,
    why_not_ready=[],
)

BEGUN = DaemonView(
    snapshot=None,
    leader=False,
    lease=None,
    jobs=[],
    alerts=[],
    started_at=NOON,
    version="1.2.3",
    ready=False,
    why_not_ready=["the configuration is wrong: connectors/hs.yaml:3: unknown key"],
)

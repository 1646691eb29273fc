"""What Prometheus is told: the view of a daemon as metrics, made anew at each scrape. It keeps no number of its own, so
that the daemon's children, its standby and a restart all tell the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from engage_sync.core.overview import DaemonView, Snapshot

PREFIX = "engage_sync_"
Labelled = Iterable[tuple[tuple[str, ...], float | None]]
"""Values with the labels' values; None: not known, and not told."""


class Metrics(Collector):
    """Collects the metrics of a view. Instants are seconds since 1970, as Prometheus has them; what is not known has no
    sample."""

    def __init__(self, view: Callable[[], DaemonView]) -> None:
        self._view = view
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def describe(self) -> Iterable[Metric]:
        """Nothing is known before it is asked for."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Give all metrics of the view as it is now."""
        view = self._view()
        yield from _process(view)
        yield from _jobs(view)
        if view.snapshot is not None:
            yield from _project(view.snapshot)
            yield from _connectors(view.snapshot)

    def text(self, accept: str | None) -> tuple[bytes, str]:
        """Give them as text, and its content type: Prometheus' own, or OpenMetrics where that is asked for."""
        encoder, content_type = choose_encoder(accept or "")
        return encoder(self._registry), content_type


def _process(view: DaemonView) -> Iterator[Metric]:
    yield _gauge("up", "Whether this process is ready: 1, or 0 where /readyz says why not.", [((), view.ready)])
    yield _gauge("build_info", "Always 1; the label names the version.", [((view.version,), 1)], "version")
    yield _gauge(
        "start_timestamp_seconds",
        "When this process began, in seconds since 1970.",
        [((), view.started_at.timestamp())],
    )
    yield _gauge("leader", "Whether this process schedules: 1, or 0 for a standby.", [((), view.leader)])
    holder = "" if view.lease is None else view.lease["holder"]
    told = "Whether a daemon holds the lease: 1 with its name, or 0 without one."
    yield _gauge("lease_held", told, [((holder,), view.lease is not None)], "holder")
    told = "Always 1 for an alert that is active; one that has recovered is not there."
    yield _gauge("alert_active", told, [((one.name,), 1) for one in view.alerts], "alert")


def _jobs(view: DaemonView) -> Iterator[Metric]:
    """Give the schedule. The label is no `job`: Prometheus gives each of its targets one of that name."""
    due = [((one.name,), _seconds(one.due)) for one in view.jobs]
    yield _gauge("job_due_timestamp_seconds", "When a job is due next, in seconds since 1970.", due, "name")
    done = [((one.name,), _seconds(one.succeeded_at)) for one in view.jobs]
    yield _gauge(
        "job_succeeded_timestamp_seconds", "When a job last began that went well, in seconds since 1970.", done, "name"
    )


def _project(snapshot: Snapshot) -> Iterator[Metric]:
    at = [((), _seconds(snapshot["at"]))]
    yield _gauge("snapshot_timestamp_seconds", "When these numbers were taken, in seconds since 1970.", at)
    yield _counter(
        "runs",
        "Runs that have ended, by command and by how they ended.",
        (((command, status), n) for command, ends in snapshot["runs"].items() for status, n in ends.items()),
        *("command", "status"),
    )
    yield _counter(
        "calls",
        "Calls to a CRM by runs, by kind and by how they ended.",
        (
            ((connector, kind, outcome), n)
            for connector, kinds in snapshot["calls"].items()
            for kind, ends in kinds.items()
            for outcome, n in ends.items()
        ),
        *("connector", "kind", "outcome"),
    )
    newest = [((), _seconds(snapshot["events"]["newest_at"]))]
    yield _gauge("events_newest_timestamp_seconds", "When the newest event happened, in seconds since 1970.", newest)
    recorded = snapshot["recorded"]
    as_of = [((), None if recorded is None else _seconds(recorded["as_of"]))]
    yield _gauge("recorded_timestamp_seconds", "As of when the verdicts stand, in seconds since 1970.", as_of)
    statuses = [((status,), n) for status, n in snapshot["deliveries"].items()]
    yield _gauge("deliveries", "Actions that signals asked for, by what became of them.", statuses, "status")


def _connectors(snapshot: Snapshot) -> Iterator[Metric]:
    every = snapshot["connectors"]
    yield _gauge(
        "records",
        "Records of the last push, each in one bucket.",
        (
            ((name, object_, bucket), n)
            for name, one in every.items()
            for object_, buckets in one["records"].items()
            for bucket, n in buckets.items()
        ),
        *("connector", "object", "bucket"),
    )
    yield _gauge(
        "linked_records",
        "Records that are linked to a user or an account.",
        (((name, object_), n) for name, one in every.items() for object_, n in one["linked"].items()),
        *("connector", "object"),
    )
    yield _gauge(
        "cursor_timestamp_seconds",
        "Up to when the mirror holds what the CRM had, in seconds since 1970.",
        (((name, object_), _seconds(at)) for name, one in every.items() for object_, at in one["cursor_at"].items()),
        *("connector", "object"),
    )
    yield _gauge(
        "quota_calls",
        "Calls of the day as the CRM told last: its limit, used by everybody, left to us.",
        (
            ((name, which), n)
            for name, one in every.items()
            if (quota := one["quota"]) is not None
            for which, n in (("limit", quota["limit"]), ("used", quota["used"]), ("left", quota["left"]))
        ),
        *("connector", "which"),
    )
    yield _gauge(
        "drift_fields",
        "Fields of others that the last push kept or overwrote.",
        (
            ((name, which), n)
            for name, one in every.items()
            for which, n in (("kept", one["drift"]["kept"]), ("overwritten", one["drift"]["overwritten"]))
        ),
        *("connector", "outcome"),
    )
    yield from _connectors_alone(snapshot)


def _connectors_alone(snapshot: Snapshot) -> Iterator[Metric]:
    """Give the metrics that have a connector and nothing else."""
    every = snapshot["connectors"]
    told: Mapping[str, tuple[str, Mapping[str, float | None]]] = {
        "last_pull_timestamp_seconds": (
            "When the last pull began that reached the CRM, in seconds since 1970.",
            {name: _seconds(one["last_pull"]) for name, one in every.items()},
        ),
        "last_push_timestamp_seconds": (
            "When the last push began that reached the CRM, in seconds since 1970.",
            {name: _seconds(one["last_push"]) for name, one in every.items()},
        ),
        "failures": (
            "Records that the CRM refused or did not answer for, and that wait for another attempt.",
            {name: one["failures"] for name, one in every.items()},
        ),
        "held": ("Whether a brake holds the connector.", {name: one["held"] for name, one in every.items()}),
        "suspended_until_timestamp_seconds": (
            "Until when nothing is asked of the CRM, in seconds since 1970; no sample while it is asked.",
            {name: _seconds(one["suspended_until"]) for name, one in every.items()},
        ),
    }
    for name, (about, values) in told.items():
        yield _gauge(name, about, (((connector,), value) for connector, value in values.items()), "connector")


def _gauge(name: str, about: str, values: Labelled, *labels: str) -> Metric:
    return _filled(GaugeMetricFamily(PREFIX + name, about, labels=labels), values)


def _counter(name: str, about: str, values: Labelled, *labels: str) -> Metric:
    return _filled(CounterMetricFamily(PREFIX + name, about, labels=labels), values)


def _filled(family: GaugeMetricFamily | CounterMetricFamily, values: Labelled) -> Metric:
    """Add what is known; what is not has no series."""
    for given, value in values:
        if value is not None:
            family.add_metric(given, float(value))
    return family


def _seconds(instant: datetime | str | None) -> float | None:
    if instant is None:
        return None
    return (datetime.fromisoformat(instant) if isinstance(instant, str) else instant).timestamp()

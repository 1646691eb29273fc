"""Measuring 20M events (6.6M of them in the 30-day window, 200k users, 5k accounts): the built-ins and five metrics,
with active days and distinct among them; the same with five weighted scores of ten weights each. The floor is one
DuckDB statement with the same aggregates straight over the same files, taken in the same run. ENGAGE_BENCH_SCALE
shrinks the table."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from bench.harness import DATA, Measured, Row, measured

EVENTS, USERS, ACCOUNTS, DAYS = 20_000_000, 200_000, 5_000, 90
TIMES, MEMORY_MB = 2.5, 3_000

_GENERATE = """
import duckdb
from deltalake import write_deltalake
connection = duckdb.connect(config={{"memory_limit": "4GB"}})
connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
query = '''SELECT n + 1 AS arrival, 'm' || n AS message_id, 'track' AS kind, 'event_' || (hash(n * 7) % 30) AS event,
  'user_' || u AS user, CASE WHEN u % 10 < 8 THEN 'account_' || (u % {accounts}) END AS account,
  NULL::VARCHAR AS previous,
  make_timestamptz(1767225600000000 - (hash(n * 11) % ({days} * 86400000000))::BIGINT) AS timestamp,
  NULL::TIMESTAMPTZ AS received,
  MAP {{'area': 'area_' || (hash(n * 13) % 40), 'amount': (hash(n * 17) % 1000)::VARCHAR}} AS properties,
  []::STRUCT("key" VARCHAR, path VARCHAR, "value" VARCHAR)[] AS traits,
  NULL::VARCHAR AS campaign_source, NULL::VARCHAR AS campaign_medium, NULL::VARCHAR AS campaign_name,
  strftime(timestamp, '%Y-%m') AS month
  FROM (SELECT range AS n, (hash(range * 3) % {users})::BIGINT AS u FROM range({events}))'''
write_deltalake("{target}", connection.execute(query).to_arrow_reader(200_000), partition_by=["month"])
"""

_SETUP = """
from datetime import UTC, datetime, timedelta
import duckdb, ibis, polars
from deltalake import DeltaTable
from engage_sync.core.definitions import Entity, Metric, MetricKind, Model
from engage_sync.core.verdict_rules import WeightedScore
from engage_sync.events.measure import Engine, measure
from engage_sync.events.store import EventStore
AS_OF = datetime(2026, 1, 1, tzinfo=UTC)
"""

_SCORES = """
SCORES = tuple(
    WeightedScore(f"s{n}", tuple((f"event_{(7 * n + 3 * k) % 30}", k + 1) for k in range(10)), timedelta(days=30))
    for n in range(COUNT)
)
"""

_MEASURE = """
week, month = timedelta(days=7), timedelta(days=30)
model = Model(scores=SCORES, metrics=(
    Metric("reports_30d", Entity.USER, MetricKind.COUNT, "event_1*", window=month),
    Metric("days_30d", Entity.USER, MetricKind.ACTIVE_DAYS, "event_2*", window=month),
    Metric("areas_30d", Entity.USER, MetricKind.DISTINCT, value="properties.area", window=month),
    Metric("users_7d", Entity.ACCOUNT, MetricKind.ACTIVE_USERS, window=week),
    Metric("events_prev", Entity.ACCOUNT, MetricKind.COUNT, window=week, offset=week),
))
facts = measure(EventStore("{target}"), model, as_of=AS_OF, timezone="Europe/Amsterdam", engine=Engine())
RESULT = [facts.users.height, facts.accounts.height, int(facts.users["areas_30d"].sum())]
RESULT += [int(facts.users[f"{{prefix}}.{{score.name}}"].sum()) for score in SCORES for prefix in ("raw", "raw_before")]
"""

_FLOOR = """
pairs = [", ".join(f"'{name}': {weight}" for name, weight in score.weights) for score in SCORES]
looked_up = [f"map_extract_value(MAP {{{one}}}, event)" for one in pairs]
sums = "".join(f", sum({one}) FILTER (recent), sum({one}) FILTER (earlier)" for one in looked_up)
connection = duckdb.connect(config={"memory_limit": "2GB"})
connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
found = connection.execute(f'''
SELECT user, account, min("timestamp"), max("timestamp"), count(*) FILTER (recent),
  bit_or(1::BIGINT << day) FILTER (recent) AS days,
  count(*) FILTER (recent AND starts_with(event, 'event_1')) AS reports,
  bit_or(1::BIGINT << day) FILTER (recent AND starts_with(event, 'event_2')) AS days_2,
  count(DISTINCT properties['area']) FILTER (recent) AS areas,
  count(*) FILTER (us >= 1767225600000000 - 7 * 86400000000) AS week,
  count(*) FILTER (us >= 1767225600000000 - 14 * 86400000000 AND us < 1767225600000000 - 7 * 86400000000) AS before
  {sums}
FROM (SELECT *, us >= 1767225600000000 - 30 * 86400000000 AS recent,
    us >= 1767225600000000 - 60 * 86400000000 AND us < 1767225600000000 - 30 * 86400000000 AS earlier,
    greatest((us + 3600000000 - 1764547200000000) // 86400000000, 0) AS day
  FROM (SELECT *, epoch_us("timestamp") AS us FROM read_parquet({FILES}, hive_partitioning = true)))
GROUP BY ALL''').to_arrow_table()
RESULT = found.num_rows
"""


def rows() -> list[Row]:
    """Give the rows of the table."""
    count = int(EVENTS * float(os.environ.get("ENGAGE_BENCH_SCALE", "1")))
    target = stored(count)
    return [
        _measured(count, target, "five metrics", scores=0),
        _measured(count, target, "five metrics, five weighted scores", scores=5),
    ]


def _measured(count: int, target: Path, what: str, *, scores: int) -> Row:
    declared = _SCORES.replace("COUNT", str(scores))
    ours = measured(declared + _MEASURE.format(target=target), setup=_SETUP)
    floor = measured(f"FILES = DeltaTable({str(target)!r}).file_uris()\n{declared}{_FLOOR}", setup=_SETUP)
    return _row(f"measure {count:,} events, {what}", ours, floor)


def stored(count: int) -> Path:
    """Write the table once: events spread evenly over 90 days, each user in one account at most."""
    path = DATA / f"measure-{count}"
    if not path.exists():
        DATA.mkdir(exist_ok=True)
        unfinished = path.with_suffix(".part")
        shutil.rmtree(unfinished, ignore_errors=True)
        scale = {
            "events": count,
            "users": max(count * USERS // EVENTS, 1),
            "accounts": max(count * ACCOUNTS // EVENTS, 1),
        }
        measured(_GENERATE.format(target=unfinished, days=DAYS, **scale))
        unfinished.rename(path)
    return path


def _row(work: str, ours: Measured, floor: Measured) -> Row:
    return Row(
        work,
        f"{ours.wall:.2f} s ({ours.wall / floor.wall:.2f} x), CPU {ours.cpu:.2f} s, RSS {ours.rss_mb:,.0f} MB",
        f"<= {TIMES} x floor, RSS <= {MEMORY_MB:,} MB",
        f"{floor.wall:.2f} s, CPU {floor.cpu:.2f} s, RSS {floor.rss_mb:,.0f} MB",
        ours.wall <= TIMES * floor.wall and ours.rss_mb <= MEMORY_MB,
    )

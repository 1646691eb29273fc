"""Import of 5M JSON lines against the bare parse-and-write of the same file: DuckDB reads it with declared columns and
the rows go into a Delta table, without validation, identity or rejects. ENGAGE_BENCH_SCALE shrinks both."""

from __future__ import annotations

import json
import os
import random
import shutil
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from bench.harness import DATA, Row, measured

MESSAGES = 5_000_000
_SEED = 20_260_601
_NOW = datetime(2026, 6, 1, tzinfo=UTC)

_IMPORT = """
from datetime import UTC, datetime
from pathlib import Path
from engage_sync.events.importing import import_paths
from engage_sync.events.store import EventStore
import deltalake, polars
"""

_FLOOR = """
import duckdb, pyarrow as pa
from deltalake import write_deltalake
"""

_FLOOR_RUN = '''
connection = duckdb.connect()
connection.execute('SET enable_progress_bar = false')
query = """SELECT messageId AS message_id, type AS kind, coalesce(event, name) AS event, userId AS user,
  coalesce(groupId, context.groupId) AS account, timestamp, receivedAt AS received, properties, traits,
  strftime(timestamp, '%Y-%m') AS month
FROM read_json('{source}', format='newline_delimited', columns={{
  'type': 'VARCHAR', 'messageId': 'VARCHAR', 'userId': 'VARCHAR', 'groupId': 'VARCHAR',
  'event': 'VARCHAR', 'name': 'VARCHAR', 'timestamp': 'TIMESTAMP', 'receivedAt': 'TIMESTAMP',
  'properties': 'MAP(VARCHAR, VARCHAR)', 'traits': 'MAP(VARCHAR, VARCHAR)',
  'context': 'STRUCT("groupId" VARCHAR)'}})"""
reader = connection.execute(query).to_arrow_reader(100_000)
write_deltalake('{target}', reader, partition_by=['month'])
'''


def messages() -> int:
    """Give the number of messages at the scale of this run."""
    return int(MESSAGES * float(os.environ.get("ENGAGE_BENCH_SCALE", "1")))


def generated(count: int) -> Path:
    """Write the input once: 90 % tracks with two to four properties, pages, identifies and groups, half a year."""
    path = DATA / f"import-{count}.jsonl"
    if path.exists():
        return path
    DATA.mkdir(exist_ok=True)
    rng = random.Random(_SEED)
    temporary = path.with_suffix(".part")
    start = datetime(2025, 12, 1, tzinfo=UTC)
    seconds = 181 * 86_400
    with temporary.open("w") as out:
        for number in range(count):
            at = start + timedelta(milliseconds=int(seconds * 1000 * number / count) + rng.randrange(1000))
            out.write(_line(rng, f"{at:%Y-%m-%dT%H:%M:%S}.{at.microsecond // 1000:03d}Z") + "\n")
    temporary.rename(path)
    return path


_EVENTS = (
    "report_run",
    "login",
    "invite_sent",
    "file_uploaded",
    "dashboard_viewed",
    "search",
    "export_started",
    "comment_added",
)
_AREAS = ("reports", "billing", "settings", "projects", "team")


def _line(rng: random.Random, at: str) -> str:
    user = rng.randrange(200_000)
    message: dict[str, object] = {
        "messageId": f"{rng.getrandbits(96):024x}",
        "userId": f"user_{user:06d}",
        "timestamp": at,
    }
    dice = rng.random()
    if dice < 0.90:
        properties: dict[str, object] = {"area": rng.choice(_AREAS), "duration_ms": rng.randrange(30_000)}
        if dice < 0.5:
            properties["amount"] = round(rng.random() * 500, 2)
        if dice < 0.2:
            properties["beta"] = rng.random() < 0.3
        message |= {"type": "track", "event": rng.choice(_EVENTS), "properties": properties}
        message["context"] = {"groupId": f"acct_{user % 5000:04d}"}
    elif dice < 0.95:
        message |= {
            "type": "page",
            "name": rng.choice(_AREAS),
            "properties": {"path": f"/{rng.choice(_AREAS)}", "title": "Start"},
        }
    elif dice < 0.985:
        message |= {
            "type": "identify",
            "traits": {"email": f"user_{user}@acct{user % 5000}.example", "plan": "pro", "seats": user % 50},
        }
    else:
        message |= {
            "type": "group",
            "groupId": f"acct_{user % 5000:04d}",
            "traits": {"name": f"Account {user % 5000}", "mrr": user % 900},
        }
    return json.dumps({"type": message.pop("type"), **message}, separators=(",", ":"))


def rows() -> list[Row]:
    """Give the row of the import."""
    count = messages()
    source = generated(count)
    folder = Path(tempfile.mkdtemp(dir=DATA))
    try:
        floor = measured(_FLOOR_RUN.format(source=source, target=folder / "floor"), setup=_FLOOR)
        code = (
            f"report = import_paths(EventStore({str(folder / 'ours')!r}), [Path({str(source)!r})],"
            f" now=datetime.fromisoformat({_NOW.isoformat()!r}), rejects=Path({str(folder)!r}))\n"
            "RESULT = [report.imported, report.refused]"
        )
        ours = measured(code, setup=_IMPORT)
    finally:
        shutil.rmtree(folder)
    ratio = ours.wall / floor.wall
    return [
        Row(
            work=f"import {count:,} JSONL messages",
            figure=f"{ours.wall:.1f} s ({count / ours.wall:,.0f}/s, {ratio:.2f} x), "
            f"{ours.cpu:.1f} s CPU, RSS {ours.rss_mb:,.0f} MB",
            reach="<= 2 x the floor, RSS <= 2,048 MB",
            floor=f"{floor.wall:.1f} s ({count / floor.wall:,.0f}/s), "
            f"{floor.cpu:.1f} s CPU, RSS {floor.rss_mb:,.0f} MB",
            ok=ratio <= 2 and ours.rss_mb <= 2048 and ours.result == [count, 0],
        )
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)

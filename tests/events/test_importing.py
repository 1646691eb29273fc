"""The import from files to table: counts, identity, rejects, locks, failures and kills."""

import fcntl
import gzip
import json
import os
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.dataset as ds
import pytest
from tests.forks import Forked, fork

from engage_sync.errors import Locked, Mistake, Unreachable
from engage_sync.events.importing import ImportReport, Progress, import_paths
from engage_sync.events.schema import SCHEMA
from engage_sync.events.store import EventStore

NOW = datetime(2026, 6, 1, 12, tzinfo=UTC)
REAL = Path(__file__).parent.parent / "data" / "oss-usage"


def line(number: int, **keys: object) -> str:
    message = {
        "type": "track",
        "messageId": f"m{number}",
        "userId": "u",
        "event": "e",
        "timestamp": "2026-05-01T00:00:00Z",
    }
    return json.dumps({key: value for key, value in {**message, **keys}.items() if value is not ...})


def written(path: Path, *lines: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{text}\n" for text in lines))
    return path


class Project:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.store = EventStore(folder / "events")
        self.rejects = folder / "rejects"

    def load(self, *paths: Path, now: datetime = NOW) -> ImportReport:
        return import_paths(self.store, paths, now=now, rejects=self.rejects)

    def rows(self, *names: str) -> list[dict[str, object]]:
        table = self.store.table().to_pyarrow_dataset().to_table()
        return table.select(["arrival", *names]).sort_by("arrival").to_pylist()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def counts(report: ImportReport) -> tuple[int, int, int, int]:
    return report.read, report.imported, report.duplicates, report.refused


def test_an_import_and_its_repetition(project: Project, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", line(1), line(2), "", line(1, userId="other"), "not json", line(3))
    first = project.load(path)
    assert counts(first) == (5, 3, 1, 1)
    assert first.files == 1
    assert first.rejects_file == project.rejects / "rejects-20260601T120000Z-1.jsonl"
    reject = json.loads(first.rejects_file.read_text())
    assert (reject["file"], reject["line"], reject["text"]) == (str(path), 5, "not json")
    assert reject["reason"].startswith("not JSON")
    assert project.rows("message_id", "user") == [
        {"arrival": number, "message_id": f"m{number}", "user": "u"} for number in (1, 2, 3)
    ]
    version = project.store.version()
    again = project.load(path)
    assert counts(again) == (5, 0, 4, 1)
    assert again.rejects_file == project.rejects / "rejects-20260601T120000Z-2.jsonl"
    assert project.store.version() == version
    project.load(written(tmp_path / "b.jsonl", line(4), line(2)))
    assert [row["arrival"] for row in project.rows()] == [1, 2, 3, 4]


def test_the_table_has_the_declared_columns(project: Project, tmp_path: Path) -> None:
    project.load(
        written(
            tmp_path / "a.jsonl", line(1, properties={"a": {"b": 1}}), line(2, timestamp="2025-12-31T23:00:00-02:00")
        )
    )
    table = project.store.table().to_pyarrow_dataset().to_table().sort_by("arrival")
    assert set(table.column_names) == set(SCHEMA.names)
    assert table.column("month").to_pylist() == ["2026-05", "2026-01"]
    assert table.column("properties").to_pylist() == [[("a.b", "1")], []]
    assert all("month=" in file for file in project.store.files())


def test_an_empty_store_and_nothing_to_add(project: Project, tmp_path: Path) -> None:
    assert not project.store.exists()
    assert project.store.files() == []
    assert project.store.version() is None
    assert counts(project.load(written(tmp_path / "a.jsonl"))) == (0, 0, 0, 0)
    assert counts(project.load(written(tmp_path / "b.jsonl", "nope"))) == (1, 0, 0, 1)
    assert not project.store.exists()
    with pytest.raises(Mistake, match="no event store"):
        project.store.table()


def test_messages_ahead_of_the_clock(project: Project, tmp_path: Path) -> None:
    edge = NOW + timedelta(hours=24)
    late = [line(n, timestamp=(edge + timedelta(microseconds=n)).isoformat()) for n in range(10)]
    path = written(tmp_path / "a.jsonl", *late)
    report = project.load(path)
    assert counts(report) == (10, 1, 0, 9)
    assert report.rejects_file is not None
    rejects = [json.loads(text) for text in report.rejects_file.read_text().splitlines()]
    assert [reject["line"] for reject in rejects] == list(range(2, 11))
    assert "24 hours ahead" in rejects[0]["reason"]
    assert json.loads(rejects[0]["text"])["messageId"] == "m1"
    assert counts(project.load(path, now=NOW + timedelta(days=1))) == (10, 9, 1, 0)


def test_messages_without_an_id(project: Project, tmp_path: Path) -> None:
    lines = [line(0, messageId=given, properties={"n": n}) for n in range(9) for given in (..., "", None)]
    path = written(tmp_path / "a.jsonl", *lines)
    assert counts(project.load(path)) == (27, 9, 18, 0)
    assert counts(project.load(path)) == (27, 0, 27, 0)


def test_a_refused_line_uses_up_no_id(project: Project, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", line(1, event=""), line(1), line(7, messageId=7), line(7, messageId="7"))
    assert counts(project.load(path)) == (4, 2, 1, 1)


def test_folders_kinds_and_progress(project: Project, tmp_path: Path) -> None:
    source = tmp_path / "in"
    written(source / "a.jsonl", line(1))
    written(source / "deep" / "b.ndjson", line(2))
    written(source / "deep" / "c.JSON", line(3), "broken")
    (source / "d.jsonl.gz").write_bytes(gzip.compress((line(4) + "\n").encode()))
    (source / "e.csv").write_text("messageId,userId,event,timestamp\nm5,u,e,2026-05-01\n")
    (source / "readme.txt").write_text("no messages")
    seen: list[Progress] = []
    report = import_paths(project.store, [source], now=NOW, rejects=source, progress=seen.append)
    assert counts(report) == (6, 5, 0, 1)
    assert report.files == 5
    assert report.rejects_file is not None
    last = {step.file: step for step in seen}
    assert all(step.bytes_done == step.bytes_total for step in last.values())
    assert seen[-1].read == 6
    assert counts(import_paths(project.store, [source], now=NOW, rejects=source)) == (6, 0, 5, 1)


@pytest.mark.parametrize(
    ("paths", "word"),
    [
        (["missing.jsonl"], "does not exist"),
        (["empty"], "no file to import"),
        (["a.txt"], ".parquet"),
        ([], "no file or folder"),
        (["no.parquet"], "cannot be read as Parquet"),
        (["no.csv"], "no column is named"),
        (["empty.csv"], "header line"),
    ],
)
def test_wrong_paths(project: Project, tmp_path: Path, paths: list[str], word: str) -> None:
    (tmp_path / "empty").mkdir()
    for name, text in {"a.txt": "x", "no.parquet": "x", "no.csv": "a,b\n1,2\n", "empty.csv": ""}.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(Mistake, match=word):
        project.load(*(tmp_path / path for path in paths))
    assert not project.store.exists()


def test_what_was_read_before_an_unreadable_file_is_stored(project: Project, tmp_path: Path) -> None:
    good, bad = written(tmp_path / "a.jsonl", line(1)), written(tmp_path / "b.parquet", "x")
    with pytest.raises(Mistake, match=r"b\.parquet cannot be read as Parquet"):
        project.load(good, bad, good)
    assert len(project.rows()) == 1


def test_an_interrupt_ends_the_import(project: Project, tmp_path: Path) -> None:
    count = big(tmp_path)

    def interrupt(step: Progress) -> None:
        if step.read:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        import_paths(project.store, [tmp_path / "big.jsonl"], now=NOW, rejects=tmp_path, progress=interrupt)
    assert not project.store.exists()
    assert list((tmp_path / "events").rglob("*.parquet")) == []
    assert project.load(tmp_path / "big.jsonl").imported == count


def test_every_wrong_path_is_told_at_once(project: Project, tmp_path: Path) -> None:
    with pytest.raises(Mistake) as mistake:
        project.load(tmp_path / "one.jsonl", tmp_path / "two.jsonl")
    assert len(mistake.value.problems) == 2


def test_truncated_gzip(project: Project, tmp_path: Path) -> None:
    packed = gzip.compress("".join(f"{line(n)}\n" for n in range(5000)).encode())
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(packed[: len(packed) // 2])
    report = project.load(path)
    assert report.refused == 1
    assert 1000 < report.imported < 5000
    path.write_bytes(packed)
    assert counts(project.load(path)) == (5000, 5000 - report.imported, report.imported, 0)


def test_two_imports_at_once(project: Project, tmp_path: Path) -> None:
    path = written(tmp_path / "a.jsonl", line(1))
    handle = os.open(tmp_path / "events.lock", os.O_RDWR | os.O_CREAT)
    fcntl.flock(handle, fcntl.LOCK_EX)
    with pytest.raises(Locked, match="writing the event store"):
        project.load(path)
    os.close(handle)
    assert project.load(path).imported == 1


class Remote(EventStore):
    """A folder that is written as an object store is: through the table library's storage, without a lock."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(exist_ok=True)
        super().__init__(folder)
        self.folder = None  # type: ignore[misc]


def test_an_object_store(tmp_path: Path) -> None:
    store = Remote(tmp_path / "events")
    path = written(tmp_path / "a.jsonl", line(1), line(2, timestamp="2026-04-01"))
    assert import_paths(store, [path], now=NOW, rejects=tmp_path).imported == 2
    assert import_paths(store, [path], now=NOW, rejects=tmp_path).duplicates == 2
    assert store.table().to_pyarrow_dataset().count_rows() == 2


def test_two_imports_of_an_object_store_meet_at_the_commit(tmp_path: Path) -> None:
    store = Remote(tmp_path / "events")
    first, second = written(tmp_path / "a.jsonl", line(1)), written(tmp_path / "b.jsonl", line(2))
    import_paths(store, [first], now=NOW, rejects=tmp_path)

    def meanwhile(step: Progress) -> None:
        if step.read == 2:
            import_paths(Remote(tmp_path / "events"), [second], now=NOW, rejects=tmp_path)

    third = written(tmp_path / "c.jsonl", line(2), line(3))
    with pytest.raises(Locked, match="meanwhile"):
        import_paths(store, [third], now=NOW, rejects=tmp_path, progress=meanwhile)
    assert import_paths(store, [third], now=NOW, rejects=tmp_path).imported == 1
    assert store.table().to_pyarrow_dataset().count_rows() == 3


def test_a_file_url_is_a_folder(tmp_path: Path) -> None:
    assert EventStore(f"file://{tmp_path}/events").folder == tmp_path / "events"


_CHILD = """
import sys
from datetime import datetime
from pathlib import Path
from engage_sync.events.importing import import_paths
from engage_sync.events.store import EventStore
folder = Path(sys.argv[1])
exec(sys.argv[2])
try:
    now = datetime.fromisoformat(sys.argv[3])
    import_paths(EventStore(folder / "events"), [folder / "big.jsonl"], now=now, rejects=folder)
except Exception as error:
    print(type(error).__name__, error)
"""


def child(folder: Path, before: str = "") -> Forked:
    return fork(_CHILD, str(folder), before, NOW.isoformat())


def big(folder: Path) -> int:
    count = 20_000
    written(folder / "big.jsonl", *(line(n, properties={"text": f"{n * 7919 % 10007:050d}"}) for n in range(count)))
    return count


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ("a.jsonl", r"a\.jsonl is a file, not a folder; correct `events\.store`"),
        ("a.jsonl/events", r"cannot be made there: .*a\.jsonl: it is a file, not a folder"),
        ("/proc/x/events", "cannot be made there: /proc/x: No such file"),
    ],
)
def test_a_place_where_no_store_can_be(tmp_path: Path, place: str, words: str) -> None:
    path = written(tmp_path / "a.jsonl", line(1))
    with pytest.raises(Mistake, match=words):
        import_paths(EventStore(tmp_path / place), [path], now=NOW, rejects=tmp_path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_store_of_another_user(tmp_path: Path) -> None:
    """Whoever runs the tests, the child may not look into the folder."""
    (tmp_path / "events").mkdir(mode=0)
    looking = "import os, sys; from engage_sync.events.store import EventStore; os.getuid() or os.setuid(65534)"
    process = fork(f"{looking}; EventStore(sys.argv[1]).exists()", str(tmp_path / "events" / "deep"))
    _, error = process.communicate(timeout=60)
    assert "Mistake: The event store" in error
    assert "may not be read or written: [Errno 13]" in error


def test_a_file_that_may_not_grow_is_a_full_disk(project: Project, tmp_path: Path) -> None:
    """A limit on file size breaks the write like a full disk does; the store stays as it was and leaves nothing."""
    small = written(tmp_path / "small.jsonl", line(-1))
    project.load(small)
    files = sorted((tmp_path / "events").rglob("*.parquet"))
    count = big(tmp_path)
    limit = "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)"
    limit += "; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))"
    process = child(tmp_path, limit)
    answer, _ = process.communicate()
    assert process.returncode == 0
    assert answer.startswith("Unreachable ")
    assert len(answer.strip().splitlines()) == 1
    assert len(project.rows()) == 1
    assert sorted((tmp_path / "events").rglob("*.parquet")) == files
    assert project.load(tmp_path / "big.jsonl").imported == count


def test_a_killed_import_is_finished_by_the_next(project: Project, tmp_path: Path) -> None:
    count = big(tmp_path)
    project.load(written(tmp_path / "small.jsonl", line(0), line(1)))
    for _ in range(2):
        process = child(tmp_path)
        folder = tmp_path / "events"
        before = len(list(folder.rglob("*.parquet")))
        while process.poll() is None and len(list(folder.rglob("*.parquet"))) == before:
            os.sched_yield()
        process.send_signal(signal.SIGKILL)
        process.wait()
        assert len(project.rows()) in {2, count}
    report = project.load(tmp_path / "big.jsonl")
    assert report.refused == 0
    rows = project.rows("message_id")
    assert len(rows) == len({row["message_id"] for row in rows}) == count
    assert [row["arrival"] for row in rows] == list(range(1, count + 1))


def test_an_unwritable_rejects_folder(project: Project, tmp_path: Path) -> None:
    (tmp_path / "rejects").write_text("a file is in the way")
    with pytest.raises(Unreachable, match="rejects"):
        project.load(written(tmp_path / "a.jsonl", line(1), "nope"))
    (tmp_path / "rejects").unlink()
    assert project.load(tmp_path / "a.jsonl").refused == 1
    assert len(project.rows()) == 1


def test_the_real_events(project: Project) -> None:
    report = project.load(REAL, now=datetime(2026, 9, 1, tzinfo=UTC))
    assert counts(report) == (25_211, 25_211, 0, 0)
    dataset = project.store.table().to_pyarrow_dataset()
    assert dataset.count_rows(filter=ds.field("kind") == "track") == 23_262
    stored = {row["message_id"]: row for row in dataset.to_table().to_pylist()}
    for path in sorted(REAL.glob("*.gz")):
        for text in gzip.decompress(path.read_bytes()).splitlines():
            given = json.loads(text)
            row = stored[given["messageId"]]
            assert (row["kind"], row["user"], row["event"]) == (given["type"], given["userId"], given.get("event"))
            assert row["account"] == given.get("groupId", given.get("context", {}).get("groupId"))
            assert row["timestamp"] == datetime.fromisoformat(given["timestamp"])
            assert dict(row["properties"]) == given.get("properties", {})
            assert {trait["path"]: trait["value"] for trait in row["traits"]} == given.get("traits", {})

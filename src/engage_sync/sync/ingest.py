"""Bring messages into the project's event store, and look after the store. Needs no state, connector or secret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from engage_sync.config.durations import parse_duration
from engage_sync.errors import Mistake
from engage_sync.events.importing import ImportReport, Progress, import_paths
from engage_sync.events.upkeep import CompactReport
from engage_sync.events.upkeep import compact as compact_store
from engage_sync.sync.wiring import event_store, load_project

Draw = Callable[[str, int, int | None, int], None]
"""Hears the file's name, bytes done, bytes in all (None: not known), messages read."""


def import_files(root: Path, paths: Sequence[Path], *, now: datetime, progress: Draw) -> ImportReport:
    """Import files and folders. Refused lines go to `var/rejects` in the project."""
    project = load_project(root)

    def hear(told: Progress) -> None:
        progress(Path(told.file).name, told.bytes_done, told.bytes_total, told.read)

    return import_paths(event_store(project), paths, now=now, rejects=project.root / "var" / "rejects", progress=hear)


def compact(root: Path, *, keep: str | None, now: datetime) -> CompactReport:
    """Rewrite many small files as few; with `keep`, drop messages older than that."""
    return compact_store(event_store(load_project(root)), keep=None if keep is None else _length(keep), now=now)


def _length(text: str) -> timedelta:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise Mistake(f"--keep: {error}") from None


def report_json(report: ImportReport) -> dict[str, object]:
    """Give the answer of `import`."""
    return {
        "read": report.read,
        "imported": report.imported,
        "duplicates": report.duplicates,
        "refused": report.refused,
        "rejects_file": None if report.rejects_file is None else str(report.rejects_file),
        "empty_properties": report.empty_properties,
    }

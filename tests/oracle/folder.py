"""A project folder without any CRM, driven inside this process: messages in, runs, rows out. The product's side of
every comparison with the oracle."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import structlog

from engage_sync.core.entities import Entity
from engage_sync.sync import cycle, ingest, views
from engage_sync.sync.wiring import Workspace, open_workspace
from tests.oracle.telling import NOW

structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(40))


Row = dict[str, Any]
Rows = dict[str, Row]


@dataclass
class Folder:
    """A project in `root`. `now` is the clock of the imports and runs."""

    root: Path
    timezone: str = "UTC"
    now: datetime = NOW
    files: int = field(default=0, init=False)

    def __post_init__(self) -> None:
        (self.root / "config").mkdir(parents=True, exist_ok=True)
        self.zone(self.timezone)

    def zone(self, name: str) -> None:
        """Move the project to another time zone."""
        (self.root / "config" / "engage.yaml").write_text(f"timezone: {name}\n", encoding="utf-8")

    def tell(self, bodies: Sequence[Mapping[str, Any]]) -> None:
        """Import messages; all must be taken."""
        self.files += 1
        file = self.root / f"told{self.files}.jsonl"
        file.write_text("".join(json.dumps(body) + "\n" for body in bodies), encoding="utf-8")
        report = ingest.import_files(self.root, [file], now=self.now, progress=lambda *_: None)
        assert report.refused == 0, report

    def means(self, model: str) -> None:
        """Write the model file."""
        (self.root / "config" / "model.yaml").write_text(model, encoding="utf-8")

    @contextmanager
    def open(self) -> Iterator[Workspace]:
        with open_workspace(self.root) as workspace:
            yield workspace

    def run(self, *as_ofs: datetime) -> list[tuple[Rows, Rows]]:
        """Compute as of each instant, and give the users and accounts shown after each, by external id."""
        found = []
        with self.open() as workspace:
            for as_of in as_ofs:
                cycle.recompute(workspace, as_of, clock=lambda: self.now)
                found.append((shown(workspace, Entity.USER, as_of), shown(workspace, Entity.ACCOUNT, as_of)))
        return found

    def seen(self, as_of: datetime) -> tuple[Rows, Rows]:
        """Give what is shown as of an instant, recorded or not."""
        with self.open() as workspace:
            return shown(workspace, Entity.USER, as_of), shown(workspace, Entity.ACCOUNT, as_of)


def shown(workspace: Workspace, entity: Entity, as_of: datetime | None) -> Rows:
    """Give the rows of `show`, by external id."""
    texts = views.json_rows(workspace, views.show(workspace, entity, as_of, everyone=False))
    rows = [json.loads(text) for text in texts]
    return {row["external_id"]: row for row in rows}

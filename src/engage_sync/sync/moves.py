"""What would change in the verdicts themselves: a changed model or a bad day of data is seen here, before any field is
written. Reads only.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from engage_sync.core.definitions import Entity
from engage_sync.core.history import transitions, watched
from engage_sync.sync.compute import documents
from engage_sync.sync.computed import Computed
from engage_sync.sync.documents import read_fields
from engage_sync.sync.wiring import Workspace

MOST = 0.5
"""The share of users or accounts above which a change is worth a warning."""

_ORDER = ["len", "before", "after"]
_DOWN = [True, False, False]
"""The commonest way first; the same one each time where two are as common."""


@dataclass(frozen=True, slots=True)
class Moved:
    """One verdict that would not be what it is now: for how many of how many known before, and the commonest way."""

    entity: Entity
    kind: str
    name: str
    changed: int
    of: int
    commonest: tuple[str | None, str | None]

    @property
    def most(self) -> bool:
        """Whether it is most of them."""
        return self.changed > MOST * self.of


def moved(workspace: Workspace, computed: Computed) -> tuple[Moved, ...]:
    """Compare with the newest recorded run; nothing where there is none."""
    last = workspace.state.newest_recorded()
    if last is None:
        return ()
    model = workspace.project.model
    found = []
    for entity in Entity:
        fields = watched(model, entity)
        old = read_fields(workspace.state.verdicts(entity, run=last.id), fields)
        new = documents(workspace, computed, entity).select("external_id", *fields)
        known = new.join(old, on="external_id", how="semi").height
        changes = transitions(old, new, model, entity)
        ways = changes.group_by("kind", "name", "before", "after").len().sort(_ORDER, descending=_DOWN, nulls_last=True)
        for (kind, name), rows in ways.group_by("kind", "name", maintain_order=True):
            first = rows.row(0, named=True)
            way = (first["before"], first["after"])
            found.append(Moved(entity, str(kind), str(name), int(rows["len"].sum()), known, way))
    return tuple(sorted(found, key=lambda one: (-one.changed, one.entity.value, one.kind, one.name)))


def switching(computed: Computed) -> dict[str, dict[str, int]]:
    """Count the signals that would fire (`on`) and clear (`off`), by name."""
    switched = pl.concat(list(computed.verdicts.switched.values()))
    counted: dict[str, dict[str, int]] = {}
    for signal, phase, count in switched.group_by("signal", "phase").len().sort("signal").iter_rows():
        counted.setdefault(signal, {"on": 0, "off": 0})[phase] = count
    return counted

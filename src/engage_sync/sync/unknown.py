"""The sentence for an id that nobody has, with the nearest ones. Reads ids only, never documents."""

from __future__ import annotations

from datetime import datetime
from difflib import get_close_matches

import polars as pl

from engage_sync.core.definitions import Entity
from engage_sync.errors import Mistake
from engage_sync.sync.rows import iso_text
from engage_sync.sync.wiring import Workspace

_COMPARED = 5_000
"""Ids that are compared letter by letter in search of the nearest."""


def unknown(workspace: Workspace, entity: Entity, external_id: str, as_of: datetime | None) -> Mistake:
    """Say that no user or account with that id is known as of an instant (None: in the newest run)."""
    state = workspace.state
    if state.newest_recorded() is None:
        return Mistake("nothing has been computed yet: run `engage-sync compute` or `engage-sync sync`")
    ids = state.known_ids(entity)
    if external_id in ids:
        when = "now; it was before, and may be part of another one" if as_of is None else f"as of {iso_text(as_of)}"
        return Mistake(f"there is no {entity.value} {external_id!r} {when}")
    near = (state.user_by_email(external_id) if entity is Entity.USER else []) or _nearest(external_id, ids)
    hint = f"; did you mean {', '.join(near)}?" if near else f" among {len(ids):,}"
    return Mistake(f"there is no {entity.value} {external_id!r}{hint}")


def _nearest(text: str, ids: pl.Series) -> list[str]:
    """Give the ids most like the text. Of very many only those that begin alike are compared."""
    if len(ids) > _COMPARED:
        ids = ids.filter(ids.str.to_lowercase().str.starts_with(text[:2].lower())).head(_COMPARED)
    return get_close_matches(text, ids.to_list(), n=3, cutoff=0.4)

"""Which records stood for a user or an account through time, and what became of the links that ended: deleted, merged,
or matched no more. Read from what the state keeps; nothing is matched again or written.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from engage_sync.core.definitions import Entity
from engage_sync.sync.rows import iso_text
from engage_sync.sync.wiring import Workspace

Json = object
PARTED = {"external_id": pl.String(), "text": pl.List(pl.String())}
_LINK = ("connector", "object", "record")


@dataclass(frozen=True, slots=True)
class Link:
    """One link: between the instants of two runs (`until` None: it stands), by which level of the match it was last
    found, and the record that its own was merged into, if it was. `gone`: the record is not in the CRM any more."""

    connector: str
    object: str
    record: str
    since: datetime
    until: datetime | None
    level: str
    moved_to: str | None
    gone: bool

    @property
    def end(self) -> str:
        """Say what became of it, as the rest of a sentence about the record; empty for one that stands."""
        if self.until is None:
            return ""
        return _end(self.moved_to, gone=self.gone)


def link_history(workspace: Workspace, entity: Entity, ids: Sequence[str]) -> tuple[Link, ...]:
    """Give the links of an entity under any of its ids, oldest first, in the objects that the project declares. What
    its ids held one after the other of one record is one link."""
    places = {
        (file.name, item.object)
        for file in workspace.project.connectors
        for item in file.objects
        if item.entity is entity
    }
    columns = (*_LINK, "since", "until", "level", "moved_to", "gone")
    rows = workspace.state.link_history(list(ids)).select(columns).iter_rows()
    found: list[Link] = []
    for row in rows:
        if row[:2] not in places or row[3] is None:
            continue
        link = Link(*row)
        before = next((one for one in reversed(found) if _place(one) == _place(link) and one.until == link.since), None)
        if before is not None:
            found.remove(before)
            link = Link(*_place(link), before.since, link.until, link.level, link.moved_to, link.gone)
        found.append(link)
    return tuple(sorted(found, key=lambda one: (one.since, one.until is None, one.until or one.since, _place(one))))


def _place(link: Link) -> tuple[str, str, str]:
    return link.connector, link.object, link.record


def links_json(links: Sequence[Link]) -> list[dict[str, Json]]:
    """Give links as `explain` and `show timeline` do."""
    return [
        {
            "connector": one.connector,
            "object": one.object,
            "record": one.record,
            "since": iso_text(one.since),
            "until": None if one.until is None else iso_text(one.until),
            "level": one.level,
            "moved_to": one.moved_to,
        }
        for one in links
    ]


def why_unlinked(links: Sequence[Link]) -> str:
    """Say what became of the last link of an entity that has none; empty where there never was one, or one stands."""
    if not links or any(one.until is None for one in links):
        return ""
    last = max(links, key=lambda one: one.until or one.since)
    return f"{last.object} {last.record} {last.end} in {last.connector}"


def parted(workspace: Workspace, old: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Say of each entity what became of the records it was linked to and is no longer, as PARTED. `old`: external_id,
    links (a list of connector, object, record); `now`: external_id, connector, object, record of today's links."""
    was = old.explode("links").drop_nulls("links").unnest("links")
    lost = was.join(now, on=["external_id", *_LINK], how="anti")
    texts = [pl.DataFrame(schema={"external_id": pl.String, "text": pl.String})]
    for (connector, object_), rows in lost.group_by("connector", "object", maintain_order=True):
        gone = workspace.state.gone(str(connector), str(object_)).select("record", "moved_to", gone=pl.lit(value=True))
        ended = rows.join(gone, on="record", how="left", maintain_order="left")
        stays = now.select("external_id", "connector", "object", moved_to="record")
        ended = ended.join(stays, on=["external_id", "connector", "object", "moved_to"], how="anti")
        end = (
            pl.when(pl.col("moved_to").is_not_null())
            .then(pl.format("was merged into {}", "moved_to"))
            .when(pl.col("gone").is_not_null())
            .then(pl.lit(_end(None, gone=True)))
            .otherwise(pl.lit(_end(None, gone=False)))
        )
        words = pl.concat_str(pl.lit(f"{object_} "), "record", pl.lit(" "), end, pl.lit(f" in {connector}"))
        texts.append(ended.select("external_id", text=words))
    return pl.concat(texts).group_by("external_id", maintain_order=True).agg("text")


def _end(moved_to: str | None, *, gone: bool) -> str:
    if moved_to is not None:
        return f"was merged into {moved_to}"
    return "was deleted" if gone else "is matched no more"

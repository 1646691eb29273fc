"""Short ways to write the frames of transitions and deliveries."""

from __future__ import annotations

import polars as pl

CHANGE = ("external_id", "kind", "name", "before", "after")
DELIVERY = ("key", "signal", "entity", "external_id", "episode", "phase", "action", "connector", "payload")


def changes(
    *rows: tuple[str, str, str, str | None, str | None], entity: str = "user", reasons: str = "[]"
) -> pl.DataFrame:
    frame = pl.DataFrame(list(rows), schema=dict.fromkeys(CHANGE, pl.String), orient="row")
    return frame.with_columns(entity=pl.lit(entity), reasons=pl.lit(reasons))


def told(
    *keys: str,
    external_id: str = "u1",
    episode: str = "2026-06-01T12:30:00.000000Z",
    phase: str = "on",
    number: int = 0,
    connector: str | None = "crm",
) -> pl.DataFrame:
    rows = [(key, "quiet", "user", external_id, episode, phase, "task", connector, '{"subject": "ä"}') for key in keys]
    frame = pl.DataFrame(rows, schema=dict.fromkeys(DELIVERY, pl.String), orient="row")
    return frame.with_columns(number=pl.lit(number))

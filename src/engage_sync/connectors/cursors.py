"""Cursors as JSON objects with a version: how connectors write where a pull stands, and read it again."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from engage_sync.connectors.base import Cursor

_VERSION = "v"


def written(kept: Mapping[str, object], version: int) -> Cursor:
    """Write what is to be kept, as short as JSON can be."""
    return Cursor(json.dumps({_VERSION: version, **kept}, separators=(",", ":")))


def read(cursor: Cursor | None, version: int) -> dict[str, Any] | None:
    """Give what was kept; None for no cursor, another version's, or what is none of ours."""
    if cursor is None:
        return None
    try:
        kept = json.loads(cursor)
    except ValueError:
        return None
    return kept if isinstance(kept, dict) and kept.pop(_VERSION, None) == version else None

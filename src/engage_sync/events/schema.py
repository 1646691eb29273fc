"""The Arrow schema of the event store's Delta table and the name of its partition column. It only declares; it never
reads or writes."""

from __future__ import annotations

from typing import Final

import pyarrow as pa

KINDS: Final = ("track", "page", "screen", "identify", "group", "alias")
PARTITION: Final = "month"
INSTANT: Final = pa.timestamp("us", tz="UTC")
PROPERTIES: Final = pa.map_(pa.string(), pa.string())
TRAIT: Final = pa.struct([pa.field("key", pa.string()), pa.field("path", pa.string()), pa.field("value", pa.string())])
TRAITS: Final = pa.list_(TRAIT)

SCHEMA: Final = pa.schema(
    [
        pa.field("arrival", pa.int64()),  # stored sequence from 1, kept by compaction
        pa.field("message_id", pa.string()),  # given or derived, unique in the store
        pa.field("kind", pa.string()),  # one of KINDS
        pa.field("event", pa.string()),  # track, page, screen; null for identify, group, alias
        pa.field("user", pa.string()),
        pa.field("account", pa.string()),  # groupId, else context.groupId
        pa.field("previous", pa.string()),  # alias: previousId
        pa.field("timestamp", INSTANT),
        pa.field("received", INSTANT),
        pa.field("properties", PROPERTIES),  # track, page, screen: flattened text values; empty for the others
        pa.field("traits", TRAITS),  # identify, group: key, dotted path, text value (null clears); empty for the others
        pa.field("campaign_source", pa.string()),
        pa.field("campaign_medium", pa.string()),
        pa.field("campaign_name", pa.string()),
        pa.field("month", pa.string()),  # YYYY-MM, the UTC month of timestamp
    ]
)
"""Columns of the table in order. Rows are in no order; `arrival` tells it."""

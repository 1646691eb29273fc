"""What a merge of two records makes (crm-apis §A10): the winner's values, gaps filled by the loser's, both histories,
and a new id. Decides only; the store puts it in place."""

from __future__ import annotations

from engage_sync.sandbox.shelf import Edit, Record, Shelf
from engage_sync.sandbox.values import instant


def merged(shelf: Shelf, winner: Record, loser: Record, *, now: int, source: str, number: int) -> Record:
    """Give the record that both become, under the id `number`.

    `hs_merged_object_ids` names every id ever merged into it; `hs_calculated_merged_vids` only the last two, as
    HubSpot's misses ids of chained merges.
    """
    values = {**loser.values, **winner.values}
    gained = [Edit(now, source, name, None, text) for name, text in loser.values.items() if name not in winner.values]
    former = [*_ids(winner), str(winner.id), *_ids(loser), str(loser.id)]
    values["hs_merged_object_ids"] = ";".join(dict.fromkeys(i for i in former if i != str(number)))
    if "hs_calculated_merged_vids" in shelf.type.properties:
        values["hs_calculated_merged_vids"] = f"{winner.id}:{now};{loser.id}:{now}"
    for main, further in (("email", "hs_additional_emails"), ("domain", "hs_additional_domains")):
        held = [*_several(winner, further), *_several(loser, main), *_several(loser, further)]
        others = [value for value in dict.fromkeys(held) if value != values.get(main)]
        if further in shelf.type.properties and others:
            values[further] = ";".join(others)
    created = min(winner.created, loser.created)
    values["createdate"] = min(winner.values["createdate"], loser.values["createdate"])
    values["hs_object_id"] = str(number)
    values[shelf.type.modified] = instant(now)
    return Record(number, values, created, now, winner.source, edits=[*(winner.edits or ()), *gained])


def _ids(record: Record) -> list[str]:
    return _several(record, "hs_merged_object_ids")


def _several(record: Record, name: str) -> list[str]:
    return [part for part in record.values.get(name, "").split(";") if part]

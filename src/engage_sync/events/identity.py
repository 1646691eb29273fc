"""Identity of messages: ids derived for those that came without one, and which ids have been seen. Seen ids are kept as
128-bit hashes, 16 bytes each, so that a big store fits in memory; no id is ever looked up again in the store."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa

Hashes = npt.NDArray[np.uint64]

_SEEDS: Final = (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F)
_DERIVED_FROM: Final = ("kind", "user", "account", "previous", "event", "timestamp", "properties", "traits")


def with_ids(messages: pa.Table) -> pa.Table:
    """Fill in the id of every message that has none, derived from its kind, ids, name, instant, properties and traits
    (semantics §2): the same in every run, file kind and order of keys."""
    if not messages.column("message_id").null_count:
        return messages
    ids = messages.column("message_id").combine_chunks()
    missing = ids.is_null()
    derived = [_derived_id(row) for row in _rows(messages.filter(missing))]
    filled = pa.compute.replace_with_mask(ids, missing, pa.array(derived, pa.string()))
    return messages.set_column(messages.schema.get_field_index("message_id"), "message_id", filled)


def _rows(messages: pa.Table) -> Iterable[tuple[object, ...]]:
    columns = [messages.column(name) for name in _DERIVED_FROM]
    values = [c.cast(pa.int64()) if pa.types.is_timestamp(c.type) else c for c in columns]
    return zip(*(column.to_pylist() for column in values), strict=True)


def _derived_id(row: tuple[object, ...]) -> str:
    """Hash the values with their lengths, so that no two messages write the same text."""
    *single, properties, traits = row
    parts = ["" if value is None else f"{len(str(value))}:{value}" for value in single]
    pairs = sorted(properties)  # type: ignore[call-overload]  # a list of (key, text) pairs, as the schema says
    parts += [f"p{len(key)}:{key}={len(text)}:{text}" for key, text in pairs]
    rows = sorted((t["key"], t["path"], t["value"]) for t in traits)  # type: ignore[attr-defined]  # likewise
    parts += [f"t{len(k)}:{k}={len(p)}:{p}={'-' if v is None else f'{len(v)}:{v}'}" for k, p, v in rows]
    return "derived-" + hashlib.blake2b("|".join(parts).encode(), digest_size=16).hexdigest()


def hashes(ids: pa.Array | pa.ChunkedArray) -> tuple[Hashes, Hashes]:
    """Hash ids twice, independently. The hashes hold within one process only."""
    series = pl.Series("id", ids, dtype=pl.String)
    first, second = (series.hash(seed).to_numpy() for seed in _SEEDS)
    return first, second


class SeenIds:
    """The ids of a store and of the import so far, in sorted runs that are merged as they grow."""

    def __init__(self) -> None:
        self._runs: list[tuple[Hashes, Hashes]] = []

    def load(self, parts: Iterable[tuple[Hashes, Hashes]]) -> None:
        """Take in ids known to be distinct from each other."""
        collected = list(parts)
        if collected:
            self._keep(np.concatenate([a for a, _ in collected]), np.concatenate([b for _, b in collected]))

    def admit(self, first: Hashes, second: Hashes) -> npt.NDArray[np.bool_]:
        """Tell for each id, in order, whether it is new, and remember the new ones."""
        order = np.argsort(first, kind="stable")  # the earliest of equal ids comes first
        a, b = first[order], second[order]
        if ((a[1:] == a[:-1]) & (b[1:] != b[:-1])).any():
            order = np.lexsort((second, first))
            a, b = first[order], second[order]
        new = np.ones(len(a), dtype=bool)
        new[1:] = (a[1:] != a[:-1]) | (b[1:] != b[:-1])
        for run in self._runs:
            new &= ~_contained(run, a, b)
        answer = np.zeros(len(a), dtype=bool)
        answer[order] = new
        self._push(a[new], b[new])
        return answer

    def _keep(self, first: Hashes, second: Hashes) -> None:
        order = np.lexsort((second, first))
        self._push(first[order], second[order])

    def _push(self, first: Hashes, second: Hashes) -> None:
        """Add a sorted run; runs of like size are merged, so that there are few."""
        if not len(first):
            return
        while self._runs and len(self._runs[-1][0]) < 2 * len(first):
            a, b = self._runs.pop()
            first, second = np.concatenate([a, first]), np.concatenate([b, second])
            order = np.argsort(first, kind="stable")
            first, second = first[order], second[order]
        self._runs.append((first, second))


def _contained(run: tuple[Hashes, Hashes], first: Hashes, second: Hashes) -> npt.NDArray[np.bool_]:
    """Tell which pairs are in a run sorted by its first hash."""
    a, b = run
    place = np.searchsorted(a, first)
    inside = np.minimum(place, len(a) - 1)
    hit = a[inside] == first
    found = hit & (b[inside] == second)
    for row in np.flatnonzero(hit & ~found):  # equal first hashes of different ids: one in billions
        end = np.searchsorted(a, first[row], side="right")
        found[row] = bool((b[place[row] : end] == second[row]).any())
    return np.asarray(found)

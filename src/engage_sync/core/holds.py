"""What a brake says when it holds a run: its kind, the records or names that it is about, and the sentence for people;
and whether a person's approval of an earlier hold covers it. Decides no share and stops nothing."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

RECORDS_KEPT = 1_000
"""Ids of a hold that are kept with its run; all of them are counted."""
NAMED = 5
"""Ids and names that a sentence spells out."""
GROWTH = 1.1
"""A share may have grown to this many times the approved one and is still what was approved."""
NEW_ONES = 10
"""Of so many approved records one may be another now."""


class HoldKind(StrEnum):
    """The brakes, by what they look at."""

    EVENTS_OLD = "events_old"
    EVENT_SILENT = "event_silent"
    PULL_SHRANK = "pull_shrank"
    CHANGE_SHARE = "change_share"
    CLEAR_SHARE = "clear_share"
    INACTIVE_SHARE = "inactive_share"
    SCHEMA_CHANGED = "schema_changed"
    CLOCK_WRONG = "clock_wrong"
    MIRROR_PARTIAL = "mirror_partial"


@dataclass(frozen=True, slots=True)
class Hold:
    """One reason to hold. `records` are the ids (of users for `inactive_share`), of a hold read back the first
    RECORDS_KEPT of them; `count` how many there are. `subjects` are names that are no records: events, or fields with
    what changed. `share` is 0 to 1."""

    kind: HoldKind
    sentence: str
    connector: str | None = None
    object: str | None = None
    records: tuple[str, ...] = ()
    count: int = 0
    share: float | None = None
    subjects: tuple[str, ...] = ()

    def of(self, connector: str) -> Hold:
        """Give the same about one connector, whose name begins the sentence."""
        named = self.sentence if self.sentence.startswith(f"{connector} ") else f"{connector}: {self.sentence}"
        return replace(self, connector=connector, sentence=named)

    def json(self) -> dict[str, Any]:
        """Give it as a plain JSON object."""
        return {
            "kind": self.kind.value,
            "connector": self.connector,
            "object": self.object,
            "sentence": self.sentence,
            "count": self.count,
            "records": list(self.records[:RECORDS_KEPT]),
            "share": self.share,
            "subjects": list(self.subjects),
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Hold:
        """Read what `json` gave."""
        return cls(
            kind=HoldKind(found["kind"]),
            sentence=found["sentence"],
            connector=found["connector"],
            object=found["object"],
            records=tuple(found["records"]),
            count=found["count"],
            share=found["share"],
            subjects=tuple(found["subjects"]),
        )


def approved(hold: Hold, approvals: Iterable[Hold]) -> bool:
    """Tell whether a person has approved this hold already: one of the same kind about the same object, whose share has
    not grown by more than a tenth since, which names nothing new, and of whose records at most a tenth are new. Both
    must carry all their ids."""
    return any(_covers(one, hold) for one in approvals)


def _covers(before: Hold, now: Hold) -> bool:
    if (before.kind, before.connector, before.object) != (now.kind, now.connector, now.object):
        return False
    if now.share is not None and before.share is not None and now.share > GROWTH * before.share:
        return False
    others = len(set(now.records) - set(before.records))
    return set(now.subjects) <= set(before.subjects) and NEW_ONES * others <= before.count


def listed(ids: Sequence[str], count: int, run: int) -> str:
    """Spell out the first ids, say how many more there are, and where all are listed."""
    shown = ", ".join(ids[:NAMED])
    more = count - min(NAMED, len(ids))
    return shown if more <= 0 else f"{shown} … and {more:,} more; `engage-sync runs {run}` lists them"


def way_out(run: int, mend: str) -> str:
    """Say what to do about a hold: approve it, or mend the cause."""
    return f". If that is meant, `engage-sync approve {run}`; else {mend}"

"""What a cycle should do with each field of each contact, worked out slowly and plainly: the table of architecture §5,
the drift policies, what is ours after merges, deletions, failed calls and undone runs. It knows nothing of the product.

It is told what people did and what the product said of a run's end, never what it decided.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum

from tests.sync.expectation import Match, Side, match, survivor

POLICIES: Mapping[str, str] = {
    "engage_plain": "overwrite",
    "engage_shy": "respect",
    "engage_blank": "fill_blank",
    "engage_locked": "human_lock",
    "engage_external_id": "overwrite",
}
"""Managed field → its drift policy."""
TRAITS = tuple(name.removeprefix("engage_") for name in POLICIES if name != "engage_external_id")
"""The traits whose text the fields of the same name show."""
LOCKED = timedelta(days=30)
OURS = "INTEGRATION:engage-sync"
PERSON = "CRM_UI"
MERGED = "MERGE_OBJECTS"

Place = tuple[str, str]
"""A record and a field."""
Texts = Mapping[str, Mapping[str, str]]
"""Record → field → text, of the live records; an empty field is missing."""


class Decision(Enum):
    """What is to happen to one field."""

    SAME = "holds what is wanted"
    WRITE = "gets what is wanted"
    KEEP = "stays, though something else is wanted"
    REST = "is ours and stays, though something else is wanted: it is not empty"
    LEAVE = "is nobody's that we know, and not ours"


@dataclass(frozen=True)
class Setting:
    """Who gave a field its value, and when."""

    by: str
    at: datetime


def decide(policy: str, want: str | None, text: str, ours: bool, setting: Setting | None, now: datetime) -> Decision:
    """Give the table. `want` None: the record is not matched. `setting` None: it came with the record."""
    if want is None:
        return Decision.WRITE if ours and text else Decision.LEAVE
    if text == want:
        return Decision.SAME
    if not text:
        return Decision.WRITE
    if ours:
        return Decision.REST if policy == "fill_blank" and want else Decision.WRITE
    if policy == "human_lock":
        person = setting is None or not setting.by.startswith("INTEGRATION")
        return Decision.KEEP if person and (setting is None or now < setting.at + LOCKED) else Decision.WRITE
    return Decision.WRITE if policy == "overwrite" else Decision.KEEP


@dataclass(frozen=True)
class Undone:
    """A value that a rollback took back, and what stood there then instead: it is not written again until another value
    is wanted there, whatever people make of that. Not `sure`: nobody can know whether the rollback found it."""

    value: str
    restored: str
    sure: bool = True


@dataclass
class Users:
    """What the product was told of its users."""

    emails: dict[str, str] = field(default_factory=dict)
    traits: dict[str, dict[str, str]] = field(default_factory=dict)
    off: set[str] = field(default_factory=set)

    def wanted(self, user: str, name: str) -> str:
        if user in self.off:
            return ""
        return user if name == "engage_external_id" else self.traits[user].get(name.removeprefix("engage_"), "")


@dataclass
class Expected:
    """What a run should find and do. A place with two decisions is one of which nobody can know which is right."""

    links: Match
    wants: dict[Place, str]
    decisions: dict[Place, frozenset[Decision]]
    inherited: dict[Place, str]
    undone: dict[Place, Undone]

    def doing(self, record: str, what: Decision) -> set[bool]:
        """Tell whether any field of a record has a decision: one answer, or both where that is open."""
        own = [found for (one, _), found in self.decisions.items() if one == record]
        if any(found == {what} for found in own):
            return {True}
        return {True, False} if any(what in found for found in own) else {False}

    def buckets(self, live: Iterable[str]) -> dict[str, set[str]]:
        """Give the buckets each live record may end in when every call succeeds."""
        return {record: self._buckets(record) for record in live}

    def _buckets(self, record: str) -> set[str]:
        if record in self.links.ambiguous:
            return {"ambiguous"}
        if record not in self.links.links:
            return {"unlinked"}
        found: set[str] = set()
        for writes in self.doing(record, Decision.WRITE):
            for keeps in self.doing(record, Decision.KEEP):
                found.add("written" if writes else "drift_kept" if keeps else "unchanged")
        return found


@dataclass
class Ledger:
    """What we know to be ours: `last` is what each field of each record was last known to hold of us; `maybe` what
    writes put there that had no answer, so that it may count as ours or not."""

    users: Users = field(default_factory=Users)
    last: dict[str, dict[str, str]] = field(default_factory=dict)
    maybe: dict[Place, set[str]] = field(default_factory=dict)
    undone: dict[Place, Undone] = field(default_factory=dict)

    def expect(
        self,
        texts: Texts,
        settings: Mapping[Place, Setting],
        stored: Iterable[tuple[str, str]],
        moved: Mapping[str, str],
        now: datetime,
    ) -> Expected:
        """Work out what a run at `now` should do. `stored` links and `moved` ids as in `expectation.match`."""
        side = Side(self.users.emails, self.users.off, texts, "email", stored)
        links = match(side, moved, {})
        found = Expected(links, {}, {}, {}, self._followed(texts, moved))
        heirs = self._heirs(texts, moved)
        doubts: dict[Place, set[str]] = {}
        for (record, name), written in self.maybe.items():
            doubts.setdefault((survivor(record, moved), name), set()).update(written)
        for record, held in texts.items():
            who = links.links.get(record)
            for name in POLICIES:
                place, text = (record, name), held.get(name, "")
                want = None if who is None else self.users.wanted(who, name)
                own = self.last.get(record, {}).get(name)
                if own is None and text and text in heirs.get(place, ()):
                    own = found.inherited[place] = text
                if record in links.ambiguous:
                    continue
                found.wants[place] = want or ""
                doubtful = place in doubts and text in {*doubts[place], own}
                may = {True, False} if doubtful else {text == own}
                every = self._decisions(place, want, text, may, settings.get(place), now)
                found.decisions[place] = self._kept(every, found.undone.get(place), want)
        return found

    def _decisions(
        self,
        place: Place,
        want: str | None,
        text: str,
        may: set[bool],
        setting: Setting | None,
        now: datetime,
    ) -> frozenset[Decision]:
        # who set a value that a merge carried over is not told: it may count as a person's or not
        whose = [setting, Setting(OURS, now)] if setting is not None and setting.by == MERGED else [setting]
        whose += [None] if len(may) > 1 else []
        return frozenset(decide(POLICIES[place[1]], want, text, ours, by, now) for ours in may for by in whose)

    @staticmethod
    def _kept(found: frozenset[Decision], taken: Undone | None, want: str | None) -> frozenset[Decision]:
        """Leave what was taken back as long as nothing else is wanted."""
        if taken is None or taken.value != (want or ""):
            return found
        kept = frozenset(Decision.KEEP if one is Decision.WRITE else one for one in found)
        return kept if taken.sure else kept | found

    def _followed(self, texts: Texts, moved: Mapping[str, str]) -> dict[Place, Undone]:
        """Give what was taken back on live records; of those merged into one that has nothing of its own there, it is
        theirs. Of several it is not known which."""
        found: dict[Place, list[Undone]] = {}
        for (record, name), taken in self.undone.items():
            place = (survivor(record, moved), name)
            if place[0] in texts and (place[0] == record or place not in self.undone):
                found.setdefault(place, []).append(taken)
        return {place: some[0] if len(some) == 1 else replace(some[0], sure=False) for place, some in found.items()}

    def _heirs(self, texts: Texts, moved: Mapping[str, str]) -> dict[Place, set[str]]:
        """Give what was ours on records that have been merged into a live one."""
        heirs: dict[Place, set[str]] = {}
        for record, fields in self.last.items():
            end = survivor(record, moved)
            if end != record and end in texts:
                for name, text in fields.items():
                    heirs.setdefault((end, name), set()).add(text)
        return heirs

    def learn(self, expected: Expected, before: Texts, after: Texts, *, clean: bool) -> None:
        """Take in what a run did that came as far as writing."""
        self._forget(expected, before)
        self.undone = dict(expected.undone)
        for place, text in expected.inherited.items():
            self._ours(place, text)
        for place, found in expected.decisions.items():
            record, name = place
            was, now, want = before[record].get(name, ""), after[record].get(name, ""), expected.wants[place]
            if Decision.SAME in found or (now != was and clean):
                self._ours(place, want)
            elif now != was:
                self.maybe.setdefault(place, set()).add(now)
            elif clean and len(found) > 1 and now:  # it stays: to the product it is not ours
                self.maybe.pop(place, None)
                self.last.get(record, {}).pop(name, None)
            if Decision.KEEP not in found and Decision.LEAVE not in found:
                self.undone.pop(place, None)

    def take_back(self, place: Place, value: str, restored: str) -> None:
        """Take in that a rollback took a value back. What it put there was ours once, or somebody else's: not known
        here. Of runs undone one after the other the newest value, the one that is still wanted, is kept back."""
        self._undo(place, value, restored, sure=True)
        self._ours(place, restored)
        if restored:
            self.maybe[place] = {restored}

    def leave(self, place: Place, value: str, now: str, *, sure: bool, back: bool) -> None:
        """Take in that a rollback found somebody's correction of what it was to take back: that stays, and is not ours.
        `back`: it is what stood there before the run, which may have been ours."""
        last = self.last.get(place[0], {}).get(place[1])
        doubtful = last == now or now in self.maybe.get(place, ())
        if now and last == now and place not in self.maybe:
            return  # it was what a later run wanted
        self._undo(place, value, now, sure=sure and not (now and doubtful))
        if last is not None and last != now:
            del self.last[place[0]][place[1]]
            if back or not sure:
                self.maybe.setdefault(place, set()).add(last)
        if back and now:
            self.maybe.setdefault(place, set()).add(now)

    def _undo(self, place: Place, value: str, restored: str, *, sure: bool) -> None:
        before = self.undone.get(place)
        if before is not None and before.restored == value and before.value != restored:
            value, sure = before.value, sure and before.sure
        self.undone[place] = Undone(value, restored, sure)

    def _ours(self, place: Place, text: str) -> None:
        self.maybe.pop(place, None)
        fields = self.last.setdefault(place[0], {})
        fields.pop(place[1], None)
        if text:
            fields[place[1]] = text

    def _forget(self, expected: Expected, live: Texts) -> None:
        """Forget the records that are gone, and those that are not matched and hold nothing of ours."""
        for record in list(self.last):
            lost = record not in live
            free = not lost and record not in expected.links.links and record not in expected.links.ambiguous
            if lost or (free and expected.doing(record, Decision.WRITE) == {False}):
                del self.last[record]
        self.maybe = {place: texts for place, texts in self.maybe.items() if place[0] in live}

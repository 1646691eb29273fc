"""Stages, health, scores, segments and signals of a sequence of runs (semantics §7), in plain dicts and loops.

`runs(...)` gives for each run `{"users": rows, "accounts": rows}`, rows as `show users|accounts --format jsonl` has
them. What depends on the past reads the newest recorded run before it: a run at an `as_of` that was recorded already
replaces that one, and a run before the newest recorded one is a look back, which is recorded nowhere. Slow on purpose;
it knows nothing of the product.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from tests.oracle import scores
from tests.oracle.messages import Message, instant
from tests.oracle.names import account_names, user_names
from tests.oracle.verdicts import account_row, active_members, user_row, world
from tests.oracle.where import holds
from tests.oracle.world import Crm, Row, World, duration

ENTITIES = ("user", "account")
Verdicts = dict[str, dict[str, Row]]
"""By entity and external id. A verdict holds what the row shows, what rules read (`names`), and what the next run
needs: `stage`, `health`, `raw_health` and its `streak`, `on` and `fired` of the signals."""


# --- stages and health ---------------------------------------------------------------------------------------------


def steps_of(stages: Any) -> tuple[list[Row], bool]:
    if isinstance(stages, Mapping):
        return stages["steps"], bool(stages.get("monotonic", False))
    return stages or [], False


def stage(stages: Any, names: Row, past: Row | None, timezone: str) -> str | None:
    """Give the last stage that matches; where stages are monotonic, never one before that of the last run."""
    steps, monotonic = steps_of(stages)
    order = [step["name"] for step in steps]
    matched = [step["name"] for step in steps if holds(step["when"], names.get, timezone=timezone)]
    found = matched[-1] if matched else None
    was = past["stage"] if past else None
    if monotonic and was in order and (found is None or order.index(found) < order.index(was)):
        return str(was)
    return found


def raw_health(health: Row | None, names: Row, age: timedelta, timezone: str) -> str | None:
    """Give the health of this run alone: the profile named after the stage, else the default; none: null."""
    health = health or {}
    profile = (health.get("stages") or {}).get(names["stage"], health.get("default"))
    if profile is None:
        return None
    if age < duration(health.get("grace", "0s")):
        return "unknown"
    asked = ("good", "bad") if health.get("precedence", "good_first") == "good_first" else ("bad", "good")
    for value in asked:
        if any(holds(rule, names.get, timezone=timezone) for rule in profile.get(value) or ()):
            return value
    return "normal"


def confirmed(raw: str | None, streak: int, past: Row | None, confirm: int) -> str | None:
    """Give what is shown: a new value once `confirm` runs in a row agree; null, and what follows it, at once."""
    if past is None or past["health"] is None or raw is None or streak >= confirm:
        return raw
    return str(past["health"])


# --- one run -------------------------------------------------------------------------------------------------------


class Run:
    """The verdicts of one world after those of the run before it (none: {})."""

    def __init__(self, at: World, model: Row, past: Verdicts) -> None:
        self.at, self.model, self.past = at, model or {}, past
        self.timezone = at.timezone
        self.verdicts: Verdicts = {
            "user": {user: blank(user_names(at, user)) for user in at.users if user not in at.deactivated},
            "account": {account: blank(account_names(at, account)) for account in at.accounts},
        }
        for entity in ENTITIES:
            self.stages_and_health(entity)
        for name, score in self.section("scores"):
            self.weighted(name, score) if score["kind"] == "weighted" else self.by_rules(name, score)
        for name, segment in self.section("segments"):
            for _, verdict in self.each(segment["entity"]):
                member = self.holds(segment["where"], verdict)
                verdict["names"][f"segments.{name}"] = member
                verdict["segments"] += [name] if member else []
        for name, signal in self.section("signals"):
            for external_id, verdict in self.each(signal["entity"]):
                self.signal(name, signal, verdict, self.before(signal["entity"], external_id))

    def memory(self) -> Verdicts:
        """Give what the next run may know: of deactivated users the stage, and when their signals fired."""
        resting = {
            user: {**past, "health": None, "raw_health": None, "streak": 0, "signals": []}
            for user, past in self.past.get("user", {}).items()
            if user in self.at.deactivated
        }
        return {**self.verdicts, "user": {**resting, **self.verdicts["user"]}}

    def section(self, name: str) -> list[tuple[str, Row]]:
        return list((self.model.get(name) or {}).items())

    def each(self, entity: str) -> list[tuple[str, Row]]:
        return list(self.verdicts[entity].items())

    def before(self, entity: str, external_id: str) -> Row | None:
        """Give what the last run said; of a user without a past of its own what it said of it under a former id."""
        known = self.past.get(entity, {})
        former = (
            sorted(each for each, now in self.at.shown_as.items() if now == external_id) if entity == "user" else []
        )
        return next((known[each] for each in (external_id, *former) if each in known), None)

    def holds(self, rule: str, verdict: Row) -> bool:
        return holds(rule, verdict["names"].get, timezone=self.timezone)

    def stages_and_health(self, entity: str) -> None:
        health = (self.model.get("health") or {}).get(entity)
        stages = (self.model.get("stages") or {}).get(entity)
        for external_id, verdict in self.each(entity):
            past, names = self.before(entity, external_id), verdict["names"]
            names["stage"] = verdict["stage"] = stage(stages, names, past, self.timezone)
            raw = raw_health(health, names, self.at.as_of - self.at.born(entity, external_id), self.timezone)
            verdict["streak"] = past["streak"] + 1 if past and past["raw_health"] == raw else 1
            verdict["raw_health"] = raw
            confirm = (health or {}).get("confirm", 1)
            names["health"] = verdict["health"] = confirmed(raw, verdict["streak"], past, confirm)

    # --- scores ---

    def weighted(self, name: str, score: Row) -> None:
        users = scores.weighted(self.at, score)
        for user, verdict in self.each("user"):
            self.show_score(name, verdict, users[user])
        for account, verdict in self.each("account"):
            found = scores.of_account(sorted(active_members(self.at, account)), users)
            self.show_score(name, verdict, found)
            verdict["names"][f"scores.{name}_sum"] = verdict["score_sums"][name] = found["sum"]

    def show_score(self, name: str, verdict: Row, found: Row) -> None:
        now, before = found["now"], found["before"]
        trend = None if now is None or before is None else now - before
        self.keep_score(name, verdict, now)
        verdict["names"][f"scores.{name}_trend"] = verdict["score_trends"][name] = trend
        verdict["names"][f"scores.{name}_heat"] = scores.heat(trend)

    def by_rules(self, name: str, score: Row) -> None:
        for _, verdict in self.each(score["entity"]):
            self.keep_score(name, verdict, scores.by_rules(score["rules"], verdict["names"], self.timezone))
            verdict["score_trends"][name] = None
            if score["entity"] == "account":
                verdict["score_sums"][name] = None

    def keep_score(self, name: str, verdict: Row, value: int | None) -> None:
        verdict["names"][f"scores.{name}"] = verdict["scores"][name] = value
        found = scores.band(value, self.model.get("bands"))
        verdict["names"][f"scores.{name}_band"] = verdict["score_bands"][name] = found

    # --- signals ---

    def signal(self, name: str, signal: Row, verdict: Row, past: Row | None) -> None:
        """Move one signal: it fires from off to on unless it fired less than its cooldown ago."""
        was_on = past is not None and name in past["signals"]
        fired = past["fired"].get(name) if past else None
        on = self.holds(signal["when"], verdict)
        if on and not was_on:
            cooldown = duration(signal.get("cooldown", "0s"))
            on = fired is None or self.at.as_of - fired >= cooldown
            fired = self.at.as_of if on else fired
        if fired is not None:
            verdict["fired"][name] = fired
        verdict["names"][f"signals.{name}"] = on
        verdict["signals"] += [name] if on else []

    # --- rows ---

    def rows(self) -> dict[str, list[Row]]:
        make = {"user": user_row, "account": account_row}
        return {
            f"{entity}s": [
                {**make[entity](self.at, external_id), **shown(verdict, entity)}
                for external_id, verdict in sorted(self.each(entity))
            ]
            for entity in ENTITIES
        }


def blank(names: Row) -> Row:
    lists: Row = {"segments": [], "signals": []}
    return {"names": names, "scores": {}, "score_trends": {}, "score_bands": {}, "score_sums": {}, "fired": {}, **lists}


def shown(verdict: Row, entity: str) -> Row:
    """Give the part of a row that comes from these verdicts."""
    keys = ["health", "stage", "scores", "score_trends", "score_bands", *(["score_sums"] * (entity == "account"))]
    return {
        **{key: verdict[key] for key in keys},
        "segments": sorted(verdict["segments"]),
        "signals": sorted(verdict["signals"]),
    }


# --- many runs -----------------------------------------------------------------------------------------------------


def history(
    messages: Sequence[Message],
    model: Row | Sequence[Row],
    as_ofs: Sequence[datetime | str],
    timezone: str = "UTC",
    crm: Crm | None = None,
) -> list[Run]:
    """Give the runs, in their order. A model for each of them may be given.

    Every run sees all messages up to its `as_of`, also those that arrived late.
    """
    recorded: dict[datetime, Verdicts] = {}
    found = []
    for number, when in enumerate(as_ofs):
        as_of = when if isinstance(when, datetime) else instant(when)
        assert as_of is not None, when
        its_model = model if isinstance(model, Mapping) else model[number]
        earlier = [moment for moment in recorded if moment < as_of]
        past = recorded[max(earlier)] if earlier else {}
        run = Run(world(messages, its_model, as_of, timezone, crm), its_model, past)
        if not recorded or as_of >= max(recorded):
            recorded[as_of] = run.memory()
        found.append(run)
    return found


def runs(
    messages: Sequence[Message],
    model: Row | Sequence[Row],
    as_ofs: Sequence[datetime | str],
    timezone: str = "UTC",
    crm: Crm | None = None,
) -> list[dict[str, list[Row]]]:
    """Give the rows of users and accounts after each run, in the order of the runs."""
    return [run.rows() for run in history(messages, model, as_ofs, timezone, crm)]

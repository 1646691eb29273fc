"""Random models and populations: stages, health, scores, segments and signals over fixed properties and metrics, and
messages that keep to the edges of windows, of grace and of days. It knows nothing of the product."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from datetime import datetime, timedelta
from random import Random
from typing import Any

import yaml

from tests.oracle.random_rules import Names, rule
from tests.oracle.telling import NOW, Body, ago, track
from tests.oracle.world import TYPES, Row

BASE = yaml.safe_load("""\
activity: {exclude: [heartbeat]}
properties:
  user:
    mode: traits.mode
    size: {from: traits.size, type: number}
    vip: {from: traits.vip, type: boolean}
    due: {from: traits.due, type: date}
    since: {from: traits.since, type: datetime}
  account:
    mode: traits.mode
    vip: {from: traits.vip, type: boolean}
    seats: {from: traits.seats, type: number}
    mrr: {from: traits.mrr, type: number}
    renewal_date: {from: traits.due, type: date}
    since: {from: traits.since, type: datetime}
metrics:
  user:
    reports: {count: "report_*", window: 5d}
    earlier: {count: "*", window: 5d, offset: 5d}
    spent: {sum: properties.amount}
    best: {max: properties.amount, window: 14d}
    login: {last: login}
  account:
    week: {active_users: "*", window: 7d}
    spent: {sum: properties.amount, event: "report_*"}
    best: {max: properties.amount, window: 14d}
    login: {first: login, window: 14d}
""")

EVERYBODY = ("events", "active_days", "days_since_active", "age_days", "spent", "best", "days_to_since", "mrr")
OF_ACCOUNT = ("seats", "users", "active_users", "active_share", "seat_use", *(f"users_{name}" for name in TYPES))
SEEN = ("first_active_at", "last_active_at", "login", "since")
ACCOUNT: Names = {
    "number": [*EVERYBODY, *OF_ACCOUNT, "week", "days_to_renewal_date"],
    "text": ["mode"],
    "boolean": ["vip", "active"],
    "date": ["renewal_date"],
    "datetime": list(SEEN),
}
USER: Names = {
    "number": [*EVERYBODY, "reports", "earlier", "size", "days_to_due"],
    "text": ["mode"],
    "boolean": ["vip", "lapsed_influencer", *(f"types.{name}" for name in TYPES)],
    "date": ["due", "renewal_date"],
    "datetime": list(SEEN),
    "choice primary_user_type": list(TYPES),
}
STAGES = ("early", "mid", "late")
BANDS = {"high": 75, "medium": 50, "low": 25, "minimal": 0}
COOLDOWNS = (3, 0, 4, 2)
"""Days, by the number of the signal, so that a signal has the same in every model: the law leaves open what happens
when a cooldown grows after it has passed."""
OTHER_BANDS = ({"a": 0}, {"a": 0, "b": 33.5, "c": 66}, {"top": 100, "rest": 0, "half": 50})


def named() -> dict[str, Names]:
    """Give the names of both entities before any verdict but the user types."""
    user = deepcopy(USER)
    for kind, names in ACCOUNT.items():
        user[kind] += [f"account.{name}" for name in names]
    return {"user": user, "account": deepcopy(ACCOUNT)}


# --- models --------------------------------------------------------------------------------------------------------


class Writer:
    """Writes one model; `names` grows in the order of the law."""

    def __init__(self, random: Random) -> None:
        self.random, self.names = random, named()
        self.model: Row = deepcopy(BASE)

    def rules(self, entity: str, most: int) -> list[str]:
        return [rule(self.random, self.names[entity]) for _ in range(self.random.randint(0, most))]

    def some(self, prefix: str, most: int) -> Iterator[tuple[str, str]]:
        """Give names, each with an entity."""
        for number in range(self.random.randint(2, most)):
            yield f"{prefix}{number}", self.random.choice(("user", "account"))

    def write(self) -> Row:
        random = self.random
        self.model["activity"]["window"] = random.choice(("5d", "7d", "2w"))
        self.model["user_types"] = {"power": {"share": random.choice((0.1, 0.5))}}
        if random.random() < 0.3:
            self.model["account_activity"] = "attributed"
        if random.random() < 0.2:
            self.model["deactivated"] = "mode = 'two' and vip"
        if random.random() < 0.5:
            self.model["bands"] = random.choice(OTHER_BANDS)
        for entity in ("user", "account"):
            self.stages(entity)
        for entity in ("user", "account"):
            self.health(entity)
        self.scores()
        self.segments()
        self.signals()
        return self.model

    def stages(self, entity: str) -> None:
        random, names = self.random, self.names[entity]
        steps = [{"name": name, "when": rule(random, names)} for name in STAGES[: random.randint(0, 3)]]
        if steps:
            form = {"monotonic": True, "steps": steps} if random.random() < 0.4 else steps
            self.model.setdefault("stages", {})[entity] = form
            names["choice stage"] = [step["name"] for step in steps]

    def profile(self, entity: str) -> dict[str, list[str]]:
        return {value: self.rules(entity, 2) for value in ("good", "bad")}

    def health(self, entity: str) -> None:
        random = self.random
        if random.random() < 0.15:
            return
        stages = self.names[entity].get("choice stage", [])
        found: Row = {
            "stages": {name: self.profile(entity) for name in stages if random.random() < 0.4},
            "precedence": random.choice(("good_first", "bad_first")),
            "grace": random.choice(("0d", "0d", "7d", "2w")),
            "confirm": random.choice((1, 2, 3)),
        }
        if random.random() < 0.8:
            found["default"] = self.profile(entity)
        self.model.setdefault("health", {})[entity] = found
        self.names[entity]["choice health"] = ["good", "normal", "bad", "unknown"]

    def scores(self) -> None:
        self.model["scores"] = {}
        for name, entity in self.some("score", 6):
            if self.random.random() < 0.5:
                self.weighted(name)
            else:
                self.model["scores"][name] = {"entity": entity, "kind": "rules", "rules": self.score_rules(entity)}
                self.declare_score(entity, name)

    def weighted(self, name: str) -> None:
        random = self.random
        events = ("login", "report_run", "report_big", "report_*", "*", "page", "heartbeat", "*_big", "Login")
        weights = {event: random.choice((0, 0.5, 1, 2.25, 3, 10)) for event in random.sample(events, 4)}
        window = random.choice(({}, {"window": "5d"}, {"window": "7d"}, {"window": "2d"}))
        self.model["scores"][name] = {"entity": "user", "kind": "weighted", "weights": weights, **window}
        for entity in ("user", "account"):
            self.declare_score(entity, name)
            names = self.names[entity]
            names["number"] += [f"scores.{name}_trend"] + [f"scores.{name}_sum"] * (entity == "account")
            names[f"choice scores.{name}_heat"] = ["hot", "steady", "cold"]

    def score_rules(self, entity: str) -> list[Row]:
        weights = (1, 1, 2, 0.1, 2.5, 7)
        count = self.random.randint(1, 4)
        return [
            {"name": f"r{n}", "when": rule(self.random, self.names[entity], 1), "weight": self.random.choice(weights)}
            for n in range(count)
        ]

    def declare_score(self, entity: str, name: str) -> None:
        self.names[entity]["number"] += [f"scores.{name}"] * 3
        self.names[entity][f"choice scores.{name}_band"] = list(self.model.get("bands", BANDS))

    def segments(self) -> None:
        self.model["segments"] = {}
        for name, entity in self.some("s", 14):
            self.model["segments"][name] = {"entity": entity, "where": rule(self.random, self.names[entity])}
            self.names[entity]["boolean"] += [f"segments.{name}"] * 2

    def signals(self) -> None:
        self.model["signals"] = {}
        for name, entity in self.some("g", 8):
            cooldown = f"{COOLDOWNS[int(name[1:]) % len(COOLDOWNS)]}d"
            when = rule(self.random, self.names[entity])
            self.model["signals"][name] = {"entity": entity, "when": when, "cooldown": cooldown}
            self.names[entity]["boolean"] += [f"signals.{name}"] * 2


def model(random: Random) -> Row:
    """Give a model as it would be read from YAML."""
    return Writer(random).write()


# --- populations ---------------------------------------------------------------------------------------------------

AGES = (0, 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13, 14, 15, 17, 21, 28, 31, 60)
"""Days before NOW, so that with runs as of 0, 1, 2 and 3 days before it events lie at the edges of all windows."""

USERS = [f"u{number}" for number in range(14)]
ACCOUNTS = [f"a{number}" for number in range(4)]
NEWCOMER = "late"
"""An account that is there only once a `group` names it. Its age, like that of the other accounts, does not depend on
whether an `identify` of its only user counts as a message of the account, which the law leaves open."""


def when(random: Random) -> datetime:
    return NOW - timedelta(days=random.choice(AGES), microseconds=random.choice((0, 0, 0, 1, -1, 3_600_000_000)))


def at(random: Random, told: Sequence[Body]) -> list[Body]:
    moment = when(random).isoformat()
    return [{**one, "timestamp": moment} for one in told]


def events(random: Random, user: str) -> list[Body]:
    name = random.choice(("login", "login", "report_run", "report_big", "heartbeat", "page", "Login"))
    more: Row = {"properties": {"amount": random.choice((1, "2.5", 40, "much", -1))}} if random.random() < 0.4 else {}
    if random.random() < 0.25:
        more["groupId"] = random.choice(ACCOUNTS)
    told = track(user, name, times=random.choice((1, 1, 1, 2, 5)), **more)
    return at(random, [{**one, "type": "page", "name": ""} if name == "page" else one for one in told])


def days(random: Random) -> str:
    return random.choice(("2026-06-29", "2026-06-30", "2026-07-01", "2026-06-30T23:30:00Z", "2026-06-27T05:00", "?"))


def traits(random: Random, names: Sequence[str]) -> Row:
    values: dict[str, Sequence[Any]] = {
        "mode": ("one", "two", "One", "", "it's"),
        "size": (0, 1, 2.5, "-2.5", "7", "many", 10),
        "vip": (True, False, "true", "no"),
        "seats": (0, 1, 2, "4"),
        "mrr": (10, "0.5", 3, "much"),
        "due": (days(random),),
        "since": (days(random),),
        "createdAt": tuple((NOW - timedelta(days=age, microseconds=us)).isoformat() for age in AGES for us in (0, -1)),
        "deactivatedAt": (None, None, False, True, (NOW - timedelta(days=1)).isoformat()),
    }
    return {name: random.choice((*values[name], None)) for name in names if random.random() < 0.6}


def person(random: Random, user: str) -> list[Body]:
    told = [one for _ in range(random.randint(0, 6)) for one in events(random, user)]
    for _ in range(random.randint(0, 3)):
        known = ["mode", "size", "vip", "due", "since", *(["createdAt", "deactivatedAt"] * (random.random() < 0.3))]
        told += at(random, [{**track(user, "")[0], "type": "identify", "traits": traits(random, known)}])
    for account in random.sample([*ACCOUNTS, NEWCOMER], random.choice((0, 1, 1, 1, 2))):
        told += at(random, [named_by(user, account, {})])
    return told


def named_by(user: str | None, account: str, known: Row) -> Body:
    born = {"createdAt": (NOW - timedelta(days=70)).isoformat()} if account == NEWCOMER else {}
    one = {**track(user or "", "")[0], "type": "group", "groupId": account, "traits": {**known, **born}}
    return {name: value for name, value in one.items() if name != "userId" or user}


def population(random: Random) -> list[Body]:
    """Give messages of some users and accounts, a few of them aliases and machines."""
    told = [one for user in USERS for one in person(random, user)]
    told += [{**named_by(None, account, {}), "timestamp": ago(61)} for account in ACCOUNTS]
    for account in ACCOUNTS:
        for _ in range(random.randint(0, 3)):
            known = traits(random, ("mode", "vip", "seats", "mrr", "due", "since", "createdAt"))
            told += at(random, [named_by(None, account, known)])
    for _ in range(random.randint(0, 3)):
        previous, user = random.sample(USERS, 2)
        told += at(random, [{**track(user, "")[0], "type": "alias", "previousId": previous}])
    return told


def zone(random: Random) -> str:
    return random.choice(("UTC", "Europe/Berlin", "Pacific/Kiritimati", "America/New_York"))

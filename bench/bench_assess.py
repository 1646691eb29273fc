"""Deciding with a large model: 1M users, 50,000 accounts, 40 rules, 20 metrics, 5 scores, 15 segments and 8 signals.

The floor is the same rules asked by bare polars expressions over the same frame, in the same run. The second row shows
that the cost is linear: half of the users take half of the time.
"""

from __future__ import annotations

from bench.harness import Measured, Row, measured

LIMIT, LIMIT_MB = 5.0, 3_000

SETUP = """
from datetime import UTC, datetime, timedelta
from decimal import Decimal
import polars as pl
from engage_sync.core.assess import assess
from engage_sync.core.definitions import Entity, Metric, MetricKind, Model, Property, ValueType
from engage_sync.core.expressions import Type, parse
from engage_sync.core.facts import ACCOUNTS, ALIASES, ATTRIBUTED, USERS, Facts
from engage_sync.core.population import populate
from engage_sync.core.verdict_rules import (
    Health, Profile, Rule, RuleScore, ScoreRule, Segment, Signal, Stages, WeightedScore
)

NOW = datetime(2026, 6, 1, tzinfo=UTC)
USER, ACCOUNT = Entity.USER, Entity.ACCOUNT
METRICS = [f"metric_{n}" for n in range(10)]
types = {
    **dict.fromkeys([*METRICS, "events", "active_days", "days_since_active", "age_days", "mrr"], Type.NUMBER),
    **dict.fromkeys(["users", "active_users", "active_share", "seat_use", "users_zombie"], Type.NUMBER),
    "account.active_users": Type.NUMBER,
    **dict.fromkeys([f"scores.{s}{f}" for s in ("a", "b", "c", "d", "e") for f in ("", "_trend")], Type.NUMBER),
    **dict.fromkeys(["stage", "health", "plan"], Type.TEXT),
    **dict.fromkeys([f"segments.s{n}" for n in range(15)], Type.BOOLEAN),
    "types.power": Type.BOOLEAN, "lapsed_influencer": Type.BOOLEAN,
}

def rule(name, text):
    return Rule(name, parse(text, types))

def rules(*texts):
    return tuple(rule(text, text) for text in texts)

def health(extra):
    return Health(
        default=Profile(
            good=rules("metric_0 > 50 and metric_1 > 20", f"{extra} > 3"),
            bad=rules("events = 0", "metric_2 < 0.5 * metric_3"),
        ),
        stages={"new": Profile(good=rules("metric_4 > 10"), bad=rules("days_since_active > 14"))},
        grace=timedelta(days=7),
        confirm=2,
    )

stages = {
    USER: Stages(tuple(rule(n, w) for n, w in (("new", "age_days >= 0"), ("grown", "age_days > 60"),
                                                      ("deep", "metric_5 > 400 and account.active_users > 3")))),
    ACCOUNT: Stages(tuple(rule(n, w) for n, w in (("new", "age_days >= 0"), ("grown", "age_days > 60 and mrr > 0")))),
}
weights = (("report_*", 5), ("login", 1), ("*", 2))
scores = (
    WeightedScore("a", weights, timedelta(days=30)),
    WeightedScore("b", weights, timedelta(days=7)),
    RuleScore("c", USER, tuple(ScoreRule(rule(f"r{n}", f"metric_{n} > {20 * n}"), Decimal(n + 1)) for n in range(6))),
    RuleScore("d", ACCOUNT, tuple(ScoreRule(rule(f"r{n}", f"metric_{n} > {20 * n}"), Decimal(1)) for n in range(4))),
    RuleScore("e", ACCOUNT, tuple(ScoreRule(rule(t, t)) for t in ("seat_use > 0.5", "active_share > 0.3"))),
)
of_users = ("scores.a > 80", "health = 'bad' and mrr > 50", "types.power", "stage = 'deep' or scores.c > 50",
            "scores.a_trend < -10", "segments.s0 and segments.s2", "plan = 'pro' and metric_6 > 3",
            "events between 5 and 50", "lapsed_influencer", "coalesce(metric_7, 0) / nullif(events, 0) > 0.2")
of_accounts = ("health = 'bad' and mrr > 100", "scores.a > 60", "users_zombie > 0.5 * users", "scores.e < 50",
               "metric_8 < metric_9")
segments = tuple(Segment(rule(f"s{n}", text), USER) for n, text in enumerate(of_users)) + tuple(
    Segment(rule(f"s{n + 10}", text), ACCOUNT) for n, text in enumerate(of_accounts)
)
signals = tuple(Signal(rule(f"g{n}", text), USER, timedelta(days=14)) for n, text in enumerate(
    ("segments.s1", "scores.a_trend <= -10", "days_since_active > 20", "metric_1 < 0.5 * metric_2"))) + tuple(
    Signal(rule(f"h{n}", text), ACCOUNT, timedelta(days=14)) for n, text in enumerate(
    ("segments.s10", "seat_use > 0.9", "scores.a_trend <= -10", "active_users = 0")))
model = Model(
    properties=(
        Property("plan", USER, "plan"),
        Property("mrr", ACCOUNT, "mrr", None, ValueType.NUMBER),
        Property("seats", ACCOUNT, "seats", None, ValueType.NUMBER),
    ),
    metrics=tuple(Metric(name, entity, MetricKind.COUNT) for entity in Entity for name in METRICS),
    stages=stages, health={USER: health("metric_9"), ACCOUNT: health("active_users")},
    scores=scores, segments=segments, signals=signals,
)

def rules_of(model):
    healths = [h for h in model.health.values()]
    profiles = [p for h in healths for p in (h.default, *h.stages.values())]
    return [
        *(r.when for s in model.stages.values() for r in s.steps),
        *(r.when for p in profiles for r in (*p.good, *p.bad)),
        *(o.rule.when for s in model.scores if isinstance(s, RuleScore) for o in s.rules),
        *(s.rule.when for s in (*model.segments, *model.signals)),
    ]

def population_of(users, accounts):
    number = pl.select(n=pl.int_range(users))
    mixed = (pl.col("n") * 2_654_435_761) % 4_294_967_296
    busy = (mixed % 10 != 0) & (mixed % 3 == 0)
    last = pl.when(mixed % 10 != 0).then(
        pl.lit(NOW) - pl.duration(minutes=mixed % (60 * 24 * pl.when(busy).then(30).otherwise(400)))
    )
    metrics = {name: (mixed // (n + 1)) % 500 for n, name in enumerate(METRICS)}
    raws = {f"{kind}.{s}": pl.when(busy).then((mixed // (n + 3)) % 900).otherwise(0)
            for n, s in enumerate("ab") for kind in ("raw", "raw_before")}
    schema = {**USERS, **dict.fromkeys((*METRICS, *raws), pl.Int64())}
    people = number.select(
        external_id=pl.format("user-{}", "n"), first_message_at=pl.lit(NOW) - pl.duration(hours=mixed % 9000),
        events=pl.when(busy).then(1 + mixed % 500).otherwise(0),
        active_days=pl.when(busy).then(1 + mixed % 30).otherwise(0),
        first_active_at=last, last_active_at=last, **metrics, **raws,
    ).cast(schema)
    firms = pl.select(n=pl.int_range(accounts)).select(
        external_id=pl.format("account-{}", "n"), first_message_at=pl.lit(NOW) - pl.duration(hours=mixed % 9000),
        events=mixed % 900, active_days=mixed % 30, first_active_at=pl.lit(NOW), last_active_at=pl.lit(NOW), **metrics,
    ).cast({**ACCOUNTS, **dict.fromkeys(METRICS, pl.Int64())})
    members = number.select(
        user=pl.format("user-{}", "n"), account=pl.format("account-{}", pl.col("n") % accounts), entered_at=pl.lit(NOW)
    )
    traits = number.select(external_id=pl.format("user-{}", "n"), path=pl.lit("plan"), value=pl.lit("pro"))
    money = pl.concat(
        firms.select("external_id", path=pl.lit(path), value=pl.lit(value))
        for path, value in (("mrr", "99.5"), ("seats", "12"))
    )
    none = pl.DataFrame(schema=ATTRIBUTED), pl.DataFrame(schema=ALIASES)
    facts = Facts(people, firms, members, *none, traits, money, NOW)
    return populate(facts, model, as_of=NOW, timezone="UTC")

nobody = pl.DataFrame(schema={"external_id": pl.String, "connector": pl.String})
population = population_of(1_000_000, 50_000)
half = population_of(500_000, 50_000)

def decide(population, before=None):
    return assess(population, model, as_of=NOW, timezone="UTC", linked=nobody, before=before)
"""

WORK = """
import time
from engage_sync.core.expression_polars import to_polars
from engage_sync.core.assess import BEFORE
first = decide(population)
before = {
    entity: frame.with_columns(rested_stage=pl.lit(None, pl.String)).select(list(BEFORE))
    for entity, frame in ((USER, first.users), (ACCOUNT, first.accounts))
}
start, spent = time.perf_counter(), time.process_time()
verdicts = decide(population, before)
seconds, spent = time.perf_counter() - start, time.process_time() - spent
assert verdicts.users.height == 1_000_000 and verdicts.accounts.height == 50_000
on = int((verdicts.users["signals"].list.len() > 0).sum())
assert 0 < on < 1_000_000, on
frame = verdicts.users
asked = [r for r in rules_of(model) if r.names <= set(frame.columns)]
start = time.perf_counter()
frame.lazy().select(to_polars(r).alias(str(n)) for n, r in enumerate(asked)).collect()
floor = time.perf_counter() - start
del first, verdicts, frame, before
start = time.perf_counter()
decide(half)
halved = time.perf_counter() - start
start = time.perf_counter()
decide(population)
whole = time.perf_counter() - start
RESULT = {"seconds": seconds, "cpu": spent, "floor": floor, "asked": len(asked), "rules": len(rules_of(model)),
          "half": halved, "whole": whole}
"""


def rows() -> list[Row]:
    """Measure once: with what the last run remembers, then half of the users and all of them without."""
    run: Measured = measured(WORK, setup=SETUP)
    result = run.result
    assert isinstance(result, dict)
    ratio = result["whole"] / result["half"]
    return [
        Row(
            f"assess 1M users, 50,000 accounts: {result['rules']} rules, 20 metrics, 5 scores, 15 segments, 8 signals",
            f"{result['seconds']:.2f} s, CPU {result['cpu']:.2f} s, RSS {run.rss_mb:,.0f} MB",
            f"≤ {LIMIT:g} s, ≤ {LIMIT_MB:,} MB",
            f"{result['floor']:.2f} s ({result['asked']} of its rules about users, bare)",
            ok=result["seconds"] <= LIMIT and run.rss_mb <= LIMIT_MB,
        ),
        Row(
            "the same with 500,000 users, and how much longer 1M take",
            f"{result['half']:.2f} s, {ratio:.2f} × for twice as many",
            "≤ 2.3 ×",
            "2 ×",
            ok=ratio <= 2.3,
        ),
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)

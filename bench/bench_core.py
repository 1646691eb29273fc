"""Deciding at full size: user types, roll-ups, matching and plan for 1M users and 1M contacts with 7 managed fields.

The floor is the bare polars joins of the same frames, taken in the same run: users with memberships, users with
contacts by e-mail, contacts with links, wanted values and last written ones.
"""

from __future__ import annotations

from bench.harness import Measured, Row, measured

LIMIT = 6.0

SETUP = """
from datetime import UTC, datetime
import polars as pl
from engage_sync.core.asking import Asking
from engage_sync.core.assess import assess
from engage_sync.core.definitions import Entity, InfluencerRule, ManagedField, Model, ObjectMap, Property, ValueType
from engage_sync.core.expressions import Type, parse
from engage_sync.core.facts import ACCOUNTS, ALIASES, ATTRIBUTED, USERS, Facts
from engage_sync.core.matching import match
from engage_sync.core.plan import FieldLimit, plan_object
from engage_sync.core.population import populate
from engage_sync.core.wanted import wanted

N, COMPANIES = 1_000_000, 5_000
NOW = datetime(2026, 6, 1, tzinfo=UTC)
number = pl.select(n=pl.int_range(N))
mixed = (pl.col("n") * 2_654_435_761) % 4_294_967_296
user = pl.format("user-{}", "n")
email = pl.format("person{}@company{}.example", "n", pl.col("n") % COMPANIES)
busy = (mixed % 10 != 0) & (mixed % 3 == 0)
minutes = mixed % (60 * 24 * pl.when(busy).then(30).otherwise(400))
last = pl.when(mixed % 10 != 0).then(pl.lit(NOW) - pl.duration(minutes=minutes))
users = number.select(
    external_id=user,
    first_message_at=pl.lit(NOW) - pl.duration(hours=mixed % 9000),
    events=pl.when(busy).then(1 + mixed % 500).otherwise(0),
    active_days=pl.when(busy).then(1 + mixed % 30).otherwise(0),
    first_active_at=last,
    last_active_at=last,
    spend=(mixed % 100_000) / 7.0,
).cast(USERS)
accounts = pl.select(n=pl.int_range(COMPANIES)).select(
    external_id=pl.format("account-{}", "n"),
    first_message_at=pl.lit(NOW),
    events=pl.lit(5),
    active_days=pl.lit(2),
    first_active_at=pl.lit(NOW),
    last_active_at=pl.lit(NOW),
).cast(ACCOUNTS)
company = pl.format("account-{}", pl.col("n") % COMPANIES)
memberships = number.select(user=user, account=company, entered_at=pl.lit(NOW))
title = pl.when(mixed % 9 == 0).then(pl.lit("Head of Ops")).otherwise(pl.lit("Analyst"))
held = {
    "email": email,
    "name": pl.format("Person {}", "n"),
    "createdAt": pl.lit("2025-01-01T10:00:00.000Z"),
    "title": title,
}
traits = pl.concat([number.select(external_id=user, path=pl.lit(path), value=value) for path, value in held.items()])
account_traits = pl.concat(
    accounts.select("external_id", path=pl.lit(path), value=pl.lit(value))
    for path, value in {"seats": "120", "mrr": "99.5"}.items()
)
properties = (
    Property("title", Entity.USER, "title"),
    Property("seats", Entity.ACCOUNT, "seats", None, ValueType.NUMBER),
    Property("mrr", Entity.ACCOUNT, "mrr", None, ValueType.NUMBER),
)
model = Model(
    properties=properties,
    influencer=InfluencerRule(parse("title ilike '%head of%'", {"title": Type.TEXT})),
    links={Entity.USER: "https://console.example.com/users/{external_id}"},
)
none = pl.DataFrame(schema=ATTRIBUTED), pl.DataFrame(schema=ALIASES)
facts = Facts(users, accounts, memberships, *none, traits, account_traits, NOW)
sources = {
    "user_types": ValueType.MULTISELECT,
    "primary_user_type": ValueType.SELECT,
    "last_active_at": ValueType.DATETIME,
    "external_id": ValueType.TEXT,
    "link": ValueType.URL,
    "spend": ValueType.NUMBER,
    "lapsed_influencer": ValueType.BOOLEAN,
}
fields = tuple(ManagedField(f"engage_{source}", source, kind) for source, kind in sources.items())
contacts = ObjectMap("hubspot", "contacts", Entity.USER, "engage_external_id", "email", write=fields)
options = {"user_types", "primary_user_type"}
types = ("active", "inactive", "influencer", "power", "zombie")
limits = {f.field: FieldLimit(types if f.source in options else None, 65_536, True) for f in fields}
record = pl.format("{}", 10_000_000 + mixed)
carried = pl.when(pl.col("n") % 2 == 0).then(user)
book = number.select(record=record, external_id=carried, key=email, further=pl.lit(None, pl.List(pl.String)))
book = book.sample(fraction=1, shuffle=True, seed=1)
stored = number.filter(pl.col("n") % 4 == 0).select(record=record, external_id=user)
gone = pl.DataFrame(schema={"record": pl.String, "moved_to": pl.String})
population = populate(facts, model, as_of=NOW, timezone="UTC")
entities = population.users.select("external_id", "deactivated", key="email")

def match_all():
    return match(entities, book, stored, gone, population.aliases, key="email", free_mail=frozenset())

def assess_all(links):
    linked = links.select("external_id", connector=pl.lit("hubspot"))
    return assess(population, model, as_of=NOW, timezone="UTC", linked=linked)

def want_all(verdicts):
    return wanted(verdicts, population, contacts, Asking(model, Entity.USER, NOW, "UTC"))

def sides(links, want, changed):
    # What the CRM holds and what we wrote last: what is wanted, but for one record in `changed`.
    texts = links.select("record", "external_id").join(want, on="external_id")
    stale = pl.int_range(pl.len()) % changed == 0
    old = {f.field: pl.lit("3" if f.type is ValueType.NUMBER else "active") for f in fields}
    held = {f"crm.{name}": pl.when(stale).then(text).otherwise(name) for name, text in old.items()}
    seen = texts.select("record", **held).sample(fraction=1, shuffle=True, seed=2)
    last = seen.rename(lambda name: name.replace("crm.", "last.")).with_columns(ever=pl.lit(True))
    return seen, last.sample(fraction=1, shuffle=True, seed=3)

def plan_all(links, ambiguous, want, seen, last):
    return plan_object(contacts, want, links, ambiguous, seen, last, gone, limits=limits, datetime_digits=3)
"""

WORK = """
import time
spent = time.process_time()
marks = [("", time.perf_counter())]
matches = match_all(); marks.append(("matching", time.perf_counter()))
verdicts = assess_all(matches.links); marks.append(("types and roll-ups", time.perf_counter()))
want = want_all(verdicts); marks.append(("wanted", time.perf_counter()))
spent = time.process_time() - spent
steps = {b[0]: b[1] - a[1] for a, b in zip(marks, marks[1:])}
seen, last = sides(matches.links, want, 10)
start, before = time.perf_counter(), time.process_time()
plan = plan_all(matches.links, matches.ambiguous, want, seen, last)
steps["plan"] = time.perf_counter() - start
spent += time.process_time() - before
assert matches.links.height == N and plan.linked == N and plan.buckets.height == N, plan
start = time.perf_counter()
users.join(memberships, left_on="external_id", right_on="user")
entities.join(book, on="key")
together = seen.join(matches.links, on="record", how="left").join(last, on="record", how="left")
together.join(want, on="external_id", how="left")
floor = time.perf_counter() - start
start = time.perf_counter()
populate(facts, model, as_of=NOW, timezone="UTC")
RESULT = {"steps": steps, "cpu": spent, "floor": floor, "changes": plan.changes.height}
RESULT["populate"] = time.perf_counter() - start
"""


def rows() -> list[Row]:
    """Measure once; the steps' own times count, not the making of the frames between them."""
    run: Measured = measured(WORK, setup=SETUP)
    result = run.result
    assert isinstance(result, dict)
    total = sum(result["steps"].values())
    parts = ", ".join(f"{name} {seconds:.2f}" for name, seconds in result["steps"].items())
    populate = f"populate {result['populate']:.2f} s beside; {result['changes']:,} changes; RSS {run.rss_mb:,.0f} MB"
    return [
        Row(
            "types, roll-ups, matching and plan for 1M users, 1M contacts, 7 fields",
            f"{total:.2f} s, CPU {result['cpu']:.2f} s ({parts}); {populate}",
            f"≤ {LIMIT:g} s",
            f"{result['floor']:.2f} s (the bare joins)",
            ok=total <= LIMIT,
        )
    ]


if __name__ == "__main__":
    for row in rows():
        print(row)

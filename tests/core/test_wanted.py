"""What managed fields should hold (semantics §9)."""

from __future__ import annotations

import polars as pl

from engage_sync.core.asking import Asking
from engage_sync.core.assess import assess
from engage_sync.core.definitions import Entity, ManagedField, Metric, MetricKind, Model, ObjectMap, ValueType
from engage_sync.core.facts import Facts
from engage_sync.core.population import populate
from engage_sync.core.wanted import DEACTIVATED, wanted
from tests.core.small import NOW, account, account_property, ago, facts, user, user_property

LINKS = {
    Entity.USER: "https://x.example/u/{external_id}?v={external_id}",
    Entity.ACCOUNT: "https://x.example/a/{external_id}",
}
KINDS = {
    "user_types": ValueType.MULTISELECT,
    "primary_user_type": ValueType.SELECT,
    "lapsed_influencer": ValueType.BOOLEAN,
    "last_active_at": ValueType.DATETIME,
    "as_of": ValueType.DATE,
    "mrr": ValueType.NUMBER,
    "renewal_date": ValueType.DATE,
    "seat_use": ValueType.NUMBER,
    "active": ValueType.BOOLEAN,
    "types.power": ValueType.BOOLEAN,
    "types.zombie": ValueType.BOOLEAN,
}


def fields(*sources: str) -> tuple[ManagedField, ...]:
    return tuple(ManagedField(f"f_{source}", source, KINDS.get(source, ValueType.TEXT)) for source in sources)


def want(known: Facts, model: Model, entity: Entity, *managed: ManagedField, timezone: str = "UTC") -> pl.DataFrame:
    population = populate(known, model, as_of=NOW, timezone=timezone)
    none = pl.DataFrame(schema={"external_id": pl.String, "connector": pl.String})
    found = assess(population, model, as_of=NOW, timezone=timezone, linked=none)
    target = ObjectMap("hubspot", "contacts", entity, write=managed)
    return wanted(found, population, target, Asking(model, entity, NOW, timezone))


def test_values_of_a_user() -> None:
    metric = Metric("spend", Entity.USER, MetricKind.SUM, value="properties.x")
    properties = (
        user_property("plan"),
        user_property("ends", ValueType.DATE),
        account_property("mrr", ValueType.NUMBER),
        account_property("renewal_date", ValueType.DATE),
    )
    model = Model(properties=properties, metrics=(metric,), links=LINKS)
    known = facts(
        [user("a/b ü", 3, last_active_at=ago(hours=1), spend=1 / 3), user("z", spend=0.0)],
        [account("one")],
        [("a/b ü", "one")],
        user_traits={"a/b ü": {"plan": "pro", "ends": "2026-06-11"}},
        account_traits={"one": {"mrr": "99.50", "renewal_date": "2026-12-24"}},
        user_metrics={"spend": pl.Float64},
    )
    sources = ["external_id", "user_types", "primary_user_type", "lapsed_influencer", "last_active_at", "as_of", "mrr"]
    sources += ["renewal_date", "link", "spend", "events", "plan", "days_to_ends", "types.power", "types.zombie"]
    frame = want(known, model, Entity.USER, *fields(*sources), timezone="Asia/Tokyo")
    assert frame.columns == ["external_id", *(f"f_{source}" for source in sources), DEACTIVATED]
    assert frame.rows() == [
        (
            *("a/b ü", "a/b ü", "active;power", "power", "false", "2026-06-01T11:00:00.000Z", "2026-06-01", "99.5"),
            *("2026-12-24", "https://x.example/u/a%2Fb%20%C3%BC?v=a%2Fb%20%C3%BC", "0.3333", "3", "pro", "10"),
            *("true", "false", False),
        ),
        (
            *("z", "z", "zombie", "zombie", "false", None, "2026-06-01", None),
            *(None, "https://x.example/u/z?v=z", "0", "0", None, None),
            *("false", "true", False),
        ),
    ]


def test_values_of_an_account() -> None:
    model = Model(properties=(account_property("seats", ValueType.NUMBER),), links=LINKS)
    known = facts(
        [user("a", 1), user("b")],
        [account("one"), account("two")],
        [("a", "one"), ("b", "one")],
        account_traits={"one": {"seats": "3", "domain": "x.io"}},
    )
    sources = ["active_users", "users_power", "users_zombie", "seat_use", "active", "domain", "link"]
    frame = want(known, model, Entity.ACCOUNT, *fields(*sources))
    assert frame.drop(DEACTIVATED).rows() == [
        ("one", "1", "1", "1", "0.3333", "true", "x.io", "https://x.example/a/one"),
        ("two", "0", "0", "0", None, "false", None, "https://x.example/a/two"),
    ]


def test_deactivated_users_want_everything_empty() -> None:
    known = facts([user("a", 1), user("b", 1)], user_traits={"b": {"deactivatedAt": "true"}})
    frame = want(known, Model(), Entity.USER, *fields("external_id", "user_types"))
    assert frame.rows() == [("a", "a", "active;power", False), ("b", None, None, True)]


def test_verdicts_without_a_definition_are_empty() -> None:
    sources = ("health", "stage", "segments", "signals", "mrr", "renewal_date")
    frame = want(facts([user("a", 1)], [account("x")]), Model(), Entity.ACCOUNT, *fields(*sources))
    assert frame.drop(DEACTIVATED).rows() == [("x", None, None, None, None, None, None)]


def test_link_without_a_template_is_empty() -> None:
    assert want(facts([user("a", 1)]), Model(), Entity.USER, *fields("link"))["f_link"].to_list() == [None]

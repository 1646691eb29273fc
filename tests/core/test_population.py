"""Names, e-mails, domains, typed properties and deactivation (semantics §2, §8)."""

from __future__ import annotations

from datetime import UTC, date, datetime

import polars as pl
import pytest

from engage_sync.core.columns import column_of, value_of
from engage_sync.core.definitions import Entity, Metric, MetricKind, Model, Property, ValueType
from engage_sync.core.expressions import Type, parse
from engage_sync.core.population import (
    UNREADABLE,
    CrmValues,
    Population,
    deactivated_users,
    populate,
    with_crm_properties,
)
from tests.core.small import NOW, Traits, account, account_property, by_id, facts, user, user_property


def people(traits: Traits, model: Model | None = None, timezone: str = "UTC") -> Population:
    known = facts([user(name) for name in traits], user_traits=traits)
    return populate(known, model or Model(), as_of=NOW, timezone=timezone)


def test_email_is_normalised_and_the_name_put_together() -> None:
    population = people(
        {
            "a": {"email": " A@X.com ", "name": "Ann", "firstName": "Other"},
            "b": {"firstName": "Bo", "lastName": "Li"},
            "c": {"name": "", "lastName": "Li", "email": " "},
            "d": {},
        }
    )
    assert by_id(population.users, "email", "name") == {
        "a": ("a@x.com", "Ann"),
        "b": (None, "Bo Li"),
        "c": (None, "Li"),
        "d": (None, None),
    }


def test_domain_of_an_account_is_the_trait_or_the_host_of_its_website() -> None:
    traits = {
        "a": {"domain": "WWW.Acme.com"},
        "b": {"website": "https://www.Beta.io/x"},
        "c": {"domain": "", "website": "c.io"},
    }
    known = facts(accounts=[account(name) for name in [*traits, "d"]], account_traits=traits)
    population = populate(known, Model(), as_of=NOW, timezone="UTC")
    assert by_id(population.accounts, "domain") == {"a": "acme.com", "b": "beta.io", "c": "c.io", "d": None}


DEACTIVATED = [
    (None, False),
    ("", False),
    ("false", False),
    ("true", True),
    ("yes", True),
    ("0", True),
    ("2026-06-01T12:00:00Z", True),
    ("2026-06-01T12:00:00.000001Z", False),
    ("2026-06-01", True),
    ("2026-06-02", False),
    ("2026-06-01T14:00:00+02:00", True),
]


@pytest.mark.parametrize(("value", "expected"), DEACTIVATED)
def test_deactivated_at(value: str | None, *, expected: bool) -> None:
    population = people({"u": {} if value is None else {"deactivatedAt": value}})
    assert by_id(population.users, "deactivated") == {"u": expected}


def test_deactivated_by_rule_over_properties_from_traits() -> None:
    rule = parse("status = 'disabled' or days_to_ends < 0", {"status": Type.TEXT, "days_to_ends": Type.NUMBER})
    model = Model(properties=(user_property("status"), user_property("ends", ValueType.DATE)), deactivated=rule)
    traits: Traits = {
        "a": {"status": "disabled"},
        "b": {"status": "ok", "ends": "2026-05-31"},
        "c": {"ends": "2026-06-01"},
        "d": {},
        "e": {"status": "ok", "deactivatedAt": "true"},
    }
    expected = {"a": True, "b": True, "c": False, "d": False, "e": True}
    assert by_id(people(traits, model).users, "deactivated") == expected
    known = facts([user(name) for name in traits], user_traits=traits)
    away = deactivated_users(known.users, known.user_traits, model, as_of=NOW, timezone="UTC")
    assert away["external_id"].to_list() == ["a", "b", "e"]


def test_properties_are_typed_and_what_cannot_be_read_is_null_and_listed() -> None:
    kinds = {
        "n": ValueType.NUMBER,
        "b": ValueType.BOOLEAN,
        "d": ValueType.DATE,
        "t": ValueType.DATETIME,
        "s": ValueType.TEXT,
    }
    model = Model(properties=tuple(user_property(name, kind) for name, kind in kinds.items()))
    population = people(
        {
            "u": {"n": "1e2", "b": "true", "d": "2026-01-01T20:00:00Z", "t": "2026-01-01", "s": ""},
            "v": {"n": "many", "b": "1", "d": "soon", "t": "", "s": "x"},
            "w": {},
        },
        model,
        timezone="Asia/Tokyo",
    )
    assert by_id(population.users, *kinds) == {
        "u": (100.0, True, date(2026, 1, 2), datetime(2026, 1, 1, tzinfo=UTC), ""),
        "v": (None, None, None, None, "x"),
        "w": (None,) * 5,
    }
    assert set(population.unreadable.iter_rows()) == {
        ("user", "v", "n", "many"),
        ("user", "v", "b", "1"),
        ("user", "v", "d", "soon"),
        ("user", "v", "t", ""),
    }


def test_properties_from_a_crm() -> None:
    properties = (
        user_property("role", connector="hubspot"),
        user_property("score", ValueType.NUMBER, "hubspot"),
        user_property("owner", connector="salesforce"),
        account_property("renewal_date", ValueType.DATE, "hubspot"),
    )
    model = Model(properties=properties)
    known = facts([user("u"), user("v")], [account("a")])
    empty = populate(known, model, as_of=NOW, timezone="UTC")
    assert by_id(empty.users, "role", "score", "owner") == {"u": (None, None, None), "v": (None, None, None)}
    users = pl.DataFrame({"external_id": ["v", "u"], "crm.role": ["", "boss"], "crm.score": ["high", "7.50"]})
    accounts = pl.DataFrame({"external_id": ["a"], "crm.renewal_date": ["2026-07-01"]})
    crm = [CrmValues("hubspot", Entity.USER, users), CrmValues("hubspot", Entity.ACCOUNT, accounts)]
    filled = with_crm_properties(empty, model, crm, timezone="UTC")
    assert by_id(filled.users, "role", "score", "owner") == {"u": ("boss", 7.5, None), "v": (None, None, None)}
    assert by_id(filled.accounts, "renewal_date") == {"a": date(2026, 7, 1)}
    assert filled.unreadable.rows() == [("user", "v", "score", "high")]
    assert filled.users.columns == empty.users.columns


def test_declared_names_and_identity_columns_do_not_hide_each_other() -> None:
    properties = (Property("email", Entity.USER, "email"), user_property("created_at"))
    metrics = (Metric("linked", Entity.USER, MetricKind.COUNT),)
    model = Model(properties=properties, metrics=metrics)
    known = facts(
        [user("u", linked=4)],
        user_traits={"u": {"email": "U@X", "created_at": "long ago"}},
        user_metrics={"linked": pl.Int64},
    )
    users = populate(known, model, as_of=NOW, timezone="UTC").users
    assert by_id(users, "email", column_of("email")) == {"u": ("u@x", "U@X")}
    named = [
        value_of(name, model, Entity.USER, as_of=NOW, timezone="UTC") for name in ("email", "created_at", "linked")
    ]
    assert users.select(named).row(0) == ("U@X", "long ago", 4)


def test_days_to_a_date_are_calendar_days_of_the_zone() -> None:
    model = Model(properties=(user_property("d", ValueType.DATE), user_property("t", ValueType.DATETIME)))
    users = people({"u": {"d": "2026-06-03", "t": "2026-06-01T15:00:00Z"}, "v": {}}, model, "Asia/Tokyo").users
    named = {
        name: value_of(f"days_to_{name}", model, Entity.USER, as_of=NOW, timezone="Asia/Tokyo") for name in ("d", "t")
    }
    assert users.select(**named).rows() == [(2, 1), (None, None)]


def test_nobody_at_all() -> None:
    population = people({}, Model(properties=(user_property("n", ValueType.NUMBER),)))
    assert population.users.is_empty()
    assert dict(population.unreadable.schema) == dict(UNREADABLE)
    assert population.users.schema["created_at"] == pl.Datetime("us", "UTC")

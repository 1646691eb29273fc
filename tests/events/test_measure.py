from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from tests.events.slow_measure import Message, SlowFacts, write

from engage_sync.core.definitions import Activity, Entity, Metric, MetricKind, Model, Property
from engage_sync.core.expressions import Expression, Type, parse
from engage_sync.core.facts import ACCOUNTS, ALIASES, ATTRIBUTED, MEMBERSHIPS, TRAITS, USERS, Facts
from engage_sync.core.verdict_rules import WeightedScore
from engage_sync.errors import Mistake, Unreachable
from engage_sync.events.measure import Engine, measure, scan
from engage_sync.events.store import EventStore

AS_OF = datetime(2026, 4, 15, 12, 0, tzinfo=UTC)
DAY = timedelta(days=1)
US = timedelta(microseconds=1)
USER, ACCOUNT = Entity.USER, Entity.ACCOUNT


def where(text: str) -> Expression:
    return parse(text, {"event": Type.TEXT, "kind": Type.TEXT}, open_prefixes=("properties.",))


def track(user: str | None, at: datetime, event: str = "e", account: str | None = None, **properties: str) -> Message:
    return Message("track", at, user, account, event, properties=properties)


def alias(previous: str, user: str, at: datetime) -> Message:
    return Message("alias", at, user, previous=previous)


def identify(user: str, at: datetime, **traits: str | None) -> Message:
    return Message("identify", at, user, traits=tuple((key, key, value) for key, value in traits.items()))


def facts_of(
    folder: Path, messages: list[Message], model: Model | None = None, timezone: str = "UTC", excluded: tuple = ()
) -> Facts:
    store = write(folder / "events", messages)
    model = model or Model()
    return measure(store, model, as_of=AS_OF, timezone=timezone, engine=Engine(), excluded_users=excluded)


def row(frame: pl.DataFrame, who: str) -> dict[str, object]:
    (found,) = frame.filter(pl.col("external_id") == who).to_dicts()
    return found


KINDS = [
    (MetricKind.COUNT, {"events": "re*", "window": 7 * DAY}),
    (MetricKind.COUNT, {"window": 7 * DAY, "offset": 7 * DAY}),
    (MetricKind.COUNT, {"where": where("properties.area = 'a'")}),
    (MetricKind.ACTIVE_DAYS, {"window": 10 * DAY}),
    (MetricKind.ACTIVE_DAYS, {"window": 100 * DAY, "offset": DAY}),
    (MetricKind.ACTIVE_DAYS, {}),
    (MetricKind.ACTIVE_DAYS, {"window": 5000 * DAY}),
    (MetricKind.FIRST, {"events": "login"}),
    (MetricKind.LAST, {"events": "[lr]*", "window": 7 * DAY, "offset": US}),
    (MetricKind.DISTINCT, {"value": "event", "window": 30 * DAY}),
    (MetricKind.DISTINCT, {"value": "properties.area"}),
    (MetricKind.SUM, {"value": "properties.amount", "window": 30 * DAY}),
    (MetricKind.MIN, {"value": "properties.amount"}),
    (MetricKind.MAX, {"value": "properties.amount", "events": "report"}),
    (MetricKind.AVG, {"value": "properties.amount"}),
]
METRICS = (
    *(
        Metric(f"{kind}_{number}", entity, kind, **options)
        for entity in Entity
        for number, (kind, options) in enumerate(KINDS)
    ),
    Metric("users_7d", ACCOUNT, MetricKind.ACTIVE_USERS, window=7 * DAY),
    Metric("users_before", ACCOUNT, MetricKind.ACTIVE_USERS, "re*", window=7 * DAY, offset=7 * DAY),
)
SCORES = (
    WeightedScore("week", (("re*", 2), ("*", 1), ("report", 50), ("[a]", 7)), 7 * DAY),
    WeightedScore("month", (("[a]", 15), ("login", 0), ("[lr]*", 25), ("Report", 3)), 30 * DAY, scale=10),
)
MODEL = Model(
    activity=Activity(include=("*",), exclude=("heart*",), window=30 * DAY),
    metrics=METRICS,
    scores=SCORES,
    properties=(Property("plan", USER, "plan"), Property("city", USER, "address.city")),
)


def close(one: object, other: object) -> bool:
    return one == other or (isinstance(one, float) and isinstance(other, float) and one == pytest.approx(other))


def apart(found: object, expected: object, *place: object) -> Iterator[tuple[object, ...]]:
    """Give the places in which two trees differ, with what is there and what should be."""
    if isinstance(found, dict) and isinstance(expected, dict) and found.keys() == expected.keys():
        for name in found:
            yield from apart(found[name], expected[name], *place, name)
    elif not close(found, expected):
        yield (*place, found, expected)


def measured(store: EventStore, timezone: str, excluded: set[str]) -> dict[str, object]:
    facts = measure(store, MODEL, as_of=AS_OF, timezone=timezone, engine=Engine(), excluded_users=sorted(excluded))
    return {
        "users": {one.pop("external_id"): one for one in facts.users.to_dicts()},
        "accounts": {one.pop("external_id"): one for one in facts.accounts.to_dicts()},
        "aliases": set(facts.aliases.rows()),
        "members": {(user, account): at for user, account, at in facts.memberships.rows()},
        "attributed": set(facts.attributed.rows()),
        "user traits": set(facts.user_traits.rows()),
        "account traits": set(facts.account_traits.rows()),
        "unattributed": facts.counts["unattributed_events"],
        "newest": facts.newest_message_at,
    }


def slowly(messages: list[Message], timezone: str, excluded: set[str]) -> dict[str, object]:
    slow = SlowFacts(messages, MODEL, AS_OF, timezone, excluded)
    return {
        "users": slow.users(),
        "accounts": slow.accounts(),
        "aliases": {(who, shown) for who, shown in slow.groups.items() if who != shown},
        "members": slow.members,
        "attributed": slow.attributed(),
        "user traits": slow.traits("identify", {"plan", "address.city", "email", "name"}),
        "account traits": slow.traits("group", {"name"}),
        "unattributed": slow.unattributed(),
        "newest": max((at for at, _, _ in slow.told), default=None),
    }


USERS_DRAWN = st.sampled_from(["u1", "u2", "u3", "u4"])
ACCOUNTS_DRAWN = st.sampled_from([None, None, "A", "B"])
EDGES = [0, 1, 7, 14, 30, 60, 100, 101]
MOMENTS = st.one_of(
    st.builds(lambda days, us: AS_OF - days * DAY + us * US, st.sampled_from(EDGES), st.integers(-1, 1)),
    st.integers(0, 27 * 86_400 * 10**6).map(lambda us: AS_OF + DAY - us * US),
    st.sampled_from([datetime(1969, 7, 20, tzinfo=UTC), datetime(2019, 2, 28, 23, 59, 59, 999999, tzinfo=UTC)]),
)
TRAIT_ROWS = st.sampled_from(
    [
        (("plan", "plan", "pro"),),
        (("plan", "plan", None), ("email", "email", "x@y.z")),
        (("address", "address.city", "Oslo"), ("address", "address.zip", "1")),
        (("address", "address.street", "Long"),),
        (("address", "address", None), ("name", "name", "Ann")),
        (("address.city", "address.city", "dotted"),),
        (),
    ]
)


@st.composite
def drawn_message(draw: st.DrawFn) -> Message:
    kind = draw(st.sampled_from(["track", "track", "track", "page", "screen", "identify", "group", "alias"]))
    at, user, account = draw(MOMENTS), draw(USERS_DRAWN), draw(ACCOUNTS_DRAWN)
    if kind == "alias":
        return Message(kind, at, user, previous=draw(USERS_DRAWN))
    if kind == "identify":
        rows = [one for one in draw(TRAIT_ROWS) if one[0] != "address.city"]
        return Message(kind, at, user, account, traits=tuple(rows))
    if kind == "group":
        named = draw(st.sampled_from([user, None]))
        return Message(kind, at, named, account or "C", traits=draw(TRAIT_ROWS))
    amount = st.sampled_from(["1", "2.5", "-3e2", "abc", " 4", "", "inf", "1e999", ".5"])
    areas = st.sampled_from(["a", "b", "", "true"])
    properties = draw(st.fixed_dictionaries({}, optional={"amount": amount, "area": areas}))
    event = draw(st.sampled_from(["report", "login", "heartbeat", "read", "Report", "[a]", "a"]))
    named = draw(st.sampled_from([user, user, user, None])) if account else user
    return Message(kind, at, named, account, event, properties=properties)


def renamed(messages: list[Message], world: str) -> list[Message]:
    """Give a world's messages ids of their own, so that many worlds can share one store and one scan."""
    own = {who: f"{world}.{who}" for who in ("u1", "u2", "u3", "u4", "A", "B", "C")}
    return [
        replace(one, user=own.get(one.user), account=own.get(one.account), previous=own.get(one.previous))
        for one in messages
    ]


WORLDS = st.lists(st.lists(drawn_message(), max_size=12), min_size=1, max_size=12)
ZONES = ["UTC", "Europe/Amsterdam", "America/Los_Angeles", "Pacific/Auckland", "Asia/Kathmandu"]


@settings(
    max_examples=8,
    deadline=None,
    suppress_health_check=list(HealthCheck),
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
)
@given(WORLDS, st.sampled_from(ZONES), st.sets(USERS_DRAWN, max_size=2))
def test_agrees_with_the_slow_measuring(worlds: list[list[Message]], timezone: str, excluded: set[str]) -> None:
    messages = [one for number, world in enumerate(worlds) for one in renamed(world, f"w{number}")]
    out = {f"w{number}.{who}" for number in range(len(worlds)) for who in excluded}
    with tempfile.TemporaryDirectory() as folder:
        found = measured(write(Path(folder) / "events", messages), timezone, out)
    assert list(apart(found, slowly(messages, timezone, out))) == []


def test_an_absent_store_gives_empty_frames_of_the_declared_schema(tmp_path: Path) -> None:
    facts = measure(EventStore(tmp_path / "none"), MODEL, as_of=AS_OF, timezone="UTC", engine=Engine())
    metrics = {True: pl.Int64(), False: pl.Float64()}
    assert facts.users.is_empty()
    assert list(facts.users.schema)[: len(USERS)] == list(USERS)
    assert list(facts.users.schema)[len(USERS) :] == [
        *(metric.name for metric in METRICS if metric.entity is USER),
        *("raw.week", "raw_before.week", "raw.month", "raw_before.month"),
    ]
    assert facts.accounts.schema["users_7d"] == metrics[True]
    assert facts.accounts.schema["sum_11"] == metrics[False]
    assert {name: facts.accounts.schema[name] for name in ACCOUNTS} == dict(ACCOUNTS)
    for frame, schema in (
        (facts.memberships, MEMBERSHIPS),
        (facts.attributed, ATTRIBUTED),
        (facts.aliases, ALIASES),
        (facts.user_traits, TRAITS),
        (facts.account_traits, TRAITS),
    ):
        assert frame.schema == pl.Schema(schema)
        assert frame.is_empty()
    assert facts.newest_message_at is None
    assert facts.counts["unattributed_events"] == 0


def test_a_file_that_cannot_be_read_is_no_bug(tmp_path: Path) -> None:
    facts_of(tmp_path, [track("u", AS_OF)])
    store = EventStore(tmp_path / "events")
    Path(store.files()[0]).unlink()
    with pytest.raises(Unreachable, match="cannot be read or written"):
        measure(store, MODEL, as_of=AS_OF, timezone="UTC", engine=Engine())


def test_only_messages_after_as_of_are_as_no_messages(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, [track("u", AS_OF + US), alias("a", "b", AS_OF + DAY)])
    assert facts.users.is_empty()
    assert facts.newest_message_at is None
    assert facts.aliases.is_empty()


def test_a_window_holds_its_oldest_instant_and_as_of(tmp_path: Path) -> None:
    model = Model(metrics=(Metric("n", USER, MetricKind.COUNT, window=30 * DAY),))
    messages = [track("in", AS_OF - 30 * DAY), track("out", AS_OF - 30 * DAY - US), track("now", AS_OF)]
    facts = facts_of(tmp_path, messages, model)
    assert dict(facts.users.select("external_id", "n").rows()) == {"in": 1, "out": 0, "now": 1}
    assert dict(facts.users.select("external_id", "events").rows()) == {"in": 1, "out": 0, "now": 1}
    assert row(facts.users, "out")["last_active_at"] == AS_OF - 30 * DAY - US


def test_neighbouring_windows_share_no_event(tmp_path: Path) -> None:
    week = 7 * DAY
    model = Model(
        metrics=(
            Metric("now", ACCOUNT, MetricKind.COUNT, window=week),
            Metric("before", ACCOUNT, MetricKind.COUNT, window=week, offset=week),
        )
    )
    instants = [AS_OF, AS_OF - week, AS_OF - week - US, AS_OF - 2 * week, AS_OF - 2 * week - US]
    facts = facts_of(tmp_path, [track("u", at, account="A") for at in instants], model)
    assert row(facts.accounts, "A")["now"] == 2
    assert row(facts.accounts, "A")["before"] == 2


def test_calendar_days_are_those_of_the_zone_on_the_day_the_clocks_change(tmp_path: Path) -> None:
    summer = datetime(2026, 3, 29, tzinfo=UTC)  # Amsterdam: 23 hours, its midnight is 23:00 UTC before and 22:00 after
    instants = [
        datetime(2026, 3, 28, 22, 59, 59, 999999, tzinfo=UTC),  # the 28th
        datetime(2026, 3, 28, 23, 0, tzinfo=UTC),  # the 29th
        summer + timedelta(hours=21, minutes=59),  # the 29th
        summer + timedelta(hours=22),  # the 30th
    ]
    model = Model(metrics=(Metric("ever", USER, MetricKind.ACTIVE_DAYS),))
    local = facts_of(tmp_path / "a", [track("u", at) for at in instants], model, "Europe/Amsterdam")
    universal = facts_of(tmp_path / "b", [track("u", at) for at in instants], model, "UTC")
    assert (row(local.users, "u")["active_days"], row(local.users, "u")["ever"]) == (3, 3)
    assert (row(universal.users, "u")["active_days"], row(universal.users, "u")["ever"]) == (2, 2)


def test_circles_forks_and_self_aliases_are_one_user_under_the_latest_alias(tmp_path: Path) -> None:
    messages = [
        alias("a", "b", AS_OF - 9 * DAY),
        alias("b", "a", AS_OF - 8 * DAY),
        alias("a", "c", AS_OF - 7 * DAY),
        alias("c", "c", AS_OF - DAY),
        alias("x", "y", AS_OF - 6 * DAY),
        alias("x", "z", AS_OF - 6 * DAY),
        track("b", AS_OF),
    ]
    facts = facts_of(tmp_path, messages)
    assert facts.aliases.rows() == [("a", "c"), ("b", "c"), ("x", "z"), ("y", "z")]
    assert facts.users["external_id"].to_list() == ["c", "z"]
    assert row(facts.users, "c")["events"] == 1
    assert row(facts.users, "c")["first_message_at"] == AS_OF - 9 * DAY


def test_an_account_is_the_events_own_or_the_users_only_one(tmp_path: Path) -> None:
    messages = [
        track("one", AS_OF - DAY, account="A"),
        track("one", AS_OF - 20 * DAY),  # before the membership: the account is that of today
        track("two", AS_OF, account="A"),
        track("two", AS_OF, account="B"),
        track("two", AS_OF),
        track("none", AS_OF),
        track(None, AS_OF, account="B"),
    ]
    model = Model(metrics=(Metric("n", ACCOUNT, MetricKind.COUNT), Metric("u", ACCOUNT, MetricKind.ACTIVE_USERS)))
    facts = facts_of(tmp_path, messages, model)
    assert [row(facts.accounts, "A")[name] for name in ("events", "n", "u")] == [3, 3, 2]
    assert [row(facts.accounts, "B")[name] for name in ("events", "n", "u")] == [1, 2, 1]
    assert facts.counts["unattributed_events"] == 2
    assert facts.attributed.rows() == [("one", "A"), ("two", "A"), ("two", "B")]


def test_an_account_without_users_is_not_active(tmp_path: Path) -> None:
    facts = facts_of(tmp_path, [track(None, AS_OF, account="A")])
    assert row(facts.accounts, "A") == {
        "external_id": "A",
        "first_message_at": AS_OF,
        "events": 0,
        "active_days": 0,
        "first_active_at": None,
        "last_active_at": None,
    }
    assert facts.users.is_empty()


def test_deactivated_users_are_left_out_of_active_users_only(tmp_path: Path) -> None:
    model = Model(metrics=(Metric("n", ACCOUNT, MetricKind.COUNT), Metric("u", ACCOUNT, MetricKind.ACTIVE_USERS)))
    messages = [track("old", AS_OF, account="A"), track("new", AS_OF, account="A"), alias("old", "gone", AS_OF)]
    measured = scan(write(tmp_path / "e", messages), model, as_of=AS_OF, timezone="UTC", engine=Engine())
    assert row(measured.facts().accounts, "A")["u"] == 2
    left = row(measured.facts(pl.Series(["gone"])).accounts, "A")
    assert [left[name] for name in ("events", "n", "u")] == [2, 2, 1]
    assert [row(measured.facts(["new", "gone"]).accounts, "A")[name] for name in ("n", "u")] == [2, 0]


def test_traits_merge_by_top_level_key_in_order_of_timestamp_then_arrival(tmp_path: Path) -> None:
    model = Model(properties=(Property("city", USER, "address.city"), Property("plan", USER, "plan")))
    later = Message("identify", AS_OF, "u", traits=(("address", "address.street", "Long"),))
    messages = [
        later,
        Message("identify", AS_OF - DAY, "u", traits=(("address", "address.city", "Oslo"),)),
        identify("u", AS_OF, plan="free"),
        identify("u", AS_OF, plan="pro"),
        identify("u", AS_OF - DAY, plan="old", email="a@b.c"),
        identify("v", AS_OF - DAY, plan="pro", email="v@b.c"),
        identify("v", AS_OF, plan=None),
        identify("w", AS_OF + US, plan="pro"),
        alias("p", "w", AS_OF),
        identify("p", AS_OF - DAY, plan="mine"),
    ]
    facts = facts_of(tmp_path, messages, model)
    assert facts.user_traits.rows() == [
        ("u", "email", "a@b.c"),
        ("u", "plan", "pro"),
        ("v", "email", "v@b.c"),
        ("w", "plan", "mine"),
    ]


def test_values_that_are_no_numbers_are_ignored_and_counted(tmp_path: Path) -> None:
    model = Model(
        metrics=(
            Metric("s", USER, MetricKind.SUM, value="properties.x"),
            Metric("a", USER, MetricKind.AVG, value="properties.x"),
            Metric("m", USER, MetricKind.MIN, value="properties.x"),
        )
    )
    texts = ["1", "2.5", "1,000", "NaN", "", "5 ", "1e400", "-1e1"]
    messages = [track("u", AS_OF, x=text) for text in texts] + [track("u", AS_OF), track("none", AS_OF)]
    facts = facts_of(tmp_path, messages, model)
    assert [row(facts.users, "u")[name] for name in ("s", "a", "m")] == [-6.5, -6.5 / 3, -10.0]
    assert [row(facts.users, "none")[name] for name in ("s", "a", "m")] == [0.0, None, None]
    assert {name: facts.counts[f"not_numeric.{name}"] for name in "sam"} == {"s": 5, "a": 5, "m": 5}


def test_globs_are_case_sensitive_and_long_lists_of_names_are_joined(tmp_path: Path) -> None:
    model = Model(
        activity=Activity(exclude=("x*",)),
        metrics=(
            Metric("odd", USER, MetricKind.COUNT, "*[13579]"),
            Metric("up", USER, MetricKind.COUNT, "X*"),
            Metric("none", USER, MetricKind.COUNT, "nothing*"),
        ),
    )
    messages = [track("u", AS_OF, f"x{number}") for number in range(1000)] + [track("u", AS_OF, "X1")]
    found = row(facts_of(tmp_path, messages, model).users, "u")
    assert [found[name] for name in ("events", "odd", "up", "none")] == [1, 501, 1, 0]


def test_ids_are_compared_exactly(tmp_path: Path) -> None:
    ids = ["a", "A", " a", "é", "e\u0301", "'; drop table x; --", '"', "🦊", "1"]
    facts = facts_of(tmp_path, [track(one, AS_OF, account=one) for one in ids])
    assert set(facts.users["external_id"]) == set(ids)
    assert facts.memberships.height == len(ids)


def test_as_of_at_the_edges_of_the_calendar(tmp_path: Path) -> None:
    model = Model(metrics=(Metric("d", USER, MetricKind.ACTIVE_DAYS, window=10**6 * DAY, offset=10**6 * DAY),))
    store = write(tmp_path / "e", [track("u", datetime(1, 1, 1, tzinfo=UTC)), track("u", AS_OF)])
    late, early = datetime(9999, 12, 31, 23, tzinfo=UTC), datetime(1, 1, 1, tzinfo=UTC)
    for as_of, zone in ((late, "UTC"), (late, "Asia/Tokyo"), (early, "America/New_York"), (AS_OF, "Asia/Tokyo")):
        facts = measure(store, model, as_of=as_of, timezone=zone, engine=Engine())
        assert row(facts.users, "u")["d"] == 0
        assert row(facts.users, "u")["first_active_at"] == datetime(1, 1, 1, tzinfo=UTC)


def test_an_engine_that_is_not_known_is_refused_with_those_that_are(tmp_path: Path) -> None:
    store = EventStore(tmp_path)
    with pytest.raises(Mistake, match="duckbd is not supported; did you mean duckdb"):
        measure(store, Model(), as_of=AS_OF, timezone="UTC", engine=Engine("duckbd"))
    with pytest.raises(Mistake, match="spark is not supported; this version measures with duckdb"):
        measure(store, Model(), as_of=AS_OF, timezone="UTC", engine=Engine("spark"))
    with pytest.raises(Mistake, match="engine_options"):
        measure(store, Model(), as_of=AS_OF, timezone="UTC", engine=Engine("duckdb", {"no_such_option": 1}))


def test_a_metric_named_as_a_column_of_the_facts_is_refused(tmp_path: Path) -> None:
    model = Model(metrics=(Metric("first_message_at", USER, MetricKind.COUNT),))
    with pytest.raises(Mistake, match=r"metrics\.user\.first_message_at: that name is taken"):
        measure(EventStore(tmp_path), model, as_of=AS_OF, timezone="UTC", engine=Engine())


def test_weights_hold_in_the_window_and_in_the_one_before_it(tmp_path: Path) -> None:
    week = 7 * DAY
    model = Model(scores=(WeightedScore("s", (("e", 3),), week),))
    instants = {
        "now": AS_OF,
        "oldest": AS_OF - week,
        "before": AS_OF - week - US,
        "oldest before": AS_OF - 2 * week,
        "out": AS_OF - 2 * week - US,
    }
    facts = facts_of(tmp_path, [track(who, at, account="A") for who, at in instants.items()], model)
    assert facts.users.select("external_id", "raw.s", "raw_before.s").rows() == [
        ("before", 0, 3),
        ("now", 3, 0),
        ("oldest", 3, 0),
        ("oldest before", 0, 3),
        ("out", 0, 0),
    ]
    assert facts.users.schema["raw.s"] == facts.users.schema["raw_before.s"] == pl.Int64()
    assert list(facts.accounts.schema) == list(ACCOUNTS)


def test_weights_add_up_over_all_named_events_of_all_ids_of_a_user(tmp_path: Path) -> None:
    model = Model(
        activity=Activity(include=("nothing",)),
        scores=(WeightedScore("s", (("*", 1), ("report", 25), ("p*", 100)), 30 * DAY, scale=10),),
    )
    messages = [
        track("old", AS_OF, "report"),
        track("new", AS_OF - DAY, "report", account="A"),
        Message("page", AS_OF, "new", event="page"),
        Message("screen", AS_OF, "new", account="B", event="*"),
        alias("old", "new", AS_OF),
        identify("new", AS_OF, plan="pro"),
        identify("idle", AS_OF, plan="pro"),
        track(None, AS_OF, "report", account="A"),
    ]
    facts = facts_of(tmp_path, messages, model)
    assert facts.users.select("external_id", "raw.s", "raw_before.s").rows() == [("idle", 0, 0), ("new", 52, 0)]


def test_weights_of_many_names_and_big_weights_are_exact(tmp_path: Path) -> None:
    big = 10**15 + 1
    model = Model(
        scores=(
            WeightedScore("many", (("x*0", 5), ("x*1", 5), ("x*", 7), ("y*", 0)), DAY),
            WeightedScore("big", (("y1", big), ("x1", 1)), DAY),
            WeightedScore("none", (("z*", 1), ("x1", 0)), DAY),
            WeightedScore("all", (("*", 2),), DAY),
        )
    )
    names = [f"{letter}{number}" for letter in "xy" for number in range(2000)]
    found = row(facts_of(tmp_path, [track("u", AS_OF, name) for name in [*names, "y1"]], model).users, "u")
    assert {name: found[f"raw.{name}"] for name in ("many", "big", "none", "all")} == {
        "many": 400 * 5 + 1600 * 7,
        "big": 2 * big + 1,
        "none": 0,
        "all": 2 * 4001,
    }

"""The oracle proven by hand: every expected value here is worked out from semantics.md, none from running it."""

from __future__ import annotations

import gzip
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.oracle import messages as reading
from tests.oracle.messages import Refused, instant, iso, number, number_text, of, parse, read_lines
from tests.oracle.verdicts import accounts, power_limit, users, world
from tests.oracle.where import Open, holds

NOW = datetime(2026, 6, 30, 12, tzinfo=UTC)
REAL = Path(__file__).parents[1] / "data" / "oss-usage"


def at(days: float = 0, **more: float) -> str:
    """Give the instant that is `days` (and seconds, microseconds…) before NOW."""
    return (NOW - timedelta(days=days, **more)).isoformat()


def track(user: object, days: float = 1, event: str = "login", **more: Any) -> dict[str, Any]:
    return {"type": "track", "userId": user, "event": event, "timestamp": at(days), **more}


def identify(user: str, days: float = 1, **traits: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": user, "timestamp": at(days), "traits": traits}


def group(user: str | None, account: str, days: float = 1, **traits: Any) -> dict[str, Any]:
    named = {} if user is None else {"userId": user}
    return {"type": "group", "groupId": account, "timestamp": at(days), "traits": traits, **named}


def alias(previous: str, user: str, days: float = 1) -> dict[str, Any]:
    return {"type": "alias", "previousId": previous, "userId": user, "timestamp": at(days)}


def by_id(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    return {row["external_id"]: row for row in rows}


def user_rows(*bodies: dict[str, Any], model: str = "{}", as_of: datetime = NOW, **more: Any) -> dict[str, Any]:
    return by_id(users(of(*bodies), yaml.safe_load(model), as_of, **more))


def account_rows(*bodies: dict[str, Any], model: str = "{}", as_of: datetime = NOW, **more: Any) -> dict[str, Any]:
    return by_id(accounts(of(*bodies), yaml.safe_load(model), as_of, **more))


def linked(*ids: str, **values: str | None) -> dict[str, Any]:
    records = {name: {"object": "contacts", "id": str(n), "url": None, "values": values} for n, name in enumerate(ids)}
    return {"hubspot": {"users": records, "accounts": {}}}


# --- §1 time -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-08-22T00:00:00Z", "2026-08-22T00:00:00Z"),
        ("2026-08-22", "2026-08-22T00:00:00Z"),
        ("2026-08-22T02:00:00+02:00", "2026-08-22T00:00:00Z"),
        ("2026-08-21T10:11:12.345Z", "2026-08-21T10:11:12.345Z"),
        ("2026-08-21T10:11:12.3Z", "2026-08-21T10:11:12.300Z"),
        ("2026-08-21T10:11:12.345678", "2026-08-21T10:11:12.345678Z"),
        ("2026-08-21T10:11:12.345678999Z", "2026-08-21T10:11:12.345678Z"),  # cut, not rounded
        ("9999-12-31T23:59:59-01:00", None),
        ("-0001-01-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_instants(text: str, expected: str | None) -> None:
    assert iso(instant(text)) == expected


def test_a_window_is_closed_at_both_ends_and_an_offset_is_open_on_the_recent_side() -> None:
    bodies = [
        {"type": "track", "userId": "u", "event": "e", "timestamp": at(days, microseconds=us)}
        for days, us in [(0, 0), (7, 0), (7, 1), (14, 0), (14, 1)]
    ]
    model = """
    metrics: {user: {now: {count: "*", window: 7d}, before: {count: "*", window: 7d, offset: 7d}, ever: {count: "*"}}}
    """
    metrics = user_rows(*bodies, model=model)["u"]["metrics"]
    # now: 0 d and 7 d exactly. before: 7 d is not less than as_of − 7 d; 7 d + 1 µs and 14 d are in; 14 d + 1 µs is not
    assert (metrics["now"], metrics["before"], metrics["ever"]) == (2, 2, 5)


def test_thirty_days_exactly_is_active_and_a_microsecond_more_is_not() -> None:
    rows = user_rows(track("edge", 30), {**track("past"), "timestamp": at(30, microseconds=1)})
    assert rows["edge"]["user_types"] == ["active", "power"]
    assert rows["past"]["user_types"] == ["inactive"]


def test_a_message_after_as_of_does_not_exist() -> None:
    bodies = [track("u", 2), track("later", -1), identify("u", -1, email="u@x.example"), group("u", "acme", -1)]
    assert list(user_rows(*bodies)) == ["u"]
    assert user_rows(*bodies)["u"]["email"] is None
    assert account_rows(*bodies) == {}


def test_days_are_whole_and_elapsed_and_calendar_days_are_those_of_the_zone() -> None:
    bodies = [{**track("u"), "timestamp": t} for t in ("2026-06-29T22:30:00Z", "2026-06-30T00:30:00Z")]
    assert user_rows(*bodies)["u"]["metrics"]["active_days"] == 2
    berlin = user_rows(*bodies, timezone="Europe/Berlin")["u"]["metrics"]  # 00:30 and 02:30 on 30 June
    assert berlin["active_days"] == 1
    assert (berlin["days_since_active"], berlin["age_days"]) == (0, 0)
    assert user_rows(track("u", 1.999))["u"]["metrics"]["days_since_active"] == 1


# --- §2 messages ---------------------------------------------------------------------------------------------------

GOOD = {"type": "track", "userId": "u", "event": "e", "timestamp": "2026-01-01"}


@pytest.mark.parametrize(
    "change",
    [
        {"type": "Track"},
        {"type": None},
        {"event": None},
        {"event": ""},
        {"timestamp": "soon"},
        {"timestamp": None},
        {"timestamp": 1767225600},
        {"userId": True},
        {"userId": ["u"]},
        {"userId": {"id": 1}},
        {"userId": 1.5},
        {"userId": ""},
        {"userId": None, "anonymousId": "a"},
        {"context": {"groupId": False}},
        {"properties": {"a": ["\x00"]}},
        {"properties": {"\ud800": 1}},
        {"type": "alias"},
        {"type": "alias", "previousId": ""},
    ],
)
def test_refused(change: dict[str, Any]) -> None:
    parse(json.dumps(GOOD).encode())
    with pytest.raises(Refused):
        parse(json.dumps({**GOOD, **change}).encode())


@pytest.mark.parametrize(
    "raw",
    [
        b"{",
        b"[]",
        b"5",
        b'{"type": "\xff"}',
        json.dumps(GOOD).encode().replace(b'"u"', b"NaN"),
        json.dumps({**GOOD, "properties": {"pad": "x" * 16 * 1024 * 1024}}).encode(),
    ],
)
def test_refused_lines(raw: bytes) -> None:
    with pytest.raises(Refused):
        parse(raw)


def test_ids_names_and_the_instant() -> None:
    assert parse(json.dumps({**GOOD, "userId": 7}).encode())["user"] == "7"
    assert parse(b'{"type":"track","userId":7.0,"event":"e","timestamp":"2026-01-01"}')["user"] == "7"
    assert parse(json.dumps({**GOOD, "type": "page"}).encode())["event"] == "page"
    assert parse(json.dumps({**GOOD, "type": "screen", "name": "Home"}).encode())["event"] == "Home"
    late = {**GOOD, "timestamp": None, "receivedAt": "2026-01-02"}
    assert iso(parse(json.dumps(late).encode())["timestamp"]) == "2026-01-02T00:00:00Z"
    beside = {**GOOD, "groupId": "g", "context": {"groupId": True}}  # not read at all beside a groupId
    assert parse(json.dumps(beside).encode())["account"] == "g"
    assert parse(json.dumps({**GOOD, "context": {"groupId": 12}}).encode())["account"] == "12"
    ahead = {**GOOD, "timestamp": "2026-01-02T00:00:00.000001Z"}
    with pytest.raises(Refused):
        parse(json.dumps(ahead).encode(), now=datetime(2026, 1, 1, tzinfo=UTC))
    assert parse(json.dumps({**GOOD, "timestamp": "2026-01-02"}).encode(), now=datetime(2026, 1, 1, tzinfo=UTC))


def test_properties_are_text() -> None:
    raw = (
        b'{"type":"track","userId":"u","event":"e","timestamp":"2026-01-01","properties":'
        b'{"s":" x ","i":3,"w":1.0,"e":1e2,"f":0.1,"big":9007199254740992,"bigger":9007199254740993,"t":true,"n":null,'
        b'"d":{"a":{"b":"c"},"z":null},"l":[1, {"k": "\xc3\xa9"}],"r":1,"r":2,"minus":-0.0,"tiny":1e-7}}'
    )
    assert parse(raw)["properties"] == {
        "s": " x ",
        "i": "3",
        "w": "1",
        "e": "100",
        "f": "0.1",
        "big": "9007199254740992",
        "bigger": "9007199254740992",  # the double nearest to 2^53 + 1
        "t": "true",
        "d.a.b": "c",
        "l": '[1,{"k":"é"}]',
        "r": "2",
        "minus": "0",
        "tiny": "1e-07",
    }
    assert number_text(1e300) == "1e+300"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        *[("1", 1), ("-2.5", -2.5), ("+.5", 0.5), ("1.", 1), ("1e3", 1000), ("1E-2", 0.01)],
        *[(text, None) for text in ("1,000", " 1", "", "nan", "inf", "0x1", "1_0", "1e999", "٣")],
    ],
)
def test_numeric_text(text: str, value: float | None) -> None:
    assert number(text) == value


def test_the_first_arrival_stands_and_a_refused_line_uses_no_id() -> None:
    bodies = [
        {**GOOD, "messageId": "m1", "timestamp": "bad"},
        {**GOOD, "messageId": "m1", "event": "first"},
        {**GOOD, "messageId": "m1", "event": "second"},
        {**GOOD, "type": "identify", "messageId": "m1"},  # one namespace for all kinds
        GOOD,
        {**GOOD, "timestamp": "2026-01-01T00:00:00+00:00"},  # the same message without an id
        {**GOOD, "properties": {"a": 1}},
        {**GOOD, "properties": "none"},  # no object: empty, and counted; then the same as the first without an id
    ]
    read = read_lines(("f", n, json.dumps(body).encode()) for n, body in enumerate(bodies, start=1))
    assert [(line, reason) for _, line, reason in read.refused] == [(1, "no instant")]
    assert [m["event"] for m in read.messages] == ["first", "e", "e"]
    assert read.duplicates == 4


def test_traits_merge_by_top_level_key_and_null_clears() -> None:
    model = "{properties: {user: {plan: traits.plan, city: traits.address.city, zip: traits.address.zip}}}"
    bodies = [
        identify("u", 3, plan="pro", address={"city": "Rome", "zip": 1}, email=" Ada@X.Example "),
        identify("u", 5, plan="old", firstName="Ada", lastName="L"),  # arrives later, is older
        identify("u", 2, address={"zip": 2}),
    ]
    row = user_rows(*bodies, model=model)["u"]
    assert row["properties"] == {"plan": "pro", "city": None, "zip": "2"}
    assert (row["email"], row["name"]) == ("ada@x.example", "Ada L")
    row = user_rows(*bodies, identify("u", 1, plan=None, email=None, name="Countess"), model=model)["u"]
    assert row["properties"] == {"plan": None, "city": None, "zip": "2"}
    assert (row["email"], row["name"]) == (None, "Countess")
    assert user_rows(*bodies, model=model, as_of=NOW - timedelta(days=4))["u"]["properties"]["plan"] == "old"
    same_instant = [identify("u", 1, plan="a"), identify("u", 1, plan="b")]
    assert user_rows(*same_instant, model=model)["u"]["properties"]["plan"] == "b"


def test_aliases_join_for_all_time() -> None:
    # a → b, c → b (a fork), b → a (a circle, the latest): one user, shown as a
    bodies = [track("a", 40), track("b", 3), track("c", 2), alias("a", "b", 9), alias("c", "b", 8), alias("b", "a", 7)]
    rows = user_rows(*bodies)
    assert list(rows) == ["a"]
    assert rows["a"]["metrics"]["events"] == 2
    assert rows["a"]["metrics"]["age_days"] == 40
    before_the_circle = user_rows(*bodies, as_of=NOW - timedelta(days=7.5))
    assert list(before_the_circle) == ["b"]
    assert list(user_rows(track("a"), alias("a", "a"))) == ["a"]
    # at one instant, the later arrival; an alias to oneself is never the latest
    assert list(user_rows(alias("x", "y", 5), alias("y", "x", 5), alias("y", "y", 1))) == ["x"]
    assert list(user_rows(alias("y", "x", 5), alias("x", "y", 5))) == ["y"]
    assert user_rows(*bodies, crm=linked("c"))["a"]["links"] == {
        "hubspot": {"object": "contacts", "id": "0", "url": None}
    }


def test_account_of_an_event() -> None:
    model = "{metrics: {account: {n: {count: '*'}, who: {active_users: '*'}}}}"
    bodies = [
        group("u", "acme", 5),
        group("v", "acme", 5),
        group("v", "beta", 5),
        track("u", 9),  # before the membership, and still its only account as of as_of
        track("v", 3),  # two accounts: unattributed
        track("v", 3, event="x", groupId="beta", context={"groupId": "acme"}),
        track("v", 3, event="y", context={"groupId": "acme"}),
        {"type": "track", "event": "cron", "groupId": "acme", "timestamp": at(2)},  # nobody's
    ]
    rows = account_rows(*bodies, model=model)
    assert {name: (row["metrics"]["n"], row["metrics"]["who"]) for name, row in rows.items()} == {
        "acme": (3, 2),
        "beta": (1, 1),
    }
    assert rows["acme"]["metrics"]["events"] == 2  # built-ins are activity that names a user
    assert rows["acme"]["metrics"]["age_days"] == 9
    assert world(of(*bodies), {}, NOW).unattributed == 1
    assert by_id(users(of(*bodies), {}, NOW))["v"]["accounts"] == ["acme", "beta"]
    # before any group message, v is named together with acme by an event
    early = account_rows(*bodies, track("v", 6, groupId="acme"), model=model, as_of=NOW - timedelta(days=5.5))
    assert early["acme"]["metrics"]["n"] == 1


def test_an_event_without_a_user_makes_nothing_active() -> None:
    bodies = [group("u", "acme", 50), {"type": "track", "event": "cron", "groupId": "acme", "timestamp": at(2)}]
    row = account_rows(*bodies)["acme"]
    assert (row["active"], row["users"], row["active_users"], row["active_share"]) == (False, 1, 0, 0)
    assert row["users_by_type"] == {"power": 0, "influencer": 0, "active": 0, "inactive": 0, "zombie": 1}


def test_activity_globs_are_case_sensitive_and_kinds_count() -> None:
    model = "{activity: {include: ['app_*', page], exclude: ['app_beat*']}}"
    bodies = [track("u", event=name) for name in ("app_open", "App_open", "app_beat_1", "other")]
    bodies += [{"type": "page", "userId": "u", "timestamp": at(1)}, identify("u"), group("u", "g"), alias("u", "u")]
    assert user_rows(*bodies, model=model)["u"]["metrics"]["events"] == 2


@pytest.mark.parametrize(
    ("value", "gone"),
    [
        (None, False),
        ("", False),
        (False, False),
        ("2026-06-30T12:00:00Z", True),
        ("2026-06-30T12:00:00.000001Z", False),
        ("2026-06-30", True),
        (True, True),
        ("yes", True),
    ],
)
def test_deactivated(value: object, gone: bool) -> None:
    model = "{metrics: {account: {who: {active_users: '*'}, n: {count: '*'}}}}"
    bodies = [track("u", groupId="acme"), track("v", groupId="acme"), identify("u", deactivatedAt=value)]
    assert ("u" not in user_rows(*bodies)) == gone
    row = account_rows(*bodies, model=model)["acme"]
    assert (row["users"], row["metrics"]["who"], row["metrics"]["n"]) == ((1, 1, 2) if gone else (2, 2, 2))


def test_deactivated_by_rule_over_traits() -> None:
    model = "{deactivated: \"status = 'disabled'\", properties: {user: {status: traits.status}}}"
    rows = user_rows(identify("a", status="disabled"), identify("b", status="ok"), identify("c"), model=model)
    assert list(rows) == ["b", "c"]


# --- §3 and §4 -----------------------------------------------------------------------------------------------------


def test_account_activity_wherever_and_attributed() -> None:
    bodies = [group("u", "acme", 5), group("u", "beta", 5), group("z", "beta", 5, seats=4), track("u", groupId="acme")]
    bodies += [track("z", 40, groupId="beta")]
    seats = "properties: {account: {seats: {from: traits.seats, type: number}}}"
    wherever = account_rows(*bodies, model=seats)
    assert [wherever["beta"][k] for k in ("active", "active_users", "active_share", "seat_use")] == [True, 1, 0.5, 0.25]
    narrow = account_rows(*bodies, model="account_activity: attributed\n" + seats)
    assert [narrow["beta"][k] for k in ("active", "active_users", "active_share", "seat_use")] == [False, 0, 0, 0]
    assert narrow["acme"]["active"] is True
    assert narrow["beta"]["users_by_type"]["active"] == 1  # the types are the users', not narrowed
    assert narrow["acme"]["seat_use"] is None


@pytest.mark.parametrize(("seats", "use"), [(0, None), (-1, None), ("2", 0.5), ("many", None), (0.5, 2)])
def test_seat_use(seats: object, use: float | None) -> None:
    model = "{properties: {account: {seats: {from: traits.seats, type: number}}}}"
    assert account_rows(track("u", groupId="a"), group(None, "a", seats=seats), model=model)["a"]["seat_use"] == use


def powerful(*bodies: dict[str, Any], model: str = "{}") -> list[str]:
    return [name for name, row in user_rows(*bodies, model=model).items() if "power" in row["user_types"]]


def test_power_limit_is_exact() -> None:
    assert power_limit("0.28", 25) == 7  # 0.28 × 25 is 7.000000000000001 in doubles
    assert power_limit(0.28, 25) == 7
    assert power_limit(0.1, 10) == 1
    assert power_limit(0.1, 11) == 2
    assert power_limit(0.1, 0) == 0


def test_power_and_ties() -> None:
    assert powerful(*[track(f"u{n:02}") for n in range(20)]) == []
    assert powerful(track("only")) == ["only"]
    ten = [track(f"u{n}", 1, messageId=f"{n}-{k}") for n in range(10) for k in range(n + 1)]
    assert powerful(*ten) == ["u9"]
    assert powerful(*ten, track("u8", messageId="more")) == []  # two at ten events, limit one
    # 11 active: limit 2. u9 alone on top, then two tied at nine: three would be in, so only u9 is
    assert powerful(*ten, *[track("v", messageId=f"v{k}") for k in range(9)]) == ["u9"]
    # 25 with distinct counts and share 0.28: the first seven
    many = [track(f"u{n:02}", 1, messageId=f"{n}-{k}") for n in range(25) for k in range(n + 1)]
    seven = powerful(*many, model="{user_types: {power: {share: 0.28}}}")
    assert seven == [f"u{n}" for n in range(18, 25)]


def test_power_by_another_measure_where_null_is_never_power() -> None:
    model = """
    user_types: {power: {share: 0.5, measure: spent}}
    metrics: {user: {spent: {max: properties.amount, event: buy}}}
    """
    bodies = [track("a", event="buy", properties={"amount": 3}), track("b"), track("c"), track("d", 99)]
    bodies += [track("d", 98, event="buy", properties={"amount": 99})]  # not active
    assert powerful(*bodies, model=model) == ["a"]  # limit ceil(0.5 × 3) = 2, but b and c have none


def test_influencers_and_lapsed_ones() -> None:
    model = """
    properties: {user: {title: crm.hubspot.jobtitle, role: traits.role}}
    user_types: {influencer: {where: "role like '%CHAMPION%' or title ilike '%head of%'"}}
    """
    bodies = [track("a"), track("b", 50), identify("c"), track("d"), identify("e", role="CHAMPION")]
    rows = user_rows(*bodies, model=model, crm=linked("a", "b", "c", "e", jobtitle="HEAD OF Data"))
    assert rows["a"]["user_types"] == ["active", "influencer"]  # two active, limit one, tied: no power
    assert rows["a"]["primary_user_type"] == "influencer"
    assert [rows[name]["lapsed_influencer"] for name in "abcde"] == [False, True, True, False, True]
    assert rows["b"]["user_types"] == ["inactive"]
    assert rows["c"]["user_types"] == ["zombie"]
    assert rows["d"]["user_types"] == ["active"]  # not linked
    unknown = user_rows(*bodies, model=model, crm=linked("a", "b"))  # title and role unknown: not matched
    assert [unknown[name]["user_types"] for name in "ab"] == [["active"], ["inactive"]]
    assert unknown["b"]["lapsed_influencer"] is False
    free = user_rows(track("a"), crm=linked("a"))
    assert free["a"]["user_types"] == ["active", "influencer", "power"]
    assert free["a"]["primary_user_type"] == "power"
    elsewhere = "{user_types: {influencer: {connectors: [salesforce]}}}"
    assert user_rows(track("a"), model=elsewhere, crm=linked("a"))["a"]["user_types"] == ["active", "power"]


# --- §6 metrics ----------------------------------------------------------------------------------------------------

METRICS = """
metrics:
  user:
    n: {count: "report_*", window: 30d}
    days: {active_days: "*"}
    first: {first: "report_*"}
    last: {last: "*"}
    names: {distinct: event}
    areas: {distinct: properties.area, event: "report_*"}
    total: {sum: properties.amount, event: "report_*"}
    low: {min: properties.amount}
    high: {max: properties.amount}
    mean: {avg: properties.amount}
    admins: {count: "*", where: "properties.role = 'admin' and kind = 'track'"}
    big: {count: "*", where: "properties.amount >= 10"}
    flagged: {count: "*", where: "properties.flag = true"}
"""


def test_all_kinds_of_metric() -> None:
    bodies = [
        track("u", 1, "report_run", properties={"amount": "10", "area": "a", "role": "admin", "flag": True}),
        track("u", 1, "report_open", properties={"amount": 2.5, "area": "b", "flag": "true"}),
        track("u", 40, "report_run", properties={"amount": "lots", "area": "a"}),
        {"type": "page", "userId": "u", "timestamp": at(2), "properties": {"role": "admin", "amount": 9}},
        identify("z"),
    ]
    metrics = user_rows(*bodies, model=METRICS)["u"]["metrics"]
    assert [metrics[name] for name in ("n", "days", "names", "areas", "total")] == [2, 3, 3, 2, 12.5]
    assert [metrics[name] for name in ("low", "high", "admins", "big", "flagged")] == [2.5, 10, 1, 1, 2]
    assert metrics["mean"] == pytest.approx(21.5 / 3)
    assert (metrics["first"], metrics["last"]) == ("2026-05-21T12:00:00Z", "2026-06-29T12:00:00Z")
    none = user_rows(*bodies, model=METRICS)["z"]["metrics"]
    assert [none[name] for name in ("n", "days", "names", "areas", "total", "admins", "big")] == [0] * 7
    assert [none[name] for name in ("low", "high", "mean", "first", "last")] == [None] * 5
    assert none["days_since_active"] is None


def test_age_comes_from_created_at_where_it_is_an_instant_not_in_the_future() -> None:
    def age(value: object) -> int:
        return int(user_rows(identify("u", 10, createdAt=value))["u"]["metrics"]["age_days"])

    assert age("2026-01-01T12:00:00Z") == 180  # 31+28+31+30+31+29
    assert age("2027-01-01") == 10
    assert age("a while ago") == 10
    assert age(None) == 10


NAMES = {"a": 5.0, "b": None, "t": "Head of Data", "o": Open("12"), "flag": Open("true"), "yes": True, "q": "a'b"}


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("a = 5 and t like 'Head%'", True),
        ("t like 'head%'", False),
        ("t ilike 'head%' or b > 1", True),
        ("b = 1 or not (b = 1)", False),  # unknown is not matched
        ("not (b = 1 and a = 6)", True),
        ("b is null and a is not null", True),
        ("o > 5", True),  # as a number, not as text
        ("o > '5'", False),
        ("o in (1, 12)", True),
        ("o in ('012')", False),
        ("a not in (5, 6)", False),
        ("flag = true and yes = true", True),
        ("a / 0 = 1 or a / 2 = 2.5", True),
        ("coalesce(b, a) between 4 and 5", True),
        ("round(2.5) = 3 and round(-2.5) = -2 and ceil(a / 2) = 3 and abs(-a) = 5", True),
        ("least(a, 2) = 2 and greatest(a, 2) = 5 and least(a, b) is null", True),
        ("q = 'a''b'", True),
        ("t = 5", False),
        ("t != 5", False),
        ("a <> 6 and 2 + 3 * 2 = 8 and length(t) = 12", True),
    ],
)
def test_rules(rule: str, expected: bool) -> None:
    assert holds(rule, NAMES.get) is expected


# --- §8 properties, money and dates --------------------------------------------------------------------------------

TYPED = """
properties:
  account:
    mrr: {from: traits.mrr, type: number}
    renewal_date: {from: traits.renews, type: date}
    since: {from: traits.since, type: datetime}
    vip: {from: traits.vip, type: boolean}
"""


def test_typed_properties_and_money() -> None:
    bodies = [
        group("u", "a", mrr="100.50", renews="2026-07-01", since="2026-01-01", vip=True),
        group("u", "b", mrr=200, renews="2026-06-29", vip="perhaps"),
        group("u", "c", mrr="much", renews="2026-06-30T23:30:00Z", since="x"),
        identify("v"),
    ]
    rows = account_rows(*bodies, model=TYPED)
    assert rows["a"]["properties"] == {
        "mrr": 100.5,
        "renewal_date": "2026-07-01",
        "since": "2026-01-01T00:00:00Z",
        "vip": True,
    }
    assert (rows["b"]["mrr"], rows["b"]["renewal_date"], rows["b"]["properties"]["vip"]) == (200, "2026-06-29", None)
    assert (rows["c"]["mrr"], rows["c"]["renewal_date"], rows["c"]["properties"]["since"]) == (None, "2026-06-30", None)
    people = user_rows(*bodies, model=TYPED)
    assert (people["u"]["mrr"], people["u"]["renewal_date"]) == (300.5, "2026-06-30")  # today is not past
    assert (people["v"]["mrr"], people["v"]["renewal_date"]) == (None, None)
    berlin = user_rows(*bodies, model=TYPED, timezone="Europe/Berlin")["u"]
    assert berlin["renewal_date"] == "2026-07-01"  # 23:30 UTC is the next day there


@pytest.mark.parametrize(
    ("traits", "expected"),
    [
        ({"domain": "WWW.Acme.example"}, "acme.example"),
        ({"website": "https://www.acme.example:8443/about"}, "acme.example"),
        ({"website": "acme.example/about"}, "acme.example"),
        ({"domain": "a.example", "website": "b.example"}, "a.example"),
        ({"domain": "", "website": "b.example"}, "b.example"),
        ({}, None),
    ],
)
def test_domains(traits: dict[str, str], expected: str | None) -> None:
    assert account_rows(group(None, "a", **traits))["a"]["domain"] == expected


# --- the real events -----------------------------------------------------------------------------------------------

MODEL = """
activity: {exclude: ["docs changed"]}
metrics:
  user: {days_90d: {active_days: "*", window: 90d}, areas: {distinct: properties.area}}
  account: {users_7d: {active_users: "*", window: 7d}, cpp: {count: "*", where: "properties.area = 'cpp'", window: 90d}}
"""
MOMENTS = [datetime(2026, 8, 22, tzinfo=UTC), datetime(2020, 6, 30, 12, tzinfo=UTC), datetime(2016, 3, 1, tzinfo=UTC)]


@pytest.fixture(scope="module")
def real() -> list[dict[str, Any]]:
    read = reading.read([REAL / "users.jsonl.gz", REAL / "events.jsonl.gz"])
    assert (len(read.messages), read.refused, read.duplicates) == (23262 + 1949, [], 0)
    return read.messages


@pytest.mark.parametrize("as_of", MOMENTS)
def test_real_events(real: list[dict[str, Any]], as_of: datetime) -> None:
    """Counts taken from the raw lines without the oracle's reader or its notion of a user (there are no aliases)."""
    seen, active, docs = set(), set(), 0
    for name in ("users", "events"):
        with gzip.open(REAL / f"{name}.jsonl.gz", "rt") as lines:
            for body in map(json.loads, lines):
                moment = datetime.fromisoformat(body["timestamp"])
                if moment > as_of:
                    continue
                seen.add(body["userId"])
                if body.get("event") == "docs changed":
                    docs += 1
                elif body["type"] == "track" and moment >= as_of - timedelta(days=30):
                    active.add(body["userId"])
    rows = users(real, yaml.safe_load(MODEL), as_of)
    assert {row["external_id"] for row in rows} == seen
    assert {row["external_id"] for row in rows if "active" in row["user_types"]} == active
    for row in rows:
        assert len({"zombie", "inactive", "active"} & set(row["user_types"])) == 1
    power = [row for row in rows if "power" in row["user_types"]]
    assert len(power) <= power_limit("0.10", len(active))
    weakest = min((row["metrics"]["events"] for row in power), default=0)
    assert all(row["metrics"]["events"] < weakest or row in power for row in rows)
    assert docs > 0 or as_of.year == 2016
    assert sum(row["users"] for row in accounts(real, yaml.safe_load(MODEL), as_of)) == sum(
        len(row["accounts"]) for row in rows
    )

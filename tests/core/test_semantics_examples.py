"""The sentences of semantics §7 with numbers by hand, through the product's own door: one project, one run, and what
`show` gives. What depends on earlier runs is in tests/sync/test_verdict_runs.py.

Most scores here are read directly: two users with a raw of 100 beside at most nine lower ones make the benchmark 100
(place 0.9 × 10 = 9 of 11 is the tenth), so that a user's score is its raw.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from engage_sync.errors import Mistake
from tests.oracle import messages as reading
from tests.oracle import runs as oracle
from tests.oracle.folder import Folder, Rows
from tests.oracle.telling import NOW, Body, group, identify, raw, track
from tests.sync.test_real_events import differences

MODEL = """\
activity: {exclude: [heartbeat]}
properties:
  user: {plan: traits.plan, size: {from: traits.size, type: number}, vip: {from: traits.vip, type: boolean}}
  account:
    plan: traits.plan
    seats: {from: traits.seats, type: number}
    mrr: {from: traits.mrr, type: number}
    renewal_date: {from: traits.renews, type: date}
    closes: {from: traits.closes, type: datetime}
metrics: {user: {beats: {count: heartbeat}}}
stages:
  user:
    - {name: trial, when: "plan = 'trial'"}
    - {name: customer, when: "plan like '%c%'"}
    - {name: champion, when: "plan = 'trial champion'"}
  account: [{name: paying, when: "mrr > 0"}, {name: full, when: "seat_use >= 1"}]
health:
  user:
    default: {good: ["size >= 10"], bad: ["size <= 10", "vip = false"]}
    stages: {trial: {bad: ["size = 1"]}, champion: {}}
    grace: 14d
  account:
    stages: {paying: {good: ["mrr >= 10"], bad: ["mrr <= 10"]}}
    precedence: bad_first
scores:
  accoil: {entity: user, kind: weighted, weights: {a_one: 1, a_ten: 10}}
  globs:
    entity: user
    kind: weighted
    weights: {"g_*": 2, "*_big": 10, g_x_big: 7, g_half: 0.5, page: 3, heartbeat: 4, "g_half*": 9, g_top: 10}
  edges: {entity: user, kind: weighted, weights: {e_one: 1, e_ten: 10}, window: 7d}
  own: {entity: user, kind: weighted, weights: {o_one: 1, o_ten: 10}, window: 5d}
  fresh: {entity: user, kind: weighted, weights: {f_ten: 10}, window: 5d}
  bands: {entity: user, kind: weighted, weights: {b_one: 1, b_ten: 10}}
  half: {entity: user, kind: rules, rules: [{name: a, when: "size > 1"}, {name: b, when: "vip = true"}]}
  third:
    entity: user
    kind: rules
    rules: [{name: a, when: "size > 1"}, {name: b, when: "vip"}, {name: c, when: "plan = 'x'"}]
  tie:
    entity: user
    kind: rules
    rules: [{name: a, when: "size = 10", weight: 1}, {name: b, when: "size = 7", weight: 3},
            {name: c, when: "size > 100", weight: 4}]
  inputs:
    entity: user
    kind: rules
    rules: [{name: unknown but known, when: "size > 0 and vip", weight: 0.1}, {name: none, when: "plan is null"},
            {name: free, when: "1 = 1", weight: 0.9}]
  company:
    entity: account
    kind: rules
    rules: [{name: reads the mean, when: "scores.bands = 63"}, {name: and the sum, when: "scores.bands_sum = 125"}]
segments:
  from_all:
    entity: user
    where: "stage = 'trial' and health = 'unknown' and scores.tie = 0 and types.zombie and primary_user_type = 'zombie'"
  hot: {entity: user, where: "scores.edges_heat = 'hot' and scores.edges_trend >= 10"}
  after_hot: {entity: user, where: "segments.hot or scores.bands_band = 'high'"}
  unsure: {entity: user, where: "size > 5"}
  not_unsure: {entity: user, where: "not segments.unsure and not lapsed_influencer"}
  denied: {entity: user, where: "not (size > 5)"}
  halves: {entity: user, where: "(round(size) = 3 and size = 2.5) or (round(size) = -2 and size = -2.5)"}
  like_c: {entity: user, where: "plan like 'C%'"}
  ilike_c: {entity: user, where: "plan ilike 'C%'"}
  by_zero: {entity: user, where: "1 / beats is null"}
  one_account: {entity: user, where: "account.plan = 'pro' and account.users >= 1 and account.age_days = 31"}
  account_unknown: {entity: user, where: "account.plan is null and account.users is null and account.active is null"}
  money: {entity: user, where: "mrr = 15 and renewal_date = '2026-07-05'"}
  tomorrow: {entity: account, where: "days_to_renewal_date = 1 and days_to_closes = 0"}
  today: {entity: account, where: "days_to_renewal_date = 0"}
  past: {entity: account, where: "days_to_renewal_date = -1"}
  hired: {entity: user, where: "account.days_to_renewal_date = 5"}
signals:
  any_pro: {entity: user, when: "segments.one_account"}
  after: {entity: user, when: "signals.any_pro"}
"""

ACCOIL = {475: 100, 89: 43, 101: 49, 7: 3, 3: 1, 21: 10, 2: 1, 149: 72, 223: 100, 1: 1, 13: 6, 9: 4, 37: 18}
"""Raw → score against 208.2: 89 is 42.7, 101 is 48.5, 1 is 0.48 and not 0, 475 is 228 and not above 100."""

BANDS = {75: "high", 74: "medium", 50: "medium", 49: "low", 25: "low", 24: "minimal", 1: "minimal"}


def accoil() -> list[Body]:
    return [one for points in ACCOIL for one in raw(f"accoil{points}", points, "a")]


def globs() -> list[Body]:
    """Each user does one kind of thing; half1, half3 and half5 do it that often at 0.5, exactly before `g_half*`."""
    told = [track(user, event) for user, event in (("exact", "g_x_big"), ("first", "g_y_big"), ("second", "x_big"))]
    told += [track(f"half{times}", "g_half", times=times) for times in (1, 3, 5)]
    told += [track("beater", "heartbeat"), track("caps", "G_X")]
    told += [track(f"top{which}", "g_top_big", times=50) for which in "ab"]
    return [one for some in told for one in some] + [{**track("reader", "")[0], "type": "page", "name": ""}]


def edges() -> list[Body]:
    """Two users at 100 in both windows of seven days, and those who did ten points' worth at their edges."""
    told = [raw(user, 100, "e", days=days) for user in ("edge1", "edge2") for days in (1, 8)]
    for name, days, us in (("in", 7, 0), ("out", 7, 1), ("last", 14, 0), ("gone", 14, 1)):
        told.append(raw(name, 10, "e", days=days, us=us))
    told += [raw("up9", 9, "e", days=2), raw("down9", 9, "e", days=9)]
    told += [raw(user, 100, "o", days=2) + raw(user, 50, "o", days=7) for user in ("edge1", "edge2")]
    told += [raw("up9", 20, "o", days=2) + raw("up9", 20, "o", days=7), raw("in", 10, "f", days=1)]
    return [one for some in told for one in some]


def people() -> list[Body]:
    told = [raw(f"band{points}", points, "b") for points in (*BANDS, 100)] + [raw("bandtop", 100, "b")]
    told += [group("band75", "acme", plan="pro", seats=2, mrr=10), group("band50", "acme")]
    told += [group("sleeper", "acme"), raw("sleeper", 10, "b", days=31)]
    told += [group("band75", "beta", mrr=5, renews="2026-07-05"), group("band1", "gone", mrr=0, renews="2026-06-29")]
    told += [group(None, "empty", renews="2026-06-30", mrr=9), group(None, "ten", mrr=10)]
    told += [group("solo", "solo", mrr=11, renews="2026-07-01", closes="2026-06-30T23:30:00Z")]
    told += [group("dater", "later", renews="2026-07-05", seats=0)]
    return [one for some in told for one in some]


def traits() -> list[Body]:
    young, old = {"createdAt": "2026-06-30T00:00:00Z"}, {"createdAt": "2026-06-01T00:00:00Z"}
    given: dict[str, dict[str, Any]] = {
        "both": {**old, "size": 10, "plan": "abc"},
        "small": {**old, "size": 9},
        "none": old,
        "novip": {**old, "vip": False},
        "trial1": {**old, "plan": "trial", "size": 1},
        "trial10": {**old, "plan": "trial", "size": 10},
        "champion": {**old, "plan": "trial champion", "size": 1},
        "young": {**young, "plan": "trial", "size": 1},
        "grace": {"createdAt": "2026-06-16T12:00:00Z", "size": 10},
        "almost": {"createdAt": "2026-06-16T12:00:00.000001Z", "size": 10},
        "half": {**old, "size": 2.5, "vip": "perhaps"},
        "minus": {**old, "size": -2.5, "plan": "Corp"},
        "seven": {**old, "size": "7", "vip": True, "plan": "corp"},
    }
    return [one for user, found in given.items() for one in identify(user, **found)]


def told() -> list[Body]:
    return accoil() + globs() + edges() + people() + traits()


@pytest.fixture(scope="module")
def messages() -> list[Body]:
    return told()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, messages: list[Body]) -> Folder:
    made = Folder(tmp_path_factory.mktemp("examples"))
    made.means(MODEL)
    made.tell(messages)
    return made


@pytest.fixture(scope="module")
def rows(folder: Folder) -> tuple[Rows, Rows]:
    return folder.run(NOW)[0]


@pytest.fixture(scope="module")
def users(rows: tuple[Rows, Rows]) -> Rows:
    return rows[0]


@pytest.fixture(scope="module")
def accounts(rows: tuple[Rows, Rows]) -> Rows:
    return rows[1]


def scores(users: Rows, name: str, *who: str) -> list[Any]:
    return [users[user]["scores"][name] for user in who]


def members(rows: Rows, segment: str) -> list[str]:
    return [name for name, row in rows.items() if segment in row["segments"]]


# --- weighted scores -----------------------------------------------------------------------------------------------


def test_the_example_of_the_law(users: Rows) -> None:
    assert {points: users[f"accoil{points}"]["scores"]["accoil"] for points in ACCOIL} == ACCOIL
    assert scores(users, "accoil", "exact", "sleeper") == [0, 0]


def test_an_exact_name_counts_before_globs_and_globs_in_file_order(users: Rows) -> None:
    # g_top_big is 2 by the first glob, so the tops have 100
    assert scores(users, "globs", "topa", "topb", "exact", "first", "second", "caps") == [100, 100, 7, 2, 10, 0]
    assert scores(users, "globs", "half1", "half3", "half5") == [1, 2, 3]  # 0.5, 1.5 and 2.5, half up
    assert scores(users, "globs", "reader", "beater") == [3, 4]  # a page without a name; activity or not
    assert users["beater"]["user_types"] == ["zombie"]


def test_windows_share_no_event(users: Rows) -> None:
    names = ("in", "out", "last", "gone", "up9", "down9", "edge1", "exact")
    assert scores(users, "edges", *names) == [10, 0, 0, 0, 9, 0, 100, 0]
    trends = [10, -10, -10, 0, 9, -9, 0, 0]
    assert [users[user]["score_trends"]["edges"] for user in names] == trends
    assert members(users, "hot") == ["in"]  # +10 is hot, +9 is not


def test_each_window_has_its_own_benchmark(users: Rows) -> None:
    assert (scores(users, "own", "up9"), users["up9"]["score_trends"]["own"]) == ([20], -20)  # 20 of 100; 20 of 50


def test_a_trend_needs_somebody_in_the_window_before(users: Rows, accounts: Rows) -> None:
    assert (scores(users, "fresh", "in", "out"), users["in"]["score_trends"]["fresh"]) == ([100, 0], None)
    assert accounts["acme"]["score_trends"]["fresh"] is None
    assert accounts["acme"]["score_trends"]["edges"] == 0
    assert accounts["empty"]["score_trends"]["edges"] is None


def test_bands_are_half_open(users: Rows) -> None:
    found = {points: users[f"band{points}"] for points in BANDS}
    assert {points: row["scores"]["bands"] for points, row in found.items()} == {points: points for points in BANDS}
    assert {points: row["score_bands"]["bands"] for points, row in found.items()} == BANDS
    assert users["exact"]["score_bands"]["bands"] == "minimal"


def test_an_accounts_score_is_the_rounded_mean_of_its_active_users(accounts: Rows) -> None:
    acme = accounts["acme"]  # 75 and 50; the sleeper is not active
    assert (acme["active_users"], acme["users"]) == (2, 3)
    assert (acme["scores"]["bands"], acme["score_sums"]["bands"], acme["score_bands"]["bands"]) == (63, 125, "medium")
    empty = accounts["empty"]
    assert (empty["scores"]["bands"], empty["score_sums"]["bands"], empty["score_bands"]["bands"]) == (None, 0, None)
    assert (acme["scores"]["company"], empty["scores"]["company"]) == (100, 0)  # the sum of nobody is known: 0


# --- rule scores ---------------------------------------------------------------------------------------------------


def test_half_of_the_weight_known_is_enough(users: Rows) -> None:
    assert scores(users, "half", "both", "seven", "none", "small", "novip") == [100, 100, None, 100, 0]
    assert scores(users, "third", "small", "both", "half", "none", "seven") == [None, 50, None, None, 67]
    assert users["both"]["score_trends"]["half"] is None
    assert users["seven"]["score_bands"]["third"] == "medium"


def test_a_score_at_a_half_is_rounded_up(users: Rows) -> None:
    assert scores(users, "tie", "both", "seven", "small", "none") == [13, 38, 0, None]  # 1/8 and 3/8


def test_which_inputs_are_known(users: Rows) -> None:
    """`size > 0 and vip` is unknown and counts; `plan is null` holds and counts not; `1 = 1` counts always."""
    assert scores(users, "inputs", "small", "none") == [90, None]  # 0.9 of 1.0, where half of 2.0 is known; 0.9 of 2.0
    assert scores(users, "inputs", "both", "seven") == [45, 50]  # 0.9 of 2.0; with 0.1 more


# --- stages and health ---------------------------------------------------------------------------------------------


def test_the_last_stage_that_matches_wins(users: Rows, accounts: Rows) -> None:
    found = {user: users[user]["stage"] for user in ("trial1", "both", "champion", "none", "minus")}
    assert found == {"trial1": "trial", "both": "customer", "champion": "champion", "none": None, "minus": None}
    assert [accounts[name]["stage"] for name in ("acme", "gone")] == ["full", None]  # 2 of 2 seats


def test_health_is_that_of_the_stages_profile(users: Rows, accounts: Rows) -> None:
    names = ("both", "small", "none", "novip", "trial1", "trial10", "champion")
    assert [users[user]["health"] for user in names] == ["good", "bad", "normal", "bad", "bad", "normal", "normal"]
    # no default: full and gone have no profile; 11 is only good, 9 only bad
    found = {name: accounts[name]["health"] for name in ("acme", "gone", "solo", "empty", "later")}
    assert found == {"acme": None, "gone": None, "solo": "good", "empty": "bad", "later": None}


def test_precedence(users: Rows, accounts: Rows) -> None:
    assert users["both"]["health"] == "good"  # at 10 both rules hold; good first, unless the file says bad first
    assert accounts["ten"]["health"] == "bad"


def test_grace_is_for_the_younger(users: Rows) -> None:
    assert [users[user]["health"] for user in ("young", "grace", "almost")] == ["unknown", "good", "unknown"]
    assert [users[user]["metrics"]["age_days"] for user in ("grace", "almost")] == [14, 13]
    assert members(users, "from_all") == ["young"]


# --- segments and rules --------------------------------------------------------------------------------------------


def test_segments_read_what_stands_above(users: Rows) -> None:
    assert members(users, "after_hot") == ["band100", "band75", "bandtop", "in"]


def test_unknown_is_not_matched(users: Rows) -> None:
    assert members(users, "unsure") == ["almost", "both", "grace", "seven", "small", "trial10"]
    assert members(users, "denied") == ["champion", "half", "minus", "trial1", "young"]  # whose size is known
    assert set(members(users, "not_unsure")) == users.keys() - set(members(users, "unsure"))


def test_rounding_patterns_and_division(users: Rows) -> None:
    assert members(users, "halves") == ["half", "minus"]
    assert members(users, "like_c") == ["minus"]
    assert members(users, "ilike_c") == ["minus", "seven"]
    assert set(members(users, "by_zero")) == users.keys() - {"beater"}  # who alone has any beats


def test_names_of_the_only_account(users: Rows) -> None:
    assert members(users, "one_account") == ["band50", "sleeper"]
    assert [user for user in ("band75", "exact", "band50") if user in members(users, "account_unknown")] == [
        "band75",  # two accounts
        "exact",  # none
    ]
    assert members(users, "hired") == ["dater"]
    assert members(users, "money") == ["band75"]
    assert [name for name, row in users.items() if row["signals"]] == ["band50", "sleeper"]
    assert users["sleeper"]["signals"] == ["after", "any_pro"]


# --- other models over the same messages ---------------------------------------------------------------------------


def test_days_to_a_date_are_calendar_days_of_the_zone(folder: Folder, accounts: Rows) -> None:
    """12:00 UTC is already 1 July in Kiritimati (+14); 23:30 UTC is 1 July in Berlin."""
    assert [members(accounts, name) for name in ("tomorrow", "today", "past")] == [["solo"], ["empty"], ["gone"]]
    folder.zone("Pacific/Kiritimati")
    found = folder.run(NOW)[0][1]
    assert [members(found, name) for name in ("tomorrow", "today", "past")] == [[], ["solo"], ["empty"]]
    folder.zone("Europe/Berlin")
    found = folder.run(NOW)[0][1]
    assert [members(found, name) for name in ("tomorrow", "today")] == [[], ["empty"]]
    folder.zone("UTC")


def test_other_bands_and_attributed_activity(folder: Folder) -> None:
    other = MODEL.replace("'high'", "'boiling'")
    folder.means(other + "bands: {cool: 0, warm: 49, boiling: 74.5}\naccount_activity: attributed\n")
    users, accounts = folder.run(NOW)[0]
    folder.means(MODEL)
    found = [users[f"band{points}"]["score_bands"]["bands"] for points in (75, 74, 50, 49, 25)]
    assert found == ["boiling", "warm", "warm", "warm", "cool"]
    # band75 has two accounts, so that nothing it did is acme's: of acme only band50 is active
    assert (accounts["acme"]["scores"]["bands"], accounts["acme"]["score_sums"]["bands"]) == (50, 50)
    assert (accounts["beta"]["scores"]["bands"], accounts["beta"]["score_sums"]["bands"]) == (None, 0)


@pytest.mark.parametrize(
    ("section", "word"),
    [
        ("segments: {s: {entity: user, where: \"events = 'many'\"}}", "'many'"),
        ("segments: {s: {entity: user, where: \"types.power = 1\"}}", "types.power"),
        ("segments: {s: {entity: user, where: \"stage > 3\"}}", "stage"),
        ("stages: {user: [{name: a, when: \"stage = 'b'\"}]}", "stage"),
        ("stages: {user: [{name: a, when: \"scores.x > 1\"}]}", "scores.x"),
        ("segments: {a: {entity: user, where: segments.b}, b: {entity: user, where: types.power}}", "segments.b"),
        ("segments: {a: {entity: user, where: \"account.health = 'bad'\"}}", "account.health"),
        ("segments: {a: {entity: account, where: types.power}}", "types.power"),
        ("scores: {a: {entity: user, kind: weighted, weights: {e: 10.5}}}", "10"),
        ("scores: {a: {entity: user, kind: rules, rules: [{name: r, when: types.power, weight: 0}]}}", "0"),
    ],
)  # fmt: skip
def test_what_a_rule_may_not_say(tmp_path: Path, section: str, word: str) -> None:
    made = Folder(tmp_path)
    made.means(section + "\n")
    with pytest.raises(Mistake) as caught, made.open():
        pass
    assert any(word in problem.what and problem.line == 1 for problem in caught.value.problems), caught.value.problems


def test_the_oracle_says_the_same(messages: list[Body], rows: tuple[Rows, Rows]) -> None:
    expected = oracle.runs(reading.of(*messages), yaml.safe_load(MODEL), [NOW])[0]
    for found, what in zip(rows, ("users", "accounts"), strict=True):
        assert list(found) == [row["external_id"] for row in expected[what]]
        for row in expected[what]:
            assert differences(found[row["external_id"]], row) == [], row["external_id"]

"""What depends on earlier runs (semantics §7), with values by hand: one project that is run as of seven days, one of
them twice, and each user or account a story of one word a day. The oracle must tell every story the same.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.oracle import messages as reading
from tests.oracle import runs as oracle
from tests.oracle.folder import Folder, Rows
from tests.oracle.telling import NOW, Body, group, identify, track
from tests.sync.test_real_events import differences

MODEL = """\
properties: {user: {mode: traits.mode}, account: {mode: traits.mode}}
stages:
  user: [{name: here, when: "mode is not null"}, {name: away, when: "mode = 'away'"}]
  account:
    monotonic: true
    steps: [{name: one, when: "mode = 'one'"}, {name: two, when: "mode = 'two'"}, {name: three, when: "mode = 'three'"}]
health:
  user: {stages: {here: {good: ["mode = 'good'"], bad: ["mode = 'bad'"]}}, grace: 2d, confirm: 2}
  account: {default: {good: ["mode = 'good'"], bad: ["mode = 'bad'"]}, confirm: 3}
segments: {troubled: {entity: user, where: "health = 'bad'"}}
signals:
  plain: {entity: user, when: "mode = 'loud'"}
  edge: {entity: user, when: "mode = 'loud'", cooldown: 2d}
  longer: {entity: user, when: "mode = 'loud'", cooldown: 3d}
  over: {entity: user, when: "signals.longer"}
"""

STORIES = {
    "firm": "good bad good bad bad normal normal",
    "again": "good good bad - normal normal bad",
    "new": ". . . bad good good good",
    "pause": "good away bad bad away good good",
    "left": "good good bad gone gone bad bad",
    "loud": "loud quiet loud loud quiet loud loud",
    "late": "quiet quiet loud loud - - -",
    "steady": "loud - - - - - -",
}
"""One word a day from the first run on: said an hour before the run; `-` says nothing, `.` is not there yet."""

TEAMS = {
    "thrice": "good bad bad normal bad bad bad",
    "climb": "one two one none three one -",
}

LATE = identify("late", days=4, us=1_800_000_000, mode="quiet")
"""What arrives after the first run of the third day: half an hour before it."""

DAYS = (6, 5, 4, 4, 3, 2, 1, 0)
AS_OFS = [NOW - timedelta(days=days) for days in DAYS]
LOOK_BACK = NOW - timedelta(days=2, hours=12)


def spoken(name: str, story: str) -> list[Body]:
    told = []
    for day, word in enumerate(story.split()):
        days = 6 - day + 1 / 24
        if word == "gone":
            told += identify(name, days=days, deactivatedAt="2026-01-01")
        elif word not in "-.":
            told += identify(name, days=days, mode=word, createdAt="2026-01-01", deactivatedAt=None)
    return told


def before() -> list[Body]:
    told = [one for user, story in STORIES.items() for one in spoken(user, story)]
    for team, story in TEAMS.items():
        for day, word in enumerate(story.split()):
            said: dict[str, Any] = {} if word == "-" else {"mode": word}
            told += group(None, team, days=6 - day + 1 / 24, **said)
    return told + identify("young", days=6 + 1 / 24, mode="good")  # 49 hours old on the third day


Run = tuple[Rows, Rows]


@pytest.fixture(scope="module")
def messages() -> list[Body]:
    return before()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, messages: list[Body]) -> Folder:
    made = Folder(tmp_path_factory.mktemp("runs"))
    made.means(MODEL)
    made.tell(messages)
    return made


@pytest.fixture(scope="module")
def runs(folder: Folder) -> list[Run]:
    """Give the rows after each run: the fourth is at the instant of the third, after late messages."""
    first = folder.run(*AS_OFS[:3])
    folder.tell(LATE)
    return first + folder.run(*AS_OFS[3:])


def told(runs: list[Run], name: str, what: str, side: int = 0) -> str:
    """Give a value's history as words, `-` for null and `.` where there is no row."""
    return " ".join(str(run[side][name][what] or "-") if name in run[side] else "." for run in runs)


def on(runs: list[Run], name: str, signal: str) -> str:
    return "".join("+" if signal in run[0][name]["signals"] else "-" for run in runs)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        # the first value at once; then two runs with different as_of in a row
        ("firm", "good good good good good bad bad normal"),
        ("again", "good good good good bad bad normal normal"),  # the second run of day three is no second run
        ("new", ". . . . bad bad good good"),
        ("pause", "good - bad bad bad - good good"),  # no profile: null at once; after null at once
        ("left", "good good good good . . bad bad"),  # a deactivated user has no health, so that it begins anew
        ("young", "unknown unknown unknown unknown good good good good"),  # unknown is moved like any other
    ],
)
def test_health_of_users_moves_when_two_runs_agree(runs: list[Run], user: str, expected: str) -> None:
    assert told(runs, user, "health") == expected
    troubled = ["troubled" in run[0][user]["segments"] for run in runs if user in run[0]]
    assert troubled == [word == "bad" for word in expected.split() if word != "."]


def test_health_of_accounts_moves_when_three_runs_agree(runs: list[Run]) -> None:
    assert told(runs, "thrice", "health", 1) == "good good good good good good good bad"


def test_stages_go_back_unless_they_are_monotonic(runs: list[Run]) -> None:
    assert told(runs, "pause", "stage") == "here away here here here away here here"
    assert told(runs, "climb", "stage", 1) == "one two two two two three three three"
    assert told(runs, "thrice", "stage", 1) == "- - - - - - - -"


def test_signals_fire_stay_clear_and_keep_to_their_cooldown(runs: list[Run]) -> None:
    assert [on(runs, "loud", name) for name in ("plain", "edge")] == ["+-+++-++", "+-+++-++"]  # two days are enough
    # fired on day one; day three is too early, day four is not; then day seven
    assert on(runs, "loud", "longer") == on(runs, "loud", "over") == "+---+--+"
    assert on(runs, "steady", "longer") == "++++++++"
    assert runs[0][0]["loud"]["signals"] == ["edge", "longer", "over", "plain"]


def test_a_replaced_run_fired_nothing(runs: list[Run]) -> None:
    """On day three it was loud, until the message came that it was not; the next day it is, for the first time."""
    assert on(runs, "late", "longer") == "--+-++++"


@pytest.fixture(scope="module")
def look_back(folder: Folder, runs: list[Run]) -> Run:
    assert len(runs) == len(AS_OFS)
    return folder.seen(LOOK_BACK)


def test_a_look_back_reads_the_run_before_it_and_changes_nothing(
    folder: Folder, runs: list[Run], look_back: Run
) -> None:
    users = look_back[0]
    assert (users["firm"]["health"], users["loud"]["signals"]) == ("bad", ["edge", "longer", "over", "plain"])
    assert differences(folder.seen(NOW)[0], runs[-1][0]) == []


def test_the_oracle_tells_the_same(messages: list[Body], look_back: Run, runs: list[Run]) -> None:
    early = oracle.runs(reading.of(*messages), yaml.safe_load(MODEL), AS_OFS[:3])
    every: list[Body] = [*messages, *LATE]
    late = oracle.runs(reading.of(*every), yaml.safe_load(MODEL), [*AS_OFS[:2], *AS_OFS[3:], LOOK_BACK])
    expected: list[dict[str, Any]] = [*early, *late[2:]]
    for found, wanted in zip([*runs, look_back], expected, strict=True):
        for rows, what in zip(found, ("users", "accounts"), strict=True):
            assert differences(list(rows.values()), wanted[what]) == []
            assert [differences(rows[row["external_id"]], row) for row in wanted[what]] == [[]] * len(rows)


HOSTILE = (
    "before after at entity kind name names run run_id fired fired_at pending since value values state status on_ "
    "rule rules when reason why weight raw score scores_ band trend heat total known matched index row count len id "
    "user account_ left right literal first last moved document verdict previous shown streak record deactivated_ "
    "email domain linked seats_ order group select case"
)
"""Names that a part of the product may use for a column of its own, and words of SQL."""


def test_names_of_a_model_are_nobody_elses(tmp_path: Path) -> None:
    """A metric may be called anything that is not refused, whatever the parts of the product call their columns."""
    names = HOSTILE.split()
    metrics = {name: {"count": "login"} for name in names}
    once, twice = ([f'"{name}" = {times}' for name in names] for times in (1, 2))
    model: dict[str, Any] = {
        "metrics": {"user": metrics, "account": metrics},
        "stages": {"user": [{"name": "one", "when": " and ".join(once)}, {"name": "two", "when": " and ".join(twice)}]},
        "health": {"user": {"default": {"good": once, "bad": twice}}},
        "scores": {
            "all": {"entity": "user", "kind": "rules", "rules": [{"name": rule, "when": rule} for rule in once]}
        },
        "segments": {f"s_{name}": {"entity": "user", "where": rule} for name, rule in zip(names, once, strict=True)},
        "signals": {f"g_{name}": {"entity": "user", "when": rule} for name, rule in zip(names, twice, strict=True)},
    }
    made = Folder(tmp_path)
    made.means(yaml.safe_dump(model))
    made.tell([one for days in (3, 0.5) for one in track("u", "login", days=days, groupId="a")] + identify("v", days=3))
    (first, _), (then, accounts) = made.run(NOW - timedelta(days=1), NOW)
    for user, stage, health, score in (("u", "one", "good", 100), ("v", None, "normal", 0)):
        assert (first[user]["stage"], first[user]["health"], first[user]["scores"]) == (stage, health, {"all": score})
    assert (then["u"]["stage"], then["u"]["health"], then["u"]["scores"]) == ("two", "bad", {"all": 0})
    assert (first["u"]["segments"], first["u"]["signals"]) == (sorted(model["segments"]), [])
    assert (then["u"]["segments"], then["u"]["signals"]) == ([], sorted(model["signals"]))
    assert [accounts["a"]["metrics"][name] for name in names] == [2] * len(names)

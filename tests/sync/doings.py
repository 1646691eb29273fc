"""What may happen to a project: what people do in the CRM, what the product tells, which calls fail. Only drawn here;
the machine does it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from hypothesis import strategies as st

from engage_sync.sandbox.faults import FAULTS, Fault

Doing = dict[str, Any]

USERS = ("u1", "u2", "u3", 'O\'Neil "q" 😀')
ACCOUNTS = ("acme", "b&b")
EMAILS = ("a@x.example", "b@x.example", "c@y.example")
DOMAINS = ("x.example", "y.example")
EVENTS = ("login", "report_run", "heartbeat")
TYPED: Mapping[str, Mapping[str, Sequence[str]]] = {
    "contacts": {
        "jobtitle": ("Head of Sales", "clerk", ""),
        "firstname": ("Ann", "Bo", ""),
        "engage_user_types": ("power", "zombie;active", "influencer;power", ""),
        "engage_user_type": ("power", "zombie", "influencer", ""),
        "engage_reports": ("0", "5.0", "77", ""),
        "engage_last_active": ("2026-05-01T00:00:00Z", ""),
        "engage_external_id": (*USERS, "nobody", ""),
        "engage_link": ("https://elsewhere.example", ""),
    },
    "companies": {
        "name": ("Acme Ltd", ""),
        "engage_active_users": ("0", "1", "9", ""),
        "engage_events": ("0", "3", ""),
        "engage_external_id": (*ACCOUNTS, "nobody", ""),
    },
}
SLOW = ("hang", "hang_after", "too_many_daily")
FAULTY = [name for name in FAULTS if name not in SLOW]
LYING = "empty_results"
"""A list that is twice said to be at its end is at its end: nothing tells the difference."""
NOTHING_HAPPENS = [name for name in FAULTY if not FAULTS[name].takes_effect]
LATEST = 600.001
"""Seconds that the index may take to show a change: one millisecond more than a pull reaches back still shows, because
a pull ends before the change does."""

index = st.integers(0, 7)
object_ = st.sampled_from(["contacts", "contacts", "companies"])
pauses = st.sampled_from([0.0, 0.0, 0.0, 0.001, 900.0, 3_600.0])
"""Seconds before a deed. Mostly none: many changes share one millisecond. Or longer than a pull reaches back."""
waits = st.sampled_from([3_600.0, 0.0, 0.001, 900.0, 3_600.0, 86_400.0, 6 * 86_400.0])
"""Seconds between two runs, mostly longer than a pull reaches back."""
lates = st.sampled_from([0.0, 0.0, 0.0, 30.0, 300.0, LATEST])


def deed(name: str, **parts: Any) -> st.SearchStrategy[Doing]:
    return st.fixed_dictionaries({"do": st.just(name), "pause": pauses, **parts})


def typing(on: str, *fields: str) -> st.SearchStrategy[Doing]:
    """Give deeds that type one of some values into one of some fields."""
    pairs = [(field, text) for field in fields or TYPED[on] for text in TYPED[on][field]]
    return deed("type", on=st.just(on), which=index, what=st.sampled_from(pairs))


deeds = st.one_of(
    deed(
        "create",
        email=st.sampled_from([*EMAILS, ""]),
        title=st.sampled_from(["", "Head"]),
        id=st.sampled_from(["", *USERS]),
    ),
    deed("found", domain=st.sampled_from(DOMAINS)),
    typing("contacts"),
    typing("contacts", "jobtitle", "engage_user_type"),
    typing("contacts", "engage_user_type", "engage_reports"),
    typing("companies"),
    deed("readdress", which=index, email=st.sampled_from([*EMAILS, ""])),
    deed("swap", which=index, other=index),
    deed("share", which=index, email=st.sampled_from(EMAILS)),
    deed("archive", on=object_, which=index, for_good=st.sampled_from([False, False, False, False, True])),
    deed("restore", on=object_, which=index),
    deed("merge", on=object_, which=index, other=index, then=st.sampled_from(["", "", "", "archive"])),
    deed("touch", first=st.sampled_from([0, 1, 40]), count=st.sampled_from([1, 100, 199, 200, 201, 9_999])),
)
"""`which` and `other` count the records there are; `touch` changes many fillers at once, as an import does."""

people = st.sampled_from(USERS)
news = st.one_of(
    st.fixed_dictionaries(
        {
            "do": st.just("track"),
            "user": people,
            "event": st.sampled_from(EVENTS),
            "days": st.sampled_from([0, 3, 9, 12]),
            "times": st.integers(1, 3),
        }
    ),
    st.fixed_dictionaries({"do": st.just("identify"), "user": people, "email": st.sampled_from([*EMAILS, None])}),
    st.fixed_dictionaries({"do": st.just("deactivate"), "user": people, "off": st.booleans()}),
    st.fixed_dictionaries(
        {
            "do": st.just("group"),
            "user": people,
            "account": st.sampled_from(ACCOUNTS),
            "domain": st.sampled_from(DOMAINS),
            "seats": st.sampled_from([None, 3]),
        }
    ),
    st.fixed_dictionaries({"do": st.just("alias"), "user": people, "previous": people}),
)


def faults(kinds: Sequence[str], names: Sequence[str] = FAULTY, times: Sequence[int] = (1, 2, 9, 30)) -> Any:
    """Give faults that strike calls of some kinds."""
    return st.builds(
        Fault,
        st.sampled_from(names),
        kind=st.sampled_from(kinds),
        times=st.sampled_from(times),
        skip=st.integers(0, 3) if len(times) > 1 else st.just(0),
        seconds=st.just(3.0),
    )


def killed(stage: str, latest: int) -> Any:
    return st.tuples(st.just(stage), st.integers(0, latest))


reading = faults(["*", "read", "search"], [name for name in FAULTY if name != LYING]) | faults(["read"], [LYING], [1])
lasting = faults(["write"], NOTHING_HAPPENS, [30])
"""Longer than any call is repeated."""
edits = st.sampled_from(
    [
        (0.0, 0.0, True),
        (0.0, 0.0, False),
        (0.0, 0.001, True),
        (300.0, 299.999, False),
        (LATEST, LATEST - 0.001, False),
    ]
)
"""How late the index shows a first edit, how long after it a second one is made, and whether of the same record."""

rounds = st.fixed_dictionaries(
    {
        "wait": waits,
        "done": st.lists(deeds, min_size=1, max_size=3),
        "late": lates,
        "meanwhile": st.lists(st.lists(deeds, max_size=1), max_size=4),
        "struck": st.none() | reading,
        "dies": st.none() | st.integers(0, 12),
    }
)
"""One pull: what people do before it and after each of its pages, what fails, after how many steps it is killed."""

troubles = st.one_of(
    st.fixed_dictionaries({"struck": st.lists(lasting, min_size=1, max_size=1), "dies": st.none()}),
    st.fixed_dictionaries({"struck": st.lists(faults(["write"]), min_size=1, max_size=2), "dies": st.none()}),
    st.fixed_dictionaries({"struck": st.lists(reading, max_size=1), "dies": st.none()}),
    st.fixed_dictionaries(
        {
            "struck": st.lists(faults(["write"]), max_size=1),
            "dies": killed("pull", 20) | killed("compute", 45) | killed("write", 6),
        }
    ),
)
"""What fails in a cycle, if anything; or after how many steps it is killed, from which stage on they count."""

cycles = st.fixed_dictionaries(
    {
        "first": st.sampled_from(["", "", "", "", "", "load again", "lose the state"]),
        "wait": waits,
        "told": st.lists(news, min_size=2, max_size=5),
        "all work": st.booleans(),
        "done": st.lists(deeds, min_size=2, max_size=6),
        "late": lates,
        "trouble": troubles,
        "how": st.sampled_from(["sync", "sync", "sync", "push", "plan"]),
        "then": st.sampled_from(["sync", "plan", "settle", "settle", ""]),
    }
)
"""One cycle with trouble: what comes before it, what happens in between, and which clean cycle follows."""

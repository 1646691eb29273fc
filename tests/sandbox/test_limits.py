"""Rate limits: the windows by themselves and over HTTP (crm-apis §A3)."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from engage_sync.sandbox.limits import Rates, SlidingWindow
from tests.sandbox.conftest import Client, Clock
from tests.sandbox.test_access import APP, refresh

CONTACTS = "/crm/v3/objects/contacts"


@given(st.lists(st.integers(0, 30), max_size=60), st.integers(1, 5))
def test_no_stretch_of_ten_seconds_ever_holds_more_than_the_limit(gaps: list[int], limit: int) -> None:
    window, now, taken = SlidingWindow(limit, 10.0), 0.0, []
    for gap in gaps:
        now += gap / 10
        fitting = len([at for at in taken if at > now - 10.0]) < limit
        assert window.take(now) == fitting
        taken += [now] if fitting else []


def test_bursts_have_headers_and_a_429_with_its_policy(serve: Callable[..., Client], clock: Clock) -> None:
    crm = serve(rates=Rates(burst=3, daily=100))
    crm.get(CONTACTS)
    told = {name: crm.headers[f"X-HubSpot-RateLimit-{name}"] for name in ("Max", "Remaining", "Interval-Milliseconds")}
    assert told == {"Max": "3", "Remaining": "2", "Interval-Milliseconds": "10000"}
    daily = {name: crm.headers[f"X-HubSpot-RateLimit-{name}"] for name in ("Daily", "Daily-Remaining")}
    assert daily == {"Daily": "100", "Daily-Remaining": "99"}
    clock.advance(4)
    crm.get(CONTACTS)
    crm.get(CONTACTS)
    answer = crm.get(CONTACTS)
    assert crm.status == 429
    assert crm.headers["X-HubSpot-RateLimit-Remaining"] == "0"
    assert "Retry-After" not in crm.headers
    assert (answer["errorType"], answer["policyName"]) == ("RATE_LIMIT", "TEN_SECONDLY_ROLLING")
    assert answer["message"] == "You have reached your ten_secondly_rolling limit."
    assert "category" not in answer
    clock.advance(6)
    crm.get(CONTACTS)
    assert crm.status == 200
    crm.get(CONTACTS)
    assert crm.status == 429
    clock.advance(4)
    crm.get(CONTACTS)
    assert crm.status == 200


def test_searches_count_apart_and_have_no_headers(serve: Callable[..., Client], clock: Clock) -> None:
    crm = serve(rates=Rates(burst=1, search=2))
    for _ in range(2):
        crm.search()
        assert crm.status == 200
        assert not [name for name in crm.headers if "ratelimit" in name.lower()]
    answer = crm.search()
    assert (crm.status, answer["policyName"], answer["message"]) == (
        *(429, "SECONDLY"),
        "You have reached your secondly limit.",
    )
    assert not [name for name in crm.headers if "ratelimit" in name.lower()]
    crm.get(CONTACTS)
    assert crm.status == 200
    clock.advance(1)
    crm.search()
    assert crm.status == 200


def test_the_day_ends_at_midnight_in_the_accounts_zone(serve: Callable[..., Client], clock: Clock) -> None:
    crm = serve(rates=Rates(daily=2), timezone="Asia/Kolkata")
    crm.get(CONTACTS)
    crm.search()
    answer = crm.get(CONTACTS)
    assert (crm.status, answer["policyName"]) == (429, "DAILY")
    crm.search()
    assert crm.status == 429
    clock.advance(6.5 * 3600 - 1)
    crm.get(CONTACTS)
    assert crm.status == 429
    clock.advance(1)
    crm.get(CONTACTS)
    assert crm.status == 200


def test_an_oauth_app_has_a_window_of_its_own_and_no_day(serve: Callable[..., Client]) -> None:
    crm = serve(rates=Rates(burst=2, daily=1), oauth=APP)
    crm.get(CONTACTS)
    crm.token = refresh(crm)["access_token"]
    crm.get(CONTACTS)
    assert crm.status == 200
    assert "X-HubSpot-RateLimit-Daily" not in crm.headers
    crm.get(CONTACTS)
    crm.get(CONTACTS)
    assert crm.status == 429


def test_refused_credentials_do_not_count(serve: Callable[..., Client]) -> None:
    crm = serve(rates=Rates(burst=1))
    crm.token = "wrong"
    crm.get(CONTACTS)
    crm.token = crm.sandbox.token
    crm.get(CONTACTS)
    assert crm.status == 200


def test_account_details_and_usage(serve: Callable[..., Client]) -> None:
    crm = serve(rates=Rates(daily=1000), timezone="Asia/Kolkata", portal=77)
    details = crm.get("/account-info/v3/details")
    assert (details["portalId"], details["timeZone"], details["utcOffset"]) == (77, "Asia/Kolkata", "+05:30")
    row = crm.get("/account-info/v3/api-usage/daily/private-apps/")["results"][0]
    assert (row["usageLimit"], row["currentUsage"]) == (1000, 2)
    assert row["resetsAt"] == "2026-06-01T18:30:00.000Z"

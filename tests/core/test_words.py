"""Rules in plain words keep their meaning: the same parentheses, and no leftovers of how they were read."""

from __future__ import annotations

import pytest

from engage_sync.core.expressions import Type, parse
from engage_sync.core.words import in_words, plain

NAMES = {
    **dict.fromkeys(("e7", "e_prev", "seats", "mrr", "scores.use_trend", "account.mrr"), Type.NUMBER),
    **dict.fromkeys(("b", "segments.at_risk", "types.power", "lapsed_influencer"), Type.BOOLEAN),
    "plan": Type.TEXT,
    "renewal": Type.DATE,
}


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("e7 < 0.5 * (e_prev + mrr)", "e7 below 0.5 × (e prev + mrr)"),
        ("(e7 + e_prev) / seats > 2", "(e7 + e prev) ÷ seats above 2"),
        ("e7 - (e_prev - mrr) > 0", "e7 − (e prev − mrr) above 0"),
        ("e7 >= 3 and (b or mrr <= 2)", "e7 at least 3 and (b or mrr at most 2)"),
        ("mrr is not null", "mrr is known"),
        ("mrr is null or not b", "mrr is unknown or not b"),
        ("b is true", "b is true"),
        ("plan = 'it''s <pro>'", 'plan is "it\'s <pro>"'),
        ("plan ilike '%head of%'", 'plan like "%head of%"'),
        ("renewal < '2026-06-01'", 'renewal below "2026-06-01"'),
        ("nullif(e7, 0) > 1", "nullif(e7, 0) above 1"),
        ("segments.at_risk and scores.use_trend <= -10", "in at risk and use score trend at most −10"),
        ("types.power and account.mrr > 5", "power and account mrr above 5"),
        ("true", "always"),
    ],
)
def test_rules_in_words(rule: str, words: str) -> None:
    assert in_words(parse(rule, NAMES).tree) == words


def test_names_as_people_say_them() -> None:
    assert plain("signals.usage_drop") == "usage drop is on"
    assert plain("scores.engagement") == "engagement score"

"""Random rules over the names that may stand in them (semantics §7), as text. Names have a type; those of a closed set
of texts are only compared with texts of that set. It knows nothing of the product."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

Names = dict[str, list[str]]
"""Type → names: `number`, `text`, `boolean`, `date`, `datetime`; or `choice NAME` → the texts that NAME may have."""

NUMBERS = ("0", "1", "2", "2.5", "3", "5", "10", "-1", "0.5", "7", "40")
TEXTS = ("one", "two", "One", "o", "it''s", "")
PATTERNS = ("o%", "%n_", "ONE", "%", "_", "%''%")
DAYS = ("2026-06-25", "2026-06-27", "2026-06-30", "2026-07-01", "2026-07-05")
INSTANTS = ("2026-06-20", "2026-06-29T12:00:00Z", "2026-06-30T12:00:00+02:00", "2026-06-25T11:59:59.999999Z")
COMPARISONS = ("=", "<>", "<", "<=", ">", ">=")


def number(random: Random, names: Names, depth: int = 1) -> str:
    """Give a numeric expression that reads at least one name."""
    one = random.choice(names["number"])
    if depth == 0 or random.random() < 0.5:
        return one
    other = number(random, names, depth - 1) if random.random() < 0.5 else random.choice(NUMBERS)
    forms = (
        "({} + {})", "({} - {})", "({} * {})", "({} / {})", "coalesce({}, {})", "nullif({}, {})", "least({}, {})",
        "greatest({}, {})", "round({} / 4) + {}", "abs({} - {})", "floor({} / 3 - {})", "ceil({} / 3 + {})",
        "(- {} + {})",
    )  # fmt: skip
    return random.choice(forms).format(one, other)


def about_number(random: Random, names: Names) -> str:
    one, low = number(random, names), random.choice(NUMBERS)
    form = random.choice(("{} {} {}",) * 5 + ("between", "in", "null", "two"))
    if form == "between":
        return f"{one} {random.choice(('', 'not '))}between {low} and {low} + {random.choice(('1', '2', '10'))}"
    if form == "in":
        return f"{one} {random.choice(('', 'not '))}in ({low}, {random.choice(NUMBERS)}, {number(random, names)})"
    if form == "null":
        return f"{one} is {random.choice(('', 'not '))}null"
    right = number(random, names) if form == "two" else low
    return f"{one} {random.choice(COMPARISONS)} {right}"


def about_text(random: Random, names: Names) -> str:
    one, text = random.choice(names["text"]), random.choice(TEXTS)
    forms = (
        "{one} = '{text}'", "{one} <> '{text}'", "{one} in ('{text}', 'two')", "{one} like '{pattern}'",
        "{one} not like '{pattern}'", "{one} ilike '{pattern}'", "upper({one}) = 'ONE'", "length({one}) > 2",
        "{one} is null", "lower({one}) < 'two'", "coalesce({one}, '{text}') = '{text}'",
    )  # fmt: skip
    return random.choice(forms).format(one=one, text=text, pattern=random.choice(PATTERNS))


def about_choice(random: Random, names: Names) -> str:
    name = random.choice([name for name in names if name.startswith("choice ")])
    text, other = random.choice(names[name]), random.choice(names[name])
    forms = ("{0} = '{1}'", "{0} <> '{1}'", "{0} in ('{1}', '{2}')", "{0} not in ('{1}')", "{0} is null")
    return random.choice(forms).format(name.removeprefix("choice "), text, other)


def about_boolean(random: Random, names: Names) -> str:
    one, other = random.choice(names["boolean"]), random.choice(names["boolean"])
    forms = ("{}", "{}", "{} = true", "{} <> {}", "{} is not true", "{} is null", "{} is false", "not {}")
    return random.choice(forms).format(one, other)


def about_date(random: Random, names: Names) -> str:
    kind, texts = random.choice((("date", DAYS), ("datetime", INSTANTS)))
    one = random.choice(names[kind])
    if random.random() < 0.2:
        return f"{one} is null"
    right = random.choice(names[kind]) if random.random() < 0.2 else f"'{random.choice(texts)}'"
    return f"{one} {random.choice(COMPARISONS)} {right}"


def closed(names: Names) -> bool:
    return any(name.startswith("choice ") for name in names)


def rule(random: Random, names: Names, depth: int = 2) -> str:
    """Give a rule over these names."""
    if depth and random.random() < 0.45:
        parts = [rule(random, names, depth - 1) for _ in range(2)]
        form = random.choice(("({}) and ({})", "({}) or ({})", "not ({}) or {}", "not ({0})"))
        return form.format(*parts)
    kinds: Sequence[Callable[[Random, Names], str]] = (
        about_number, about_number, about_text, about_boolean, about_date, *([about_choice] * 2 * closed(names)),
    )  # fmt: skip
    return random.choice(kinds)(random, names)

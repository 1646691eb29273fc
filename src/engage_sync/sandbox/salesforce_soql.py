"""SOQL as text: the subset that a sync uses, parsed into a tree (crm-apis §B3). It knows the grammar, no field and no
record: whether a name exists and a literal fits is the query's business."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime

from engage_sync.sandbox.salesforce_refusal import Denied

LONGEST = 100_000
_TOKEN = re.compile(
    r"""\s*(?:
      (?P<text>'(?:[^'\\]|\\.)*')
    | (?P<datetime>\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d))
    | (?P<date>\d{4}-\d\d-\d\d)(?![\dT])
    | (?P<number>[+-]?\d+(?:\.\d+)?(?![\w.]))
    | (?P<name>[A-Za-z_][\w.]*(?:\:\d+)?)
    | (?P<sign><=|>=|!=|<>|=|<|>|\(|\)|,)
    )""",
    re.VERBOSE,
)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", '"': '"', "'": "'", "\\": "\\", "_": "_", "%": "%"}
_OPERATORS = {"=", "!=", "<>", "<", "<=", ">", ">="}
_WORDS = {"select", "from", "where", "and", "or", "not", "like", "in", "includes", "excludes", "order", "by", "limit"}


@dataclass(frozen=True, slots=True)
class Literal:
    """A literal: `kind` is text, datetime, date, number, boolean or null. A datetime's value is epoch seconds; `raw` is
    the text between the quotes, for LIKE."""

    kind: str
    value: object
    raw: str = ""


@dataclass(frozen=True, slots=True)
class Compare:
    """`field sign literal`; the sign may be `like`."""

    field: str
    sign: str
    literal: Literal


@dataclass(frozen=True, slots=True)
class Among:
    """`field IN (…)`, `NOT IN`, `INCLUDES`, `EXCLUDES`: the words in lower case."""

    field: str
    sign: str
    literals: tuple[Literal, ...]


@dataclass(frozen=True, slots=True)
class Not:
    """`NOT condition`."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class All:
    """Conditions joined by AND."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some:
    """Conditions joined by OR."""

    parts: tuple[Condition, ...]


Condition = Compare | Among | Not | All | Some


@dataclass(frozen=True, slots=True)
class Order:
    """One term of ORDER BY. Nulls come first unless the query says otherwise."""

    field: str
    descending: bool = False
    nulls_first: bool = True


@dataclass(frozen=True, slots=True)
class Query:
    """A parsed query. `count` is `SELECT COUNT()`; then `fields` is empty."""

    fields: tuple[str, ...]
    object: str
    where: Condition | None = None
    order: tuple[Order, ...] = ()
    limit: int | None = None
    offset: int = 0
    count: bool = False


@dataclass(frozen=True, slots=True)
class _Token:
    kind: str
    text: str
    at: int


def parse(text: str) -> Query:
    """Parse a query. Raises Denied (MALFORMED_QUERY and its like)."""
    if len(text) > LONGEST:
        raise Denied(400, "QUERY_TOO_COMPLICATED", f"SOQL statements cannot be longer than {LONGEST} characters.")
    return _Parser(text).query()


class _Parser:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens = self._split(text)
        self.place = 0

    def query(self) -> Query:
        self.word("select")
        fields, count = self.fields()
        self.word("from")
        object_ = self.name()
        where = self.condition() if self.skip("where") else None
        order = self.orders() if self.skip("order") else ()
        limit = self.number("limit") if self.skip("limit") else None
        offset = self.number("offset") if self.skip("offset") else 0
        if self.peek() is not None:
            raise self.wrong()
        if offset > 2000:
            raise Denied(400, "NUMBER_OUTSIDE_VALID_RANGE", "Maximum SOQL offset allowed is 2000")
        return Query(fields, object_, where, order, limit, offset, count)

    def fields(self) -> tuple[tuple[str, ...], bool]:
        first = self.name()
        if first.lower() == "count" and self.skip("("):
            self.sign(")")
            return (), True
        names = [first]
        while self.skip(","):
            names.append(self.name())
        following = self.peek()
        if following is not None and following.text == "(":
            raise self.wrong()
        return tuple(names), False

    def orders(self) -> tuple[Order, ...]:
        self.word("by")
        terms = []
        while True:
            field = self.name()
            descending = not self.skip("asc") and self.skip("desc")
            first = True
            if self.skip("nulls"):
                first = self.skip("first")
                if not first:
                    self.word("last")
            terms.append(Order(field, descending, first))
            if not self.skip(","):
                return tuple(terms)

    def condition(self) -> Condition:
        """Parse conditions joined by one word; AND and OR mix only with parentheses."""
        parts = [self.negated()]
        joined = next((word for word in ("and", "or") if self.skip(word)), None)
        if joined is None:
            return parts[0]
        parts.append(self.negated())
        while self.skip(joined):
            parts.append(self.negated())
        following = self.peek()
        if following is not None and following.text.lower() in ("and", "or"):
            raise self.wrong()
        return All(tuple(parts)) if joined == "and" else Some(tuple(parts))

    def negated(self) -> Condition:
        if self.skip("not"):
            return Not(self.negated())
        if self.skip("("):
            inside = self.condition()
            self.sign(")")
            return inside
        return self.comparison()

    def comparison(self) -> Condition:
        field = self.name()
        token = self.next()
        sign = token.text.lower()
        if token.kind == "sign" and sign in _OPERATORS:
            return Compare(field, "!=" if sign == "<>" else sign, self.literal())
        if sign == "like":
            return Compare(field, "like", self.literal())
        if sign == "not":
            self.word("in")
            return Among(field, "not in", self.literals())
        if sign in ("in", "includes", "excludes"):
            return Among(field, sign, self.literals())
        self.place -= 1
        raise self.wrong()

    def literals(self) -> tuple[Literal, ...]:
        self.sign("(")
        found = [self.literal()]
        while self.skip(","):
            found.append(self.literal())
        self.sign(")")
        return tuple(found)

    def literal(self) -> Literal:
        token = self.next()
        if token.kind == "text":
            raw = token.text[1:-1]
            return Literal("text", self.unescaped(raw), raw)
        if token.kind == "datetime":
            return Literal("datetime", _instant(token.text))
        if token.kind == "date":
            return Literal("date", _day(token.text))
        if token.kind == "number":
            return Literal("number", float(token.text))
        word = token.text.lower()
        if word in ("true", "false"):
            return Literal("boolean", word == "true")
        if word == "null":
            return Literal("null", None)
        self.place -= 1
        raise self.wrong()

    def unescaped(self, raw: str) -> str:
        if "\\" not in raw:
            return raw
        parts, place = [], 0
        while place < len(raw):
            if raw[place] == "\\":
                place += 1
                if raw[place] == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", raw[place + 1 : place + 5]):
                    parts.append(chr(int(raw[place + 1 : place + 5], 16)))
                    place += 5
                    continue
                if raw[place] not in _ESCAPES:
                    raise Denied(
                        400,
                        "MALFORMED_QUERY",
                        f"Invalid string literal '{raw}'. Illegal character sequence '\\{raw[place]}'.",
                    )
                parts.append(_ESCAPES[raw[place]])
            else:
                parts.append(raw[place])
            place += 1
        return "".join(parts)

    # -- tokens

    def _split(self, text: str) -> list[_Token]:
        tokens, at = [], 0
        end = len(text.rstrip())
        while at < end:
            found = _TOKEN.match(text, at)
            if found is None or found.lastgroup is None:
                at += len(text[at:]) - len(text[at:].lstrip())
                shown = text[at : at + 1]
                raise Denied(
                    400,
                    "MALFORMED_QUERY",
                    f"\n{text}\n{' ' * at}^\nERROR at Row:1:Column:{at + 1}\nunexpected token: '{shown}'",
                )
            tokens.append(_Token(found.lastgroup, found[found.lastgroup], found.start(found.lastgroup)))
            at = found.end()
        return tokens

    def peek(self) -> _Token | None:
        return self.tokens[self.place] if self.place < len(self.tokens) else None

    def next(self) -> _Token:
        token = self.peek()
        if token is None:
            raise self.wrong()
        self.place += 1
        return token

    def skip(self, word: str) -> bool:
        token = self.peek()
        if token is not None and token.kind in ("name", "sign") and token.text.lower() == word:
            self.place += 1
            return True
        return False

    def word(self, word: str) -> None:
        if not self.skip(word):
            raise self.wrong()

    sign = word

    def name(self) -> str:
        token = self.next()
        if token.kind != "name" or token.text.lower() in _WORDS or ":" in token.text:
            self.place -= 1
            raise self.wrong()
        return token.text

    def number(self, after: str) -> int:
        token = self.next()
        if token.kind != "number" or not token.text.isdigit():
            self.place -= 1
            raise self.wrong(f" after {after.upper()}")
        return int(token.text)

    def wrong(self, where: str = "") -> Denied:
        token = self.peek()
        if token is None:
            return Denied(400, "MALFORMED_QUERY", f"unexpected token: <EOF>{where}")
        line = f"\n{self.text}\n{' ' * token.at}^\nERROR at Row:1:Column:{token.at + 1}"
        return Denied(400, "MALFORMED_QUERY", f"{line}\nunexpected token: '{token.text}'{where}")


def _instant(text: str) -> float:
    try:
        return datetime.fromisoformat(text).astimezone(UTC).timestamp()
    except ValueError:
        raise Denied(400, "MALFORMED_QUERY", f"Invalid datetime: {text}") from None


def _day(text: str) -> str:
    try:
        return datetime.fromisoformat(text).date().isoformat()
    except ValueError:
        raise Denied(400, "MALFORMED_QUERY", f"Invalid date: {text}") from None

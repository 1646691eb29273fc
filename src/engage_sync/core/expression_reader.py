"""Reading the text of an expression: sqlglot's tokens and syntax tree → an allow-list of node types → the typed tree of
`core/expressions.py`. Whatever is not on the list is refused with its column. It never evaluates anything.

Words that are no operator of ours become plain identifiers before sqlglot parses, so a property may be called
`order` or `case`, and no other keyword (`select`, `current_date`) reaches the parser as such.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Final

from sqlglot import exp, tokenize
from sqlglot.errors import ParseError, TokenError
from sqlglot.parser import Parser
from sqlglot.tokens import Token, TokenType

from engage_sync.core import expression_types as types
from engage_sync.core.expressions import FUNCTIONS, BadExpression, Call, Expression, Literal, Name, Node, Op, Type

MAX_LENGTH: Final = 20_000
MAX_DEPTH: Final = 100

_WORD: Final = re.compile(r"[^\W\d]\w*")
_OPERATORS: Final = {
    TokenType.AND, TokenType.OR, TokenType.NOT, TokenType.IN, TokenType.IS, TokenType.BETWEEN, TokenType.LIKE,
    TokenType.ILIKE, TokenType.NULL, TokenType.TRUE, TokenType.FALSE,
}  # fmt: skip
_ALLOWED: Final = _OPERATORS | {
    TokenType.IDENTIFIER, TokenType.STRING, TokenType.NUMBER, TokenType.L_PAREN, TokenType.R_PAREN,
    TokenType.COMMA, TokenType.DOT, TokenType.EQ, TokenType.NEQ, TokenType.LT, TokenType.LTE, TokenType.GT,
    TokenType.GTE, TokenType.PLUS, TokenType.DASH, TokenType.STAR, TokenType.SLASH,
}  # fmt: skip
_COMPARISONS: Final = {
    exp.EQ: Op.EQ, exp.NEQ: Op.NE, exp.LT: Op.LT, exp.LTE: Op.LE, exp.GT: Op.GT, exp.GTE: Op.GE,
}  # fmt: skip
_ARITHMETIC: Final = {exp.Add: Op.ADD, exp.Sub: Op.SUB, exp.Mul: Op.MUL, exp.Div: Op.DIV}
_CHOICES: Final = {exp.Coalesce: Op.COALESCE, exp.Least: Op.LEAST, exp.Greatest: Op.GREATEST}
_NUMERIC: Final = {exp.Abs: Op.ABS, exp.Round: Op.ROUND, exp.Floor: Op.FLOOR, exp.Ceil: Op.CEIL}
_TEXTUAL: Final = {exp.Lower: Op.LOWER, exp.Upper: Op.UPPER, exp.Length: Op.LENGTH}
_LIKES: Final = {exp.Like: Op.LIKE, exp.ILike: Op.ILIKE}


def read(text: str, names: Mapping[str, Type], open_prefixes: tuple[str, ...]) -> Expression:
    """Read a boolean expression; see `expressions.parse`."""
    if not text.strip():
        raise BadExpression("the expression is empty; write a rule like events > 0", 1)
    if len(text) > MAX_LENGTH:
        raise BadExpression(f"the expression is longer than {MAX_LENGTH:,} characters", MAX_LENGTH + 1)
    if unprintable := re.search("[\x00\ud800-\udfff]", text):
        raise BadExpression("there is a character here that no text may hold", unprintable.start() + 1)
    reader = _Reader(text, names, open_prefixes)
    try:
        syntax = _syntax(text)
        tree = types.boolean(reader.node(syntax), _column(syntax) or 1)
    except RecursionError:
        raise BadExpression(f"parentheses are nested too deeply; at most {MAX_DEPTH} levels", 1) from None
    return Expression(text, tree, frozenset(reader.found))


def _syntax(text: str) -> exp.Expression:
    try:
        tokens = tokenize(text)
    except TokenError:
        raise BadExpression("a quote is opened and not closed; write 'text', a quote inside it as ''", 1) from None
    following = [*tokens[1:], None]
    plain = [_plain(token, after, text) for token, after in zip(tokens, following, strict=True)]
    try:
        parsed = Parser().parse(plain, text)
    except ParseError as error:
        raise _unparsable(error, text) from None
    if len(parsed) != 1 or parsed[0] is None:
        raise BadExpression("write one expression", 1)
    return parsed[0]


def _plain(token: Token, after: Token | None, text: str) -> Token:
    """Turn names into identifiers, keep the operators and functions that are allowed, and refuse any other token."""
    if token.token_type in _ALLOWED:
        return token
    written = text[token.start : token.end + 1]
    if not _WORD.fullmatch(written):
        what = f"{written} is not allowed here; allowed are names, numbers, 'text', comparisons, + - * /, and, or, not"
        raise BadExpression(what, token.start + 1)
    called = after is not None and after.token_type is TokenType.L_PAREN
    if called and written.lower() not in FUNCTIONS:
        what = f"unknown function {written}; did you mean {nearest(written.lower(), FUNCTIONS)}?"
        raise BadExpression(what, token.start + 1)
    kind = TokenType.VAR if called else TokenType.IDENTIFIER
    return Token(kind, written, token.line, token.col, token.start, token.end)


def _unparsable(error: ParseError, text: str) -> BadExpression:
    found = error.errors[0]
    before = sum(len(line) for line in text.splitlines(keepends=True)[: found["line"] - 1])
    marked = found["highlight"]
    column = before + found["col"] - len(marked) + 1
    if found["description"].startswith("Required keyword"):
        return BadExpression(f"something is missing beside {marked}", max(column, 1))
    return BadExpression(f"{marked or text} is not expected here", max(column, 1))


def nearest(name: str, candidates: Iterable[str]) -> str:
    """Give the candidate most like `name`."""
    return difflib.get_close_matches(name, list(candidates), n=1, cutoff=0.0)[0]


def _column(syntax: exp.Expression) -> int | None:
    """Where a part of the text begins, counted from 1; None when sqlglot kept no position for it."""
    starts = [part.meta["start"] for part in syntax.walk() if "start" in part.meta]
    return min(starts) + 1 if starts else None


class _Reader:
    """Walks sqlglot's tree once, collecting the names it meets."""

    def __init__(self, text: str, names: Mapping[str, Type], open_prefixes: tuple[str, ...]) -> None:
        self.text = text
        self.names = names
        self.open_prefixes = open_prefixes
        self.found: set[str] = set()
        self.depth = 0
        self.column = 1  # of the nearest part above that has a position

    def node(self, syntax: exp.Expression) -> Node:
        """Give the typed node of one part of the syntax tree."""
        above, self.column = self.column, _column(syntax) or self.column
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise BadExpression(f"nested too deeply; at most {MAX_DEPTH} levels", self.column)
        read = self._leaf(syntax) or self._operator(syntax) or self._function(syntax)
        if read is None:
            raise BadExpression(self._refusal(syntax), self.column)
        if not read.column:
            read = replace(read, column=self.column)
        self.depth -= 1
        self.column = above
        return read

    def _leaf(self, syntax: exp.Expression) -> Node | None:
        match syntax:
            case exp.Paren():
                return self.node(syntax.this)
            case exp.Column() | exp.Dot():
                return self._name(syntax)
            case exp.Null() | exp.Boolean() | exp.Literal():
                return self._constant(syntax)
        return None

    def _constant(self, syntax: exp.Expression) -> Literal:
        if isinstance(syntax, exp.Null):
            return Literal(None, Type.UNKNOWN)
        if isinstance(syntax, exp.Boolean):
            return Literal(bool(syntax.this), Type.BOOLEAN)
        if syntax.is_string:
            return Literal(str(syntax.this), Type.TEXT)
        return types.literal_number(str(syntax.this), self.column)

    def _operator(self, syntax: exp.Expression) -> Node | None:
        kind, column = type(syntax), self.column
        if kind in (exp.And, exp.Or):
            return self._connected(syntax)
        if kind is exp.Not:
            return Call(Op.NOT, (types.boolean(self.node(syntax.this), column),), Type.BOOLEAN)
        if kind in _LIKES:
            return self._like(syntax, _LIKES[kind])
        if kind in _COMPARISONS:
            return types.compared(_COMPARISONS[kind], self.node(syntax.this), self.node(syntax.expression), column)
        return self._arithmetic(syntax) or self._predicate(syntax)

    def _arithmetic(self, syntax: exp.Expression) -> Node | None:
        kind, column = type(syntax), self.column
        if kind is exp.Neg:
            return types.arithmetic(Op.NEG, [self.node(syntax.this)], column)
        if kind not in _ARITHMETIC:
            return None
        operands = [self.node(syntax.this), self.node(syntax.expression)]
        return types.arithmetic(_ARITHMETIC[kind], operands, column)

    def _connected(self, syntax: exp.Expression) -> Node:
        """Give `a and b and c` as one node, however long: sqlglot nests it to the left."""
        kind = type(syntax)
        parts: list[exp.Expression] = []
        rest: exp.Expression = syntax
        while type(rest) is kind:
            parts.append(rest.expression)
            rest = rest.this
        parts.append(rest)
        nodes = tuple(types.boolean(self.node(part), _column(part) or self.column) for part in reversed(parts))
        return Call(Op.AND if kind is exp.And else Op.OR, nodes, Type.BOOLEAN)

    def _like(self, syntax: exp.Expression, op: Op) -> Node:
        subject = types.text(self.node(syntax.this), self.column)
        pattern = self.node(syntax.expression)
        if not isinstance(pattern, Literal) or not isinstance(pattern.value, str):
            raise BadExpression(f"the pattern of {op} is a text in quotes, like 'admin%'", self.column)
        matched = Call(op, (subject, pattern), Type.BOOLEAN)
        return Call(Op.NOT, (matched,), Type.BOOLEAN) if syntax.args.get("negate") else matched

    def _predicate(self, syntax: exp.Expression) -> Node | None:
        match syntax:
            case exp.Between() if not syntax.args.get("symmetric"):
                value = self.node(syntax.this)
                low = types.compared(Op.GE, value, self.node(syntax.args["low"]), self.column)
                high = types.compared(Op.LE, value, self.node(syntax.args["high"]), self.column)
                return Call(Op.AND, (low, high), Type.BOOLEAN)
            case exp.In() if not syntax.args.get("query") and not syntax.args.get("unnest"):
                if not syntax.expressions:
                    raise BadExpression("the list after in is empty", self.column)
                value = self.node(syntax.this)
                equals = [types.compared(Op.EQ, value, self.node(one), self.column) for one in syntax.expressions]
                return Call(Op.OR, tuple(equals), Type.BOOLEAN)
            case exp.Is():
                return self._is(syntax)
        return None

    def _is(self, syntax: exp.Expression) -> Node:
        value, wanted = self.node(syntax.this), syntax.expression
        if isinstance(wanted, exp.Null):
            return Call(Op.IS_NULL, (value,), Type.BOOLEAN)
        if not isinstance(wanted, exp.Boolean):
            raise BadExpression("after is comes null, true or false, or not before them", self.column)
        truth = Literal(bool(wanted.this), Type.BOOLEAN)
        equal = types.compared(Op.EQ, value, truth, self.column)
        return Call(Op.COALESCE, (equal, Literal(False, Type.BOOLEAN)), Type.BOOLEAN)

    def _function(self, syntax: exp.Expression) -> Node | None:
        kind, column = type(syntax), self.column
        if kind in _CHOICES:
            operands = [self.node(one) for one in (syntax.this, *syntax.expressions) if one is not None]
            return types.alternatives(_CHOICES[kind], operands, column) if operands else None
        if kind is exp.Nullif:
            return types.null_where_equal(self.node(syntax.this), self.node(syntax.expression), column)
        if kind in _NUMERIC:
            return self._numeric(syntax, _NUMERIC[kind])
        if kind in _TEXTUAL and not any(value for key, value in syntax.args.items() if key != "this"):
            subject = types.text(self.node(syntax.this), column)
            return Call(_TEXTUAL[kind], (subject,), Type.NUMBER if kind is exp.Length else Type.TEXT)
        return None

    def _numeric(self, syntax: exp.Expression, op: Op) -> Node:
        operands = [self.node(syntax.this)]
        decimals = syntax.args.get("decimals")
        if decimals is not None:
            operands.append(self._digits(decimals, op))
        return types.arithmetic(op, operands, self.column)

    def _digits(self, syntax: exp.Expression, op: Op) -> Literal:
        digits = self.node(syntax)
        fits = isinstance(digits, Literal) and isinstance(digits.value, float) and digits.value in range(16)
        if op is not Op.ROUND or not fits or not isinstance(digits, Literal):
            raise BadExpression(f"{op} takes one number; round may have its digits, 0 to 15, after it", self.column)
        return digits

    def _name(self, syntax: exp.Expression) -> Node:
        name = ".".join(part.name for part in syntax.parts)
        known = self.names.get(name)
        opened = any(name.startswith(prefix) and len(name) > len(prefix) for prefix in self.open_prefixes)
        if known is None and not opened:
            what = self._unknown(name, quoted=self.text[self.column - 1] == '"')
            raise BadExpression(what, self.column, name)
        self.found.add(name)
        return Name(name, known if known is not None else Type.UNKNOWN)

    def _unknown(self, name: str, *, quoted: bool) -> str:
        if quoted and "." not in name:
            return f"unknown name {name}; text is written in single quotes: '{name}'"
        head, _, rest = name.partition(".")
        opened = [f"{prefix}{rest or head}" for prefix in self.open_prefixes]
        candidates = [*self.names, *opened]
        if not candidates:
            return f"unknown name {name}; no names can be used here"
        return f"unknown name {name}; did you mean {nearest(name, candidates)}?"

    def _refusal(self, syntax: exp.Expression) -> str:
        if isinstance(syntax, exp.Alias):
            return f"{syntax.alias} is not expected after what comes before it; is an operator missing?"
        if isinstance(syntax, tuple({*_CHOICES, *_NUMERIC, *_TEXTUAL, exp.Nullif})):
            return f"the function {type(syntax).__name__.lower()} is not given what it takes"
        return f"{syntax.sql()} is not allowed in an expression"

"""Builds the bands and the scores of a model: weights as exact whole numbers, rules parsed, and what a score is called
in rules and fields. Nothing here scores anybody.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from engage_sync.config.model import ModelBuilder, Path
from engage_sync.config.names import SCORE_FORMS, rule_type
from engage_sync.config.reach import score_forms
from engage_sync.config.verdict_parts import ScoreDefinition
from engage_sync.core.definitions import Entity
from engage_sync.core.expression_ranges import Known
from engage_sync.core.expressions import Type
from engage_sync.core.verdict_rules import BANDS, Band, Rule, RuleScore, Score, ScoreRule, WeightedScore

MOST_DIGITS = 6
"""Digits after the point that a weight may have, so that sums stay exact in 64 bits."""


class ScoreBuilder:
    """Builds the scores of one model; each is readable to the rules that follow once it is built."""

    def __init__(self, builder: ModelBuilder) -> None:
        self.builder = builder
        self.reach = builder.reach
        self.definition = builder.definition
        self.bands = self._bands()

    def build(self, name: str, definition: ScoreDefinition | None) -> Score | None:
        """Build one score; None when it has a problem, or no readable definition."""
        suffix = next((form for form in SCORE_FORMS if form and name.endswith(form)), None)
        if suffix:
            what = f"`{name}` ends like a derived name (`NAME{suffix}` belongs to the score `NAME`); choose another"
            self._note(("scores", name), what)
        if definition is None:
            for entity in Entity:
                self._declare(entity, name, tuple(SCORE_FORMS), known=False)
            return None
        unfit = ("rules",) if definition.kind == "weighted" else ("weights", "window")
        for key in unfit:
            if getattr(definition, key) is not None:
                self._note(("scores", name, key), f"`{key}` does not go with `kind: {definition.kind}`")
        of = Entity(definition.entity)
        built = self._weighted(name, definition) if definition.kind == "weighted" else self._rules(name, of, definition)
        for entity in Entity:
            self._declare(entity, name, score_forms(definition.kind, of, entity))
        return built

    def _note(self, location: Path, what: str) -> None:
        self.builder.problems.at_key(self.builder.document, location, what)

    def _weighted(self, name: str, definition: ScoreDefinition) -> WeightedScore | None:
        location: Path = ("scores", name)
        weights = definition.weights or {}
        if not weights:
            self._note(location, f"the weighted score `{name}` needs `weights`")
        if definition.entity == "account":
            what = "a weighted score is of users; write `entity: user`, and accounts get the mean of their users"
            self._note((*location, "entity"), what)
        fine = [self._fine(weight, (*location, "weights", glob)) for glob, weight in weights.items()]
        if not weights or not all(fine):
            return None
        scale, whole = scaled(weights)
        return WeightedScore(name, whole, definition.window or self.definition.activity.window, scale)

    def _fine(self, weight: Decimal, location: Path) -> bool:
        if digits(weight) <= MOST_DIGITS:
            return True
        what = f"the weight `{weight:f}` has more than {MOST_DIGITS} digits after the point; round it"
        self.builder.problems.at_value(self.builder.document, location, what)
        return False

    def _rules(self, name: str, entity: Entity, definition: ScoreDefinition) -> RuleScore | None:
        location: Path = ("scores", name)
        if not definition.rules:
            self._note(location, f"the score `{name}` needs `rules`")
        seen: set[str] = set()
        found: list[ScoreRule] = []
        for index, rule in enumerate(definition.rules or ()):
            place = (*location, "rules", index)
            if rule.name in seen:
                self._note((*place, "name"), f"the rule `{rule.name}` is given twice")
            seen.add(rule.name)
            fine = self._fine(rule.weight, (*place, "weight"))
            reading = self.reach.reading(entity, "scores", f"scores.{name}")
            when = self.builder.rule(rule.when, (*place, "when"), reading)
            if fine and when is not None:
                found.append(ScoreRule(Rule(rule.name, when, rule.why), rule.weight))
        return RuleScore(name, entity, tuple(found))

    def _declare(self, entity: Entity, name: str, forms: tuple[str, ...], *, known: bool = True) -> None:
        bands = tuple(band.name for band in self.bands)
        for form in forms:
            source, term = f"scores.{name}{form}", SCORE_FORMS[form]
            options = bands if form == "_band" else term.known.options
            self.reach.value(entity, source, term.type, options)
            if known:
                self.reach.add(entity, source, rule_type(term.type), Known(options, term.known.low, term.known.high))
            else:
                self.reach.add(entity, source, Type.UNKNOWN)

    def _bands(self) -> tuple[Band, ...]:
        """Give the bands, the highest first."""
        given = self.definition.bands
        if given is None:
            return BANDS
        if not given:
            self._note(("bands",), "`bands` needs at least one band")
        starts: dict[float, str] = {}
        folded: dict[str, str] = {}
        for name, start in given.items():
            if ";" in name:
                self._note(("bands", name), f"the band `{name}` cannot hold a `;`")
            if name.lower() in folded:
                self._note(("bands", name), f"`{name}` differs only by case from `{folded[name.lower()]}`")
            if not 0 <= start <= 100:
                self._note(("bands", name), f"the band `{name}` must start between 0 and 100")
            elif start in starts:
                self._note(("bands", name), f"the bands `{starts[start]}` and `{name}` start at the same score")
            starts.setdefault(start, name)
            folded.setdefault(name.lower(), name)
        if given and 0 not in starts:
            self._note(("bands",), "the lowest band must start at 0, so that every score has a band")
        return tuple(sorted((Band(name, start) for name, start in given.items()), key=lambda band: -band.start))


def digits(weight: Decimal) -> int:
    """Count the digits after the point."""
    exponent = weight.normalize().as_tuple().exponent
    return max(0, -exponent) if isinstance(exponent, int) else 0


def scaled(weights: Mapping[str, Decimal]) -> tuple[int, tuple[tuple[str, int], ...]]:
    """Give the least power of ten by which all weights are whole, and the weights times it."""
    scale = 10 ** max(digits(weight) for weight in weights.values())
    return scale, tuple((glob, int(weight * scale)) for glob, weight in weights.items())

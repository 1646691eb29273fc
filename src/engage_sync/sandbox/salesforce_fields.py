"""What a field and an object of a Salesforce org are: types, lengths, picklists, who may write them (crm-apis §B11,
B12). Definitions only: no value, no record, no permission of a single user."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

TEXTS = frozenset(
    ("id", "string", "email", "phone", "textarea", "url", "picklist", "multipicklist", "reference", "combobox")
)
NUMBERS = frozenset(("double", "currency", "percent"))
Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Choice:
    """One value of a picklist; what is stored is `value`."""

    value: str
    label: str = ""
    active: bool = True
    default: bool = False


@dataclass(frozen=True, slots=True)
class FieldDef:
    """One field. `type` is as `describe` says it. `length` counts characters (text types), `precision` and `scale` the
    digits of numbers. `formula` computes a read-only value from the record's set values. `read_only` fields are kept by
    the org itself. `required` means that a record cannot be without it."""

    name: str
    label: str
    type: str
    length: int = 0
    precision: int = 0
    scale: int = 0
    custom: bool = False
    required: bool = False
    read_only: bool = False
    create_only: bool = False
    unique: bool = False
    external_id: bool = False
    case_sensitive: bool = False
    choices: tuple[Choice, ...] = ()
    restricted: bool = False
    refers_to: tuple[str, ...] = ()
    relation: str | None = None
    formula: Callable[[Values], object] | None = None
    defaulted: bool = False
    help: str = ""
    metadata: Mapping[str, object] | None = None

    @property
    def calculated(self) -> bool:
        """Whether it is a formula."""
        return self.formula is not None

    @property
    def long(self) -> bool:
        """Whether it is a long text: neither filtered nor sorted by."""
        return self.type == "textarea" and self.length > 255


@dataclass(slots=True)
class ObjectDef:
    """One object: its fields by name, in order. `setup` objects are parts of the org's configuration."""

    name: str
    label: str
    plural: str
    prefix: str
    fields: dict[str, FieldDef] = field(default_factory=dict)
    name_field: str = "Name"
    createable: bool = True
    updateable: bool = True
    deletable: bool = True
    setup: bool = False
    layouts: dict[str, list[str]] = field(default_factory=dict)
    tracked: set[str] = field(default_factory=set)
    """The fields whose changes the org tells of in the object's history; a new org tracks none."""
    lower: dict[str, str] = field(default_factory=dict)
    """Lower-case name → name: Salesforce ignores the case of field names."""

    def __post_init__(self) -> None:
        """Index the names."""
        self.lower = {name.lower(): name for name in self.fields}

    def put(self, one: FieldDef) -> None:
        """Add a field or replace the one of that name."""
        self.fields[one.name] = one
        self.lower[one.name.lower()] = one.name

    def drop(self, name: str) -> None:
        """Take a field away."""
        self.fields.pop(name)
        self.lower.pop(name.lower())

    def find(self, name: str) -> FieldDef | None:
        """Find a field whatever the case of its name."""
        known = self.fields.get(name)
        if known is None:
            exact = self.lower.get(name.lower())
            known = None if exact is None else self.fields[exact]
        return known

    def relation(self, name: str) -> FieldDef | None:
        """Find the reference field of a relationship name (`Account` → AccountId)."""
        wanted = name.lower()
        return next((one for one in self.fields.values() if (one.relation or "").lower() == wanted), None)

    def copy(self) -> ObjectDef:
        """Give a copy that another org may change."""
        return replace(self, fields=dict(self.fields), layouts={name: [*held] for name, held in self.layouts.items()})


def text(name: str, label: str, length: int = 255, **more: object) -> FieldDef:
    """Define a text field."""
    return FieldDef(name, label, "string", length, **more)  # type: ignore[arg-type]  # the names are FieldDef's own


def choices(values: Sequence[str]) -> tuple[Choice, ...]:
    """Define the values of a picklist by their names."""
    return tuple(Choice(value, value) for value in values)

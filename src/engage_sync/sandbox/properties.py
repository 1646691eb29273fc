"""The properties of a CRM object as HubSpot describes them: built-in ones, groups, and the rules for making new ones
(crm-apis §A9). Holds definitions only, never a record's values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from engage_sync.sandbox.refusal import Detail, Refused, not_found

FIELD_TYPES: Mapping[str, frozenset[str]] = {
    "string": frozenset({"text", "textarea", "html", "file", "phonenumber"}),
    "number": frozenset({"number"}),
    "bool": frozenset({"booleancheckbox"}),
    "enumeration": frozenset({"select", "radio", "checkbox", "booleancheckbox"}),
    "date": frozenset({"date"}),
    "datetime": frozenset({"date"}),
}
"""Property type → the field types it may be shown with. A datetime's field type is `date`."""

UNIQUE_PER_OBJECT = 10
NAME = re.compile(r"[a-z][a-z0-9_]{0,99}")


@dataclass(frozen=True, slots=True)
class Option:
    """One option of an enumeration. `value` is what is stored and must match exactly."""

    label: str
    value: str
    order: int = -1
    hidden: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Property:
    """One property. `built_in` ones are HubSpot's own; `read_only` ones refuse every write."""

    name: str
    label: str
    type: str
    field_type: str
    group: str
    description: str = ""
    options: tuple[Option, ...] = ()
    unique: bool = False
    hidden: bool = False
    built_in: bool = False
    read_only: bool = False
    order: int = -1
    created: str = "2020-01-01T00:00:00.000Z"
    updated: str = "2020-01-01T00:00:00.000Z"
    archived: bool = False

    @property
    def several(self) -> bool:
        """Whether a value may hold several options, joined by `;`."""
        return self.type == "enumeration" and self.field_type == "checkbox"


@dataclass(slots=True)
class Group:
    """A property group, as it shows in the CRM's record page."""

    name: str
    label: str
    order: int = -1
    archived: bool = False


@dataclass(slots=True)
class ObjectType:
    """One object of the CRM: what it is called, and its properties and groups. Guarded by the store's lock."""

    name: str
    type_id: str
    singular: str
    modified: str
    """The property that holds the instant of the last change: the cursor property of a search."""
    defaults: tuple[str, ...]
    """The properties of an answer when none were asked for."""
    properties: dict[str, Property] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    first_id: int = 1
    required: tuple[str, ...] = ()
    """The properties without which no record can be created."""

    @property
    def system(self) -> tuple[str, ...]:
        """Give the properties that come with every answer."""
        return ("createdate", self.modified, "hs_object_id")

    def live(self, name: str) -> Property:
        """Give one property that is not archived, or raise the 404."""
        found = self.properties.get(name)
        if found is None or found.archived:
            raise not_found(f"Property {name} does not exist on object type {self.type_id}")
        return found

    def known(self, names: Iterable[str]) -> list[str]:
        """Give those of `names` that exist, each once, in order; HubSpot leaves unknown ones out without a word."""
        return [name for name in dict.fromkeys(names) if name in self.properties and not self.properties[name].archived]

    def add(self, new: Property) -> Property:
        """Create a property. Raises Refused for a bad definition, an existing name (409) or too many unique ones."""
        existing = self.properties.get(new.name)
        if existing is not None and not existing.archived:
            raise Refused(
                f"A property named '{new.name}' already exists.",
                status=409,
                category="OBJECT_ALREADY_EXISTS",
                sub_category="Properties.PROPERTY_WITH_NAME_EXISTS",
                context={"name": [new.name]},
            )
        self._examine(new)
        self.properties[new.name] = new
        return new

    def change(self, changed: Property) -> Property:
        """Replace a property's definition (label, group, options, …), keeping the rules. Raises Refused."""
        before = self.live(changed.name)
        if before.read_only:
            raise Refused(f"Property {before.name} cannot be changed: its definition is read only.")
        if changed.type != before.type and not before.built_in and before.unique:
            raise Refused(f"The type of the unique property {before.name} cannot be changed.")
        self._examine(changed, replacing=True)
        self.properties[changed.name] = changed
        return changed

    def archive(self, name: str) -> None:
        """Archive a property the project made. Raises Refused for a built-in or unknown one."""
        found = self.live(name)
        if found.built_in:
            raise Refused(f"Property {name} is defined by HubSpot and cannot be archived.")
        self.properties[name] = replace(found, archived=True)

    def add_group(self, group: Group) -> Group:
        """Create a property group. Raises Refused (409) when the name is taken."""
        existing = self.groups.get(group.name)
        if existing is not None and not existing.archived:
            raise Refused(
                f"A property group named '{group.name}' already exists.",
                status=409,
                category="OBJECT_ALREADY_EXISTS",
                sub_category="Properties.PROPERTY_GROUP_WITH_NAME_EXISTS",
                context={"name": [group.name]},
            )
        self.groups[group.name] = group
        return group

    def group(self, name: str) -> Group:
        """Give one live group, or raise the 404."""
        found = self.groups.get(name)
        if found is None or found.archived:
            raise not_found(f"Property group {name} does not exist")
        return found

    def _examine(self, new: Property, *, replacing: bool = False) -> None:
        if not NAME.fullmatch(new.name):
            raise _bad(
                new.name, "Property names are lower-case letters, digits and underscores, and start with a letter."
            )
        if new.type not in FIELD_TYPES:
            raise _bad(new.name, f"Type {new.type} is not one of {', '.join(FIELD_TYPES)}.")
        if new.field_type not in FIELD_TYPES[new.type]:
            fitting = ", ".join(sorted(FIELD_TYPES[new.type]))
            raise _bad(new.name, f"Field type {new.field_type} does not fit type {new.type}; use one of {fitting}.")
        if new.group not in self.groups or self.groups[new.group].archived:
            raise _bad(new.name, f"Property group {new.group} does not exist.")
        values = [option.value for option in new.options]
        if len(set(values)) != len(values):
            raise _bad(new.name, "Option values must be unique.")
        if new.several and any(";" in value for value in values):
            raise _bad(new.name, "Option values of a checkbox property must not contain ';'.")
        if new.unique and new.type not in {"string", "number"}:
            raise _bad(new.name, "Only string and number properties can have unique values.")
        if new.unique and not replacing and self._own_unique() >= UNIQUE_PER_OBJECT:
            raise _bad(new.name, f"There are already {UNIQUE_PER_OBJECT} properties with unique values on {self.name}.")

    def _own_unique(self) -> int:
        return sum(p.unique and not p.built_in and not p.archived for p in self.properties.values())


def _bad(name: str, message: str) -> Refused:
    return Refused(message, details=[Detail(message, "INVALID_PROPERTY_DEFINITION", {"propertyName": [name]})])

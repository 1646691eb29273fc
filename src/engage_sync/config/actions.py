"""Builds the actions of signals: a task, a webhook, a CRM field, each with every contradiction as a problem. It calls
nothing and looks up no secret.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal

from engage_sync.config import secrets
from engage_sync.config.model import CrmObjects, Path
from engage_sync.config.problems import Problems, nearest
from engage_sync.config.verdict_parts import Action as ActionDefinition
from engage_sync.config.verdict_parts import FieldAction as FieldDefinition
from engage_sync.config.verdict_parts import Webhook
from engage_sync.config.yaml_lines import Document
from engage_sync.core.definitions import Entity
from engage_sync.core.verdict_rules import Action, FieldAction, TaskAction, WebhookAction

_ADDRESS = re.compile(r"https?://(?:[^/?#@\s]*@)?[^/?#@:\s]+(?::([0-9]{1,5}))?(?:[/?#]\S*)?")
_DECIMALS = Decimal("0.0001")
_WHOLE = Decimal("1e15")
"""From here on a double has no digits after the point that mean anything."""


class ActionBuilder:
    """Builds the actions of one model's signals. What has a problem is left out."""

    def __init__(self, document: Document, connectors: Mapping[str, CrmObjects], problems: Problems) -> None:
        self.document = document
        self.connectors = connectors
        self.problems = problems

    def build(self, definition: ActionDefinition, entity: Entity, location: Path) -> Action | None:
        """Build the action at `location`."""
        given = [key for key in ("crm_task", "webhook", "field") if getattr(definition, key) is not None]
        if len(given) != 1:
            what = "an action is exactly one of `crm_task`, `webhook` and `field`"
            self.problems.at_key(self.document, location, what)
            return None
        if definition.crm_task is not None:
            return TaskAction(definition.crm_task)
        if definition.webhook is not None:
            return self._webhook(definition.webhook, (*location, "webhook"))
        return self._field(definition.field, entity, (*location, "field")) if definition.field else None

    def _webhook(self, webhook: Webhook, location: Path) -> WebhookAction:
        if not _is_address(webhook.url):
            what = "`url` is no address; write https://… or a reference like ${HOOK_URL}"
            self.problems.at_value(self.document, (*location, "url"), what)
        for key, text in (("url", webhook.url), ("secret", webhook.secret or "")):
            if (wrong := secrets.reference_problem(text)) is not None:
                self.problems.at_value(self.document, (*location, key), wrong)
        return WebhookAction(webhook.url, webhook.secret)

    def _field(self, action: FieldDefinition, entity: Entity, location: Path) -> FieldAction | None:
        name = action.connector
        found = self.connectors.get(name)
        if found is None:
            what = f"there is no connectors/{name}.yaml; {nearest(name, self.connectors)}"
            self.problems.at_key(self.document, (*location, "connector"), what)
            return None
        place: Path = (*location, "connector")
        if found.entities is not None and entity not in found.entities:
            what = f"connectors/{name}.yaml has no object with `entity: {entity}` to write `{action.field}` to"
            self.problems.at_value(self.document, place, what)
        elif action.field in found.written.get(entity, ()):
            what = (
                f"`{action.field}` is a managed field of connectors/{name}.yaml, which would write it again; give the "
                f"signal a field of its own, or write the value `signals` there"
            )
            self.problems.at_value(self.document, (*location, "field"), what)
        elif action.field in found.matched.get(entity, ()):
            what = f"records are matched by `{action.field}` in connectors/{name}.yaml; give the signal another field"
            self.problems.at_value(self.document, (*location, "field"), what)
        return FieldAction(name, action.field, canonical(action.value))


def canonical(value: str | int | float | bool | None) -> str | None:
    """Give a constant of a file as the text that is written to a CRM (semantics §9): at most four decimals, no
    exponent; None and empty text clear."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) or value is None:
        return value or None
    exact = Decimal(repr(value))
    text = format(exact if abs(exact) >= _WHOLE else exact.quantize(_DECIMALS, ROUND_HALF_UP), "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text


def _is_address(url: str) -> bool:
    """Tell whether a webhook can be called there, as far as that can be seen without its secrets."""
    if secrets.has_reference(url):
        return url.startswith(("http://", "https://", "${"))
    found = _ADDRESS.fullmatch(url)
    return found is not None and int(found[1] or 1) in range(1, 65_536)

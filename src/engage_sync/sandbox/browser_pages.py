"""What the browser pages of all dialects share: which request is for which page, the templates, and the pieces that a
page shows. Read-only; it knows no record and escapes every value."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

from jinja2 import Environment, PackageLoader

from engage_sync.sandbox.wire import Answer, Call


@dataclass(frozen=True, slots=True)
class Shown:
    """A value ready for the page: `kind` is text, link, chips or empty; `parts` its texts."""

    label: str
    kind: str
    parts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One entry of the history: when, who, which field, from what to what."""

    at: str
    who: str
    field: str
    before: str | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Hit:
    """One row of a list: where it leads, its title, a second line, and the values of our card."""

    path: str
    title: str
    note: str
    chips: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Todo:
    """One task of a record: what to do, why, until when, for whom ("" where nobody is named), and its state."""

    subject: str
    body: str
    due: str
    owner: str
    state: str


class BrowserPages(ABC):
    """The pages of one dialect. A template that is given `todos` (a list of `Todo`) shows them."""

    def __init__(self) -> None:
        self._templates = Environment(
            loader=PackageLoader("engage_sync.sandbox"), autoescape=True, trim_blocks=True, lstrip_blocks=True
        )

    def answer(self, request: Call) -> Answer:
        """Answer one page: `/`, or what `inner` makes of any other path."""
        parts = request.segments()
        if request.method != "GET":
            return self.missing(f"{request.method} is not for pages", 405)
        return self.inner(request, parts) if parts else self.home((request.one("q") or "").strip())

    @abstractmethod
    def home(self, query: str) -> Answer:
        """Show the records, or those that a search finds."""

    @abstractmethod
    def inner(self, request: Call, parts: Sequence[str]) -> Answer:
        """Show the page at a path of one part or more."""

    def missing(self, what: str, status: int = 404) -> Answer:
        """Say that there is no such page."""
        return self.page("missing.html", status, what=what)

    def page(self, template: str, status: int, **values: object) -> Answer:
        """Fill a template."""
        page = self._templates.get_template(template).render(**values)
        return Answer(status, page.encode(errors="replace"), kind="text/html; charset=utf-8")

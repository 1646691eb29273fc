"""Holds a connector from elsewhere to the promises of the seam: a wrong return value, an outcome nobody asked for or an
exception of no declared kind becomes one sentence that names the connector and the step. It changes nothing else, and
it does not look for outcomes that are missing: `wrappers.Retrying` asks again for those and counts them as failed.
"""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from pydantic import BaseModel

from engage_sync.connectors.base import (
    Author,
    Change,
    Connector,
    Cursor,
    Field,
    FieldSpec,
    Kind,
    Lack,
    Memory,
    Outcome,
    Page,
    Provisioned,
    Record,
    Schema,
    Status,
)
from engage_sync.connectors.wrapper import Wrapper
from engage_sync.errors import EngageError, Misbehaved, Mistake

Result = TypeVar("Result")
_TEXT_OR_NONE = frozenset({str, type(None)})
_TRUTH_OR_NONE = frozenset({bool, type(None)})


def build(found: type[Connector], settings: BaseModel, memory: Memory) -> Connector:
    """Build a connector; one that cannot be built is a Mistake. One of another package is held to its promises."""
    if found.__module__.partition(".")[0] == "engage_sync":
        return found(settings, memory)  # type: ignore[call-arg]
    try:
        return Promised(found(settings, memory))  # type: ignore[call-arg]
    except EngageError:
        raise
    except Exception as error:
        what = f"{type(error).__name__} {_place(error, found.__module__)}"
        raise Mistake(
            f"the connector type `{found.name}` cannot be built from its settings and a memory: {what}; "
            f"that is a mistake in {_top(found.__module__)}, tell its author"
        ) from error


class Promised(Wrapper):
    """Checks what each step gives and how it fails."""

    def check(self) -> Schema:
        """Describe; the answer is a Schema of Fields."""
        schema = self._step("check", self.inner.check)
        self._is(schema, Schema, "check")
        if not isinstance(schema.account, str) or not isinstance(schema.objects, Mapping):
            self._broken("check", "gave a Schema whose `account` is no text or whose `objects` is no mapping")
        if not isinstance(schema.missing, Sequence) or not all(isinstance(one, Lack) for one in schema.missing):
            self._broken("check", "gave a Schema whose `missing` is no list of Lacks")
        for name, fields in schema.objects.items():
            if not isinstance(fields, Mapping) or not all(isinstance(one, Field) for one in fields.values()):
                self._broken("check", f"described {name} by something else than Fields by name")
        return schema

    def account(self) -> str:
        """Name the account; the answer is text."""
        told = self._step("account", self.inner.account)
        if not isinstance(told, str):
            self._broken("account", f"gave {_kind_of(told)} and no text")
        return told

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        """Fetch one page; values are text, and the cursor moves on."""
        page = self._page("pull", self._step("pull", lambda: self.inner.pull(kind, cursor)))
        if not isinstance(page.cursor, str):
            self._broken("pull", f"gave a cursor that is {_kind_of(page.cursor)} and no text")
        if not page.done and page.cursor == cursor:
            self._broken("pull", "gave a page that is not the last one, with the cursor it was asked with")
        return page

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Write; each outcome is about a change that waits for one."""
        waiting = {change.record for change in changes}
        answered: set[str] = set()
        outcomes = self._step("push", lambda: self.inner.push(kind, changes))
        if not isinstance(outcomes, Iterable):
            self._broken("push", f"gave {_kind_of(outcomes)} and no outcomes; yield one Outcome for each change")
        following = iter(outcomes)
        ended = object()
        while (outcome := self._step("push", lambda: next(following, ended))) is not ended:
            if not isinstance(outcome, Outcome):
                self._broken("push", f"gave {_kind_of(outcome)} and no Outcome")
            if not isinstance(outcome.status, Status):
                self._broken("push", f"gave an outcome whose status is {_kind_of(outcome.status)} and no Status")
            if not isinstance(outcome.record, str):
                self._broken("push", f"gave an outcome whose record is {_kind_of(outcome.record)} and no text")
            if outcome.record in answered:
                self._broken("push", f"gave two outcomes for the record {outcome.record}")
            if outcome.record not in waiting:
                self._broken("push", f"gave an outcome for the record {outcome.record!r}, which has no change")
            answered.add(outcome.record)
            yield outcome

    def read(self, kind: Kind, ids: Sequence[str]) -> Page:
        """Read; values are text."""
        return self._page("read", self._step("read", lambda: self.inner.read(kind, ids)))

    def provision(self, fields: Sequence[FieldSpec]) -> list[Provisioned]:
        """Create fields; every one of them is told of."""
        done = self._step("provision", lambda: self.inner.provision(fields))
        if not isinstance(done, Sequence) or not all(isinstance(one, Provisioned) for one in done):
            self._broken("provision", "gave something else than a list of Provisioned")
        told = {(one.spec.object, one.spec.name) for one in done}
        if silent := [spec.name for spec in fields if (spec.object, spec.name) not in told]:
            self._broken("provision", f"did not say what became of {', '.join(silent)}")
        return done

    def probe(self, objects: Sequence[str]) -> Sequence[Lack]:
        """Find out; what is found are lacks."""
        found = self._step("probe", lambda: self.inner.probe(objects))
        if not isinstance(found, Sequence) or not all(isinstance(one, Lack) for one in found):
            self._broken("probe", "gave something else than Lacks")
        return found

    def authors(self, kind: Kind, fields: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Author]:
        """Tell who set some fields; each is one that was asked about."""
        told = self._step("authors", lambda: self.inner.authors(kind, fields))
        if not isinstance(told, Mapping) or not all(isinstance(one, Author) for one in told.values()):
            self._broken("authors", "gave something else than Authors by record and field")
        if strange := sorted(map(str, told.keys() - set(fields))):
            self._broken("authors", f"told of {strange[0]}, which nobody asked about")
        for author in told.values():
            if not {type(author.name), type(author.at)} <= _TEXT_OR_NONE:
                self._broken("authors", "gave an Author whose name or instant is no text")
            if not {type(author.human), type(author.ours)} <= _TRUTH_OR_NONE or type(author.of_record) is not bool:
                self._broken("authors", "gave an Author whose human, ours or of_record is no truth")
        return told

    def close(self) -> None:
        """Release connections."""
        self._step("close", self.inner.close)

    def _page(self, step: str, page: Page) -> Page:
        self._is(page, Page, step)
        if not isinstance(page.records, Sequence):
            self._broken(step, f"gave {_kind_of(page.records)} as the records of a page, and no list")
        for record in page.records:
            self._is(record, Record, step)
            if not isinstance(record.id, str) or not isinstance(record.updated_at, str):
                self._broken(step, f"gave the record {record.id!r}, whose id and updated_at must be text")
            if not isinstance(record.values, Mapping) or not all(isinstance(name, str) for name in record.values):
                self._broken(step, f"gave the record {record.id}, whose values are no mapping of field names")
            if not set(map(type, record.values.values())) <= _TEXT_OR_NONE:
                name, value = next(one for one in record.values.items() if type(one[1]) not in _TEXT_OR_NONE)
                self._broken(step, f"gave {_kind_of(value)} as {name} of the record {record.id}, and not text or None")
        if (
            not _ids(page.vanished)
            or not isinstance(page.merged, Mapping)
            or not _ids([*page.merged.items()], pairs=True)
        ):
            self._broken(step, "gave a page whose `vanished` is no list of ids or whose `merged` is no mapping of ids")
        return page

    def _step(self, step: str, call: Callable[[], Result]) -> Result:
        try:
            return call()
        except EngageError:
            raise
        except Exception as error:
            what = f"raised {type(error).__name__} {_place(error, type(self.inner).__module__)}"
            only = "a connector raises Transient, LoginFailed or Misbehaved, and a refused record is an outcome"
            raise self._error(step, f"{what}; {only}", traceback.format_exc()) from error

    def _is(self, value: object, wanted: type, step: str) -> None:
        if not isinstance(value, wanted):
            self._broken(step, f"gave {_kind_of(value)} and no {wanted.__name__}")

    def _broken(self, step: str, what: str) -> NoReturn:
        raise self._error(step, what, None)

    def _error(self, step: str, what: str, answer: str | None) -> Misbehaved:
        module = type(self.inner).__module__
        return Misbehaved(f"the connector {self.name}: {step} {what}. This is a mistake in {_top(module)}", answer)


def _kind_of(value: object) -> str:
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _top(module: str) -> str:
    return module.partition(".")[0]


def _ids(found: object, *, pairs: bool = False) -> bool:
    """Tell whether something is a list of ids, or of pairs of ids."""
    if not isinstance(found, Sequence) or isinstance(found, str):
        return False
    flat = [one for pair in found for one in pair] if pairs else found
    return all(isinstance(one, str) for one in flat)


def _place(error: Exception, module: str) -> str:
    """Say where in the connector's own code it happened; the error's text is left out, for it may hold a secret."""
    frames = [
        (frame.f_globals.get("__name__", ""), frame.f_code.co_filename, line)
        for frame, line in traceback.walk_tb(error.__traceback__)
    ]
    own = [(file, line) for name, file, line in frames if _top(str(name)) == _top(module)]
    file, line = own[-1] if own else (frames[-1][1], frames[-1][2])
    return f"at {Path(file).name}:{line}"

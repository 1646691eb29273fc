"""The connector seam: one class per CRM, three required methods and three with a default, each one step long.

Values cross this seam as text or None (None and "" both mean empty), whatever the CRM's own type: numbers as digits,
booleans `true`/`false`, dates `YYYY-MM-DD`, instants ISO 8601 with `Z`, several options joined by `;`. The connector
turns them into its wire form and back. Cursors are opaque outside the connector. Retry, throttling, read-only and
observation are wrappers with this same interface (`wrappers.py`), never part of a connector.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import ClassVar, NewType, Protocol

from pydantic import BaseModel

from engage_sync.core.definitions import ValueType
from engage_sync.errors import EngageError, Suspended

Cursor = NewType("Cursor", str)
"""Where the next page starts. Text that only the connector that made it can read; safe to store and to repeat."""


class Role(StrEnum):
    """What an object of a CRM stands for."""

    CONTACT = "contact"
    ACCOUNT = "account"
    TASK = "task"


@dataclass(frozen=True, slots=True)
class Kind:
    """One CRM object as the project uses it: its name there (`contacts`, `Account`), its role, the fields to read."""

    object: str
    role: Role
    fields: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `calls` within any `interval` seconds. Kinds of call with the same `window` name share one count."""

    window: str
    calls: int
    interval: float
    told: bool = True
    """Whether answers carry the true limit, which then replaces this one."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a CRM can do, as data."""

    push_batch: int
    """Records in one write call."""
    in_flight: int
    """Calls open at the same time."""
    objects: Mapping[str, Role]
    """The objects this connector can manage."""
    further_emails: Mapping[str, str] = field(default_factory=dict)
    """Object → field that holds a record's further e-mail addresses, joined by `;`. Always pulled."""
    record_urls: Mapping[str, str] = field(default_factory=dict)
    """Object → where a person opens a record; in it `{account}` and `{site}` (of the `Schema`) and `{record}`."""
    datetime_digits: int = 3
    """Digits below the second that a datetime field keeps."""
    whole_above: int | None = None
    """A push of more records than this is handed over whole, not in batches: the CRM has a bulk way for it."""
    whole_calls: int = 1
    """Write calls that a push handed over whole takes."""
    whole_lasts: float = 0.0
    """Seconds after which nothing of such a push is under way any more, for all that is known without an answer."""
    locked_with: Mapping[str, str] = field(default_factory=dict)
    """Object → field that names the record which writing a record locks, too. Always pulled; a push is in its order."""
    tasks: str | None = None
    """The object whose records are tasks, for `Kind(tasks, Role.TASK)`; None: this connector creates none."""
    rates: Mapping[CallKind, Rate] = field(default_factory=dict)
    """How fast calls of a kind may be sent. A kind that is not named is not held back."""
    day_rolls: bool = False
    """The day's quota counts the last 24 hours; else it resets at midnight in the account's time zone."""
    call_seconds: float = 0.5
    """Seconds that a full write call usually takes."""
    whole_rows: float = 500.0
    """Records a second of a push that is handed over whole, usually."""
    whole_looks: int = 0
    """Calls beside `whole_calls` that such a push usually takes: waiting for its end, reading what became of it."""


@dataclass(frozen=True, slots=True)
class Record:
    """One live record as pulled. A field asked for and unset is None; one that the CRM left out is absent."""

    id: str
    values: Mapping[str, str | None]
    updated_at: str


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a pull. `vanished` are ids deleted or archived since; `merged` maps a lost id to its survivor's id.

    `cursor` resumes after this page, or, when `done`, starts the next increment. A record may come again in a later
    page or pull (overlap): the same id replaces. `expected` is the CRM's own count of records to come, when it tells.
    """

    records: Sequence[Record]
    vanished: Sequence[str]
    merged: Mapping[str, str]
    cursor: Cursor
    done: bool
    expected: int | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """New values for some fields of one record, absolute. None clears.

    Of a task `record` is its idempotency key: pushed again, also by another process, the task is not created again. Its
    values are `subject`, `body`, `object` and `about` (the object and id of the record it is about), `due` (an instant)
    and `tried` (`true` when an earlier push may have created it). The outcome's values hold its `id`.
    """

    record: str
    values: Mapping[str, str | None]


class Status(StrEnum):
    """How one record's change ended."""

    WRITTEN = "written"
    REFUSED = "refused"
    """The CRM answered no for this record, for a reason that repeating does not mend."""
    FAILED = "failed"
    """No answer, or an answer that says try later, after all retries."""
    GONE = "gone"
    """The record does not exist any more."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one `Change`. `code` and `message` are the CRM's own words; `request` its correlation id.

    `values` are the fields as the CRM now holds them where the answer said so (else empty). `moved_to` is the id of the
    record that the change really reached, when the CRM answers for another id (a merged record). `updated_at` is the
    record's last change as the answer to the write tells it, written as `Record.updated_at` is.
    """

    record: str
    status: Status
    code: str | None = None
    message: str | None = None
    request: str | None = None
    values: Mapping[str, str | None] = field(default_factory=dict)
    moved_to: str | None = None
    updated_at: str | None = None


@dataclass(frozen=True, slots=True)
class Field:
    """One field as the CRM describes it. `type` is None when the CRM's own type (`native`) has no counterpart here.

    `length` is in characters, `whole` and `decimals` the digits before and after the point, `blank` the text that
    stands for empty in a field that is never empty (a checkbox). A `trimmed` field cuts white space at both ends. A
    field that exists but is hidden from the credentials is not `readable`,
    and nothing else of it is known.
    """

    name: str
    label: str
    type: ValueType | None
    native: str
    readable: bool = True
    writable: bool = True
    unique: bool = False
    options: tuple[str, ...] | None = None
    length: int | None = None
    whole: int | None = None
    decimals: int | None = None
    blank: str | None = None
    trimmed: bool = False


@dataclass(frozen=True, slots=True)
class Lack:
    """A permission that a first run will need and the credentials lack: what is missing, and what an admin must do.

    `object` is the one object that it is about, None when it is about all.
    """

    problem: str
    todo: str
    object: str | None = None


@dataclass(frozen=True, slots=True)
class Schema:
    """What `check` found: the fields of each object by name, and what the credentials may not do.

    `account` names the CRM account (portal or org id); `site` is where its people work, the start of record addresses.
    An object that the credentials cannot see is absent. `advice` are sentences for an admin about what hinders no
    write: fields that stand on no page. `timezone` is the account's, an IANA name, '' where the CRM does not tell.
    `at` is the CRM's own clock at that moment (ISO 8601), '' where it does not tell.
    """

    account: str
    objects: Mapping[str, Mapping[str, Field]]
    missing: Sequence[Lack] = ()
    site: str = ""
    advice: Sequence[str] = ()
    timezone: str = ""
    at: str = ""


@dataclass(frozen=True, slots=True)
class Guide:
    """Where an admin clicks, for the to-do list of `check`. Each is a sentence; `{object}` and `{field}` are filled in.

    `create` is about a field that `provision` cannot make for us, `reveal` about one hidden from the credentials.
    """

    create: str = "create the field {field} of {object}"
    reveal: str = "give the credentials read access to {object}.{field}"
    unlock: str = "give the credentials write access to {object}.{field}, or map another field"
    options: str = "add the options to {object}.{field}"
    unique: str = "let {object}.{field} hold unique values only"
    object: str = "give the credentials access to {object}"
    makes: str = ".*"
    """A pattern of the whole names that `provision` can make, and whose options it can add."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """A field that a project wants to exist."""

    object: str
    name: str
    label: str
    type: ValueType
    options: tuple[str, ...] = ()
    unique: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class Provisioned:
    """What `provision` did for one field: `created`, `options added`, `exists`, or `refused` with the CRM's words."""

    spec: FieldSpec
    result: str
    message: str | None = None


@dataclass(frozen=True, slots=True)
class Author:
    """Who set the value that stands in a field, as far as the CRM tells.

    `name` is for people to read. `at` is ISO 8601 in UTC. `human`: a person, or (False) surely none, as an integration
    or a workflow is. `ours`: the login that we write with, or (False) surely somebody else. `of_record`: all this is of
    the record's last change, which may have been about another field.
    """

    name: str | None = None
    at: str | None = None
    human: bool | None = None
    ours: bool | None = None
    of_record: bool = False


class Memory(Protocol):
    """Text a connector must not forget (rotated tokens, job ids). Committed at once, encrypted at rest."""

    def get(self, key: str) -> str | None:
        """Give what was put under `key`, or None."""

    def put(self, key: str, value: str | None) -> None:
        """Keep `value` under `key`; None forgets it."""


class CallKind(StrEnum):
    """What a call costs: HubSpot counts searches apart, and `login` calls change nothing."""

    READ = "read"
    SEARCH = "search"
    WRITE = "write"
    LOGIN = "login"


@dataclass(frozen=True, slots=True)
class Quota:
    """What an answer said about limits: `limit` calls per `interval` seconds with `remaining` left, and the day's.

    `closed` is why no further call is worth sending for a long while.
    """

    limit: int | None = None
    remaining: int | None = None
    interval: float | None = None
    daily_limit: int | None = None
    daily_remaining: int | None = None
    closed: Suspended | None = None


class Turnstile:
    """Every HTTP call of a connector passes here: `enter` before it is sent, `leave` after its answer or failure.

    This one lets everything pass. `throttle.py` has the one that waits; the observing one counts. A wrapper installs it
    by setting `Connector.turnstile`.
    """

    def enter(self, kind: CallKind) -> None:
        """Wait until a call of this kind may be sent."""

    def leave(
        self, kind: CallKind, *, status: int | None, quota: Quota | None = None, pause: float | None = None
    ) -> None:
        """Say how the call ended: HTTP `status` (None without an answer), the quota told, seconds to pause all."""

    def pause(self, seconds: float) -> None:
        """Wait, as for a job of the CRM's. Use it in place of `time.sleep`: what ends the process ends it, too."""
        time.sleep(seconds)


class Connector(ABC):
    """One CRM account. Built from its validated settings and a memory; opens its connections lazily."""

    name: ClassVar[str]
    Settings: ClassVar[type[BaseModel]]
    limits: ClassVar[Limits]
    guide: ClassVar[Guide] = Guide()
    turnstile: Turnstile
    quota_key: str = ""
    """Names the quota that the calls count against, without a secret: equal keys share one throttle in a process."""

    @abstractmethod
    def check(self) -> Schema:
        """Log in and describe the objects in `limits.objects`. Raises LoginFailed, Transient, Misbehaved."""

    @abstractmethod
    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        """Fetch ONE page of what changed after `cursor` (None: all). Raises Transient, LoginFailed, Misbehaved."""

    @abstractmethod
    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Write up to `limits.push_batch` changes (more than `limits.whole_above`: any number), giving exactly one
        outcome for each as they come.

        Raises Transient, LoginFailed or Misbehaved when the call as a whole failed; changes answered before stand.
        """

    def account(self) -> str:
        """Name the CRM account that the credentials reach, as `check` does, with as few calls as can be."""
        return self.check().account

    def read(self, kind: Kind, ids: Sequence[str]) -> Page:  # noqa: ARG002  (for those that override it)
        """Read the live values of some records, up to `limits.push_batch` ids; ids not found come as vanished."""
        raise Unsupported(f"{self.name} cannot read single records")

    def provision(self, fields: Sequence[FieldSpec]) -> list[Provisioned]:
        """Create the fields and options that do not exist yet. Existing ones are left as they are."""
        raise Unsupported(f"{self.name} cannot create fields; an admin must ({', '.join(f.name for f in fields)})")

    def probe(self, objects: Sequence[str]) -> Sequence[Lack]:  # noqa: ARG002  (the same)
        """Find out by calls that change nothing what a first write would be refused for, where `check` cannot tell."""
        return ()

    def authors(
        self,
        kind: Kind,  # noqa: ARG002  (the same)
        fields: Sequence[tuple[str, str]],  # noqa: ARG002  (the same)
    ) -> Mapping[tuple[str, str], Author]:
        """Tell who set some fields, each a record's id and a field's name; what is not known is left out.

        For up to 100 fields in at most two calls. Raises as `read` does; the caller then goes on without.
        """
        return {}

    def close(self) -> None:
        """Release connections. May be called twice."""
        return


class Unsupported(EngageError):
    """An optional ability that a connector lacks."""

    exit_code = 2

"""A Salesforce sandbox to write to: our fields of every kind, people in it, and a push as one process would make it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from engage_sync.connectors.base import Change, Field, Kind, Outcome, Role, Status
from engage_sync.connectors.salesforce_bulk import settle
from engage_sync.connectors.salesforce_fields import Shape, describe_object
from engage_sync.connectors.salesforce_http import TIMEOUT, Transport
from engage_sync.connectors.salesforce_push import USUAL, Sizes, push
from engage_sync.connectors.salesforce_settings import SalesforceSettings
from engage_sync.core.definitions import ValueType
from engage_sync.sandbox.faults import Fault
from engage_sync.sandbox.salesforce_fields import FieldDef, choices
from engage_sync.sandbox.salesforce_server import SalesforceOptions, SalesforceSandbox, start
from tests.connectors.sandboxed import Memory
from tests.connectors.scripted import Scripted

OPTIONS = ("active", "power", "zombie")
FIELDS = (
    FieldDef("Score__c", "Score", "double", precision=18, scale=4, custom=True),
    FieldDef("Champion__c", "Champion", "boolean", custom=True, defaulted=True),
    FieldDef("Types__c", "Types", "multipicklist", 4_099, custom=True, choices=choices(OPTIONS), restricted=True),
    FieldDef("Seen__c", "Seen", "datetime", custom=True),
    FieldDef("Renewal__c", "Renewal", "date", custom=True),
    FieldDef("Note__c", "Note", "textarea", 32_768, custom=True),
    FieldDef("External__c", "External", "string", 100, custom=True, unique=True, external_id=True),
    FieldDef("Formula__c", "Formula", "string", 100, custom=True, formula=lambda values: "computed"),
)
JOBS = "*/jobs/ingest"
JOB = f"{JOBS}/*"
FEW = Sizes(whole_above=5)
"""Jobs for any number of changes that a test makes."""

Values = Mapping[str, str | None]


@contextmanager
def org(**options: object) -> Iterator[SalesforceSandbox]:
    """Run a sandbox whose objects have our fields."""
    with start(options=SalesforceOptions(**options)) as running:
        for object_ in ("Contact", "Account", "Lead"):
            for field in FIELDS:
                running.store.add_field(object_, field)
        yield running
        assert running.bugs == []


def people(crm: SalesforceSandbox, count: int, object_: str = "Contact") -> list[str]:
    """Create records and give their ids."""
    more = {"Lead": {"Company": "Acme"}}.get(object_, {})
    name = "Name" if object_ == "Account" else "LastName"
    return crm.store.create_many(object_, [{name: f"p{number}", **more} for number in range(count)])


class Process:
    """What one process of ours is to the org. Another process shares its `memory` only."""

    def __init__(
        self,
        crm: SalesforceSandbox,
        memory: Memory | None = None,
        *,
        sizes: Sizes = FEW,
        timeout: tuple[float, float] = TIMEOUT,
    ) -> None:
        auth = {"login_url": crm.base_url, "client_id": crm.client_id, "client_secret": crm.client_secret}
        self.crm, self.sizes = crm, sizes
        self.memory = Memory() if memory is None else memory
        self.http = Transport(SalesforceSettings.model_validate({"auth": auth}), timeout=timeout)
        self.pauses: list[float] = []
        self.now = 0.0

    def another(self) -> Process:
        """Give the process that starts after this one died."""
        return Process(self.crm, self.memory, sizes=self.sizes)

    def push(self, changes: Mapping[str, Values] | Sequence[Change], object_: str = "Contact") -> dict[str, Outcome]:
        """Push, and give the outcome of each change, which must be exactly one."""
        asked = [Change(*one) for one in changes.items()] if isinstance(changes, Mapping) else list(changes)
        ends: list[Outcome] = []
        self.push_into(ends, asked, object_)
        assert Counter(end.record for end in ends) == Counter(change.record for change in asked)
        return {end.record: end for end in ends}

    def push_into(self, ends: list[Outcome], asked: Sequence[Change], object_: str = "Contact") -> None:
        """Push, keeping the outcomes that come before an error."""
        kind = Kind(object_, Role.ACCOUNT if object_ == "Account" else Role.CONTACT)
        shape = describe_object(self.http, object_)
        self.crm.calls.clear()
        for end in push(
            self.http, kind, asked, shape, self.memory, sleep=self._pause, clock=self._clock, sizes=self.sizes
        ):
            ends.append(end)

    def settle(self, object_: str = "Contact") -> None:
        """Settle what an earlier process left behind."""
        settle(self.http, self.memory, object_, sleep=self._pause, clock=self._clock)

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds

    def _clock(self) -> float:
        return self.now


def changes(ids: Sequence[str], **values: str | None) -> dict[str, Values]:
    """Give the same change for many records."""
    return dict.fromkeys(ids, values)


def statuses(ends: Mapping[str, Outcome]) -> dict[Status, int]:
    """Count outcomes."""
    return dict(Counter(end.status for end in ends.values()))


def called(crm: SalesforceSandbox, method: str, ending: str) -> int:
    """Count calls by the end of their path."""
    return sum(call.method == method and call.path.rstrip("/").endswith(ending) for call in crm.calls.all())


def jobs(crm: SalesforceSandbox) -> list[str]:
    """Give the states of all ingest jobs."""
    process = Process(crm)
    answer = process.http.get("jobs/ingest")
    assert isinstance(answer, dict)
    return sorted(str(row["state"]) for row in answer["records"])


def fault(name: str, **more: object) -> Fault:
    """Give a fault."""
    return Fault(name, **more)  # type: ignore[arg-type]  # the names are Fault's own


def scripted_transport(server: Scripted) -> Transport:
    """Give a way to a scripted server, with a session that is open already."""
    given = {"auth": {"session_id": "secret-session"}, "instance_url": server.url}
    return Transport(SalesforceSettings.model_validate(given))


def scripted_push(
    server: Scripted, changes: Mapping[str, Values], *, sizes: Sizes = USUAL, memory: Memory | None = None
) -> list[Outcome]:
    """Push contacts to a scripted server."""
    names = {name for values in changes.values() for name in values}
    kinds = {name: (ValueType.NUMBER, "double") if name == "Score__c" else (ValueType.TEXT, "string") for name in names}
    shape = Shape("Contact", {n: Field(n, n, *kinds[n]) for n in names}, queryable=True, updateable=True)
    asked = [Change(*one) for one in changes.items()]
    http = scripted_transport(server)
    return list(
        push(http, Kind("Contact", Role.CONTACT), asked, shape, memory if memory is not None else Memory(), sizes=sizes)
    )

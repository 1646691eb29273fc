"""The Salesforce stand-in on a loopback socket: its options and how it is started. It holds no rule of Salesforce's
(`salesforce.py` does) and no socket (`standin.py` does)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from engage_sync.sandbox.fault_kinds import SALESFORCE
from engage_sync.sandbox.faults import Ending, Fault
from engage_sync.sandbox.salesforce import Salesforce
from engage_sync.sandbox.salesforce_faults import strike
from engage_sync.sandbox.salesforce_login import Sessions, private_key
from engage_sync.sandbox.salesforce_org import Org, Usage
from engage_sync.sandbox.salesforce_pages import SalesforcePages
from engage_sync.sandbox.salesforce_seed import SalesforceSeed, plant
from engage_sync.sandbox.salesforce_store import ORG, USERNAME, SalesforceStore
from engage_sync.sandbox.standin import StandIn
from engage_sync.sandbox.wire import Answer, Call

CLIENT_ID = "3MVG9sandboxEngageSync"
CLIENT_SECRET = "sandbox-secret"  # noqa: S105  (a stand-in has nothing to protect)


@dataclass(frozen=True, slots=True)
class SalesforceOptions:
    """How a stand-in behaves. `latency` is seconds per call; `tick` the monotonic clock, `clock` the wall clock of
    records, sessions and limits. `page` is the most rows of a query page, `session_life` and `locator_life` seconds.

    With `field_security` new fields are invisible until granted. `bulk_delay_polls` questions pass before a job tells
    that it is over. `duplicate_rules` refuse a person whose e-mail another person has. With `may_customize` false the
    user may neither make fields nor grant them. `lock_hold` is how many seconds a collection call holds its parent
    accounts before it writes; rows whose parent another call holds fail with UNABLE_TO_LOCK_ROW. `concurrent` is how
    many calls may be open at once.
    """

    client_id: str = CLIENT_ID
    client_secret: str = CLIENT_SECRET
    username: str = USERNAME
    org: str = ORG
    versions: tuple[str, ...] = ("59.0", "60.0", "61.0", "62.0", "63.0", "64.0", "65.0", "66.0")
    latency: float = 0.0
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    tick: Callable[[], float] = time.monotonic
    daily_limit: int = 100_000
    page: int = 2000
    field_security: bool = True
    user_disabled: bool = False
    session_life: float | None = None
    locator_life: float = 172_800.0
    bulk_delay_polls: int = 1
    shuffle: bool = True
    shuffle_seed: int = 0
    duplicate_rules: bool = False
    may_customize: bool = True
    lock_hold: float = 0.0
    concurrent: int | None = None


class SalesforceSandbox(StandIn):
    """A running stand-in for one Salesforce org. `base_url` is both its login URL and its instance URL."""

    API = ("/services", "/id/")

    def __init__(self, store: SalesforceStore, options: SalesforceOptions, host: str, port: int) -> None:
        super().__init__(host, port, clock=options.clock, tick=options.tick, latency=options.latency, faults=SALESFORCE)
        self.store = store
        self.options = options
        self.client_id = options.client_id
        self.client_secret = options.client_secret
        self.username = store.username
        self.org_id = store.org_id
        self.user_id = store.user_id
        self.sessions = Sessions(
            client_id=options.client_id,
            client_secret=options.client_secret,
            username=store.username,
            org=store.org_id,
            user=store.user_id,
            clock=options.clock,
            life=options.session_life,
            disabled=options.user_disabled,
        )
        self.usage = Usage(options.daily_limit, options.clock)
        self.org = Org(
            store,
            self.sessions,
            self.usage,
            lambda: self.base_url,
            options.versions,
            page=options.page,
            duplicate_rules=options.duplicate_rules,
            may_customize=options.may_customize,
            bulk_delay_polls=options.bulk_delay_polls,
            locator_life=options.locator_life,
            lock_hold=options.lock_hold,
            concurrent=options.concurrent,
            stopping=self.stopping,
            dice=random.Random(options.shuffle_seed) if options.shuffle else None,  # noqa: S311  (repeatable on purpose)
        )
        self.salesforce = Salesforce(self.org)
        self.pages = SalesforcePages(store)
        self.listen()

    @property
    def private_key(self) -> str:
        """Give the PEM key that signs the app's assertions; made once in a process."""
        return private_key()

    @property
    def logins(self) -> int:
        """Count the token requests that were granted."""
        return self.sessions.logins

    def end_sessions(self) -> None:
        """End every session: calls with its token answer 401 INVALID_SESSION_ID."""
        self.sessions.end_all()

    def kind(self, request: Call) -> str:
        """Say how a call counts."""
        return self.salesforce.kind(request)

    def work(self, request: Call) -> Answer:
        """Answer as Salesforce does."""
        return self.salesforce.answer(request)

    def struck(self, fault: Fault, request: Call) -> Ending:
        """Let one of Salesforce's faults happen."""
        return strike(fault, request, self.salesforce.answer)

    def page(self, request: Call) -> Answer:
        """Show records as a customer-success manager sees them."""
        return self.pages.answer(request)


def start(
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    store: SalesforceStore | None = None,
    seed: SalesforceSeed | None = None,
    options: SalesforceOptions | None = None,
) -> SalesforceSandbox:
    """Start a stand-in; port 0 takes a free one. A given `store` keeps its clock, org and user. Use it with `with`."""
    chosen = options or SalesforceOptions()
    held = store or SalesforceStore(
        clock=chosen.clock, org=chosen.org, username=chosen.username, field_security=chosen.field_security
    )
    if seed is not None:
        plant(held, seed)
    return SalesforceSandbox(held, chosen, host, port)

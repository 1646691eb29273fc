"""The HubSpot stand-in on a loopback socket: its options and how it is started. It holds no rule of HubSpot's
(`hubspot.py` does) and no socket (`standin.py` does)."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from engage_sync.sandbox.access import SCOPES, Access, OAuthApp
from engage_sync.sandbox.fault_kinds import HUBSPOT
from engage_sync.sandbox.faults import Ending, Fault
from engage_sync.sandbox.hubspot import HubSpot
from engage_sync.sandbox.hubspot_faults import strike
from engage_sync.sandbox.limits import Meter, Rates
from engage_sync.sandbox.pages import Pages
from engage_sync.sandbox.seed import Seed, plant
from engage_sync.sandbox.standin import StandIn
from engage_sync.sandbox.store import Store
from engage_sync.sandbox.wire import Answer, Call

TOKEN = "pat-na1-sandbox"  # noqa: S105  (a stand-in has nothing to protect)


@dataclass(frozen=True, slots=True)
class Options:
    """How a sandbox behaves. `latency` is seconds per call; `lag` seconds the search index trails; `tick` the monotonic
    clock of the rate windows, `clock` the wall clock of the records, tokens and the day's limit. `tokens` are further
    service keys with their scopes."""

    token: str = TOKEN
    scopes: frozenset[str] = SCOPES
    tokens: Mapping[str, frozenset[str]] = field(default_factory=dict)
    oauth: OAuthApp = field(default_factory=OAuthApp)
    rates: Rates = field(default_factory=Rates)
    latency: float = 0.0
    lag: float = 0.0
    shuffle: bool = True
    merge_mints_id: bool = True
    portal: int = 1
    timezone: str = "UTC"
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    tick: Callable[[], float] = time.monotonic
    shuffle_seed: int = 0


class Sandbox(StandIn):
    """A running stand-in for one HubSpot account."""

    API = ("/crm/", "/oauth/", "/account-info/")

    def __init__(self, store: Store, options: Options, host: str, port: int) -> None:
        super().__init__(host, port, clock=options.clock, tick=options.tick, latency=options.latency, faults=HUBSPOT)
        self.store = store
        self.options = options
        self.token = options.token
        self.access = Access({options.token: options.scopes, **options.tokens}, options.oauth, options.clock)
        self.meter = Meter(options.rates, tick=options.tick, clock=options.clock, timezone=options.timezone)
        self.dice = random.Random(options.shuffle_seed)  # noqa: S311  (repeatable on purpose)
        self.hubspot = HubSpot(
            store,
            self.access,
            self.meter,
            portal=options.portal,
            timezone=options.timezone,
            shuffle=self.dice if options.shuffle else None,
        )
        self.pages = Pages(store)
        self.listen()

    def kind(self, request: Call) -> str:
        """Say how a call counts."""
        return self.hubspot.kind(request)

    def work(self, request: Call) -> Answer:
        """Answer as HubSpot does."""
        return self.hubspot.answer(request)

    def struck(self, fault: Fault, request: Call) -> Ending:
        """Let one of HubSpot's faults happen."""
        if fault.name == "pretended":
            with self.store.pretending():
                return Ending(self.hubspot.answer(request))
        return strike(fault, request, self.hubspot.answer, self.dice)

    def page(self, request: Call) -> Answer:
        """Show records as a customer-success manager sees them."""
        return self.pages.answer(request)


def start(
    port: int = 0,
    *,
    host: str = "127.0.0.1",
    store: Store | None = None,
    seed: Seed | None = None,
    options: Options | None = None,
) -> Sandbox:
    """Start a sandbox; port 0 takes a free one. A given `store` keeps its own clock and lag. Use it with `with`."""
    chosen = options or Options()
    held = store or Store(clock=chosen.clock, lag=chosen.lag, merge_mints_id=chosen.merge_mints_id)
    if seed is not None:
        plant(held, seed)
    return Sandbox(held, chosen, host, port)

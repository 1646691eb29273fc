"""A connector around a connector that passes every step on: what the wrappers have in common. It adds nothing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from engage_sync.connectors.base import (
    Author,
    Change,
    Connector,
    Cursor,
    FieldSpec,
    Kind,
    Lack,
    Outcome,
    Page,
    Provisioned,
    Schema,
    Turnstile,
)


class Wrapper(Connector):
    """Passes every step on to the connector inside."""

    def __init__(self, inner: Connector) -> None:
        self.inner = inner
        # What the classes declare for all their instances, a wrapper has from the one inside.
        vars(self).update(name=inner.name, Settings=inner.Settings, limits=inner.limits, quota_key=inner.quota_key)

    @property
    def turnstile(self) -> Turnstile:
        """Where the calls of the connector inside pass."""
        return self.inner.turnstile

    @turnstile.setter
    def turnstile(self, turnstile: Turnstile) -> None:
        self.inner.turnstile = turnstile

    def check(self) -> Schema:
        """Pass on."""
        return self.inner.check()

    def account(self) -> str:
        """Pass on."""
        return self.inner.account()

    def pull(self, kind: Kind, cursor: Cursor | None) -> Page:
        """Pass on."""
        return self.inner.pull(kind, cursor)

    def push(self, kind: Kind, changes: Sequence[Change]) -> Iterator[Outcome]:
        """Pass on."""
        yield from self.inner.push(kind, changes)

    def read(self, kind: Kind, ids: Sequence[str]) -> Page:
        """Pass on."""
        return self.inner.read(kind, ids)

    def probe(self, objects: Sequence[str]) -> Sequence[Lack]:
        """Pass on."""
        return self.inner.probe(objects)

    def provision(self, fields: Sequence[FieldSpec]) -> list[Provisioned]:
        """Pass on."""
        return self.inner.provision(fields)

    def authors(self, kind: Kind, fields: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Author]:
        """Pass on. Nobody tries again: a run goes on without an answer."""
        return self.inner.authors(kind, fields)

    def close(self) -> None:
        """Pass on."""
        self.inner.close()

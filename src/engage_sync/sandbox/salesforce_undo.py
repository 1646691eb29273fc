"""Records put back as they were: after a collection with `allOrNone` of which a row failed, and after a fault that only
pretends to write. Hold the store's lock from its making to its use. It answers nothing and checks nothing."""

from __future__ import annotations

from engage_sync.sandbox.salesforce_store import SalesforceStore


class Undo:
    """Remembers the records of some objects, by lower-case name, and puts all of them back."""

    def __init__(self, store: SalesforceStore, kinds: set[str]) -> None:
        self._store = store
        self._kept = {
            name: {
                r.id: (dict(r.values), r.stamp, r.modified, r.editor, r.deleted, len(r.changes))
                for r in shelf.records.values()
            }
            for name, shelf in store.shelves.items()
            if name.lower() in kinds
        }

    def back(self) -> None:
        """Put the records back as they were, and take new ones out."""
        for name, kept in self._kept.items():
            shelf = self._store.shelf(name)
            for record in list(shelf.records.values()):
                if record.id not in kept:
                    shelf.remove(record)
                    continue
                shelf.release(record)
                values, stamp, record.modified, record.editor, record.deleted, changes = kept[record.id]
                record.values = values
                del record.changes[changes:]
                shelf.restamp(record, stamp)
                if not record.deleted:
                    shelf.claim(record)
        self._store.access.changed()

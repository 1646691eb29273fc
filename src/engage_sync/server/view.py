"""What the faces show, under the names that they use. Declared in `core/overview.py`, so that `sync`, which a face may
ask but which knows no face, can make it; nothing is read or decided here."""

from __future__ import annotations

from engage_sync.core.overview import AlertView, DaemonView, JobView, LeaseView, Snapshot

__all__ = ["AlertView", "DaemonView", "JobView", "LeaseView", "Snapshot"]

"""Who set a property of a HubSpot record: the newest version in the history that HubSpot keeps (crm-apis §A12). Reads
only. What HubSpot does not say, or says in another shape, is not known; it makes nothing up.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from engage_sync.connectors.base import Author, CallKind
from engage_sync.connectors.hubspot_errors import CallRefused
from engage_sync.connectors.hubspot_http import API, Transport
from engage_sync.connectors.replies import text

AT_ONCE = 50
"""Records that one call gives with their history (crm-apis §A5)."""
PEOPLE = frozenset({"CRM_UI", "CRM_UI_BULK_ACTION", "MOBILE_IOS", "MOBILE_ANDROID", "CONTACTS_WEB", "IMPORT"})
"""Sources that are a person at work: the pages, the apps, a file that somebody imported."""
PROGRAMS = frozenset(
    {
        *("INTEGRATION", "INTEGRATIONS_PLATFORM", "INTEGRATIONS_SYNC", "API", "SALESFORCE", "MIGRATION"),
        *("AUTOMATION_PLATFORM", "AUTOMATION_JOURNEY", "WORKFLOWS", "SEQUENCES", "SALESFORCE_FLOWS"),
        *("CALCULATED", "INTERNAL_PROCESSING", "DATA_ENRICHMENT", "COMPANY_INSIGHTS", "AI_GROUP", "DEFAULT"),
    }
)
"""Sources that are surely none. Of all others it is not known: a form may be filled in by whoever."""
OURS = frozenset({"INTEGRATION", "INTEGRATIONS_PLATFORM", "API"})
"""Sources that our own writes may have, as those of other apps. All others are surely somebody else."""
_USER = "userId:"
_BEGINNING = datetime.min.replace(tzinfo=UTC)


def authors(http: Transport, object_name: str, fields: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Author]:
    """Tell who set some properties (record, property), 50 records a call."""
    wanted: dict[str, list[str]] = {}
    for record, name in fields:
        wanted.setdefault(record, []).append(name)
    records = list(wanted)
    found: dict[tuple[str, str], Author] = {}
    for start in range(0, len(records), AT_ONCE):
        part = records[start : start + AT_ONCE]
        names = list(dict.fromkeys(name for record in part for name in wanted[record]))
        for row in _rows(http, object_name, part, names):
            record = text(row.get("id")) or ""
            told = row.get("propertiesWithHistory")
            versions = told if isinstance(told, dict) else {}
            for name in wanted.get(record, ()):
                if (author := _newest(versions.get(name))) is not None:
                    found[record, name] = author
    return found


def _rows(http: Transport, object_name: str, ids: Sequence[str], names: Sequence[str]) -> list[dict[str, object]]:
    body = {"properties": [], "propertiesWithHistory": list(names), "inputs": [{"id": one} for one in ids]}
    try:
        return http.send("POST", f"/crm/{API}/objects/{object_name}/batch/read", body, kind=CallKind.READ).rows_if_any()
    except CallRefused as refused:
        if refused.status == 404:  # none of the ids was found
            return []
        raise


def _newest(versions: object) -> Author | None:
    """Give the author of the newest version of a property: HubSpot gives them newest first."""
    rows = [row for row in versions if isinstance(row, dict)] if isinstance(versions, list) else []
    if not rows:
        return None
    newest = max(rows, key=lambda row: _moment(row.get("timestamp")) or _BEGINNING)
    moment = _moment(newest.get("timestamp"))
    at = None if moment is None else moment.isoformat().replace("+00:00", "Z")
    source = (text(newest.get("sourceType")) or "").upper()
    human = True if source in PEOPLE else False if source in PROGRAMS else None
    return Author(_name(newest, source), at, human, None if source in OURS or not source else False)


def _name(version: Mapping[str, object], source: str) -> str | None:
    """Name an author: a person by what HubSpot calls them, else the source with the number HubSpot knows it by."""
    user = text(version.get("updatedByUserId"))
    told = text(version.get("sourceLabel")) or text(version.get("sourceId")) or ""
    if told.startswith(_USER):
        user, told = user or told.removeprefix(_USER), ""
    if source in PEOPLE and source != "IMPORT":
        number = user or told
        return told if told and not told.isdigit() else f"user {number}" if number else "a person in HubSpot"
    words = source.lower().replace("_", " ")
    return f"{words} {told}".strip() or None


def _moment(told: object) -> datetime | None:
    """Read an instant, ISO 8601 or epoch milliseconds; None when it is neither."""
    given = text(told) or ""
    try:
        moment = datetime.fromtimestamp(int(given) / 1000, UTC) if given.isdigit() else datetime.fromisoformat(given)
    except (ValueError, OverflowError, OSError):
        return None
    return moment.astimezone(UTC) if moment.tzinfo is not None else moment.replace(tzinfo=UTC)

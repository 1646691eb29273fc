"""Finding tasks that exist already: which tasks a record is associated with, and whose key their bodies hold (§A8).

Reads only. A key line stands in the body of every task that we create, so that a task whose answer was lost is known
again, by any process. The search would trail behind such a task; associations and reads by id do not.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from engage_sync.connectors.base import CallKind
from engage_sync.connectors.hubspot_errors import NOT_FOUND, CallRefused, Trouble, troubles
from engage_sync.connectors.hubspot_http import ASSOCIATIONS_API, Answer, Transport
from engage_sync.connectors.hubspot_read import BATCH, look_up
from engage_sync.connectors.replies import SHORT, senseless, text
from engage_sync.errors import Misbehaved

TASKS = "tasks"
BODY = "hs_task_body"
PAGE = 1_000
"""Records that one call asks the associations of."""
NO_ASSOCIATIONS = "NO_ASSOCIATIONS_FOUND"

_KEY = re.compile(r"engage-sync\s+([^\s<]+)")
"""A key line, also after HubSpot made HTML of it: a task's body is rich text."""

Wanted = tuple[str, str | None]
"""A record, and where the next page of its associations starts."""


def signed(body: str, key: str) -> str:
    """Give the body of a task with its key line, by which `keys_in` knows the task again."""
    line = f"engage-sync {key}"
    return f"{body}\n\n{line}" if body else line


def keys_in(body: str | None) -> list[str]:
    """Give the keys that a task's body holds; usually one."""
    return _KEY.findall(body or "")


def find(http: Transport, object_name: str, records: Sequence[str], keys: Collection[str]) -> dict[str, str]:
    """Give the id of each task about one of `records` that holds one of `keys`, by key. Newest tasks are read first."""
    missing, found = set(keys), dict[str, str]()
    ids = sorted(_tasks(http, object_name, records), key=lambda one: (len(one), one), reverse=True)
    for start in range(0, len(ids), BATCH):
        rows = look_up(http, TASKS, ids[start : start + BATCH], [BODY]).rows
        found.update({key: str(row.get("id")) for row in rows for key in keys_of(row) if key in missing})
        if not (missing := missing - found.keys()):
            break
    return found


def keys_of(row: Mapping[str, object]) -> list[str]:
    """Give the keys in the body of a task as an answer shows it."""
    properties = row.get("properties")
    return keys_in(text(properties.get(BODY))) if isinstance(properties, dict) else []


def _tasks(http: Transport, object_name: str, records: Sequence[str]) -> set[str]:
    """Give the tasks that some records are associated with.

    Only HubSpot's word that a record has none is believed at once. One that an answer does not name, or calls not
    found, is asked for once more: a task that is overlooked here would be created twice.
    """
    found: set[str] = set()
    waiting: list[Wanted] = [(record, None) for record in dict.fromkeys(records)]
    asked: dict[Wanted, int] = {}
    while waiting:
        page, waiting = waiting[:PAGE], waiting[PAGE:]
        answer = _ask(http, object_name, page)
        for one in page:
            asked[one] = asked.get(one, 0) + 1
        tasks, named, following = _read(answer)
        found |= tasks
        if again := [one for one in following if one in asked]:
            raise Misbehaved(f"HubSpot's tasks of {object_name[:-1]} {again[0][0]} give the same page again")
        waiting += [*following, *(one for one in page if one[0] not in named and asked[one] == 1)]
    return found


def _ask(http: Transport, object_name: str, page: Sequence[Wanted]) -> Answer | None:
    """Ask for associations; None when HubSpot answers the whole call with `not found`."""
    inputs = [{"id": record, **({"after": after} if after else {})} for record, after in page]
    path = f"/crm/{ASSOCIATIONS_API}/associations/{object_name}/{TASKS}/batch/read"
    try:
        answer = http.send("POST", path, {"inputs": inputs}, kind=CallKind.READ)
    except CallRefused as refused:
        if refused.status == 404 and refused.code == NOT_FOUND:
            return None
        raise
    for trouble in troubles(answer.body):
        if not (_means_none(trouble) or trouble.about_no_record()):
            words = f"HubSpot could not tell the tasks of {object_name} {', '.join(trouble.ids)}: {trouble.message}"
            raise senseless(words, str(answer.body)[:SHORT])
    return answer


def _read(answer: Answer | None) -> tuple[set[str], set[str], list[Wanted]]:
    """Give the tasks that an answer tells, the records that it says something of, and the pages that follow."""
    if answer is None:
        return set(), set(), []
    tasks: set[str] = set()
    blames = list(troubles(answer.body))
    named = {one for trouble in blames if _means_none(trouble) for one in trouble.ids}
    following: list[Wanted] = []
    for row in answer.rows_if_any() if blames else answer.rows():
        start = row.get("from")
        record = str(start.get("id")) if isinstance(start, dict) else ""
        ends = row.get("to")
        told = [one.get("toObjectId") for one in ends if isinstance(one, dict)] if isinstance(ends, list) else []
        tasks |= {task for one in told if (task := text(one)) is not None}
        named.add(record)
        if (after := _after(row)) is not None:
            following.append((record, after))
    return tasks, named, following


def _after(row: Mapping[str, object]) -> str | None:
    paging = row.get("paging")
    following = paging.get("next") if isinstance(paging, dict) else None
    return text(following.get("after")) if isinstance(following, dict) else None


def _means_none(trouble: Trouble) -> bool:
    return NO_ASSOCIATIONS in f"{trouble.finer} {trouble.code} {trouble.category}"

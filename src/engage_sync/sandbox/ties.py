"""Which tasks are about which contacts and companies, by record id (crm-apis §A8). It checks nothing and locks nothing:
the store does both, and hides what is in the recycle bin."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

TASKS = "tasks"
TYPES: Mapping[tuple[str, str], int] = {
    (TASKS, "contacts"): 204,
    ("contacts", TASKS): 203,
    (TASKS, "companies"): 192,
    ("companies", TASKS): 191,
}
"""From object, to object → the id of HubSpot's unlabelled association type between them."""

End = tuple[str, int]
"""An object's name and the id of one of its records."""


class Ties:
    """The associations between tasks and other records, both ways, each in the order it was made."""

    def __init__(self) -> None:
        self._tasks: dict[End, dict[int, None]] = {}
        self._about: dict[int, dict[End, None]] = {}

    def tie(self, task: int, end: End) -> None:
        """Let a task be about a record; once is enough."""
        self._tasks.setdefault(end, {})[task] = None
        self._about.setdefault(task, {})[end] = None

    def tasks(self, end: End) -> list[int]:
        """Give the tasks about a record."""
        return list(self._tasks.get(end, ()))

    def about(self, task: int) -> list[End]:
        """Give the records a task is about."""
        return list(self._about.get(task, ()))

    def move(self, object_: str, old: Iterable[int], new: int) -> None:
        """Let the tasks about merged records be about the survivor."""
        for number in old:
            if number != new:
                for task in self._tasks.pop((object_, number), {}):
                    self._about[task].pop((object_, number), None)
                    self.tie(task, (object_, new))

    def drop(self, end: End) -> None:
        """Forget a record that was erased, a task or another."""
        object_, number = end
        for task in self._tasks.pop(end, {}):
            self._about[task].pop(end, None)
        if object_ == TASKS:
            for other in self._about.pop(number, {}):
                self._tasks[other].pop(number, None)

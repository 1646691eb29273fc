"""The tree of errors. An error's type says what the caller must do, and which code the process ends with.

    EngageError
    ├── Mistake        2  a file, an argument or an id is wrong; carries every problem found
    ├── Held           3  a brake stopped the run; the CRM is untouched
    ├── Locked         4  another run holds the lock
    ├── Unreachable    5  the CRM (or a store) stayed unreachable or over quota after retries; progress kept
    │   └── Transient  5  the same, seen once: worth another try, after `retry_after` seconds where the CRM told
    │       └── Suspended 5  nothing more may be asked of the CRM for a long while: a daily limit, our share, a move
    ├── LoginFailed    6  the CRM refused the credentials
    ├── Misbehaved     7  an answer that was not understood
    └── Stopped      130  the process was asked to end; what was under way took effect

Anything else that reaches the top is a bug (70). A refused record is never an exception: it is an outcome.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

EXIT_DONE = 0
EXIT_PARTIAL = 1
EXIT_BUG = 70
EXIT_INTERRUPTED = 130
"""Ctrl-C, as shells have it."""
EXIT_ORDER = (70, EXIT_INTERRUPTED, 7, 6, 5, 4, 3, 1)
"""With several connectors the process ends with the first of these that any of them met."""


class EngageError(Exception):
    """Anything the product raises on purpose. Its text is a sentence for a person and never holds a secret."""

    exit_code: ClassVar[int] = EXIT_BUG


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong in a file or an argument, with the place and the nearest right thing in `what`."""

    what: str
    file: str | None = None
    line: int | None = None

    def __str__(self) -> str:
        """Give `file:line: what`, leaving out what is not known."""
        place = ":".join(str(part) for part in (self.file, self.line) if part is not None)
        return f"{place}: {self.what}" if place else self.what


class Mistake(EngageError):
    """A file, an argument or an id is wrong. All problems found are carried at once."""

    exit_code = 2

    def __init__(self, problems: str | Sequence[Problem]) -> None:
        self.problems: tuple[Problem, ...] = (Problem(problems),) if isinstance(problems, str) else tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class Held(EngageError):
    """A brake stopped the run before any write. `reasons` are sentences."""

    exit_code = 3

    def __init__(self, reasons: Sequence[str]) -> None:
        self.reasons = tuple(reasons)
        super().__init__("; ".join(self.reasons))


class Locked(EngageError):
    """Another run holds the project's lock."""

    exit_code = 4


class Unreachable(EngageError):
    """A CRM or a store stayed unreachable or over quota after retries. What was done is kept."""

    exit_code = 5


class Transient(Unreachable):
    """A failure that is worth another try. `retry_after` is in seconds, None when the other side did not say.

    `suspend` is true when trying again soon is pointless (a daily limit, a migration): do not retry in this run.
    """

    def __init__(self, what: str, retry_after: float | None = None, *, suspend: bool = False) -> None:
        self.retry_after = retry_after
        self.suspend = suspend
        super().__init__(what)


class Suspended(Transient):
    """No call is worth sending for a long while; what was not sent waits. `why` is a few words for a status line.

    `retry_after` is what the CRM told, in seconds; None: until its daily quota resets.
    """

    def __init__(self, what: str, *, why: str, retry_after: float | None = None) -> None:
        self.why = why
        super().__init__(what, retry_after, suspend=True)


class LoginFailed(EngageError):
    """The CRM refused the credentials. Retrying does not help; a person must act."""

    exit_code = 6


class Misbehaved(EngageError):
    """An answer that was not understood. `answer` is kept for the bug report, without secrets."""

    exit_code = 7

    def __init__(self, what: str, answer: str | None = None) -> None:
        self.answer = answer
        super().__init__(what)


class Stopped(EngageError):
    """The process was asked to end: nothing more is sent, what was under way took effect."""

    exit_code: ClassVar[int] = EXIT_INTERRUPTED

"""What a CRM answered and nobody understood, kept in the project's folder for a bug report. Connectors strike secrets
out of it before it comes here."""

from __future__ import annotations

from pathlib import Path

from engage_sync.errors import EngageError, Misbehaved

FOLDER = Path("var") / "reports"


def told(root: Path, name: str, error: EngageError) -> str:
    """Give an error's sentence. An answer that it carries is kept under that name, and the sentence says where.

    A plugin's `Misbehaved` may be the cause of another one; the first answer found counts.
    """
    answer = _answer(error)
    if answer is None:
        return str(error)
    path = root / FOLDER / f"{name}.txt"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(answer, encoding="utf-8", errors="backslashreplace")
    except OSError as full:
        return f"{error}; the answer could not be kept in {path} ({full.strerror or full})"
    return f"{error}; the answer is kept in {path}"


def _answer(error: BaseException) -> str | None:
    seen: list[BaseException] = []
    following: BaseException | None = error
    while following is not None and following not in seen:  # a retried error and its last answer name each other
        if isinstance(following, Misbehaved) and following.answer:
            return following.answer
        seen.append(following)
        following = following.__cause__
    return None

"""The command line: the list of commands, and the one place where an error becomes a sentence and an exit code."""

from __future__ import annotations

import sys
import tempfile
import traceback
from contextlib import suppress

import typer
from typer.exceptions import TyperException

from engage_sync.cli import (
    approve,
    backup,
    check,
    compact,
    compute,
    daemon,
    demo,
    explain,
    failures,
    import_,
    init,
    plan,
    provision,
    pull,
    rollback,
    runs,
    sandbox,
    schema,
    serve,
    show,
    status,
    sync,
    test,
    work,
)
from engage_sync.cli.output import flush, leave, print_json
from engage_sync.errors import EXIT_BUG, EXIT_DONE, EXIT_INTERRUPTED, EngageError, Misbehaved, Mistake

USAGE = Mistake.exit_code

EXIT_STATUS = """\
EXIT STATUS: 0 done · 1 some records failed or were refused, lines were rejected, or check found gaps · 2 a mistake in a
file or an argument · 3 held by a brake · 4 another run holds the lock · 5 the CRM stayed unreachable or over quota ·
6 the CRM refused the credentials · 7 an answer that was not understood · 70 a bug ·
130 it was asked to end
"""

app = typer.Typer(
    name="engage-sync",
    help="Turns stored product events into fields that customer-success managers see inside their CRM.",
    epilog=EXIT_STATUS,
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
for module in (
    init,
    demo,
    check,
    schema,
    test,
    provision,
    import_,
    pull,
    compute,
    plan,
    sync,
    show,
    explain,
    status,
    runs,
    failures,
    approve,
    rollback,
    compact,
    backup,
    daemon,
    serve,
    work,
    sandbox,
):
    module.register(app)


def main() -> None:
    """Run the command line and end the process with the contract's exit code."""
    try:
        code = app(standalone_mode=False)
        flush()
    except TyperException as error:
        if error.format_message():  # empty where the help itself has been printed
            _tell(f"{error.format_message()} (`engage-sync --help` lists the commands and their options)", USAGE)
        code = USAGE
    except (typer.Abort, KeyboardInterrupt):
        _tell("interrupted; what was done is kept", EXIT_INTERRUPTED)
        code = EXIT_INTERRUPTED
    except EngageError as error:
        _tell(_with_answer(error), error.exit_code)
        code = error.exit_code
    except BrokenPipeError:
        code = EXIT_DONE
        leave(sys.stdout)
    except OSError as error:
        _tell(f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", Mistake.exit_code)
        code = Mistake.exit_code
        leave(sys.stdout)
    except Exception as error:  # noqa: BLE001  the last door: a bug ends in one line and a report, never a traceback
        _tell(f"this is a bug ({type(error).__name__}); the report {_report(traceback.format_exc())}", EXIT_BUG)
        code = EXIT_BUG
    sys.exit(code if isinstance(code, int) else 0)


def _tell(text: str, code: int) -> None:
    """Say how it ended. Where nobody listens any more the exit code has to do."""
    with suppress(OSError):
        sys.stderr.write(f"engage-sync: {text}\n" if "\n" not in text else f"{text}\n")
        if "--json" in sys.argv:
            print_json({"error": text, "exit": code})
            flush()


def _with_answer(error: EngageError) -> str:
    """Keep the answer that was not understood, and say where."""
    if isinstance(error, Misbehaved) and error.answer:
        return f"{error}; the answer {_report(error.answer)}"
    if error.exit_code == EXIT_BUG:
        return f"this is a bug: {error}; the report {_report(traceback.format_exc())}"
    return str(error)


def _report(text: str) -> str:
    """Keep a text, and say where; a full disk must not hide what the text is about."""
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="engage-sync-", suffix=".txt", delete=False, encoding="utf-8", errors="backslashreplace"
        ) as file:
            file.write(text)
            return f"is kept in {file.name}"
    except OSError as full:
        return f"could not be kept ({full.strerror or full})"

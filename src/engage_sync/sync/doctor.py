"""Compare what the project declares with what each CRM has and lets us do: the to-do list of `check`, in the order in
which an admin must work through it. Changes nothing; a connector may try a write that cannot have an effect."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from engage_sync.config.project import ConnectorFile
from engage_sync.connectors.base import Connector, Schema
from engage_sync.core.definitions import ObjectMap
from engage_sync.errors import (
    EXIT_DONE,
    EXIT_ORDER,
    EXIT_PARTIAL,
    EngageError,
    LoginFailed,
    Misbehaved,
    Mistake,
    Problem,
)
from engage_sync.sync import kept_answers
from engage_sync.sync.accounts import OtherAccount
from engage_sync.sync.alert_check import PLACE, REMEDY, listen
from engage_sync.sync.findings import Examined, Step, creates_tasks, findings, of_actions
from engage_sync.sync.provisioning import Provision, describe, provision
from engage_sync.sync.wiring import Workspace, connector_classes

__all__ = ["Examination", "Gap", "Provision", "check", "describe", "examine", "provision"]


CONFIRM = "put the former credentials back, or confirm the other account as the problem says"


@dataclass(frozen=True, slots=True)
class Gap:
    """One thing an admin must mend before a first write succeeds, and how. `step` says when it is its turn."""

    file: str
    line: int | None
    object: str | None
    field: str | None
    problem: str
    todo: str
    step: Step = Step.LOGIN


@dataclass(frozen=True, slots=True)
class Examination:
    """What `check` found. `gaps` are in order, connector by connector; `advice`, by connector, hinders no write;
    `mistakes` are in the files (they are among the gaps, too); `exit` is the code to end with."""

    gaps: list[Gap]
    advice: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    mistakes: tuple[Problem, ...] = ()
    exit: int = EXIT_DONE


def examine(workspace: Workspace, only: str | None = None) -> Examination:
    """Log in to each CRM, or to one, and look for gaps; without one, see also whether alerts would be heard. One that
    cannot be reached hides no gap of another.

    The exit code is 0 only when a first write would succeed, 1 with gaps, or that of what ended a connector's check.
    """
    gaps: list[Gap] = []
    advice: dict[str, tuple[str, ...]] = {}
    mistakes: list[Problem] = []
    codes: set[int] = set()
    for file in workspace.connector_files(only):
        try:
            schema = describe(workspace, file, probing=True)
        except OtherAccount as other:
            codes.add(other.exit_code)
            gaps += [Gap(file.file, None, None, None, problem.what, CONFIRM) for problem in other.problems]
            mistakes += other.problems
        except Mistake as mistake:
            mistakes += mistake.problems
            gaps += [_of_mistake(file, problem) for problem in mistake.problems]
        except EngageError as error:
            codes.add(error.exit_code)
            problem = kept_answers.told(workspace.project.root, f"check-{file.name}", error)
            gaps.append(Gap(file.file, None, None, None, problem, _way_out(error, file)))
        else:
            advice[file.name] = tuple(schema.advice)
            gaps += sorted(_gaps(workspace, file, schema), key=lambda gap: gap.step)
    if only is None:
        heard = listen(workspace.project)
        mistakes += heard.mistakes
        gaps += [Gap(one.file or PLACE, one.line, None, None, one.what, "correct it") for one in heard.mistakes]
        gaps += [Gap(PLACE, None, None, None, one, REMEDY) for one in heard.unheard]
        advice |= {"alerts": heard.advice} if heard.advice else {}
    if gaps:
        codes.add(EXIT_PARTIAL)
    code = Mistake.exit_code if mistakes else next((code for code in EXIT_ORDER if code in codes), EXIT_DONE)
    return Examination(gaps, advice, tuple(mistakes), code)


def check(workspace: Workspace) -> tuple[list[Gap], int]:
    """Do the same; give the gaps and the exit code."""
    found = examine(workspace)
    return found.gaps, found.exit


def _of_mistake(file: ConnectorFile, problem: Problem) -> Gap:
    return Gap(problem.file or file.file, problem.line, None, None, problem.what, "correct it")


def _way_out(error: EngageError, file: ConnectorFile) -> str:
    if isinstance(error, LoginFailed):
        return f"do what the CRM asks for, or put valid credentials under `auth` into {file.file}"
    if isinstance(error, Misbehaved):
        return f"check the address in {file.file}; if it is right, report the answer"
    return "try again later"


def _gaps(workspace: Workspace, file: ConnectorFile, schema: Schema) -> Iterator[Gap]:
    """Give the gaps of the declared objects; what else the CRM lacks is nobody's business."""
    declared = {object_map.object for object_map in file.objects}
    tasks = connector_classes()[file.connector].limits.tasks
    if tasks is not None and creates_tasks(workspace.project.model):
        declared.add(tasks)
    for lack in schema.missing:
        if lack.object is None or lack.object in declared:
            line = None if lack.object is None else file.line_of(lack.object)
            yield Gap(file.file, line, lack.object, None, lack.problem, lack.todo)
    named = {lack.object for lack in schema.missing}
    for object_map in file.objects:
        if schema.objects.get(object_map.object):
            yield from _field_gaps(workspace, file, object_map, schema)
        elif named.isdisjoint({None, object_map.object}):  # else the permission that hides it is named already
            yield _unseen(file, object_map)


def _unseen(file: ConnectorFile, object_map: ObjectMap) -> Gap:
    name = object_map.object
    todo = connector_classes()[file.connector].guide.object.replace("{object}", name)
    problem = f"{file.name} shows no object {name} to these credentials"
    return Gap(file.file, file.line_of(name), name, None, problem, todo, Step.OBJECT)


def _field_gaps(workspace: Workspace, file: ConnectorFile, object_map: ObjectMap, schema: Schema) -> Iterator[Gap]:
    found = connector_classes()[file.connector]
    examined = Examined(
        map=object_map,
        fields=schema.objects[object_map.object],
        model=workspace.project.model,
        guide=found.guide,
        provisions=found.provision is not Connector.provision,
        file=file.file,
    )
    closed = any(lack.object == object_map.object for lack in schema.missing) and not any(
        described.writable for described in examined.fields.values()
    )
    for one in (*findings(examined), *of_actions(examined)):
        if closed and one.step is Step.UNLOCK:
            continue  # the permission that closes the whole object is named already
        line = file.line_of(object_map.object, one.field)
        yield Gap(file.file, line, object_map.object, one.field, one.problem, one.todo, one.step)

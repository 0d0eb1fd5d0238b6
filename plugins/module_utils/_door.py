# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import contextlib
import typing as t

from ._host import bytecode

bytecode.use()  # before what is imported below

from ._converge import ApplyError, MissingLibrary, Outcome, Part, converge, require_libraries
from ._document import Document
from ._errors import InputError, KubenodeError, MissingProgram, Problem
from ._host import files, kept, process
from ._sections.base import Options, Run, Section

#: A section of the run, its options, and the path of those options in the input ("" in a module of its own).
Opened = tuple[Section, Options, str]


#: One run at a time changes a node: two would each write a document that knows nothing of the other's work.
LOCK = "/run/kubenode-network.lock"


class Module(t.Protocol):
    """What is used of ``AnsibleModule``; a test may pass something simpler."""

    params: dict[str, t.Any]
    check_mode: bool
    _diff: bool

    def warn(self, warning: str) -> None: ...

    def exit_json(self, **result: t.Any) -> t.NoReturn: ...

    def fail_json(self, msg: str, **result: t.Any) -> t.NoReturn: ...


def open_door(module: Module, section: Section) -> t.NoReturn:
    """Converges the one section that the module is named after, with the module's options."""
    answer(module, lambda: execute([(section, module.params, "")], check=module.check_mode, diff=module._diff))


def open_all(module: Module, opened: t.Callable[[], t.Sequence[Opened]]) -> t.NoReturn:
    """Converges several sections in one run."""
    answer(module, lambda: execute(opened(), check=module.check_mode, diff=module._diff))


def answer(module: Module, work: t.Callable[[], dict[str, t.Any]]) -> t.NoReturn:
    """Ends the module with what ``work`` returns (its ``warnings`` apart), or with the error that it raises."""
    try:
        result = work()
    except InputError as error:
        problems = [problem._asdict() for problem in error.problems]
        module.fail_json(**_as_utf8({"msg": f"nothing was changed: {error}", "problems": problems}))
    except MissingLibrary as error:
        module.fail_json(msg=f"nothing was changed: {error}", missing_library=error.library)
    except MissingProgram as error:
        module.fail_json(msg=f"nothing was changed: {error}", missing_program=error.sha256)
    except KubenodeError as error:
        module.fail_json(**_as_utf8({"msg": str(error)}))
    except OSError as error:  # outside of the changes, whose errors are KubenodeErrors
        where = f"{error.filename}: " if error.filename else ""
        module.fail_json(**_as_utf8({"msg": f"the node could not be read: {where}{error.strerror or error}"}))
    result = _as_utf8(result)
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result)


def _as_utf8(value: t.Any) -> t.Any:
    """The same without what UTF-8 cannot say, as names of files and words of programs may be: Ansible takes no such result."""
    if isinstance(value, dict):
        return {_as_utf8(key): _as_utf8(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_utf8(item) for item in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def execute(opened: t.Sequence[Opened], *, check: bool, diff: bool = False) -> dict[str, t.Any]:
    """Checks the options, sees what they mean on this node, and makes it so. Returns the module's result."""
    check_options(opened)
    with process.ended_by_signals(), contextlib.nullcontext() if check else files.locked(LOCK), process.looking():
        kept.forget()
        sections: dict[str, list[Options]] = {}
        for section, options, _path in opened:
            sections.setdefault(section.NAME, []).append(options)
        run = Run(Document.load(), check=check, sections=sections)
        run.cleanups += [] if check else [bytecode.keep, kept.save]
        try:
            parts = planned_parts(opened, run)
            run.warnings += _waiting(parts)
            return _result(settle(parts, run), run, diff=diff)
        finally:
            for cleanup in run.cleanups:
                cleanup()


def check_options(opened: t.Sequence[Opened]) -> None:
    """Raises InputError for everything that is wrong with the options by themselves."""
    _refuse_if_any([problem.under(prefix) for section, options, prefix in opened for problem in section.check(options)])


def planned_parts(opened: t.Sequence[Opened], run: Run) -> list[Part]:
    """What the options mean on this node, in the order in which it is to be applied. Raises InputError."""
    parts: list[Part] = []
    problems = []
    for section, options, prefix in opened:
        run.problems, run.prefix = [], prefix
        parts += _with_asked(section.parts(options, run), section, options)
        problems += [problem.under(prefix) for problem in run.problems]
    _refuse_if_any(problems)
    sections = {id(section): section for section, _options, _prefix in opened}.values()
    for section in sorted(sections, key=lambda section: getattr(section, "FINISHES_LAST", False)):
        run.problems = []
        getattr(section, "finish", lambda run: None)(run)
        _refuse_if_any(run.problems)
    return sorted(parts, key=lambda part: part.last)


#: Words for the run alone.
_NOT_KEPT = ("force", "program", "state")


def _with_asked(parts: list[Part], section: Section, options: Options) -> list[Part]:
    for part in parts:
        if part.section == section.NAME and hasattr(section, "resolved"):
            part.asked = {name: value for name, value in options.items() if value is not None and name not in _NOT_KEPT}
    return parts


def _refuse_if_any(problems: t.Sequence[Problem]) -> None:
    if problems:
        raise InputError(list(dict.fromkeys(problems)))


def _waiting(parts: t.Sequence[Part]) -> list[str]:
    waits = [(part.section, want.resource.id, want.resource.waits_for()) for part in parts for want in part.wants]
    return [f"{section}: {oid} is left for later, it waits for {what}" for section, oid, what in waits if what is not None]


def settle(parts: t.Sequence[Part], run: Run) -> Outcome:
    """Converges, and keeps of the replaced contents just those that somebody may want back."""
    known = set(files.entries(files.STORE))
    try:
        outcome = converge(parts, run.document, check=run.check)
    except BaseException as error:  # an interruption, too
        if _is_undone(error):
            wanted = Document.load(run.document.path).found_contents()  # all of them if it came behind the commit
            files.forget(set(files.entries(files.STORE)) - known - wanted)
        raise
    if run.check:
        _say_what_is_missing(outcome, run)
    elif outcome.changes:
        files.forget(_obsolete(run.document, Document.load(run.document.path)))
    return outcome


def _say_what_is_missing(outcome: Outcome, run: Run) -> None:
    try:
        require_libraries(outcome.changes)
    except MissingLibrary as error:
        run.warnings.append(f"a run would first need this: {error}")


def _is_undone(error: BaseException) -> bool:
    """Whether nothing is left to be put back. Other errors come before the first change; an interruption has what is left as
    its cause."""
    if isinstance(error, ApplyError):
        return error.restored
    return isinstance(error, Exception) or error.__cause__ is None


def _obsolete(before: Document, after: Document) -> set[str]:
    """Contents that we wrote ourselves, or that were given back. What others wrote meanwhile stays in the store."""
    ours = {record["hash"] for record in before.records("file:")} | before.found_contents()
    return {sha256 for sha256 in ours if sha256} - after.found_contents()


def _result(outcome: Outcome, run: Run, *, diff: bool) -> dict[str, t.Any]:
    return {
        "changed": bool(outcome.changes),
        "changes": [change.as_dict() for change in outcome.changes],
        # Only where it is asked for: it may hold what a file of mode 0600 held.
        **({"diff": outcome.diff} if diff else {}),
        "warnings": list(dict.fromkeys(run.warnings)),
        **run.results,
    }

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import contextlib
import time
import typing as t

from . import _transaction
from ._converge import MissingLibrary, Outcome, Part, converge, require_libraries
from ._document import Document
from ._errors import InputError, KubenodeError, MissingProgram, Problem
from ._host import code, kept, libraries, process
from ._sections.base import Options, Run, Section

#: A section of the run, its options, and the path of those options in the input ("" in a module of its own).
Opened = tuple[Section, Options, str]

#: What may be said of any run that changes a node, beside what it is about.
TERMS: dict[str, t.Any] = {"confirm_timeout": {"type": "int"}, "lock_timeout": {"type": "int", "default": 60}}
LONGEST_CONFIRM, LONGEST_WAIT = 86400, 3600  # seconds


class Module(t.Protocol):
    """What is used of ``AnsibleModule``; a test may pass something simpler."""

    params: dict[str, t.Any]
    check_mode: bool
    _diff: bool
    _name: str

    def warn(self, warning: str) -> None: ...

    def exit_json(self, **result: t.Any) -> t.NoReturn: ...

    def fail_json(self, msg: str, **result: t.Any) -> t.NoReturn: ...


def open_door(module: Module, section: Section) -> t.NoReturn:
    """Converges the one section that the module is named after, with the module's options."""
    options = {name: module.params[name] for name in section.OPTIONS}
    answer(module, lambda: execute([(section, options, "")], Terms.of(module)))


def open_all(module: Module, opened: t.Callable[[], t.Sequence[Opened]]) -> t.NoReturn:
    """Converges several sections in one run."""
    answer(module, lambda: execute(opened(), Terms.of(module)))


def answer(module: Module, work: t.Callable[[], dict[str, t.Any]]) -> t.NoReturn:
    """Ends the module with what ``work`` returns (its ``warnings`` apart), or with the error that it raises."""
    try:
        result = work()
    except KubenodeError as error:
        for warning in _as_utf8(error.warnings):
            module.warn(warning)
        module.fail_json(**_as_utf8(_failure(error)), **_of_engine())
    except OSError as error:  # outside of the changes, whose errors are KubenodeErrors
        where = f"{error.filename}: " if error.filename else ""
        module.fail_json(**_as_utf8({"msg": f"the node could not be read: {where}{error.strerror or error}"}), **_of_engine())
    result = _as_utf8(result)
    for warning in result.pop("warnings"):
        module.warn(warning)
    module.exit_json(**result, **_of_engine())


def _of_engine() -> dict[str, t.Any]:
    """For the action plugin that has sent it."""
    return {"engine_kept": True} if code.is_kept() else {}


def _failure(error: KubenodeError) -> dict[str, t.Any]:
    details: dict[str, t.Any] = {}
    if isinstance(error, InputError):
        details = {"problems": [problem._asdict() for problem in error.problems]}
    elif isinstance(error, MissingLibrary):
        details = {"missing_library": error.library}
    elif isinstance(error, MissingProgram):
        details = {"missing_program": error.sha256}
    return {"msg": f"nothing was changed: {error}" if details else str(error), **details}


def _as_utf8(value: t.Any) -> t.Any:
    """The same without what UTF-8 cannot say, as names of files and words of programs may be: Ansible takes no such result."""
    if isinstance(value, dict):
        return {_as_utf8(key): _as_utf8(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_as_utf8(item) for item in value]
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


class Terms(t.NamedTuple):
    """How a run is to be made, by whom. ``confirm_timeout``: seconds until it is taken back unless it is confirmed, None for a run
    that stays; ``lock_timeout``: seconds to wait for other runs."""

    name: str
    check: bool = False
    diff: bool = False
    confirm_timeout: int | None = None
    lock_timeout: int = 60

    @classmethod
    def of(cls, module: Module) -> Terms:
        given = {name: module.params[name] for name in TERMS}
        return cls(module._name.rpartition(".")[2], module.check_mode, module._diff, **given)

    def problems(self) -> list[Problem]:
        ranges = {"confirm_timeout": (1, LONGEST_CONFIRM), "lock_timeout": (0, LONGEST_WAIT)}
        given = {name: getattr(self, name) for name in ranges}
        return [
            Problem(name, f"{given[name]} is not usable (expected {low} to {high} seconds)")
            for name, (low, high) in ranges.items()
            if given[name] is not None and not low <= given[name] <= high
        ]


def execute(opened: t.Sequence[Opened], terms: Terms) -> dict[str, t.Any]:
    """Checks the options, sees what they mean on this node, and makes it so. Returns the module's result."""
    began = time.monotonic()
    check_options(opened, terms.problems())
    with process.ended_by_signals(), _writer(terms) as recovered, process.looking():
        kept.forget()
        sections: dict[str, list[Options]] = {}
        for section, options, _path in opened:
            sections.setdefault(section.NAME, []).append(options)
        run = Run(Document.load(made=recovered.made), check=terms.check, sections=sections, warnings=recovered.warnings)
        if not terms.check:
            run.cleanups += [code.keep, kept.save]
            wanted = [requirement for section in _new_sections(opened, run) for requirement in getattr(section, "LIBRARIES", ())]
            libraries.load_ahead(requirement.partition(">=")[0] for requirement in wanted)
        try:
            parts = planned_parts(opened, run)
            run.warnings += _waiting(parts)
            return {**_result(settle(parts, run, terms), run, terms), "duration": round(time.monotonic() - began, 3)}
        finally:
            for cleanup in run.cleanups:
                cleanup()


def _new_sections(opened: t.Sequence[Opened], run: Run) -> list[Section]:
    """Those of which the node has nothing yet."""
    return [section for section, _options, _path in opened if not run.document.instances(section.NAME)]


@contextlib.contextmanager
def _writer(terms: Terms) -> t.Iterator[_transaction.Recovered]:
    """A look at the node waits for nobody, and says what is open."""
    if terms.check:
        open_ = _transaction.pending()
        yield _transaction.Recovered([] if open_ is None else [open_])
    else:
        with _transaction.only_writer(terms.name, terms.lock_timeout) as recovered:
            done = list(recovered.warnings)
            try:
                yield recovered
            except KubenodeError as error:
                error.warnings = done
                raise


def check_options(opened: t.Sequence[Opened], others: t.Sequence[Problem] = ()) -> None:
    """Raises InputError for everything that is wrong with the options by themselves, and the ``others``."""
    _refuse_if_any([*others, *(problem.under(prefix) for section, options, prefix in opened for problem in section.check(options))])


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
    """What was asked for is worth knowing where the node has a choice."""
    for part in parts:
        if part.section == section.NAME and hasattr(section, "resolved") and getattr(section, "AUTO", None) != ():
            part.asked = {name: value for name, value in options.items() if value is not None and name not in _NOT_KEPT}
    return parts


def _refuse_if_any(problems: t.Sequence[Problem]) -> None:
    if problems:
        raise InputError(list(dict.fromkeys(problems)))


def _waiting(parts: t.Sequence[Part]) -> list[str]:
    waits = [(part.section, want.resource.id, want.resource.waits_for()) for part in parts for want in part.wants]
    return [f"{section}: {oid} is left for later, it waits for {what}" for section, oid, what in waits if what is not None]


def settle(parts: t.Sequence[Part], run: Run, terms: Terms) -> Outcome:
    """Converges, as one transaction."""
    transaction = _transaction.Transaction(terms.name, run.document, terms.confirm_timeout)
    try:
        outcome = converge(parts, run.document, check=run.check, begin=transaction.begin)
    except BaseException as error:  # an interruption, too
        transaction.failed(error)
        raise
    if run.check:
        _say_what_is_missing(outcome, run)
    else:
        waiting = transaction.wait()
        if waiting is not None:
            run.results["checkpoint"] = {"run": waiting.run["id"], "seconds": terms.confirm_timeout}
        else:
            run.warnings += transaction.done()
    return outcome


def _say_what_is_missing(outcome: Outcome, run: Run) -> None:
    try:
        require_libraries(outcome.changes)
    except MissingLibrary as error:
        run.warnings.append(f"a run would first need this: {error}")


def _result(outcome: Outcome, run: Run, terms: Terms) -> dict[str, t.Any]:
    return {
        "changed": bool(outcome.changes),
        "changes": [change.as_dict() for change in outcome.changes],
        "changed_resources": [change.resource.id for change in outcome.changes],
        "plan": [change.in_words() for change in outcome.changes],
        # Only where it is asked for: it may hold what a file of mode 0600 held.
        **({"diff": outcome.diff} if terms.diff else {}),
        "warnings": list(dict.fromkeys(run.warnings)),
        **run.results,
    }

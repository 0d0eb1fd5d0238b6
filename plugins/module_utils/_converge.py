# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import dataclasses
import json
import re
import typing as t

from ._document import Document, DocumentFile
from ._errors import InputError, KubenodeError, NodeError, Problem
from ._host import libraries
from ._journal import Step
from ._resource import Resource, State, outline
from ._undo import Undone, put_back


class Want(t.NamedTuple):
    """One thing and how it should be. ``last``: to be changed behind everything else that is wanted."""

    resource: Resource
    state: State
    last: bool = False


@dataclasses.dataclass(eq=False, repr=False)
class Part:
    """One instance of a section of the document, e.g. ``networks/mynet``.

    ``desired`` holds the options with ``auto`` resolved, or None to take the part away; ``asked`` holds them as they were
    given, None to leave what the document has. ``revive`` makes a resource from the id in the document: what is no longer
    wanted is given back by it. ``last``: to be applied after the others. ``keeps``: to give back nothing, as at boot, when
    what is not wanted now may only be late.
    """

    section: str
    instance: str
    desired: dict[str, t.Any] | None
    wants: list[Want]
    revive: t.Callable[[str], Resource]
    last: bool = False
    asked: dict[str, t.Any] | None = None
    keeps: bool = False


class Change(t.NamedTuple):
    """What differs: ``before`` becomes ``after``."""

    resource: Resource
    before: State
    after: State
    beside: t.Any = None  # of a thing that is given back: what else was there at first contact

    def as_dict(self) -> dict[str, t.Any]:
        before, after = self.resource.focus(self.before, self.after)
        return {"resource": self.resource.id, "before": before, "after": after}

    def in_words(self) -> str:
        """``create bridge:cbr0``"""
        return f"{'create' if self.before is None else 'remove' if self.after is None else 'change'} {self.resource.id}"

    def as_diff(self) -> dict[str, str]:
        states = self.resource.focus(self.before, self.after)
        texts = [self.resource.describe(state) for state in states]
        if texts[0] == texts[1]:  # what differs stands in the titles, which alone would not be shown
            texts = [outline(state) for state in states]
        titles = [self.resource.title(state) for state in (self.before, self.after)]
        return {"before_header": titles[0], "after_header": titles[1], "before": texts[0], "after": texts[1]}


class MissingLibrary(NodeError):
    """A Python library is needed to change the node. Nothing was touched."""

    def __init__(self, library: str, reason: str, needed_for: str) -> None:
        self.library = library
        super().__init__(f"the Python library {library} is needed on this node to change {needed_for}: {reason}")


class ApplyError(NodeError):
    """A change failed. ``undone`` says what came of putting back everything that was done before it."""

    def __init__(self, message: str, undone: Undone) -> None:
        self.undone = undone
        super().__init__(message)


class Interrupted(NodeError):
    """The cause of an interruption by which a run was put back."""

    def __init__(self, undone: Undone) -> None:
        self.undone = undone
        super().__init__(str(undone))


class Outcome(t.NamedTuple):
    """What was changed, or in check mode would be, as data and as texts for a person."""

    changes: list[Change]
    diff: list[dict[str, str]]


class Plan(t.NamedTuple):
    """What differs, in the order in which it is to be changed, what is there already and taken over as it is, and the document
    behind it all."""

    changes: list[Change]
    adopted: list[Resource]
    after: Document


#: Writes down what will be changed, before it is.
Begin = t.Callable[[Plan, t.Sequence[Step]], None]


def converge(parts: t.Sequence[Part], document: Document, *, check: bool = False, begin: Begin = lambda planned, steps: None) -> Outcome:
    """Makes the node what ``parts`` want.

    On an error everything done so far is put back and an ApplyError says what failed and whether that worked.
    """
    planned = plan(parts, document)
    changes = planned.changes
    outcome = Outcome(changes, [change.as_diff() for change in changes])  # now, while what goes away can still be read
    if not check:
        require_libraries(changes)
        if changes:
            steps = [Step(change.resource, _captured(change.resource)) for change in changes]
            adopted = [Step(resource, _captured(resource)) for resource in planned.adopted]  # kept from now on: later it may be too late
            begin(planned, steps)
            _apply(changes, steps, [*adopted, *steps])
    return outcome


def plan(parts: t.Sequence[Part], document: Document) -> Plan:
    """What is wanted comes first, as far as it need not wait, then in reverse what is no longer wanted (so that new things
    are there before old ones go), then the document."""
    _refuse_twice(parts)
    wanted: dict[str, Change] = {}
    after = document
    for want in sorted((want for part in parts for want in part.wants), key=lambda want: want.last):
        _add(wanted, want)
    for part in parts:
        after = after.with_part(part.section, part.instance, part.desired, _records(part, wanted, document), part.asked)
    saved = after.resource()
    changes = [*wanted.values(), *_releases(parts, document, after), Change(saved, saved.read(), after.state())]
    untouched = [change for change in wanted.values() if change.before == change.after]
    adopted = [change.resource for change in untouched if document.record(change.resource.id) is None]
    return Plan([change for change in changes if change.before != change.after], adopted, after)


def _refuse_twice(parts: t.Sequence[Part]) -> None:
    """The second part of a name would take the first one's place in the document, and its objects would be lost."""
    names = [f"{part.section}/{part.instance}" for part in parts]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise InputError([Problem(name, "is given twice in one run (expected once)") for name in twice])


def _add(wanted: dict[str, Change], want: Want) -> None:
    known = wanted.get(want.resource.id)
    if known is None:
        now = want.resource.read()
        wanted[want.resource.id] = Change(want.resource, now, now if want.resource.waits_for() else want.state)
    elif known.resource.waits_for():
        return
    elif known.after != want.state:
        raise InputError([Problem(want.resource.id, "is wanted in two different states by one run")])


def _records(part: Part, wanted: t.Mapping[str, Change], document: Document) -> dict[str, t.Any]:
    """What the document says of a part's objects. One that waits is as it was known to be, or not known yet."""
    kept = document.objects(part.section, part.instance)
    records = dict(kept) if part.keeps else {}
    for oid in (want.resource.id for want in part.wants):
        if not wanted[oid].resource.waits_for():
            records[oid] = _record(wanted[oid], document)
        elif oid in kept:
            records[oid] = kept[oid]
    return records


def _record(change: Change, document: Document) -> dict[str, t.Any]:
    """What the document says of one object. Origin and found value are those of the first contact."""
    known = document.record(change.resource.id)
    first: dict[str, t.Any]
    if known is not None:
        first = {name: known[name] for name in ("origin", "found", "beside") if name in known}
    else:
        beside = change.resource.beside()
        found = change.resource.found(change.before)
        first = {"origin": "created" if found is None else "adopted", "found": found}
        first.update({} if beside is None else {"beside": beside})
    return {**first, "hash": change.resource.hash(change.after)}


def _releases(parts: t.Sequence[Part], before: Document, after: Document) -> list[Change]:
    """Gives back, in reverse order, what the parts held and nobody holds any more."""
    wanted = {want.resource.id for part in parts for want in part.wants}
    held = [(oid, part) for part in parts for oid in before.objects(part.section, part.instance)]
    leaving = {oid: part for oid, part in held if oid not in wanted and after.record(oid) is None}
    records = {oid: before.objects(part.section, part.instance)[oid] for oid, part in leaving.items()}
    going = {oid for oid in leaving if records[oid]["found"] is None}  # what was there before stays in its folder
    changes = []
    for oid, part in reversed(list(leaving.items())):
        resource, record = part.revive(oid), records[oid]
        if resource.must_stay(record["found"], going):
            going.discard(oid)
        else:
            changes.append(Change(resource, resource.read(), record["found"], record.get("beside")))
    return changes


def require_libraries(changes: t.Sequence[Change]) -> None:
    """Raises MissingLibrary when something that the changes need cannot be imported, or is too old."""
    for change in changes:
        for requirement in change.resource.libraries:
            library, _operator, lowest = requirement.partition(">=")
            try:
                libraries.load(library)
            except Exception as error:
                raise MissingLibrary(library, f"{type(error).__name__}: {error}", change.resource.id) from error
            version = libraries.version(library) if lowest else ""
            if _number(version) < _number(lowest):
                raise MissingLibrary(library, f"version {version} is installed (expected {lowest} or newer)", change.resource.id)


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"[0-9]+", version)[:3])


def _apply(changes: t.Sequence[Change], steps: t.Sequence[Step], keeping: t.Sequence[Step]) -> None:
    """First, what may be wanted back is put aside. Each change is read back, and all of them once more before the document, if there
    is a new one, says that they are done."""
    commits = isinstance(changes[-1].resource, DocumentFile)
    failed = changes[0].resource
    try:
        for step in keeping:
            failed = step.resource
            failed.keep(step.token)
        for change in changes[:-1] if commits else changes:
            failed = change.resource
            failed.write(change.after)
            if change.beside is not None:
                failed.write_beside(change.beside)
            _verify(change)
        for change in changes[:-1]:
            failed = change.resource
            _verify(change)
        if commits:
            failed = changes[-1].resource
            failed.write(changes[-1].after)
            _verify(changes[-1])
    except BaseException as error:
        _roll_back(failed, error, steps)


def _captured(resource: Resource) -> t.Any:
    try:
        return resource.capture()
    except (NodeError, OSError) as error:
        raise NodeError(f"nothing was changed: what there is of {resource.id} cannot be kept, so that it could be put back: {error}") from error


def _verify(change: Change) -> None:
    now = change.resource.read()
    if now != change.after:
        said = [json.dumps(state) for state in change.resource.focus(now, change.after)]
        raise NodeError(f"it was written but reads back as {said[0]} instead of {said[1]}")


def _roll_back(failed: Resource, error: BaseException, steps: t.Sequence[Step]) -> t.NoReturn:
    undone = put_back(steps)
    if not isinstance(error, Exception):
        error.__cause__ = Interrupted(undone)
        raise error  # the run was interrupted, which the caller must see as such
    reason = str(error) if isinstance(error, KubenodeError) else f"{type(error).__name__}: {error}"
    raise ApplyError(f"{failed.id} could not be changed: {reason}; {undone}", undone) from error

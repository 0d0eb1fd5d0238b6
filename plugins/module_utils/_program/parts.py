# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The document, part by part: how the node stands to it, and making the node so. One part that fails, or that waits for a
link, does not hold up the others."""

from __future__ import annotations

import dataclasses
import functools
import typing as t

from .. import _execution, _transaction
from .._converge import Change, Part, Want
from .._document import Document, Record
from .._errors import InputError, KubenodeError, NodeError
from .._host import process
from .._resource import Resource, State
from .._sections import bandwidth, boot_service, cni_plugins, kubenet_bridge, masquerade, networks, portmap, routes, sysctl_bridge_nf
from .._sections.base import Options, Run, defaults

#: The sections that can be made from the document alone, in the order in which they are applied.
SECTIONS: tuple[t.Any, ...] = (sysctl_bridge_nf, kubenet_bridge, masquerade, networks, portmap, bandwidth, routes, boot_service)

#: Keys of a state that are told in a line: there may be a route to each of thousands of nodes.
MOST = 8
OK, DRIFT, MISSING, WAITING, FAILED = "ok", "drift", "missing", "waiting", "failed"


@dataclasses.dataclass(frozen=True)
class Thing:
    """One object of a part. ``state``: OK, DRIFT, MISSING or WAITING; ``note``: what differs, or what it waits for."""

    id: str
    state: str
    origin: str
    note: str = ""


@dataclasses.dataclass
class Look:
    """How the node stands to one part of the document. ``choices``: what ``auto`` decided -> (the value, what it would be now).
    ``changes``: what differs from the document, or what an apply has changed."""

    section: str
    instance: str
    things: list[Thing] = dataclasses.field(default_factory=list)
    problems: list[str] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    changes: list[Change] = dataclasses.field(default_factory=list)
    diff: list[dict[str, str]] = dataclasses.field(default_factory=list)
    choices: dict[str, tuple[t.Any, t.Any]] = dataclasses.field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.section}/{self.instance}"

    @property
    def state(self) -> str:
        """The worst of what there is."""
        states = {thing.state for thing in self.things} | ({FAILED} if self.problems else set())
        return next((state for state in (FAILED, MISSING, DRIFT, WAITING) if state in states), OK)


@dataclasses.dataclass(frozen=True)
class Report:
    """Every part, and what is to be said of runs that did not end."""

    looks: list[Look]
    notes: list[str] = dataclasses.field(default_factory=list)


#: How the program makes its own runs.
TERMS = _execution.Terms("kubenode-network")


def look_at(section: str) -> list[Look]:
    """The parts of one section. Changes nothing."""
    document = Document.load()
    with process.looking():
        return [_look_at(found, instance, document) for found, instance in _parts(document, section)]


def look() -> Report:
    """Every part of the node's document. Changes nothing."""
    document = Document.load()
    open_ = _transaction.pending()
    looks = [_look_at(section, instance, document) for section, instance in _parts(document)]
    looks += [_look_at_binaries(bin_dir, document) for bin_dir in document.instances(cni_plugins.NAME)]
    return Report(looks, [] if open_ is None else [open_])


def apply(only: str | None = None) -> Report:
    """Makes the node what its document says, one part after the other, each of them whole or not at all. What is not wanted
    now is not given back: at boot it may only be late. ``only``: the one section to make.

    What one part makes may be what another waited for: a bridge's own switches come with the bridge, and the rules against
    duplicates with those switches. So there is a second round where the first changed something.
    """
    with process.ended_by_signals(), _transaction.only_writer(TERMS.name, TERMS.lock_timeout) as recovered:
        names = _parts(Document.load(), only)
        first = [_apply_part(section, instance) for section, instance in names]
        if not any(look.changes for look in first):
            return Report(first, recovered.warnings)
        second = [_joined(before, _apply_part(section, instance)) for before, (section, instance) in zip(first, names)]
        return Report(second, recovered.warnings)


def _joined(before: Look, after: Look) -> Look:
    """How a part is after two rounds, and what both have changed."""
    after.changes, after.diff = before.changes + after.changes, before.diff + after.diff
    return after


def _parts(document: Document, only: str | None = None) -> list[tuple[t.Any, str]]:
    return [(section, instance) for section in SECTIONS if only in (None, section.NAME) for instance in document.instances(section.NAME)]


def _run(document: Document, *, check: bool) -> Run:
    """A run that makes one part. It cannot take it that others are made with it; but the networks come anyway."""
    return Run(document, check=check, sections={networks.NAME: ()})


def _all_sections(document: Document) -> dict[str, list[Options]]:
    """What a run of the playbook makes: section -> the options of each of its parts."""
    found = {section.NAME: [section.resolved(document.desired(section.NAME, name)) for name in document.instances(section.NAME)] for section in SECTIONS}
    return {name: options for name, options in found.items() if options}


def _guarded(work: t.Callable[[Look, t.Any, Run], None], section: t.Any, instance: str, run: Run) -> Look:
    """What ``work`` finds. Whatever goes wrong with this part, an error of our own included, is a problem of this part
    alone: a node that boots without a controller needs the others all the more."""
    found = Look(section.NAME, instance)
    try:
        work(found, section, run)
    except InputError as error:
        found.problems += [str(problem) for problem in error.problems]
    except KubenodeError as error:
        found.problems.append(str(error))
    except OSError as error:
        found.problems.append(f"{error.filename or 'the node'}: {error.strerror or error}")
    except Exception as error:
        found.problems.append(f"{type(error).__name__}: {error}")
    finally:
        for cleanup in run.cleanups:
            cleanup()
    found.warnings += dict.fromkeys(run.warnings)
    return found


def _look_at(section: t.Any, instance: str, document: Document) -> Look:
    found = _guarded(_settle, section, instance, _run(document, check=True))
    if not found.problems and document.asked(section.NAME, instance) is not None:
        _ask_again(found, section, _run(document, check=True))
    return found


def _apply_part(section: t.Any, instance: str) -> Look:
    return _guarded(_settle, section, instance, _run(Document.load(), check=False))


def _settle(found: Look, section: t.Any, run: Run) -> None:
    """Makes the part as the document has it, or in check mode plans that. The document itself is not worth a word."""
    parts = _as_documented(section, found.instance, run)
    outcome = _execution.settle(parts, run, TERMS)
    told = [(change, text) for change, text in zip(outcome.changes, outcome.diff) if change.resource.id != run.document.resource().id]
    found.changes, found.diff = [change for change, _text in told], [text for _change, text in told]
    part = next(part for part in parts if part.section == section.NAME)
    found.things = _things(part, found.changes if run.check else [], run.document)


def _as_documented(section: t.Any, instance: str, run: Run) -> list[Part]:
    """The part as the document has it, with another that is written for its sake, such as the network of an entry. Raises
    InputError."""
    opened = [(section, _resolved(section, instance, run.document), "")]
    _execution.check_options(opened)
    parts = _execution.planned_parts(opened, run)
    for part in parts:
        part.desired, part.asked, part.keeps = run.document.desired(part.section, part.instance), None, True
    return parts


def _resolved(section: t.Any, instance: str, document: Document) -> Options:
    try:
        return t.cast(Options, section.resolved(document.desired(section.NAME, instance)))
    except KeyError as error:
        raise NodeError(f"{document.path} does not say {error.args[0]}, as if of another release (expected a run of the playbook to complete it)") from error


def _things(part: Part, changes: t.Sequence[Change], document: Document) -> list[Thing]:
    """What is wanted, then what the document has of the part besides."""
    records = document.objects(part.section, part.instance)
    differing = {change.resource.id for change in changes}
    things = [_wanted_thing(want, want.resource.id in differing, records) for want in part.wants]
    there = {thing.id for thing in things}
    return things + [_recorded_thing(part.revive(oid), record) for oid, record in records.items() if oid not in there]


def _wanted_thing(want: Want, differs: bool, records: t.Mapping[str, Record]) -> Thing:
    resource = want.resource
    origin = records.get(resource.id, {}).get("origin", "")
    waits_for = resource.waits_for()
    if waits_for is not None:
        return Thing(resource.id, WAITING, origin, f"for {waits_for}")
    if not differs:
        return Thing(resource.id, OK, origin)
    now = resource.read()
    return Thing(resource.id, MISSING if now is None else DRIFT, origin, difference(now, want.state))


def _recorded_thing(resource: Resource, record: Record) -> Thing:
    """What is in the document alone is known by the hash of what was written."""
    now = resource.read()
    if resource.hash(now) == record["hash"]:
        return Thing(resource.id, OK, record["origin"])
    waits_for = resource.waits_for()
    if waits_for is not None:
        return Thing(resource.id, WAITING, record["origin"], f"for {waits_for}")
    return Thing(resource.id, MISSING if now is None else DRIFT, record["origin"])


def difference(now: State, wanted: State) -> str:
    """In a line, what differs between two states; "" where that would say no more than their names."""
    if isinstance(now, dict) and isinstance(wanted, dict):
        keys = [key for key in {**wanted, **now} if now.get(key) != wanted.get(key)]
        more = [f"and {len(keys) - MOST} more"] if len(keys) > MOST else []
        return ", ".join([*(f"{key} {_instead(now.get(key), wanted.get(key))}" for key in keys[:MOST]), *more])
    return _instead(now, wanted) if isinstance(now, str) and isinstance(wanted, str) else ""


def _instead(now: t.Any, wanted: t.Any) -> str:
    if not (isinstance(now, list) and isinstance(wanted, list)):
        return f"{_short(now)} instead of {_short(wanted)}"
    more, less = [item for item in now if item not in wanted], [item for item in wanted if item not in now]
    said = [f"{word} {_short(items)}" for word, items in (("with", more), ("without", less)) if items]
    return " and ".join(said) or "doubled or in another order"


def _short(value: t.Any) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_short, value))}]" if len(value) < 3 else f"{len(value)} items"
    text = str(value)
    return text if len(text) <= 40 else f"{text[:12]}…"


def _ask_again(found: Look, section: t.Any, run: Run) -> None:
    """What the options as they were given would mean on the node as it is now. That it cannot be told, whatever the reason, is
    no problem of the node's."""
    desired = run.document.desired(section.NAME, found.instance) or {}
    options = {**defaults(section.OPTIONS), **(run.document.asked(section.NAME, found.instance) or {})}
    try:
        run.sections = _all_sections(run.document)
        parts = _execution.planned_parts([(section, options, "")], run)
    except Exception as error:
        found.warnings.append(f"what was asked for could not be done now: {error}")
        return
    finally:
        for cleanup in run.cleanups:
            cleanup()
    would = next((part.desired for part in parts if part.section == section.NAME and part.instance == found.instance), None) or {}
    for key in getattr(section, "AUTO", desired):
        if would.get(key) != desired.get(key):
            found.choices[key] = (desired.get(key), would.get(key))


def _look_at_binaries(bin_dir: str, document: Document) -> Look:
    """The plugin binaries have no source on the node: they are compared with what was written, and cannot be mended here."""

    def work(found: Look, section: t.Any, run: Run) -> None:
        revive = functools.partial(section.revive, owners=dict)
        found.things = [_recorded_thing(revive(oid), record) for oid, record in document.objects(section.NAME, bin_dir).items()]

    return _guarded(work, cni_plugins, bin_dir, Run(document, check=True))

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Putting back what a run has changed: by the run itself, or from its journal by whoever comes next."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib
import json
import os
import sys
import typing as t

from . import _guard, _journal
from ._document import Document
from ._errors import InUse, Stays
from ._host import files, services
from ._journal import Journal, Step


@dataclasses.dataclass
class Undone:
    """What came of it. ``stuck`` could not be put back, ``kept`` must not be, since pods use it by now, ``stays`` cannot be and does no
    harm: each is the id of a resource -> the reason."""

    stuck: dict[str, str] = dataclasses.field(default_factory=dict)
    kept: dict[str, str] = dataclasses.field(default_factory=dict)
    stays: dict[str, str] = dataclasses.field(default_factory=dict)

    def __str__(self) -> str:
        stuck, left = (", ".join(f"{oid} ({reason})" for oid, reason in some.items()) for some in (self.stuck, {**self.kept, **self.stays}))
        if stuck:
            return f"these could not be put back: {stuck}"
        return f"everything else was put back, but for {left}" if left else "everything done before it was put back, the node is as it was"


def put_back(steps: t.Sequence[Step]) -> Undone:
    """Restores in reverse order, whether a step was begun or not.

    Twice: places among the rules of others are those of a node on which nothing of the run is left.
    """
    undone = Undone()
    for _round in range(2):
        undone = Undone()
        for step in reversed(steps):
            try:
                step.resource.restore(step.token)
            except InUse as reason:
                undone.kept[step.resource.id] = str(reason)
            except Stays as reason:
                undone.stays[step.resource.id] = str(reason)
            except BaseException as problem:  # the others must be put back, whatever happens to this one
                undone.stuck[step.resource.id] = str(problem) or type(problem).__name__
    return undone


def undo(journal: Journal) -> Undone:
    """Puts back what the run of the journal has changed, as far as a boot has not done it. The journal goes with the last of it;
    what is kept stays in there, so that it is still known who made it."""
    here = journal.is_of_this_boot()
    steps = [_step(entry) for entry in journal.steps if here or entry["survives_boot"]]
    for path in (path for step in steps for path in step.resource.paths()):
        files.sweep(path)
    undone = put_back(steps)
    finish(journal, undone)
    return undone


def finish(journal: Journal, undone: Undone, untried: t.Sequence[t.Mapping[str, t.Any]] = ()) -> None:
    """Leaves of the journal what is not done, and ``untried`` ones of its steps."""
    if undone.stuck:
        return
    wanted = Document.load(journal.data["document"]["path"]).found_contents()
    files.forget(set(files.entries(files.STORE)) - set(journal.data["store"]) - wanted)
    if journal.confirm:
        _guard.disarm(journal)
        _guard.remember(journal, _guard.REVERTED, str(undone))
    _journal.leave(journal, [*untried, *(entry for entry in journal.steps if entry["resource"] in undone.kept)])


def _step(entry: t.Mapping[str, t.Any]) -> Step:
    # What pods use may stay in the journals of runs to come, by whatever module: this has each of them bring what puts it back.
    from ._resources import bridge  # noqa: F401

    module, _colon, name = entry["class"].partition(":")
    kind = getattr(importlib.import_module(f".{module}", __package__), name)
    return Step(kind.again(*entry["arguments"]), entry["token"])


#: One run at a time changes a node: two would each write a document that knows nothing of the other's work.
LOCK = "/run/kubenode-network.lock"


def main(folder: str, argv: t.Sequence[str]) -> int:
    """The command line of the copied code, for the journal in ``folder``: ``guard RUN`` waits for a confirmation; ``undo`` puts back
    what is open, for somebody who holds the lock, and prints an Undone as JSON; ``boot`` takes the lock itself, as a person should."""
    if [*argv[:1], len(argv)] not in (["guard", 2], ["undo", 1], ["boot", 1]):
        sys.stderr.write("usage: undo.py boot (takes back what an unfinished run of kubenode.network has changed)\n")
        return 2
    files.STORE = os.path.join(folder, os.path.basename(files.STORE))
    if argv[0] == "guard":
        waiting = _journal.load()
        for entry in waiting.steps if waiting else ():
            _step(entry)  # imports what it needs while its code is there for certain
        return _guard.watch(argv[1], LOCK, lambda journal: not undo_or_say(journal).stuck)
    with contextlib.nullcontext() if argv[0] == "undo" else files.locked(LOCK, holder="the revert at boot"):
        journal = _journal.load()
        undone = Undone() if journal is None else undo_or_say(journal)
    sys.stdout.write(json.dumps(dataclasses.asdict(undone)) + "\n")
    if argv[0] == "boot":
        services.start_enabled(_guard.BOOT_UNIT)
    return 1 if undone.stuck else 0


def undo_or_say(journal: Journal) -> Undone:
    """The same, with whatever keeps it from being undone as what is stuck."""
    try:
        return undo(journal)
    except Exception as error:  # also of what the journal names and this code does not have
        return Undone(stuck={_journal.path(): f"{type(error).__name__}: {error}"})

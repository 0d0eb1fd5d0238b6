# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
import typing as t

from . import _guard, _journal, _undo
from ._converge import ApplyError, Plan
from ._document import Document
from ._errors import NodeError
from ._host import boot, files, process
from ._journal import Journal, Step

#: Seconds. More than all of a node's objects take.
UNDO = 600


class Transaction:
    """One run from its journal to its end, and what becomes of the contents in the store."""

    def __init__(self, name: str, before: Document, confirm_timeout: int | None = None) -> None:
        self._name = name
        self._before = before
        self._confirm = None if confirm_timeout is None else _guard.terms(confirm_timeout)
        self._store = set(files.entries(files.STORE))
        self._journal: Journal | None = None

    def begin(self, planned: Plan, steps: t.Sequence[Step]) -> None:
        last = _journal.load()
        kept = [entry for entry in (last.steps if last else []) if planned.after.record(entry["resource"]) is None]
        obsolete = _obsolete(self._before, planned.after)
        journal = _journal.begin(self._name, self._before, planned.after, steps, store=self._store, obsolete=obsolete, kept=kept, confirm=self._confirm)
        if journal.confirm:
            _guard.arm(journal)
        self._journal = journal

    def done(self) -> Journal | None:
        """Ends the run, or returns the journal of one that has to be confirmed."""
        journal = self._journal
        if journal is not None and journal.confirm:
            journal.wait()
            return journal
        if journal is not None:
            finish(journal)
        return None

    def failed(self, error: BaseException) -> None:
        """What an error, which may be an interruption, leaves to be done."""
        undone = getattr(error if isinstance(error, ApplyError) else error.__cause__, "undone", None)
        if self._journal is None:  # nothing was changed, but contents may have been kept already
            files.forget(set(files.entries(files.STORE)) - self._store - self._before.found_contents())
        elif undone is not None:
            _undo.finish(self._journal, undone)
        elif self._journal.is_committed():
            self.done()


def _obsolete(before: Document, after: Document) -> set[str]:
    """Contents that we wrote ourselves, or that were given back. What others wrote meanwhile stays in the store."""
    ours = {record["hash"] for record in before.records("file:")} | before.found_contents()
    return {sha256 for sha256 in ours if sha256} - after.found_contents()


def finish(journal: Journal) -> None:
    """Ends a run that has reached its aim, and is confirmed if it had to be."""
    if journal.confirm:
        _guard.disarm(journal)
        _guard.remember(journal, _guard.CONFIRMED)
    files.forget(journal.data["obsolete"])
    _journal.leave(journal, journal.data["kept"])


@contextlib.contextmanager
def only_writer(name: str, seconds: float) -> t.Iterator[Recovered]:
    """Holds the node's lock for a run, once what is open of another one is finished or undone. Raises NodeError when somebody else
    has it for so long, or when a change waits for its confirmation for so long."""
    end = time.monotonic() + seconds
    holder = f"the run of {name} that began at {_journal.now()} (process {os.getpid()})"
    while True:
        with files.locked(_undo.LOCK, max(0, end - time.monotonic()), holder):
            journal = _journal.load()
            if journal is None or not journal.waits():
                yield recover()
                return
            if time.monotonic() > end:
                raise NodeError(f"{journal.title} waits to be confirmed{_left(journal)}; confirm it, revert it, or try again later (run {journal.run['id']})")
        time.sleep(_guard.INTERVAL)


def _left(journal: Journal) -> str:
    confirm = t.cast("dict[str, t.Any]", journal.confirm)
    return f" for another {max(0, confirm['until'] - boot.seconds()):.0f} s"


class Answer(t.NamedTuple):
    """What became of a change that waited to be confirmed. ``undone`` is None for one that stays."""

    run: str
    changed: bool
    undone: _undo.Undone | None = None


def confirm(run: str | None, *, check: bool = False) -> Answer:
    """Ends the wait of a change: it stays. Raises NodeError when it waits no more, unless it was confirmed before."""
    return _answer(run, _guard.CONFIRMED, finish, check)


def revert(run: str | None, *, check: bool = False) -> Answer:
    """Takes a change back that waits to be confirmed. Raises NodeError when it waits no more, unless it was taken back before."""
    return _answer(run, _guard.REVERTED, _undone_by_its_own_code, check)


def _answer(run: str | None, aim: str, deed: t.Callable[[Journal], _undo.Undone | None], check: bool) -> Answer:
    with contextlib.nullcontext() if check else files.locked(_undo.LOCK, holder="the answer to a change that waits to be confirmed"):
        journal = _journal.load()
        if journal is not None and journal.waits():
            if run not in (None, journal.run["id"]):
                raise NodeError(f"another run waits to be confirmed: {journal.run['id']} (expected {run})")
            return Answer(journal.run["id"], True, None if check else deed(journal))
    last = _guard.last()
    if not last or run not in (None, last["run"]):
        raise NodeError(f"no change {f'of the run {run} ' if run else ''}waits to be confirmed")
    if run is None or last["end"] != aim:
        raise NodeError(f"no change waits to be confirmed: that of the run {last['run']} was {last['end']}{_remark(last)}")
    return Answer(last["run"], False)


def _remark(last: t.Mapping[str, str]) -> str:
    return f" ({last['remark']})" if last.get("remark") else ""


class Recovered(t.NamedTuple):
    """What became of a run that did not end: words for a person, and the ids of what it made and pods use by now."""

    warnings: list[str]
    made: frozenset[str] = frozenset()


def recover() -> Recovered:
    """Finishes or undoes what a run that died has left open. The caller holds the lock. Raises NodeError when that fails."""
    journal = _journal.load()
    if journal is None:
        _sweep()
        return Recovered([])
    if journal.is_committed():
        finish(journal)
        return Recovered([f"{journal.title} had done its work when it was interrupted; it is finished now"], _kept_of(_journal.load()))
    undone = _undone_by_its_own_code(journal)
    if undone.stuck:
        text = f"{journal.title} was interrupted, and cannot be undone: {undone}"
        raise NodeError(f"nothing else was changed: {text} (expected the cause mended, or {_journal.path()} moved away to go on with the node as it is)")
    if journal.is_over:
        return Recovered([], frozenset(undone.kept))
    end = "was not confirmed" if journal.confirm and journal.confirm["until"] is not None else "was interrupted"
    return Recovered([f"{journal.title} {end}; {undone}"], frozenset(undone.kept))


def pending() -> str | None:
    """What a run would first do about another one that died."""
    journal = _journal.load()
    if journal is None or journal.is_over:
        return None
    if journal.waits():
        return f"{journal.title} waits to be confirmed{_left(journal)}"
    deed = "finish" if journal.is_committed() else "undo"
    return f"{journal.title} was interrupted; a run that may change the node will first {deed} it, which is not in this plan"


def _kept_of(journal: Journal | None) -> frozenset[str]:
    return frozenset(entry["resource"] for entry in journal.steps) if journal else frozenset()


def _sweep() -> None:
    """Removes what a run leaves that dies around its journal."""
    if os.path.exists(_journal.archive()) or os.path.exists(_journal.launcher()):
        _journal.close()


def _undone_by_its_own_code(journal: Journal) -> _undo.Undone:
    """The release that wrote a journal knows how to read it, and has all the sections that are in there."""
    python = journal.run["python"] if os.path.exists(journal.run["python"]) else sys.executable
    result = process.run([python, _journal.launcher(), "undo"], timeout=UNDO)
    try:
        return _undo.Undone(**json.loads(result.stdout))
    except (ValueError, TypeError):
        raise NodeError(f"{_journal.launcher()} failed with status {result.returncode}: {result.stderr.strip() or result.stdout}") from None

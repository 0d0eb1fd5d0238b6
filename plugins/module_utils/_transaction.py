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
        kept = last.steps if last else []
        obsolete = _obsolete(self._before, planned.after)
        journal = _journal.begin(self._name, self._before, planned.after, steps, store=self._store, obsolete=obsolete, kept=kept, confirm=self._confirm)
        if journal.confirm:
            _guard.arm(journal)
        self._journal = journal

    def done(self) -> list[str]:
        """Ends the run. Returns what is to be said of that: no trouble with its journal takes back what is done."""
        try:
            if self._journal is not None:
                finish(self._journal)
            return []
        except NodeError as error:
            return [f"the run is done, but its journal could not be taken away, which the next run will do: {error}"]

    def wait(self) -> Journal | None:
        """The journal of a run that is done and has to be confirmed."""
        if self._journal is None or not self._journal.confirm:
            return None
        try:
            self._journal.wait()
        except NodeError as error:
            raise NodeError(f"the change is taken back, since its time to be confirmed cannot be written down: {error}") from error
        return self._journal

    def failed(self, error: BaseException) -> None:
        """What an error, which may be an interruption, leaves to be done."""
        undone = getattr(error if isinstance(error, ApplyError) else error.__cause__, "undone", None)
        if self._journal is None:
            return  # nothing was touched
        if undone is not None:
            _undo.finish(self._journal, undone, untried=self._journal.data["kept"])
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
    held = Document.load(journal.data["document"]["path"]).holders
    _journal.leave(journal, [entry for entry in journal.data["kept"] if not held(entry["resource"])])


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
    """Takes a change back that was to be confirmed. Raises NodeError when none is open, unless it was taken back before."""
    return _answer(run, _guard.REVERTED, _undone_by_its_own_code, check)


def _answer(run: str | None, aim: str, deed: t.Callable[[Journal], _undo.Undone | None], check: bool) -> Answer:
    with contextlib.nullcontext() if check else files.locked(_undo.LOCK, holder="the answer to a change that waits to be confirmed"):
        journal = _journal.load()
        if journal is not None and journal.confirm:
            if run not in (None, journal.run["id"]):
                raise NodeError(f"another run waits to be confirmed: {journal.run['id']} (expected {run})")
            if aim == _guard.CONFIRMED and not journal.waits():
                raise NodeError(f"no change waits to be confirmed: the time of the run {journal.run['id']} is over, its guard or the next run takes it back")
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
    """What a run would first do about another one that died, or have to wait for."""
    busy = files.holder_of(_undo.LOCK)
    if busy is not None:
        return f"{busy} is changing the node now; what is said of it may be out of date already"
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
    if os.path.isdir(_journal.folder()) and files.entries(_journal.folder()) != [os.path.basename(files.STORE)]:
        with contextlib.suppress(NodeError):  # without a journal it is no harm
            _journal.close()


def _undone_by_its_own_code(journal: Journal) -> _undo.Undone:
    """The release that wrote a journal knows how to read it, and has all the sections that are in there. Where its code is lost or
    damaged, this one's may do."""
    python = journal.run["python"] if os.path.exists(journal.run["python"]) else sys.executable
    try:
        result = process.run([python, _journal.launcher(), "undo"], timeout=UNDO)
        return _undo.Undone(**json.loads(result.stdout))
    except (NodeError, ValueError, TypeError) as error:
        reason = str(error) if isinstance(error, NodeError) else _last_line(result.stderr) or f"it ended with status {result.returncode}"
    undone = _undo.undo_or_say(journal)
    if undone.stuck:
        undone.stuck[_journal.launcher()] = reason
    return undone


def _last_line(text: str) -> str:
    return text.strip().rpartition("\n")[2]

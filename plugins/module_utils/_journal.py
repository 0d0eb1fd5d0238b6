# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import os
import sys
import time
import typing as t

from ._document import SEAL, Document, DocumentFile
from ._errors import NodeError
from ._host import boot, code, files
from ._resource import Resource

#: The form of the journal. Its own copy of the code reads it, so that it need not be understood by other releases.
SCHEMA = 1
PACKAGE = __name__.rpartition(".")[0]
#: Runs the copy of the code. A person may do the same: ``python3 /var/lib/kubenode-network/undo.py boot``.
LAUNCHER = """\
# Puts back what an unfinished run of kubenode.network has changed: journal.json beside this file. Any later run does so, too.
# By hand: python3 THIS_FILE boot
import importlib
import sys

sys.path.insert(0, {archive!r})
sys.path += [folder for folder in {folders!r} if folder not in sys.path]
sys.exit(importlib.import_module({module!r}).main({folder!r}, sys.argv[1:]))
"""


class Step(t.NamedTuple):
    """One thing that a run changes, and what ``restore`` needs to put it back."""

    resource: Resource
    token: t.Any

    def as_dict(self) -> dict[str, t.Any]:
        kind = type(self.resource)
        module = kind.__module__.removeprefix(f"{PACKAGE}.") if kind.__module__.startswith(PACKAGE) else kind.__module__
        return {
            "resource": self.resource.id,
            "class": f"{module}:{kind.__qualname__}",
            "arguments": self.resource.arguments(),
            "survives_boot": self.resource.survives_boot,
            "token": self.token,
        }


@dataclasses.dataclass(eq=False, repr=False)
class Journal:
    """What a run that is going on would put back, in /var/lib/kubenode-network, written and synced before its first change.

    ``data``: ``{"schema", "run": {"id", "name", "pid", "began"}, "boot", "document": {"path", "before", "after"}, "store": [SHA-256],
    "obsolete": [SHA-256], "steps": [STEP], "kept": [STEP], "confirm": null | {"seconds", "until", "files"}}``. ``before`` and ``after`` are the checksums
    of the node's document, whose rename is the commit point. ``store`` are the contents that were kept before, ``obsolete`` those that
    nobody wants once the run is done. ``kept`` is what an earlier run that was undone had to leave, since pods used it; it stays in there
    until the document holds it. ``until``: by the clock of ``boot.seconds()``, None while the run goes on; ``files``: what starts the undo after a boot.
    """

    data: dict[str, t.Any]

    @property
    def run(self) -> dict[str, t.Any]:
        return t.cast("dict[str, t.Any]", self.data["run"])

    @property
    def title(self) -> str:
        """``the run of node_network that began at 2026-11-21T17:03:12Z (process 4711)``"""
        return f"the run of {self.run['name']} that began at {self.run['began']} (process {self.run['pid']})"

    @property
    def is_over(self) -> bool:
        """Whether nothing is left of it but what pods use."""
        return not self.data["steps"]

    @property
    def steps(self) -> list[dict[str, t.Any]]:
        """What it would put back, in the order in which it was done."""
        return [*self.data["kept"], *self.data["steps"]]

    def is_of_this_boot(self) -> bool:
        return bool(self.data["boot"] == boot.identity())

    @property
    def confirm(self) -> dict[str, t.Any] | None:
        return t.cast("dict[str, t.Any] | None", self.data["confirm"])

    def waits(self) -> bool:
        """Whether the run is done, and has time left to be confirmed."""
        return self.confirm is not None and self.is_of_this_boot() and self.confirm["until"] is not None and boot.seconds() < self.confirm["until"]

    def wait(self) -> None:
        """The run is done; its time to be confirmed begins."""
        confirm = t.cast("dict[str, t.Any]", self.confirm)
        confirm["until"] = boot.seconds() + confirm["seconds"]
        self.save()

    def is_committed(self) -> bool:
        """Whether the document of the run is in place, and need not be confirmed. A run that changes no document has no such
        point: it is undone."""
        document = self.data["document"]
        return self.confirm is None and not self.is_over and document["before"] != document["after"] and _seal_of(document["path"]) == document["after"]

    def save(self) -> None:
        text = json.dumps({**self.data, SEAL: _seal(self.data)}, indent=1) + "\n"
        files.write(path(), files.Bytes(text.encode()), mode=0o600)


def now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def folder() -> str:
    return os.path.dirname(files.STORE)


def path() -> str:
    return os.path.join(folder(), "journal.json")


def launcher() -> str:
    return os.path.join(folder(), "undo.py")


def archive() -> str:
    return os.path.join(folder(), "undo.zip")


def load() -> Journal | None:
    """The journal of a run that is not finished. Raises NodeError for one that cannot be read."""
    text = files.read_text(path())
    if text is None:
        return None
    try:
        data = json.loads(text)
        seal = data.pop(SEAL)
        if data["schema"] == SCHEMA and seal == _seal(data):
            return Journal(data)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        pass
    raise NodeError(f"{path()} is damaged, or of another release; what its run changed is not known (expected it moved away, to go on with the node as it is)")


def begin(
    name: str,
    before: Document,
    after: Document,
    steps: t.Sequence[Step],
    *,
    store: t.Iterable[str],
    obsolete: t.Iterable[str],
    kept: t.Sequence[t.Mapping[str, t.Any]] = (),
    confirm: t.Mapping[str, t.Any] | None = None,
) -> Journal:
    """Writes the journal, and the code that can undo it, to the disk. Nothing may be changed before."""
    began = now()
    data = {
        "schema": SCHEMA,
        "run": {"id": f"{began}-{os.urandom(4).hex()}", "name": name, "pid": os.getpid(), "began": began, "python": sys.executable},
        "boot": boot.identity(),
        "document": {"path": before.path, "before": _seal_of(before.path), "after": after.seal()},
        "store": sorted(store),
        "obsolete": sorted(obsolete),
        "steps": [step.as_dict() for step in steps],
        "kept": list(kept),
        "confirm": None if confirm is None else {**confirm, "until": None},
    }
    journal = Journal(data)
    try:
        files.make_folder(folder(), 0o700)
        bytes_, package = code.running(PACKAGE)
        files.write(archive(), files.Bytes(bytes_), mode=0o600)
        text = LAUNCHER.format(archive=archive(), module=f"{package}._undo", folder=folder(), folders=_libraries())
        files.write(launcher(), files.Bytes(f"#!{sys.executable}\n{text}".encode()), mode=0o700)
        journal.save()
    except NodeError as error:
        with contextlib.suppress(NodeError):  # a journal of steps that were not begun is no harm
            leave(journal, kept)
        raise NodeError(f"nothing was changed: the journal of this run cannot be kept: {error}") from error
    return journal


def _libraries() -> list[str]:
    """Where this process finds its libraries, also where an environment variable has said so: folders and archives. Not where it comes from
    itself, which may be anybody's place when it is gone."""
    return [entry for entry in sys.path if os.path.exists(entry) and entry != code.archive()]


def leave(journal: Journal, entries: t.Sequence[t.Mapping[str, t.Any]]) -> None:
    """Leaves nothing of the journal but these of its steps, whose things are kept."""
    if not entries:
        close()
        return
    oldest = {entry["resource"]: entry for entry in reversed(entries)}
    kept = [entry for entry in entries if entry is oldest[entry["resource"]]]
    journal.data.update(steps=[], kept=kept, confirm=None, obsolete=[], store=files.entries(files.STORE))
    journal.save()


def close() -> None:
    """Takes the journal away: its run is done, or undone. First the journal itself, which the rest is there for."""
    files.sweep(path())
    files.remove(path())
    with contextlib.suppress(NodeError):  # without a journal they do nothing, and the next run clears them away
        for file in (launcher(), archive()):
            files.sweep(file)
            files.remove(file)
        files.clear_scratch()
        files.remove_folder(folder())


def _seal(data: t.Mapping[str, t.Any]) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()


def _seal_of(document: str) -> str | None:
    content = DocumentFile(document).content()
    return content.get(SEAL) if isinstance(content, dict) else None

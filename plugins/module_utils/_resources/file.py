# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import typing as t

from .._converge import Want
from .._document import Document
from .._host import files, kept
from .._resource import Resource, State


class File(Resource):
    """A file, by content, mode and owner.

    State: ``{"sha256", "mode", "owner", "group"}``, or ``{"symlink": target}`` for a link that was found there. A ``binary``, which
    is large, is read in full only when it changed since it was.
    """

    survives_boot = True

    def __init__(self, path: str, content: files.Content | None = None, *, binary: bool = False) -> None:
        self.path = path
        self.id = f"file:{path}"
        self.content = content
        self.binary = binary

    def wanted(self, mode: int = 0o644) -> State:
        """The state in which the file holds this resource's content, owned by root."""
        return {"sha256": t.cast("files.Content", self.content).sha256, "mode": f"{mode:04o}", "owner": 0, "group": 0}

    def read(self) -> State:
        return files.state(self.path, kept.sha256_of if self.binary else files.sha256_of)

    def write(self, state: State) -> None:
        if state is None:
            files.remove(self.path)
        elif "symlink" in state:
            files.symlink(self.path, state["symlink"])
        elif self._same_content(state):
            files.chown_chmod(self.path, mode=int(state["mode"], 8), owner=state["owner"], group=state["group"])
        else:
            files.write(self.path, self._source(state["sha256"]), mode=int(state["mode"], 8), owner=state["owner"], group=state["group"])

    def paths(self) -> t.Sequence[str]:
        return (self.path,)

    def _same_content(self, state: State) -> bool:
        return (self.read() or {}).get("sha256") == state["sha256"]

    def _source(self, sha256: str) -> files.Content:
        return self.content if self.content is not None and self.content.sha256 == sha256 else files.kept(sha256)

    def capture(self) -> t.Any:
        return {"state": self.read(), "beside": None}

    def keep(self, token: t.Any) -> None:
        if token["state"] is not None and "sha256" in token["state"]:
            files.keep(self.path, token["state"]["sha256"])

    def hash(self, state: State) -> str | None:
        return None if state is None else state.get("sha256")

    def title(self, state: State) -> str:
        if state is None or "symlink" in state or self.binary:
            return super().title(state)
        return f"{self.id} ({_rights(state)})"

    def describe(self, state: State) -> str:
        if state is None or "symlink" in state:
            return super().describe(state)
        if self.binary:
            return f"sha256 {state['sha256'][:12]}, {_rights(state)}\n"
        return self._text(state["sha256"])

    def _text(self, sha256: str) -> str:
        now = self.read()
        if now is not None and now.get("sha256") == sha256:
            return files.read_text(self.path) or ""
        return b"".join(self._source(sha256).chunks()).decode("utf-8", "replace")


def _rights(state: t.Mapping[str, t.Any]) -> str:
    return f"mode {state['mode']}, owner {state['owner']}:{state['group']}"


class Folder(Resource):
    """A folder, by mode and owner. State: ``{"mode", "owner", "group"}``. It only goes away when it is empty."""

    survives_boot = True

    def __init__(self, path: str, *, stays: bool = False) -> None:
        self.path = path
        self.id = f"folder:{path}"
        #: A runtime that watches the folder loses it for good when it is removed (containerd 2.1 exits), so some stay.
        self.stays = stays

    def read(self) -> State:
        return files.folder_state(self.path)

    def write(self, state: State) -> None:
        if state is None:
            files.remove_folder(self.path)
            return
        files.make_folder(self.path, int(state["mode"], 8))
        files.chown_chmod(self.path, mode=int(state["mode"], 8), owner=state["owner"], group=state["group"])

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        if found is not None:
            return False
        inside = [os.path.join(self.path, name) for name in files.entries(self.path)]
        return self.stays or any(not self.goes(path, releasing) for path in inside)

    def goes(self, path: str, releasing: t.AbstractSet[str]) -> bool:
        """Whether something in the folder is given back with it."""
        return bool({f"file:{path}", f"folder:{path}"} & releasing)


ROOT_FOLDER = {"mode": "0755", "owner": 0, "group": 0}


def folder_wants(path: str, document: Document, *, stays: bool = False) -> list[Want]:
    """The folder and its parents, as far as they are missing or were made by us. One that others made is theirs: it
    stays as it is (cni.md section 8)."""
    parent = os.path.dirname(path)
    wants = folder_wants(parent, document, stays=stays) if parent != path else []
    folder = Folder(path, stays=stays)
    record = document.record(folder.id)
    state = folder.read()
    if state is None or (record is not None and record["origin"] == "created"):
        wants.append(Want(folder, state or ROOT_FOLDER))
    return wants


def revive(object_id: str, *, binary: bool = False, folders_stay: bool = False) -> Resource:
    """The resource of an id that the document names."""
    kind, _colon, path = object_id.partition(":")
    return Folder(path, stays=folders_stay) if kind == "folder" else File(path, binary=binary)

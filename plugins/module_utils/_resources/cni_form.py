# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import typing as t

from .._cni import entries, splice
from .._document import Document
from .._errors import NodeError
from .._host import files
from .._resource import Resource, State
from . import cni_entry
from .cni_entry import load, read_text

SINGLE, LIST = "single", "list"


class CniForm(Resource):
    """Whether somebody's network is a single configuration or a list. State: "single", "list" or None for neither.

    The new file is complete before the old one goes, and both say the same: whichever of the two a loader takes, it has
    the network. ``original`` is the text of the single configuration that was found, if it was found by an earlier run.
    """

    survives_boot = True

    def __init__(self, path: str, original: str | None = None) -> None:
        self.path = path
        self.list_path = list_path(path)
        self.original = original
        self.id = f"cni_form:{path}"

    def read(self) -> State:
        if os.path.lexists(self.path):
            return SINGLE
        return LIST if os.path.lexists(self.list_path) else None

    def write(self, state: State) -> None:
        if state is None or state == self.read():
            return
        old, new = (self.path, self.list_path) if state == LIST else (self.list_path, self.path)
        now = files.state(old)
        if now is None or "symlink" in now:
            raise NodeError(f"{old} is no longer a file")
        text = self.as_list() if state == LIST else self.as_single(read_text(self.list_path) or "")
        files.write(new, files.Bytes(text.encode()), mode=int(now["mode"], 8), owner=now["owner"], group=now["group"])
        files.remove(old)

    def as_list(self) -> str:
        """What the single configuration becomes."""
        text = read_text(self.path) or ""
        try:
            return _laid_out(entries.to_list(load(self.path, text)), text)
        except ValueError as error:
            raise NodeError(f"{self.path} {error}") from error

    def as_single(self, text: str, *, whole: bool = True) -> str:
        """What the list of this text becomes, or unless ``whole`` its first plugin: the original, unless somebody changed that."""
        config = load(self.list_path, text)
        if not whole:
            config["plugins"] = config["plugins"][:1]
        if self.original is not None and splice.dump(entries.to_list(splice.load(self.original))) == splice.dump(config):
            return self.original
        try:
            return _laid_out(entries.to_single(config), text)
        except ValueError as error:
            raise NodeError(f"{self.list_path} {error}") from error

    def beside(self) -> t.Any:
        return read_text(self.path) if self.read() == SINGLE else None

    def capture(self) -> t.Any:
        """Both files, each with its content as text of one character a byte, or None."""
        return {path: snapshot(path) for path in (self.path, self.list_path)}

    def restore(self, token: t.Any) -> None:
        for path, file in token.items():
            put_back(path, file)
        for path in [path for path, file in token.items() if file is None and os.path.lexists(path)]:
            files.remove(path)

    def paths(self) -> t.Sequence[str]:
        return (self.path, self.list_path)

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        """Whether the list has by now what a single configuration cannot hold, or is gone."""
        text = read_text(self.list_path)
        if text is None or self.read() != LIST:
            return True
        config = load(self.list_path, text)
        others = [plugin for plugin in config["plugins"][1:] if cni_entry.CniEntry(self.list_path, plugin["type"]).id not in releasing]
        return not _is_single({**config, "plugins": [config["plugins"][0], *others]})

    def fits(self, text: str) -> bool:
        """Whether the list of this text can become a single configuration."""
        return _is_single(load(self.list_path, text))

    def title(self, state: State) -> str:
        return super().title(state) if state is None else f"file:{self.path if state == SINGLE else self.list_path}"

    def describe(self, state: State) -> str:
        """The text of the state's file: as it is, or as what the other file becomes when the entries in it are gone."""
        if state is None:
            return ""
        if state == self.read():
            return read_text(self.path if state == SINGLE else self.list_path) or ""
        return self.as_list() if state == LIST else self.as_single(read_text(self.list_path) or "", whole=False)


def _is_single(config: t.Mapping[str, t.Any]) -> bool:
    try:
        entries.to_single(config)
    except ValueError:
        return False
    return True


def list_path(path: str) -> str:
    """The list that takes the place of a single configuration: ``10-mynet.conflist`` for ``10-mynet.conf``."""
    return f"{os.path.splitext(path)[0]}.conflist"


def _laid_out(config: t.Mapping[str, t.Any], like: str) -> str:
    begin = splice.line_break(like)
    return splice.dump(dict(config), splice.unit_of(like), begin) + begin


def snapshot(path: str) -> dict[str, t.Any] | None:
    """A file's state with its content as text of one character a byte."""
    state = files.state(path)
    return None if state is None else {**state, "data": b"".join(files.FileContent(path).chunks()).decode("latin-1")}


def put_back(path: str, file: t.Mapping[str, t.Any] | None) -> None:
    if file is not None and file != snapshot(path):
        files.write(path, files.Bytes(file["data"].encode("latin-1")), mode=int(file["mode"], 8), owner=file["owner"], group=file["group"])


def revive(document: Document, object_id: str) -> Resource:
    """The resource of an id that the document names: of a form, or of an entry."""
    if object_id.startswith("cni_form:"):
        return CniForm(object_id.partition(":")[2], (document.record(object_id) or {}).get("beside"))
    return cni_entry.revive(object_id)

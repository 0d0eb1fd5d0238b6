# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import typing as t

from .._cni import entries, model, splice
from .._errors import NodeError
from .._host import files
from .._resource import Resource, State


class CniEntry(Resource):
    """One plugin's entry in a network list that somebody else wrote. State: the entry, or None when it has none.

    Nothing else in the file changes, not one character. An entry that was found keeps its spelling beside its state.
    """

    survives_boot = True

    def __init__(self, path: str, plugin: str) -> None:
        self.path = path
        self.plugin = plugin
        self.id = f"cni_entry:{path}#{plugin}"

    def arguments(self) -> list[t.Any]:
        return [self.path, self.plugin]

    def read(self) -> State:
        text = read_text(self.path)
        if text is None:
            return None
        chain = load(self.path, text)["plugins"]
        index = entries.find_entry(chain, self.plugin)
        return None if index is None else chain[index]

    def write(self, state: State) -> None:
        text = read_text(self.path)
        if text is not None:
            self._put(text, self._without(text) if state is None else self._with(text, state))
        elif state is not None:
            raise NodeError(f"{self.path} is no longer there")

    def _with(self, text: str, entry: dict[str, t.Any]) -> str:
        chain = load(self.path, text)["plugins"]
        index = entries.find_entry(chain, self.plugin)
        if index is None:
            return splice.put(text, entries.place(chain), entry)
        return text if chain[index] == entry else splice.replace(text, index, entry)

    def _without(self, text: str) -> str:
        while True:
            chain = load(self.path, text)["plugins"]
            index = entries.find_entry(chain, self.plugin)
            if index is None:
                return text
            if len(chain) == 1:
                raise NodeError(f"{self.path} has no other plugin, and a list without any does not load")
            text = splice.take_out(text, index)

    def _put(self, before: str, after: str) -> None:
        if after != before:
            put(os.path.realpath(self.path), after.encode())

    def beside(self) -> t.Any:
        text = read_text(self.path)
        index = None if text is None else entries.find_entry(load(self.path, text)["plugins"], self.plugin)
        return None if text is None or index is None else splice.element(text, index)

    def write_beside(self, beside: t.Any) -> None:
        text = read_text(self.path)
        if text is not None:
            self._put(text, self._spelled(text, beside))

    def _spelled(self, text: str, beside: str) -> str:
        """Gives an entry its spelling back, where it is the one that was found."""
        chain = load(self.path, text)["plugins"]
        index = entries.find_entry(chain, self.plugin)
        return text if index is None or chain[index] != splice.load(beside) else splice.replace(text, index, beside)

    def given_back(self, text: str, found: State, beside: t.Any) -> str:
        """What the list's text becomes when the entry is given back as it was ``found``."""
        text = self._without(text) if found is None else self._with(text, found)
        return text if beside is None else self._spelled(text, beside)

    def capture(self) -> State:
        """The whole file behind a symbolic link, as text of one character a byte; the store is for what is found."""
        target = os.path.realpath(self.path)
        if files.state(target) is None:
            return None
        return b"".join(files.FileContent(target).chunks()).decode("latin-1")

    def restore(self, token: State) -> None:
        if token is not None and token != self.capture():  # what was not changed needs no room and no permission
            put(os.path.realpath(self.path), token.encode("latin-1"))

    def paths(self) -> t.Sequence[str]:
        return (os.path.realpath(self.path),)

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        return not os.path.exists(self.path)  # with the list, what we changed in it is gone

    def describe(self, state: State) -> str:
        return "" if state is None else splice.dump(state) + "\n"


def read_text(path: str) -> str | None:
    """The text of a file with the line breaks that it has, None when there is none."""
    data = files.read_bytes(path)
    try:
        return None if data is None else data.decode()
    except UnicodeDecodeError as error:
        raise NodeError(f"{path} is not UTF-8, so it cannot be changed without losing bytes") from error


def load(path: str, text: str) -> dict[str, t.Any]:
    """The config in the text of a file, as loaders take it and as it can be written back."""
    try:
        model.parse(text, os.path.basename(path))
        return t.cast("dict[str, t.Any]", splice.load(text))
    except model.ConfigError as error:
        raise NodeError(f"{path} is not a valid network: {error.reason}") from error
    except ValueError as error:
        raise NodeError(f"{path}: {error}") from error


def put(path: str, data: bytes) -> None:
    now = files.state(path) or {"mode": "0644", "owner": 0, "group": 0}
    files.write(path, files.Bytes(data), mode=int(now["mode"], 8), owner=now["owner"], group=now["group"])


def revive(object_id: str) -> CniEntry:
    path, _hash, plugin = object_id.partition(":")[2].rpartition("#")
    return CniEntry(path, plugin)

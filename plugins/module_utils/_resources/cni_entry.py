# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import json
import os
import typing as t

from .._cni import entries, model
from .._errors import NodeError
from .._host import files
from .._resource import Resource, State


class CniEntry(Resource):
    """One plugin's entry in a network list that somebody else wrote. State: the entry, or None when it has none.

    Everything else in the file, the order of its keys too, stays as it is.
    """

    def __init__(self, path: str, plugin: str) -> None:
        self.path = path
        self.plugin = plugin
        self.id = f"cni_entry:{path}#{plugin}"

    def read(self) -> State:
        text = files.read_text(self.path)
        if text is None:
            return None
        chain = self._parse(text)["plugins"]
        index = entries.find_entry(chain, self.plugin)
        return None if index is None else chain[index]

    def write(self, state: State) -> None:
        text = files.read_text(self.path)
        if text is None:
            if state is not None:
                raise NodeError(f"{self.path} is no longer there")
            return
        config = self._parse(text)
        changed = entries.without_entry(config, self.plugin) if state is None else entries.with_entry(config, state)
        if changed != config:
            _put(os.path.realpath(self.path), model.render(changed).encode())

    def _parse(self, text: str) -> dict[str, t.Any]:
        if "\ufffd" in text:  # what files.read_text puts for bytes that are no UTF-8
            raise NodeError(f"{self.path} is not UTF-8, so it cannot be changed without losing bytes")
        try:
            return model.parse(text, os.path.basename(self.path))
        except ValueError as error:
            raise NodeError(f"{self.path} is not a valid network list: {error}") from error

    def capture(self) -> State:
        """The whole file behind a symbolic link, as text of one character a byte; the store is for what is found."""
        target = os.path.realpath(self.path)
        if files.state(target) is None:
            return None
        return b"".join(files.FileContent(target).chunks()).decode("latin-1")

    def restore(self, token: State) -> None:
        if token is not None:
            _put(os.path.realpath(self.path), token.encode("latin-1"))

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        return not os.path.exists(self.path)  # with the list, what we changed in it is gone

    def describe(self, state: State) -> str:
        return "" if state is None else json.dumps(state, indent=2) + "\n"


def leaves_a_plugin(path: str, plugin: str) -> bool:
    """Whether the list at ``path`` has other plugins; without any, no loader takes it."""
    config = model.parse(files.read_text(path) or "", os.path.basename(path))
    return any(entry.get("type") != plugin for entry in config["plugins"])


def _put(path: str, data: bytes) -> None:
    now = files.state(path) or {"mode": "0644", "owner": 0, "group": 0}
    files.write(path, files.Bytes(data), mode=int(now["mode"], 8), owner=now["owner"], group=now["group"])


def revive(object_id: str) -> CniEntry:
    path, _hash, plugin = object_id.partition(":")[2].rpartition("#")
    return CniEntry(path, plugin)

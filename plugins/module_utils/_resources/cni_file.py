# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import typing as t

from .._errors import NodeError
from .._host import files
from .._resource import Resource, State

ENABLED, DISABLED = "enabled", "disabled"
#: No loader reads a file of this extension (cni.md 1.1).
SUFFIX = ".kubenode-disabled"


class CniFile(Resource):
    """Somebody else's CNI file, as far as loaders see it. State: ``enabled``, or ``disabled`` by another name beside it, or
    None when it is not there by either name."""

    survives_boot = True

    def __init__(self, path: str) -> None:
        self.path = path
        self.aside = path + SUFFIX
        self.id = f"cni_file:{path}"

    def read(self) -> State:
        if os.path.lexists(self.path):
            return ENABLED
        return DISABLED if os.path.lexists(self.aside) else None

    def write(self, state: State) -> None:
        if state == self.read():
            return
        if state is None:
            raise NodeError(f"{self.path} belongs to somebody else and is not removed")
        if state == ENABLED:
            files.rename(self.aside, self.path)
            return
        self._keep_older()
        files.rename(self.path, self.aside)

    def _keep_older(self) -> None:
        """A package that came back with its file puts another one aside; the one before goes into the store."""
        older = files.state(self.aside)
        if older is not None and "sha256" in older:
            files.keep(self.aside, older["sha256"])
        elif older is not None and older != files.state(self.path):
            raise NodeError(f"{self.aside} is there already, a symbolic link that leads to {older['symlink']} (expected it taken away)")

    def capture(self) -> t.Any:
        older = files.state(self.aside) if self.read() == ENABLED else None
        return {"state": self.read(), "older": older}

    def keep(self, token: t.Any) -> None:
        if token["older"] is not None and "sha256" in token["older"]:
            files.keep(self.aside, token["older"]["sha256"])

    def restore(self, token: t.Any) -> None:
        self.write(token["state"])
        older = token["older"]
        if older is not None and "sha256" in older and files.state(self.aside) is None:
            rights = {"mode": int(older["mode"], 8), "owner": older["owner"], "group": older["group"]}
            files.write(self.aside, files.kept(older["sha256"]), **rights)

    def found(self, state: State) -> State:
        """Nobody else gives a file that name."""
        return ENABLED if state == DISABLED else state

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        return self.read() is None  # whoever owns it took it away meanwhile

    def title(self, state: State) -> str:
        return self.id

    def describe(self, state: State) -> str:
        """Which name the file has, so that a person finds it again."""
        names = {ENABLED: f"{os.path.basename(self.path)}\n", DISABLED: f"{os.path.basename(self.aside)} (which no loader reads)\n"}
        return names.get(state, "")


def revive(object_id: str) -> CniFile:
    return CniFile(object_id.partition(":")[2])

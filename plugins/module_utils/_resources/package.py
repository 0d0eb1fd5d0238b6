# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from .._host import packages
from .._resource import Resource, State


class Package(Resource):
    """A package of the distribution, whatever its version. State: ``{"installed": True}``; False for half of one."""

    survives_boot = True

    def __init__(self, name: str, manager: str) -> None:
        self.id = f"package:{name}"
        self.name, self.manager = name, manager

    def arguments(self) -> list[t.Any]:
        return [self.name, self.manager]

    def read(self) -> State:
        whole = packages.is_whole(self.name, self.manager)
        return None if whole is None else {"installed": whole}

    def write(self, state: State) -> None:
        if state is not None and state["installed"]:
            packages.install(self.name, self.manager)
        elif state is None and self.read() is not None:
            packages.remove(self.name, self.manager)

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        """A package that others need by now stays: to remove it would remove them. So does one of which half was there, which
        nobody can want back."""
        if found is not None:
            return not found["installed"]
        return self.read() is not None and packages.is_needed(self.name, self.manager)

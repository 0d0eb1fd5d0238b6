# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The engine is sent to a node once, which keeps it by its SHA-256.

To pack it with a module would take the controller longer than the node's whole work, in every run. What is sent is the engine itself,
and its compiled code: a node with the controller's Python has nothing to compile.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import typing as t
from collections.abc import Mapping
from pathlib import Path

from ansible import constants as C
from ansible_collections.kubenode.network.plugins.plugin_utils._archive import PACKAGE, archive, package
from ansible_collections.kubenode.network.plugins.plugin_utils._once import once

#: What no run of a module needs.
WITHOUT = ("_info", "_program")


class Engine(t.NamedTuple):
    """The archive as a file of the controller."""

    path: str
    sha256: str

    def asked(self) -> dict[str, t.Any]:
        """The options of a module that may find it on the node."""
        return {"engine": self.sha256, "engine_archive": None, "engine_bytecode": None}

    def sent(self) -> dict[str, t.Any]:
        return {**self.asked(), **once(["engine", self.sha256], self._texts)}

    def _texts(self, folder: Path) -> dict[str, str]:
        from ansible_collections.kubenode.network.plugins.module_utils import _engine
        from ansible_collections.kubenode.network.plugins.module_utils._host import bytecode

        data = Path(self.path).read_bytes()
        compiled = bytecode.Importer(data, PACKAGE, bytecode.ENGINE, {}).compile_all()
        return {"engine_archive": _engine.text(data), "engine_bytecode": _engine.text(compiled)}


def engine() -> Engine:
    """Put together once for all nodes of a run."""
    return Engine(*once("engine", _pack))


def _pack(folder: Path) -> Engine:
    data, path = archive(package(Path(__file__).parents[1] / "module_utils", WITHOUT)), folder / "engine.zip"
    path.write_bytes(data)
    return Engine(str(path), hashlib.sha256(data).hexdigest())


class Holder:
    """What this controller remembers of a node: which engine it has. Where that is not so, the node asks for it."""

    def __init__(self, reached_by: Mapping[str, t.Any]) -> None:
        name = hashlib.sha256(json.dumps(dict(reached_by), sort_keys=True).encode()).hexdigest()
        self._path = Path(C.ANSIBLE_HOME) / "kubenode-network" / "engines" / name

    def has(self, sha256: str) -> bool:
        try:
            return self._path.read_text() == sha256
        except (OSError, ValueError):
            return False

    def remember(self, sha256: str) -> None:
        """Not to be able to is no error: the engine is sent again."""
        partial = self._path.with_suffix(f".{os.getpid()}")
        with contextlib.suppress(OSError):
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            try:
                partial.write_text(sha256)
                partial.rename(self._path)
            except OSError:
                partial.unlink(missing_ok=True)

    def forget(self) -> None:
        with contextlib.suppress(OSError):
            self._path.unlink()

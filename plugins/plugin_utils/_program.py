# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The program for a node: this collection's engine and the pyroute2 of the controller in one zip file (PEP 441)."""

from __future__ import annotations

import contextlib
import functools
import gc
import hashlib
import importlib.metadata
import importlib.util
import json
import re
import typing as t
from collections.abc import Iterator, Mapping
from pathlib import Path

from ansible.plugins.action import ActionBase
from ansible_collections.kubenode.network.plugins.plugin_utils._archive import PACKAGE, archive, package, sources
from ansible_collections.kubenode.network.plugins.plugin_utils._once import once

#: As the section has it, whose code is not needed here: Ansible compiles what an action imports in each task anew.
SECTION, FILE = "boot_service", "kubenode-network.pyz"
LIBRARY = "pyroute2"
#: Older ones fail on every change of a link that is there already.
OLDEST = (0, 7, 2)
MAIN = """\
import sys

from {package}._program.main import main

sys.exit(main({version!r}))
"""


class Program(t.NamedTuple):
    """The program's bytes, and what has to be said of it."""

    data: bytes
    sha256: str
    warning: str | None


@functools.cache
def build() -> Program:
    """The same files give the same bytes, wherever and whenever they are put together: in order, without times, as they are."""
    engine = Path(__file__).parents[1] / "module_utils"
    library, said, warning = _library()
    main = MAIN.format(package=PACKAGE, version=f"{_version(engine.parents[1])} ({said})").encode()
    data = archive(package(engine) | library | {"__main__.py": main})
    return Program(data, hashlib.sha256(data).hexdigest(), warning)


def _version(root: Path) -> str:
    """The collection's, from what it has as installed by ansible-galaxy, or as a checkout."""
    manifest = root / "MANIFEST.json"
    if manifest.is_file():
        return str(json.loads(manifest.read_text())["collection_info"]["version"])
    found = re.search(r"(?m)^version: (\S+)$", (root / "galaxy.yml").read_text())
    return found[1] if found else "unknown"


def _library() -> tuple[dict[str, bytes], str, str | None]:
    """The library's files with what says its version, a word on it, and what is wrong with it."""
    spec = importlib.util.find_spec(LIBRARY)
    oldest = ".".join(map(str, OLDEST))
    hint = f"so the program uses the node's own; install {LIBRARY} {oldest} or newer for the Python of ansible-core to send it along"
    if spec is None or not spec.submodule_search_locations:
        return {}, f"with the node's {LIBRARY}", f"the controller has no {LIBRARY}, {hint}"
    distribution = importlib.metadata.distribution(LIBRARY)
    if tuple(int(part) for part in re.findall("[0-9]+", distribution.version)[:3]) < OLDEST:
        return {}, f"with the node's {LIBRARY}", f"the controller's {LIBRARY} {distribution.version} is too old, {hint}"
    files = {f"{LIBRARY}/{name}": data for name, data in sources(Path(spec.submodule_search_locations[0]))}
    about = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
    files[f"{LIBRARY}-{distribution.version}.dist-info/METADATA"] = about.encode()
    return files, f"{LIBRARY} {distribution.version}", None


class Packed(t.NamedTuple):
    """The program as a file of the controller, its size in bytes, and what has to be said of it."""

    path: str
    size: int
    sha256: str
    warning: str | None


def packed() -> Packed:
    """The program, put together once for all nodes of a run."""
    return Packed(*once("program", _pack))


def _pack(folder: Path) -> Packed:
    program, path = build(), folder / "program"
    path.write_bytes(program.data)
    return Packed(str(path), len(program.data), program.sha256, program.warning)


@contextlib.contextmanager
def _without_collector() -> Iterator[None]:
    """To pack a module, Ansible parses all that it imports: for half of that time Python would look for garbage in trees that are in
    use. Each task has a process of its own, which ends soon."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class ProgramAction(ActionBase):  # type: ignore[misc]  # ansible has no types
    """Runs the module ``MODULE``, and brings it the program when it asks for it.

    ``PROGRAM_SECTION`` is the option of the module that holds the options of section ``boot_service``; empty when they are
    the module's own, None for a module that does not have them.
    """

    MODULE: str
    PROGRAM_SECTION: str | None = None

    def _call(self, module: str, args: Mapping[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        with _without_collector():
            result: dict[str, t.Any] = self._execute_module(module_name=module, module_args=dict(args), task_vars=task_vars)
        return result

    def _call_with_program(self, args: Mapping[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """The module's result. A node that has the program already costs no further round trip."""
        options = args.get(self.PROGRAM_SECTION) if self.PROGRAM_SECTION else args
        if self.PROGRAM_SECTION is None or not isinstance(options, Mapping) or options.get("state") == "absent":
            return self._call(self.MODULE, args, task_vars)
        program = packed()
        if program.warning:
            self._display.warning(f"{SECTION}: {program.warning}")
        known = {**options, "checksum": program.sha256, "program": None}
        result = self._call(self.MODULE, self._with_options(args, known), task_vars)
        if result.get("missing_program") != program.sha256:
            return result
        sent = {**known, "program": self._send_program(program)}
        return self._call(self.MODULE, self._with_options(args, sent), task_vars)

    def _with_options(self, args: Mapping[str, t.Any], options: Mapping[str, t.Any]) -> Mapping[str, t.Any]:
        return {**args, self.PROGRAM_SECTION: options} if self.PROGRAM_SECTION else options

    def _send_program(self, program: Packed) -> str:
        """Transfers the program to the task's temporary folder on the node, and returns its path there."""
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        remote = str(self._connection._shell.tmpdir)
        target = str(self._connection._shell.join_path(remote, FILE))
        if not self._task.no_log:
            where = f"{self._play_context.remote_addr}: {SECTION}"
            self._display.display(f"{where}: sending the program, {program.size / 1e6:.1f} MB, to {remote}")
        self._transfer_file(program.path, target)
        self._fixup_perms2((remote, target))
        return target

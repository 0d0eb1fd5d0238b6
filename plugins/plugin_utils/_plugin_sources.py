# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Brings CNI plugin binaries from the controller to a node, as far as the node does not have them yet (see _source_action)."""

from __future__ import annotations

import functools
import os
import shutil
import tarfile
import typing as t
from collections.abc import Mapping, Sequence
from pathlib import Path

from ansible.errors import AnsibleFileNotFound
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.kubenode.network.plugins.module_utils._document import Document
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, Problem
from ansible_collections.kubenode.network.plugins.module_utils._sections import cni_plugins, plugin_source
from ansible_collections.kubenode.network.plugins.module_utils._sections.base import Options, Run
from ansible_collections.kubenode.network.plugins.plugin_utils._once import once
from ansible_collections.kubenode.network.plugins.plugin_utils._program import ProgramAction

#: The module that says which binaries of a manifest the node lacks.
ASKED = "kubenode.network.cni_plugins"


class Source(t.NamedTuple):
    """The wanted binaries of a source that the controller reads or downloads. ``paths``: name -> path, empty when the node
    has them all; ``manifest``: name -> SHA-256; ``checksum``: that of the archive, None for a folder."""

    src: str
    checksum: str | None
    paths: dict[str, str]
    manifest: dict[str, str]


def open_source(options: Options, known: Mapping[str, t.Any] | None) -> Source:
    """Checks the source as a node checks its own. What is ``known`` of the node may save the download. Raises InputError."""
    try:
        digits = once(["checksum", options["src"], options["checksum"], _stamp(options["checksum"])], lambda folder: _digits(options))
        options = {**options, "checksum": digits}
        if known is not None and plugin_source.is_installed(options, known):
            return Source(options["src"], digits, {}, known["plugins"])
        wanted = ["source", options["src"], digits, options["plugins"], _stamp(options["src"])]
        return Source(options["src"], digits, *once(wanted, functools.partial(_look, options)))
    except (OSError, tarfile.TarError) as error:
        reason = getattr(error, "strerror", None) or error
        raise InputError([Problem("src", f"{plugin_source.shown(options['src'])!r} cannot be read on the controller: {reason}")]) from error


def _stamp(path: str | None) -> list[list[t.Any]]:
    """What tells whether a file, or those of a folder, are still the same; nothing for what is no path."""
    if path is None or not os.path.exists(path):
        return []
    found = [path, *(entry.path for entry in os.scandir(path))] if os.path.isdir(path) else [path]
    return sorted([name, at.st_dev, at.st_ino, at.st_size, at.st_mtime_ns, at.st_ctime_ns] for name in found for at in [os.stat(name)])


def _digits(options: Options) -> str | None:
    run = Run(Document({}))
    checksum: str | None = plugin_source.with_digits(options, run)["checksum"]
    _refuse_if_wrong(run)
    return checksum


def _look(options: Options, folder: Path) -> tuple[dict[str, str], dict[str, str]]:
    """Paths and digests. What was unpacked moves to a folder that stays for the other nodes."""
    run = Run(Document({}))
    try:
        contents = plugin_source.look_into(options, run)
        _refuse_if_wrong(run)
        paths = {name: content.path for name, content in contents.items()}
        if not os.path.isdir(options["src"]):
            paths = {name: str(shutil.move(path, folder / name)) for name, path in paths.items()}
        return paths, {name: content.sha256 for name, content in contents.items()}
    finally:
        while run.cleanups:
            run.cleanups.pop()()


def _check_for(source: Source, architectures: Sequence[str]) -> None:
    """Refuses binaries that the node cannot run, before they are sent. Raises InputError."""
    run = Run(Document({}))
    plugin_source.check_binaries(source.paths, source.src, architectures, run)
    _refuse_if_wrong(run)


def _refuse_if_wrong(run: Run) -> None:
    if run.problems:
        raise InputError(run.problems)


class NoAnswer(Exception):
    """The node could not be asked; ``result`` is what came back."""

    def __init__(self, result: dict[str, t.Any]) -> None:
        self.result = result
        super().__init__("the node gave no answer")


class Bringing:
    """Brings a source on the controller to the node of a task, and runs the task's module.

    ``section`` is the option of the module that holds the options of section ``cni_plugins``; empty when they are the module's own.
    """

    def __init__(self, action: ProgramAction, section: str) -> None:
        self._action, self._section = action, section

    def run(self, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """The module's result. Raises InputError, NoAnswer."""
        options = self._options()
        if options is None or options["remote_src"] or options["state"] == "absent" or options["package"] or not options["src"]:
            return self._action._call_with_program(self._action._task.args, task_vars)
        problems = plugin_source.check(options)
        if problems:
            raise InputError(problems)
        node = self._ask({}, options, task_vars) if plugin_source.depends_on_node(options) else None
        source = open_source(self._located(options, node), node and node["known"])
        return self._run_with(source, node, options, task_vars)

    def _run_with(self, source: Source, node: dict[str, t.Any] | None, options: Options, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        if node is None or source.paths:  # else the node said already that it has it all
            node = self._ask(source.manifest, options, task_vars)
        _check_for(source, node["architectures"])
        if not node["differing"]:  # what is installed is the source
            return self._action._call_with_program(self._with_source(node["bin_dir"], source, options), task_vars)
        folder, transfer = self._send(source, node["differing"])
        return {**self._action._call_with_program(self._with_source(folder, source, options), task_vars), "transfer": transfer}

    def _ask(self, manifest: Mapping[str, str], options: Options, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        """What the node says of the binaries of a manifest and of itself. Raises InputError, NoAnswer."""
        asked = {"manifest": dict(manifest), "bin_dir": self._given(options).get("bin_dir"), "verify": options["verify"]}
        answer = self._action._call(ASKED, asked, task_vars)
        if "problems" in answer:
            raise InputError([Problem(**problem) for problem in answer["problems"]])
        if "differing" not in answer:
            raise NoAnswer(answer)
        return answer

    def _options(self) -> dict[str, t.Any] | None:
        """The section's options with types and defaults, None when there are none or the module will refuse them."""
        spec, args = cni_plugins.OPTIONS, self._action._task.args
        if self._section:
            spec, args = {self._section: {"type": "dict", "options": spec}}, {self._section: args.get(self._section)}
        result = ArgumentSpecValidator(spec).validate(args)
        if result.error_messages:
            return None
        options: dict[str, t.Any] | None = result.validated_parameters[self._section] if self._section else result.validated_parameters
        return options

    def _given(self, options: Options) -> Options:
        """The section's options as the task has them: a path on the node is the node's to expand."""
        given = self._action._task.args.get(self._section) if self._section else self._action._task.args
        return given if isinstance(given, Mapping) else options

    def _with_source(self, folder: str, source: Source, options: Options) -> dict[str, t.Any]:
        """The task's options with the source that the node has now. An archive stays here, but the node remembers which it
        was."""
        given = {**self._given(options), "src": folder, "remote_src": True, "manifest": dict(source.manifest), "checksum": source.checksum}
        return {**self._action._task.args, self._section: given} if self._section else given

    def _located(self, options: Options, node: Mapping[str, t.Any] | None) -> dict[str, t.Any]:
        """The options with the node's architecture filled in, and with the paths that the files have on the controller."""
        located = plugin_source.fill(options, node["architectures"][0] if node else "")
        if not plugin_source.is_url(located["src"]):
            located["src"] = self._find("src", located["src"], "a folder or an archive of plugin binaries; remote_src=true for one on the node")
        checksum = located["checksum"]
        if checksum is not None and plugin_source.is_checksum_file(checksum) and not plugin_source.is_url(checksum):
            located["checksum"] = self._find("checksum", checksum, "a file of checksums, or sha256: or sha512: and the digits")
        return located

    def _find(self, option: str, path: str, expected: str) -> str:
        """A file as a task's ``files`` are looked for; an absolute path is itself."""
        try:
            return str(self._action._find_needle("files", path))
        except AnsibleFileNotFound as error:
            raise InputError([Problem(option, f"{path!r} is not there on the controller (expected {expected})")]) from error

    def _send(self, source: Source, names: Sequence[str]) -> tuple[str, dict[str, t.Any]]:
        """Transfers some of the binaries to the task's temporary folder on the node. Returns it, and what was sent."""
        if self._action._connection._shell.tmpdir is None:
            self._action._make_tmp_path()
        remote = str(self._action._connection._shell.tmpdir)
        sizes = {name: os.path.getsize(source.paths[name]) for name in names}
        self._say(self._action._display.display, f"sending {len(sizes)} of {len(source.manifest)} binaries, {sum(sizes.values()) / 1e6:.1f} MB, to {remote}")
        sent = []
        for name, size in sizes.items():
            target = self._action._connection._shell.join_path(remote, name)
            self._say(self._action._display.vv, f"sending {name}, {size / 1e6:.1f} MB, to {target}")
            sent.append(self._action._transfer_file(source.paths[name], target))
        self._action._fixup_perms2((remote, *sent))
        return remote, {"bytes": sum(sizes.values()), "files": list(sizes), "target": remote}

    def _say(self, display: t.Callable[[str], None], text: str) -> None:
        if not self._action._task.no_log:
            display(f"{self._action._play_context.remote_addr}: {cni_plugins.NAME}: {text}")

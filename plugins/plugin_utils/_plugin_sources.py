# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Brings CNI plugin binaries from the controller to a node, as far as the node does not have them yet."""

from __future__ import annotations

import os
import tarfile
import typing as t
from collections.abc import Mapping, Sequence

from ansible.errors import AnsibleFileNotFound
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible.plugins.action import ActionBase
from ansible_collections.kubenode.network.plugins.module_utils._document import Document
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, KubenodeError, Problem
from ansible_collections.kubenode.network.plugins.module_utils._host import files
from ansible_collections.kubenode.network.plugins.module_utils._sections import cni_plugins
from ansible_collections.kubenode.network.plugins.module_utils._sections.base import Options, Run

#: The module that says which binaries of a manifest the node lacks.
ASKED = "kubenode.network.cni_plugins"


class Source:
    """The wanted binaries on the controller. ``paths``: name -> path, ``manifest``: name -> SHA-256."""

    def __init__(self, options: Options) -> None:
        """Checks the source as a node checks its own. Raises InputError."""
        self._run = Run(Document({}))
        try:
            self.paths = cni_plugins.look_into(options, self._run)
            self.manifest = {name: files.sha256_of(path) for name, path in self.paths.items()}
        except (OSError, tarfile.TarError) as error:
            reason = getattr(error, "strerror", None) or error
            self._run.refuse("src", f"{options['src']!r} cannot be read on the controller: {reason}")
        if self._run.problems:
            self.close()
            raise InputError(self._run.problems)

    def close(self) -> None:
        for cleanup in self._run.cleanups:
            cleanup()


class SourceAction(ActionBase):  # type: ignore[misc]  # ansible has no types
    """Runs the module ``MODULE``. A source of plugin binaries on the controller is brought to the node first.

    ``SECTION`` is the option of the module that holds the options of section ``cni_plugins``; empty when they are the
    module's own.
    """

    MODULE: str
    SECTION: str

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        try:
            result.update(self._run_module(task_vars))
        except InputError as error:
            wrong = InputError([problem.under(self.SECTION) for problem in error.problems])
            result.update(failed=True, msg=f"nothing was changed: {wrong}", problems=[problem._asdict() for problem in wrong.problems])
        except KubenodeError as error:
            result.update(failed=True, msg=f"nothing was changed: {error}")
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _run_module(self, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        options = self._options()
        if options is None or options["remote_src"] or options["state"] == "absent" or not options["src"]:
            return self._call(self.MODULE, self._task.args, task_vars)
        problems = cni_plugins.check_choice(options)
        if problems:
            raise InputError(problems)
        source = Source({**options, "src": self._find(options["src"])})
        try:
            return self._run_with(source, options, task_vars)
        finally:
            source.close()

    def _run_with(self, source: Source, options: Options, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        answer = self._call(ASKED, {"manifest": source.manifest, "bin_dir": self._given(options).get("bin_dir")}, task_vars)
        if "problems" in answer:
            raise InputError([Problem(**problem) for problem in answer["problems"]])
        if "differing" not in answer:
            return answer
        # Nothing to send: what is installed is the source.
        folder = self._send(source, answer["differing"]) if answer["differing"] else answer["bin_dir"]
        return self._call(self.MODULE, self._with_source(folder, source.manifest, options), task_vars)

    def _call(self, module: str, args: Mapping[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = self._execute_module(module_name=module, module_args=dict(args), task_vars=task_vars)
        return result

    def _options(self) -> dict[str, t.Any] | None:
        """The section's options with types and defaults, None when there are none or the module will refuse them."""
        spec, args = cni_plugins.OPTIONS, self._task.args
        if self.SECTION:
            spec, args = {self.SECTION: {"type": "dict", "options": spec}}, {self.SECTION: args.get(self.SECTION)}
        result = ArgumentSpecValidator(spec).validate(args)
        if result.error_messages:
            return None
        options: dict[str, t.Any] | None = result.validated_parameters[self.SECTION] if self.SECTION else result.validated_parameters
        return options

    def _given(self, options: Options) -> Options:
        """The section's options as the task has them: a path on the node is the node's to expand."""
        given = self._task.args.get(self.SECTION) if self.SECTION else self._task.args
        return given if isinstance(given, Mapping) else options

    def _with_source(self, folder: str, manifest: Mapping[str, str], options: Options) -> dict[str, t.Any]:
        """The task's options with the source that the node has now. The checksum is that of the archive, which stays here."""
        given = {name: value for name, value in self._given(options).items() if name != "checksum"}
        given.update(src=folder, remote_src=True, manifest=dict(manifest))
        return {**self._task.args, self.SECTION: given} if self.SECTION else given

    def _find(self, src: str) -> str:
        """The source as a task's ``files`` are looked for; an absolute path is itself."""
        try:
            return str(self._find_needle("files", src))
        except AnsibleFileNotFound as error:
            expected = "expected a folder or an archive of plugin binaries; remote_src=true for one on the node"
            raise InputError([Problem("src", f"{src!r} is not there on the controller ({expected})")]) from error

    def _send(self, source: Source, names: Sequence[str]) -> str:
        """Transfers some of the binaries to the task's temporary folder on the node, which it returns."""
        if self._connection._shell.tmpdir is None:
            self._make_tmp_path()
        remote = str(self._connection._shell.tmpdir)
        sent = []
        for name in names:
            target = self._connection._shell.join_path(remote, name)
            self._say(name, os.path.getsize(source.paths[name]), target)
            sent.append(self._transfer_file(source.paths[name], target))
        self._fixup_perms2((remote, *sent))
        return remote

    def _say(self, name: str, size: int, target: str) -> None:
        if not self._task.no_log:
            self._display.vv(f"{cni_plugins.NAME}: sending {name}, {size / 1e6:.1f} MB, to {target}", host=self._play_context.remote_addr)

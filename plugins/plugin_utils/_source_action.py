# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Runs a module that takes a source of CNI plugin binaries, whichever side the source is on.

Ansible compiles the code of a collection in each task anew. What only a source on the controller needs is not imported for another.
"""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible.module_utils.parsing.convert_bool import boolean
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, KubenodeError
from ansible_collections.kubenode.network.plugins.plugin_utils._program import ProgramAction


class SourceAction(ProgramAction):
    """Runs the module ``MODULE``. A source of plugin binaries on the controller is brought to the node first.

    ``SECTION`` is the option of the module that holds the options of section ``cni_plugins``; empty when they are the
    module's own.
    """

    SECTION: str

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        try:
            if self._is_without_source():
                result.update(self._call_with_program(self._task.args, task_vars))
            else:
                result.update(self._bring(task_vars))
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _is_without_source(self) -> bool:
        """Whether it is plain that there is none on the controller."""
        given = self._task.args.get(self.SECTION) if self.SECTION else self._task.args
        if not isinstance(given, Mapping):
            return given is None
        return boolean(given.get("remote_src"), strict=False) or given.get("state") == "absent" or not given.get("src")

    def _bring(self, task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        from ansible_collections.kubenode.network.plugins.plugin_utils import _plugin_sources

        try:
            return _plugin_sources.Bringing(self, self.SECTION).run(task_vars)
        except InputError as error:
            wrong = InputError([problem.under(self.SECTION) for problem in error.problems])
            return {"failed": True, "msg": f"nothing was changed: {wrong}", "problems": [problem._asdict() for problem in wrong.problems]}
        except KubenodeError as error:
            return {"failed": True, "msg": f"nothing was changed: {error}"}
        except _plugin_sources.NoAnswer as error:
            return error.result

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the program to the node for the module of the same name."""

from __future__ import annotations

import typing as t

from ansible_collections.kubenode.network.plugins.plugin_utils._program import ProgramAction


class ActionModule(ProgramAction):
    MODULE = "kubenode.network.boot_service"
    PROGRAM_SECTION = ""

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        try:
            result.update(self._call_with_program(self._task.args, task_vars))
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Runs on the controller alone: no node is reached, whatever host the task is for."""

from __future__ import annotations

import os
import typing as t

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, KubenodeError
from ansible_collections.kubenode.network.plugins.plugin_utils._site import pod_cidr, store
from ansible_collections.kubenode.network.plugins.plugin_utils._site.options import ARGUMENT_SPEC, PATHS


class ActionModule(ActionBase):  # type: ignore[misc]  # ansible has no types
    TRANSFERS_FILES = False
    _requires_connection = False
    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        result: dict[str, t.Any] = super().run(tmp, task_vars)
        self._refuse_texts()
        _validation, given = self.validate_argument_spec(ARGUMENT_SPEC)
        options = {name: value for name, value in given.items() if value is not None}
        for name in PATHS & set(self._task.args):  # those of the environment are what they are for other programs
            if options.get(name):
                options[name] = self._loader.path_dwim(options[name])
        try:
            found = pod_cidr.run(options, self._store(options, task_vars or {}), self._task.check_mode)
        except InputError as error:
            return {**result, "failed": True, "msg": str(error), "problems": [problem._asdict() for problem in error.problems]}
        except KubenodeError as error:
            return {**result, "failed": True, "msg": str(error)}
        if not self._task.diff:
            found.pop("diff", None)
        return {**result, **found}

    def _refuse_texts(self) -> None:
        """Ansible itself would not say which option it is."""
        ranges = self._task.args.get("cluster_cidrs")
        for index, one in enumerate(ranges if isinstance(ranges, list) else []):
            if isinstance(one, str) and "=" not in one and not one.lstrip().startswith("{"):
                raise AnsibleActionFail(f"cluster_cidrs[{index}]: {one!r} is not a dictionary (expected e.g. {{cidr: 10.244.0.0/16, node_mask_size: 24}})")

    def _store(self, options: t.Mapping[str, t.Any], task_vars: t.Mapping[str, t.Any]) -> str | None:
        """The path of the store. CIDRs that are decided elsewhere are remembered only where that is asked for."""
        if "store" in options:
            return str(options["store"])
        if options["source"] != pod_cidr.ALLOCATE:
            return None
        folder = next(filter(None, (_folder(source) for source in task_vars.get("ansible_inventory_sources") or ())), None)
        folder = folder or task_vars.get("inventory_dir")
        if not folder or not os.path.isabs(folder):  # ansible-core has the text None for a list of hosts
            raise AnsibleActionFail("store: is required, since there is no inventory in a file (expected a path on the controller)")
        return os.path.join(folder, store.NAME)


def _folder(source: object) -> str | None:
    """The folder of a source of the inventory; a list of hosts has none."""
    if not isinstance(source, str) or not os.path.exists(source):
        return None
    return os.path.abspath(source if os.path.isdir(source) else os.path.dirname(source))

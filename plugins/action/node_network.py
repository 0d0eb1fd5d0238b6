# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings the engine to the node, and for the module of the same name a local source of plugin binaries and the program for the boot."""

from __future__ import annotations

import typing as t
from collections.abc import Mapping

from ansible_collections.kubenode.network.plugins.plugin_utils._engine import Holder, engine
from ansible_collections.kubenode.network.plugins.plugin_utils._source_action import SourceAction


class ActionModule(SourceAction):
    MODULE = "kubenode.network.node_network"
    SECTION = "cni_plugins"
    PROGRAM_SECTION = "boot_service"

    def _call(self, module: str, args: Mapping[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        if module != self.MODULE:
            return super()._call(module, args, task_vars)
        wanted, node = engine(), self._node()
        known = node.has(wanted.sha256)
        result = self._call_with(wanted.asked() if known else wanted.sent(), args, task_vars)
        if known and result.get("missing_engine"):
            node.forget()
            known, result = False, self._call_with(wanted.sent(), args, task_vars)
        if result.pop("engine_kept", False) and not known:
            node.remember(wanted.sha256)
        return result

    def _call_with(self, options: Mapping[str, t.Any], args: Mapping[str, t.Any], task_vars: dict[str, t.Any] | None) -> dict[str, t.Any]:
        result = super()._call(self.MODULE, {**args, **options}, task_vars)
        shown = result.get("invocation")
        given = shown.get("module_args") if isinstance(shown, dict) else None
        if isinstance(given, dict):
            for name in options:  # nobody has asked for them
                given.pop(name, None)
        return result

    def _node(self) -> Holder:
        reached = self._play_context
        return Holder({"by": self._connection.transport, "address": reached.remote_addr, "port": reached.port, "become": reached.become})

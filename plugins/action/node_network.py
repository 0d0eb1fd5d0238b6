# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Brings a local source of plugin binaries, and the program for the boot, to the node for the module of the same name."""

from __future__ import annotations

from ansible_collections.kubenode.network.plugins.plugin_utils._source_action import SourceAction


class ActionModule(SourceAction):
    MODULE = "kubenode.network.node_network"
    SECTION = "cni_plugins"
    PROGRAM_SECTION = "boot_service"

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Throw-away Kubernetes nodes out of namespaces: `with Node() as node: ...`. Root, and Linux with overlayfs, needed."""

from __future__ import annotations

from . import traffic as proof
from .ansible import ModuleCrash, Play
from .dump import diff_dumps
from .flows import NewFlows
from .node import Node
from .outside import Outside
from .paths import CHECKOUT, COLLECTIONS, link_collection
from .pod import NetworkError, PluginError, Pod, load_network, network_files
from .space import CommandError, Place, wait_for
from .traffic import ProofError, Server

__all__ = [
    "CHECKOUT", "COLLECTIONS", "CommandError", "ModuleCrash", "NetworkError", "NewFlows", "Node", "Outside", "Place", "Play", "PluginError", "Pod",
    "ProofError", "Server", "diff_dumps", "link_collection", "load_network", "network_files", "proof", "wait_for",
]

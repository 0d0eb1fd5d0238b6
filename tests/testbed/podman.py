# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""podman 4 with its CNI backend, in a node: which networks it sees. Debian package: podman."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .node import Node

_CONFIG = "/run/testbed/containers.conf"
_SETTINGS = """[network]
network_backend = "cni"
cni_plugin_dirs = ["/opt/cni/bin"]
network_config_dir = "/etc/cni/net.d"
[engine]
cgroup_manager = "cgroupfs"
events_logger = "file"
"""
#: The network that it knows without any file.
DEFAULT = "podman"


class Podman:
    """Nothing of the host's podman is read or written. Where the backend is no longer built in (podman 5), it refuses."""

    def __init__(self, node: Node) -> None:
        self.node = node
        node.write(_CONFIG, _SETTINGS)

    def networks(self) -> tuple[dict[str, str], str]:
        """Name of each network and its link's name, then the warnings. A network without a file is there, too: podman."""
        argv = ["podman", "--root", "/run/testbed/podman", "--runroot", "/run/testbed/podman-run", "--storage-driver", "vfs",
                "network", "ls", "--format", "json"]
        done = self.node.run(argv, env={"CONTAINERS_CONF": _CONFIG})
        return {network["name"]: network.get("network_interface", "") for network in json.loads(done.stdout)}, done.stderr

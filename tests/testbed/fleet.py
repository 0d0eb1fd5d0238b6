# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Many nodes on one wire, and the site playbook run for all of them by a controller that is this machine."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

from .ansible import Play, play_env, play_of
from .node import Node
from .outside import Outside
from .paths import HERE
from .space import clean_env

SITE = "kubenode.network.site"
#: A whole node: bridge, masquerade, kernel settings, network and boot service. The plugins are there (Fleet).
VARIABLES = {
    "node_network_cluster_cidrs": [{"cidr": "10.240.0.0/14"}, {"cidr": "fd00:10:240::/48"}],
    "node_network_sysctl_bridge_nf": {}, "node_network_kubenet_bridge": {},
    "node_network_masquerade": {},
}  # fmt: skip
COMMON = {"ansible_user": "root", "ansible_pipelining": True, "ansible_python_interpreter": sys.executable}


class Cost(NamedTuple):
    """Seconds of a run: of all processes that it started (those on nodes made of namespaces too), and by the clock."""

    cpu: float
    wall: float


def run_site(folder: Path, hosts: dict[str, dict[str, Any]], extra: dict[str, Any] | None = None, args: tuple[str, ...] = (), *,
             playbook: str = SITE, forks: int = 20, timeout: float = 280) -> tuple[Play, Cost]:
    """The site playbook, or another one, for hosts (name -> variables) of the group kube_node; pod CIDRs are remembered in the folder."""
    variables = {**COMMON, **VARIABLES, "node_network_pod_cidr_store": str(folder / "pod-cidrs.json")}
    (folder / "inventory.json").write_text(json.dumps({"kube_node": {"hosts": hosts, "vars": variables}}))
    (folder / "vars.json").write_text(json.dumps(extra or {}))
    (folder / "ansible.cfg").write_text("[defaults]\n")
    (folder / "results").write_text("")
    env = clean_env({**play_env(str(folder)), "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connections"), "PYTHONPATH": str(HERE.parent)})
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", str(folder / "inventory.json"), f"--forks={forks}", "-e", f"@{folder / 'vars.json'}"]
    cpu, wall = cpu_of_children(), time.monotonic()
    run = subprocess.run([*argv, playbook, *args], env=env, text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=timeout)
    cost = Cost(cpu_of_children() - cpu, time.monotonic() - wall)
    return play_of(run, (folder / "results").read_text()), cost


def cpu_of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def stubs(count: int) -> dict[str, dict[str, Any]]:
    """Hosts that answer at once (connections/stub.py)."""
    stub = {"ansible_connection": "stub"}
    return {f"node-{number:03}": {**stub, "ansible_host": f"192.0.2.{number}", "ip6": f"2001:db8::{number}"} for number in range(1, count + 1)}


class Fleet:
    """Nodes node-001, node-002, ... on one wire, 200 at most, each with the reference plugins of this machine. A context manager."""

    def __init__(self, count: int, folder: Path) -> None:
        self.folder = folder
        self.variables: dict[str, dict[str, Any]] = {}
        self.nodes: dict[str, Node] = {}
        self._own = ExitStack()
        try:
            outside = self._own.enter_context(Outside())
            for number in range(1, count + 1):
                self._add(Node(f"node-{number:03}", outside=outside))
        except BaseException:
            self._own.close()
            raise

    def _add(self, node: Node) -> None:
        self.nodes[node.name] = self._own.enter_context(node)
        node.run(["mkdir", "-p", "/opt/cni/bin"])
        # Copies would be three gigabytes of memory.
        node.run(["mount", "--bind", "/usr/lib/cni", "/opt/cni/bin"])
        self.variables[node.name] = {"ansible_connection": "space", "ansible_host": node.ip4, "ip6": node.ip6, "space_pid": node.pid}

    def site(self, extra: dict[str, Any] | None = None, args: tuple[str, ...] = (), **options: Any) -> tuple[Play, Cost]:
        """See run_site."""
        return run_site(self.folder, self.variables, extra, args, **options)

    def kill(self, name: str) -> None:
        """Nothing answers there any more, and whoever has to look still can."""
        self.variables[name]["space_pid"] = 0

    def slow_down(self, name: str, seconds: int, limit: int) -> None:
        """Python takes so long to start there; its runs are given up after `limit` seconds."""
        self.nodes[name].write("/run/slow-python", f'#!/bin/sh\nsleep {seconds}\nexec {sys.executable} "$@"\n', 0o755)
        self.variables[name] |= {"ansible_python_interpreter": "/run/slow-python", "kubenode_network_timeout": limit}

    def damage(self, name: str) -> None:
        """What has to be written near the end of a run cannot be."""
        self.nodes[name].run(["mount", "-o", "remount,ro", "/etc/cni"])

    def close(self) -> None:
        self._own.close()

    def __enter__(self) -> Fleet:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

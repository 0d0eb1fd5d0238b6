# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What molecule's scenario multi_node has made: nodes with a real containerd each, and a host outside, in one network.

A place is a network namespace here: programs in it are those of this machine. What needs a node's own programs or files is in
its `machine`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .ansible import Play, play_of
from .containerd import pause_image
from .cri import Cri, CriError
from .paths import CHECKOUT, HERE
from .space import Place, wait_for
from .systemd import Container

_SCENARIO = CHECKOUT / "molecule" / "multi_node"
#: The name in molecule/multi_node/files/containerd.toml.
_PAUSE = "localhost/pause:1"
_LONGEST = 240  # seconds of a playbook


class ClusterHost(Place):
    """A node, or the outside. name: that in the inventory."""

    def __init__(self, name: str, container: str, ip4: str, ip6: str) -> None:
        self.name, self.ip4, self.ip6 = name, ip4, ip6
        self.machine = Container(container)

    def enter(self) -> list[str]:
        return ["nsenter", f"--target={self.machine.pid}", "--net", "--"]

    def path(self, path: str) -> Path:
        """The machine's path as this process sees it."""
        return Path(f"/proc/{self.machine.pid}/root{path}")

    def routes(self) -> dict[str, str]:
        """Those that the collection made, of both families: destination -> next hop."""
        shown = [json.loads(self.run(["ip", "-json", f"-{family}", "route", "show", "proto", "107"]).stdout) for family in "46"]
        return {route["dst"]: route["gateway"] for routes in shown for route in routes}

    @contextmanager
    def cri(self) -> Iterator[Cri]:
        """Ask containerd. A reboot ends the connection."""
        cri = Cri(str(self.path("/run/containerd/containerd.sock")))
        try:
            yield cri
        finally:
            cri.close()

    def has_network(self) -> bool:
        """Whether containerd would start a pod."""
        with self.cri() as cri:
            try:
                return cri.status().network_ready
            except CriError:  # it does not run yet
                return False

    def wait_for_network(self) -> None:
        wait_for(self.has_network, 15, f"a network for the pods of {self.name}")

    def stop_pods(self) -> None:
        """Take all pods down and forget them, also those that a reboot has ended."""
        with self.cri() as cri:
            for sandbox in cri.sandboxes():
                cri.stop(sandbox["id"])
                cri.remove(sandbox["id"])

    def load_pause_image(self) -> None:
        """Give containerd what pods are made of, so that no registry is asked."""
        self.path("/run/pause.tar").write_bytes(pause_image(_PAUSE))
        self.machine.run(["ctr", "--namespace", "k8s.io", "images", "import", "/run/pause.tar"])


class ClusterPod(Place):
    """A pod without containers that a node's containerd has made."""

    def __init__(self, node: ClusterHost, name: str) -> None:
        self.node, self.name = node, f"{name} on {node.name}"
        with node.cri() as cri:
            status = cri.sandbox_status(cri.run_sandbox(name))
        self.ip4, self.ip6 = (next(ip for ip in status.ips if (":" in ip) is is6) for is6 in (False, True))
        # It says /var/run, a link that would lead to this machine's.
        self._space = node.path(status.netns.replace("/var/run/", "/run/"))

    def enter(self) -> list[str]:
        return ["nsenter", f"--net={self._space}", "--"]


class Cluster:
    """nodes: name -> host, all that there are, whether in the cluster or not. world: addresses that the outside has besides."""

    def __init__(self) -> None:
        site: dict[str, Any] = json.loads(os.environ["KUBENODE_SITE"])
        self.nodes = {name: ClusterHost(name, **about) for name, about in sorted(site["hosts"].items())}
        self.outside = self.nodes.pop("outside")
        self.world: list[str] = site["world"]
        self._store = Path(site["store"])
        for node in self.nodes.values():
            node.load_pause_image()

    def pod_cidrs(self) -> dict[str, list[str]]:
        """Node -> what the store remembers."""
        records = json.loads(self._store.read_text())["kubenode_network_pod_cidrs"]["vars"]["records"]
        return {record["node"]: record["cidrs"] for record in records if "node" in record}

    def play(self, playbook: str, *args: str) -> Play:
        """Run a playbook of the collection on the inventory, with the node that joins in it."""
        inventories = (f"--inventory={_SCENARIO / name}" for name in ("inventory", "joining.ini"))
        argv = [sys.executable, "-m", "ansible", "playbook", *inventories, f"kubenode.network.{playbook}", *args]
        with tempfile.NamedTemporaryFile("r") as results:
            env = {"ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"), "ANSIBLE_CALLBACKS_ENABLED": "results", "TESTBED_RESULTS": results.name}
            run = subprocess.run(argv, env={**os.environ, **env}, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_LONGEST, check=False)
            return play_of(run, results.read())

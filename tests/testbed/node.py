# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away Kubernetes node."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from . import ansible, foreign, warm
from .outside import Outside
from .paths import HERE
from .pod import Pod
from .space import CommandError, Space


class Node(Space):
    """Namespaces with private /run and, of the host's /etc, /opt and /var/lib, a copy that only this node writes.

    uplink: an eth0 with the given MTU into `outside` (its own one unless another node's is given), with addresses ip4 and
    ip6 and default routes; without it the node has a loopback interface and nothing else.
    """

    role = "node"

    def __init__(self, name: str = "node", *, mtu: int = 1450, uplink: bool = True, outside: Outside | None = None,
                 cni_bin: tuple[str, ...] = ("/opt/cni/bin",)) -> None:
        super().__init__(name)
        self.cni_bin = cni_bin
        self._mtu = mtu
        self.ip4 = self.ip6 = ""
        self.has_ansible = False
        self._own = ExitStack()
        try:
            if uplink:
                self.outside = outside or self._own.enter_context(Outside())
                self.ip4, self.ip6 = self.outside.plug(self, mtu)
            else:
                self.ip("link set lo up")
        except BaseException:
            self.close()
            raise

    def keep(self) -> None:
        super().keep()
        if self.ip4:
            self.outside.keep()

    def close(self) -> None:
        super().close()
        # super().__init__ closes a space that did not start
        if "_own" in vars(self):
            self._own.close()

    def cut_power(self) -> None:
        """Every process ends, and the node is up again without them, with the kernel's state at its start and an empty /run."""
        self.has_ansible = False
        self._process.stdin.write(b"cut\n")
        self._process.stdin.flush()
        if self._process.stdout.readline() != b"ready\n":
            raise RuntimeError(f"{self.name}: it did not start again: {self._process.stderr.read().decode()}")
        if self.ip4:
            self.outside.plug(self, self._mtu)
        else:
            self.ip("link set lo up")

    def module(self, name: str, args: dict[str, Any], check: bool = False, diff: bool = True, **options: Any) -> dict[str, Any]:
        """Run one module and return its result, a failed one too ("failed": True). Raises ModuleCrash.

        name: a module of this collection, or NAMESPACE.COLLECTION.MODULE of the folder `collections`. python: an interpreter
        (default: this one). env: more variables. prefix: what to put before the command, e.g. strace and its options.
        """
        return ansible.run_module(self, name, args, check=check, diff=diff, **options)

    def playbook(self, playbook: str | Path, extra_vars: dict[str, Any] | None = None, args: tuple[str, ...] = (),
                 **options: Any) -> ansible.Play:
        """Run a playbook (its path, or its text) in the node on an inventory of one host, named like the node."""
        return ansible.run_playbook(self, playbook, extra_vars, args, **options)

    def dump(self) -> dict[str, Any]:
        """The node's state as plain data, without what changes by itself (dump.py)."""
        done = warm.run(self, {"module": "testbed.dump", "paths": [str(HERE.parent)]}, timeout=30)
        if done.returncode:
            raise CommandError(done)
        return json.loads(done.stdout)

    def add_foreign(self) -> None:
        """Put other people's rules, links, addresses, routes and files on the node (foreign.py)."""
        foreign.add(self)

    def hide(self, *programs: str) -> None:
        """Be a node on which programs are not installed, nor others that are the same file by another name."""
        for program in programs:
            path = self.run(["sh", "-c", 'readlink --canonicalize-existing "$(command -v "$1")"', "sh", program]).stdout.strip()
            self.run(["mount", "--bind", "/dev/null", path])

    def use_iptables(self, variant: str) -> None:
        """Let `iptables` and its relatives be the nft or the legacy variant, as the administrator of a Debian node does."""
        for tool in ("iptables", "ip6tables"):
            self.run(["update-alternatives", "--set", tool, f"/usr/sbin/{tool}-{variant}"])

    def install_plugins(self, src: str = "/usr/lib/cni", dest: str = "/opt/cni/bin") -> None:
        """Copy the reference plugins, as a hand-made installation would have."""
        self.run(["mkdir", "-p", dest])
        self.run(["cp", "--archive", f"{src}/.", dest])

    def pod(self, name: str, network: str | None = None, capabilities: dict[str, Any] | None = None, ifname: str = "eth0") -> Pod:
        """Start a pod through the real plugins (pod.py); network: a file to use in place of the one a runtime takes."""
        return Pod(self, name, network, capabilities or {}, ifname)

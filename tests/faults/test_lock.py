# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Somebody else holds the lock of the legacy iptables, for a moment or for too long."""

from __future__ import annotations

from contextlib import contextmanager

from testbed import Node, diff_dumps, wait_for

OPTIONS = {
    "sysctl_bridge_nf": {}, "kubenet_bridge": {"pod_cidrs": ["10.244.1.0/24"]},
    "masquerade": {"non_masquerade_cidrs": ["10.244.0.0/16"], "backend": "iptables-legacy"}, "networks": [],
}  # fmt: skip
LOCK = "/run/xtables.lock"


@contextmanager
def held(node, seconds):
    holder = node.popen(["flock", LOCK, "sleep", str(seconds)])
    try:
        wait_for(lambda: node.run(["flock", "--nonblock", LOCK, "true"], check=False).returncode == 1, what="the lock is taken")
        yield
    finally:
        holder.kill()
        holder.wait()


def test_a_lock_that_is_held_for_long_undoes_the_run():
    with Node() as node:
        node.use_iptables("legacy")
        node.run(["iptables-legacy", "-t", "nat", "-N", "OTHER"])
        before = node.dump()
        with held(node, 300):
            result = node.module("node_network", OPTIONS)
        assert result["failed"] and result["msg"].startswith("masquerade:iptables-legacy/ipv4 could not be changed: "), result
        assert "lock" in result["msg"] and result["msg"].endswith("the node is as it was")
        assert diff_dumps(before, node.dump()) == ""


def test_a_lock_that_is_held_for_a_moment_is_waited_for():
    with Node() as node:
        node.use_iptables("legacy")
        with held(node, 3):
            result = node.module("node_network", OPTIONS)
        assert not result.get("failed"), result
        assert not node.module("node_network", OPTIONS)["changed"]

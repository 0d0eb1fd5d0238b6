# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several runs on one node at the same time: one after the other, and none forgets the others' work."""

from __future__ import annotations

import json
import subprocess
from concurrent import futures

import pytest
from testbed import diff_dumps

PATH = "/etc/kubenode-network/node.json"
LOCK = "/run/kubenode-network.lock"
#: module -> its options, those that take it away, its section of the document
RUNS = {
    "kubenet_bridge": ({"pod_cidrs": ["10.244.1.0/24"]}, {"state": "absent"}, "kubenet_bridge"),
    "masquerade": ({"pod_cidrs": ["10.244.1.0/24"], "non_masquerade_cidrs": ["10.0.0.0/8"]}, {"state": "absent"}, "masquerade"),
    "cni_config": ({"name": "mynet", "plugins": [{"type": "bridge"}]}, {"name": "mynet", "state": "absent"}, "networks"),
}
BRIDGE = RUNS["kubenet_bridge"][0]


def run_at_once(node, column):
    with futures.ThreadPoolExecutor(len(RUNS)) as pool:
        results = [pool.submit(node.module, name, row[column]) for name, row in RUNS.items()]
        return [result.result() for result in results]


class Holder:
    """Somebody who has the lock, for as long as its standard input is open."""

    def __init__(self, node):
        pipe = subprocess.PIPE
        self.process = node.popen(["flock", LOCK, "cat"], stdin=pipe, stdout=pipe)
        self.process.stdin.write("held\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "held\n"

    def release(self):
        self.process.communicate()


def test_runs_at_once_leave_a_document_of_all_of_them(plugin_node):
    node = plugin_node
    node.run(["mkdir", "/etc/cni/net.d"])  # stays if we made it: a runtime may watch it
    found = node.dump()
    for number in range(5):
        assert [result["changed"] for result in run_at_once(node, 0)] == [True] * len(RUNS)
        sections = json.loads(node.read(PATH))["sections"]
        assert set(sections) == {row[2] for row in RUNS.values()}, f"round {number}"
        assert [result["changed"] for result in run_at_once(node, 0)] == [False] * len(RUNS)
        assert [result["changed"] for result in run_at_once(node, 1)] == [True] * len(RUNS)
        assert not node.exists(PATH), f"round {number}"
        assert not diff_dumps(found, node.dump()), f"round {number}"


def test_a_run_waits_for_another_one(node):
    holder = Holder(node)
    before = node.dump()
    with futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(node.module, "kubenet_bridge", BRIDGE)
        with pytest.raises(futures.TimeoutError):
            waiting.result(timeout=2)
        assert not diff_dumps(before, node.dump())
        holder.release()
        assert waiting.result(timeout=20)["changed"]
    assert node.module("kubenet_bridge", BRIDGE)["changed"] is False


def test_a_look_at_the_node_does_not_wait(node):
    holder = Holder(node)
    assert node.module("kubenet_bridge", BRIDGE, check=True)["changed"]
    holder.release()

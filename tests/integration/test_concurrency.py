# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several runs on one node at the same time: one after the other, and none forgets the others' work."""

from __future__ import annotations

import json
import subprocess
import sys
from concurrent import futures

import pytest
from testbed import COLLECTIONS, Node, diff_dumps, wait_for
from testbed.containerd import Containerd
from testbed.programs import Program

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


# A loader that reads all the while

CONF_DIR = "/etc/cni/net.d"
WINNER = "10-mynet.conflist"
#: Run in the node: COUNT changes by the code that our modules change files with. Behind the winner, which is written
#: anew all the time, files come, change, are put aside and go; none ever comes before it.
CHANGE = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.kubenode.network.plugins.module_utils._host import files
folder, winner, count = sys.argv[2], sys.argv[3], int(sys.argv[4])
def write(name, number):
    # Longer and shorter in turn: a part of one would not be a whole of the other.
    config = {"cniVersion": "1.0.0", "name": name.rpartition(".")[0], "plugins": [{"type": "bridge", "number": number, "pad": "x" * (number % 2 * 9000)}]}
    files.write(f"{folder}/{name}", files.Bytes(json.dumps({**config, "end": number}).encode()), mode=0o644)
for number in range(1, count + 1):
    turn = number % 8
    if turn == 1:
        write("20-other.conflist", number)
    elif turn == 3:
        files.rename(f"{folder}/20-other.conflist", f"{folder}/20-other.conflist.disabled")
    elif turn == 5:
        files.remove(f"{folder}/20-other.conflist.disabled")
    else:
        write(winner, number)
    time.sleep(0.0005)
"""
#: Run in the node: reads the folder as containerd does, until its input ends; prints how often, and what was not right.
READ = """
import json, os, select, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.kubenode.network.plugins.module_utils._cni.loader import Loader, load_order, view
folder, winner = sys.argv[2:4]
def read(name):
    try:
        with open(f"{folder}/{name}", encoding="utf-8") as file:
            return file.read()
    except FileNotFoundError:
        return None
reads, bad, seen = 0, [], set()
while not select.select([0], [], [], 0)[0]:
    texts = {name: read(name) for name in load_order(os.listdir(folder))}
    verdict, reads = view(Loader("containerd"), texts), reads + 1
    config = json.loads(texts[winner]) if verdict.winner == winner else {}
    if config.get("end") is None or config["end"] != config["plugins"][0]["number"]:
        bad.append([verdict.winner, verdict.error])
    seen.add(config.get("end"))
print(json.dumps({"reads": reads, "seen": len(seen), "bad": bad}))
"""


@pytest.mark.slow
@pytest.mark.parametrize("suite, count", [("bookworm", 10_000), ("trixie", 800), ("sid", 800)])
def test_no_loader_ever_sees_a_broken_or_missing_winner(suite, count):
    with Node(uplink=False) as node, Containerd(node, program=Program("containerd", suite)) as containerd:
        first = {"cniVersion": "1.0.0", "name": "10-mynet", "plugins": [{"type": "bridge", "number": 0}], "end": 0}
        node.write(f"{CONF_DIR}/{WINNER}", json.dumps(first))
        containerd.wait_ready()
        errors = len(containerd.load_errors())
        script = [sys.executable, "-I", "-B", "-c"]
        with node.popen([*script, READ, str(COLLECTIONS), CONF_DIR, WINNER], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as reader:
            ready = [containerd.status().network_ready]
            with node.popen([*script, CHANGE, str(COLLECTIONS), CONF_DIR, WINNER, str(count)], stdin=subprocess.DEVNULL) as writer:
                while writer.poll() is None:
                    ready.append(containerd.status().network_ready)
            out, _nothing = reader.communicate()
        last = containerd.networks
        wait_for(lambda: last()[0]["end"] == count, what="the last text")

        assert writer.returncode == 0
        result = json.loads(out)
        assert result["bad"] == [] and result["seen"] > 20, result
        assert len(ready) > 20 and all(ready)
        assert containerd.load_errors()[errors:] == []

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What allocating costs the controller, dual stack, its store included: the first run, and one for one node more.

Each in a process of its own, whose memory is all that it ever had.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile

from testbed.paths import link_collection

from .figure import Figure, low

#: Nodes -> seconds that a run may take.
GOALS = {5000: 1.0, 65536: 8.0}
_MEMORY = 200  # MiB
_ONE = """
import json, resource, sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.kubenode.network.plugins.plugin_utils._site import pod_cidr
path, count = sys.argv[2], int(sys.argv[3])
nodes = [f"node-{number}.example.org" for number in range(count)]
addresses = {name: [f"172.{16 + number // 65536}.{number // 256 % 256}.{number % 256}", f"fd01::1:{number:x}"] for number, name in enumerate(nodes)}
options = {"source": "allocate", "cluster": "default", "cluster_cidrs": [{"cidr": "10.0.0.0/8"}, {"cidr": "fd00:10::/46", "node_mask_size": 62}],
           "nodes": nodes, "addresses": addresses, "service_cidrs": ["192.168.0.0/16"]}
begin = time.process_time()
result = pod_cidr.run(options, path, False)
seconds = time.process_time() - begin
assert result["changed"] and len({tuple(node["pod_cidrs"]) for node in result["nodes"].values()}) == count
print(json.dumps([seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024]))
"""


def _run(path: str, count: int) -> tuple[float, float]:
    """CPU seconds and MiB."""
    argv = [sys.executable, "-c", _ONE, str(link_collection()), path, str(count)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    seconds, memory = json.loads(done.stdout)
    return seconds, memory


def allocation(times: int) -> list[Figure]:
    figures: list[Figure] = []
    firsts: list[float] = []
    for count, goal in GOALS.items():
        first, more, memory = [], [], 0.0
        for _time in range(times):
            with tempfile.TemporaryDirectory() as folder:
                for seconds, nodes in ((first, count - 1), (more, count)):
                    spent, used = _run(f"{folder}/store", nodes)
                    seconds.append(spent)
                    memory = max(memory, used)
        firsts.append(low(first) / count)
        figures += [
            Figure(f"allocation for {count} nodes, dual stack", low(first), "s", goal),
            Figure(f"allocation for one node more than {count - 1}", low(more), "s", goal),
            Figure(f"allocation for {count} nodes, memory", memory, "MiB", _MEMORY),
        ]
    most, least = max(GOALS), min(GOALS)
    return [*figures, Figure(f"allocation for {most} nodes, seconds a node", firsts[-1] / firsts[0], f"x {least}", 1.5)]

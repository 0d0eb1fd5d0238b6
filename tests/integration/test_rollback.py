# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole or not at all: when a step fails, the node is as it was before the run."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from testbed import diff_dumps
from testbed.paths import link_collection

RUNNER = Path(__file__).with_name("engine_runner.py")
NODE = {
    "cni_plugins": {"src": "/usr/lib/cni", "remote_src": True, "plugins": ["bridge", "host-local", "loopback", "portmap"]},
    "sysctl_bridge_nf": {},
    "kubenet_bridge": {"pod_cidrs": ["10.244.1.0/24", "fd00:10:244:1::/64"]},
    "masquerade": {"cluster_cidrs": ["10.244.0.0/16", "fd00:10:244::/48"]},
}
OTHER = {
    **NODE,
    "cni_plugins": {**NODE["cni_plugins"], "plugins": ["bridge", "host-local", "loopback", "portmap", "tuning"]},
    "sysctl_bridge_nf": {"bridge_nf_call_arptables": False},
    "kubenet_bridge": {"pod_cidrs": ["10.244.2.0/24"], "mtu": "1400", "hairpin_mode": "promiscuous-bridge"},
    "masquerade": {"non_masquerade_cidrs": ["10.0.0.0/8"]},
}
REMOVED = {name: {"state": "absent"} for name in NODE}


def run(node, params, fail=None):
    order = json.dumps({"params": params, "fail": fail})
    return json.loads(node.run([sys.executable, str(RUNNER)], input=order, env={"PYTHONPATH": str(link_collection())}).stdout)


@pytest.mark.parametrize("when", ["write", "verify"])
@pytest.mark.parametrize(("before", "after"), [(None, NODE), (NODE, OTHER), (NODE, REMOVED)], ids=["first run", "change", "removal"])
def test_failure_at_every_step_leaves_the_node_as_it_was(node, before, after, when):
    node.add_foreign()
    if before:
        assert "error" not in run(node, before)
    start = node.dump()
    step, steps = 0, []
    while True:
        step += 1
        result = run(node, after, [step, when])
        if "error" not in result:
            break
        reason = "told to fail" if when == "verify" else "OSError: [Errno 28] No space left on device"
        assert reason in result["error"]
        assert result["error"].endswith("everything done before it was put back, the node is as it was")
        steps.append(result["error"].split(" could not be changed")[0])
        difference = diff_dumps(start, node.dump())
        assert not difference, f"after a failure of step {step}, {steps[-1]}:\n{difference}"
    assert result["changes"] == len(steps) > 5
    assert steps[-1].startswith("document:")
    assert run(node, after) == {"changes": 0}

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A document with a part that is lost or edited: every module says so and touches nothing."""

from __future__ import annotations

import copy
import json

import pytest
from testbed import Node, diff_dumps

PATH = "/etc/kubenode-network/node.json"
PODS = ["10.244.1.0/24"]
NODE = {
    "cni_plugins": {"src": "/usr/lib/cni", "remote_src": True}, "sysctl_bridge_nf": {}, "masquerade": {"non_masquerade_cidrs": []},
    "kubenet_bridge": {"pod_cidrs": PODS},
}  # fmt: skip
MODULES = {
    "cni_plugins": NODE["cni_plugins"], "sysctl_bridge_nf": {}, "masquerade": {**NODE["masquerade"], "pod_cidrs": PODS}, "kubenet_bridge": {"pod_cidrs": PODS},
    "cni_config": {"name": "mynet", "plugins": [{"type": "bridge"}]}, "portmap": {"network": "theirs"}, "bandwidth": {"network": "theirs"},
    "node_network": NODE,
}  # fmt: skip
THEIRS = {"cniVersion": "1.0.0", "name": "theirs", "type": "ptp", "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}


@pytest.fixture(scope="module")
def made():
    """A node on which every module was at work, and its document."""
    with Node() as node:
        node.write("/etc/cni/net.d/50-theirs.conf", json.dumps(THEIRS))
        for module, options in [("node_network", NODE), ("portmap", {"network": "theirs"}), ("bandwidth", {"network": "theirs"})]:
            result = node.module(module, options)
            assert not result.get("failed"), result["msg"]
        yield node, node.read(PATH)


def places(value, path=()):
    """Every place of the document below its sections, outermost first."""
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in items:
        yield (*path, key)
        yield from places(item, (*path, key))


def damaged(data, path, how):
    """The document without what is in a place, or with something else there."""
    result = copy.deepcopy(data)
    inner = result
    for key in path[:-1]:
        inner = inner[key]
    if how == "gone":
        del inner[path[-1]]
    else:
        inner[path[-1]] = {} if inner[path[-1]] != {} else [7]
    return result


@pytest.mark.parametrize("module", [*MODULES, "cni_info"])
def test_a_part_of_the_document_is_gone_or_another(made, module):
    node, whole = made
    data = json.loads(whole)
    assert set(data["sections"]) == set(MODULES) - {"cni_config", "node_network"} | {"networks"}
    chosen, before = list(places(data["sections"], ("sections",))), node.dump()
    for number, path in enumerate(chosen[:: max(1, len(chosen) // 12)]):
        text = json.dumps(damaged(data, path, ("gone", "another")[number % 2]))
        node.write(PATH, text, 0o600)
        states = [{}] if module in ("cni_info", "node_network") else [{}, {"state": "absent"}]
        for state in states:
            result = node.module(module, {**MODULES.get(module, {}), **state}, check=True)
            if module == "cni_info":
                reasons = {item["fact"]: item["reason"] for item in result["unavailable"]}
                assert reasons["document"].startswith(f"{PATH} is damaged: "), path
            else:
                assert result.get("failed") and result["msg"].startswith(f"{PATH} is damaged: ") and "\n" not in result["msg"], (path, result)
        assert node.read(PATH) == text
    node.write(PATH, whole, 0o600)
    assert not diff_dumps(before, node.dump())

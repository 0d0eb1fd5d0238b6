# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The site playbook for many nodes from one controller: a bad change stops at the canary, and a bad node is nobody else's."""

from __future__ import annotations

import ipaddress
import json
import re

import pytest
from testbed import diff_dumps
from testbed.fleet import Fleet, run_site, stubs

MODULE = "kubenode.network.node_network"


def order(play):
    """The nodes in the order in which they were done."""
    return [task["host"] for task in play.tasks if task["action"] == MODULE]


def batches(play):
    """Names of the nodes of each batch, which are all done before there is another task."""
    found, before = [], ""
    for task in play.tasks:
        if task["action"] == MODULE:
            found += [] if before == MODULE else [set()]
            found[-1].add(task["host"])
        before = task["action"]
    return found


def summary(play):
    """The lines after the recap, as word -> names without the number of changes, and name -> reason."""
    text = re.sub(r" \([0-9]+ changes?\)", "", play.stdout.rpartition("POD NETWORK of ")[2])
    count = r"[0-9]+(?:, (?:[0-9]+ of them|none) (?:changed|would change))?"
    names = {what: names.split(", ") for what, names in re.findall(rf"(?m)^([a-z ]+): {count}: (.+)$", text)}
    return names, dict(re.findall(r"(?m)^  ([^ :]+): (.+)$", text))


def document(node):
    return json.loads(node.read("/etc/kubenode-network/node.json"))["sections"]


def test_a_bad_change_stops_at_the_canary(tmp_path):
    """Which comes first, wherever it stands in the inventory; no other node is touched, nor the canary itself."""
    with Fleet(4, tmp_path) as fleet:
        bad_input = {"node_network_kubenet_bridge": {"mtu": "many"}}
        before = {name: node.dump() for name, node in fleet.nodes.items()}
        assert "kubenet_bridge.mtu" in stopped(fleet, "node-002", bad_input)
        fleet.kill("node-004")
        assert "no route to host" in stopped(fleet, "node-004")
        assert [diff_dumps(before[name], node.dump()) for name, node in fleet.nodes.items()] == [""] * 4
        fleet.damage("node-003")
        before["node-003"] = fleet.nodes["node-003"].dump()
        assert "/etc/cni/net.d" in stopped(fleet, "node-003")
        assert [diff_dumps(before[name], node.dump()) for name, node in fleet.nodes.items()] == [""] * 4


def stopped(fleet, canary, extra=None):
    """Why the run for a fleet ended at its canary."""
    play, _cost = fleet.site({"kubenode_network_canary": canary, **(extra or {})})
    names, reasons = summary(play)
    assert (play.rc != 0, order(play)) == (True, [canary]), play.stdout
    assert (names, list(reasons)) == ({"not tried": [name for name in fleet.nodes if name != canary]}, [canary])
    return reasons[canary]


@pytest.mark.slow
def test_bad_nodes_leave_the_others_right_and_are_named(tmp_path):
    """Twenty nodes, of which one is dead, one hangs and one cannot be written."""
    bad = {"node-014": "no route to host", "node-016": "Timed out after 2 second", "node-018": "/etc/cni/net.d"}
    with Fleet(20, tmp_path) as fleet:
        fleet.kill("node-014")
        fleet.slow_down("node-016", 900, limit=2)
        fleet.damage("node-018")
        before = {name: fleet.nodes[name].dump() for name in bad}
        # A first run: what the dead one has is not known, and it has nothing.
        play, _cost = fleet.site({"kubenode_network_canary": "node-007", "node_network_pod_cidr_rebuild": "partial"})
        good = [name for name in fleet.nodes if name not in bad]
        assert [len(batch) for batch in batches(play)] == [1, 2, 6, 11], play.stdout
        assert order(play)[0] == "node-007"
        assert play.rc != 0
        names, reasons = summary(play)
        assert (set(names), set(names["right"]), set(reasons)) == ({"right"}, set(good), set(bad)), play.stdout
        assert all(expected in reasons[name] for name, expected in bad.items()), reasons
        assert [diff_dumps(before[name], fleet.nodes[name].dump()) for name in bad] == [""] * 3

        made = {task["host"]: len(task["result"]["changed_resources"]) for task in play.tasks if task["action"] == MODULE and task["host"] in good}
        assert all(f"{name} ({count} changes)" in play.stdout for name, count in made.items()), play.stdout

        sections = {name: document(fleet.nodes[name]) for name in good}
        pods = {tuple(section["kubenet_bridge"]["cbr0"]["desired"]["pod_cidrs"]) for section in sections.values()}
        assert len(pods) == len(good), "each has a range of its own"
        for section in sections.values():
            own = [ipaddress.ip_network(cidr) for cidr in section["masquerade"]["node"]["desired"]["non_masquerade_cidrs"]]
            left = [node.ip4 for node in fleet.nodes.values() if not any(ipaddress.ip_address(node.ip4) in cidr for cidr in own)]
            assert left == [], "nodes of other batches count, too"

        again, _cost = fleet.site(args=("--limit", ",".join(good)))
        assert (again.rc, again.changed) == (0, 0), again.stdout
        assert set(summary(again)[0]["right"]) == set(good)
        assert f"right: {len(good)}, none changed: " in again.stdout, again.stdout
        fleet.nodes["node-001"].run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
        asked, _cost = fleet.site(args=("--limit", "node-001", "--check"))
        assert "right: 1, 1 of them would change: node-001 (1 change)" in asked.stdout, asked.stdout


def test_too_many_failures_stop_at_their_batch(tmp_path):
    hosts = stubs(10)
    for name in ("node-002", "node-003"):
        hosts[name]["node_network_networks"] = "{{ nothing_of_this_name }}"
    play, _cost = run_site(tmp_path, hosts, {"kubenode_network_serial": [1, 4, 5]})
    names, reasons = summary(play)
    assert (play.rc, sorted(reasons)) == (2, ["node-002", "node-003"]), play.stdout
    assert names == {"right": ["node-001", "node-004", "node-005"], "not tried": [f"node-{number:03}" for number in range(6, 11)]}
    play, _cost = run_site(tmp_path, hosts, {"kubenode_network_serial": [1, 4, 5], "kubenode_network_max_fail_percentage": 50})
    assert len(summary(play)[0]["right"]) == 8


def test_batches_grow_and_the_limit_holds(tmp_path):
    hosts = stubs(12)
    play, _cost = run_site(tmp_path, hosts, {"kubenode_network_canary": "node-010"})
    assert (play.rc, [len(batch) for batch in batches(play)], order(play)[0]) == (0, [1, 1, 3, 7], "node-010"), play.stdout
    known = (tmp_path / "pod-cidrs.json").read_text()
    play, _cost = run_site(tmp_path, hosts, {"kubenode_network_canary": "node-010"}, ("--limit", "node-003:node-011"))
    assert (play.rc, order(play), summary(play)) == (0, ["node-003", "node-011"], ({"right": ["node-003", "node-011"]}, {}))
    assert (tmp_path / "pod-cidrs.json").read_text() == known


def test_a_node_that_does_not_answer_stops_the_first_allocation(tmp_path):
    """What it has could be given to another; those that were left out by --limit did not answer either."""
    hosts = stubs(4)
    hosts["node-002"] |= {"ansible_connection": "space", "space_pid": 0}
    for args, silent in (((), "node-002"), (("--limit", "node-001"), "node-002, node-003, node-004")):
        play, _cost = run_site(tmp_path, hosts, args=args)
        assert (play.rc, order(play), (tmp_path / "pod-cidrs.json").exists()) == (2, [], False), play.stdout
        assert f"pod-cidrs.json is not there, and there is no answer about pod CIDRs from {silent} (expected one from all" in play.stdout
    play, _cost = run_site(tmp_path, hosts, {"node_network_pod_cidr_rebuild": "partial", "kubenode_network_serial": "100%"})
    assert summary(play)[0]["right"] == ["node-001", "node-003", "node-004"], play.stdout


@pytest.mark.parametrize("pattern, nodes", [
    ("kube_node:!node-001", ["node-003", "node-002", "node-004"]),
    ("node-004,kube_node,!node-002", ["node-003", "node-004", "node-001"]),
])
def test_the_canary_comes_first_in_any_pattern(tmp_path, pattern, nodes):
    play, _cost = run_site(tmp_path, stubs(4), {"kubenode_network_canary": "node-003", "kubenode_network_hosts": pattern})
    assert (play.rc, play.stderr.count("is no node")) == (0, 0), play.stdout
    assert order(play)[:1] == nodes[:1] and sorted(order(play)) == sorted(nodes)


@pytest.mark.parametrize("extra, message", [
    ({"kubenode_network_canary": "node-009"}, 'kubenode_network_canary: "node-009" is no node (expected a host of kube_node)'),
    ({"kubenode_network_canary": "kube_node"}, 'kubenode_network_canary: "kube_node" is no node (expected a host of kube_node)'),
    ({"node_network_cluster_cidrs": [{"cidr": "10.240.0.0/33"}]}, "'10.240.0.0/33' is not a CIDR"),
])
def test_what_is_wrong_for_all_is_said_once(tmp_path, extra, message):
    play, _cost = run_site(tmp_path, stubs(3), extra)
    text = play.stdout.rpartition("POD NETWORK of 3 nodes")[2]
    assert play.rc == 2
    assert order(play) == []
    assert re.search(r"(?m)^stopped before the first node: .*" + re.escape(message), text), play.stdout
    assert summary(play)[0] == {"not tried": ["node-001", "node-002", "node-003"]}


@pytest.mark.parametrize("args", [(), ("--limit", "node-001")], ids=["all", "limit"])
def test_a_pattern_without_a_node_is_an_error(tmp_path, args):
    play, _cost = run_site(tmp_path, stubs(2), {"kubenode_network_hosts": "kube-node"}, args)
    assert play.rc != 0 and order(play) == []
    message = 'kubenode_network_hosts: "kube-node" matches no host of the inventory (expected the group of the nodes)'
    assert f"stopped before the first node: {message}" in play.stdout, play.stdout + play.stderr
    assert ("POD NETWORK of 2 nodes" if not args else "POD NETWORK of 1 node ") in play.stdout

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The node's document: what it records, and what it protects."""

from __future__ import annotations

import json

from testbed import diff_dumps

PATH = "/etc/kubenode-network/node.json"
BRIDGE = {"pod_cidrs": ["10.244.1.0/24"]}
MASQUERADE = {"pod_cidrs": ["10.244.1.0/24"], "non_masquerade_cidrs": []}


def document(node):
    return json.loads(node.read(PATH))


def test_every_module_writes_its_section_and_leaves_the_others(plugin_node):
    node = plugin_node
    node.module("kubenet_bridge", BRIDGE)
    node.module("masquerade", MASQUERADE)
    node.module("cni_config", {"name": "a", "plugins": [{"type": "bridge"}]})
    node.module("cni_config", {"name": "b", "priority": 20, "plugins": [{"type": "bridge"}]})
    data = document(node)
    assert data["schema"] == 1
    assert {section: list(parts) for section, parts in data["sections"].items()} == {
        "kubenet_bridge": ["cbr0"], "masquerade": ["node"], "networks": ["a", "b"],
    }
    bridge = data["sections"]["kubenet_bridge"]["cbr0"]
    assert bridge["desired"]["mtu"] == 1450, "auto is resolved"
    record = bridge["objects"]["bridge:cbr0"]
    assert (record["origin"], record["found"], len(record["hash"])) == ("created", None, 64)
    assert node.run(["stat", "-c", "%a", PATH]).stdout == "600\n"


def test_found_value_is_that_of_the_first_contact(node):
    node.ip("link add cbr0 type bridge", "link set cbr0 mtu 1400")
    for mtu in ("1300", "1350"):
        node.module("kubenet_bridge", {**BRIDGE, "mtu": mtu})
    record = document(node)["sections"]["kubenet_bridge"]["cbr0"]["objects"]["bridge:cbr0"]
    assert (record["origin"], record["found"]["mtu"], record["found"]["addresses"]) == ("adopted", 1400, [])


def test_a_newer_document_is_refused(node):
    node.write(PATH, json.dumps({"schema": 2, "sections": {}}))
    before = node.dump()
    result = node.module("kubenet_bridge", BRIDGE)
    assert result["failed"]
    assert "has schema 2, written by a newer kubenode.network (this one knows up to 1)" in result["msg"]
    assert not diff_dumps(before, node.dump())


def test_a_broken_document_is_refused(node):
    node.write(PATH, "{")
    before = node.dump()
    result = node.module("kubenet_bridge", BRIDGE)
    assert result["failed"]
    assert f"{PATH} cannot be read" in result["msg"]
    assert not diff_dumps(before, node.dump())


def test_what_the_document_does_not_know_is_left_alone(plugin_node):
    node = plugin_node
    node.module("cni_config", {"name": "mynet", "plugins": [{"type": "bridge"}]})
    node.module("kubenet_bridge", BRIDGE)
    node.run(["rm", PATH])
    before = node.dump()
    for module, options in (("kubenet_bridge", {}), ("cni_config", {"name": "mynet"}), ("masquerade", {})):
        result = node.module(module, {**options, "state": "absent"})
        assert not result["changed"]
        if module != "masquerade":
            assert "it was left alone" in json.dumps(result["warnings"])
    assert not diff_dumps(before, node.dump())


def test_a_bridge_with_pods_is_not_removed(plugin_node):
    node = plugin_node
    node.module("node_network", {"kubenet_bridge": BRIDGE, "sysctl_bridge_nf": {}})
    with node.pod("a"):
        result = node.module("kubenet_bridge", {"state": "absent"})
        assert result["failed"]
        assert "state: absent would cut off 1 pod: cbr0 has the port veth" in result["msg"]
    assert node.module("kubenet_bridge", {"state": "absent"})["changed"]


def test_contents_that_others_wrote_are_kept(plugin_node):
    """A file that somebody edited since is put right again, but what they wrote can be found."""
    node = plugin_node
    options = {"name": "mynet", "plugins": [{"type": "bridge"}]}
    node.module("cni_config", options)
    node.write("/etc/cni/net.d/10-mynet.conflist", "an hour of somebody's work")
    assert node.module("cni_config", options)["changed"]
    kept = node.run(["sh", "-c", "cat /var/lib/kubenode-network/found/*"]).stdout
    assert kept == "an hour of somebody's work"
    node.module("cni_config", {**options, "priority": 20})
    node.module("cni_config", {"name": "mynet", "state": "absent"})
    assert node.run(["sh", "-c", "cat /var/lib/kubenode-network/found/*"]).stdout == kept, "our own contents are not kept, theirs are"


def test_a_file_that_was_right_at_first_contact_comes_back_after_drift_and_change(plugin_node):
    node = plugin_node
    options, path = {"name": "mynet", "plugins": [{"type": "bridge"}]}, "/etc/cni/net.d/10-mynet.conflist"
    node.module("cni_config", options)
    right = node.read(path)
    node.module("cni_config", {"name": "mynet", "state": "absent"})
    node.write(path, right)
    found = node.dump()
    first = node.module("cni_config", options)
    assert [change["resource"] for change in first["changes"]] == [f"document:{PATH}"]
    node.write(path, "an hour of somebody's work")
    drifted = node.module("cni_config", {"name": "mynet", "plugins": [{"type": "bridge", "mtu": 1400}]})
    assert drifted["changed"] and '"mtu": 1400' in node.read(path)
    assert node.module("cni_config", {"name": "mynet", "state": "absent"})["changed"]
    assert node.read(path) == right
    left = [line for line in diff_dumps(found, node.dump()).splitlines() if "/var/lib/kubenode-network" not in line]
    assert not left
    assert node.run(["sh", "-c", "cat /var/lib/kubenode-network/found/*"]).stdout == "an hour of somebody's work"


def test_the_loopback_file_of_two_networks_goes_with_the_last(plugin_node):
    node = plugin_node
    networks = [{"name": name, "priority": priority, "cni_version": version, "loopback": True, "plugins": [{"type": "bridge"}]}
                for name, priority, version in (("a", 10, "1.0.0"), ("b", 20, "0.4.0"))]
    for changed in (True, False):
        for network in networks:
            assert node.module("cni_config", network)["changed"] is changed
    assert not node.module("node_network", {"networks": networks})["changed"]
    node.module("cni_config", {"name": "a", "state": "absent"})
    assert node.exists("/etc/cni/net.d/99-loopback.conf")
    node.module("cni_config", {"name": "b", "state": "absent"})
    assert not node.exists("/etc/cni/net.d/99-loopback.conf")


def test_removal_that_would_leave_the_loopback_file_alone_is_refused(plugin_node):
    node = plugin_node
    node.write("/etc/cni/net.d/99-loopback.conf", '{"cniVersion": "1.0.0", "name": "lo", "type": "loopback"}')
    node.module("cni_config", {"name": "a", "loopback": True, "plugins": [{"type": "bridge"}]})
    result = node.module("cni_config", {"name": "a", "state": "absent"})
    assert result["failed"]
    assert "state: absent would leave /etc/cni/net.d/99-loopback.conf alone, where it becomes the pod network" in result["msg"]
    assert node.exists("/etc/cni/net.d/10-a.conflist")

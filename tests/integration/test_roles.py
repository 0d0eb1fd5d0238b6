# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and the site playbook, run by ansible-playbook on a throw-away node."""

from __future__ import annotations

import json

import pytest
from testbed import Node, diff_dumps, load_network

PODS = ["10.244.1.0/24", "fd00:10:244:1::/64"]
CLUSTER = ["10.244.0.0/16", "fd00:10:244::/56"]
PLUGINS = {"src": "/usr/lib/cni", "remote_src": True}
SITE = {
    "kubenode_network_hosts": "all",
    "node_network_pod_cidrs": PODS,
    "node_network_cni_plugins": PLUGINS,
    "node_network_sysctl_bridge_nf": {},
    "node_network_kubenet_bridge": {},
    "node_network_masquerade": {"cluster_cidrs": CLUSTER},
}
ROLES = {
    "install_cni_src": "/usr/lib/cni",
    "install_cni_remote_src": True,
    "kubenet_pod_cidrs": PODS,
    "kubenet_cluster_cidrs": CLUSTER,
    "configure_cni_networks": [{
        "name": "mynet", "loopback": True,
        "plugins": [{"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": {"type": "host-local", "subnet": "10.245.0.0/16"}}],
    }],
}
# A folder on the way to a Python without pyroute2.
NO_LIBRARY = "raise ImportError('hidden by the test')\n"


def run_roles(node: Node, roles: str, args: tuple[str, ...] = (), **variables):
    play = node.playbook(f"- hosts: all\n  gather_facts: false\n  roles: [{roles}]\n", {**ROLES, **variables}, args)
    assert play.rc == 0, play.stdout + play.stderr
    return play


def documented(node: Node) -> dict:
    return json.loads(node.read("/etc/kubenode-network/node.json"))["sections"]


def test_the_site_playbook_makes_a_node_and_changes_nothing_more(node):
    plays = [node.playbook("kubenode.network.site", SITE, args) for args in (("--check", "--diff"), (), ("--check",), ())]
    assert [(play.rc, play.changed) for play in plays] == [(0, 1), (0, 1), (0, 0), (0, 0)], [play.stdout + play.stderr for play in plays]
    assert load_network(node)["name"] == "kubenet"
    assert documented(node)["masquerade"]["node"]["desired"]["pod_cidrs"] == PODS
    assert not any("package" in task["action"] or task["action"].endswith("setup") for play in plays for task in play.tasks)


def stored(path, cluster="default"):
    records = json.loads(path.read_text())["kubenode_network_pod_cidrs"]["vars"]["records"]
    return {record["node"]: record["cidrs"] for record in records if record.get("cluster") == cluster and "node" in record}


def test_pod_cidrs_are_allocated_remembered_and_found_again(node, tmp_path):
    """A store that is lost is made anew from what the node has, when somebody says so."""
    store = tmp_path / "pod-cidrs.json"
    variables = {key: value for key, value in SITE.items() if key != "node_network_pod_cidrs"}
    variables |= {"node_network_cluster_cidrs": [{"cidr": "10.244.0.0/16"}], "node_network_pod_cidr_store": str(store),
                  "node_network_reserved_cidrs": ["10.244.0.0/24"]}
    first, second = (node.playbook("kubenode.network.site", variables) for _run in range(2))
    assert (first.rc, first.changed, second.rc, second.changed) == (0, 2, 0, 0), first.stdout + first.stderr + second.stdout
    assert stored(store) == {"node": ["10.244.1.0/24"]}
    assert documented(node)["kubenet_bridge"]["cbr0"]["desired"]["pod_cidrs"] == ["10.244.1.0/24"]

    store.unlink()
    del variables["node_network_reserved_cidrs"]  # nothing but the node knows why it has the second one
    lost = node.playbook("kubenode.network.site", variables)
    assert lost.rc != 0 and not store.exists()
    assert f"store: {store} is not there, but pod CIDRs are reported by node (expected the file" in lost.stdout
    found = node.playbook("kubenode.network.site", {**variables, "node_network_pod_cidr_rebuild": "complete"})
    assert (found.rc, found.changed, stored(store)) == (0, 1, {"node": ["10.244.1.0/24"]}), found.stdout


def test_a_fixed_pod_cidr_wins_over_allocation(node):
    clusters = [{"cidr": "10.244.0.0/16"}, {"cidr": "fd00:10:244::/48"}]
    play = node.playbook("kubenode.network.site", {**SITE, "node_network_cluster_cidrs": clusters})
    assert play.rc == 0, play.stdout + play.stderr
    assert documented(node)["kubenet_bridge"]["cbr0"]["desired"]["pod_cidrs"] == PODS


INVENTORY = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.add_host: {name: "{{ item[0] }}", groups: "{{ item[1] }}", ansible_host: "{{ item[2] }}"}
      loop: [[bastion, other, 192.0.2.99], [b, GROUP, 192.0.2.20], [c, GROUP, "2001:db8::20"], [d, GROUP, d.example], [e, GROUP, 127.0.0.1]]
    - ansible.builtin.add_host: {name: 192.0.2.30, groups: GROUP}
    - ansible.builtin.include_role: {name: kubenode.network.kubenet}
"""


@pytest.mark.parametrize(("group", "more", "nodes"), [
    ("kube_node", {}, ["192.0.2.20/32", "192.0.2.30/32", "2001:db8::20/128"]),
    ("k8s_cluster", {}, ["192.0.2.20/32", "192.0.2.30/32", "2001:db8::20/128"]),
    ("mine", {}, ["192.0.2.20/32", "192.0.2.30/32", "192.0.2.99/32", "2001:db8::20/128"]),
    ("kube_node", {"kubenet_node_cidrs": ["192.0.2.0/24"]}, ["192.0.2.0/24"]),
    ("kube_node", {"kubenet_node_cidrs": []}, []),
])
def test_pods_and_nodes_of_the_inventory_talk_by_their_own_addresses(plugin_node, group, more, nodes):
    variables = {"kubenet_pod_cidrs": PODS[:1], "kubenet_cluster_cidrs": CLUSTER[:1], "kubenet_backend": "nftables", **more}
    play = plugin_node.playbook(INVENTORY.replace("GROUP", group), variables)
    assert play.rc == 0, play.stdout + play.stderr
    desired = documented(plugin_node)["masquerade"]["node"]["desired"]
    assert sorted(desired["non_masquerade_cidrs"]) == sorted([*CLUSTER[:1], *nodes])
    assert (desired["backend"], desired["adopt"]) == ("nftables", ["kubenet"])


def test_single_roles_make_a_node_and_take_it_back(node):
    before = node.dump()
    order = "kubenode.network.install_cni, kubenode.network.kubenet, kubenode.network.configure_cni"
    assert run_roles(node, order).changed == 3
    assert run_roles(node, order).changed == 0
    assert load_network(node)["name"] == "kubenet"
    assert node.exists("/etc/cni/net.d/10-mynet.conflist")
    assert node.exists("/etc/cni/net.d/99-loopback.conf")
    run_roles(node, "kubenode.network.configure_cni", configure_cni_networks=[{"name": "mynet", "state": "absent"}])
    run_roles(node, "kubenode.network.kubenet", kubenet_state="absent")
    run_roles(node, "kubenode.network.install_cni", install_cni_state="absent")
    # The folder that a runtime watches stays there, for it may not be there again when a runtime looks.
    left = [line for line in diff_dumps(before, node.dump()).splitlines() if "files./etc/cni/net.d:" not in line]
    assert left == []


def test_kubenet_limits_what_pods_send_and_receive(plugin_node):
    """By the annotations of each pod as kubenet did, or all of them; the second run of either changes nothing."""
    node, role = plugin_node, "kubenode.network.kubenet"
    for limits, entry in (({}, {}), ({"egress_rate": "10M"}, {"egressRate": 10000000, "egressBurst": 1000000})):
        assert [run_roles(node, role, kubenet_bandwidth=limits).changed > 0 for _run in range(2)] == [True, False]
        assert load_network(node)["plugins"][2] == {"type": "bandwidth", "capabilities": {"bandwidth": True}, **entry}
    assert run_roles(node, role).changed == 0, "limits that are not managed stay"
    assert run_roles(node, role, kubenet_bandwidth={"state": "absent"}).changed == 1
    assert [plugin["type"] for plugin in load_network(node)["plugins"]] == ["bridge", "portmap"]
    run_roles(node, role, kubenet_bandwidth={"ingress_rate": "1M"})
    run_roles(node, role, kubenet_state="absent")
    assert not node.exists("/etc/kubenode-network/node.json")


@pytest.mark.parametrize("variables, message", [
    ({"kubenet_pod_cidrs": ["10.244.1.0/33"]}, "kubenet_bridge.pod_cidrs[0]: '10.244.1.0/33' is not a CIDR"),
    ({"kubenet_pod_cidrs": []}, "kubenet_bridge.pod_cidrs: is required when state is present"),
    ({"kubenet_cluster_cidrs": None}, "masquerade.non_masquerade_cidrs: is required unless cluster_cidrs is given"),
    ({"kubenet_hairpin_mode": "both"}, "value of kubenet_hairpin_mode must be one of"),
])
def test_bad_variables_fail_with_the_message_and_touch_nothing(plugin_node, variables, message):
    before = plugin_node.dump()
    play = plugin_node.playbook("- hosts: all\n  gather_facts: false\n  roles: [kubenode.network.kubenet]\n", {**ROLES, **variables})
    failures = [task["result"]["msg"] for task in play.tasks if task["status"] == "failed"]
    assert play.rc == 2
    assert len(failures) == 1
    assert message in failures[0]
    assert diff_dumps(before, plugin_node.dump()) == ""


def test_a_library_that_stays_missing_is_one_clear_error(node):
    """Nothing is to be installed here: what the role then installs is proved on a systemd node (molecule/default)."""
    node.write("/run/hidden/pyroute2.py", NO_LIBRARY)
    before = node.dump()
    environment = {"PYTHONPATH": "/run/hidden"}
    # The library is hidden from the controller, too, which then has none to send along.
    site = {**SITE, "node_network_boot": False}
    play = node.playbook("kubenode.network.site", {**site, "node_network_pyroute2_packages": []}, env=environment)
    failures = [task["result"] for task in play.tasks if task["status"] == "failed"]
    assert play.rc == 2
    assert [failure.get("missing_library") for failure in failures] == ["pyroute2"], failures
    assert "hidden by the test" in failures[0]["msg"]
    assert diff_dumps(before, node.dump()) == ""
    assert node.playbook("kubenode.network.site", site).rc == 0
    again = node.playbook("kubenode.network.site", site, env=environment)
    assert (again.rc, again.changed) == (0, 0), again.stdout + again.stderr


@pytest.mark.parametrize("off", [False, "false"])  # the text is what -e and an INI inventory give
def test_what_comes_back_at_boot_can_be_switched_off(plugin_node, off):
    run_roles(plugin_node, "kubenode.network.kubenet", kubenet_boot_service=off)
    assert "boot_service" not in documented(plugin_node)
    assert not plugin_node.exists("/usr/local/sbin/kubenode-network")

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One flat network of the pods of several nodes, from cluster CIDRs alone; nodes that come and go; a store that is lost."""

from __future__ import annotations

import json
from contextlib import ExitStack

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._addressing import peers
from testbed import diff_dumps, traffic
from testbed.fleet import Fleet, run_site, stubs

ADD, REMOVE, PULL = "kubenode.network.add_node", "kubenode.network.remove_node", "kubenode.network.pull"
MODULE = "kubenode.network.node_network"
DOCUMENT = "document:/etc/kubenode-network/node.json"
#: Of the wire that all nodes are on: with these, another node's address is no exception of its own.
WIRE = ["192.0.2.0/24", "2001:db8:0:1::/64"]


@pytest.fixture
def fleet(tmp_path):
    """Four nodes, of which the inventory has three."""
    with Fleet(4, tmp_path) as made:
        made.spare = made.variables.pop("node-004")
        for name in made.nodes:
            {**made.variables, "node-004": made.spare}[name]["node_network_masquerade"] = {"node_cidrs": WIRE}
        yield made


def run(fleet, playbook="kubenode.network.site", node=None, *, extra=None, args=(), rc=0):
    variables = {"kubenode_network_serial": "100%", **({"kubenode_network_node": node} if node else {}), **(extra or {})}
    play, _cost = fleet.site(variables, args, playbook=playbook)
    assert play.rc == 0 if rc == 0 else play.rc != 0, play.stdout + play.stderr
    return play


def store(fleet):
    """Name -> pod CIDRs, and the freed ones."""
    records = json.loads((fleet.folder / "pod-cidrs.json").read_text())["kubenode_network_pod_cidrs"]["vars"]["records"]
    freed = [record["freed"] for record in records if "freed" in record]
    return {record["node"]: record["cidrs"] for record in records if "node" in record}, freed


def routes(node):
    """Prefix -> next hop."""
    shown = [json.loads(node.run(["ip", "-j", f"-{family}", "route", "show", "proto", "107"]).stdout) for family in "46"]
    return {route["dst"]: route["gateway"] for family in shown for route in family}


def to(fleet, *names):
    nodes = [(fleet.nodes[name], store(fleet)[0][name]) for name in names]
    return {cidr: address for node, cidrs in nodes for cidr, address in zip(cidrs, (node.ip4, node.ip6), strict=True)}


def changes(play):
    """Name -> what was changed on the node."""
    return {task["host"]: task["result"]["changed_resources"] for task in play.tasks if task["action"] == MODULE and task["status"] == "ok"}


def only_routes(play, prefixes):
    """What happened on nodes where nothing but these routes was changed."""
    tasks = [task for task in play.tasks if task["action"] == MODULE and task["task"].endswith("Tell the node of the others")]
    found = {task["host"]: [change for change in task["result"]["changes"] if change["resource"] != DOCUMENT] for task in tasks}
    for name, changed in found.items():
        assert [one["resource"] for one in changed] == ["routes:kubenode"], (name, changed)
        assert {*changed[0]["before"], *changed[0]["after"]} == set(prefixes)
    return set(found)


def talk(pods):
    """Each pod reaches each other one, and is seen by its own address, in both families."""
    for server in pods:
        with server.serve_tcp(9000):
            seen = [(traffic.tcp(client, host, 9000)["source"], own) for client in pods for host, own in zip(server.ips, client.ips, strict=True)]
            assert [source for source, _own in seen] == [own for _source, own in seen]


@pytest.mark.slow
def test_the_pods_of_all_nodes_are_one_network_and_a_new_node_is_one_route_more(fleet):
    assert run(fleet, args=("--check", "--diff")).changed == 4 and not (fleet.folder / "pod-cidrs.json").exists()
    assert run(fleet).changed == 4, "three nodes and the store"
    with ExitStack() as stack:
        pods = [stack.enter_context(fleet.nodes[name].pod("web")) for name in fleet.variables]
        talk(pods)
        assert routes(fleet.nodes["node-002"]) == to(fleet, "node-001", "node-003")
        assert run(fleet, args=("--limit", "node-002")).changed == 0, "a node knows all the others"
        assert run(fleet, PULL, extra={"kubenode_network_pull_host": "node-002"}).changed == 0, "also one that makes itself"

        fleet.variables["node-004"] = fleet.spare
        foretold = run(fleet, ADD, "node-004", args=("--check", "--diff"))
        added = run(fleet, ADD, "node-004")
        assert changes(foretold) == changes(added)
        assert only_routes(added, store(fleet)[0]["node-004"]) == {"node-001", "node-002", "node-003"}
        talk([*pods, stack.enter_context(fleet.nodes["node-004"].pod("web"))])
        assert run(fleet, ADD, "node-004").changed == 0
        assert run(fleet).changed == 0, "all is as the site playbook makes it"


@pytest.mark.slow
def test_a_node_that_leaves_takes_its_routes_along(fleet):
    run(fleet)
    gone, cidrs = fleet.nodes["node-002"], store(fleet)[0]["node-002"]
    with gone.pod("web"):
        before = gone.dump()
        assert "absent would cut off" in run(fleet, REMOVE, "node-002", rc=2).stdout
        assert store(fleet)[0]["node-002"] == cidrs and not diff_dumps(before, gone.dump())
    foretold = run(fleet, REMOVE, "node-002", args=("--check", "--diff"))
    removed = run(fleet, REMOVE, "node-002")
    assert changes(foretold) == changes(removed)
    assert only_routes(removed, cidrs) == {"node-001", "node-003"}
    assert sorted(store(fleet)[1]) == sorted(cidrs)
    assert routes(gone) == {} and not gone.exists("/etc/kubenode-network/node.json")
    assert "Take node-002 out of the inventory" in removed.stdout
    assert run(fleet, REMOVE, "node-002").changed == 0
    del fleet.variables["node-002"]
    assert "node-002 is no node" in run(fleet, REMOVE, "node-002", rc=2).stdout
    assert run(fleet).changed == 0


@pytest.mark.slow
def test_a_dead_node_and_a_lost_store(fleet):
    """A store is made anew of what all nodes say; a node that says nothing any more is removed without it."""
    run(fleet)
    known = (fleet.folder / "pod-cidrs.json").read_text()
    (fleet.folder / "pod-cidrs.json").unlink()
    assert "pod CIDRs are reported by node-001, node-002, node-003" in run(fleet, rc=2).stdout
    rebuild = {"node_network_pod_cidr_rebuild": "complete"}
    fleet.kill("node-003")
    assert "no answer about pod CIDRs from node-003" in run(fleet, extra=rebuild, rc=2).stdout
    dead, fleet.variables["node-003"] = fleet.variables["node-003"], {**fleet.variables["node-003"], "space_pid": fleet.nodes["node-003"].pid}
    assert run(fleet, extra=rebuild).changed == 1 and (fleet.folder / "pod-cidrs.json").read_text() == known

    fleet.variables["node-003"] = dead
    assert "no route to host (expected the node to answer; or kubenode_network_gone=true" in run(fleet, REMOVE, "node-003", rc=2).stdout
    cidrs = store(fleet)[0]["node-003"]
    assert only_routes(run(fleet, REMOVE, "node-003", extra={"kubenode_network_gone": True}), cidrs) == {"node-001", "node-002"}
    assert sorted(store(fleet)[1]) == sorted(cidrs)

    told = run(fleet, REMOVE, "node-002", rc=4).stdout
    assert "node-003: not reached, or failed above, so a route to the pods of node-002 may be left there" in told, told
    assert "node-002" not in store(fleet)[0]


@pytest.mark.parametrize(("playbook", "node", "message"), [
    (ADD, None, "kubenode_network_node: is required (expected the name of a host of kube_node"),
    (ADD, "node-009", "kubenode_network_node: node-009 is no node (expected the name of a host of kube_node"),
    (ADD, "kube_node", "kubenode_network_node: kube_node is no node"),
    (REMOVE, None, "kubenode_network_node: is required"),
    (REMOVE, "node-009", "kubenode_network_node: node-009 is no node (expected the name of a node, in the inventory still or in "),
    (REMOVE, "node-001, node-002", 'kubenode_network_node: node-001, node-002 leaves no host of kube_node (expected another node to stay'),
])  # fmt: skip
def test_a_node_that_nobody_knows_is_refused(tmp_path, playbook, node, message):
    play, _cost = run_site(tmp_path, stubs(2), {"kubenode_network_node": node} if node else {}, playbook=playbook)
    assert play.rc != 0 and message in " ".join((play.stdout + play.stderr).split()), play.stdout + play.stderr
    assert changes(play) == {} and not (tmp_path / "pod-cidrs.json").exists()


@pytest.mark.parametrize("text", ["", '{"kubenode_network_pod_cidrs": {"vars": {"schema": 1, "records": [\n<<<<<<< HEAD\n{"end": true}\n]}}}\n'])
@pytest.mark.parametrize("playbook", [REMOVE, PULL])
def test_a_damaged_store_is_named_by_those_who_only_read_it(tmp_path, playbook, text):
    (tmp_path / "pod-cidrs.json").write_text(text)
    extra = {"kubenode_network_node": "node-001", "kubenode_network_pull_host": "node-001"}
    play, _cost = run_site(tmp_path, stubs(2), extra, playbook=playbook)
    assert play.rc != 0 and f"node_network_pod_cidr_store: {tmp_path}/pod-cidrs.json is damaged" in " ".join(play.stdout.split()), play.stdout
    assert (tmp_path / "pod-cidrs.json").read_text() == text


@pytest.mark.parametrize("playbook", [ADD, REMOVE])
def test_a_limit_that_would_leave_somebody_out_is_refused(tmp_path, playbook):
    play, _cost = run_site(tmp_path, stubs(3), {"kubenode_network_node": "node-003"}, ("--limit=node-001",), playbook=playbook)
    assert play.rc != 0 and "--limit: node-001 cannot be given here" in " ".join(play.stdout.split()), play.stdout + play.stderr
    assert changes(play) == {} and not (tmp_path / "pod-cidrs.json").exists()


@pytest.mark.parametrize(("change", "message"), [
    ({"ansible_host": "node-002.example.org"}, "no address is known of node-002 (IPv4), by which the others reach its pods (expected ip"),
    ({"ip6": None}, "no address is known of node-002 (IPv6), by which"),
])  # fmt: skip
def test_a_node_to_which_no_route_can_lead_is_named_before_any_is_changed(tmp_path, change, message):
    hosts = stubs(3)
    hosts["node-002"].update(change)
    extra = {"node_network_pod_cidr_rebuild": "partial"}
    play, _cost = run_site(tmp_path, hosts, extra)
    assert play.rc != 0 and message in " ".join(play.stdout.split()), play.stdout + play.stderr
    assert changes(play) == {}
    assert run_site(tmp_path, hosts, {**extra, "node_network_routes": False})[0].rc == 0


def test_a_node_that_was_not_asked_has_not_said_that_it_has_nothing(fleet):
    """Another interpreter since an upgrade, or a document that is none."""
    run(fleet)
    known = (fleet.folder / "pod-cidrs.json").read_text()
    (fleet.folder / "pod-cidrs.json").unlink()
    variables, fleet.variables["node-001"] = fleet.variables["node-001"], {**fleet.variables["node-001"], "ansible_python_interpreter": "/gone/python3"}
    document = fleet.nodes["node-002"].read("/etc/kubenode-network/node.json")
    fleet.nodes["node-002"].write("/etc/kubenode-network/node.json", "{}")
    for rebuild in ("never", "complete"):
        said = " ".join(run(fleet, extra={"node_network_pod_cidr_rebuild": rebuild}, rc=2).stdout.split())
        assert "there is no answer about pod CIDRs from node-001, node-002" in said
    assert not (fleet.folder / "pod-cidrs.json").exists()
    fleet.variables["node-001"] = variables
    fleet.nodes["node-002"].write("/etc/kubenode-network/node.json", document, 0o600)
    run(fleet, extra={"node_network_pod_cidr_rebuild": "complete"})
    assert (fleet.folder / "pod-cidrs.json").read_text() == known


def test_routes_that_are_not_wanted_any_more_are_taken_away(fleet):
    run(fleet)
    assert routes(fleet.nodes["node-001"])
    run(fleet, extra={"node_network_routes": False})
    assert routes(fleet.nodes["node-001"]) == {}
    assert run(fleet, extra={"node_network_routes": False}).changed == 0


def test_a_node_that_makes_itself_decides_nothing(tmp_path):
    play, _cost = run_site(tmp_path, stubs(2), {"kubenode_network_pull_host": "node-001"}, playbook=PULL)
    assert play.rc != 0 and "no pod CIDR was allocated for node-001 yet (expected a run of kubenode.network.site" in play.stdout, play.stdout
    assert changes(play) == {} and not (tmp_path / "pod-cidrs.json").exists()


def test_the_role_alone_knows_all_nodes_in_each_batch(tmp_path):
    """The first one alone cannot know that the others have nothing. A store whose path is relative is beside the inventory."""
    (tmp_path / "play.yml").write_text(
        "- hosts: kube_node\n  gather_facts: false\n  serial: 1\n  roles: [kubenode.network.node_network]\n"
        "  post_tasks: [{ansible.builtin.debug: {msg: '{{ __node_network_routes.peers | default(none) }}'}}]\n"
    )
    hosts = stubs(3)
    variables = {"node_network_pod_cidr_store": "here.json"}
    play, _cost = run_site(tmp_path, hosts, variables, playbook=str(tmp_path / "play.yml"))
    assert play.rc != 0 and "there is no answer about pod CIDRs from node-002, node-003" in play.stdout
    variables["node_network_pod_cidr_rebuild"] = "partial"
    play, _cost = run_site(tmp_path, hosts, variables, playbook=str(tmp_path / "play.yml"))
    assert play.rc == 0, play.stdout + play.stderr
    told = [peers.unpack(task["result"]["msg"])[0] for task in play.tasks if task["action"].endswith("debug")]
    cidrs = {name: [f"10.240.{index}.0/24", f"fd00:10:240:{index or ''}{':' if index else ''}:/64"] for index, name in enumerate(hosts)}
    assert told == [{name: {"pod_cidrs": cidrs[name], "addresses": [host["ansible_host"], host["ip6"]]} for name, host in hosts.items()}] * 3
    assert (tmp_path / "here.json").exists()


@pytest.mark.parametrize(("host", "address"), [
    ({"ansible_host": "192.0.2.1"}, ["192.0.2.1"]),
    ({"ansible_host": "192.0.2.1", "ip": "10.0.0.1"}, ["10.0.0.1"]),
    ({"ansible_host": "192.0.2.1", "access_ip": "10.0.0.9", "ip6": "fd00::1"}, ["10.0.0.9", "fd00::1"]),
    ({"ansible_host": "node-001.example.org"}, None),
    ({"ansible_host": "127.0.0.1"}, None),
])  # fmt: skip
def test_the_address_of_a_node_is_the_first_that_the_inventory_knows(tmp_path, host, address):
    (tmp_path / "play.yml").write_text(
        "- hosts: kube_node\n  gather_facts: false\n  roles: [kubenode.network.node_network]\n"
        "  post_tasks: [{ansible.builtin.debug: {msg: '{{ __node_network_peers if __node_network_routes_wanted | bool else none }}'}}]\n"
    )
    hosts = {"node-001": {"ansible_connection": "stub", **host}, "node-002": stubs(2)["node-002"]}
    play, _cost = run_site(tmp_path, hosts, {"node_network_cluster_cidrs": [{"cidr": "10.240.0.0/16"}]}, playbook=str(tmp_path / "play.yml"))
    if address is None:
        assert play.rc != 0 and "no address is known of node-001 (IPv4)" in " ".join(play.stdout.split())
        return
    assert play.rc == 0, play.stdout + play.stderr
    told = next(task["result"]["msg"] for task in play.tasks if task["action"].endswith("debug"))
    assert peers.unpack(told)[0]["node-001"]["addresses"] == address

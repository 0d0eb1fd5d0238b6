# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Three nodes are one flat network. molecule's scenario multi_node runs this (`make multi-node`), in the order of the file.

The site playbook has made node-1 and node-2. node-3 joins, all is tried on the three, node-2 reboots, and node-1 leaves.
"""

from __future__ import annotations

import ipaddress
import itertools
from contextlib import ExitStack, contextmanager

import pytest
from testbed import proof
from testbed.cluster import Cluster, ClusterPod
from testbed.streams import Flow, Ping, Streams

PORT, FLOW_PORT = 80, 9000
MTU = 1500
#: What another node that comes or goes may change on a node: its routes, and its address among what is not masqueraded.
OF_OTHERS = ["masquerade:iptables-nft/ipv4", "masquerade:iptables-nft/ipv6", "routes:kubenode", "document:/etc/kubenode-network/node.json"]
#: Of the ranges in the inventory.
SERVICE = ("10.96.0.80", "fd00:10:96::80")
CLUSTER = ("10.244.0.0/16", "fd00:10:244::/48")
#: What kube-proxy makes of a service with one endpoint.
KUBE_PROXY = """*nat
:KUBE-SERVICES - [0:0]
:KUBE-POSTROUTING - [0:0]
:KUBE-MARK-MASQ - [0:0]
:KUBE-SVC-WEB - [0:0]
:KUBE-SEP-WEB - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
-A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
-A KUBE-POSTROUTING -j MARK --xor-mark 0x4000
-A KUBE-POSTROUTING -j MASQUERADE --random-fully
-A KUBE-MARK-MASQ -j MARK --or-mark 0x4000
-A KUBE-SERVICES -d {service} -p tcp -m tcp --dport 80 -j KUBE-SVC-WEB
-A KUBE-SVC-WEB ! -s {cluster} -d {service} -p tcp -m tcp --dport 80 -j KUBE-MARK-MASQ
-A KUBE-SVC-WEB -j KUBE-SEP-WEB
-A KUBE-SEP-WEB -s {pod} -j KUBE-MARK-MASQ
-A KUBE-SEP-WEB -p tcp -m tcp -j DNAT --to-destination {endpoint}
COMMIT
"""


@contextmanager
def pods_on(*nodes):
    """Two pods on each of the nodes, with servers that say who asks: node -> pods."""
    made = {}
    with ExitStack() as stack:
        for node in nodes:
            node.wait_for_network()
            stack.callback(node.stop_pods)
            made[node] = [ClusterPod(node, "web"), ClusterPod(node, "client")]
        for pod in of_all(made):
            stack.enter_context(pod.serve_tcp(PORT))
        yield made


def of_all(made):
    return list(itertools.chain.from_iterable(made.values()))


@pytest.fixture(scope="module")
def cluster():
    return Cluster()


@pytest.fixture(scope="module")
def world(cluster):
    with cluster.outside.serve_tcp(PORT):
        yield cluster.world


@pytest.fixture(scope="class")
def pods(cluster):
    with pods_on(*cluster.nodes.values()) as made:
        yield made


def both(place):
    return [place.ip4, place.ip6]


def ask(source, hosts):
    """The addresses that these see of the one who asks."""
    return [proof.tcp(source, host, PORT)["source"] for host in hosts]


def wrong_between(pods):
    """A line for each pod that another one does not reach with full packets, or does not see by its own address."""
    lines = []
    for source, target in itertools.permutations(pods, 2):
        try:
            proof.ping(source, target.ip4, MTU - 28)
            proof.ping(source, target.ip6, MTU - 48)
            seen = ask(source, both(target))
        except proof.ProofError as error:
            lines.append(str(error))
        else:
            lines += [] if seen == both(source) else [f"{target.name} sees {source.name} as {seen} (expected {both(source)})"]
    return lines


def next_hops(cluster, *nodes):
    """Pod CIDR -> address of its node, by the store and the inventory."""
    known = cluster.pod_cidrs()
    return {cidr: node.ip6 if ":" in cidr else node.ip4 for node in nodes for cidr in known[node.name]}


def follow(streams, here, there):
    """Pings of both sizes and new flows between two pods, in both directions and of both families."""
    for source, target in ((here, there), (there, here)):
        pings = [Ping(host, size) for host in both(target) for size in (100, MTU)]
        flows = [Flow(host, FLOW_PORT, target, own) for own, host in zip(both(source), both(target), strict=True)]
        streams.start(source, pings, flows, rate=50)


def changed_routes(play, node, side):
    """The routes that were changed there, before or after; it is an error when anything else but what OF_OTHERS names was."""
    tasks = [task for task in play.tasks if (task["action"], task["host"]) == ("kubenode.network.node_network", node.name)]
    changes = {change["resource"]: change for task in tasks for change in task["result"]["changes"]}
    assert list(changes) == OF_OTHERS
    return changes["routes:kubenode"][side]


@contextmanager
def kube_proxy(node, endpoint):
    """Rules of kube-proxy for the service, at that pod."""
    before = {}
    for tool, service, cluster, pod in zip(("iptables", "ip6tables"), SERVICE, CLUSTER, both(endpoint), strict=True):
        before[tool] = node.machine.run([f"{tool}-save", "-t", "nat"]).stdout
        address = f"[{pod}]:{PORT}" if ":" in pod else f"{pod}:{PORT}"
        rules = KUBE_PROXY.format(service=service, cluster=cluster, pod=pod, endpoint=address)
        node.machine.run([f"{tool}-restore", "--noflush"], input=rules)
    yield
    for tool, rules in before.items():
        node.machine.run([f"{tool}-restore"], input=rules)


def test_a_node_joins_under_traffic(cluster):
    first, second, third = cluster.nodes.values()
    assert not third.has_network()
    with pods_on(first, second) as pods, Streams() as streams:
        follow(streams, pods[first][0], pods[second][0])
        streams.mark("add_node")
        play = cluster.play("add_node", "--extra-vars=kubenode_network_node=node-3")
        report = streams.finish()
    assert play.rc == 0, play.stdout + play.stderr
    assert report.problems() == [], report
    for node in (first, second):
        assert changed_routes(play, node, "after") == next_hops(cluster, third)
    for node, *others in ((first, second, third), (second, first, third), (third, first, second)):
        assert node.routes() == next_hops(cluster, *others)


class TestOfThreeNodes:
    def test_pods_have_addresses_of_their_node(self, cluster, pods):
        known = cluster.pod_cidrs()
        for pod in of_all(pods):
            for ip, cidr in zip(both(pod), known[pod.node.name], strict=True):
                assert ipaddress.ip_address(ip) in ipaddress.ip_network(cidr)

    def test_pods_see_each_other_by_their_own_addresses(self, pods):
        assert wrong_between(of_all(pods)) == []

    def test_pods_and_nodes_see_each_other_by_their_own_addresses(self, cluster, pods):
        for node in cluster.nodes.values():
            with node.serve_tcp(PORT):
                for pod in of_all(pods):
                    assert ask(pod, both(node)) == both(pod)
                    assert pod.node is node or ask(node, both(pod)) == both(node)

    def test_the_world_sees_the_node(self, pods, world):
        assert {pod.name: ask(pod, world) for pod in of_all(pods)} == {pod.name: both(pod.node) for pod in of_all(pods)}

    def test_services_across_nodes(self, cluster, pods):
        """The endpoint is on node-1. A pod is seen by its own address, one of its neighbours too; itself and nodes as kube-proxy wants."""
        first, *others = cluster.nodes.values()
        endpoint, neighbour = pods[first]
        with ExitStack() as stack:
            for node in cluster.nodes.values():
                stack.enter_context(kube_proxy(node, endpoint))
            for client in (neighbour, *(pods[node][1] for node in others)):
                assert ask(client, SERVICE) == both(client)
            for node in others:
                assert ask(node, SERVICE) == both(node)
            gateways = [str(next(ipaddress.ip_network(cidr).hosts())) for cidr in cluster.pod_cidrs()[first.name]]
            assert ask(endpoint, SERVICE) == gateways
            assert ask(first, SERVICE) == gateways


def test_a_reboot_brings_everything_back_without_a_controller(cluster, world):
    first, second, third = cluster.nodes.values()
    before = second.routes()
    assert before == next_hops(cluster, first, third)
    with pods_on(first, third) as others:
        ClusterPod(second, "before")
        second.machine.restart()
        assert second.routes() == before
        second.wait_for_network()
        second.stop_pods()
        with pods_on(second) as pods:
            assert wrong_between(of_all({**others, **pods})) == []
            assert [ask(pod, world) for pod in of_all(pods)] == [both(second)] * 2


def test_a_node_leaves_under_traffic(cluster):
    first, second, third = cluster.nodes.values()
    to_first = next_hops(cluster, first)
    with pods_on(second, third) as pods, Streams() as streams:
        follow(streams, pods[second][0], pods[third][0])
        streams.mark("remove_node")
        play = cluster.play("remove_node", "--extra-vars=kubenode_network_node=node-1")
        report = streams.finish()
    assert play.rc == 0, play.stdout + play.stderr
    assert report.problems() == [], report
    for node in (second, third):
        assert changed_routes(play, node, "before") == to_first
    assert second.routes() == next_hops(cluster, third)
    assert third.routes() == next_hops(cluster, second)
    assert list(cluster.pod_cidrs()) == ["node-2", "node-3"]

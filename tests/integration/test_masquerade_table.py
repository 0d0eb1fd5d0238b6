# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who is seen as whom: every pair of pods, nodes, services and the world outside, by the source address that the receiver sees.

Two nodes on one wire, with routes to each other's pods. Kubernetes' rule is that pods and nodes talk to all pods without NAT.
"""

from __future__ import annotations

import time
from contextlib import ExitStack

import pytest
from testbed import Node, Outside
from testbed.outside import GATEWAY4, GATEWAY6
from testbed.streams import Flow, Streams

PORT = 9000
FAMILIES = {"IPv4": ("ip4",), "IPv6": ("ip6",), "both": ("ip4", "ip6")}
CIDRS = {"ip4": "10.244.{}.0/24", "ip6": "fd00:10:244:{}::/64"}
BRIDGES = {"ip4": "10.244.1.1", "ip6": "fd00:10:244:1::1"}
ROUTERS = {"ip4": GATEWAY4, "ip6": GATEWAY6}
CLUSTER = {"ip4": ["10.244.0.0/16", "192.0.2.0/24"], "ip6": ["fd00:10:244::/48", "2001:db8:0:1::/64"]}
#: a host of the outside in a CIDR that is not masqueraded
EXCEPTED = {"ip4": ("172.16.0.0/12", "172.16.5.5"), "ip6": ("fd00:17::/32", "fd00:17::5")}
SERVICES = {"ip4": "10.96.0.{}", "ip6": "fd00:10:96::{}"}
#: backend -> variant of iptables on the node, options of section masquerade (None: no masquerade at all), what shows its rules
BACKENDS = {
    "iptables-nft": ("nft", {"backend": "iptables"}, {"ip4": ["iptables-nft-save", "-t", "nat"], "ip6": ["ip6tables-nft-save", "-t", "nat"]}),
    "iptables-legacy": ("legacy", {"backend": "iptables"}, {"ip4": ["iptables-legacy-save", "-t", "nat"], "ip6": ["ip6tables-legacy-save", "-t", "nat"]}),
    "nftables": ("nft", {"backend": "nftables"}, {"ip4": ["nft", "list", "table", "ip", "kubenode_masquerade"],
                                                  "ip6": ["nft", "list", "table", "ip6", "kubenode_masquerade"]}),
    "no masquerade": ("nft", None, {}),
}
CASES = [(backend, families) for backend in BACKENDS for families in FAMILIES if BACKENDS[backend][1] is not None or families == "both"]


class World:
    """Nodes one and two; on them pods a and b, and c. Services of a, b, c and of the outside, as kube-proxy leads to them."""

    def __init__(self, stack, backend, families):
        self.families = families
        variant, self.masquerade, shown = BACKENDS[backend]
        self.outside = stack.enter_context(Outside())
        self.one, self.two = (stack.enter_context(Node(name, outside=self.outside)) for name in ("one", "two"))
        for node, number in ((self.one, 1), (self.two, 2)):
            node.use_iptables(variant)
            self._make(node, number)
        self.a, self.b, self.c = self.one.pod("a"), self.one.pod("b"), self.two.pod("c")
        for family in families:
            self._wire(family)
            assert not shown or "masquerade" in self.one.run(shown[family]).stdout.lower()

    def _make(self, node, number):
        node.install_plugins()
        sections = {"sysctl_bridge_nf": {}, "kubenet_bridge": {"pod_cidrs": [CIDRS[family].format(number) for family in self.families]}}
        if self.masquerade is not None:
            cidrs = [cidr for family in self.families for cidr in (*CLUSTER[family], EXCEPTED[family][0])]
            sections["masquerade"] = {"non_masquerade_cidrs": cidrs, **self.masquerade}
        result = node.module("node_network", sections)
        assert not result.get("failed"), result

    def _wire(self, family):
        self.outside.run(["ip", "address", "add", EXCEPTED[family][1], "dev", "lo"])
        for places, node, number in (((self.outside, self.two), self.one, 1), ((self.outside, self.one), self.two, 2)):
            for place in places:
                place.run(["ip", "route", "add", CIDRS[family].format(number), "via", getattr(node, family)])
        for number, pod in enumerate((self.a, self.b, self.c, self.outside), 1):
            self._serve(family, SERVICES[family].format(number), getattr(pod, family))

    def _serve(self, family, service, address):
        """kube-proxy's translation, and its masquerade of what comes back to the pod that sent it."""
        for chain, rule in (("PREROUTING", ["-d", service, "-j", "DNAT", "--to-destination", address]),
                            ("POSTROUTING", ["-s", address, "-d", address, "-j", "MASQUERADE"])):
            self.one.run(["iptables" if family == "ip4" else "ip6tables", "-t", "nat", "-A", chain, *rule])


def table(world, family):
    """What is asked -> who asks, whom by which address, and the source address that is right."""
    address = {place: getattr(place, family) for place in (world.a, world.b, world.c, world.one, world.two, world.outside)}
    a, c, node = address[world.a], address[world.c], address[world.one]
    to_outside = a if world.masquerade is None else node
    return {
        "pod to a pod of its node": (world.a, world.b, address[world.b], a),
        "pod to a pod of the other node": (world.a, world.c, c, a),
        "pod to its node": (world.a, world.one, node, a),
        "pod to its gateway": (world.a, world.one, BRIDGES[family], a),
        "pod to the other node": (world.a, world.two, address[world.two], a),
        "pod to the outside": (world.a, world.outside, address[world.outside], to_outside),
        "pod to an excepted CIDR": (world.a, world.outside, EXCEPTED[family][1], a),
        "pod to its own service": (world.a, world.a, SERVICES[family].format(1), BRIDGES[family]),
        "pod to a service of its node": (world.a, world.b, SERVICES[family].format(2), a),
        "pod to a service of the other node": (world.a, world.c, SERVICES[family].format(3), a),
        "pod to a service outside": (world.a, world.outside, SERVICES[family].format(4), to_outside),
        "pod of the other node to pod": (world.c, world.a, a, c),
        "node to its pod": (world.one, world.a, a, BRIDGES[family]),
        "node to a pod of the other node": (world.one, world.c, c, node),
        "node to the outside": (world.one, world.outside, address[world.outside], node),
        "other node to pod": (world.two, world.a, a, address[world.two]),
        "outside to pod": (world.outside, world.a, a, ROUTERS[family]),
    }


@pytest.mark.parametrize("backend, families", CASES)
def test_the_source_that_receivers_see(backend, families):
    with ExitStack() as stack:
        world = World(stack, backend, FAMILIES[families])
        streams = stack.enter_context(Streams())
        for sender in (world.a, world.c, world.one, world.two, world.outside):
            rows = [(what, row) for family in world.families for what, row in table(world, family).items() if row[0] is sender]
            streams.start(sender, flows=[Flow(host, PORT, receiver, due, what=f"{what}, {host}") for what, (_sender, receiver, host, due) in rows])
        time.sleep(0.2)
        report = streams.finish()
    assert report.problems() == [], report
    assert len(report.fates) == 17 * len(world.families)

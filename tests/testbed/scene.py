# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node with kubenet's network and who talks to whom there, in IPv4 alone or in both families."""

from __future__ import annotations

from typing import Any, NamedTuple

from .node import Node
from .outside import GATEWAY4, GATEWAY6
from .pod import Pod
from .streams import SMALL, Flow, Ping, Streams

PORT = 9000  # of the receivers
FAMILIES = {"IPv4": ("ip4",), "dual stack": ("ip4", "ip6")}
POD_CIDRS = {"ip4": "10.244.1.0/24", "ip6": "fd00:10:244:1::/64"}
ROUTERS = {"ip4": GATEWAY4, "ip6": GATEWAY6}
#: Of the outside, and within what is not masqueraded.
CLUSTER_HOSTS = {"ip4": "10.99.0.1", "ip6": "fd00:10:99::1"}
SERVICES = {"ip4": "10.96.0.9", "ip6": "fd00:10:96::9"}
IPTABLES = {"ip4": "iptables", "ip6": "ip6tables"}
#: CIDRs of the cluster, among them the nodes' own addresses.
CLUSTER_CIDRS = {"ip4": ["10.0.0.0/8", "192.0.2.0/24"], "ip6": ["fd00:10::/32", "2001:db8:0:1::/64"]}

Options = dict[str, Any]


class Host(NamedTuple):
    """A pod and the port of the node that leads to it."""

    pod: Pod
    port: int


class Scene:
    """families: ip4, ip6 or both. The plugins are on the node, and the outside knows the way to its pods: without
    masquerade it would answer, too, and tell a pod's address."""

    def __init__(self, node: Node, families: tuple[str, ...]) -> None:
        self.node, self.families, self.outside = node, families, node.outside
        self._ports = 8000
        node.install_plugins()
        for family in families:
            self.outside.run(["ip", "address", "add", CLUSTER_HOSTS[family], "dev", "lo"])
            self.outside.route(POD_CIDRS[family], via=getattr(node, family))

    def options(self, **sections: Options | None) -> Options:
        """Options of node_network for the usual network, with other ones of some sections, and without those that are None."""
        cidrs = [cidr for family in self.families for cidr in CLUSTER_CIDRS[family]]
        usual: dict[str, Options] = {
            "sysctl_bridge_nf": {}, "masquerade": {"non_masquerade_cidrs": cidrs},
            "kubenet_bridge": {"pod_cidrs": [POD_CIDRS[family] for family in self.families], "mtu": "1450"},
        }
        return {name: {**options, **(sections.get(name) or {})} for name, options in usual.items() if sections.get(name, {}) is not None}

    def have(self, module: str = "node_network", **options: Any) -> Options:
        """Run a module, node_network with the usual options where none are said, and expect it to succeed."""
        result = self.node.module(module, self.options(**options) if module == "node_network" else options)
        assert not result.get("failed"), result
        return result

    def pod(self, name: str) -> Host:
        self._ports += 1
        mappings = [{"hostPort": self._ports, "containerPort": PORT, "protocol": "udp"}]
        return Host(self.node.pod(name, capabilities={"portMappings": mappings}), self._ports)

    def serve(self, pod: Pod) -> None:
        """Lead the service addresses to a pod, by rules like those of kube-proxy."""
        for family in self.families:
            iptables, address = [IPTABLES[family], "-t", "nat", "-A"], getattr(pod, family)
            self.node.run([*iptables, "PREROUTING", "-d", SERVICES[family], "-j", "DNAT", "--to-destination", address])
            self.node.run([*iptables, "POSTROUTING", "-s", address, "-d", address, "-j", "MASQUERADE"])

    def talk_to_service(self, streams: Streams, client: Pod, server: Pod) -> None:
        """Start 50 new flows a second from one pod to the service of another."""
        flows = [Flow(SERVICES[family], PORT, server, due=getattr(client, family)) for family in self.families]
        streams.start(client, flows=flows)

    def talk(self, streams: Streams, host: Host, peer: Host, full: int) -> None:
        """Start what a pod and the rest of the world say to each other.

        Pings, small and of `full` bytes, both ways between the pod and the outside, its node, and its peer. At 50 a second
        each: new flows from the pod to the outside (masqueraded), to the cluster (not), and from the outside to the pod's
        port of the node.
        """
        pod, world = host.pod, (self.node, self.outside, peer.pod)
        streams.start(pod, _pings(world, self.families, full), [flow for family in self.families for flow in self._outgoing(host, family)])
        for place in world:
            flows = [self._to_host_port(host, family) for family in self.families] if place is self.outside else []
            streams.start(place, _pings((pod,), self.families, full), flows)

    def _outgoing(self, host: Host, family: str) -> list[Flow]:
        return [Flow(getattr(self.outside, family), PORT, self.outside, due=getattr(self.node, family)),
                Flow(CLUSTER_HOSTS[family], PORT, self.outside, due=getattr(host.pod, family))]

    def _to_host_port(self, host: Host, family: str) -> Flow:
        return Flow(getattr(self.node, family), host.port, host.pod, due=ROUTERS[family], at_port=PORT)


def _pings(places: tuple[Any, ...], families: tuple[str, ...], full: int) -> list[Ping]:
    return [Ping(getattr(place, family), size) for place in places for family in families for size in (SMALL, full)]

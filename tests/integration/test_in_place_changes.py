# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""No change under running pods loses a packet or shows a pod's address: there, back, and with pods that come and go meanwhile.

Watched are the streams of testbed/scene.py, of a pod from before the first change and of one from after it; that they would
see a fault is shown in test_streams.py.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import pytest
from testbed import ProofError, proof
from testbed.scene import CLUSTER_CIDRS, FAMILIES, Scene
from testbed.streams import Streams

#: Seconds without a packet in any stream, after which it is not known what a change did. They follow each other in 0.01 s.
SILENCE = 0.5


class Change(NamedTuple):
    """steps: a module and its options each, for node_network those that differ from the usual ones; each has to change something.
    full: bytes of a packet that fits at any time. drift: commands before each step. service: whether pods reach the service of
    another pod at any time, for which bridge-nf has to be on. found: commands before anything else. first: options of node_network
    to start with, besides the usual ones."""

    steps: list[tuple[str, dict[str, Any]]]
    full: int = 1450
    drift: tuple[list[str], ...] = ()
    service: bool = True
    found: tuple[list[str], ...] = ()
    first: dict[str, Any] | None = None


def sections(**options: dict[str, Any]) -> tuple[str, dict[str, Any]]:
    return "node_network", options


def hairpin(mode: str) -> tuple[str, dict[str, Any]]:
    return sections(kubenet_bridge={"hairpin_mode": mode})


def except_for(*cidrs: str) -> tuple[str, dict[str, Any]]:
    return sections(masquerade={"non_masquerade_cidrs": list(cidrs)})


def backend(name: str) -> tuple[str, dict[str, Any]]:
    return sections(masquerade={"backend": name})


def kubenets_rule(iptables: str, cidr: str) -> list[str]:
    comment = ["-m", "comment", "--comment", "kubenet: SNAT for outbound traffic from cluster"]
    return [iptables, "-t", "nat", "-A", "POSTROUTING", *comment, "-m", "addrtype", "!", "--dst-type", "LOCAL", "!", "-d", cidr, "-j", "MASQUERADE"]


def of_old_kubelet(variant: str) -> tuple[list[str], ...]:
    return kubenets_rule(f"iptables-{variant}", "10.0.0.0/8"), kubenets_rule(f"ip6tables-{variant}", "fd00:10::/32")


def entry(module: str, **options: Any) -> tuple[str, dict[str, Any]]:
    return module, {"network": "kubenet", **options}


CIDRS = [*CLUSTER_CIDRS["ip4"], *CLUSTER_CIDRS["ip6"]]
BACK = sections()
SMALL_MTU = {"kubenet_bridge": {"mtu": "1400"}}
ADOPT = sections(masquerade={"adopt": ["kubenet"]})
CHANGES = {
    "backends": Change([backend("nftables"), backend("iptables"), backend("nftables")], first={"masquerade": {"backend": "iptables"}}),
    "masquerade CIDRs in nftables": Change([sections(masquerade={"backend": "nftables", "non_masquerade_cidrs": cidrs}) for cidrs in (
        [*CIDRS, "172.16.0.0/12", "fd00:17::/32"], ["10.64.0.0/10", "fd00:10:99::/48", "192.0.2.0/24"], CIDRS)],
        first={"masquerade": {"backend": "nftables"}}),
    "kubenet's rule": Change([ADOPT], found=of_old_kubelet("nft"), first={"masquerade": None}),
    "kubenet's rule in legacy tables": Change([ADOPT], found=of_old_kubelet("legacy"), first={"masquerade": None}),
    "kubenet's rule to nftables": Change([sections(masquerade={"adopt": ["kubenet"], "backend": "nftables"})], found=of_old_kubelet("nft"),
                                         first={"masquerade": None}),
    "MTU by overhead and back": Change([sections(kubenet_bridge={"mtu": "auto", "mtu_overhead": "50"}), BACK], full=1400),
    "MTU raise pending": Change([BACK], full=1400, first=SMALL_MTU),
    "MTU of the default route": Change([sections(kubenet_bridge={"mtu": "auto", "mtu_from": "default_route"})], full=1400, first=SMALL_MTU),
    "MTU down and up": Change([sections(kubenet_bridge={"mtu": "1400"}), BACK], full=1400),
    "hairpin-veth and promiscuous-bridge": Change([hairpin("promiscuous-bridge"), BACK]),
    "hairpin-veth and none": Change([hairpin("none"), BACK]),
    "none and promiscuous-bridge": Change([hairpin("none"), hairpin("promiscuous-bridge"), hairpin("none")]),
    "masquerade CIDRs": Change([except_for(*CIDRS, "172.16.0.0/12", "fd00:17::/32"), except_for("10.64.0.0/10", "fd00:10:99::/48", "192.0.2.0/24"), BACK]),
    "portmap": Change([entry("portmap", snat=False), entry("portmap", snat=True)]),
    "bandwidth": Change([entry("bandwidth", egress_rate="1G", egress_burst="1M"), entry("bandwidth", state="absent", force=True)]),
    "bridge-nf": Change([sections(sysctl_bridge_nf={"bridge_nf_call_iptables": False, "bridge_nf_call_ip6tables": False}), BACK], service=False),
    "sysctls again": Change([BACK, BACK], service=False, drift=(
        ["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-arptables=0"],)),
    "rules again": Change([BACK, BACK], drift=(
        ["iptables", "-t", "nat", "-A", "KUBENODE-MASQ", "-d", "172.16.0.0/12", "-j", "RETURN"],
        ["iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.244.1.0/24", "-j", "KUBENODE-MASQ"])),
}


@pytest.mark.parametrize("families", FAMILIES)
@pytest.mark.parametrize("name", CHANGES)
def test_nothing_is_lost(node, name, families):
    change, scene = CHANGES[name], Scene(node, FAMILIES[families])
    for command in change.found:
        node.run(command)
    scene.have(**(change.first or {}))
    old, peer = scene.pod("old"), scene.pod("peer")
    scene.serve(old.pod)
    with Streams() as streams:
        scene.talk(streams, old, peer, change.full)
        if change.service:
            scene.talk_to_service(streams, peer.pod, old.pod)
        for number, (module, options) in enumerate(change.steps):
            for command in change.drift:
                node.run(command)
            streams.mark(f"step {number + 1}")
            assert scene.have(module, **options)["changed"]
            streams.mark(f"after step {number + 1}")
            passing = scene.pod(f"passing{number}")
            if number == 0:
                scene.talk(streams, scene.pod("new"), old, change.full)
            passing.pod.delete()
        time.sleep(0.1)
        report = streams.finish()
    print(report)
    assert report.problems() == [], report
    assert report.silence() < SILENCE, report


@pytest.mark.parametrize("families", FAMILIES)
def test_a_larger_mtu_waits_for_pods_with_less(node, families):
    """Behind a bridge with a larger MTU than a pod's, large packets to that pod would vanish, and nobody be told."""
    scene = Scene(node, FAMILIES[families])
    scene.have(**SMALL_MTU)
    small = scene.pod("small").pod
    assert scene.have()["changed"]
    rooms = {"ip4": 1450 - 28, "ip6": 1450 - 48}
    for family in scene.families:
        with pytest.raises(ProofError, match="(?i)frag needed|too big|too long"):
            proof.ping(node.outside, getattr(small, family), rooms[family])
    small.delete()
    assert scene.have()["changed"]
    large = scene.pod("large").pod
    for family in scene.families:
        proof.ping(node.outside, getattr(large, family), rooms[family])
        proof.ping(large, getattr(node.outside, family), rooms[family])

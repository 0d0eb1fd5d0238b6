# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The streams that watch changes see faults of 0.2 s, each in the streams that it hits and in no other."""

from __future__ import annotations

import json
import re
import time

import pytest
from testbed import Node
from testbed.scene import FAMILIES, Scene
from testbed.streams import Streams

FULL = 1450
JUMP = "POSTROUTING -s 10.244.1.0/24 -j KUBENODE-MASQ -m comment --comment"
OUTSIDE, CLUSTER, NODE, OLD, PEER = "198.51.100.1", "10.99.0.1", "192.0.2.10", "10.244.1.2", "10.244.1.3"


def nat(*words):
    return ["iptables", "-t", "nat", *words]


def jump(verb):
    return nat(verb, *JUMP.split(), "kubenode.network: pods to outside the cluster")


def to_hostports(verb):
    return nat(verb, "PREROUTING", "-m", "addrtype", "--dst-type", "LOCAL", "-j", "CNI-HOSTPORT-DNAT")


#: what breaks it, what mends it, and the streams that tell of it: each line of the report begins with one of these
FAULTS = {
    "no masquerade": (jump("-D"), jump("-A"), [rf"old: new flows to {OUTSIDE} .*: seen as .*'{OLD}': \d+.* \(expected {NODE}\)"]),
    "an exception too many": (nat("-I", "KUBENODE-MASQ", "-d", f"{OUTSIDE}/32", "-j", "RETURN"), nat("-D", "KUBENODE-MASQ", "1"),
                              [rf"old: new flows to {OUTSIDE} .*: seen as .*'{OLD}'"]),
    "an exception too few": (nat("-R", "KUBENODE-MASQ", "1", "-d", "10.244.0.0/16", "-j", "RETURN"),
                             nat("-R", "KUBENODE-MASQ", "1", "-d", "10.0.0.0/8", "-j", "RETURN"),
                             [rf"old: new flows to {CLUSTER} .*: seen as .*'{NODE}': \d+.* \(expected {OLD}\)"]),
    "no host ports": (to_hostports("-D"), to_hostports("-A"), [r"outside: new flows to 192.0.2.10 port 8001: \d+ of \d+ lost, .*ECONNREFUSED"]),
    "no default route": (["ip", "route", "del", "default"], ["ip", "route", "add", "default", "via", "192.0.2.1"],
                         [rf"old: .*{OUTSIDE} .* lost", rf"old: .*{CLUSTER} .* lost"]),
    "bridge down": (["ip", "link", "set", "cbr0", "down"], ["ip", "link", "set", "cbr0", "up"],
                    ["old: .* lost", "peer: .* lost", "node: .* lost", "outside: .* lost"]),
    "small MTU": (["ip", "link", "set", "cbr0", "mtu", "1400"], ["ip", "link", "set", "cbr0", "mtu", "1450"],
                  [rf"outside: ping {OLD} with 1450 bytes: .* lost", rf"node: ping {OLD} with 1450 bytes: .* lost"]),
    "no forwarding": (["sysctl", "-qw", "net.ipv4.ip_forward=0"], ["sysctl", "-qw", "net.ipv4.ip_forward=1"],
                      [r"old: .*(198.51|10.99).* lost", "outside: .* lost"]),
    "twins": (["nft", "add", "rule", "ip", "twins", "pre", "ip", "saddr", OLD, "ip", "daddr", OUTSIDE, "dup", "to", OUTSIDE],
              ["nft", "flush", "chain", "ip", "twins", "pre"],
              # The kernel's copies go by the rules.
              [rf"old: ping {OUTSIDE} .* more arrived than the \d+ sent", rf"old: new flows to {OUTSIDE} .*(more arrived|seen as .*'{OLD}')"]),
}
TWINS = "table ip twins { chain pre { type filter hook prerouting priority raw; }; }"


@pytest.fixture(scope="module")
def scene():
    with Node() as node:
        scene = Scene(node, FAMILIES["IPv4"])
        scene.have()
        node.run(["nft", "-f", "-"], input=TWINS)
        scene.old, scene.peer = scene.pod("old"), scene.pod("peer")
        yield scene


def watch(scene, faults):
    """The report of a second in which faults come and go."""
    with Streams() as streams:
        scene.talk(streams, scene.old, scene.peer, FULL)
        for name, (fault, remedy) in faults.items():
            time.sleep(0.1)
            streams.mark(name)
            scene.node.run(fault)
            time.sleep(0.2)
            scene.node.run(remedy)
        time.sleep(0.1)
        return streams.finish(grace=0.3)


def test_nothing_is_seen_where_nothing_happens(scene):
    report = watch(scene, {"nothing": (["true"], ["true"])})
    assert report.problems() == [], report
    assert len(report.fates) == 15
    assert all(fate.sent > 10 for fate in report.fates)


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_seen(scene, name):
    fault, remedy, expected = FAULTS[name]
    report = watch(scene, {name: (fault, remedy)})
    unexpected = [line for line in report.problems() if not any(re.match(pattern, line) for pattern in expected)]
    assert unexpected == [], report
    for pattern in expected:
        assert any(re.match(pattern, line) for line in report.problems()), (pattern, report)
    assert all(f"after {name!r}" in line or "more arrived" in line for line in report.problems())


def test_a_port_that_leaves_the_bridge_is_seen_by_the_other_family_too(node):
    """Two families and a pod that comes later are watched like the first."""
    scene = Scene(node, FAMILIES["dual stack"])
    scene.have()
    scene.old = scene.pod("old")
    before = {link["ifname"] for link in json.loads(node.run(["ip", "-j", "link"]).stdout)}
    scene.peer = scene.pod("peer")
    port, = {link["ifname"] for link in json.loads(node.run(["ip", "-j", "link"]).stdout)} - before
    report = watch(scene, {"no port": (["ip", "link", "set", port, "nomaster"], ["ip", "link", "set", port, "master", "cbr0"])})
    lines = report.problems()
    assert {line.partition(" with")[0] for line in lines} == {
        f"old: ping {scene.peer.pod.ip4}", f"old: ping {scene.peer.pod.ip6}", f"peer: ping {scene.old.pod.ip4}", f"peer: ping {scene.old.pod.ip6}"}, report

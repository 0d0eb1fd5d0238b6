# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was there before comes back whole: side effects, places among the rules of others, addresses of links."""

from __future__ import annotations

import pytest
from testbed import diff_dumps

MASQUERADE = {"pod_cidrs": ["10.244.1.0/24"], "non_masquerade_cidrs": []}


def test_side_effects_of_forwarding_are_given_back(node):
    """The kernel rewrites every link's forwarding, and IPv4's accept_redirects, when the switch is turned."""
    node.run(["sysctl", "-qw", "net.ipv4.conf.all.accept_redirects=0", "net.ipv4.conf.eth0.forwarding=1", "net.ipv6.conf.eth0.forwarding=1"])
    found = node.dump()
    for forwarding in (["ipv4"], ["ipv4", "ipv6"]):
        assert node.module("sysctl_bridge_nf", {"forwarding": forwarding})["changed"]
    assert node.module("sysctl_bridge_nf", {"state": "absent"})["changed"]
    assert not diff_dumps(found, node.dump())


def test_a_chain_of_our_name_keeps_its_place(node):
    """Adopted, changed, and given back between the same rules of others."""
    for rule in ("-s 10.1.0.0/16 -j ACCEPT", "-s 10.9.0.0/16 -j KUBENODE-MASQ", "-s 10.2.0.0/16 -j ACCEPT"):
        node.run(["iptables", "-t", "nat", "-N", "KUBENODE-MASQ"], check=False)
        node.run(["iptables", "-t", "nat", "-A", "POSTROUTING", *rule.split()])
    found = node.dump()
    assert node.module("masquerade", MASQUERADE)["changed"]
    assert node.module("masquerade", {"state": "absent"})["changed"]
    assert not diff_dumps(found, node.dump())


def test_a_failed_run_leaves_the_order_of_the_rules(node):
    """Our jump goes back to its place before a rule that came later, or that one would win."""
    node.install_plugins()
    node.module("masquerade", MASQUERADE)
    node.run(["iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.244.0.0/16", "-j", "SNAT", "--to-source", "192.0.2.10"])
    node.write("/etc/cni/net.d/keep", "")
    node.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", "/etc/cni/net.d"])
    before = node.dump()
    network = {"name": "n", "plugins": [{"type": "bridge"}]}
    result = node.module("node_network", {"masquerade": {"pod_cidrs": ["10.244.2.0/24"], "non_masquerade_cidrs": []}, "networks": [network]})
    assert "10-n.conflist could not be changed" in result["msg"]
    assert "the node is as it was" in result["msg"]
    assert not diff_dumps(before, node.dump())


def test_rules_that_iptables_cannot_show_are_refused(node):
    """iptables-save calls such a table incompatible and shows nothing of it, which is not the same as empty."""
    node.run(["iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.1.0.0/16", "-j", "ACCEPT"])
    node.run(["nft", "add", "rule", "ip", "nat", "POSTROUTING", "ip saddr { 10.1.0.0/16, 10.3.0.0/16 } masquerade"])
    before = node.dump()
    result = node.module("masquerade", MASQUERADE)
    assert "holds rules that iptables cannot show" in result["msg"]
    assert not diff_dumps(before, node.dump())


@pytest.mark.parametrize("lines", [
    ["link set br7 up", "link set br7 down", "link set br7 mtu 1400", "addr add 172.20.0.1/16 dev br7", "addr add fd00:7::1/112 dev br7"],
    ["link set br7 up", "addr add fd00:7::1/112 dev br7 nodad", "addr add 10.7.0.1/16 dev br7"],
])
def test_a_bridge_that_was_there_is_given_back(node, lines):
    node.ip("link add br7 type bridge", *lines)
    found = node.dump()
    for pod_cidrs in (["fd00:7::/64", "10.7.0.0/24"], ["fd00:7::/80"]):
        result = node.module("kubenet_bridge", {"name": "br7", "pod_cidrs": pod_cidrs})
        assert result["changed"], result
    assert node.module("kubenet_bridge", {"name": "br7", "state": "absent"})["changed"]
    assert not diff_dumps(found, node.dump())


def test_a_bridge_that_was_there_and_is_gone_is_not_made_anew(node):
    node.ip("link add br7 type bridge")
    node.module("kubenet_bridge", {"name": "br7", "pod_cidrs": ["10.7.0.0/24"]})
    node.ip("link del br7")
    node.module("kubenet_bridge", {"name": "br7", "state": "absent"})
    assert not node.exists("/sys/class/net/br7")


def test_the_old_content_of_a_private_file_is_shown_only_where_a_diff_is_asked_for(node):
    node.install_plugins()
    node.write("/etc/cni/net.d/10-n.conflist", "secret", 0o600)
    network = {"name": "n", "plugins": [{"type": "bridge"}]}
    assert "secret" in str(node.module("cni_config", network, check=True, diff=True))
    assert "secret" not in str(node.module("cni_config", network, diff=False))

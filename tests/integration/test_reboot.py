# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a playbook made with each combination of options is there again, exactly, when the program has run after a reboot."""

from __future__ import annotations

import json

import pytest
from testbed import diff_dumps, program

PODS, CLUSTER = ["10.244.1.0/24", "fd00:10:244:1::/64"], ["10.244.0.0/16", "fd00:10:244::/56"]
DOCUMENT = "/etc/kubenode-network/node.json"
TABLES = ("iptables", "ip6tables", "arptables")
MASQUERADE = {"cluster_cidrs": CLUSTER}
#: Options of each section that make something of their own.
NODES = {
    "defaults": {},
    "one_bridge_sees_the_firewall": {"sysctl_bridge_nf": {"bridges": ["cbr0"]}},
    "bridges_of_others": {"sysctl_bridge_nf": {"bridges": ["br7", "cbr0"], "bridge_nf_call_arptables": False}},
    "no_switches": {"sysctl_bridge_nf": {"bridge_nf": "unmanaged", "forwarding": ["ipv6"]}},
    "switches_off": {"sysctl_bridge_nf": {"bridge_nf": "enabled", "bridge_nf_call_iptables": False, "bridge_nf_call_ip6tables": False}},
    "promiscuous": {"kubenet_bridge": {"hairpin_mode": "promiscuous-bridge"}},
    "promiscuous_and_one_bridge": {"kubenet_bridge": {"hairpin_mode": "promiscuous-bridge"}, "sysctl_bridge_nf": {"bridges": ["cbr0"]}},
    "no_hairpin": {"kubenet_bridge": {"hairpin_mode": "none", "mtu": "1400", "txqueuelen": 17, "unmanaged": False, "name": "br.9"}},
    "ipv4_alone": {"kubenet_bridge": {"pod_cidrs": PODS[:1]}},
    "ipv6_alone": {"kubenet_bridge": {"pod_cidrs": PODS[1:], "hairpin_mode": "promiscuous-bridge"}},
    "overhead": {"kubenet_bridge": {"mtu_overhead": "50", "mtu_from": "default_route"}},
    **{backend: {"masquerade": {"backend": backend, "accept_forwarded": True}} for backend in ("iptables-nft", "iptables-legacy")},
    "nftables": {"masquerade": {"backend": "nftables"}},
    "everything_masqueraded": {"masquerade": {"cluster_cidrs": None, "non_masquerade_cidrs": []}},
    "nothing_masqueraded": {"masquerade": {"non_masquerade_cidrs": ["0.0.0.0/0", "::/0"], "backend": "nftables", "accept_forwarded": True}},
    "an_agents_list": {"masquerade": {"non_masquerade_cidrs": ["ip-masq-agent"], "node_cidrs": ["192.0.2.7"], "adopt": ["kubenet"]}},
}


def command(node, *words):
    return node.run(["/usr/bin/python3", "-I", program.SENT, *words], check=False)


def make(node, options):
    bridge = {"pod_cidrs": PODS, **options.get("kubenet_bridge", {})}
    sections = {"sysctl_bridge_nf": {}, "masquerade": MASQUERADE}
    result = node.module("node_network", {
        **{name: {**given, **options.get(name, {})} for name, given in sections.items()}, "kubenet_bridge": bridge, "boot_service": program.send(node),
    })  # fmt: skip
    assert not result.get("failed"), result
    return result


def boot(node):
    """What a reboot does to the network: links, rules and parameters are as the kernel begins with them."""
    for link in json.loads(node.run(["ip", "-j", "link", "show", "type", "bridge"]).stdout):
        node.ip(f"link del {link['ifname']}")
    node.run(["nft", "flush", "ruleset"])
    for tool in ("iptables-legacy", "ip6tables-legacy"):
        for table in ("nat", "filter"):
            node.run(["sh", "-c", f"{tool}-save | grep -q '^.{table}' && {tool} -t {table} -F && {tool} -t {table} -X; true"])
    start(node)


def start(node):
    """What the kernel and its modules begin with."""
    values = {"net/ipv4/ip_forward": 0, "net/ipv6/conf/all/forwarding": 0}
    values.update({f"net/bridge/bridge-nf-call-{table}": 1 for table in TABLES})
    node.run(["sysctl", "-qw", *(f"{key}={value}" for key, value in values.items())])


def other_bridge(node, options):
    if "br7" in options.get("sysctl_bridge_nf", {}).get("bridges", []):
        node.ip("link add br7 address 02:00:00:00:00:07 type bridge")


@pytest.mark.parametrize("options", NODES.values(), ids=NODES)
def test_what_was_made_is_back(plugin_node, options):
    node = plugin_node
    node.run(["rm", "-rf", "/etc/cni/net.d"])
    other_bridge(node, options)
    start(node)
    made = make(node, options)
    said = made.get("warnings")
    before, document = node.dump(), node.read(DOCUMENT)
    first = command(node, "apply")
    assert (first.returncode, first.stderr) == (0, ""), first.stdout + first.stderr
    assert diff_dumps(before, node.dump()) == "", first.stdout
    boot(node)
    other_bridge(node, options)
    done = command(node, "apply")
    print(done.stdout, done.stderr, said)
    left = diff_dumps(before, node.dump())
    assert left == "", left
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert node.read(DOCUMENT) == document
    again = command(node, "apply", "--json")
    assert [part["changes"] for part in json.loads(again.stdout)["parts"] if part["changes"]] == []
    status = command(node, "status")
    assert status.returncode == 0, status.stdout
    assert not make(node, options)["changed"]


def test_a_bridge_that_cannot_be_made_does_not_hold_up_forwarding(plugin_node):
    """What is to be set at the bridge waits for it; the rest is there."""
    node = plugin_node
    make(node, NODES["one_bridge_sees_the_firewall"])
    document = node.read(DOCUMENT)
    boot(node)
    node.run(["ip", "address", "add", "10.244.1.7/24", "dev", "eth0"])
    done = command(node, "apply")
    assert done.returncode == 1
    assert "bridge_nf:cbr0 for bridge cbr0" in done.stdout
    assert node.read("/proc/sys/net/ipv4/ip_forward") == "1\n"
    assert node.read(DOCUMENT) == document
    node.run(["ip", "address", "del", "10.244.1.7/24", "dev", "eth0"])
    assert command(node, "apply").returncode == 0
    assert node.read("/sys/class/net/cbr0/bridge/nf_call_iptables") == "1\n"

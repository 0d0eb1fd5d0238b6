# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The host states that the real kubenet left are reproduced where they are right.

tests/data/kubenet/*.json were written by the kubenet of 1.21 and the kubelet 1.20.2 (docs/kubenet-parity.md); what is
different on purpose stands here, item by item.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest
from testbed import diff_dumps

DATA = Path(__file__).parents[1] / "data" / "kubenet"
IPV4, IPV6 = "10.244.1.0/24", "fd00:10:244:1::/64"
#: file -> pod CIDRs, hairpin mode, pods
STATES = {
    "promiscuous-v4-one-pod": ([IPV4], "promiscuous-bridge", 1),
    "promiscuous-dual-two-pods": ([IPV4, IPV6], "promiscuous-bridge", 2),
    "hairpin-veth-two-pods": ([IPV4], "hairpin-veth", 2),
}
#: kubenet forgot IPv6, and arptables follow the kernel's default of the network namespace that it ran in.
SYSCTLS_BETTER = {"net.bridge.bridge-nf-call-ip6tables": "1"}


def state(node, bridge="cbr0"):
    """What a file of tests/data/kubenet says of bridge and ports, read off a node."""
    links = {link["ifname"]: link for link in json.loads(node.run(["ip", "-j", "-d", "address"]).stdout)}
    data = links[bridge]["linkinfo"]["info_data"]
    ports = [link for link in links.values() if link.get("master") == bridge]
    return {
        "cbr0": {
            "mtu": links[bridge]["mtu"], "promisc": "PROMISC" in links[bridge]["flags"], "up": "UP" in links[bridge]["flags"],
            "txqlen": links[bridge]["txqlen"], "stp_state": data["stp_state"], "forward_delay_cs": data["forward_delay"],
            "vlan_filtering": data["vlan_filtering"], "mcast_snooping": data["mcast_snooping"], "nf_call_iptables": data["nf_call_iptables"],
        },
        "ports": [
            {"mtu": port["mtu"], "state": port["linkinfo"]["info_slave_data"]["state"], "hairpin": port["linkinfo"]["info_slave_data"]["hairpin"]}
            for port in ports
        ],
        "cbr0_addresses": [f"{a['local']}/{a['prefixlen']}" for a in links[bridge]["addr_info"] if a["scope"] == "global"],
    }


def dedup_rules(node):
    """Our rules against duplicates, sorted, with the bridge's MAC as the files have it."""
    ruleset = node.run(["nft", "list", "ruleset"]).stdout
    mac = json.loads(node.run(["ip", "-j", "link", "show", "cbr0"]).stdout)[0]["address"]
    return sorted(line.strip().replace(mac, "<CBR0_MAC>") for line in ruleset.splitlines() if "veth*" in line)


def in_words_of_nft(rule):
    """A rule of kubenet's chain as nft says it: -A KUBE-DEDUP -p IPv4 -s MAC -o veth+ --ip-src 10.244.1.0/24 -j DROP."""
    words = rule.split()
    if words[:2] != ["-A", "KUBE-DEDUP"]:
        return ""
    family = {"IPv4": "ip", "IPv6": "ip6"}[words[3]]
    return f'oifname "veth*" ether saddr {words[5]} {family} saddr {words[9]} {words[11].lower()}'


@pytest.mark.parametrize("name", STATES)
def test_what_kubenet_left(plugin_node, name):
    node = plugin_node
    pod_cidrs, hairpin_mode, pods = STATES[name]
    kubenet = json.loads((DATA / f"{name}.json").read_text())
    result = node.module("node_network", {
        "sysctl_bridge_nf": {}, "kubenet_bridge": {"pod_cidrs": pod_cidrs, "hairpin_mode": hairpin_mode},
        "masquerade": {"non_masquerade_cidrs": ["10.0.0.0/8"]},
    })
    assert not result.get("failed"), result
    for number in range(pods):
        node.pod(f"pod{number}")
    ours = state(node)
    expected = {key: kubenet[key] for key in ours}
    assert expected["cbr0"].pop("qdisc") == "htb", "kubenet shaped on the bridge; the bandwidth plugin does it per pod"
    assert ours == expected
    for key, value in kubenet["sysctl"].items():
        path = "/proc/sys/" + key.replace(".", "/")
        assert node.read(path).strip() == SYSCTLS_BETTER.get(key, value), key
    assert dedup_rules(node) == sorted(filter(None, map(in_words_of_nft, kubenet["ebtables_filter"])))
    assert len(kubenet["iptables"]) == 7
    rules = node.run(["iptables-save", "-t", "nat"]).stdout
    assert "kubenet: SNAT" not in rules
    assert "-A POSTROUTING -s 10.244.1.0/24 -m comment --comment \"kubenode.network: pods to outside the cluster\" -j KUBENODE-MASQ" in rules
    assert "-A KUBENODE-MASQ -d 10.0.0.0/8 -j RETURN" in rules


def test_the_network_file_has_what_kubenet_kept_in_memory(plugin_node):
    """kubenet.md section 4, with the plugin list form and a spec version of today."""
    node = plugin_node
    node.module("node_network", {"kubenet_bridge": {"pod_cidrs": [IPV4, IPV6], "hairpin_mode": "promiscuous-bridge"}})
    config = json.loads(node.read("/etc/cni/net.d/10-kubenet.conflist"))
    assert config["name"] == "kubenet", "the same name means the same leases, /var/lib/cni/networks/kubenet"
    assert config["plugins"][0] == {
        "type": "bridge", "bridge": "cbr0", "mtu": 1450, "isGateway": True, "ipMasq": False, "hairpinMode": False, "promiscMode": False,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": IPV4}], [{"subnet": IPV6}]], "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]},
    }
    assert config["plugins"][1] == {"type": "portmap", "capabilities": {"portMappings": True}}


SERVICES = {4: ("10.96.0.9", "iptables"), 6: ("fd00:96::9", "ip6tables")}
SENDER = """
import socket, sys
host = sys.argv[1]
for number in range(10):
    socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM).sendto(b"%d" % number, (host, 9053))
"""


def serve(node, pod, version):
    """A service address of that family before the pod, as kube-proxy has it, for senders in other pods and in itself."""
    service, tool = SERVICES[version]
    address = pod.ip4 if version == 4 else pod.ip6
    node.run([tool, "-t", "nat", "-A", "PREROUTING", "-d", service, "-j", "DNAT", "--to-destination", address])
    node.run([tool, "-t", "nat", "-A", "POSTROUTING", "-s", address, "-d", address, "-j", "MASQUERADE"])


def received(sender, server_pod, version):
    """How often ten datagrams to the service address arrive."""
    with server_pod.serve_udp(9053, bind="0.0.0.0" if version == 4 else "::") as server:
        sender.run([sys.executable, "-c", SENDER, SERVICES[version][0]])
        time.sleep(0.2)
        return len(server.stop())


def promiscuous(node, pod_cidrs, hairpin_mode="promiscuous-bridge"):
    result = node.module("node_network", {
        "sysctl_bridge_nf": {}, "kubenet_bridge": {"pod_cidrs": pod_cidrs, "hairpin_mode": hairpin_mode},
        "masquerade": {"non_masquerade_cidrs": []},
    })
    assert not result.get("failed"), result
    return result


@pytest.mark.parametrize(("hairpin_mode", "rules", "to_another", "to_itself"), [
    ("hairpin-veth", True, (10, 10), (10, 10)), ("promiscuous-bridge", True, (10, 10), (0, 0)),
    ("promiscuous-bridge", False, (20, 20), (0, 10)), ("none", True, (10, 10), (0, 0)),
])
def test_datagrams_behind_a_service_address(plugin_node, hairpin_mode, rules, to_another, to_itself):
    """kubenet.md section 5, measured here for IPv4 and IPv6: ten datagrams by way of a DNATed address, and how often they arrive."""
    node = plugin_node
    promiscuous(node, [IPV4, IPV6], hairpin_mode)
    if not rules:
        node.run(["nft", "delete", "table", "bridge", "kubenode_dedup_cbr0"])
    with node.pod("a") as a, node.pod("b") as b:
        for version in (4, 6):
            serve(node, b, version)
        assert tuple(received(a, b, version) for version in (4, 6)) == to_another
        assert tuple(received(b, b, version) for version in (4, 6)) == to_itself


@pytest.fixture
def node_without_nft(plugin_node):
    """A node with ebtables, of the nf_tables variant, whose program nft is not there."""
    plugin_node.run(["mount", "--bind", "/dev/null", plugin_node.run(["readlink", "-f", "/usr/sbin/nft"]).stdout.strip()])
    return plugin_node


def chain(node):
    listed = node.run(["ebtables-nft", "-t", "filter", "-L", "KUBENODE-DEDUP-cbr0", "--Lmac2"], check=False)
    return [line.strip() for line in listed.stdout.splitlines() if line.startswith("-")] if listed.returncode == 0 else None


def test_datagrams_behind_a_service_address_with_ebtables(node_without_nft):
    """The same rules in ebtables, where kubenet skipped them for the spelling of its version (kubenet.md section 7)."""
    node = node_without_nft
    promiscuous(node, [IPV4, IPV6])
    mac = json.loads(node.run(["ip", "-j", "link", "show", "cbr0"]).stdout)[0]["address"]
    expected = [f"-p {family} -s {mac} -o veth+ {option} {address} -j {verdict}" for family, option, address, verdict in (
        ("IPv4", "--ip-src", "10.244.1.1", "RETURN"), ("IPv4", "--ip-src", IPV4, "DROP"),
        ("IPv6", "--ip6-src", "fd00:10:244:1::1", "RETURN"), ("IPv6", "--ip6-src", IPV6, "DROP"),
    )]
    assert chain(node) == expected
    assert not promiscuous(node, [IPV4, IPV6])["changed"]
    with node.pod("a") as a, node.pod("b") as b:
        for version in (4, 6):
            serve(node, b, version)
            assert (received(a, b, version), received(b, b, version)) == (10, 0), f"IPv{version}"
        for breakage in (["-I", "KUBENODE-DEDUP-cbr0", "1", "-j", "ACCEPT"], ["-D", "KUBENODE-DEDUP-cbr0", "2"], ["-F", "OUTPUT"],
                         ["-A", "OUTPUT", "-j", "KUBENODE-DEDUP-cbr0"]):
            node.run(["ebtables-nft", "-t", "filter", *breakage])
            changes = promiscuous(node, [IPV4, IPV6])["changes"]
            assert [change["resource"] for change in changes] == ["dedup_ebtables:cbr0"], breakage
            assert chain(node) == expected
            assert node.run(["ebtables-nft", "-t", "filter", "-L", "OUTPUT"]).stdout.count("KUBENODE-DEDUP-cbr0") == 1
        assert received(a, b, 4) == 10
    node.run(["ebtables-nft", "-t", "filter", "-A", "OUTPUT", "-o", "foreign0", "-j", "ACCEPT"])
    promiscuous(node, [IPV4, IPV6], "hairpin-veth")
    assert chain(node) is None
    output = node.run(["ebtables-nft", "-t", "filter", "-L", "OUTPUT"]).stdout
    assert "foreign0" in output and "KUBENODE" not in output


def test_an_nft_without_json_is_none(plugin_node):
    """It could make rules, and not tell which there are."""
    node = plugin_node
    path = node.run(["readlink", "-f", "/usr/sbin/nft"]).stdout.strip()
    node.run(["cp", path, "/run/nft"])
    node.write("/run/without-json", "#!/bin/sh\n[ \"$1\" != -j ] && exec /run/nft \"$@\"\necho 'Error: JSON support not compiled-in' >&2; exit 1\n", 0o755)
    node.run(["mount", "--bind", "/run/without-json", path])
    promiscuous(node, [IPV4])
    assert len(chain(node)) == 2
    assert "kubenode" not in node.run(["/run/nft", "list", "ruleset"]).stdout.replace("KUBENODE", "")


def test_a_bridge_with_the_longest_name(node_without_nft):
    node, options = node_without_nft, {"name": "x" * 15, "pod_cidrs": [IPV4], "hairpin_mode": "promiscuous-bridge"}
    node.run(["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=1"])
    assert "dedup_ebtables:" + "x" * 15 in [change["resource"] for change in node.module("kubenet_bridge", options)["changes"]]
    assert not node.module("kubenet_bridge", options)["changed"]


@pytest.mark.parametrize("commands", [
    "chain bridge {t} output {{ policy drop; }}", "table bridge {t} {{ flags dormant; }}", "add chain bridge {t} more",
    "add chain bridge {t} more {{ type filter hook forward priority 0; policy drop; }}", "add rule bridge {t} output counter accept",
    "flush chain bridge {t} output", "flush table bridge {t}; delete chain bridge {t} output", "delete table bridge {t}",
    ("flush chain bridge {t} output; add rule bridge {t} output oifname != veth* ether saddr {m} ip saddr 10.244.1.1 accept; "
     "add rule bridge {t} output oifname veth* ether saddr {m} ip saddr 10.244.1.0/24 drop"),
])  # fmt: skip
def test_drift_of_the_rules_is_mended(plugin_node, commands):
    node = plugin_node
    promiscuous(node, [IPV4])
    right = node.dump()
    mac = json.loads(node.run(["ip", "-j", "link", "show", "cbr0"]).stdout)[0]["address"]
    node.run(["nft", commands.format(t="kubenode_dedup_cbr0", m=mac)])
    assert [change["resource"] for change in promiscuous(node, [IPV4])["changes"]] == ["dedup:cbr0"]
    assert right["nft"] == node.dump()["nft"]


def test_a_table_of_our_name_is_given_back(plugin_node):
    node = plugin_node
    node.run(["nft", "add table bridge kubenode_dedup_cbr0; add chain bridge kubenode_dedup_cbr0 theirs; add rule bridge kubenode_dedup_cbr0 theirs accept"])
    found = node.dump()["nft"]
    promiscuous(node, [IPV4])
    assert len(dedup_rules(node)) == 2
    promiscuous(node, [IPV4], "none")
    assert found.items() <= node.dump()["nft"].items()


def test_the_rules_move_to_nft_when_it_comes(node_without_nft):
    node = node_without_nft
    promiscuous(node, [IPV4])
    assert len(chain(node)) == 2
    node.run(["umount", node.run(["readlink", "-f", "/usr/sbin/nft"]).stdout.strip()])
    changes = [change["resource"] for change in promiscuous(node, [IPV4])["changes"]]
    assert {"dedup:cbr0", "dedup_ebtables:cbr0"} <= set(changes)
    assert (chain(node), len(dedup_rules(node))) == (None, 2)


def test_the_rules_follow_mac_and_range(plugin_node):
    node = plugin_node
    promiscuous(node, [IPV4])
    node.ip("link set cbr0 address 0a:58:00:00:00:07")
    promiscuous(node, ["10.244.7.0/24", IPV6])
    ruleset = node.run(["nft", "list", "table", "bridge", "kubenode_dedup_cbr0"]).stdout
    assert ruleset.count("0a:58:00:00:00:07") == ruleset.count("ether saddr") == 4
    assert IPV4 not in ruleset and "10.244.7.0/24" in ruleset
    promiscuous(node, [IPV4], "none")
    assert "kubenode_dedup" not in node.run(["nft", "list", "ruleset"]).stdout


def test_without_bridge_nf_there_are_no_rules(plugin_node):
    """They would drop all traffic to services. A switch of the bridge's own counts as well."""
    node = plugin_node
    node.run(["sysctl", "-qw", "net.bridge.bridge-nf-call-iptables=0", "net.bridge.bridge-nf-call-ip6tables=0"])
    bridge = {"pod_cidrs": [IPV4, IPV6], "hairpin_mode": "promiscuous-bridge"}
    warnings = node.module("kubenet_bridge", bridge)["warnings"]
    assert dedup_rules(node) == []
    assert any("net.bridge.bridge-nf-call-iptables is not 1, so there is no rule against duplicates for 10.244.1.0/24" in one for one in warnings)
    node.run(["ip", "link", "set", "cbr0", "type", "bridge", "nf_call_ip6tables", "1"])
    node.module("kubenet_bridge", bridge)
    assert [rule.split()[5] for rule in dedup_rules(node)] == ["ip6", "ip6"]


def test_a_chain_that_a_kubelet_left_is_named(plugin_node):
    node = plugin_node
    assert "KUBE-DEDUP" not in str(node.module("kubenet_bridge", {"pod_cidrs": [IPV4]}).get("warnings"))
    node.run(["ebtables-nft", "-t", "filter", "-N", "KUBE-DEDUP"])
    node.run(["ebtables-nft", "-t", "filter", "-A", "OUTPUT", "-j", "KUBE-DEDUP"])
    before = node.dump()
    warnings = node.module("kubenet_bridge", {"pod_cidrs": [IPV4]})["warnings"]
    assert any("the chain KUBE-DEDUP of an old kubelet is still in ebtables' table filter" in warning for warning in warnings)
    assert not diff_dumps(before, node.dump())

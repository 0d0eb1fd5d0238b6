# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For every module and state: check, do, check again, do again, take away; and nobody else's things are touched."""

from __future__ import annotations

import json

import pytest
from testbed import diff_dumps

PLUGINS = {"src": "/usr/lib/cni", "remote_src": True}
MYNET = {
    "name": "mynet",
    "loopback": True,
    "plugins": [
        {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True,
         "ipam": {"type": "host-local", "subnet": "10.244.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}},
    ],
}
BRIDGE = {"pod_cidrs": ["10.244.1.0/24", "fd00:10:244:1::/64"]}
NODE = {"cni_plugins": PLUGINS, "sysctl_bridge_nf": {}, "kubenet_bridge": BRIDGE, "masquerade": {"cluster_cidrs": ["10.244.0.0/16"]}}
#: name of the case -> module, its options, those that take it away, needs plugins installed before
CASES = {
    "cni_plugins": ("cni_plugins", PLUGINS, {"state": "absent"}, False),
    "cni_plugins some": ("cni_plugins", {**PLUGINS, "plugins": ["bridge"], "bin_dir": "/opt/other/bin"},
                         {"state": "absent", "bin_dir": "/opt/other/bin"}, False),
    "cni_config": ("cni_config", MYNET, {"name": "mynet", "state": "absent"}, True),
    "cni_config conf": ("cni_config", {**MYNET, "filename": "10-mynet.conf", "mode": "0600"}, {"name": "mynet", "state": "absent"}, True),
    "portmap": ("portmap", {"network": "podman", "snat": True}, {"network": "podman", "state": "absent"}, True),
    "bandwidth": ("bandwidth", {"network": "other", "egress_rate": "1M", "egress_burst": "1M"}, {"network": "other", "state": "absent"}, True),
    "kubenet_bridge": ("kubenet_bridge", BRIDGE, {"state": "absent"}, False),
    "kubenet_bridge promiscuous": ("kubenet_bridge", {"name": "br7", "pod_cidrs": ["fd00:1::/64"], "mtu": "1300",
                                                      "hairpin_mode": "promiscuous-bridge"}, {"name": "br7", "state": "absent"}, False),
    "masquerade": ("masquerade", {"pod_cidrs": BRIDGE["pod_cidrs"], "non_masquerade_cidrs": ["10.0.0.0/8", "0.0.0.0/0"]},
                   {"state": "absent"}, False),
    "sysctl_bridge_nf": ("sysctl_bridge_nf", {"bridge_nf_call_arptables": False, "forwarding": ["ipv4", "ipv6"]}, {"state": "absent"}, False),
    "node_network": ("node_network", NODE, {name: {"state": "absent"} for name in NODE}, False),
}


@pytest.mark.parametrize("case", CASES)
def test_quartet_and_removal(node, case):
    module, options, removal, needs_plugins = CASES[case]
    if needs_plugins:
        node.install_plugins()
    node.add_foreign()
    found = node.dump()
    announced = node.module(module, options, check=True)
    assert announced["changed"]
    assert not diff_dumps(found, node.dump()), "check mode touched the node"
    done = node.module(module, options)
    assert done["changes"] == announced["changes"]
    assert done["diff"] == announced["diff"]
    made = node.dump()
    edited = ("sysctls", "files./etc/cni/net.d/87", "files./etc/cni/net.d/50-other.conf")
    lost = [line for line in diff_dumps(found, made).splitlines() if line.startswith("-") and not any(word in line for word in edited)]
    assert not lost, "something that was there before is gone"
    for check in (True, False):
        again = node.module(module, options, check=check)
        assert (again["changed"], again["changes"], again["diff"]) == (False, [], [])
    assert not diff_dumps(made, node.dump())
    announced = node.module(module, removal, check=True)
    assert not diff_dumps(made, node.dump()), "check mode touched the node"
    removed = node.module(module, removal)
    assert removed["changed"]
    assert removed["changes"] == announced["changes"]
    assert removed["diff"] == announced["diff"]
    if module == "portmap":
        assert json.loads(node.read("/etc/cni/net.d/87-podman-bridge.conflist"))["plugins"][-1]["type"] != "portmap"
    else:
        assert not diff_dumps(found, node.dump()), "removal did not give back what was found"
    assert not node.module(module, removal)["changed"]


def test_what_was_found_is_given_back(node):
    """Adopted things get their found value back, also after several runs with other values in between."""
    node.install_plugins()
    node.write("/etc/cni/net.d/10-mynet.conflist", '{"cniVersion": "0.3.1", "name": "old", "plugins": [{"type": "ptp"}]}', 0o600)
    node.write("/opt/cni/bin/bridge", "#!/bin/sh\nexit 1\n", 0o700)
    node.write("/etc/sysctl.d/99-kubenode-network.conf", "vm.overcommit_memory = 0\n")
    node.ip("link add cbr0 type bridge", "link set cbr0 mtu 1400 up", "addr add 172.20.0.1/16 dev cbr0")
    node.run(["sysctl", "-qw", "net.ipv4.ip_forward=1"])
    found = node.dump()
    for options in ({**NODE, "networks": [{**MYNET, "loopback": False}]},
                    {**NODE, "kubenet_bridge": {"pod_cidrs": ["10.244.9.0/24"], "mtu": "1450"}, "networks": [{**MYNET, "mode": "0600"}]}):
        result = node.module("node_network", options)
        assert not result.get("failed"), result
        assert diff_dumps(found, node.dump())
    removal = {name: {"state": "absent"} for name in NODE}
    assert node.module("node_network", {**removal, "networks": [{"name": "mynet", "state": "absent"}]})["changed"]
    assert not diff_dumps(found, node.dump())


def test_drift_is_found_and_mended(plugin_node):
    node = plugin_node
    options = {"sysctl_bridge_nf": {}, "kubenet_bridge": BRIDGE, "masquerade": {"non_masquerade_cidrs": ["10.0.0.0/8"]}}
    assert node.module("node_network", options)["changed"]
    right = node.dump()
    breakages = {
        "sysctl:net/ipv4/ip_forward": ["sysctl", "-qw", "net.ipv4.ip_forward=0"],
        "bridge:cbr0": ["ip", "addr", "add", "10.9.9.9/32", "dev", "cbr0"],
        "masquerade:iptables-nft/ipv4": ["iptables", "-t", "nat", "-I", "KUBENODE-MASQ", "-j", "MASQUERADE"],
        "file:/etc/cni/net.d/10-kubenet.conflist": ["chmod", "0666", "/etc/cni/net.d/10-kubenet.conflist"],
    }
    more = [
        ("bridge:cbr0", ["ip", "link", "set", "cbr0", "mtu", "1400"]),
        ("bridge:cbr0", ["ip", "link", "set", "cbr0", "down"]),
        ("bridge:cbr0", ["ip", "link", "set", "cbr0", "promisc", "on"]),
        ("bridge:cbr0", ["ip", "link", "del", "cbr0"]),
        ("masquerade:iptables-nft/ipv4", ["iptables", "-t", "nat", "-A", "POSTROUTING", "-s", "10.244.1.0/24", "-j", "KUBENODE-MASQ"]),
        ("masquerade:iptables-nft/ipv4", ["iptables", "-t", "nat", "-D", "KUBENODE-MASQ", "1"]),
        ("masquerade:iptables-nft/ipv4", ["iptables", "-t", "nat", "-F"]),
        ("masquerade:iptables-nft/ipv6", ["ip6tables", "-t", "nat", "-F", "POSTROUTING"]),
        ("file:/etc/sysctl.d/99-kubenode-network.conf", ["rm", "/etc/sysctl.d/99-kubenode-network.conf"]),
        ("file:/etc/cni/net.d/10-kubenet.conflist", ["sed", "-i", "s/1450/1500/", "/etc/cni/net.d/10-kubenet.conflist"]),
    ]
    for resource, breakage in [*breakages.items(), *more]:
        node.run(breakage)
        result = node.module("node_network", options)
        assert [change["resource"] for change in result["changes"]] == [resource], breakage
        left = [line for line in diff_dumps(right, node.dump()).splitlines() if "/var/lib/kubenode-network/found" not in line]
        assert not left, breakage

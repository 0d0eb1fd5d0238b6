# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Real network managers of a node leave the bridge and the pods' links alone, and take what is not named to them."""

from __future__ import annotations

import json

import pytest
from testbed import wait_for
from testbed.systemd import SystemdNode

#: A configuration that takes every bridge and veth there is.
GREEDY = "[Match]\nName=cbr* br* veth*\n\n[Network]\nAddress=192.0.2.9/24\nLinkLocalAddressing=no\nIPv6AcceptRA=no\n"
BRIDGE = {"pod_cidrs": ["10.244.1.0/24"]}
#: Ours and one like a pod's, and one of each kind that is somebody else's.
OURS, OTHERS = ("cbr0", "vethdeadbeef"), ("br1", "veth7")
FILES = ("/etc/NetworkManager/conf.d/90-kubenode-network-cbr0.conf", "/etc/systemd/network/00-kubenode-network-cbr0.network",
         "/etc/systemd/network/00-kubenode-network-cbr0.link")  # fmt: skip


@pytest.fixture(scope="module")
def node():
    """Both managers run already when the bridge comes."""
    with SystemdNode("managers", flavour="managers") as made:
        made.write("/etc/systemd/network/20-greedy.network", GREEDY)
        made.run(["systemctl", "--quiet", "unmask", "systemd-networkd.service", "NetworkManager.service"])
        made.run(["systemctl", "start", "systemd-networkd.service", "NetworkManager.service"])
        assert not made.module("kubenet_bridge", BRIDGE).get("failed")
        for line in ("link add br1 type bridge", "link set br1 up", "link add vethdeadbeef type veth peer name p0", "link set vethdeadbeef master cbr0 up",
                     "link set p0 up", "link add veth7 type veth peer name p7", "link set veth7 up", "link set p7 up"):  # fmt: skip
            made.run(["ip", *line.split()])
        yield made


def networkd(node):
    lines = [line.split() for line in node.run(["networkctl", "--no-legend", "--no-pager", "list"]).stdout.splitlines()]
    return {words[1]: words[4] for words in lines if words}


def network_manager(node):
    lines = node.run(["nmcli", "--terse", "--fields=DEVICE,STATE", "device"]).stdout.splitlines()
    return dict(line.split(":", 1) for line in lines)


def test_networkd(node):
    wait_for(lambda: all(networkd(node).get(name) == "configured" for name in OTHERS), 20, "networkd takes what is not ours")
    assert {networkd(node)[name] for name in OURS} == {"unmanaged"}
    addresses = json.loads(node.run(["ip", "-j", "-4", "addr", "show", "cbr0"]).stdout)[0]["addr_info"]
    assert [address["local"] for address in addresses] == ["10.244.1.1"]


def test_network_manager(node):
    wait_for(lambda: all(name in network_manager(node) for name in (*OURS, *OTHERS)), 20, "NetworkManager sees all links")
    assert {network_manager(node)[name] for name in OURS} == {"unmanaged"}
    assert "unmanaged" not in {network_manager(node)[name] for name in OTHERS}


def test_udev(node):
    def link_file(name):
        said = node.run(["udevadm", "test-builtin", "net_setup_link", f"/sys/class/net/{name}"])
        return next(line.partition("=")[2] for line in said.stdout.splitlines() if line.startswith("ID_NET_LINK_FILE="))

    assert {link_file(name) for name in OURS} == {"/etc/systemd/network/00-kubenode-network-cbr0.link"}
    assert {link_file(name) for name in OTHERS} == {"/usr/lib/systemd/network/99-default.link"}, "by which udev gives them addresses of its own"


def test_they_are_told_when_the_bridge_goes(node):
    node.run(["ip", "link", "del", "vethdeadbeef"])
    assert not node.module("kubenet_bridge", {**BRIDGE, "state": "absent"}).get("failed")
    assert [path for path in FILES if node.exists(path)] == []
    node.run(["ip", "link", "add", "vethcafecafe", "type", "veth", "peer", "name", "p9"])
    wait_for(lambda: networkd(node).get("vethcafecafe") in ("configuring", "configured"), 20, "networkd takes it")
    wait_for(lambda: network_manager(node).get("vethcafecafe", "unmanaged") != "unmanaged", 20, "NetworkManager takes it")

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The routes to other nodes outlive a reboot and what network managers do."""

from __future__ import annotations

import json

import pytest
from testbed import program, wait_for
from testbed.systemd import SystemdNode

UNIT = "kubenode-network-routes.service"
NETDEV = "[NetDev]\nName=up0\nKind=bridge\n"
NETWORK = "[Match]\nName=up0\n\n[Network]\nAddress={}/24\nAddress=2001:db8:0:1::10/64\nLinkLocalAddressing=no\nConfigureWithoutCarrier=yes\n"
NODES = {"networkd": ("192.0.2.12", "2001:db8:0:1::12"), "NetworkManager": ("198.51.100.12", "2001:db8:0:7::12")}
PODS = ("10.244.2.0/24", "fd00:10:244:2::/64")


def wanted(manager):
    return dict(zip(PODS, NODES[manager], strict=True))


def options(manager):
    return {"node": "node-1", "peers": {"node-2": {"pod_cidrs": list(PODS), "addresses": list(NODES[manager])}}}


def have(node, manager):
    result = node.module("node_network", {"routes": options(manager), "boot_service": program.send(node)})
    assert not result.get("failed"), result
    return result


def ours(node):
    shown = [json.loads(node.run(["ip", "-j", f"-{family}", "route", "show", "proto", "107"]).stdout) for family in "46"]
    return {route["dst"]: route.get("gateway") for routes in shown for route in routes}


@pytest.fixture(scope="module")
def node():
    """A link that systemd-networkd sets up."""
    with SystemdNode("routes", flavour="managers") as made:
        made.write("/etc/systemd/network/10-up0.netdev", NETDEV)
        made.write("/etc/systemd/network/10-up0.network", NETWORK.format("192.0.2.10"))
        made.run(["systemctl", "--quiet", "unmask", "systemd-networkd.service", "NetworkManager.service"])
        made.run(["systemctl", "--quiet", "enable", "systemd-networkd.service"])
        made.run(["systemctl", "start", "systemd-networkd.service"])
        wait_for(lambda: "192.0.2.10" in made.run(["ip", "-4", "addr"]).stdout and "::10" in made.run(["ip", "-6", "addr"]).stdout, 20, "networkd")
        yield made


def is_back(node, manager, seconds=15):
    wait_for(lambda: ours(node) == wanted(manager), seconds, f"the routes, which are {ours(node)}")


def test_the_unit_runs_at_once_and_a_second_run_changes_nothing(node):
    result = have(node, "networkd")
    assert f"create running:{UNIT}" in result["plan"]
    assert node.run(["systemctl", "is-active", UNIT]).stdout == "active\n"
    assert ours(node) == wanted("networkd")
    assert not have(node, "networkd")["changed"]
    assert node.run(["kubenode-network", "status"]).returncode == 0


@pytest.mark.parametrize("event", [
    ["systemctl", "restart", "systemd-networkd.service"],
    ["networkctl", "reconfigure", "up0"],
    ["sh", "-c", "sed -i s/192.0.2.10/192.0.2.20/ /etc/systemd/network/10-up0.network; networkctl reload"],
    ["sh", "-c", "ip link set up0 down; ip link set up0 up; ip addr add 2001:db8:0:1::10/64 dev up0 nodad"],
    ["sh", "-c", "ip route flush proto kubenode; ip -6 route flush proto kubenode"],
], ids=["restart", "reconfigure", "reload", "link", "flush"])  # fmt: skip
def test_networkd_and_others(node, event):
    have(node, "networkd")
    node.run(event)
    is_back(node, "networkd")
    node.run(["sleep", "3"])
    assert ours(node) == wanted("networkd"), "nobody takes them away behind that"
    assert not have(node, "networkd")["changed"]


def test_without_the_unit_a_restart_of_networkd_leaves_them(node):
    """By its own configuration, for a node without the boot service."""
    node.run(["systemctl", "stop", UNIT])
    node.run(["systemctl", "restart", "systemd-networkd.service"])
    node.run(["sleep", "3"])
    assert ours(node) == wanted("networkd")
    assert have(node, "networkd")["changed_resources"] == [f"running:{UNIT}"]


def test_a_reboot(node):
    have(node, "networkd")
    document = node.read("/etc/kubenode-network/node.json")
    node.restart()
    is_back(node, "networkd")
    assert node.run(["systemctl", "--failed", "--plain", "--no-legend"]).stdout.count("kubenode") == 0
    assert json.loads(node.read("/etc/kubenode-network/node.json"))["sections"]["routes"]["node"]["desired"] == {
        **json.loads(document)["sections"]["routes"]["node"]["desired"],
    }


def test_network_manager(node):
    node.run(["systemctl", "start", "NetworkManager.service"])
    node.run(["nmcli", "con", "add", "type", "bridge", "ifname", "nm0", "con-name", "nm0", "bridge.stp", "no", "ipv4.method", "manual", "ipv4.addresses",
              "198.51.100.10/24", "ipv6.method", "manual", "ipv6.addresses", "2001:db8:0:7::10/64"])  # fmt: skip
    node.run(["nmcli", "con", "up", "nm0"])
    wait_for(lambda: "2001:db8:0:7::10" in node.run(["ip", "-6", "addr", "show", "nm0"]).stdout, 20, "NetworkManager")
    have(node, "NetworkManager")
    assert ours(node) == wanted("NetworkManager")
    for event in (["systemctl", "reload", "NetworkManager.service"], ["systemctl", "restart", "NetworkManager.service"], ["nmcli", "general", "reload"],
                  ["nmcli", "device", "modify", "nm0", "+ipv4.addresses", "198.51.100.11/24"], ["nmcli", "con", "up", "nm0"]):  # fmt: skip
        node.run(event)
        node.run(["sleep", "1"])
        is_back(node, "NetworkManager")
    assert not have(node, "NetworkManager")["changed"]


def test_nothing_is_left(node):
    result = node.module("node_network", {"routes": {"state": "absent"}, "boot_service": {"state": "absent"}})
    assert not result.get("failed"), result
    assert ours(node) == {}
    assert node.run(["systemctl", "is-active", UNIT], check=False).stdout == "inactive\n"
    assert not any(node.exists(path) for path in ("/etc/systemd/networkd.conf.d", f"/etc/systemd/system/{UNIT}", "/etc/iproute2/rt_protos.d/kubenode.conf"))

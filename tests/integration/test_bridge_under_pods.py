# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The bridge is changed under running pods, and none of them notices more than it has to."""

from __future__ import annotations

import json
import sys

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._sections import kubenet_bridge
from testbed import Node, ProofError, diff_dumps, proof

IPV4, IPV6 = "10.244.1.0/24", "fd00:10:244:1::/64"
DOCUMENT = "document:/etc/kubenode-network/node.json"
HEADERS = {4: 28, 6: 48}  # of an echo request


def links(node):
    return {link["ifname"]: link for link in json.loads(node.run(["ip", "-j", "-d", "address"]).stdout)}


def have(node, pod_cidrs=(IPV4, IPV6), check=False, force=False, sections=("sysctl_bridge_nf",), **bridge):
    result = node.module(
        "node_network",
        {**{section: {} for section in sections}, "kubenet_bridge": {"pod_cidrs": list(pod_cidrs), **bridge}, "force": force}, check=check,
    )  # fmt: skip
    assert not result.get("failed"), result
    return result


def port_of(node, pod):
    """The pod's port of the bridge, as the plugin reported it."""
    return next(one["name"] for one in pod.result["interfaces"] if one["name"].startswith("veth") and not one.get("sandbox"))


def hairpin(node):
    return {name: link["linkinfo"]["info_slave_data"]["hairpin"] for name, link in links(node).items() if link.get("master") == "cbr0"}


def full_size(mtu, version):
    return mtu - HEADERS[version]


@pytest.fixture
def routed_node():
    """A node with jumbo frames at its uplink, whose pods can be reached from outside."""
    with Node(mtu=1500) as node:
        node.install_plugins()
        node.outside.route(IPV4, via=node.ip4)
        node.outside.route(IPV6, via=node.ip6)
        yield node


def test_a_raise_of_the_mtu_waits_for_the_last_old_pod(routed_node):
    """A bridge with a larger MTU than one of its pods loses full-size packets to that pod, and nobody is told (pitfalls 14)."""
    node = routed_node
    have(node, mtu="1400")
    old, older = node.pod("old"), node.pod("older")
    waiting = sorted([port_of(node, old), port_of(node, older)])
    announced = have(node, mtu="1500", check=True)
    result = have(node, mtu="1500")
    assert result["changes"] == announced["changes"]
    assert "bridge:cbr0" not in [change["resource"] for change in result["changes"]]
    told = result["kubenet_bridge"]
    assert (told["mtu"], told["bridge_mtu"], sorted(told["waiting_for"])) == (1500, 1400, waiting)
    said = f"the MTU of cbr0 stays 1400 until the last pod with less than 1500 has left: {waiting[0]} (1400), {waiting[1]} (1400)"
    assert any(said in warning for warning in result["warnings"])
    for check in (True, False):
        again = have(node, mtu="1500", check=check)
        assert (again["changed"], again["kubenet_bridge"]) == (False, told)
    new = node.pod("new")
    assert links(new)["eth0"]["mtu"] == 1500, "the plugin list has what is wanted"
    for version, outside in ((4, node.outside.ip4), (6, node.outside.ip6)):
        of = {pod: pod.ip4 if version == 4 else pod.ip6 for pod in (old, new)}
        proof.ping(old, outside, full_size(1400, version))
        proof.ping(node.outside, of[old], full_size(1400, version))
        with pytest.raises(ProofError, match=r"(mtu ?[:=] ?1400|message too long)"):
            proof.ping(node.outside, of[old], full_size(1400, version) + 1)  # an ICMP says so, and where
        for one, other in ((old, new), (new, old)):
            proof.ping(one, of[other], full_size(1400, version))
        proof.ping(node.outside, of[new], full_size(1400, version))
        proof.ping(node, of[old], full_size(1400, version))
    older.delete()
    result = have(node, mtu="1500")
    assert (result["changed"], result["kubenet_bridge"]["waiting_for"]) == (False, [port_of(node, old)])
    old.delete()
    result = have(node, mtu="1500")
    assert [change["resource"] for change in result["changes"]] == ["bridge:cbr0", DOCUMENT]
    assert (result["kubenet_bridge"]["bridge_mtu"], result["kubenet_bridge"]["waiting_for"]) == (1500, [])
    assert "warnings" not in result
    node.outside.run(["ip", "route", "flush", "cache"])
    node.outside.run(["ip", "-6", "route", "flush", "cache"])
    with node.pod("newer") as newer:
        for version, outside in ((4, node.outside.ip4), (6, node.outside.ip6)):
            for pod in (new, newer):
                address = pod.ip4 if version == 4 else pod.ip6
                proof.ping(pod, outside, full_size(1500, version))
                proof.ping(node.outside, address, full_size(1500, version))
            proof.ping(new, newer.ip4 if version == 4 else newer.ip6, full_size(1500, version))
    new.delete()
    assert links(node)["cbr0"]["mtu"] == 1500
    assert not have(node, mtu="1500")["changed"]


def test_what_a_raise_at_once_would_cost(routed_node):
    """The reason for the wait, measured: no packet, and no ICMP."""
    node = routed_node
    have(node, mtu="1400")
    with node.pod("old") as old:
        node.ip("link set cbr0 mtu 1500")
        proof.ping(node.outside, old.ip4, full_size(1400, 4))
        with pytest.raises(ProofError, match="100% packet loss") as lost:
            proof.ping(node.outside, old.ip4, full_size(1500, 4), timeout=1)
        assert "rag needed" not in str(lost.value)
        result = have(node, mtu="1400")
        assert [change["resource"] for change in result["changes"]] == ["bridge:cbr0"]


def test_the_pods_end_counts_where_it_is_the_smaller_one(routed_node):
    node = routed_node
    have(node, mtu="1500")
    with node.pod("a") as a:
        a.run(["ip", "link", "set", "eth0", "mtu", "1300"])
        result = have(node, mtu="1500")
        assert (result["kubenet_bridge"]["bridge_mtu"], links(node)["cbr0"]["mtu"]) == (1300, 1300)
        with pytest.raises(ProofError, match=r"(mtu ?[:=] ?1300|message too long)"):
            proof.ping(node.outside, a.ip4, full_size(1400, 4))
        proof.ping(node.outside, a.ip4, full_size(1300, 4))
        a.run(["ip", "link", "set", "eth0", "mtu", "1000"])
        result = have(node, mtu="1500")
        assert links(node)["cbr0"]["mtu"] == 1280, "less would take IPv6 off the bridge"
    assert have(node, mtu="1500")["kubenet_bridge"]["bridge_mtu"] == 1500


def test_the_mtu_is_lowered_in_place(routed_node):
    node = routed_node
    have(node, mtu="1500")
    with node.pod("old") as old:
        ping = old.popen(["ping", "-q", "-i", "0.01", "-c", "200", node.outside.ip4], stdout=-1)
        have(node, mtu="1400")
        assert " 0% packet loss" in ping.communicate(timeout=20)[0]
        assert links(node)["cbr0"]["mtu"] == 1400
        proof.ping(old, node.outside.ip4, full_size(1400, 4))
        with node.pod("new") as new:
            proof.ping(new, node.outside.ip4, full_size(1400, 4))
            proof.ping(old, new.ip4, full_size(1400, 4))
    assert links(node)["cbr0"]["mtu"] == 1400


def test_a_bridge_of_the_plugin_keeps_its_mtu_and_mac_from_then_on(routed_node):
    """The plugin's own bridge follows its ports, and has 1500 when the last one leaves."""
    node = routed_node
    chain = [{"type": "bridge", "bridge": "cbr0", "isGateway": True, "mtu": 1450, "ipam": {"type": "host-local", "subnet": IPV4}}]
    assert node.module("cni_config", {"name": "kubenet", "plugins": chain})["changed"]
    with node.pod("a"):
        assert links(node)["cbr0"]["mtu"] == 1450
    assert links(node)["cbr0"]["mtu"] == 1500, "what is to be mended"
    a = node.pod("a")
    mac = links(node)["cbr0"]["address"]
    options = {"pod_cidrs": [IPV4], "mtu": "1450"}
    announced = node.module("kubenet_bridge", options, check=True)
    result = node.module("kubenet_bridge", options)
    assert result["changes"] == announced["changes"]
    assert {"resource": "pinned:cbr0", "before": {"mac": True, "mtu": False}, "after": {"mac": True, "mtu": True}} in result["changes"]
    assert not node.module("kubenet_bridge", options)["changed"]
    a.delete()
    assert (links(node)["cbr0"]["mtu"], links(node)["cbr0"]["address"]) == (1450, mac)
    assert not node.module("kubenet_bridge", options)["changed"]


def test_a_bridge_that_is_there_gets_a_mac_that_stays(node):
    node.ip("link add cbr0 type bridge", "link set cbr0 up")
    mac = links(node)["cbr0"]["address"]
    options = {"pod_cidrs": [IPV4]}
    assert node.module("kubenet_bridge", options)["changed"]
    node.ip("link add vethlow address 02:00:00:00:00:01 type veth peer name low", "link set vethlow master cbr0")
    assert links(node)["cbr0"]["address"] == mac


def test_the_mac_survives_a_new_bridge(plugin_node):
    """Pods of other nodes and the node's own keep what they know of it; udev leaves an address that was set alone."""
    node = plugin_node
    have(node)
    mac = links(node)["cbr0"]["address"]
    assert mac == "0a:58:0a:f4:01:01"
    assert node.read("/sys/class/net/cbr0/addr_assign_type") == "3\n"
    node.ip("link del cbr0")
    have(node)
    assert links(node)["cbr0"]["address"] == mac
    with node.pod("a"), node.pod("b"):
        assert links(node)["cbr0"]["address"] == mac
    node.ip("link del cbr0", "link add cbr0 address 0a:58:00:00:00:09 type bridge")
    result = have(node)
    assert links(node)["cbr0"]["address"] == "0a:58:00:00:00:09", "pods may know it"
    node.ip("link del cbr0")
    have(node)
    assert links(node)["cbr0"]["address"] == "0a:58:00:00:00:09", result["kubenet_bridge"]["mac"]


def test_txqueuelen_and_ipv6_settings_are_mended(plugin_node):
    node = plugin_node
    have(node)
    settings = {key: node.read(f"/proc/sys/net/ipv6/conf/cbr0/{key}").strip() for key in ("accept_ra", "accept_dad")}
    assert settings == {"accept_ra": "0", "accept_dad": "0"}
    assert links(node)["cbr0"]["txqlen"] == 1000
    for breakage in (["ip", "link", "set", "cbr0", "txqueuelen", "0"], ["sysctl", "-qw", "net.ipv6.conf.cbr0.accept_ra=1"],
                     ["sysctl", "-qw", "net.ipv6.conf.cbr0.accept_dad=1"]):  # fmt: skip
        before = node.dump()
        node.run(breakage)
        assert [change["resource"] for change in have(node)["changes"]] == ["bridge:cbr0"], breakage
        assert not have(node)["changed"]
        assert not diff_dumps(before, node.dump())
    have(node, txqueuelen=500)
    assert links(node)["cbr0"]["txqlen"] == 500


def test_settings_of_a_bridge_that_was_there_are_given_back(node):
    node.ip("link add cbr0 txqueuelen 7 type bridge", "link set cbr0 up")
    node.run(["sysctl", "-qw", "net.ipv6.conf.cbr0.accept_ra=2"])
    found = node.dump()
    assert node.module("kubenet_bridge", {"pod_cidrs": [IPV4]})["changed"]
    assert (links(node)["cbr0"]["txqlen"], node.read("/proc/sys/net/ipv6/conf/cbr0/accept_ra")) == (1000, "0\n")
    assert node.module("kubenet_bridge", {"state": "absent"})["changed"]
    assert links(node)["cbr0"]["txqlen"] == 7
    assert not diff_dumps(found, node.dump())
    assert node.read("/proc/sys/net/ipv6/conf/cbr0/accept_dad") == "1\n"


def test_a_bridge_with_a_default_route_from_a_router_keeps_it(node):
    node.ip("link add cbr0 type bridge", "link set cbr0 up")
    node.run(["ip", "-6", "route", "add", "default", "via", "fe80::1", "dev", "cbr0", "proto", "ra", "metric", "100", "onlink"])
    result = node.module("kubenet_bridge", {"pod_cidrs": [IPV4]})
    assert "kubenet_bridge: cbr0 has a default route from a router's advertisement; its accept_ra stays 1" in result["warnings"]
    assert node.read("/proc/sys/net/ipv6/conf/cbr0/accept_ra") == "1\n"
    assert not node.module("kubenet_bridge", {"pod_cidrs": [IPV4]})["changed"]


def test_the_first_pod_is_reached_at_once_by_ipv6(plugin_node):
    """With duplicate address detection the bridge's link-local address is tentative for a second after the first pod, and asks for nobody."""
    node = plugin_node
    node.outside.route(IPV6, via=node.ip6)
    have(node, [IPV6])
    with node.pod("a") as a:
        a.run(["ip", "-6", "address", "show"])
        proof.ping(node.outside, a.ip6, timeout=1)


@pytest.mark.parametrize("mode", ["none", "promiscuous-bridge"])
def test_the_hairpin_flag_changes_in_place(plugin_node, mode):
    node = plugin_node
    have(node, hairpin_mode=mode)
    with node.pod("a") as a, node.pod("b") as b:
        ports = {port_of(node, a), port_of(node, b)}
        assert hairpin(node) == dict.fromkeys(ports, False)
        ping = a.popen(["ping", "-q", "-i", "0.01", "-c", "400", b.ip4], stdout=-1)
        for other, on in (("hairpin-veth", True), (mode, False), ("hairpin-veth", True)):
            announced = have(node, hairpin_mode=other, check=True)
            result = have(node, hairpin_mode=other)
            assert result["changes"] == announced["changes"]
            assert {f"hairpin:cbr0/{port}" for port in ports} <= {change["resource"] for change in result["changes"]}
            assert hairpin(node) == dict.fromkeys(ports, on)
            assert not have(node, hairpin_mode=other)["changed"]
        assert " 0% packet loss" in ping.communicate(timeout=20)[0]
        with node.pod("c") as c:
            assert hairpin(node)[port_of(node, c)] is True, "from the plugin list"
            assert not have(node)["changed"], "which is no change of ours"
            have(node, hairpin_mode=mode)
            assert set(hairpin(node).values()) == {False}, "what the list of that time turned on goes off as well"
            assert not have(node, hairpin_mode=mode)["changed"]
        assert not have(node, hairpin_mode=mode)["changed"], "a pod's end is no change of the node"
    assert not have(node, hairpin_mode=mode)["changed"]


def test_a_running_pod_reaches_itself_after_the_change(plugin_node):
    node = plugin_node
    have(node, [IPV4], hairpin_mode="none", sections=("sysctl_bridge_nf",))
    send = "import socket, sys; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(sys.argv[1].encode(), ('10.96.0.9', 9053))"
    with node.pod("b") as b:
        node.run(["iptables", "-t", "nat", "-A", "PREROUTING", "-d", "10.96.0.9", "-j", "DNAT", "--to-destination", b.ip4])
        node.run(["iptables", "-t", "nat", "-A", "POSTROUTING", "-s", b.ip4, "-d", b.ip4, "-j", "MASQUERADE"])
        for mode, received in (("none", 0), ("hairpin-veth", 10), ("none", 0)):
            have(node, [IPV4], hairpin_mode=mode)
            with b.serve_udp(9053, bind="0.0.0.0") as server:
                for number in range(10):
                    b.run([sys.executable, "-c", send, str(number)])
                assert len(server.stop()) == received, mode


def test_hairpin_flags_are_put_back_as_they_were_found(node):
    """On a bridge with ports of somebody else: one has the flag, one does not, one is no veth."""
    node.ip(
        "link add cbr0 type bridge", "link add vethon type veth peer name on", "link add vethoff type veth peer name off",
        "link add mac0 link eth0 type macvlan", "link set vethon master cbr0", "link set vethoff master cbr0",
        "link set vethon type bridge_slave hairpin on",
        "link set mac0 master cbr0", "link set cbr0 up",
    )  # fmt: skip
    found = node.dump()
    flags = {"vethon": True, "vethoff": False, "mac0": False}
    assert hairpin(node) == flags
    options = {"pod_cidrs": [IPV4]}
    for mode in ("none", "hairpin-veth", "none", "promiscuous-bridge", "hairpin-veth"):
        assert node.module("kubenet_bridge", {**options, "hairpin_mode": mode})["changed"]
        assert hairpin(node) == ({**flags, "vethoff": True} if mode == "hairpin-veth" else flags), mode
    result = node.module("kubenet_bridge", {"state": "absent", "force": True})
    assert any("cut off 3 pods: cbr0 has the ports mac0, vethoff, vethon" in warning for warning in result["warnings"]), result
    assert not diff_dumps(found, node.dump())


def test_another_range_names_who_holds_the_old_one(plugin_node):
    node = plugin_node
    have(node)
    with node.pod("a") as a:
        refused = node.module("node_network", {"kubenet_bridge": {"pod_cidrs": ["10.244.9.0/24", IPV6]}})
        assert a.ip4 in refused["msg"], refused
        for check in (True, False):
            result = node.module("kubenet_bridge", {"pod_cidrs": ["10.244.9.0/24", IPV6]}, check=check)
            said = "10.244.1.1/24 goes away from cbr0, and pods with addresses outside are cut off until they are started anew: "
            assert any(f"{said}{port_of(node, a)} ({a.ip4}, sandbox " in warning for warning in result["warnings"]), result["warnings"]
        again = node.module("kubenet_bridge", {"pod_cidrs": ["10.244.9.0/24", IPV6]})
        assert again["changed"] is False
        assert again["kubenet_bridge"]["outside"][0].startswith(f"{port_of(node, a)} ({a.ip4}, sandbox ")
        assert any("cbr0 has 10.244.9.0/24, fd00:10:244:1::/64, and pods with addresses outside are cut off" in warning for warning in again["warnings"])
        proof.ping(a, "fd00:10:244:1::1")


def test_a_bridge_goes_away_under_pods_when_it_is_forced(plugin_node):
    node = plugin_node
    found = node.dump()
    options = {"pod_cidrs": [IPV4, IPV6]}
    assert node.module("kubenet_bridge", options)["changed"]
    made = node.dump()
    chain = [{"type": "bridge", "bridge": "cbr0", "ipam": {"type": "host-local", "subnet": IPV4}}]
    node.write("/run/other.conflist", json.dumps({"cniVersion": "1.0.0", "name": "other", "plugins": chain}))
    with node.pod("a", network="/run/other.conflist") as a:
        port = port_of(node, a)
        assert node.module("kubenet_bridge", options)["changed"], "its hairpin flag"
        before = node.dump()
        for check in (True, False):
            refused = node.module("kubenet_bridge", {"state": "absent"}, check=check)
            assert f"state: absent would cut off 1 pod: cbr0 has the port {port} ({a.ip4}) (expected: remove" in refused["msg"]
            assert not diff_dumps(before, node.dump())
        result = node.module("kubenet_bridge", {"state": "absent", "force": True})
        assert f"cut off 1 pod: cbr0 has the port {port} ({a.ip4}); start them anew" in result["warnings"][0]
        assert "cbr0" not in links(node) and port in links(node)
        assert node.module("kubenet_bridge", options)["changed"]
    assert not [line for line in diff_dumps(made, node.dump()).splitlines() if "/var/lib/kubenode" not in line]
    assert node.module("kubenet_bridge", {"state": "absent"})["changed"]
    assert not diff_dumps(found, node.dump())


def test_pods_that_lost_their_bridge_are_named(plugin_node):
    node = plugin_node
    have(node)
    with node.pod("a") as a:
        lost = f"reach nothing: {port_of(node, a)} ({a.ip4}, {a.ip6}); start them anew"
        node.ip("link del cbr0")
        for check in (True, False, False):
            assert [lost in warning for warning in have(node, check=check).get("warnings", ())] == [True]
        node.ip(f"link set {port_of(node, a)} master cbr0")
        assert "warnings" not in have(node), "only the hairpin flag is missing"
        proof.ping(a, "10.244.1.1", 56)


def test_the_force_of_node_network_is_that_of_the_bridge(plugin_node):
    node = plugin_node
    have(node, [IPV4])
    with node.pod("a") as a:
        absent = {"kubenet_bridge": {"state": "absent"}, "networks": [{"name": "kubenet", "state": "absent"}]}
        assert "kubenet_bridge.state: absent would cut off 1 pod:" in node.module("node_network", absent)["msg"]
        result = node.module("node_network", {**absent, "force": True})
        assert not result.get("failed"), result
        assert any(f"cut off 1 pod: cbr0 has the port {port_of(node, a)} ({a.ip4})" in warning for warning in result["warnings"])
        assert "cbr0" not in links(node)


def test_a_failed_removal_gives_the_pods_their_bridge_back(plugin_node):
    """The ports of a bridge that was deleted before a later step failed are put back, as they were."""
    node = plugin_node
    have(node)
    with node.pod("a") as a, node.pod("b") as b:
        before = node.dump()
        node.run(["mount", "--bind", "-o", "ro", "/etc/kubenode-network", "/etc/kubenode-network"], check=False)
        node.run(["mount", "-o", "remount,bind,ro", "/etc/kubenode-network"])
        result = node.module("kubenet_bridge", {"state": "absent", "force": True})
        assert "everything done before it was put back" in result["msg"]
        node.run(["umount", "/etc/kubenode-network"])
        assert not diff_dumps(before, node.dump())
        proof.ping(a, b.ip4, full_size(1450, 4))
        proof.ping(node, a.ip4)
        proof.ping(node, b.ip6)


@pytest.mark.parametrize(("commands", "options", "expected", "warned"), [
    (["link add docker0 mtu 1280 type bridge", "link set docker0 up"], {}, 1450, ""),
    (["link add vethx mtu 1300 type veth peer name x", "link set vethx up", "link set x up"], {}, 1450, ""),
    (["link add vethx mtu 1300 type veth peer name x", "link set vethx up", "link set x up", "address add 192.168.9.1/24 dev vethx",
      "route add 10.244.7.0/24 via 192.168.9.2 dev vethx"], {}, 1300, ""),
    (["link add vethx mtu 1300 type veth peer name x", "link set vethx up", "link set x up", "address add 192.168.9.1/24 dev vethx",
      "route add 10.244.7.0/24 via 192.168.9.2 dev vethx"], {"mtu_from": "default_route"}, 1450, ""),
    (["link add bwp1 mtu 1300 type ifb", "link set bwp1 up"], {}, 1450, ""),
    (["link add mac0 mtu 1400 link eth0 type macvlan", "link set mac0 up"], {}, 1400, ""),
    (["link add mac0 mtu 1400 link eth0 type macvlan", "link set mac0 up"], {"mtu_from": "default_route"}, 1450, ""),
    (["link add mac0 mtu 1400 link eth0 type macvlan"], {}, 1450, ""),
    (["link add mac0 mtu 500 link eth0 type macvlan", "link set mac0 up"], {}, 1450, "mac0 has an MTU of 500 and was left out"),
    (["link add mac0 mtu 1000 link eth0 type macvlan", "link set mac0 up"], {}, 1000, "mac0 has an MTU of 1000 only"),
    (["link add flannel.1 mtu 1400 type vxlan id 1 dstport 8472 dev eth0", "link set flannel.1 up"], {}, 1400, ""),
    (["link set eth0 mtu 1500"], {"mtu_overhead": "vxlan/ipv6"}, 1430, ""),
    (["link set eth0 mtu 9001"], {"mtu_overhead": "128"}, 8873, ""),
    (["route del default"], {"mtu_from": "default_route"}, 1450, ""),
    (["link set eth0 down"], {"mtu_overhead": "flannel/vxlan"}, 1410, "no normal interface is up on this node, so the MTU is 1460"),
])  # fmt: skip
def test_the_automatic_mtu_on_real_interfaces(node, commands, options, expected, warned):
    node.ip(*commands)
    result = node.module("kubenet_bridge", {"pod_cidrs": [IPV4], **options})
    assert (result["kubenet_bridge"]["mtu"], links(node)["cbr0"]["mtu"]) == (expected, expected)
    assert warned in "".join(result.get("warnings", []))
    assert bool(result.get("warnings")) == bool(warned)
    assert not node.module("kubenet_bridge", {"pod_cidrs": [IPV4], **options})["changed"]


@pytest.mark.parametrize("options", [{"mtu_overhead": "calico/vxlan"}, {"mtu": "1300", "hairpin_mode": "promiscuous-bridge", "txqueuelen": 9}])
def test_what_was_resolved_gives_the_same_bridge_with_pods_on_it(plugin_node, options):
    """As after a reboot or a change of the node's interfaces, from which nothing must follow by itself."""
    node = plugin_node
    have(node, mtu="1290")
    with node.pod("a"):
        have(node, **options)
        desired = json.loads(node.read("/etc/kubenode-network/node.json"))["sections"]["kubenet_bridge"]["cbr0"]["desired"]
        node.ip("link set eth0 mtu 1350")
        before = node.dump()
        result = node.module("kubenet_bridge", kubenet_bridge.resolved(desired))
        assert not [change for change in result["changes"] if change["resource"] != DOCUMENT]
        assert {key: result["kubenet_bridge"][key] for key in desired} == desired
        assert not [line for line in diff_dumps(before, node.dump()).splitlines() if "node.json" not in line]

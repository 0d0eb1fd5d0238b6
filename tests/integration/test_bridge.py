# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a bridge that the kernel answers with changes of its own."""

from __future__ import annotations

import json

import pytest
from testbed import diff_dumps

IPV4, IPV6 = "10.244.1.0/24", "fd00:10:244:1::/64"


@pytest.fixture(params=["0", "1"], ids=["without promotion", "with promotion"])
def bridge_node(request, node):
    """A node whose kernel takes secondary addresses away with their primary one, or makes one of them the primary."""
    for scope in ("all", "default"):
        node.run(["sysctl", "-qw", f"net.ipv4.conf.{scope}.promote_secondaries={request.param}"])
    return node


def addresses(node):
    link = json.loads(node.run(["ip", "-j", "address", "show", "dev", "cbr0"]).stdout)[0]
    return sorted(f"{entry['local']}/{entry['prefixlen']}" for entry in link["addr_info"] if entry["scope"] == "global")


def have(node, pod_cidrs, **bridge):
    result = node.module("kubenet_bridge", {"pod_cidrs": pod_cidrs, **bridge})
    assert not result.get("failed"), result
    assert node.module("kubenet_bridge", {"pod_cidrs": pod_cidrs, **bridge})["changed"] is False
    return addresses(node)


@pytest.mark.parametrize(("place", "make"), [("all", False), ("default", False), ("cbr0", True)])
def test_ipv6_that_is_switched_off_is_said_before_anything_is_changed(node, place, make):
    if make:
        node.ip("link add cbr0 type bridge")
    node.run(["sysctl", "-qw", f"net.ipv6.conf.{place}.disable_ipv6=1"])
    before = node.dump()
    for check in (True, False):
        result = node.module("kubenet_bridge", {"pod_cidrs": ["10.244.1.0/24", "fd00:10:244:1::/64"]}, check=check)
        assert f"IPv6 is switched off on this node (net.ipv6.conf.{place}.disable_ipv6)" in result["msg"]
    assert not diff_dumps(before, node.dump())
    assert node.module("kubenet_bridge", {"pod_cidrs": ["10.244.1.0/24"]})["changed"]


def test_the_same_gateway_of_a_larger_and_a_smaller_subnet(bridge_node):
    for pod_cidr, gateway in (("10.244.0.0/16", "10.244.0.1/16"), ("10.244.0.0/24", "10.244.0.1/24"), ("10.244.0.0/16", "10.244.0.1/16")):
        assert have(bridge_node, [pod_cidr]) == [gateway]


@pytest.mark.parametrize("first", ["10.244.1.253/24", "10.244.1.254/24", "10.244.1.1/24"])
def test_a_bridge_with_several_addresses_of_the_subnet(bridge_node, first):
    """The kernel makes the first one the primary of the subnet, whichever it is, and the others secondaries."""
    node = bridge_node
    others = [address for address in ("10.244.1.253/24", "10.244.1.1/24", "10.244.1.254/24") if address != first]
    node.ip("link add cbr0 type bridge", "link set cbr0 up", *(f"address add {address} dev cbr0" for address in (first, *others)))
    found = node.dump()
    assert have(node, [IPV4]) == ["10.244.1.1/24"]
    assert node.module("kubenet_bridge", {"state": "absent"})["changed"]
    assert addresses(node) == sorted([first, *others])
    left = [line for line in diff_dumps(found, node.dump()).splitlines() if "10.244.1." not in line]  # which one is the primary may differ
    assert not left


def test_an_mtu_too_small_for_ipv6_comes_and_goes(bridge_node):
    """Below 1280 the kernel takes the IPv6 addresses off the link by itself."""
    node = bridge_node
    found = node.dump()
    both = ["10.244.1.1/24", "fd00:10:244:1::1/64"]
    assert have(node, [IPV4, IPV6]) == both
    made = node.dump()
    assert have(node, [IPV4], mtu="1200") == both[:1]
    assert have(node, [IPV4, IPV6]) == both
    again = node.dump()
    assert {**again, "files": None} == {**made, "files": None}
    assert have(node, [IPV6], mtu="1280") == both[1:]
    assert node.module("kubenet_bridge", {"state": "absent"})["changed"]
    assert not diff_dumps(found, node.dump())


@pytest.mark.parametrize("route", [
    "10.0.0.0/8 via 192.0.2.1", "10.244.0.0/16 via 192.0.2.1 proto static", "10.244.1.0/24 via 192.0.2.1 table 99", "10.244.1.7 dev veth7 scope link",
], ids=str)  # fmt: skip
def test_a_route_beside_which_the_range_can_be(node, route):
    """A wider one, one of another table, and one to a pod of another plugin by its own link."""
    node.ip("link add veth7 type veth peer name other7", "link set veth7 up", f"route add {route}")
    routes = node.dump()["routes4"]
    assert not node.module("kubenet_bridge", {"pod_cidrs": ["10.244.1.0/24"]}).get("failed")
    assert set(routes) <= set(node.dump()["routes4"])
    assert not node.module("kubenet_bridge", {"pod_cidrs": ["10.244.1.0/24"]})["changed"]
    assert not node.module("kubenet_bridge", {"state": "absent"}).get("failed")


def test_the_bridge_that_a_kubelet_left_is_taken_over_with_its_routes(node):
    node.ip("link add cbr0 type bridge", "link set cbr0 up", "address add 10.244.1.1/24 dev cbr0", "route add 10.244.1.128/25 dev cbr0")
    assert not node.module("kubenet_bridge", {"pod_cidrs": ["10.244.1.0/24"]}).get("failed")

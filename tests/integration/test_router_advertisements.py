# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forwarding must not cost the node its IPv6 default route from router advertisements."""

from __future__ import annotations

import pytest
from testbed import Node, diff_dumps, wait_for


def advertised_route(node):
    return node.run(["ip", "-6", "route", "show", "default", "proto", "ra"]).stdout


@pytest.fixture
def learned():
    """A node whose only IPv6 default route was learned from its router."""
    with Node() as node:
        node.run(["ip", "-6", "route", "del", "default"])
        node.run(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=1"])

        def advertise():
            node.outside.advertise()
            return advertised_route(node)

        wait_for(advertise)
        yield node


def test_the_kernel_drops_the_route_when_nobody_minds(learned):
    """Or the tests below would prove nothing."""
    learned.run(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"])
    assert advertised_route(learned) == ""


def test_the_route_stays(learned):
    node = learned
    before = node.dump()
    result = node.module("sysctl_bridge_nf", {"forwarding": ["ipv4", "ipv6"]})
    order = [change["resource"] for change in result["changes"]]
    assert order.index("sysctl:net/ipv6/conf/eth0/accept_ra") < order.index("sysctl:net/ipv6/conf/all/forwarding")
    assert "dev eth0" in advertised_route(node)
    assert node.read("/proc/sys/net/ipv6/conf/eth0/accept_ra") == "2\n"
    assert "net.ipv6.conf.eth0.accept_ra = 2\n" in node.read("/etc/sysctl.d/99-kubenode-network.conf")
    node.run(["ip", "-6", "route", "del", "default", "proto", "ra"])
    again = node.module("sysctl_bridge_nf", {"forwarding": ["ipv4", "ipv6"]})
    assert not again["changed"], "the setting is kept while the route happens to be away"
    node.module("sysctl_bridge_nf", {"state": "absent"})
    left = [line for line in diff_dumps(before, node.dump()).splitlines() if '"protocol": "ra"' not in line]
    assert not left


def test_a_link_whose_advertisements_somebody_else_minds_is_left_alone(learned):
    learned.run(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_ra=0"])
    result = learned.module("sysctl_bridge_nf", {"forwarding": ["ipv6"]})
    assert not [change for change in result["changes"] if "accept_ra" in change["resource"]]


def test_ipv4_alone_changes_nothing_of_ipv6(learned):
    result = learned.module("sysctl_bridge_nf", {})
    assert not [change for change in result["changes"] if "ipv6" in change["resource"]]
    assert "dev eth0" in advertised_route(learned)


def test_a_run_that_is_taken_back_leaves_the_route(learned):
    before = learned.dump()
    assert '"protocol": "ra"' in str(before["routes6"])
    result = learned.module("sysctl_bridge_nf", {"forwarding": ["ipv4", "ipv6"], "confirm_timeout": 1})
    assert result["checkpoint"], result
    wait_for(lambda: not learned.exists("/var/lib/kubenode-network/journal.json"), 30)
    assert "dev eth0" in advertised_route(learned)
    difference = diff_dumps(before, learned.dump())
    assert not difference, difference

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the kernel says of routes, against what ip(8) makes of it."""

from __future__ import annotations

import json
import sys

import pytest
from testbed import Node
from testbed.paths import link_collection

ASK = """
import json
from ansible_collections.kubenode.network.plugins.module_utils._host import routes
print(json.dumps([sorted(names()) for names in (routes.default_route_links, routes.next_hop_links, routes.router_advertised_links)]))
"""


@pytest.fixture
def node():
    with Node() as node:
        node.ip("link add br1 type bridge", "link set br1 up", "address add 10.9.0.1/24 dev br1", "link add br2 type bridge", "link set br2 up",
                "address add fd00:9::1/64 dev br2 nodad")
        yield node


def asked(node):
    return json.loads(node.run([sys.executable, "-c", f"import sys; sys.path.insert(0, {str(link_collection())!r})\n{ASK}"]).stdout)


def said_by_ip(node):
    routes = [route for family in "46" for route in json.loads(node.run(["ip", "-j", f"-{family}", "route", "show", "table", "all"]).stdout)]
    default = [route for route in routes if route["dst"] == "default" and "table" not in route]
    hops = [hop for route in routes for hop in route.get("nexthops") or [route]]
    leaving = {hop["dev"] for route in default for hop in route.get("nexthops") or [route] if "dev" in hop}
    learned = {route["dev"] for route in default if route.get("protocol") == "ra"}
    return [sorted(leaving), sorted(leaving | {hop["dev"] for hop in hops if "dev" in hop and {"gateway", "via"} & set(hop)}), sorted(learned)]


@pytest.mark.parametrize("lines, default, next_hop, learned", [
    ([], ["eth0"], ["eth0"], []),
    (["route del default", "-6 route del default"], [], [], []),
    (["route replace default nexthop via 192.0.2.1 dev eth0 nexthop via 10.9.0.2 dev br1"], ["br1", "eth0"], ["br1", "eth0"], []),
    (["route replace default dev br1 scope link", "-6 route del default"], ["br1"], ["br1"], []),
    (["route add 10.8.0.0/16 via 10.9.0.2"], ["eth0"], ["br1", "eth0"], []),
    (["route add 10.8.0.0/16 dev br1"], ["eth0"], ["eth0"], []),
    (["-6 route add fd00:8::/64 nexthop via fd00:9::2 nexthop via fd00:9::3"], ["eth0"], ["br2", "eth0"], []),
    (["route add 10.8.0.0/16 via inet6 fd00:9::2 dev br2"], ["eth0"], ["br2", "eth0"], []),
    (["route add default via 10.9.0.2 table 99"], ["eth0"], ["br1", "eth0"], []),
    (["route add default dev br1 table 1000"], ["eth0"], ["eth0"], []),
    (["route add blackhole default metric 9"], ["eth0"], ["eth0"], []),
    (["-6 route add default via fe80::1 dev br2 proto ra metric 9 onlink"], ["br2", "eth0"], ["br2", "eth0"], ["br2"]),
], ids=str)
def test_links_by_which_packets_leave(node, lines, default, next_hop, learned):
    for line in lines:
        node.run(["ip", *line.split()])
    assert asked(node) == said_by_ip(node) == [default, next_hop, learned]


def test_a_thousand_routes(node):
    node.ip(*(f"route add 10.{number // 256}.{number % 256}.0/28 via 10.9.0.2" for number in range(10 * 256, 14 * 256)))
    assert asked(node) == said_by_ip(node) == [["eth0"], ["br1", "eth0"], []]

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._addressing import mtu

UP = ("BROADCAST", "MULTICAST", "UP", "LOWER_UP")
NO_CARRIER = ("NO-CARRIER", "BROADCAST", "MULTICAST", "UP")
DOWN = ("BROADCAST", "MULTICAST")


@dataclasses.dataclass
class Link:
    name: str
    mtu: int
    kind: str = ""
    flags: frozenset = frozenset(UP)
    master: str = ""
    port_of: str = ""


def link(name, size, kind="", flags=UP, master="", port_of=""):
    return Link(name, size, kind, frozenset(flags), master, port_of)


LO = link("lo", 65536, flags=("LOOPBACK", "UP", "LOWER_UP"))
ETH0 = link("eth0", 1500)
PPP = ("POINTOPOINT", "UP", "LOWER_UP")
NOTHING = (1460, "")


# Each row: what it is about, the links, those with a default route, (MTU, link) that come out for cbr0, and words of each warning.
TABLE = [
    ("one interface", [LO, ETH0], {"eth0"}, (1500, "eth0"), []),
    ("an interface without a default route counts", [LO, ETH0, link("eth1", 1400)], {"eth0"}, (1400, "eth1"), []),
    ("jumbo frames", [LO, link("eth0", 9001)], {"eth0"}, (9001, "eth0"), []),
    ("the smallest of two", [LO, link("eth0", 9001), link("eth1", 1500)], {"eth0"}, (1500, "eth1"), []),
    ("loopback is not a network, even a small one", [link("lo", 1000, flags=("LOOPBACK", "UP", "LOWER_UP")), ETH0], {"eth0"}, (1500, "eth0"), []),
    ("docker0 of a docker with a small MTU", [LO, ETH0, link("docker0", 1280, "bridge")], {"eth0"}, (1500, "eth0"), []),
    ("docker0 without containers", [LO, ETH0, link("docker0", 1280, "bridge", NO_CARRIER)], {"eth0"}, (1500, "eth0"), []),
    ("a veth of another bridge", [LO, ETH0, link("veth1", 1280, "veth", master="docker0", port_of="bridge")], {"eth0"}, (1500, "eth0"), []),
    ("a veth of no bridge", [LO, ETH0, link("cali1", 1280, "veth")], {"eth0"}, (1500, "eth0"), []),
    ("cbr0 itself, the ratchet of kubenet", [LO, ETH0, link("cbr0", 1400, "bridge")], {"eth0"}, (1500, "eth0"), []),
    ("cbr0 even when it carries a default route", [LO, ETH0, link("cbr0", 1400, "bridge")], {"eth0", "cbr0"}, (1500, "eth0"), []),
    ("a veth of cbr0", [LO, ETH0, link("veth1", 1400, "veth", master="cbr0", port_of="bridge")], {"eth0"}, (1500, "eth0"), []),
    ("a port of cbr0 that is hardware", [LO, ETH0, link("eth1", 1400, master="cbr0", port_of="bridge")], {"eth0", "eth1"}, (1500, "eth0"), []),
    ("the ifb that the plugin bandwidth makes for a pod", [LO, ETH0, link("bwp1", 1400, "ifb")], {"eth0"}, (1500, "eth0"), []),
    ("a dummy of node-local DNS beside jumbo frames", [LO, link("eth0", 9001), link("nodelocaldns", 1500, "dummy")], {"eth0"}, (9001, "eth0"), []),
    ("a tunnel of flannel", [LO, ETH0, link("flannel.1", 1450, "vxlan")], {"eth0"}, (1450, "flannel.1"), []),
    ("a point-to-point link", [LO, ETH0, link("tun0", 1400, "tun", PPP)], {"eth0"}, (1500, "eth0"), []),
    ("a point-to-point link with the default route", [LO, link("ppp0", 1492, "ppp", PPP)], {"ppp0"}, NOTHING, ["no normal interface is up"]),
    ("a smaller default route by a point-to-point link", [LO, ETH0, link("ppp0", 1492, "ppp", PPP)], {"ppp0"}, (1500, "eth0"),
     ["a default route leaves by ppp0 with an MTU of 1492, less than the 1500 of eth0; mtu_from: default_route heeds it"]),
    ("an interface that is down", [LO, ETH0, link("eth1", 1400, flags=DOWN)], {"eth0"}, (1500, "eth0"), []),
    ("an interface without a cable", [LO, ETH0, link("eth1", 1400, flags=NO_CARRIER)], {"eth0"}, (1500, "eth0"), []),
    ("carrier without up", [LO, ETH0, link("eth1", 1400, flags=(*DOWN, "LOWER_UP"))], {"eth0"}, (1500, "eth0"), []),
    ("a node in a container: its veth carries the default route", [LO, link("eth0", 1480, "veth")], {"eth0"}, (1480, "eth0"), []),
    ("a bridge carries the default route, its port counts no more",
     [LO, link("br0", 1500, "bridge"), link("eth0", 1400, master="br0", port_of="bridge")], {"br0"}, (1500, "br0"), []),
    ("a bridge port with a default route of its own", [LO, link("eth0", 1400, master="br0", port_of="bridge")], {"eth0"}, (1400, "eth0"), []),
    ("a bond and its ports", [link("bond0", 1450, "bond"), link("eth0", 1450, master="bond0", port_of="bond")], {"bond0"}, (1450, "bond0"), []),
    ("a VLAN", [LO, ETH0, link("eth0.100", 1496, "vlan")], {"eth0"}, (1496, "eth0.100"), []),
    ("a link whose bond is called like a bridge", [LO, link("eth0", 1400, master="br0", port_of="bond")], set(), (1400, "eth0"), []),
    ("576 is accepted, and named", [LO, link("eth0", 576)], {"eth0"}, (576, "eth0"), ["eth0 has an MTU of 576 only, which all pods get now"]),
    ("1279 is named", [LO, ETH0, link("eth1", 1279)], {"eth0"}, (1279, "eth1"), ["eth1 has an MTU of 1279 only"]),
    ("1280 is not", [LO, ETH0, link("eth1", 1280)], {"eth0"}, (1280, "eth1"), []),
    ("575 is left out, and the next smallest taken", [LO, link("eth0", 1400), link("eth1", 575), link("eth2", 1500)], {"eth0"}, (1400, "eth0"),
     ["eth1 has an MTU of 575 and was left out (expected 576 to 65535); mend it or set mtu"]),
    ("575 alone", [LO, link("eth0", 575)], {"eth0"}, NOTHING, ["eth0 has an MTU of 575 and was left out", "up on this node that can be used"]),
    ("more than a bridge takes", [LO, link("eth0", 65536)], {"eth0"}, NOTHING, ["eth0 has an MTU of 65536 and was left out", "no normal interface"]),
    ("a tie goes to the first", [LO, link("eth1", 1500), ETH0], {"eth0"}, (1500, "eth1"), []),
    ("no interface at all", [], set(), NOTHING, ["no normal interface is up on this node, so the MTU is 1460; set mtu to choose another"]),
    ("loopback alone", [LO], set(), NOTHING, ["no normal interface"]),
    ("containers alone", [LO, link("docker0", 1500, "bridge"), link("veth1", 1500, "veth", master="docker0", port_of="bridge")], set(), NOTHING, ["no normal"]),
    ("a default route by a link that is gone", [LO, ETH0], {"eth7"}, (1500, "eth0"), []),
]  # fmt: skip

# The same with mtu_from: default_route.
DEFAULT_ROUTE = [
    ("an interface without a default route does not count", [LO, ETH0, link("eth1", 1400)], {"eth0"}, (1500, "eth0"), []),
    ("the smaller of two default routes", [LO, ETH0, link("eth1", 1400)], {"eth0", "eth1"}, (1400, "eth1"), []),
    ("point to point", [LO, ETH0, link("ppp0", 1492, "ppp", PPP)], {"ppp0"}, (1492, "ppp0"), []),
    ("a veth", [LO, ETH0, link("eth1", 1400, "veth")], {"eth1"}, (1400, "eth1"), []),
    ("a bridge over a tunnel", [LO, link("br0", 1400, "bridge"), link("tap0", 1300, master="br0", port_of="bridge")], {"br0"}, (1400, "br0"), []),
    ("cbr0 does not count", [LO, ETH0, link("cbr0", 1400, "bridge")], {"eth0", "cbr0"}, (1500, "eth0"), []),
    ("an odd one is left out", [LO, ETH0, link("eth1", 100)], {"eth0", "eth1"}, (1500, "eth0"), ["eth1 has an MTU of 100 and was left out"]),
    ("none", [LO, ETH0], set(), NOTHING, ["no default route leaves by an interface, so the MTU is 1460; set mtu to choose another"]),
    ("an unreachable one", [LO, ETH0], {"lo"}, NOTHING, ["no default route"]),
]  # fmt: skip
ROWS = [pytest.param("smallest", *row[1:], id=row[0]) for row in TABLE] + [
    pytest.param("default_route", *row[1:], id=f"default route: {row[0]}") for row in DEFAULT_ROUTE
]


def choose(links, uplinks, bridge="cbr0", source="smallest", next_hops=frozenset()):
    return mtu.choose(links, mtu.Routes(uplinks, uplinks | next_hops), bridge, source)


@pytest.mark.parametrize("source, links, uplinks, expected, warnings", ROWS)
def test_the_mtu_of_a_node(source, links, uplinks, expected, warnings):
    choice = choose(links, uplinks, source=source)
    assert (choice.mtu, choice.link) == expected
    assert len(choice.warnings) == len(warnings)
    for words, warning in zip(warnings, choice.warnings):
        assert words in warning


@pytest.mark.parametrize("source, links, uplinks, expected, warnings", ROWS)
def test_a_bridge_that_follows_the_choice_does_not_change_it(source, links, uplinks, expected, warnings):
    """Once made, with pods on it, the bridge must not be a reason for another MTU."""
    others = [one for one in links if one.name != "cbr0"]
    made = [link("cbr0", 600, "bridge"), link("veth9", 600, "veth", master="cbr0", port_of="bridge"), link("bwp9", 600, "ifb")]
    choice = choose([*made, *others], uplinks, source=source)
    assert (choice.mtu, choice.link) == expected


def test_a_veth_by_which_other_nodes_are_reached_counts():
    """A node in a container, with a network of its own for pods beside the one with the default route."""
    links = [LO, link("eth0", 1500, "veth"), link("eth1", 1400, "veth"), link("veth1", 1300, "veth")]
    assert choose(links, {"eth0"}).link == "eth0"
    assert choose(links, {"eth0"}, next_hops={"eth1"}).link == "eth1"
    assert choose(links, {"eth0"}, source="default_route", next_hops={"eth1"}).link == "eth0"


def test_a_bridge_of_containers_does_not_count_for_a_next_hop_among_them():
    links = [LO, ETH0, link("docker0", 1300, "bridge"), link("veth1", 1300, "veth", master="docker0", port_of="bridge")]
    assert choose(links, {"eth0"}, next_hops={"docker0", "veth1"}).link == "eth0"


def test_the_name_of_the_bridge_decides_which_one_is_left_out():
    links = [link("cbr0", 1400, "bridge"), link("br1", 1300, "bridge")]
    assert choose(links, {"cbr0", "br1"}, "cbr0").link == "br1"
    assert choose(links, {"cbr0", "br1"}, "br1").link == "cbr0"

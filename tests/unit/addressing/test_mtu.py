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
NOTHING = (1460, "")


# Each row: what it is about, the links, those with a default route, and (MTU, link) that come out for cbr0.
TABLE = [
    ("one interface", [LO, ETH0], {"eth0"}, (1500, "eth0")),
    ("an interface without a default route counts", [LO, ETH0, link("eth1", 1400)], {"eth0"}, (1400, "eth1")),
    ("jumbo frames", [LO, link("eth0", 9001)], {"eth0"}, (9001, "eth0")),
    ("the smallest of two", [LO, link("eth0", 9001), link("eth1", 1500)], {"eth0"}, (1500, "eth1")),
    ("loopback is not a network, even a small one", [link("lo", 1000, flags=("LOOPBACK", "UP", "LOWER_UP")), ETH0], {"eth0"}, (1500, "eth0")),
    ("docker0 of a docker with a small MTU", [LO, ETH0, link("docker0", 1280, "bridge")], {"eth0"}, (1500, "eth0")),
    ("docker0 without containers", [LO, ETH0, link("docker0", 1280, "bridge", NO_CARRIER)], {"eth0"}, (1500, "eth0")),
    ("a veth of another bridge", [LO, ETH0, link("veth1", 1280, "veth", master="docker0", port_of="bridge")], {"eth0"}, (1500, "eth0")),
    ("a veth of no bridge", [LO, ETH0, link("cali1", 1280, "veth")], {"eth0"}, (1500, "eth0")),
    ("cbr0 itself, the ratchet of kubenet", [LO, ETH0, link("cbr0", 1400, "bridge")], {"eth0"}, (1500, "eth0")),
    ("cbr0 even when it carries a default route", [LO, ETH0, link("cbr0", 1400, "bridge")], {"eth0", "cbr0"}, (1500, "eth0")),
    ("a veth of cbr0", [LO, ETH0, link("veth1", 1400, "veth", master="cbr0", port_of="bridge")], {"eth0"}, (1500, "eth0")),
    ("a port of cbr0 that is hardware", [LO, ETH0, link("eth1", 1400, master="cbr0", port_of="bridge")], {"eth0", "eth1"}, (1500, "eth0")),
    ("a tunnel of flannel", [LO, ETH0, link("flannel.1", 1450, "vxlan")], {"eth0"}, (1450, "flannel.1")),
    ("a point-to-point link", [LO, ETH0, link("tun0", 1400, "tun", ("POINTOPOINT", "NOARP", "UP", "LOWER_UP"))], {"eth0"}, (1500, "eth0")),
    ("a point-to-point link with the default route", [LO, link("ppp0", 1492, "ppp", ("POINTOPOINT", "UP", "LOWER_UP"))], {"ppp0"}, NOTHING),
    ("an interface that is down", [LO, ETH0, link("eth1", 1400, flags=DOWN)], {"eth0"}, (1500, "eth0")),
    ("an interface without a cable", [LO, ETH0, link("eth1", 1400, flags=NO_CARRIER)], {"eth0"}, (1500, "eth0")),
    ("carrier without up", [LO, ETH0, link("eth1", 1400, flags=(*DOWN, "LOWER_UP"))], {"eth0"}, (1500, "eth0")),
    ("a node in a container: its veth carries the default route", [LO, link("eth0", 1480, "veth")], {"eth0"}, (1480, "eth0")),
    (
        "a bridge carries the default route, its port counts no more",
        [LO, link("br0", 1500, "bridge"), link("eth0", 1400, master="br0", port_of="bridge")],
        {"br0"},
        (1500, "br0"),
    ),
    ("a bridge port with a default route of its own", [LO, link("eth0", 1400, master="br0", port_of="bridge")], {"eth0"}, (1400, "eth0")),
    ("a bond and its ports", [link("bond0", 1450, "bond"), link("eth0", 1450, master="bond0", port_of="bond")], {"bond0"}, (1450, "bond0")),
    ("a VLAN", [LO, ETH0, link("eth0.100", 1496, "vlan")], {"eth0"}, (1496, "eth0.100")),
    ("a link whose bond is called like a bridge", [LO, link("eth0", 1400, master="br0", port_of="bond")], set(), (1400, "eth0")),
    ("576 is accepted", [LO, link("eth0", 576)], {"eth0"}, (576, "eth0")),
    ("575 is not, nor is the next smallest taken", [LO, link("eth0", 575), link("eth1", 1500)], {"eth0"}, NOTHING),
    ("a tie goes to the first", [LO, link("eth1", 1500), ETH0], {"eth0"}, (1500, "eth1")),
    ("no interface at all", [], set(), NOTHING),
    ("loopback alone", [LO], set(), NOTHING),
    ("containers alone", [LO, link("docker0", 1500, "bridge"), link("veth1", 1500, "veth", master="docker0", port_of="bridge")], set(), NOTHING),
    ("a default route by a link that is gone", [LO, ETH0], {"eth7"}, (1500, "eth0")),
]


@pytest.mark.parametrize("links, uplinks, expected", [pytest.param(*row[1:], id=row[0]) for row in TABLE])
def test_the_mtu_of_a_node(links, uplinks, expected):
    choice = mtu.choose(links, uplinks, "cbr0")
    assert (choice.mtu, choice.link) == expected
    assert bool(choice.warning) == (expected == NOTHING)


@pytest.mark.parametrize("links, uplinks, expected", [pytest.param(*row[1:], id=row[0]) for row in TABLE])
def test_a_bridge_that_follows_the_choice_does_not_change_it(links, uplinks, expected):
    """Once made, with pods on it, the bridge must not be a reason for another MTU."""
    others = [one for one in links if one.name != "cbr0"]
    made = [link("cbr0", 600, "bridge"), link("veth9", 600, "veth", master="cbr0", port_of="bridge")]
    choice = mtu.choose([*made, *others], uplinks, "cbr0")
    assert (choice.mtu, choice.link) == expected


def test_the_name_of_the_bridge_decides_which_one_is_left_out():
    links = [link("cbr0", 1400, "bridge"), link("br1", 1300, "bridge")]
    assert mtu.choose(links, {"cbr0", "br1"}, "cbr0").link == "br1"
    assert mtu.choose(links, {"cbr0", "br1"}, "br1").link == "cbr0"


def test_the_warnings_say_what_to_do():
    assert mtu.choose([LO], set(), "cbr0").warning == ("no normal interface is up on this node, so the MTU is 1460; set mtu to choose another")
    assert mtu.choose([link("eth0", 500)], {"eth0"}, "cbr0").warning == (
        "eth0 has an MTU of 500, less than 576, so the MTU is 1460; mend that interface or set mtu"
    )

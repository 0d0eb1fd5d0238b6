# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import model
from ansible_collections.kubenode.network.plugins.module_utils._sections.bridged import inherit

BRIDGE = {
    "name": "cbr0",
    "pod_cidrs": ["10.244.1.0/24", "fd00:10:244:1::/64"],
    "gateways": ["10.244.1.1", "fd00:10:244:1::1"],
    "hairpin_mode": "hairpin-veth",
    "mtu": 1450,
}
ENTRY = {"type": "bridge", "bridge": "cbr0"}
FILLED = {
    "type": "bridge",
    "bridge": "cbr0",
    "isGateway": True,
    "ipMasq": False,
    "hairpinMode": True,
    "promiscMode": False,
    "mtu": 1450,
    "ipam": {
        "type": "host-local",
        "ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:10:244:1::/64"}]],
        "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}],
    },
}


def fill(entry, **bridge):
    plugins, problems = inherit([entry], {**BRIDGE, **bridge})
    return plugins[0], [str(problem) for problem in problems]


def test_a_silent_entry_gets_everything_from_the_bridge():
    filled, problems = fill(ENTRY)
    assert (filled, problems) == (FILLED, [])
    assert model.check_plugins([filled], cni_version="1.0.0") == []


def test_what_is_given_is_not_changed():
    chain = [copy.deepcopy(ENTRY), {"type": "portmap"}]
    bridge = copy.deepcopy(BRIDGE)
    inherit(chain, bridge)
    assert (chain, bridge) == ([ENTRY, {"type": "portmap"}], BRIDGE)


def test_a_filled_entry_stays_as_it_is():
    assert fill(FILLED) == (FILLED, [])


@pytest.mark.parametrize(
    "entry",
    [{"type": "bridge", "bridge": "cni0"}, {"type": "bridge"}, {"type": "ptp", "bridge": "cbr0"}, {"type": "portmap"}, "text", None, {"bridge": "cbr0"}],
)
def test_an_entry_for_another_bridge_is_left_alone(entry):
    assert fill(entry) == (entry, [])


def test_the_order_of_a_chain_and_its_other_plugins_stay():
    plugins, problems = inherit([{"type": "tuning"}, ENTRY, {"type": "portmap"}], BRIDGE)
    assert (plugins, problems) == ([{"type": "tuning"}, FILLED, {"type": "portmap"}], [])


@pytest.mark.parametrize("mode, hairpin", [("hairpin-veth", True), ("promiscuous-bridge", False), ("none", False)])
def test_hairpin_follows_the_mode_and_promiscuity_is_the_bridges_own(mode, hairpin):
    filled, problems = fill(ENTRY, hairpin_mode=mode)
    assert (filled["hairpinMode"], filled["promiscMode"], problems) == (hairpin, False, [])


def test_an_mtu_that_is_not_known_yet_is_left_out_and_not_judged():
    assert "mtu" not in fill(ENTRY, mtu=None)[0]
    assert fill({**ENTRY, "mtu": 9000}, mtu=None)[0]["mtu"] == 9000


@pytest.mark.parametrize(
    "key, value, text",
    [
        ("mtu", 1400, "1400 disagrees with kubenet_bridge.mtu, from which it would be 1450 (expected to leave it out, or the same)"),
        ("isGateway", False, "False disagrees with kubenet_bridge.pod_cidrs, from which it would be True (expected to leave it out, or the same)"),
        (
            "ipMasq",
            True,
            "True disagrees with kubenet_bridge (section masquerade is there for it), from which it would be False (expected to leave it out, or the same)",
        ),
        ("hairpinMode", False, "False disagrees with kubenet_bridge.hairpin_mode, from which it would be True (expected to leave it out, or the same)"),
        ("promiscMode", True, "True disagrees with kubenet_bridge.hairpin_mode, from which it would be False (expected to leave it out, or the same)"),
    ],
)
def test_an_entry_that_disagrees_is_a_problem(key, value, text):
    plugins, problems = inherit([{"type": "tuning"}, {**ENTRY, key: value}], BRIDGE)
    assert [str(problem) for problem in problems] == [f"plugins[1].{key}: {text}"]
    assert plugins[1][key] == value


def test_every_disagreement_is_told_at_once():
    _filled, problems = fill({**ENTRY, "mtu": 1, "ipMasq": True, "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}})
    assert [problem.split(":")[0] for problem in problems] == ["plugins[0].ipMasq", "plugins[0].mtu", "plugins[0].ipam.subnet"]


# Addresses


@pytest.mark.parametrize("ipam", [{"type": "static"}, {"type": "dhcp"}, {}, "text"])
def test_the_ipam_of_another_plugin_is_left_alone(ipam):
    filled, problems = fill({**ENTRY, "ipam": ipam})
    assert (filled["ipam"], problems) == (ipam, [])


def test_a_subnet_of_the_bridge_may_be_given_alone():
    ipam = {"type": "host-local", "subnet": "10.244.1.0/24", "rangeStart": "10.244.1.20", "gateway": "10.244.1.1"}
    filled, problems = fill({**ENTRY, "ipam": ipam})
    assert problems == [] and filled["ipam"] == {**ipam, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}


def test_ranges_that_are_given_stay():
    ranges = [[{"subnet": "10.244.1.0/24", "rangeStart": "10.244.1.20"}]]
    filled, problems = fill({**ENTRY, "ipam": {"type": "host-local", "ranges": ranges}})
    assert problems == [] and filled["ipam"]["ranges"] == ranges


@pytest.mark.parametrize("routes", [[], [{"dst": "10.0.0.0/8"}]])
def test_routes_that_are_given_stay(routes):
    filled, problems = fill({**ENTRY, "ipam": {"type": "host-local", "routes": routes}})
    assert problems == [] and filled["ipam"]["routes"] == routes and filled["ipam"]["ranges"] == FILLED["ipam"]["ranges"]


def test_a_default_gateway_of_the_plugin_needs_no_route():
    filled, problems = fill({**ENTRY, "isDefaultGateway": True})
    assert problems == [] and "routes" not in filled["ipam"] and filled["ipam"]["ranges"] == FILLED["ipam"]["ranges"]


def test_routes_come_ipv4_first_and_ranges_in_the_order_of_the_node():
    filled, problems = fill(ENTRY, pod_cidrs=BRIDGE["pod_cidrs"][::-1])
    assert problems == [] and filled["ipam"]["routes"] == FILLED["ipam"]["routes"]
    assert filled["ipam"]["ranges"] == FILLED["ipam"]["ranges"][::-1]


@pytest.mark.parametrize("cidr, route", [("10.244.1.0/24", "0.0.0.0/0"), ("fd00::/64", "::/0")])
def test_a_single_family_has_one_range_and_one_route(cidr, route):
    filled, problems = fill(ENTRY, pod_cidrs=[cidr])
    assert problems == [] and filled["ipam"] == {"type": "host-local", "ranges": [[{"subnet": cidr}]], "routes": [{"dst": route}]}


@pytest.mark.parametrize(
    "ipam, problem",
    [
        (
            {"subnet": "10.245.0.0/16"},
            "subnet: '10.245.0.0/16' disagrees with kubenet_bridge.pod_cidrs (expected one of 10.244.1.0/24, fd00:10:244:1::/64)",
        ),
        (
            {"subnet": "10.244.1.0/24", "gateway": "10.244.1.254"},
            "gateway: '10.244.1.254' disagrees with kubenet_bridge.pod_cidrs, whose gateways are 10.244.1.1, fd00:10:244:1::1",
        ),
        (
            {"ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:10:244:1::/64"}, {"subnet": "fd00:2::/64"}]]},
            "ranges[1][1].subnet: 'fd00:2::/64' disagrees with kubenet_bridge.pod_cidrs (expected one of 10.244.1.0/24, fd00:10:244:1::/64)",
        ),
        (
            {"ranges": [[{"subnet": "10.244.1.0/24", "gateway": "10.244.1.9"}]]},
            "ranges[0][0].gateway: '10.244.1.9' disagrees with kubenet_bridge.pod_cidrs, whose gateways are 10.244.1.1, fd00:10:244:1::1",
        ),
    ],
)
def test_ranges_that_disagree_are_problems(ipam, problem):
    assert fill({**ENTRY, "ipam": {"type": "host-local", **ipam}})[1] == [f"plugins[0].ipam.{problem}"]


@pytest.mark.parametrize("ranges", [["text", [7]], 5, "text", {"subnet": "10.0.0.0/24"}, True])
def test_ranges_of_another_shape_are_for_the_check_of_the_plugins(ranges):
    ipam = {"type": "host-local", "ranges": ranges}
    filled, problems = fill({**ENTRY, "ipam": ipam})
    assert problems == [] and filled["ipam"]["ranges"] == ranges
    assert model.check_plugins([filled]) != []

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._addressing import cidr
from ansible_collections.kubenode.network.plugins.module_utils._errors import Problem
from hypothesis import given
from hypothesis import strategies as st


def net(text):
    return ipaddress.ip_network(text)


def texts(problems):
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(
    "text", ["10.244.1.0/24", "0.0.0.0/0", "::/0", "10.0.0.1/32", "fd00:10:244:1::/64", "::ffff:10.0.0.0/104", "fd00::10.0.0.0/120"]
)
def test_a_cidr_is_taken(text):
    assert cidr.parse_cidr(text, "x") == (net(text), [])


def test_spelling_is_normalised():
    assert str(cidr.parse_cidr("FD00:0010:244:0::/64", "x")[0]) == "fd00:10:244::/64"


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("10.244.0.0/33", "'10.244.0.0/33' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("fd00::/129", "'fd00::/129' is not a CIDR (expected e.g. fd00:10:244:1::/64)"),
        ("10.244.0/16", "'10.244.0/16' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("10.244.0.256/24", "'10.244.0.256/24' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("10.244.0.0/255.255.0.0", "'10.244.0.0/255.255.0.0' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("10.244.0.0/016", "'10.244.0.0/016' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("010.244.0.0/16", "'010.244.0.0/16' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("10.244.00.0/16", "'10.244.00.0/16' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("::ffff:010.0.0.0/104", "'::ffff:010.0.0.0/104' is not a CIDR (expected e.g. fd00:10:244:1::/64)"),
        ("010.0.0.1", "'010.0.0.1' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        (" 10.244.0.0/16", "' 10.244.0.0/16' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("10.244.0.0/16\n", "'10.244.0.0/16\\n' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("10.244.0.0/-1", "'10.244.0.0/-1' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("10.244.0.0/", "'10.244.0.0/' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("fe80::%eth0/64", "'fe80::%eth0/64' is not a CIDR (expected e.g. fd00:10:244:1::/64)"),
        ("::1::/64", "'::1::/64' is not a CIDR (expected e.g. fd00:10:244:1::/64)"),
        ("node-1", "'node-1' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("", "'' is not a CIDR (expected e.g. 10.244.1.0/24)"),
        ("10.244.1.5", "'10.244.1.5' has no prefix length (expected e.g. 10.244.1.0/24)"),
        ("10.9.0.0", "'10.9.0.0' has no prefix length (expected e.g. 10.9.0.0/24)"),
        ("fd00::5", "'fd00::5' has no prefix length (expected e.g. fd00::/64)"),
        ("10.244.1.5/24", "'10.244.1.5/24' has host bits set (expected 10.244.1.0/24)"),
        ("FD00::5/64", "'FD00::5/64' has host bits set (expected fd00::/64)"),
        ("10.244.1.0/0", "'10.244.1.0/0' has host bits set (expected 0.0.0.0/0)"),
        (None, "None is not a string (expected e.g. 10.244.1.0/24)"),
        (10, "10 is not a string (expected e.g. 10.244.1.0/24)"),
        (["10.244.1.0/24"], "['10.244.1.0/24'] is not a string (expected e.g. 10.244.1.0/24)"),
        (b"10.244.1.0/24", "b'10.244.1.0/24' is not a string (expected e.g. 10.244.1.0/24)"),
    ],
)
def test_what_is_no_cidr_is_refused(value, message):
    assert cidr.parse_cidr(value, "plugins[1].ipam.subnet") == (None, [Problem("plugins[1].ipam.subnet", message)])


@pytest.mark.parametrize(
    "values",
    [
        ["10.244.1.0/24"],
        ["10.244.1.0/30"],
        ["fd00::/126"],
        ["fd00:10:244:1::/64", "10.244.1.0/24"],
        ("10.244.1.0/24", "2001:db8::/64"),
        ["240.0.0.0/8"],
        ["1.0.0.0/8"],
        ["::1:0:0:0/80"],
    ],
)
def test_pod_cidrs_are_taken_in_the_order_given(values):
    assert cidr.check_pod_cidrs(values) == ([net(value) for value in values], [])


@pytest.mark.parametrize(
    ("values", "messages"),
    [
        ("10.244.1.0/24", ["pod_cidrs: '10.244.1.0/24' is not a list (expected a list of CIDRs, e.g. [10.244.1.0/24])"]),
        (None, ["pod_cidrs: None is not a list (expected a list of CIDRs, e.g. [10.244.1.0/24])"]),
        ([], ["pod_cidrs: [] is empty (expected one CIDR, or one of each family)"]),
        (
            ["10.244.1.0/24", "10.244.2.0/24"],
            ["pod_cidrs[1]: '10.244.2.0/24' is a second IPv4 CIDR, beside pod_cidrs[0] (expected one CIDR, or one of each family)"],
        ),
        (
            ["fd00::/64", "10.244.1.0/24", "fd00:1::/64"],
            ["pod_cidrs[2]: 'fd00:1::/64' is a second IPv6 CIDR, beside pod_cidrs[0] (expected one CIDR, or one of each family)"],
        ),
        (
            ["10.244.1.0/31", "fd00::/127"],
            [
                (
                    "pod_cidrs[0]: '10.244.1.0/31' has no room for a gateway and a pod"
                    " (expected a prefix length of at most 30, e.g. 10.244.1.0/24)"
                ),
                (
                    "pod_cidrs[1]: 'fd00::/127' has no room for a gateway and a pod"
                    " (expected a prefix length of at most 126, e.g. fd00:10:244:1::/64)"
                ),
            ],
        ),
        (
            ["10.244.1.5/24", "nonsense"],
            [
                "pod_cidrs[0]: '10.244.1.5/24' has host bits set (expected 10.244.1.0/24)",
                "pod_cidrs[1]: 'nonsense' is not a CIDR (expected e.g. 10.244.1.0/24)",
            ],
        ),
    ],
)
def test_pod_cidrs_of_the_wrong_form_are_refused_all_at_once(values, messages):
    assert texts(cidr.check_pod_cidrs(values)[1]) == messages


@pytest.mark.parametrize(
    ("value", "what"),
    [
        ("0.0.0.0/0", "is the whole address space (expected e.g. 10.244.1.0/24)"),
        ("::/0", "is the whole address space (expected e.g. fd00:10:244:1::/64)"),
        ("0.1.0.0/16", "overlaps the unspecified range 0.0.0.0/8 (expected e.g. 10.244.1.0/24)"),
        ("0.0.0.0/7", "overlaps the unspecified range 0.0.0.0/8 (expected e.g. 10.244.1.0/24)"),
        ("127.0.0.0/24", "overlaps the loopback range 127.0.0.0/8 (expected e.g. 10.244.1.0/24)"),
        ("126.0.0.0/7", "overlaps the loopback range 127.0.0.0/8 (expected e.g. 10.244.1.0/24)"),
        ("169.254.7.0/24", "overlaps the link-local range 169.254.0.0/16 (expected e.g. 10.244.1.0/24)"),
        ("224.0.0.0/24", "overlaps the multicast range 224.0.0.0/4 (expected e.g. 10.244.1.0/24)"),
        ("::/64", "overlaps the unspecified and loopback range ::/127 (expected e.g. fd00:10:244:1::/64)"),
        ("::ffff:10.0.0.0/104", "overlaps the IPv4-mapped range ::ffff:0:0/96 (expected e.g. fd00:10:244:1::/64)"),
        ("fec0:0:0:1::/64", "overlaps the site-local range fec0::/10 (expected e.g. fd00:10:244:1::/64)"),
        ("fe80::/64", "overlaps the link-local range fe80::/10 (expected e.g. fd00:10:244:1::/64)"),
        ("ff05::/64", "overlaps the multicast range ff00::/8 (expected e.g. fd00:10:244:1::/64)"),
    ],
)
def test_special_ranges_are_not_for_pods(value, what):
    assert cidr.check_pod_cidrs([value], "kubenet_bridge.pod_cidrs")[1] == [Problem("kubenet_bridge.pod_cidrs[0]", f"'{value}' {what}")]


def test_cidrs_may_overlap_and_be_anything_but_the_same_twice():
    values = ["10.0.0.0/8", "10.1.0.0/16", "0.0.0.0/0", "::/0", "127.0.0.1/32"]
    assert cidr.check_cidrs(values, "non_masquerade_cidrs") == ([net(value) for value in values], [])
    assert cidr.check_cidrs([], "non_masquerade_cidrs") == ([], [])


def test_a_cidr_given_twice_is_refused_however_it_is_spelled():
    networks, problems = cidr.check_cidrs(["fd00::/64", "10.0.0.0/8", "FD00:0::/64"], "cidrs")
    assert networks == [net("fd00::/64"), net("10.0.0.0/8")]
    assert texts(problems) == ["cidrs[2]: 'FD00:0::/64' is given twice (expected only cidrs[0])"]


@pytest.mark.parametrize("values", ["10.0.0.0/8", None, {"10.0.0.0/8": 1}])
def test_cidrs_are_a_list(values):
    assert texts(cidr.check_cidrs(values, "cidrs")[1]) == [
        f"cidrs: {values!r} is not a list (expected a list of CIDRs, e.g. [10.244.1.0/24])"
    ]


@pytest.mark.parametrize(
    ("network", "gateway", "interface", "pods"),
    [
        ("10.244.1.0/24", "10.244.1.1", "10.244.1.1/24", ("10.244.1.2", "10.244.1.254")),
        ("10.244.0.0/16", "10.244.0.1", "10.244.0.1/16", ("10.244.0.2", "10.244.255.254")),
        ("10.244.1.4/30", "10.244.1.5", "10.244.1.5/30", ("10.244.1.6", "10.244.1.6")),
        ("fd00:10:244:1::/64", "fd00:10:244:1::1", "fd00:10:244:1::1/64", ("fd00:10:244:1::2", "fd00:10:244:1:ffff:ffff:ffff:ffff")),
        ("fd00::4/126", "fd00::5", "fd00::5/126", ("fd00::6", "fd00::7")),
        ("::1:0:0:0/80", "::1:0:0:1", "::1:0:0:1/80", ("::1:0:0:2", "::1:ffff:ffff:ffff")),
    ],
)
def test_gateway_and_pod_addresses(network, gateway, interface, pods):
    assert cidr.gateway(net(network)) == gateway
    assert cidr.gateway_interface(net(network)) == interface
    assert tuple(map(ipaddress.ip_address, cidr.pod_range(net(network)))) == tuple(map(ipaddress.ip_address, pods))


@pytest.mark.parametrize(("network", "count"), [("10.0.0.0/31", 2), ("10.0.0.0/32", 1), ("fd00::/127", 2), ("fd00::/128", 1)])
@pytest.mark.parametrize("function", [cidr.gateway, cidr.gateway_interface, cidr.pod_range])
def test_a_network_without_room_has_no_gateway(function, network, count):
    with pytest.raises(ValueError, match=f"^{count} IPv[46] addresses have no room for a gateway and a pod$"):
        function(net(network))


def test_overlapping_gives_every_pair_in_order():
    a = [net("10.0.0.0/8"), net("fd00::/48"), net("192.168.0.0/24")]
    b = [net("10.1.0.0/16"), net("fd00::/64"), net("0.0.0.0/0"), net("::/0")]
    assert [(str(one), str(other)) for one, other in cidr.overlapping(a, iter(b))] == [
        ("10.0.0.0/8", "10.1.0.0/16"),
        ("10.0.0.0/8", "0.0.0.0/0"),
        ("fd00::/48", "fd00::/64"),
        ("fd00::/48", "::/0"),
        ("192.168.0.0/24", "0.0.0.0/0"),
    ]
    assert not cidr.overlapping([net("10.0.0.0/24")], [net("10.0.1.0/24"), net("::/0")])


def test_collapse_is_minimal_and_sorted():
    given_networks = [net(text) for text in ("fd00::/64", "10.0.1.0/24", "10.0.0.0/24", "10.0.0.128/25", "9.0.0.0/8", "fd00:0:0:1::/64")]
    assert [str(one) for one in cidr.collapse(iter(given_networks))] == ["9.0.0.0/8", "10.0.0.0/23", "fd00::/63"]
    assert cidr.collapse([]) == []


def networks(cls, width, longest):
    numbers = st.tuples(st.integers(0, 2**width - 1), st.integers(1, longest))
    return numbers.map(lambda pair: cls(pair, strict=False))


networks_of_pods = networks(ipaddress.IPv4Network, 32, 30) | networks(ipaddress.IPv6Network, 128, 126)


@given(networks_of_pods)
def test_what_is_parsed_is_what_was_written(network):
    assert cidr.parse_cidr(str(network), "x") == (network, [])


@given(st.text() | st.from_regex(r"[0-9a-f:.]{0,20}/?[0-9]{0,4}"))
def test_any_text_is_a_network_or_one_problem_on_one_line(text):
    network, problems = cidr.parse_cidr(text, "x")
    assert (network is None) == (len(problems) == 1)
    assert all("\n" not in str(problem) and "(expected " in str(problem) for problem in problems)


@given(networks_of_pods)
def test_the_network_named_for_host_bits_is_right(network):
    address = network.network_address + 1
    (problem,) = cidr.parse_cidr(f"{address}/{network.prefixlen}", "x")[1]
    assert problem.message.endswith(f"has host bits set (expected {network})")


@given(networks_of_pods)
def test_gateway_and_pods_lie_inside_and_apart(network):
    gateway = ipaddress.ip_address(cidr.gateway(network))
    first, last = (ipaddress.ip_address(address) for address in cidr.pod_range(network))
    assert all(address in network for address in (gateway, first, last))
    assert network.network_address < gateway < first <= last
    assert network.version == 6 or last < network.broadcast_address


@given(st.lists(networks_of_pods, max_size=8))
def test_collapse_keeps_the_addresses(given_networks):
    merged = cidr.collapse(given_networks)
    assert all(any(one.version == whole.version and one.subnet_of(whole) for whole in merged) for one in given_networks)
    assert not [(a, b) for a, b in cidr.overlapping(merged, merged) if a is not b]
    assert cidr.collapse(merged) == merged

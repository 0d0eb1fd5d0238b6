# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The nodes of a site, as each of them knows the others."""

from __future__ import annotations

import base64
import ipaddress
import json
import time
import zlib

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._addressing import cidr, peers
from ansible_collections.kubenode.network.plugins.module_utils._host import routes
from hypothesis import given
from hypothesis import strategies as st

READERS = [peers.read, routes.number]


def of(**names):
    return {name: {"pod_cidrs": cidrs, "addresses": ["192.0.2.1", "2001:db8::1"]} for name, cidrs in names.items()}


def many(count):
    return {f"n{number}": {"pod_cidrs": [f"10.{number // 256}.{number % 256}.0/24", f"fd00:{number + 1:x}::/64"],
                           "addresses": ["192.0.2.1", "2001:db8::1"]} for number in range(256, 256 + count)}


def said(given, **options):
    return [str(problem) for problem in peers.parse(given, **options)[1]]


@given(st.ip_addresses(v=4) | st.ip_addresses(v=6).filter(lambda address: int(address) >> 48))
def test_both_ways_to_read_an_address_say_the_same(address):
    """But for IPv4 addresses that are written as IPv6, which are refused: the C library ends these with dots."""
    assert peers.read(str(address)) == routes.number(str(address)) == (address.version, int(address), str(address))


@pytest.mark.parametrize("text", ["", "10.0.0",
                                  "010.0.0.1", "10.0.0.256", "10.0.0.1/8", " 10.0.0.1", "10.0.0.1\n", "fe80::1%eth0", "::g", "1:2:3", "10.0.0.1\0"])
def test_neither_way_takes_what_is_no_address(text):
    assert [by(text) for by in READERS] == [None, None]


@pytest.mark.parametrize("by", READERS)
@pytest.mark.parametrize("text", ["10.244.1.0/24", "FD00:0:0::/64",
                                  "10.244.1.1/24", "10.244.1.0", "10.0.0.0/08", "x", 7, None, "10.0.0.0/33", "10.0.0.0/255.0.0.0"])
def test_a_cidr_is_judged_as_everywhere_else(by, text):
    network, wrong = cidr.parse_cidr(text, "peers.a.pod_cidrs[0]")
    found, problems = peers.parse(of(a=[text]), by=by)
    if network is None:
        assert problems == wrong
    else:
        assert [(one.text, one.first, one.last) for one in found[0].pod_cidrs] == [(str(network), int(network[0]), int(network[-1]))]


def test_ranges_of_two_nodes_that_overlap():
    given = of(a=["10.244.0.0/16"], b=["fd00::/64"], c=["10.244.9.0/24"])
    assert said(given) == ["peers.c.pod_cidrs[0]: '10.244.9.0/24' overlaps 10.244.0.0/16 of a (expected ranges of their own for all nodes)"]


@given(st.lists(st.builds(lambda first, length: ipaddress.ip_network((0x0A000000 + first, length), strict=False), st.integers(0, 255), st.integers(26, 30)),
                min_size=1, max_size=6))  # fmt: skip
def test_no_overlap_is_missed(networks):
    given = of(**{f"n{index}": [str(network)] for index, network in enumerate(networks)})
    overlap = any(one.overlaps(other) for index, one in enumerate(networks) for other in networks[:index])
    assert bool(said(given)) == overlap


@given(st.integers(0, 1 << 10), st.integers(0, 1 << 10))
def test_what_has_addresses_in_common_with_a_range(first, more):
    ranges = peers.Ranges(peers.cidrs_of(["0.0.0.16/28", "0.0.1.0/24", "0.0.3.0/26", "::/120"]))
    last = first + more
    assert ranges.within(4, first, last) == [one for one in ranges.cidrs if one.version == 4 and one.first <= last and first <= one.last]
    assert ranges.holding(4, first) == next((one for one in ranges.cidrs if one.version == 4 and one.first <= first <= one.last), None)


def test_thousands_of_mistakes_are_some_and_a_number():
    given = {name: {**peer, "addresses": []} for name, peer in many(3000).items()}
    problems = said(given)
    assert len(problems) == peers.MOST + 1 and problems[-1] == f"peers: has {6000 - peers.MOST} more entries with such problems"


def test_a_packed_text_says_the_same_and_is_short():
    given = many(2000)
    text = peers.pack(given)
    assert peers.unpack(text) == peers.unpack(json.dumps(given)) == peers.unpack(given) == (given, [])
    assert len(text) < len(json.dumps(given)) / 5


def test_what_is_wrong_is_packed_for_the_node_to_complain_of():
    given = {"a": None, "b": {"pod_cidrs": "10.0.0.0/24", "via": 1}}
    assert said(peers.unpack(peers.pack(given))[0]) == said(given) != []


@pytest.mark.parametrize("text", ["", "{", "{]", "node1", "AAAA", *(base64.b64encode(zlib.compress(data)).decode() for data in (b"[1]", b"x"))])
def test_a_text_that_is_none_is_said(text):
    found, problems = peers.unpack(text)
    assert found == {} and len(problems) == 1 and "is no dictionary of nodes" in problems[0].message


def test_a_text_that_would_fill_the_memory_is_refused(monkeypatch):
    monkeypatch.setattr(peers, "LARGEST", 1000)
    assert peers.unpack(peers.pack(many(100)))[1]


def test_the_time_grows_with_the_number_of_nodes():
    def seconds(count):
        given, times = many(count), []
        for _time in range(3):
            began = time.process_time()
            assert peers.parse(given, by=routes.number)[1] == []
            times.append(time.process_time() - began)
        return min(times)

    assert seconds(16000) < 16 * seconds(2000)

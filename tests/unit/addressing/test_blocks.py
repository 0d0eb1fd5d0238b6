# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The judge is `ipaddress`."""

from __future__ import annotations

import ipaddress

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._addressing import blocks
from ansible_collections.kubenode.network.plugins.module_utils._addressing.cidr import parse_cidr
from hypothesis import example, given
from hypothesis import strategies as st

# Few words, so that runs of zeros of every length and at every place come up.
words = st.lists(st.sampled_from([0, 0, 0, 1, 0xA, 0xFD00, 0xFFFF]), min_size=8, max_size=8)
networks = st.one_of(
    st.tuples(st.integers(0, (1 << 32) - 1), st.integers(0, 32)).map(lambda drawn: ipaddress.ip_network((drawn[0], drawn[1]), strict=False)),
    st.tuples(words.map(lambda drawn: int("".join(f"{word:04x}" for word in drawn), 16)), st.integers(0, 128)).map(
        lambda drawn: ipaddress.ip_network((ipaddress.IPv6Address(drawn[0]), drawn[1]), strict=False)),
)  # fmt: skip


@given(networks)
def test_blocks_are_spelled_and_read_as_networks_are(network):
    block = blocks.block_of(network)
    assert (str(block), blocks.parse(str(network)), block.last) == (str(network), block, int(network.broadcast_address))
    assert blocks.parse(network.exploded) == block


@given(st.text("0123456789abcdefF:./", max_size=24))
@example("::/")
@example("1:2:3:4:5:6:7:8:9/128")
@example("1::2::3/128")
@example(":1::/64")
@example("fd00:::/64")
@example("fd00::1/64")
@example("00fd::/64")
@example("::ffff:1.2.3.4/128")
@example("10.244.0.1/24")
@example("010.0.0.0/8")
@example("10.0.0.0/08")
@example("10.0.0.0/33")
def test_whatever_else_is_read_as_parse_cidr_reads_it(text):
    network, _problems = parse_cidr(text, "")
    assert blocks.parse(text) == (blocks.block_of(network) if network else None)


@pytest.mark.parametrize("value", [None, 7, [], "", "node"])
def test_what_is_no_text_of_a_cidr_is_none(value):
    assert blocks.parse(value) is None


@given(networks, networks)
def test_relations(one, other):
    same = one.version == other.version
    assert blocks.block_of(one).overlaps(blocks.block_of(other)) == (same and one.overlaps(other))
    assert blocks.block_of(one).inside(blocks.block_of(other)) == (same and one.subnet_of(other))


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 6)).map(lambda drawn: (drawn[0], drawn[0] + drawn[1]))))
def test_spans_hold_the_same_numbers(spans):
    numbers = {number for first, last in spans for number in range(first, last + 1)}
    merged = blocks.merge(spans)
    assert (blocks.size(merged), {number for first, last in merged for number in range(first, last + 1)}) == (len(numbers), numbers)
    assert list(blocks.gaps(merged, 50)) == [number for number in range(50) if number not in numbers]


@given(st.lists(networks, max_size=12))
def test_overlaps_are_found_if_there_are_any(found):
    labelled = [(blocks.block_of(network), str(place)) for place, network in enumerate(found)]
    pairs = blocks.overlaps(labelled)
    assert bool(pairs) == any(one.version == other.version and one.overlaps(other) for place, one in enumerate(found) for other in found[:place])
    assert all(one[0].overlaps(other[0]) and one != other for one, other in pairs)

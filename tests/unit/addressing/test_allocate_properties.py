# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold for any history of a site. The judge is `ipaddress`, which allocate() does not compute with."""

from __future__ import annotations

import ipaddress
import itertools

from ansible_collections.kubenode.network.plugins.module_utils._addressing.allocate import allocate
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

CLUSTERS = (
    [{"cidr": "10.244.0.0/27", "node_mask_size": 30}],
    [{"cidr": "fd00::/60", "node_mask_size": None}],
    [{"cidr": "10.244.16.0/20"}, {"cidr": "fd00:1::/123", "node_mask_size": 126}],
    [{"cidr": "fd00:1::/56"}, {"cidr": "10.244.0.0/16", "node_mask_size": 20}],
)
RESERVED = ([], ["10.244.0.4/30"], ["10.244.0.9/32", "fd00:1::/125"], ["10.244.16.0/22", "10.244.28.0/24", "fd00:0:0:3::/64"])

names = st.integers(1, 14).map(lambda number: f"node-{number}")
groups = st.lists(names, min_size=1, max_size=14, unique=True)
sites = st.tuples(st.sampled_from(CLUSTERS), st.sampled_from(RESERVED))


def attempt(cluster, nodes, allocations, reserved):
    """The result, or None when the cluster CIDRs are exhausted, which is the only reason that may come up here."""
    try:
        return allocate(cluster, nodes, allocations, [], reserved)
    except InputError as exc:
        if any("has too few" not in problem.message for problem in exc.problems):
            raise
        return None


def blocks_of(entry):
    network = ipaddress.ip_network(entry["cidr"])
    return list(network.subnets(new_prefix=entry.get("node_mask_size") or (24 if network.version == 4 else 64)))


def touches(one, other):
    return one.version == other.version and one.overlaps(other)


def assert_sound(cluster, reserved, result):
    kept_away = [ipaddress.ip_network(cidr) for cidr in reserved]
    taken = [ipaddress.ip_network(cidr) for cidr in itertools.chain.from_iterable(result.allocations.values())]
    assert not [pair for pair in itertools.combinations(taken, 2) if touches(*pair)]
    assert not [pair for pair in itertools.product(taken, kept_away) if touches(*pair)]
    for entry in cluster:
        possible = [block for block in blocks_of(entry) if not any(touches(block, away) for away in kept_away)]
        used = [block for block in taken if block.version == possible[0].version]
        assert set(used) <= set(possible)
        assert result.usage[entry["cidr"]] == {"used": len(used), "total": len(possible)}


class Site(RuleBasedStateMachine):
    """A site through its life: what one run returns is what the next one gets."""

    @initialize(site=sites)
    def begin(self, site):
        self.cluster, self.reserved = site
        self.nodes: list[str] = []
        self.allocations: dict[str, list[str]] = {}
        self.result = None

    def run(self, nodes, allocations=None):
        before = self.allocations if allocations is None else allocations
        result = attempt(self.cluster, nodes, before, self.reserved)
        if result is None:
            return
        assert {name: result.allocations[name] for name in before} == before
        self.nodes, self.allocations, self.result = list(nodes), result.allocations, result

    @rule(more=groups)
    def add(self, more):
        self.run([*self.nodes, *(name for name in more if name not in self.nodes)])

    @rule(nodes=groups)
    def take_other_nodes_and_keep_the_blocks_of_the_old(self, nodes):
        self.run(nodes)

    @precondition(lambda self: len(self.nodes) > 1)
    @rule(data=st.data())
    def remove_and_free(self, data):
        gone = data.draw(st.sampled_from(self.nodes))
        self.run([name for name in self.nodes if name != gone], {name: cidrs for name, cidrs in self.allocations.items() if name != gone})

    @precondition(lambda self: self.nodes)
    @rule(data=st.data())
    def reorder(self, data):
        before = self.result
        self.run(data.draw(st.permutations(self.nodes)), dict(data.draw(st.permutations(list(self.allocations.items())))))
        assert self.result == before

    @precondition(lambda self: self.nodes)
    @rule()
    def run_again(self):
        before = self.result
        self.run(self.nodes)
        assert self.result == before

    @invariant()
    def sound(self):
        if self.result:
            assert_sound(self.cluster, self.reserved, self.result)
            assert set(self.result.nodes) == set(self.nodes)


TestSite = Site.TestCase


@given(sites, groups, st.data())
def test_the_order_of_the_list_is_irrelevant(site, nodes, data):
    cluster, reserved = site
    assert attempt(cluster, nodes, {}, reserved) == attempt(cluster, data.draw(st.permutations(nodes)), {}, reserved)


@given(sites, groups, names)
def test_a_new_node_gets_the_lowest_free_block(site, nodes, new):
    cluster, reserved = site
    before = attempt(cluster, nodes, {}, reserved)
    after = attempt(cluster, [new], before.allocations, reserved) if before and new not in nodes else None
    if after is None:
        return
    away = [ipaddress.ip_network(cidr) for cidr in itertools.chain(reserved, *before.allocations.values())]
    lowest = [next(block for block in blocks_of(entry) if not any(touches(block, other) for other in away)) for entry in cluster]
    assert after.allocations[new] == [str(block) for block in lowest]


@given(sites, groups)
def test_exhaustion_comes_exactly_when_there_are_more_nodes_than_blocks(site, nodes):
    cluster, reserved = site
    away = [ipaddress.ip_network(cidr) for cidr in reserved]
    room = min(sum(not any(touches(block, other) for other in away) for block in blocks_of(entry)) for entry in cluster)
    assert (attempt(cluster, nodes, {}, reserved) is None) == (len(nodes) > room)


@given(sites, groups)
def test_gateways_and_ranges_belong_to_the_cidrs(site, nodes):
    result = attempt(*site[:1], nodes, {}, site[1])
    for node in result.nodes.values() if result else []:
        for cidr, gateway, pods in zip(node["pod_cidrs"], node["gateways"], node["ranges"]):
            network = ipaddress.ip_network(cidr)
            first, last = ipaddress.ip_address(pods["start"]), ipaddress.ip_address(pods["end"])
            assert ipaddress.ip_address(gateway) == network.network_address + 1 == first - 1
            assert last == (network.broadcast_address - 1 if network.version == 4 else network.broadcast_address)

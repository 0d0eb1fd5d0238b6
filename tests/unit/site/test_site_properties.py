# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What must hold for any history of a site, in its real store. The judge is `ipaddress`, which allocation does not compute with."""

from __future__ import annotations

import ipaddress
import itertools
import json
import os
import subprocess
import tempfile
from pathlib import Path

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError
from ansible_collections.kubenode.network.plugins.plugin_utils._site import pod_cidr, store
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from testbed.dying import killed_at

#: Each with another cluster in the same store.
CLUSTERS = (
    [{"cidr": "10.244.0.0/27", "node_mask_size": 30}],
    [{"cidr": "fd00::/60"}],
    [{"cidr": "10.244.16.0/20"}, {"cidr": "fd00:1::/123", "node_mask_size": 126}],
    [{"cidr": "fd00:1::/56"}, {"cidr": "10.244.0.0/16", "node_mask_size": 20}],
)
OTHER = [{"cidr": "10.245.0.0/27", "node_mask_size": 30}]
RESERVED = ([], ["10.244.0.4/30"], ["10.244.0.9/32", "fd00:1::/125"], ["10.244.16.0/22", "10.244.28.0/24", "fd00:0:0:3::/64"])

names = st.integers(1, 14).map(lambda number: f"node-{number}")
groups = st.lists(names, min_size=1, max_size=14, unique=True)


def options_for(cluster_cidrs, nodes, **more):
    return {"source": "allocate", "cluster": "default", "cluster_cidrs": cluster_cidrs, "nodes": list(nodes), **more}


def stored(path, cluster="default"):
    """name -> CIDRs, as somebody else would read the file."""
    if not os.path.exists(path):
        return {}
    records = json.loads(Path(path).read_text())["kubenode_network_pod_cidrs"]["vars"]["records"]
    return {record["node"]: record["cidrs"] for record in records if record.get("cluster") == cluster and "node" in record}


def blocks_of(entry):
    network = ipaddress.ip_network(entry["cidr"])
    return list(network.subnets(new_prefix=entry.get("node_mask_size") or (24 if network.version == 4 else 64)))


def touches(one, other):
    return one.version == other.version and one.overlaps(other)


def networks_in(nodes):
    return [ipaddress.ip_network(cidr) for cidr in itertools.chain.from_iterable(nodes.values())]


class Site(RuleBasedStateMachine):
    """A site through its life."""

    @initialize(cluster=st.sampled_from(CLUSTERS), reserved=st.sampled_from(RESERVED))
    def begin(self, cluster, reserved):
        self.folder = tempfile.TemporaryDirectory()
        self.path = f"{self.folder.name}/pod-cidrs.json"
        self.cluster, self.reserved = cluster, reserved
        self.time = 0
        self.freed: dict[str, int] = {}  # CIDR -> when

    def teardown(self):
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def options(self, nodes, **more):
        return options_for(self.cluster, nodes, reserved_cidrs=self.reserved, **more)

    def run(self, nodes, **more):
        """None when the cluster CIDRs are exhausted, which is the only reason that may come up here."""
        before = stored(self.path)
        try:
            result = pod_cidr.run(self.options(nodes, **more), self.path, False)
        except InputError as error:
            if any("has too few" not in problem.message for problem in error.problems):
                raise
            assert stored(self.path) == before
            return None
        self.look(before, more.get("remove", ()))
        assert {name: node["pod_cidrs"] for name, node in result["nodes"].items()} == {name: stored(self.path)[name] for name in nodes}
        return result

    def look(self, before, removed):
        """Nobody that stays has changed, and what was given now is what had to be given."""
        after = stored(self.path)
        assert {name: after.get(name) for name in before if name not in removed} == {name: cidrs for name, cidrs in before.items() if name not in removed}
        self.time += 1
        for name in set(before) & set(removed):
            self.freed.update(dict.fromkeys(before[name], self.time))
        for entry in self.cluster:
            version = ipaddress.ip_network(entry["cidr"]).version
            new = [cidr for name in set(after) - set(before) for cidr in after[name] if ipaddress.ip_network(cidr).version == version]
            again = [self.freed.pop(cidr) for cidr in new if cidr in self.freed]
            left = {cidr: when for cidr, when in self.freed.items() if ipaddress.ip_network(cidr).version == version}
            if again:
                assert max(again) <= min(left.values(), default=self.time), "the longest-freed come first"
                unused = set(self.possible(entry)) - set(networks_in(after)) - set(networks_in({"": left}))
                assert not unused, "before them come those that nobody ever had"

    def possible(self, entry):
        away = [ipaddress.ip_network(cidr) for cidr in self.reserved]
        return [block for block in blocks_of(entry) if not any(touches(block, other) for other in away)]

    @rule(nodes=groups)
    def add(self, nodes):
        self.run(nodes)

    @precondition(lambda self: stored(self.path))
    @rule(data=st.data(), more=groups)
    def remove_and_add(self, data, more):
        gone = data.draw(st.sampled_from(sorted(stored(self.path))))
        self.run([name for name in more if name != gone] or ["node-20"], remove=[gone])

    @precondition(lambda self: stored(self.path))
    @rule(data=st.data())
    def rename(self, data):
        """For the store that is a node that goes and one that comes."""
        there = stored(self.path)
        old = data.draw(st.sampled_from(sorted(there)))
        new = f"new-{data.draw(st.integers(1, 14))}"
        self.run([*(name for name in there if name not in (old, new)), new], remove=[] if old == new else [old])

    @precondition(lambda self: stored(self.path))
    @rule(data=st.data())
    def reorder_and_run_again(self, data):
        before = Path(self.path).read_bytes()
        result = self.run(data.draw(st.permutations(list(stored(self.path)))))
        assert (result["changed"], Path(self.path).read_bytes()) == (False, before)

    @rule(nodes=groups, step=st.integers(0, 30), remove=st.booleans())
    def be_killed(self, nodes, step, remove):
        before = stored(self.path)
        gone = [name for name in before if name not in nodes][:1] if remove else []
        killed_at(step, store, lambda: pod_cidr.run(self.options(nodes, remove=gone), self.path, False))
        if stored(self.path) != before:
            self.look(before, gone)

    @rule(nodes=groups)
    def look_at_another_cluster(self, nodes):
        mine, before = stored(self.path), stored(self.path, "blue")
        try:
            pod_cidr.run({**options_for(OTHER, nodes), "cluster": "blue"}, self.path, False)
        except InputError as error:
            if "has too few" not in str(error):
                raise
        after = stored(self.path, "blue")
        assert stored(self.path) == mine and {name: after[name] for name in before} == before

    @precondition(lambda self: stored(self.path))
    @rule()
    def lose_the_store(self):
        before, others = stored(self.path), stored(self.path, "blue")
        os.unlink(self.path)
        with pytest.raises(InputError, match="pod CIDRs are reported by"):
            pod_cidr.run(self.options(before, reported=before), self.path, False)
        self.run(before, reported=before, rebuild="complete")
        assert stored(self.path) == before
        if others:
            pod_cidr.run({**options_for(OTHER, others, reported=others, rebuild="complete"), "cluster": "blue"}, self.path, False)
        self.freed.clear()

    @invariant()
    def sound(self):
        if not hasattr(self, "path"):
            return
        taken = networks_in(stored(self.path)) + networks_in(stored(self.path, "blue"))
        assert not [pair for pair in itertools.combinations(taken, 2) if touches(*pair)]
        assert set(networks_in(stored(self.path))) <= set(itertools.chain.from_iterable(map(self.possible, self.cluster)))
        left = set(os.listdir(self.folder.name)) - {"pod-cidrs.json", ".pod-cidrs.json.lock"}
        assert len(left) <= 1, "what a killed run leaves is swept by the next one that writes"


TestSite = Site.TestCase
TestSite.settings = settings(max_examples=30, stateful_step_count=20, deadline=None)


@given(st.sampled_from(CLUSTERS), st.sampled_from(RESERVED), groups)
@settings(max_examples=100, deadline=None)
def test_exhaustion_comes_exactly_when_there_are_more_nodes_than_blocks(cluster, reserved, nodes):
    away = [ipaddress.ip_network(cidr) for cidr in reserved]
    room = min(sum(not any(touches(block, other) for other in away) for block in blocks_of(entry)) for entry in cluster)
    with tempfile.TemporaryDirectory() as folder:
        options = options_for(cluster, nodes, reserved_cidrs=reserved)
        if len(nodes) > room:
            with pytest.raises(InputError, match="has too few"):
                pod_cidr.run(options, f"{folder}/store", False)
            assert os.listdir(folder) == []
            return
        result = pod_cidr.run(options, f"{folder}/store", False)
        assert pod_cidr.run({**options, "nodes": nodes[::-1]}, f"{folder}/store", False)["nodes"] == result["nodes"]
        for node in result["nodes"].values():
            for cidr, gateway, pods in zip(node["pod_cidrs"], node["gateways"], node["ranges"]):
                network = ipaddress.ip_network(cidr)
                first, last = ipaddress.ip_address(pods["start"]), ipaddress.ip_address(pods["end"])
                assert ipaddress.ip_address(gateway) == network.network_address + 1 == first - 1
                assert last == (network.broadcast_address - 1 if network.version == 4 else network.broadcast_address)


@given(st.lists(names, min_size=1, max_size=8, unique=True), st.lists(names, max_size=4, unique=True), st.lists(names, max_size=4, unique=True),
       st.booleans())
@settings(max_examples=60, deadline=None)
def test_branches_that_git_merges_are_sound_or_refused(base, mine, theirs, frees):
    cluster = [{"cidr": "10.244.0.0/24", "node_mask_size": 28}]
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{name}" for name in ("mine", "base", "theirs")]
        for path, more in zip(paths, (mine, [], theirs)):
            pod_cidr.run(options_for(cluster, base), path, False)
            gone = base[:1] if frees and more is mine else []
            pod_cidr.run(options_for(cluster, [name for name in {*base, *more} if name not in gone], remove=gone), path, False)
        merged = subprocess.run(["git", "merge-file", "-p", "-q", *paths], capture_output=True, check=False)
        Path(paths[0]).write_bytes(merged.stdout)
        everybody = sorted({*base[frees:], *mine, *theirs} - set(base[:frees]))
        try:
            pod_cidr.run(options_for(cluster, everybody or ["new"]), paths[0], False)
        except InputError as error:
            text = str(error)
            assert text.startswith("store: ") and ("conflict marker of git" in text if merged.returncode else "two branches were merged" in text)
            assert Path(paths[0]).read_bytes() == merged.stdout
        else:
            assert not merged.returncode
            taken = networks_in(stored(paths[0]))
            assert len(set(taken)) == len(taken) and set(everybody) <= set(stored(paths[0]))

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import builtins
import importlib.util

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._addressing import allocate as code
from ansible_collections.kubenode.network.plugins.module_utils._addressing import blocks, pools, site
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError

V4 = {"cidr": "10.244.0.0/16"}
V6 = {"cidr": "fd00:10:244::/48"}
SMALL = {"cidr": "10.244.0.0/28", "node_mask_size": 30}


def kept(given=None, freed=None, ranges=()):
    nodes = {name: [blocks.parse(cidr) for cidr in cidrs] for name, cidrs in (given or {}).items()}
    return code.Kept([(blocks.parse(cidr), mask) for cidr, mask in ranges], nodes, {blocks.parse(cidr): when for cidr, when in (freed or {}).items()})


def run(cluster, nodes, given=None, service_cidrs=(), reserved_cidrs=(), *, freed=None, others=None, fill=True, **options):
    """The allocation and all warnings."""
    if cluster is not None:
        options["cluster_cidrs"] = cluster
    asked, problems, warnings = site.check({"nodes": nodes, "service_cidrs": list(service_cidrs), "reserved_cidrs": list(reserved_cidrs), **options})
    if problems:
        raise InputError(problems)
    allocation = code.allocate(asked, kept(given, freed), others, fill=fill, where="STORE")
    return allocation, warnings + allocation.warnings


def texts(nodes):
    return {name: [str(block) for block in blocks] for name, blocks in nodes.items()}


def cidrs(*args, **options):
    return texts(run(*args, **options)[0].kept.nodes)


def freed(*args, **options):
    return {str(block): when for block, when in run(*args, **options)[0].kept.freed.items()}


def refusal(*args, **options):
    with pytest.raises(InputError) as caught:
        run(*args, **options)
    return [str(problem) for problem in caught.value.problems]


def test_one_family_with_the_default_mask():
    allocation, warnings = run([V4], ["n1", "n2"])
    assert texts(allocation.kept.nodes) == {"n1": ["10.244.0.0/24"], "n2": ["10.244.1.0/24"]}
    assert [(str(block), mask) for block, mask in allocation.kept.ranges] == [("10.244.0.0/16", 24)]
    assert allocation.usage == {"10.244.0.0/16": {"used": 2, "total": 256, "left": 254}}
    assert warnings == []
    assert code.describe(allocation.kept.nodes["n2"]) == {
        "pod_cidrs": ["10.244.1.0/24"], "gateways": ["10.244.1.1"], "ranges": [{"start": "10.244.1.2", "end": "10.244.1.254"}]}  # fmt: skip


def test_two_families_in_the_order_of_the_cluster_cidrs():
    allocation, _warnings = run([V6, V4], ["a"])
    assert code.describe(allocation.kept.nodes["a"]) == {
        "pod_cidrs": ["fd00:10:244::/64", "10.244.0.0/24"],
        "gateways": ["fd00:10:244::1", "10.244.0.1"],
        "ranges": [{"start": "fd00:10:244::2", "end": "fd00:10:244:0:ffff:ffff:ffff:ffff"}, {"start": "10.244.0.2", "end": "10.244.0.254"}],
    }
    assert {cidr: use["total"] for cidr, use in allocation.usage.items()} == {"fd00:10:244::/48": 65536, "10.244.0.0/16": 256}


def test_the_smallest_block_has_one_pod():
    assert code.describe([blocks.parse("10.244.0.0/30")])["ranges"] == [{"start": "10.244.0.2", "end": "10.244.0.2"}]


def test_a_node_can_have_the_whole_cluster_cidr():
    assert cidrs([{"cidr": "10.0.0.0/24"}, {"cidr": "fd00::/64"}], ["a"]) == {"a": ["10.0.0.0/24", "fd00::/64"]}


def test_new_nodes_follow_the_natural_order_of_their_names():
    names = ["node-10", "node-2", "b", "node-01", "node-1"]
    assert list(cidrs([V4], names)) == ["b", "node-01", "node-1", "node-2", "node-10"]
    assert cidrs([V4], names)["node-2"] == ["10.244.3.0/24"]


def test_what_was_given_wins_and_gaps_are_filled_from_below():
    given = {"old": ["10.244.0.0/24"], "b": ["10.244.2.0/24"], "gone": ["10.244.3.0/24"]}
    allocation, _warnings = run([V4], ["new-2", "b", "new-1", "old"], given)
    assert texts(allocation.kept.nodes) == {**given, "new-1": ["10.244.1.0/24"], "new-2": ["10.244.4.0/24"]}
    assert allocation.usage["10.244.0.0/16"]["used"] == 5


def test_a_cluster_that_becomes_dual_stack_keeps_what_it_has():
    given = {"a": ["10.244.9.0/24"], "gone": ["10.244.0.0/24"]}
    assert cidrs([V4, V6], ["a", "b"], given) == {
        "a": ["10.244.9.0/24", "fd00:10:244::/64"],
        "b": ["10.244.1.0/24", "fd00:10:244:1::/64"],
        "gone": ["10.244.0.0/24"],
    }
    assert cidrs([V6, V4], ["a"], {"a": ["10.244.9.0/24"]}) == {"a": ["fd00:10:244::/64", "10.244.9.0/24"]}


def test_what_is_remembered_is_not_changed_in_place():
    before = kept({"a": ["10.244.9.0/24"]})
    asked, _problems, _warnings = site.check({"cluster_cidrs": [V4, V6], "nodes": ["a", "b"]})
    code.allocate(asked, before)
    assert before == kept({"a": ["10.244.9.0/24"]})


# What is given back


def test_freed_blocks_come_last_and_the_longest_freed_first():
    given = {"a": ["10.244.0.0/30"], "b": ["10.244.0.4/30"], "c": ["10.244.0.8/30"]}
    assert freed([SMALL], ["a", "c"], given, remove=["b"]) == {"10.244.0.4/30": 1}
    del given["b"]
    assert freed([SMALL], ["c"], given, freed={"10.244.0.4/30": 1}, remove=["a"]) == {"10.244.0.4/30": 1, "10.244.0.0/30": 2}
    left = {"freed": {"10.244.0.0/30": 2, "10.244.0.4/30": 1}}
    assert cidrs([SMALL], ["c", "d"], {"c": ["10.244.0.8/30"]}, **left)["d"] == ["10.244.0.12/30"]
    assert cidrs([SMALL], ["c", "d", "e"], {"c": ["10.244.0.8/30"]}, **left)["e"] == ["10.244.0.4/30"]
    assert freed([SMALL], ["c", "d", "e"], {"c": ["10.244.0.8/30"]}, **left) == {"10.244.0.0/30": 2}


def test_what_is_freed_in_a_run_can_be_given_in_the_same_run():
    given = dict(zip("abcd", (["10.244.0.0/30"], ["10.244.0.4/30"], ["10.244.0.8/30"], ["10.244.0.12/30"])))
    assert cidrs([SMALL], ["a", "b", "d", "new"], given, remove=["c"])["new"] == ["10.244.0.8/30"]


def test_a_name_that_is_not_known_can_be_removed():
    assert (cidrs([V4], ["a"], remove=["b"]), freed([V4], [], remove=["b"])) == ({"a": ["10.244.0.0/24"]}, {})


def test_a_name_cannot_be_kept_and_removed():
    assert refusal([V4], ["a", "b"], remove=["b"]) == ["remove: 'b' is in nodes as well (expected one of the two)"]


def test_what_was_freed_outside_of_the_cluster_cidrs_is_remembered():
    assert freed([V4], ["a"], freed={"10.9.0.0/24": 3, "fd00::/64": 4}) == {"10.9.0.0/24": 3, "fd00::/64": 4}


def test_a_freed_block_of_which_somebody_has_a_part_is_not_given():
    """The mask was changed, or two branches were merged."""
    wide = [{"cidr": "10.244.0.0/28", "node_mask_size": 29}]
    given, old = {"a": ["10.244.0.0/30"]}, {"10.244.0.0/29": 5, "10.244.0.8/30": 2, "10.244.0.0/30": 1}
    assert cidrs(wide, ["a", "b"], given, freed=old) == {**given, "b": ["10.244.0.8/29"]}
    assert freed(wide, ["a"], given, freed=old) == {"10.244.0.8/29": 2}
    assert "1 left for 2 new nodes" in refusal(wide, ["a", "b", "c"], given, freed=old)[0]


# What is decided elsewhere


def test_a_new_mask_holds_for_new_nodes():
    assert cidrs([{**V4, "node_mask_size": 26}], ["a", "b", "c"], {"a": ["10.244.0.0/24"]}) == {
        "a": ["10.244.0.0/24"], "b": ["10.244.1.0/26"], "c": ["10.244.1.64/26"]}  # fmt: skip
    assert cidrs([{**V4, "node_mask_size": 23}], ["a", "b"], {"a": ["10.244.0.0/24"]})["b"] == ["10.244.2.0/23"]


def test_a_cluster_cidr_can_grow():
    assert cidrs([{"cidr": "10.244.0.0/15"}], ["a", "b"], {"a": ["10.244.0.0/24"]})["b"] == ["10.244.1.0/24"]


def test_fixed_cidrs_win_and_free_what_the_node_had():
    allocation, warnings = run([V4, V6], ["a", "b", "c"], {"a": ["10.244.0.0/24", "fd00:10:244::/64"]},
                               pod_cidrs={"a": ["10.244.7.0/24"], "b": "10.244.1.128/25"})  # fmt: skip
    assert texts(allocation.kept.nodes) == {
        "a": ["10.244.7.0/24", "fd00:10:244::/64"], "b": ["10.244.1.128/25", "fd00:10:244:1::/64"], "c": ["10.244.2.0/24", "fd00:10:244:2::/64"]}  # fmt: skip
    assert {str(block): when for block, when in allocation.kept.freed.items()} == {"10.244.0.0/24": 1}
    assert warnings == ["pod_cidrs.a: 10.244.7.0/24 takes the place of 10.244.0.0/24"]


def test_what_a_node_has_beside_its_fixed_cidr_has_to_fit_as_well():
    given = {"a": ["10.244.0.0/24", "fd00:9::/64"]}
    assert cidrs([V4], ["a"], given, pod_cidrs={"a": ["10.244.7.0/24"]}) == {"a": ["10.244.7.0/24"]}, "there is no IPv6 any more"
    (text,) = refusal([V4, V6], ["a"], given, pod_cidrs={"a": ["10.244.7.0/24"]})
    assert text.startswith("store: node a: 'fd00:9::/64' is not inside its cluster CIDR")


def test_a_node_that_is_not_known_keeps_what_it_reports_and_a_known_one_what_it_has():
    reported = {"a": ["10.244.5.0/24"], "b": ["10.244.9.0/24"], "c": [], "d": None}
    assert cidrs([V4], ["a", "b", "c", "d"], {"a": ["10.244.1.0/24"]}, reported=reported) == {
        "a": ["10.244.1.0/24"], "b": ["10.244.9.0/24"], "c": ["10.244.0.0/24"], "d": ["10.244.2.0/24"]}  # fmt: skip


def test_static_cidrs_are_taken_as_they_are_and_nothing_is_allocated():
    given = {"a": ["10.244.0.0/24", "fd00:10:244::/64"], "gone": ["10.244.1.0/24"]}
    static = {"pod_cidrs": {"a": ["10.244.2.0/24"]}, "fill": False}
    assert cidrs(None, ["a"], given, **static) == {"a": ["10.244.2.0/24"], "gone": ["10.244.1.0/24"]}
    assert cidrs([V4], ["a"], {}, **static) == {"a": ["10.244.2.0/24"]}
    assert refusal([V4, V6], ["a", "b"], {}, **static) == [
        "pod_cidrs.a: has no IPv6 CIDR (expected one of each family)", "pod_cidrs.b: has no IPv4 and IPv6 CIDR (expected one of each family)"]  # fmt: skip
    assert refusal(None, ["a", "b"], {}, **static) == ["pod_cidrs.b: has no CIDR (expected one of each family)"]


@pytest.mark.parametrize("clusters", [None, [V4, V6]])
@pytest.mark.parametrize(("static", "messages"), [
    ({"b": ["10.244.1.0/24", "fd00:10:244:1::/64"]}, [("pod_cidrs.b: '10.244.1.0/24' is given to a and to b (expected one node for each block;"
                                                      " remove: [a], if that node is gone)")]),
    ({"b": ["10.244.0.0/23", "fd00:10:244:1::/64"]}, [("pod_cidrs.b: '10.244.1.0/24' of a overlaps '10.244.0.0/23' of b (expected one node for each"
                                                      " block; remove: [a], if that node is gone)")]),
])  # fmt: skip
def test_static_cidrs_of_two_nodes_do_not_overlap(clusters, static, messages):
    given = {"a": ["10.244.1.0/24", "fd00:10:244::/64"]}
    assert refusal(clusters, ["b"], given, pod_cidrs=static, fill=False) == messages


@pytest.mark.parametrize(("static", "message"), [
    ({"a": ["127.0.1.0/24"]}, "pod_cidrs.a[0]: '127.0.1.0/24' overlaps the loopback range 127.0.0.0/8 (expected e.g. 10.244.1.0/24)"),
    ({"a": ["10.244.1.0/31"]}, "pod_cidrs.a[0]: '10.244.1.0/31' has no room for a gateway and a pod"),
    ({"a": ["10.9.9.0/24"]}, "pod_cidrs.a[0]: '10.9.9.0/24' overlaps 10.9.0.0/16 of reserved_cidrs (expected a range that is not reserved)"),
    ({"a": ["10.96.7.0/24"]}, "service_cidrs[0]: '10.96.0.0/12' overlaps pod_cidrs.a 10.96.7.0/24 (expected a range that pods do not use)"),
    ({"a": ["fd00::/64", "10.1.0.0/24"]}, ("service_cidrs: ['10.96.0.0/12', 'fd00:96::/108'] has another order of families than pod_cidrs.a"
                                           " (expected the same order)")),
    ({"a": ["10.1.0.0/24", "fd00::/64"], "b": ["fd00:1::/64", "10.2.0.0/24"]}, ("pod_cidrs.b: ['fd00:1::/64', '10.2.0.0/24'] has another order of families"
                                                                                " than pod_cidrs.a (expected the same order)")),
])  # fmt: skip
def test_static_cidrs_without_cluster_cidrs_are_judged_by_themselves(static, message):
    found = refusal(None, list(static), {}, ["10.96.0.0/12", "fd00:96::/108"], ["10.9.0.0/16"], pod_cidrs=static, fill=False)
    assert [text.startswith(message) for text in found] == [True], found


# Reserved ranges


def test_reserved_blocks_are_skipped_and_do_not_count():
    reserved = ["10.244.0.0/23", "10.244.3.77/32", "10.244.3.99/32", "10.0.0.0/16", "fd00::/8", "10.244.5.0/24", "10.244.6.0/23"]
    allocation, _warnings = run([V4], ["a", "b", "c"], {}, [], reserved)
    assert texts(allocation.kept.nodes) == {"a": ["10.244.2.0/24"], "b": ["10.244.4.0/24"], "c": ["10.244.8.0/24"]}
    total = 256 - 2 - 1 - 1 - 2
    assert allocation.usage == {"10.244.0.0/16": {"used": 3, "total": total, "left": total - 3}}


def test_reserving_the_end_leaves_the_rest():
    assert cidrs([SMALL], ["a", "b"], None, [], ["10.244.0.8/29"]) == {"a": ["10.244.0.0/30"], "b": ["10.244.0.4/30"]}


def test_services_elsewhere_are_accepted():
    assert cidrs([V4], ["a"], {}, ["10.96.0.0/12", "fd00::/108"]) == {"a": ["10.244.0.0/24"]}


@pytest.mark.parametrize(
    ("cluster", "messages"),
    [
        ([], ["cluster_cidrs: [] names no cluster CIDR (expected one cluster CIDR, or one of each family)"]),
        ("10.0.0.0/8", ["cluster_cidrs: '10.0.0.0/8' names no cluster CIDR (expected one cluster CIDR, or one of each family)"]),
        (["10.0.0.0/8"], ["cluster_cidrs[0]: '10.0.0.0/8' is not a dictionary (expected cidr and node_mask_size)"]),
        ([{}], ["cluster_cidrs[0].cidr: None is not a string (expected e.g. 10.244.1.0/24)"]),
        ([{"cidr": "10.244.1.0/16"}], ["cluster_cidrs[0].cidr: '10.244.1.0/16' has host bits set (expected 10.244.0.0/16)"]),
        (
            [{"cidr": "127.0.0.0/8"}],
            ["cluster_cidrs[0].cidr: '127.0.0.0/8' overlaps the loopback range 127.0.0.0/8 (expected e.g. 10.244.1.0/24)"],
        ),
        ([{"cidr": "::/0"}], ["cluster_cidrs[0].cidr: '::/0' is the whole address space (expected e.g. fd00:10:244:1::/64)"]),
        (
            [{"cidr": "10.0.0.0/31"}],
            [
                (
                    "cluster_cidrs[0].cidr: '10.0.0.0/31' has no room for a gateway and a pod"
                    " (expected a prefix length of at most 30, e.g. 10.244.1.0/24)"
                )
            ],
        ),
        (
            [V4, V6, {"cidr": "10.245.0.0/16"}],
            [
                (
                    "cluster_cidrs[2].cidr: '10.245.0.0/16' is a second IPv4 CIDR, beside cluster_cidrs[0]"
                    " (expected one cluster CIDR, or one of each family)"
                )
            ],
        ),
        (
            [{"cidr": "10.0.0.0/16", "node_mask_size": 15}, {"cidr": "fd00::/60", "node_mask_size": 77}],
            [
                "cluster_cidrs[0].node_mask_size: 15 is shorter than the prefix of 10.0.0.0/16 (expected 16 to 30)",
                (
                    "cluster_cidrs[1].node_mask_size: 77 is more than 16 bits longer than the prefix of fd00::/60,"
                    " which Kubernetes refuses (expected 60 to 76)"
                ),
            ],
        ),
        (
            [{"cidr": "10.0.0.0/16", "node_mask_size": 31}, {"cidr": "fd00::/120", "node_mask_size": 127}],
            [
                "cluster_cidrs[0].node_mask_size: 31 leaves a node no room for a gateway and a pod (expected 16 to 30)",
                "cluster_cidrs[1].node_mask_size: 127 leaves a node no room for a gateway and a pod (expected 120 to 126)",
            ],
        ),
        (
            [{"cidr": "10.0.0.0/26"}, {"cidr": "fd00::/112"}],
            [
                (
                    "cluster_cidrs[0].node_mask_size: not given, and the default 24 is shorter than the prefix of 10.0.0.0/26"
                    " (expected 26 to 30)"
                ),
                (
                    "cluster_cidrs[1].node_mask_size: not given, and the default 64 is shorter than the prefix of fd00::/112"
                    " (expected 112 to 126)"
                ),
            ],
        ),
        (
            [{"cidr": "fd00::/40"}],
            [
                (
                    "cluster_cidrs[0].node_mask_size: not given, and the default 64 is more than 16 bits longer"
                    " than the prefix of fd00::/40, which Kubernetes refuses (expected 40 to 56)"
                )
            ],
        ),
        (
            [{"cidr": "10.0.0.0/16", "node_mask_size": "24"}, {"cidr": "fd00::/48", "node_mask_size": True}],
            [
                "cluster_cidrs[0].node_mask_size: '24' is not an integer (expected 16 to 30)",
                "cluster_cidrs[1].node_mask_size: True is not an integer (expected 48 to 64)",
            ],
        ),
    ],
)
def test_cluster_cidrs_that_cannot_be_used_are_refused(cluster, messages):
    assert refusal(cluster, ["a"]) == messages


@pytest.mark.parametrize(
    ("cidr", "mask"), [("10.0.0.0/8", 30), ("10.0.0.0/30", 30), ("fd00::/48", 64), ("fd00::/110", 126), ("fd00::/126", 126)]
)
def test_masks_at_the_limits_are_taken(cidr, mask):
    base = cidr.partition("/")[0]
    assert cidrs([{"cidr": cidr, "node_mask_size": mask}], ["a"]) == {"a": [f"{base}/{mask}"]}


@pytest.mark.parametrize("name", ["", "Node", "node_1", "-a", "a-", "a..b", ".a", "a.", "a b", "a/b", "ä", "a\n", "a" * 254, 7, None])
def test_names_that_kubernetes_does_not_take_are_refused(name):
    rule = "(expected at most 253 lower case letters, digits, '-' and '.', e.g. node-1.example.org)"
    assert refusal([V4], ["ok", name]) == [f"nodes[1]: {name!r} is not a node name {rule}"]
    assert refusal([V4], ["ok"], remove=[name]) == [f"remove[0]: {name!r} is not a node name {rule}"]


@pytest.mark.parametrize("name", ["a", "1", "node-1.example.org", "a" * 253, "10.0.0.1", "a--b"])
def test_names_that_kubernetes_takes_are_taken(name):
    assert list(cidrs([V4], [name])) == [name]


@pytest.mark.parametrize("nodes", [[], None, "node-1"])
def test_there_must_be_a_node(nodes):
    assert refusal([V4], nodes) == [f"nodes: {nodes!r} names no node (expected a list of node names)"]


def test_the_last_node_can_go():
    assert (cidrs([V4], [], {"a": ["10.244.0.0/24"]}, remove=["a"]), freed([V4], [], {"a": ["10.244.0.0/24"]}, remove=["a"])) == ({}, {"10.244.0.0/24": 1})


def test_a_node_twice_is_refused():
    assert refusal([V4], ["a", "b", "a"]) == ["nodes[2]: 'a' is given twice (expected only nodes[0])"]


BLOCK = "(expected a block of cluster_cidrs[0].cidr 10.244.0.0/16)"
NOT_RESERVED = BLOCK[:-1] + " that is not reserved)"


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ({"a": ["10.245.0.0/24"]}, [f"a[0]: '10.245.0.0/24' is not inside its cluster CIDR {BLOCK}"]),
        ({"a": ["10.243.255.0/24"]}, [f"a[0]: '10.243.255.0/24' is not inside its cluster CIDR {BLOCK}"]),
        ({"a": ["10.0.0.0/8"]}, [f"a[0]: '10.0.0.0/8' is not inside its cluster CIDR {BLOCK}"]),
        ({"a": ["10.244.0.0/31"]}, [f"a[0]: '10.244.0.0/31' has no room for a gateway and a pod {BLOCK[:-1]}, at most a /30)"]),
        ({"a": ["10.244.0.1/24"]}, ["a[0]: '10.244.0.1/24' has host bits set (expected 10.244.0.0/24)"]),
        ({"a": "10.244.0.0/24,"}, ["a[1]: '' is not a CIDR (expected e.g. 10.244.1.0/24)"]),
        ({"a": [None]}, ["a[0]: None is not a string (expected e.g. 10.244.1.0/24)"]),
        ({"a": {"b": 1}}, ["a: {'b': 1} is not a list (expected a list, e.g. [10.244.1.0/24])"]),
        ({"x": ["10.244.0.0/24"]}, ["x: 'x' is not in nodes (expected names that are)"]),
        ({"a": ["10.244.0.0/24", "10.244.1.0/24"]}, ["a[1]: '10.244.1.0/24' is a second IPv4 CIDR of this node (expected one of each family)"]),
        ({"a": ["10.244.40.0/24"]}, [f"a[0]: '10.244.40.0/24' overlaps reserved_cidrs {NOT_RESERVED}"]),
        ({"a": ["10.244.43.0/24"]}, [f"a[0]: '10.244.43.0/24' overlaps reserved_cidrs {NOT_RESERVED}"]),
    ],
)
@pytest.mark.parametrize("option", ["pod_cidrs", "reported"])
def test_cidrs_from_elsewhere_that_do_not_fit_are_refused(option, given, messages):
    found = refusal([V4, V6], ["a", "b"], {}, [], ["10.244.40.0/22", "10.244.60.0/24"], **{option: given})
    assert found == [f"{option}.{message}" for message in messages]


@pytest.mark.parametrize("option", ["pod_cidrs", "reported", "addresses"])
def test_what_is_by_name_is_a_dictionary(option):
    assert refusal([V4], ["a"], **{option: ["a"]}) == [f"{option}: ['a'] is not a dictionary (expected names of nodes with lists)"]


@pytest.mark.parametrize(("given", "message"), [
    ({"a": ["10.245.0.0/24"]}, f"store: node a: '10.245.0.0/24' is not inside its cluster CIDR {BLOCK}"),
    ({"a": ["10.244.43.0/24"]}, f"store: node a: '10.244.43.0/24' overlaps reserved_cidrs {NOT_RESERVED}"),
    ({"a": ["fd00:10:244::/64", "10.244.0.0/24"]}, ("store: node a: fd00:10:244::/64, 10.244.0.0/24 has another order of families than cluster_cidrs"
                                                    " (expected the same order)")),
])  # fmt: skip
@pytest.mark.parametrize("nodes", [["a", "b"], ["c"]])
def test_what_is_remembered_has_to_fit_whether_the_node_is_asked_for_or_not(nodes, given, message):
    assert refusal([V4, V6], nodes, given, [], ["10.244.40.0/22"]) == [message]
    assert "a" not in cidrs([V4, V6], ["c"], given, [], ["10.244.40.0/22"], remove=["a"])


def test_blocks_beside_a_reserved_range_are_accepted():
    given = {"a": ["10.244.39.0/24"], "b": ["10.244.44.0/24"]}
    assert cidrs([V4], ["a", "b"], given, [], ["10.244.40.0/22"]) == given


def test_a_family_without_cluster_cidr_is_refused():
    message = "'fd00::/64' is IPv6, of which there is no cluster CIDR (expected a block of 10.244.0.0/16)"
    assert refusal([V4], ["a"], pod_cidrs={"a": ["fd00::/64"]}) == [f"pod_cidrs.a[0]: {message}"]
    assert refusal([V4], ["a"], {"a": ["fd00::/64"]}) == [f"store: node a: {message}"]


def test_two_nodes_with_one_block_are_both_named():
    given = {"b": ["10.244.3.0/24"], "a": ["10.244.3.0/24"], "c": ["10.244.4.0/24"]}
    assert refusal([V4], ["a", "b", "new"], given) == [
        ("store: '10.244.3.0/24' is given to a and to b in STORE, as when two branches were merged (expected one node for each block: take the line of"
         " the node that came last out of the file, and run again, so that it gets another)")
    ]  # fmt: skip
    reported = {"a": ["10.244.3.0/24"], "b": ["10.244.3.0/24"]}
    assert refusal([V4], ["a", "b"], reported=reported) == [
        "reported.b: '10.244.3.0/24' is given to a and to b (expected one node for each block; remove: [a], if that node is gone)"]  # fmt: skip


# Other clusters


OTHER = {"blue": kept({"x": ["10.245.0.0/24"]}, {}, [("10.245.0.0/16", 24)]), "static": kept({"y": ["10.250.1.0/24"]})}


@pytest.mark.parametrize(("cidr", "message"), [
    ("10.245.128.0/17", "cluster_cidrs[0].cidr: '10.245.128.0/17' overlaps 10.245.0.0/16 of cluster blue in STORE (expected a range of this cluster alone)"),
    ("10.244.0.0/15", "cluster_cidrs[0].cidr: '10.244.0.0/15' overlaps 10.245.0.0/16 of cluster blue in STORE (expected a range of this cluster alone)"),
    ("10.250.0.0/16", "cluster_cidrs[0].cidr: '10.250.0.0/16' overlaps 10.250.1.0/24 of cluster static in STORE (expected a range of this cluster alone)"),
])  # fmt: skip
def test_clusters_do_not_overlap(cidr, message):
    assert refusal([{"cidr": cidr}], ["a"], others=OTHER) == [message]
    assert cidrs([V4], ["a"], others=OTHER) == {"a": ["10.244.0.0/24"]}


def test_static_cidrs_are_not_those_of_other_clusters():
    assert refusal(None, ["a"], others=OTHER, pod_cidrs={"a": ["10.245.7.0/24"]}, fill=False) == [
        "pod_cidrs.a: '10.245.7.0/24' overlaps 10.245.0.0/16 of cluster blue in STORE (expected a range of this cluster alone)"]  # fmt: skip
    assert "to a and to y of cluster static" in refusal(None, ["a"], others=OTHER, pod_cidrs={"a": ["10.250.1.0/24"]}, fill=False)[0]


# Addresses of nodes, orders, warnings


def test_addresses_come_back_in_their_normal_spelling():
    asked, problems, _warnings = site.check({"cluster_cidrs": [V4], "nodes": ["a", "b"], "addresses": {"a": ["FD00::1", "172.16.0.1"], "b": "172.16.0.2"}})
    assert (problems, asked.addresses) == ([], {"a": ["fd00::1", "172.16.0.1"], "b": ["172.16.0.2"]})


@pytest.mark.parametrize(("addresses", "message"), [
    ({"a": ["10.244.3.4"]}, "addresses.a: '10.244.3.4' is inside cluster_cidrs[0].cidr 10.244.0.0/16 (expected an address outside of the pods' networks)"),
    ({"a": ["172.16.0.1"], "b": ["172.16.0.1"]}, "addresses.b: '172.16.0.1' is an address of a as well (expected an address of this node alone)"),
    ({"a": ["node-1.example.org"]}, "addresses.a[0]: 'node-1.example.org' is not an IP address (expected e.g. 192.0.2.11)"),
    ({"a": ["172.16.0.1/24"]}, "addresses.a[0]: '172.16.0.1/24' is not an IP address (expected e.g. 192.0.2.11)"),
    ({"a": [7]}, "addresses.a[0]: 7 is not an IP address (expected e.g. 192.0.2.11)"),
    ({"a": ["127.0.0.1"]}, "addresses.a[0]: '127.0.0.1' is loopback (expected an address by which other nodes reach this one)"),
    ({"a": ["fe80::1"]}, "addresses.a[0]: 'fe80::1' is link-local (expected an address by which other nodes reach this one)"),
    ({"a": ["224.0.0.5"]}, "addresses.a[0]: '224.0.0.5' is multicast (expected an address by which other nodes reach this one)"),
    ({"z": ["172.16.0.1"]}, "addresses.z: 'z' is not in nodes (expected names that are)"),
])  # fmt: skip
def test_addresses_that_no_other_node_can_use_are_refused(addresses, message):
    assert refusal([V4], ["a", "b"], addresses=addresses) == [message]


def test_an_order_of_families_that_differs_is_refused():
    assert refusal([V4, V6], ["a", "b"], {}, ["fd00:96::/108", "10.96.0.0/12"], pod_cidrs={"b": ["fd00:10:244::/64", "10.244.0.0/24"]}) == [
        "service_cidrs: ['fd00:96::/108', '10.96.0.0/12'] has another order of families than cluster_cidrs (expected the same order)",
        "pod_cidrs.b: ['fd00:10:244::/64', '10.244.0.0/24'] has another order of families than cluster_cidrs (expected the same order)"]  # fmt: skip
    assert refusal([V4, V6], ["a"], reported={"a": ["fd00:10:244::/64", "10.244.0.0/24"]}) == [
        "reported.a: ['fd00:10:244::/64', '10.244.0.0/24'] has another order of families than cluster_cidrs (expected the same order)"]  # fmt: skip
    assert cidrs([V4, V6], ["a"], {}, ["10.96.0.0/12", "10.112.0.0/12", "fd00:96::/108"])
    assert cidrs([V4, V6], ["a"], {}, ["fd00:96::/108"])


@pytest.mark.parametrize(("cluster", "warning"), [
    ({"cidr": "10.0.0.0/8", "node_mask_size": 25}, ("cluster_cidrs[0].node_mask_size: 25 is more than 16 bits longer than the prefix of 10.0.0.0/8;"
                                                    " a cluster of that many nodes is larger than Kubernetes supports")),
    ({"cidr": "192.0.2.0/24", "node_mask_size": 28}, "cluster_cidrs[0].cidr: 192.0.2.0/24 is for documentation; others drop packets with such addresses"),
    ({"cidr": "198.51.0.0/16"}, "cluster_cidrs[0].cidr: 198.51.0.0/16 is for documentation; others drop packets with such addresses"),
    ({"cidr": "203.0.113.128/25", "node_mask_size": 29}, "cluster_cidrs[0].cidr: 203.0.113.128/25 is for documentation; others drop"),
    ({"cidr": "2001:db8:7::/48"}, "cluster_cidrs[0].cidr: 2001:db8:7::/48 is for documentation; others drop packets with such addresses"),
    ({"cidr": "3fff::/48"}, "cluster_cidrs[0].cidr: 3fff::/48 is for documentation; others drop packets with such addresses"),
])  # fmt: skip
def test_what_works_and_is_unwise_is_a_warning(cluster, warning):
    (found,) = run([cluster], ["a"])[1]
    assert found.startswith(warning)


@pytest.mark.parametrize(("nodes", "warnings"), [
    (12, []), (14, []), (15, ["cluster_cidrs[0].cidr: 10.244.0.0/26 has 1 of 16 /30 blocks left; plan a larger cluster CIDR"]),
    (16, ["cluster_cidrs[0].cidr: 10.244.0.0/26 has 0 of 16 /30 blocks left; plan a larger cluster CIDR"]),
])  # fmt: skip
def test_little_growth_is_said_before_it_is_too_late(nodes, warnings):
    cluster = {"cidr": "10.244.0.0/26", "node_mask_size": 30}
    assert run([cluster], [f"n{number}" for number in range(nodes)])[1] == warnings


@pytest.mark.parametrize("service", ["10.244.255.0/24", "10.0.0.0/8", "10.244.0.0/16", "0.0.0.0/0"])
def test_services_among_the_pods_are_refused(service):
    assert refusal([V6, V4], ["a"], {}, ["fd00::/108", service]) == [
        f"service_cidrs[1]: '{service}' overlaps cluster_cidrs[1].cidr 10.244.0.0/16 (expected a range that pods do not use)"
    ]


@pytest.mark.parametrize("reserved", ["10.244.0.0/16", "10.0.0.0/8", "0.0.0.0/0"])
def test_reserving_a_whole_cluster_cidr_is_refused(reserved):
    assert refusal([V6, V4], ["a"], {}, [], ["10.244.0.0/24", reserved]) == [
        f"reserved_cidrs[1]: '{reserved}' covers cluster_cidrs[1].cidr 10.244.0.0/16 (expected a part of it, or a range elsewhere)"
    ]


def test_reserving_a_whole_cluster_cidr_bit_by_bit_is_refused():
    reserved = ["10.244.0.0/29", "10.244.0.8/30", "10.244.0.15/32"]
    assert refusal([SMALL], ["a"], {}, [], reserved) == [
        f"reserved_cidrs: {reserved} leaves no block of cluster_cidrs[0].cidr 10.244.0.0/28 (expected a part of it)"
    ]


@pytest.mark.parametrize("option", ["service_cidrs", "reserved_cidrs"])
def test_lists_of_cidrs_are_checked(option):
    assert refusal([V4], ["a"], **{option: ["10.0.0.0", "192.0.2.0/24", "192.0.2.0/24"]}) == [
        f"{option}[0]: '10.0.0.0' has no prefix length (expected e.g. 10.0.0.0/24)",
        f"{option}[2]: '192.0.2.0/24' is given twice (expected only {option}[1])",
    ]


def test_problems_of_all_options_are_told_together():
    found = refusal([V4], ["A", "a"], {}, ["10.244.0.0/24"], ["x"], pod_cidrs={"a": ["10.0.0.0/24"]}, addresses={"a": ["?"]}, remove=["B"])
    paths = [text.partition(":")[0] for text in found]
    assert paths == ["nodes[0]", "remove[0]", "reserved_cidrs[0]", "pod_cidrs.a[0]", "service_cidrs[0]", "addresses.a[0]"]


def test_a_wrong_cluster_cidr_is_not_blamed_on_the_nodes():
    assert [text.partition(":")[0] for text in refusal([{"cidr": "x"}, V6], ["A", "a"], pod_cidrs={"a": ["10.244.0.0/24"]})] == [
        "cluster_cidrs[0].cidr",
        "nodes[0]",
    ]


def test_thousands_of_the_same_problem_are_cut_short():
    names = [f"n{number:03}" for number in range(500)]
    assert len(refusal([V4], [f"N{number}" for number in range(10)])) == 10
    messages = refusal([V4], [*names, *(f"N{number}" for number in range(11))], pod_cidrs={key: ["10.9.0.0/24"] for key in names})
    assert len(messages) == 22
    assert messages[10] == "nodes: 1 more problems of this kind"
    assert messages[-1] == "pod_cidrs: 490 more problems of this kind"
    assert len(refusal([V4], ["new"], {key: ["10.244.0.0/24"] for key in names})) == 11


def test_exhaustion_says_how_many_there_are_and_who_wants_more():
    given = {"a": ["10.244.0.0/30"], "gone": ["10.244.0.4/30"]}
    assert refusal([SMALL], ["e", "a", "b", "c", "d"], given, [], ["10.244.0.12/32"]) == [
        (
            "cluster_cidrs[0].cidr: '10.244.0.0/28' has too few /30 blocks: 2/3 used, 1 left for 4 new nodes, so 3 do not fit:"
            " c, d, e (expected a larger cluster CIDR, a longer node_mask_size, or fewer nodes)"
        )
    ]


def test_each_family_can_be_exhausted():
    narrow = {"cidr": "fd00::/126", "node_mask_size": 126}
    messages = refusal([SMALL, narrow], ["a", "b", "c", "d", "e"])
    assert ["0/4 used, 4 left for 5 new nodes" in messages[0], "0/1 used, 1 left for 5 new nodes" in messages[1]] == [True, True]
    assert len(refusal([V4, narrow], ["a", "b"])) == 1


def test_every_block_can_be_used():
    allocation, _warnings = run([SMALL], ["a", "b", "c", "d"])
    assert allocation.usage == {"10.244.0.0/28": {"used": 4, "total": 4, "left": 0}}
    assert run([SMALL], ["d", "c", "b", "a"], texts(allocation.kept.nodes))[0] == allocation


def _without(name, error, monkeypatch):
    """The module as it is when importing ``name`` fails with ``error``."""
    real = builtins.__import__

    def refuse(wanted, *args, **kwargs):
        if wanted == name:
            raise error
        return real(wanted, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    spec = importlib.util.spec_from_file_location(f"{pools.__package__}.without_{name}", pools.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("error", [ImportError("No module named 'netaddr'"), SyntaxError("made for another Python")])
def test_without_netaddr_the_error_says_what_to_do(monkeypatch, error):
    module = _without("netaddr", error, monkeypatch)
    with pytest.raises(NodeError) as caught:
        module.require_netaddr()
    assert str(caught.value).startswith("Failed to import the required Python library (netaddr >= 0.8) for ")
    assert f"{type(error).__name__}: {error}. Pod CIDRs are computed on the controller: install netaddr" in str(caught.value)


@pytest.mark.parametrize(("version", "enough"), [("0.7.19", False), ("0.8.0", True), ("0.10.1", True), ("1.3.0", True), ("2", True)])
def test_an_old_netaddr_is_refused(monkeypatch, version, enough):
    monkeypatch.setattr(pools.netaddr, "__version__", version)
    if enough:
        pools.require_netaddr()
        return
    with pytest.raises(NodeError, match=f"found {version}. Pod CIDRs are computed on the controller"):
        pools.require_netaddr()


def test_work_grows_with_the_nodes_and_not_with_the_blocks(monkeypatch):
    """Counted in blocks that are made or looked at, not in seconds."""
    made = []
    monkeypatch.setattr(pools, "Block", lambda *parts: made.append(parts) or blocks.Block(*parts))
    counts = []
    for number in (500, 1000):
        made.clear()
        run([{"cidr": "10.0.0.0/8", "node_mask_size": 30}, V6], [f"node-{index}" for index in range(number)])
        counts.append(len(made))
    assert counts[0] >= 1000 and counts[1] <= 2 * counts[0]


def test_a_cluster_cidr_with_millions_of_blocks_costs_nothing():
    reserved = [f"10.{number}.0.0/16" for number in range(255)]
    allocation, _warnings = run([{"cidr": "10.0.0.0/8", "node_mask_size": 30}], ["a"], {}, [], reserved)
    assert texts(allocation.kept.nodes) == {"a": ["10.255.0.0/30"]}
    assert allocation.usage == {"10.0.0.0/8": {"used": 1, "total": 16384, "left": 16383}}

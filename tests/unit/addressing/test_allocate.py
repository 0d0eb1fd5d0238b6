# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import builtins
import importlib.util
import time

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._addressing import allocate as code
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError

V4 = {"cidr": "10.244.0.0/16"}
V6 = {"cidr": "fd00:10:244::/48"}
SMALL = {"cidr": "10.244.0.0/28", "node_mask_size": 30}


def cidrs(*args, **kwargs):
    return code.allocate(*args, **kwargs).allocations


def refusal(*args, **kwargs):
    with pytest.raises(InputError) as caught:
        code.allocate(*args, **kwargs)
    return [str(problem) for problem in caught.value.problems]


def test_one_family_with_the_default_mask():
    assert code.allocate([V4], ["n1", "n2"]) == code.Allocation(
        {"n1": ["10.244.0.0/24"], "n2": ["10.244.1.0/24"]},
        {
            "n1": {"pod_cidrs": ["10.244.0.0/24"], "gateways": ["10.244.0.1"], "ranges": [{"start": "10.244.0.2", "end": "10.244.0.254"}]},
            "n2": {"pod_cidrs": ["10.244.1.0/24"], "gateways": ["10.244.1.1"], "ranges": [{"start": "10.244.1.2", "end": "10.244.1.254"}]},
        },
        {"10.244.0.0/16": {"used": 2, "total": 256}},
    )


def test_two_families_in_the_order_of_the_cluster_cidrs():
    result = code.allocate([V6, V4], ["a"])
    assert result.nodes["a"] == {
        "pod_cidrs": ["fd00:10:244::/64", "10.244.0.0/24"],
        "gateways": ["fd00:10:244::1", "10.244.0.1"],
        "ranges": [{"start": "fd00:10:244::2", "end": "fd00:10:244:0:ffff:ffff:ffff:ffff"}, {"start": "10.244.0.2", "end": "10.244.0.254"}],
    }
    assert result.usage == {"fd00:10:244::/48": {"used": 1, "total": 65536}, "10.244.0.0/16": {"used": 1, "total": 256}}


def test_the_smallest_block_has_one_pod():
    assert code.allocate([SMALL], ["a"]).nodes["a"]["ranges"] == [{"start": "10.244.0.2", "end": "10.244.0.2"}]


def test_a_node_can_have_the_whole_cluster_cidr():
    assert cidrs([{"cidr": "10.0.0.0/24"}, {"cidr": "fd00::/64"}], ["a"]) == {"a": ["10.0.0.0/24", "fd00::/64"]}


def test_new_nodes_follow_the_natural_order_of_their_names():
    names = ["node-10", "node-2", "b", "node-01", "node-1"]
    assert list(cidrs([V4], names)) == ["b", "node-01", "node-1", "node-2", "node-10"]
    assert cidrs([V4], names)["node-2"] == ["10.244.3.0/24"]


def test_what_was_given_wins_and_gaps_are_filled_from_below():
    given = {"old": ["10.244.0.0/24"], "b": ["10.244.2.0/24"], "gone": ["10.244.3.0/24"]}
    result = code.allocate([V4], ["new-2", "b", "new-1", "old"], given)
    assert result.allocations == {**given, "new-1": ["10.244.1.0/24"], "new-2": ["10.244.4.0/24"]}
    assert list(result.nodes) == ["b", "new-1", "new-2", "old"]
    assert result.usage["10.244.0.0/16"]["used"] == 5


def test_a_cluster_that_becomes_dual_stack_keeps_what_it_has():
    given = {"a": ["10.244.9.0/24"], "b": [], "gone": ["10.244.0.0/24"]}
    assert cidrs([V4, V6], ["a", "b"], given) == {
        "a": ["10.244.9.0/24", "fd00:10:244::/64"],
        "b": ["10.244.1.0/24", "fd00:10:244:1::/64"],
        "gone": ["10.244.0.0/24"],
    }
    assert cidrs([V6, V4], ["a"], {"a": ["10.244.9.0/24"]}) == {"a": ["fd00:10:244::/64", "10.244.9.0/24"]}


def test_allocations_are_returned_in_their_normal_spelling():
    assert cidrs([V6], ["a"], {"a": ["FD00:10:244:0007::/64"]}) == {"a": ["fd00:10:244:7::/64"]}


def test_the_input_is_not_changed():
    given = {"a": ["10.244.9.0/24"]}
    code.allocate([V4, V6], ["a", "b"], given)
    assert given == {"a": ["10.244.9.0/24"]}


def test_reserved_blocks_are_skipped_and_do_not_count():
    reserved = ["10.244.0.0/23", "10.244.3.77/32", "10.244.3.99/32", "10.0.0.0/16", "fd00::/8", "10.244.5.0/24", "10.244.6.0/23"]
    result = code.allocate([V4], ["a", "b", "c"], {}, [], reserved)
    assert result.allocations == {"a": ["10.244.2.0/24"], "b": ["10.244.4.0/24"], "c": ["10.244.8.0/24"]}
    assert result.usage == {"10.244.0.0/16": {"used": 3, "total": 256 - 2 - 1 - 1 - 2}}


def test_reserving_the_end_leaves_the_rest():
    assert cidrs([SMALL], ["a", "b"], None, [], ["10.244.0.8/29"]) == {"a": ["10.244.0.0/30"], "b": ["10.244.0.4/30"]}


def test_services_elsewhere_are_accepted():
    assert cidrs([V4], ["a"], {}, ["10.96.0.0/12", "fd00::/108"]) == {"a": ["10.244.0.0/24"]}


@pytest.mark.parametrize(
    ("cluster", "messages"),
    [
        ([], ["cluster_cidrs: [] names no cluster CIDR (expected one cluster CIDR, or one of each family)"]),
        (None, ["cluster_cidrs: None names no cluster CIDR (expected one cluster CIDR, or one of each family)"]),
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
    assert refusal([V4], ["ok"], {name: []}) == [f"allocations.{name}: {name!r} is not a node name {rule}"]


@pytest.mark.parametrize("name", ["a", "1", "node-1.example.org", "a" * 253, "10.0.0.1", "a--b"])
def test_names_that_kubernetes_takes_are_taken(name):
    assert list(cidrs([V4], [name])) == [name]


@pytest.mark.parametrize("nodes", [[], None, "node-1"])
def test_there_must_be_a_node(nodes):
    assert refusal([V4], nodes) == [f"nodes: {nodes!r} names no node (expected a list of node names)"]


def test_a_node_twice_is_refused():
    assert refusal([V4], ["a", "b", "a"]) == ["nodes[2]: 'a' is given twice (expected only nodes[0])"]


@pytest.mark.parametrize(
    ("given", "messages"),
    [
        ({"a": ["10.245.0.0/24"]}, ["allocations.a[0]: '10.245.0.0/24' is not inside its cluster CIDR {4}"]),
        ({"a": ["10.243.255.0/24"]}, ["allocations.a[0]: '10.243.255.0/24' is not inside its cluster CIDR {4}"]),
        ({"a": ["10.0.0.0/8"]}, ["allocations.a[0]: '10.0.0.0/8' is not inside its cluster CIDR {4}"]),
        ({"a": ["10.244.0.0/23"]}, ["allocations.a[0]: '10.244.0.0/23' has another mask than node_mask_size {4}"]),
        ({"a": ["10.244.0.0/25"]}, ["allocations.a[0]: '10.244.0.0/25' has another mask than node_mask_size {4}"]),
        ({"a": ["10.244.0.1/24"]}, ["allocations.a[0]: '10.244.0.1/24' has host bits set (expected 10.244.0.0/24)"]),
        ({"a": [None]}, ["allocations.a[0]: None is not a string (expected e.g. 10.244.1.0/24)"]),
        ({"a": "10.244.0.0/24"}, ["allocations.a: '10.244.0.0/24' is not a list (expected a list of CIDRs, e.g. [10.244.1.0/24])"]),
        ({"a": None}, ["allocations.a: None is not a list (expected a list of CIDRs, e.g. [10.244.1.0/24])"]),
        (["a"], ["allocations: ['a'] is not a dictionary (expected node names with lists of CIDRs)"]),
        (
            {"a": ["10.244.0.0/24", "10.244.1.0/24"]},
            ["allocations.a[1]: '10.244.1.0/24' is a second IPv4 CIDR of this node (expected one of each family)"],
        ),
        (
            {"b": ["10.244.0.0/24"], "a": ["10.244.0.0/24"]},
            ["allocations.b[0]: '10.244.0.0/24' is given to a as well (expected one node for each block)"],
        ),
        (
            {"a": ["fd00:10:244::/64", "10.244.0.0/24"]},
            [
                (
                    "allocations.a: ['fd00:10:244::/64', '10.244.0.0/24'] has another order of families than cluster_cidrs"
                    " (expected the same order)"
                )
            ],
        ),
        ({"a": ["10.244.40.0/24"]}, ["allocations.a[0]: '10.244.40.0/24' overlaps reserved_cidrs {reserved}"]),
        ({"a": ["10.244.43.0/24"]}, ["allocations.a[0]: '10.244.43.0/24' overlaps reserved_cidrs {reserved}"]),
    ],
)
@pytest.mark.parametrize("nodes", [["a", "b"], ["c"]])
def test_allocations_that_do_not_fit_are_refused_whether_the_node_is_there_or_not(given, messages, nodes):
    block = "(expected a /24 of cluster_cidrs[0].cidr 10.244.0.0/16"
    wanted = [message.replace("{4}", f"{block})").replace("{reserved}", f"{block} that is not reserved)") for message in messages]
    assert refusal([V4, V6], nodes, given, [], ["10.244.40.0/22", "10.244.60.0/24"]) == wanted


def test_blocks_beside_a_reserved_range_are_accepted():
    given = {"a": ["10.244.39.0/24"], "b": ["10.244.44.0/24"]}
    assert cidrs([V4], ["a", "b"], given, [], ["10.244.40.0/22"]) == given


def test_a_family_without_cluster_cidr_is_refused():
    assert refusal([V4], ["a"], {"a": ["fd00::/64"]}) == [
        "allocations.a[0]: 'fd00::/64' is IPv6, of which there is no cluster CIDR (expected a block of 10.244.0.0/16)"
    ]


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
    paths = [text.partition(":")[0] for text in refusal([V4], ["A"], {"a": ["10.0.0.0/24"]}, ["10.244.0.0/24"], ["x"])]
    assert paths == ["nodes[0]", "service_cidrs[0]", "reserved_cidrs[0]", "allocations.a[0]"]


def test_a_wrong_cluster_cidr_is_not_blamed_on_the_allocations():
    assert [text.partition(":")[0] for text in refusal([{"cidr": "x"}, V6], ["A"], {"a": ["10.244.0.0/24"]})] == [
        "cluster_cidrs[0].cidr",
        "nodes[0]",
    ]


def test_thousands_of_the_same_problem_are_cut_short():
    given = {f"n{number:03}": ["10.9.0.0/24"] for number in range(500)}
    assert len(refusal([V4], [f"N{number}" for number in range(10)])) == 10
    messages = refusal([V4], [f"N{number}" for number in range(11)], given)
    assert len(messages) == 22
    assert messages[10] == "nodes: 1 more problems of this kind"
    assert messages[-1] == "allocations: 490 more problems of this kind"


def test_exhaustion_says_how_many_there_are_and_who_wants_more():
    given = {"a": ["10.244.0.0/30"], "gone": ["10.244.0.4/30"]}
    assert refusal([SMALL], ["e", "a", "b", "c", "d"], given, [], ["10.244.0.12/32"]) == [
        (
            "cluster_cidrs[0].cidr: '10.244.0.0/28' has too few /30 blocks: 2/3 used, 1 left for 4 new nodes: b, c, d, ..."
            " (expected a larger cluster CIDR, a longer node_mask_size, or fewer nodes)"
        )
    ]


def test_each_family_can_be_exhausted():
    narrow = {"cidr": "fd00::/126", "node_mask_size": 126}
    messages = refusal([SMALL, narrow], ["a", "b", "c", "d", "e"])
    assert ["0/4 used, 4 left for 5 new nodes" in messages[0], "0/1 used, 1 left for 5 new nodes" in messages[1]] == [True, True]
    assert len(refusal([V4, narrow], ["a", "b"])) == 1


def test_every_block_can_be_used():
    result = code.allocate([SMALL], ["a", "b", "c", "d"])
    assert result.usage == {"10.244.0.0/28": {"used": 4, "total": 4}}
    assert code.allocate([SMALL], ["d", "c", "b", "a"], result.allocations) == result


def _without(name, error, monkeypatch):
    """The module as it is when importing ``name`` fails with ``error``."""
    real = builtins.__import__

    def refuse(wanted, *args, **kwargs):
        if wanted == name:
            raise error
        return real(wanted, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", refuse)
    spec = importlib.util.spec_from_file_location(f"{code.__package__}.without_{name}", code.__file__)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("error", [ImportError("No module named 'netaddr'"), SyntaxError("made for another Python")])
def test_without_netaddr_the_error_says_what_to_do(monkeypatch, error):
    module = _without("netaddr", error, monkeypatch)
    with pytest.raises(NodeError) as caught:
        module.allocate([V4], ["a"])
    assert str(caught.value).startswith("Failed to import the required Python library (netaddr >= 0.8) for ")
    assert f"{type(error).__name__}: {error}. Pod CIDRs are computed on the controller: delegate the task to localhost" in str(caught.value)


@pytest.mark.parametrize(("version", "enough"), [("0.7.19", False), ("0.8.0", True), ("0.10.1", True), ("1.3.0", True), ("2", True)])
def test_an_old_netaddr_is_refused(monkeypatch, version, enough):
    monkeypatch.setattr(code.netaddr, "__version__", version)
    if enough:
        assert cidrs([V4], ["a"]) == {"a": ["10.244.0.0/24"]}
        return
    with pytest.raises(NodeError, match=f"found {version}. Pod CIDRs are computed on the controller"):
        code.allocate([V4], ["a"])


def test_the_largest_cluster_takes_seconds():
    """Kubernetes' IPv6 limit is 65,536 nodes. The bound is wide (a few seconds here) and still far below anything quadratic."""
    names = [f"node-{number}" for number in range(65536)]
    begin = time.process_time()
    result = code.allocate([{"cidr": "10.0.0.0/8"}, V6], names)
    again = code.allocate([{"cidr": "10.0.0.0/8"}, V6], names[::-1], result.allocations)
    assert time.process_time() - begin < 60
    assert again == result
    assert result.allocations["node-65535"] == ["10.255.255.0/24", "fd00:10:244:ffff::/64"]


def test_a_cluster_cidr_with_millions_of_blocks_costs_nothing():
    reserved = [f"10.{number}.0.0/16" for number in range(255)]
    begin = time.process_time()
    result = code.allocate([{"cidr": "10.0.0.0/8", "node_mask_size": 30}], ["a"], {}, [], reserved)
    assert time.process_time() - begin < 1
    assert result.allocations == {"a": ["10.255.0.0/30"]}
    assert result.usage == {"10.0.0.0/8": {"used": 1, "total": 16384}}

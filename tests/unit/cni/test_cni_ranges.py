# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How full ranges are. That host-local sees them so, too, is shown in tests/integration/test_host_local.py."""

from __future__ import annotations

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import ranges


def counts(section, addresses=()):
    """(total, used, free) of each range, set by set."""
    return [[(one.total, one.used, one.free) for one in found.ranges] for found in ranges.usage({"type": "host-local", **section}, addresses)]


def one(**entry):
    return {"ranges": [[entry]]}


def test_a_range_has_its_defaults_filled_in():
    (found,) = ranges.usage(one(subnet="10.244.1.0/24"), ["10.244.1.2", "10.244.1.9"])
    assert found.ranges == (ranges.Range("10.244.1.0/24", "10.244.1.1", "10.244.1.254", "10.244.1.1", 253, 2),)
    assert (found.total, found.used, found.free) == (253, 2, 251)


@pytest.mark.parametrize(
    ("entry", "total"),
    [
        ({"subnet": "10.0.0.0/30"}, 1),
        ({"subnet": "10.0.0.0/29", "gateway": "10.0.0.4"}, 5),
        ({"subnet": "10.0.0.0/29", "gateway": "192.168.0.1"}, 6),
        ({"subnet": "10.0.0.0/29", "gateway": "fd00::1"}, 6),
        ({"subnet": "10.0.0.0/29", "gateway": "", "rangeStart": None}, 5),
        ({"subnet": "10.0.0.0/29", "rangeStart": "10.0.0.0"}, 6),
        ({"subnet": "10.0.0.0/29", "rangeEnd": "10.0.0.7"}, 6),
        ({"subnet": "10.0.0.0/29", "rangeStart": "10.0.0.1", "rangeEnd": "10.0.0.1"}, 0),
        ({"subnet": "10.0.0.0/29", "rangeStart": "10.0.0.5", "rangeEnd": "10.0.0.5"}, 1),
        ({"subnet": "fd00::/126"}, 2),
        ({"subnet": "fd00::/64"}, 2**64 - 2),
        ({"subnet": "::/0"}, 2**128 - 2),
    ],
)
def test_a_range_has_as_many_addresses_as_pods_can_get(entry, total):
    assert counts(one(**entry)) == [[(total, 0, total)]]


def test_sets_and_ranges_keep_their_order_and_the_legacy_range_comes_first():
    section = {"subnet": "10.1.0.0/30", "ranges": [[{"subnet": "10.2.0.0/30"}, {"subnet": "10.3.0.0/29"}], [{"subnet": "fd00::/126"}]]}
    taken = ["10.3.0.2", "10.3.0.3", "fd00::2", "10.1.0.2"]
    assert counts(section, taken) == [[(1, 1, 0)], [(1, 0, 1), (5, 2, 3)], [(2, 1, 1)]]
    assert [(found.total, found.used, found.free) for found in ranges.usage(section, taken)] == [(1, 1, 0), (6, 2, 4), (2, 1, 1)]


def test_leases_that_no_pod_can_get_are_not_counted():
    taken = ["10.0.0.1", "10.0.0.8", "10.9.9.9", "fd00::5", "x", "", "10.0.0.5", "10.0.0.5"]
    assert counts(one(subnet="10.0.0.0/29"), taken) == [[(5, 1, 4)]]


@pytest.mark.parametrize(
    "entry",
    [
        {}, {"subnet": 5}, {"subnet": "10.0.0.0"}, {"subnet": "10.0.0.1/24"}, {"subnet": "10.0.0.0/31"}, {"subnet": "fd00::/127"},
        {"subnet": "10.0.0.0/24", "rangeStart": "10.0.1.1"}, {"subnet": "10.0.0.0/24", "rangeEnd": "fd00::1"}, {"subnet": "10.0.0.0/24", "rangeEnd": 5},
        {"subnet": "10.0.0.0/24", "rangeStart": "10.0.0.9", "rangeEnd": "10.0.0.8"}, {"subnet": "10.0.0.0/24", "gateway": "x"},
    ],
)  # fmt: skip
def test_what_host_local_refuses_has_no_addresses(entry):
    assert counts({"ranges": [[entry, {"subnet": "10.9.0.0/30"}]]}) == [[(1, 0, 1)]]


@pytest.mark.parametrize("section", [{}, {"ranges": []}, {"ranges": None}, {"ranges": {}}])
def test_there_may_be_no_ranges(section):
    assert counts(section) == []
    assert counts({"ranges": [{"subnet": "10.0.0.0/24"}, [], ["x"]]}) == [[], [], []]

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judgements on what was read. That it can be read is shown in tests/integration/test_cni_info.py."""

from __future__ import annotations

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._host.leases import Holder, Lease
from ansible_collections.kubenode.network.plugins.module_utils._host.runtime import Settings
from ansible_collections.kubenode.network.plugins.module_utils._info import facts

OLD, YOUNG = 3600, 10
SEEN = Holder("c", "eth0", ("10.244.1.2",), "/run/netns/x", True)
UNSEEN = SEEN._replace(netns_alive=None)


def listed(container_id):
    return True


@pytest.mark.parametrize(
    ("reason", "age", "holder", "alive", "orphaned"),
    [
        (None, OLD, None, facts._nobody, True),
        (None, YOUNG, None, facts._nobody, None),
        (None, OLD, None, None, None),
        ("its sandbox exists", OLD, None, listed, False),
        ("its sandbox exists", YOUNG, UNSEEN, listed, False),
        ("its network namespace is alive", OLD, SEEN, None, False),
        ("whether it is alive cannot be seen", OLD, UNSEEN, facts._nobody, None),
        ("whether it is alive cannot be seen", OLD, UNSEEN, None, None),
    ],
)
def test_a_lease_is_orphaned_only_when_that_is_known(reason, age, holder, alive, orphaned):
    lease = Lease("10.244.1.2", "c", "eth0", "/var/lib/cni/networks/mynet/10.244.1.2", 0.0)
    assert facts._lease_fact(lease, reason, age, holder, alive).orphaned is orphaned


def test_a_lease_that_does_not_say_whose_it_is_stays_undecided():
    lease = Lease("10.244.1.2", "", "", "/x", 0.0)
    assert facts._lease_fact(lease, "/x does not say whose it is", OLD, None, listed).orphaned is None


@pytest.mark.parametrize(
    ("said", "release"), [("1.6.20~ds1", "1.6.20"), ("v2.1.0-rc.1", "2.1.0"), ("v1.7.27-k3s1", "1.7.27"), ("", "")]
)
def test_the_release_of_a_runtime(said, release):
    assert facts._release(said) == release


@pytest.mark.parametrize("said", [{}, {"PluginDirs": "/x", "PluginConfDir": "/y"}, {"PluginDirs": ["x"], "PluginConfDir": "/y"}, {"PluginDirs": ["/x"]}])
def test_settings_that_a_runtime_does_not_say_are_those_of_its_file(said):
    assert facts._said_settings(said, Settings(source="/etc/x"), "containerd", "/run/x") == Settings(source="/etc/x")

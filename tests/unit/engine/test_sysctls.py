# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._converge import Part, Want
from ansible_collections.kubenode.network.plugins.module_utils._host import sysctls
from ansible_collections.kubenode.network.plugins.module_utils._resources.sysctl import BrNetfilter, Sysctl, revive

KEY = "net/bridge/bridge-nf-call-iptables"


@pytest.fixture
def kernel(tmp_path, monkeypatch):
    """A folder in place of /proc/sys, in which the module brings its key along."""
    root = tmp_path / "sys"
    (root / "net").mkdir(parents=True)

    def load_module(name):
        (root / "net" / "bridge").mkdir()
        (root / KEY).write_text("1\n")

    monkeypatch.setattr(sysctls, "ROOT", str(root))
    monkeypatch.setattr(sysctls, "load_module", load_module)
    return root


def part(desired, *wants):
    return Part("sysctls", "node", desired, list(wants), revive)


@pytest.mark.parametrize("value", ["0", "1"])
def test_a_key_that_came_with_a_module_stays_with_it(disk, kernel, value):
    disk.converge(part({}, Want(BrNetfilter(), {"loaded": True}), Want(Sysctl(KEY), value)))
    assert (kernel / KEY).read_text().strip() == value
    outcome = disk.converge(part(None))
    assert [change.resource.id for change in outcome.changes] == [f"document:{disk.document}"]
    assert not disk.document.exists() and (kernel / KEY).exists()


def test_a_key_that_was_there_gets_its_value_back(disk, kernel):
    sysctls.load_module("br_netfilter")
    disk.converge(part({}, Want(BrNetfilter(), {"loaded": True}), Want(Sysctl(KEY), "0")))
    assert (kernel / KEY).read_text().strip() == "0"
    disk.converge(part(None))
    assert (kernel / KEY).read_text().strip() == "1" and not disk.document.exists()


def test_a_key_that_went_with_its_link_is_forgotten(disk, kernel):
    (kernel / "accept_ra").write_text("1\n")
    disk.converge(part({}, Want(Sysctl("accept_ra"), "2")))
    (kernel / "accept_ra").unlink()
    disk.converge(part(None))
    assert not disk.document.exists() and not (kernel / "accept_ra").exists()


@pytest.mark.parametrize("key, what", [
    ("net/ipv6/conf/eth9/accept_ra", "link eth9"),
    ("net/ipv4/conf/eth0.100/rp_filter", "link eth0.100"),
    ("net/ipv6/neigh/eth9/base_reachable_time", "link eth9"),
    ("net/ipv6/conf/eth0/accept_ra", None),
    ("net/ipv6/conf/all/forwarding", None),
    ("net/ipv4/ip_forward", None),
    (KEY, None),
])  # fmt: skip
def test_a_parameter_waits_for_its_link_and_for_nothing_else(kernel, key, what):
    """Without IPv6 in the kernel, there is none of its keys for a link that is there."""
    for link in ("all", "default", "eth0"):
        (kernel / "net" / "ipv4" / "conf" / link).mkdir(parents=True)
    assert Sysctl(key).waits_for() == what

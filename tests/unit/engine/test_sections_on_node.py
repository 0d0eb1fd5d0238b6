# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What sections make of their options on a node that is there."""

from __future__ import annotations

import json

import pytest
from ansible_collections.kubenode.network.plugins.module_utils import _execution
from ansible_collections.kubenode.network.plugins.module_utils._cni import entries
from ansible_collections.kubenode.network.plugins.module_utils._converge import Part, Want
from ansible_collections.kubenode.network.plugins.module_utils._document import Document
from ansible_collections.kubenode.network.plugins.module_utils._host import links, routes, sysctls
from ansible_collections.kubenode.network.plugins.module_utils._resources import cni_entry
from ansible_collections.kubenode.network.plugins.module_utils._sections import kubenet_bridge, networks
from ansible_collections.kubenode.network.plugins.module_utils._sections.base import Run

LIST = '{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "ptp"}]}'


def options(section, **given):
    return {**{name: option.get("default") for name, option in section.OPTIONS.items()}, **given}


# networks


def test_a_network_that_goes_gives_back_its_portmap_entry_in_a_list_of_others(disk):
    theirs, entry = disk.root / "20-x.conflist", entries.portmap_entry({})
    theirs.write_text(LIST)
    disk.converge(Part("portmap", "n", {"entry": entry}, [Want(cni_entry.CniEntry(str(theirs), "portmap"), entry)], cni_entry.revive))
    ours = disk.want(disk.root / "10-n.conflist", b"x")
    disk.converge(Part("networks", "n", {"conf_dir": str(disk.root)}, [ours], networks.revive))
    assert "portmap" in theirs.read_text()
    run = disk.new_run()
    _execution.settle(networks.parts(options(networks, name="n", state="absent"), run), run, _execution.Terms("a test"))
    assert json.loads(theirs.read_text()) == json.loads(LIST)
    assert not (disk.root / "10-n.conflist").exists() and not disk.document.exists()


def plan_network(disk, filename):
    """A run that has network n in this file, as far as its plan."""
    run = disk.new_run()
    desired = {"conf_dir": str(disk.root), "filename": filename, "cni_version": "1.0.0", "plugins": [{"type": "ptp"}], "loopback": False, "mode": "0644"}
    part = networks.own_part("n", desired, {}, run)
    networks.finish(run)
    return part, run


def test_a_network_that_changes_its_file_is_not_beaten_by_its_old_one(disk):
    old = disk.root / "05-n.conflist"
    disk.converge(Part("networks", "n", {"conf_dir": str(disk.root), "filename": old.name}, [disk.want(old, LIST.encode())], networks.revive))
    _part, run = plan_network(disk, "10-n.conflist")
    assert (run.results["winner"], run.warnings) == ("10-n.conflist", [])


def test_an_old_file_that_somebody_else_had_before_comes_back_and_wins(disk):
    old = disk.root / "05-n.conflist"
    old.write_text(LIST)
    disk.converge(Part("networks", "n", {"conf_dir": str(disk.root), "filename": old.name}, [disk.want(old, LIST.encode())], networks.revive))
    _part, run = plan_network(disk, "10-n.conflist")
    assert run.results["winner"] == "05-n.conflist"
    assert run.warnings == [f"networks: in {disk.root} 05-n.conflist sorts before 10-n.conflist, so pods get the network of 05-n.conflist"]


# kubenet_bridge


@pytest.fixture
def uplink(monkeypatch):
    """A node whose default route leaves by an eth0 of the MTU that the function it returns is told."""

    def run_with(mtu):
        link = links.Link("eth0", 2, "", mtu, frozenset({"UP", "LOWER_UP"}), "", "", "", ())
        run = Run(Document({}))
        run.__dict__["links"] = {"eth0": link}
        return run

    monkeypatch.setattr(routes, "others", list)
    monkeypatch.setattr(routes, "default_route_links", lambda: {"eth0"})
    monkeypatch.setattr(routes, "next_hop_links", lambda: {"eth0"})
    monkeypatch.setattr(sysctls, "read", lambda key: "0")
    return run_with


def test_an_automatic_mtu_that_is_too_small_for_ipv6_is_refused(uplink):
    run = uplink(1000)
    kubenet_bridge.parts(options(kubenet_bridge, pod_cidrs=["fd00::/64"]), run)
    said = ["mtu: auto finds 1000 of eth0, too small for the IPv6 pod CIDR (expected interfaces, or an mtu, of at least 1280)"]
    assert [str(problem) for problem in run.problems] == said


@pytest.mark.parametrize("mtu, pod_cidr", [(1000, "10.244.1.0/24"), (1280, "fd00::/64")])
def test_an_automatic_mtu_that_will_do_is_taken(uplink, mtu, pod_cidr):
    run = uplink(mtu)
    (part,) = kubenet_bridge.parts(options(kubenet_bridge, pod_cidrs=[pod_cidr]), run)
    assert run.problems == [] and part.desired["mtu"] == mtu


@pytest.mark.parametrize(
    "mtu, pod_cidr, overhead, expected",
    [
        (9001, "10.244.1.0/24", "128", 8873),  # the example of Kubernetes' manual for IPsec
        (1500, "10.244.1.0/24", "vxlan/ipv4", 1450),
        (1500, "fd00::/64", "vxlan/ipv6", 1430),
        (1500, "10.244.1.0/24", "calico/ipip", 1480),
        (1360, "fd00::/64", "wireguard/ipv6", 1280),
        (1359, "fd00::/64", "wireguard/ipv6", "mtu_overhead: 'wireguard/ipv6' leaves 1279 of the 1359 of eth0, too small for the IPv6 pod CIDR"),
        (600, "10.244.1.0/24", "25", "mtu_overhead: '25' leaves 575 of the 600 of eth0, too small for pods"),
    ],
)  # fmt: skip
def test_an_overhead_is_taken_off_what_was_found(uplink, mtu, pod_cidr, overhead, expected):
    run = uplink(mtu)
    (part,) = kubenet_bridge.parts(options(kubenet_bridge, pod_cidrs=[pod_cidr], mtu_overhead=overhead), run)
    if isinstance(expected, int):
        assert (run.problems, part.desired["mtu"]) == ([], expected)
    else:
        assert [str(problem) for problem in run.problems] == [f"{expected} (expected interfaces, or an mtu, of at least {mtu + 1})"]


def test_resolved_options_give_the_same_part(uplink):
    run = uplink(1500)
    given = options(kubenet_bridge, pod_cidrs=["10.244.1.0/24", "fd00::/64"], mtu_overhead="cilium/vxlan", hairpin_mode="none", txqueuelen=500)
    (part,) = kubenet_bridge.parts(given, run)
    (again,) = kubenet_bridge.parts(kubenet_bridge.resolved(part.desired), uplink(1400))
    assert set(kubenet_bridge.resolved(part.desired)) == set(kubenet_bridge.OPTIONS)
    assert kubenet_bridge.check(kubenet_bridge.resolved(part.desired)) == []
    assert again.desired == part.desired
    assert [(want.resource.id, want.state) for want in again.wants] == [(want.resource.id, want.state) for want in part.wants]

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import json

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import foreign, loader

OURS = "10-mynet.conflist"


def network(*types):
    return json.dumps({"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": kind} for kind in types or ["bridge"]]})


def find(files, *, program="containerd", ours=(OURS,), main=(OURS,)):
    texts = {OURS: network(), **files}
    reader = loader.Loader(program)
    found = foreign.findings(reader, loader.view(reader, texts), texts, set(ours), set(main))
    return {finding.filename: finding for finding in found}


def kinds(files, **options):
    return {name: (finding.kind, finding.harmful) for name, finding in find(files, **options).items()}


@pytest.mark.parametrize("name, expected", [
    ("05-x.conflist", ("first", True)),
    (".05-x.json", ("first", True)),
    ("20-x.conflist", None),
    ("10-mynet.conf", ("sibling", True)),
    ("10-mynet.json", ("sibling", False)),
    ("87-podman-bridge.conflist", ("vendor", False)),
    ("200-loopback.conf", ("vendor", False)),
    ("10-crio-bridge.conflist", ("first", True)),
    ("10-mynet.conflist.bak", None),
])  # fmt: skip
def test_what_is_in_the_way(name, expected):
    text = network() if name.endswith("conflist") else json.dumps({"name": "x", "type": "ptp"})
    assert kinds({name: text}) == ({name: expected} if expected else {})


def test_a_broken_file_matters_only_ahead():
    assert kinds({"05-x.conflist": "{", "20-y.conflist": "{"}) == {"05-x.conflist": ("broken", True)}
    assert "containerd stops at it and loads nothing: is not valid JSON" in find({"05-x.conflist": "{"})["05-x.conflist"].message
    assert "crio passes it over" in find({"05-x.conflist": "{"}, program="crio")["05-x.conflist"].message


def test_only_the_one_that_wins_is_said_to():
    found = find({"05-a.conflist": network(), "06-crio-x.conflist": network()})
    assert found["05-a.conflist"].message == "05-a.conflist sorts before 10-mynet.conflist, so pods get the network of 05-a.conflist"
    assert found["06-crio-x.conflist"].message == "06-crio-x.conflist sorts before 10-mynet.conflist"


def test_a_vendors_file_that_comes_first_says_whose_it_is():
    found = find({"10-containerd-net.conflist": network()})["10-containerd-net.conflist"]
    assert found.message == ("10-containerd-net.conflist (a default of containerd) sorts before 10-mynet.conflist, "
                             "so pods get the network of 10-containerd-net.conflist")  # fmt: skip


@pytest.mark.parametrize("types", [("multus",), ("multus-shim",), ("cilium-cni",), ("aws-cni", "cilium-cni")])
def test_what_is_meant_to_come_first_is_not(types):
    assert kinds({"00-x.conflist": network(*types), "05-y.conflist": network()}) == {"05-y.conflist": ("first", True)}
    assert kinds({"00-x.conf": json.dumps({"name": "x", "type": types[-1]})}) == {}


def test_our_other_networks_are_not():
    assert kinds({"05-ours.conflist": network()}, ours=(OURS, "05-ours.conflist")) == {}


def test_podman_does_not_read_single_ones():
    assert kinds({"05-x.conf": json.dumps({"name": "x", "type": "ptp"})}, program="podman") == {}

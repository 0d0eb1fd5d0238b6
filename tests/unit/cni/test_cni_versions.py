# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import versions

ALL = "0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0"
RELEASE = "this is the version of the CNI specification, not the release of the plugins"


def test_ascending():
    assert list(versions.SPEC_VERSIONS) == sorted(versions.SPEC_VERSIONS, key=versions.number)
    assert ", ".join(versions.SPEC_VERSIONS) == ALL


@pytest.mark.parametrize("version", versions.SPEC_VERSIONS)
def test_known(version):
    assert versions.check_version(version, "cni_version") == []


@pytest.mark.parametrize(
    ("version", "message"),
    [
        ("1.9.1", f"'1.9.1' is not a version of the CNI specification (expected one of {ALL}); {RELEASE}"),
        ("v1.1.1", f"'v1.1.1' is not a version of the CNI specification (expected one of {ALL}); {RELEASE}"),
        ("v1.0.0", f"'v1.0.0' has a letter in front (expected one of {ALL}); {RELEASE}"),
        ("1.0", f"'1.0' is not a version of the CNI specification with three parts (expected one of {ALL})"),
        ("", f"'' is not a version of the CNI specification with three parts (expected one of {ALL})"),
        ("1.0.0 ", f"'1.0.0 ' is not a version of the CNI specification with three parts (expected one of {ALL})"),
        (1.0, f"1.0 is not a string (expected one of {ALL})"),
    ],
)
def test_unknown(version, message):
    assert [tuple(problem) for problem in versions.check_version(version, "cni_version")] == [("cni_version", message)]


OLD = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0"]
DEBIAN = [*OLD, "1.0.0"]
NEW = [*DEBIAN, "1.1.0"]


@pytest.mark.parametrize(
    ("supported", "ceiling", "chosen"),
    [
        ({"bridge": DEBIAN, "host-local": DEBIAN}, "1.0.0", "1.0.0"),
        ({"bridge": NEW, "host-local": NEW}, "1.0.0", "1.0.0"),
        ({"bridge": NEW, "host-local": NEW}, "1.1.0", "1.1.0"),
        ({"bridge": NEW, "host-local": OLD}, "1.1.0", "0.4.0"),
        ({"bridge": NEW, "host-local": NEW}, "0.3.1", "0.3.1"),
        ({"bridge": ["0.3.1"], "firewall": ["0.4.0", "1.0.0"]}, "1.0.0", None),
        ({"bridge": NEW, "calico": []}, "1.0.0", None),
        # A version newer than the specification we know is not chosen, though everyone answers it.
        ({"bridge": ["1.2.0", "1.0.0"]}, "1.2.0", "1.0.0"),
        ({}, "1.0.0", "1.0.0"),
    ],
)
def test_choose(supported, ceiling, chosen):
    assert versions.choose(supported, ceiling) == chosen


def test_choose_stays_below_what_current_loaders_know_by_default():
    assert versions.choose({"bridge": NEW}) == "1.0.0"


def test_unsupported_names_the_plugins_in_order():
    supported = {"bridge": NEW, "firewall": DEBIAN, "host-local": OLD}
    assert versions.unsupported("1.1.0", supported) == ["firewall", "host-local"]
    assert versions.unsupported("0.4.0", supported) == []


@pytest.mark.parametrize(
    ("version", "limit", "answer"),
    [("0.3.1", "0.4.0", True), ("0.4.0", "0.4.0", False), ("1.0.0", "0.4.0", False), (None, "0.4.0", False), ("0.x", "0.4.0", False)],
)
def test_older(version, limit, answer):
    assert versions.older(version, limit) is answer


@pytest.mark.parametrize(
    ("loader", "release", "highest"),
    [
        ("containerd", "1.4.13", "0.4.0"),
        ("containerd", "1.6.20", "1.0.0"),
        ("containerd", "1.7.24", "1.0.0"),
        ("containerd", "2.0", "1.1.0"),
        ("containerd", "2.1.9", "1.1.0"),
        ("containerd", "", "1.0.0"),
        ("crio", "1.24.6", "1.0.0"),
        ("crio", "1.31.9", "1.0.0"),
        ("crio", "1.32.0", "1.1.0"),
        ("crio", "", "1.0.0"),
        ("podman", "4.3.1", "1.0.0"),
        ("dockershim", "1.23.17", "0.4.0"),
        ("dockershim", "", "0.4.0"),
        ("libcni", "", "1.0.0"),
        ("", "", "1.0.0"),
    ],
)
def test_what_a_loader_speaks(loader, release, highest):
    """cni.md 2.5."""
    assert versions.ceiling(loader, release) == highest


@pytest.mark.parametrize(("loader", "release", "libcni"), [
    ("containerd", "1.5.9", "0.8.1"), ("containerd", "1.6.20", "1.1.1"), ("containerd", "1.7", "1.1.2"), ("containerd", "2.0.5", "1.2.3"),
    ("containerd", "2.1.9", "1.3.0"), ("containerd", "3.0", "1.3.0"), ("crio", "1.30.2", "1.1.2"), ("crio", "1.33.1", "1.2.3"), ("crio", "1.34", "1.3.0"),
    ("containerd", "", None), ("other", "1.0", None),
])  # fmt: skip
def test_libcni_inside_of_a_loader(loader, release, libcni):
    assert versions.libcni_of(loader, release) == libcni

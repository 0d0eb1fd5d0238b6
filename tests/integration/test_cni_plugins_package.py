# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugin binaries by a package: with dnf and with apt, out of repositories that are made here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from testbed import Node, packages

INSTALLED = Path("/usr/lib/cni")
SOME = ("bridge", "host-local", "loopback", "portmap")
OPT, LIBEXEC, LIB = "/opt/cni/bin", "/usr/libexec/cni", "/usr/lib/cni"
NETWORK = {"name": "mynet", "plugins": [{"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.244.0.0/16"}}]}


@pytest.fixture(scope="session")
def binaries(tmp_path_factory):
    """Real plugins, and a file beside them that is none."""
    folder = tmp_path_factory.mktemp("binaries")
    for name in SOME:
        shutil.copy(INSTALLED / name, folder)
    (folder / "other").write_text("#!/bin/sh\n")
    (folder / "other").chmod(0o755)
    return folder


@pytest.fixture(scope="session")
def rpms(tmp_path_factory, binaries):
    folder = tmp_path_factory.mktemp("rpms")
    packages.rpm(folder, "kubernetes-cni", "1.4.0", binaries, OPT)
    packages.rpm(folder, "containernetworking-plugins", "1.1.1", binaries, LIBEXEC)
    packages.rpm(folder, "kubelet", "1.30.0", None, OPT, "Requires: kubernetes-cni")
    return folder


@pytest.fixture(scope="session")
def debs(tmp_path_factory, binaries):
    folder = tmp_path_factory.mktemp("debs")
    packages.deb(folder, "containernetworking-plugins", "1.1.1-1", binaries, LIB)
    packages.deb(folder, "kubernetes-cni", "1.4.0-1", binaries, OPT)
    packages.deb(folder, "kubelet", "1.30.0-1", None, OPT, "Depends: kubernetes-cni\n")
    return folder


@pytest.fixture
def fedora(rpms):
    with Node() as node:
        packages.use_dnf(node, rpms)
        yield node


@pytest.fixture
def debian(debs):
    with Node() as node:
        packages.use_apt(node, debs)
        yield node


def plugins(node, check=False, **options):
    return node.module("cni_plugins", options, check=check)


def resources(result):
    assert not result.get("failed"), result["msg"]
    return [change["resource"] for change in result["changes"]]


def rpm_installed(node, name):
    return node.run(["rpm", "--query", name], check=False).returncode == 0


def deb_installed(node, name):
    return node.run(["dpkg-query", "--show", "--showformat=${db:Status-Status}", name], check=False).stdout == "installed"


def listing(node, folder):
    return node.run(["ls", "-la", "--time-style=+", folder], check=False).stdout


def check_life(node, is_installed, name, bin_dir, linked_to=None):
    """Planned, installed, left alone, used by a network in the same run, removed."""
    options = {"package": name, "bin_dir": bin_dir}
    before = listing(node, bin_dir)
    planned = plugins(node, check=True, **options)
    assert resources(planned) and not is_installed(node, planned["cni_plugins"]["package"])
    assert listing(node, bin_dir) == before

    network = {"networks": [{**NETWORK, "bin_dirs": [bin_dir]}]}
    whole = node.module("node_network", {"cni_plugins": options, **network}, check=True)
    assert whole["networks"]["mynet"]["cni_version"] == "1.0.0"
    assert not is_installed(node, planned["cni_plugins"]["package"])

    done = plugins(node, **options)
    assert done["changes"] == planned["changes"]
    assert is_installed(node, done["cni_plugins"]["package"])
    assert set(done["cni_plugins"]["plugins"]) == set(SOME)
    assert node.run([f"{bin_dir}/bridge"], env={"CNI_COMMAND": "VERSION"}, input='{"cniVersion": "1.0.0"}').stdout.startswith("{")
    if linked_to:
        assert node.run(["readlink", *(f"{bin_dir}/{name}" for name in SOME)]).stdout.split() == [f"{linked_to}/{name}" for name in SOME]
    assert plugins(node, **options)["changed"] is False
    assert node.module("node_network", {"cni_plugins": options, **network})["networks"]["mynet"]["cni_version"] == "1.0.0"
    refused = plugins(node, bin_dir=bin_dir, state="absent")
    assert "the network mynet needs bridge, host-local, which would go" in refused["msg"]

    assert not node.module("cni_config", {"name": "mynet", "state": "absent"}).get("failed")
    gone = plugins(node, bin_dir=bin_dir, state="absent")
    assert not gone.get("failed"), gone["msg"]
    assert not is_installed(node, done["cni_plugins"]["package"])
    assert listing(node, bin_dir) == before
    assert not node.exists("/etc/kubenode-network/node.json")


def test_kubernetes_cni_with_dnf_as_the_handbook_has_it(fedora):
    check_life(fedora, rpm_installed, "kubernetes-cni", OPT)


def test_the_package_of_a_fedora_with_links_for_the_runtime(fedora):
    check_life(fedora, rpm_installed, "auto", OPT, linked_to=LIBEXEC)


def test_the_package_of_a_debian_with_links_for_the_runtime(debian):
    check_life(debian, deb_installed, "auto", OPT, linked_to=LIB)


def test_kubernetes_cni_with_apt(debian):
    check_life(debian, deb_installed, "kubernetes-cni", OPT)


# What was there before


def test_what_a_package_overwrites_is_given_back(fedora):
    fedora.write(f"{OPT}/bridge", "#!/bin/sh\necho mine\n", 0o700)
    fedora.write(f"{OPT}/calico", "#!/bin/sh\necho calico\n", 0o755)
    before = listing(fedora, OPT)
    done = plugins(fedora, package="kubernetes-cni", bin_dir=OPT)
    assert resources(done)[:2] == [f"file:{OPT}/bridge", "package:kubernetes-cni"]
    assert fedora.run(["rpm", "--verify", "kubernetes-cni"]).stdout == ""
    assert plugins(fedora, package="kubernetes-cni", bin_dir=OPT)["changed"] is False
    plugins(fedora, bin_dir=OPT, state="absent")
    assert listing(fedora, OPT) == before
    assert fedora.read(f"{OPT}/bridge") == "#!/bin/sh\necho mine\n"


def test_a_link_takes_the_place_of_a_file_and_gives_it_back(debian):
    debian.write(f"{OPT}/bridge", "#!/bin/sh\necho mine\n", 0o700)
    before = listing(debian, OPT)
    resources(plugins(debian, package="auto", bin_dir=OPT))
    plugins(debian, bin_dir=OPT, state="absent")
    assert listing(debian, OPT) == before
    assert debian.read(f"{OPT}/bridge") == "#!/bin/sh\necho mine\n"


def test_a_package_that_was_there_stays(debian):
    debian.run(["apt-get", "install", "-y", "containernetworking-plugins"], timeout=60)
    changed = resources(plugins(debian, package="auto", bin_dir=OPT))
    assert f"file:{OPT}/bridge" in changed and "package:containernetworking-plugins" not in changed
    plugins(debian, bin_dir=OPT, state="absent")
    assert deb_installed(debian, "containernetworking-plugins")
    assert not debian.exists(f"{OPT}/bridge")


@pytest.mark.parametrize("kind", ["fedora", "debian"])
def test_a_package_that_others_need_by_now_stays(kind, request):
    node, is_installed, add = request.getfixturevalue(kind), rpm_installed, ["dnf", "-y", "--disableexcludes=all", "install", "kubelet"]
    if kind == "debian":
        is_installed, add = deb_installed, ["apt-get", "install", "-y", "kubelet"]
    resources(plugins(node, package="kubernetes-cni", bin_dir=OPT))
    node.run(add, timeout=60)
    gone = plugins(node, bin_dir=OPT, state="absent")
    assert not gone.get("failed"), gone["msg"]
    assert is_installed(node, "kubelet") and is_installed(node, "kubernetes-cni")
    assert node.exists(f"{OPT}/bridge")


def test_a_failure_behind_the_package_takes_it_away_again(debian):
    """The last plugin cannot be linked, because a folder has its name."""
    debian.run(["mkdir", "-p", f"{OPT}/portmap/x"])
    before = listing(debian, OPT)
    failed = plugins(debian, package="auto", bin_dir=OPT)
    assert failed["failed"]
    assert not deb_installed(debian, "containernetworking-plugins")
    assert listing(debian, OPT) == before


def test_half_of_a_package_is_taken_away_again(tmp_path, binaries):
    packages.deb(tmp_path, "containernetworking-plugins", "1.1.1-1", binaries, LIB, script="#!/bin/sh\nexit 1\n")
    with Node() as node:
        packages.use_apt(node, tmp_path)
        failed = plugins(node, package="auto", bin_dir=OPT)
        assert failed["failed"] and failed["msg"].endswith("the node is as it was")
        assert not node.exists(f"{LIB}/bridge") and not node.exists(f"{OPT}/bridge")


def test_half_of_a_package_that_was_there_is_made_whole_and_stays(debian):
    debian.run(["sh", "-c", "cd /run && apt-get download containernetworking-plugins && dpkg --unpack *.deb"])
    assert "package:containernetworking-plugins" in resources(plugins(debian, package="auto", bin_dir=OPT))
    assert deb_installed(debian, "containernetworking-plugins")
    plugins(debian, bin_dir=OPT, state="absent")
    assert deb_installed(debian, "containernetworking-plugins") and not debian.exists(f"{OPT}/bridge")


@pytest.mark.parametrize("relation", ["Conflicts", "Breaks", "Replaces"])
def test_no_other_package_goes_for_one_with_apt(tmp_path, binaries, relation):
    more = f"{relation}: victim\n" + ("Conflicts: victim\n" if relation == "Replaces" else "")
    packages.deb(tmp_path, "containernetworking-plugins", "1.1.1-1", binaries, LIB, more)
    packages.deb(tmp_path, "victim", "1-1", None, LIB)
    check_victim(tmp_path, packages.use_apt, ["apt-get", "install", "-y", "victim"], deb_installed, "Packages need to be removed but remove is disabled")


def test_no_other_package_goes_for_one_with_dnf(tmp_path, binaries):
    packages.rpm(tmp_path, "containernetworking-plugins", "1.1.1", binaries, LIBEXEC, "Conflicts: victim")
    packages.rpm(tmp_path, "victim", "1", None, LIBEXEC)
    check_victim(tmp_path, packages.use_dnf, ["dnf", "-y", "install", "victim"], rpm_installed, "conflicts with victim")


def check_victim(repository, use, install, is_installed, said):
    with Node() as node:
        use(node, repository)
        node.run(install, timeout=60)
        failed = plugins(node, package="auto", bin_dir=OPT)
        assert failed.get("failed") and said in failed["msg"], failed
        assert is_installed(node, "victim") and not is_installed(node, "containernetworking-plugins")
        assert not node.exists(OPT)


def test_the_password_of_a_repository_is_in_no_error(fedora):
    fedora.write("/etc/yum.repos.d/local.repo", "[local]\nname=local\nbaseurl=http://me:se%40cret@127.0.0.1:9/x\ngpgcheck=0\n")
    refused = plugins(fedora, package="auto")
    assert "127.0.0.1:9/x" in refused["msg"] and "cret" not in refused["msg"] and "me:" not in refused["msg"]


# From one source to another


def test_from_files_to_a_package_in_the_same_folder(fedora, binaries):
    resources(plugins(fedora, src=str(binaries), remote_src=True, bin_dir=OPT))
    resources(plugins(fedora, package="kubernetes-cni", bin_dir=OPT))
    assert fedora.run(["rpm", "--verify", "kubernetes-cni"]).stdout == ""
    other = {"src": str(INSTALLED), "remote_src": True, "bin_dir": OPT, "plugins": ["tuning"]}
    assert not plugins(fedora, check=True, **other).get("failed")
    fedora.run(["sh", "-c", f"cp {INSTALLED}/tuning /run/bridge"])
    refused = plugins(fedora, **{**other, "src": "/run", "plugins": ["bridge"]})
    assert refused["msg"] == (
        f"nothing was changed: package: {OPT} holds the files of the package kubernetes-cni, which an earlier run took them from "
        "(expected kubernetes-cni still, or state=absent before another source)"
    )
    plugins(fedora, bin_dir=OPT, state="absent")
    assert not fedora.exists(OPT)


def test_from_files_to_links_and_back(debian, binaries):
    resources(plugins(debian, src=str(binaries), remote_src=True, bin_dir=OPT))
    resources(plugins(debian, package="auto", bin_dir=OPT))
    assert debian.run(["readlink", f"{OPT}/bridge"]).stdout == f"{LIB}/bridge\n"
    resources(plugins(debian, src=str(binaries), remote_src=True, bin_dir=OPT))
    assert debian.run(["readlink", f"{OPT}/bridge"], check=False).stdout == ""
    assert not deb_installed(debian, "containernetworking-plugins")


def test_files_over_those_of_a_package_are_told_with_its_name(fedora, tmp_path):
    fedora.run(["dnf", "-y", "--disableexcludes=all", "install", "kubernetes-cni"], timeout=60)
    (tmp_path / "bridge").write_text("#!/bin/sh\n")
    (tmp_path / "bridge").chmod(0o755)
    done = plugins(fedora, src=str(tmp_path), remote_src=True, bin_dir=OPT)
    assert done["warnings"] == [f"cni_plugins: bridge in {OPT} belong to the package kubernetes-cni, whose next update brings its own back"]
    plugins(fedora, bin_dir=OPT, state="absent")
    assert fedora.run(["rpm", "--verify", "--nomtime", "kubernetes-cni"]).stdout == ""


def test_absent_leaves_what_a_package_put_there_meanwhile(fedora, binaries):
    resources(plugins(fedora, src=str(binaries), remote_src=True, bin_dir=OPT))
    fedora.run(["dnf", "-y", "--disableexcludes=all", "install", "kubernetes-cni"], timeout=60)
    resources(plugins(fedora, bin_dir=OPT, state="absent"))
    assert fedora.run(["rpm", "--verify", "kubernetes-cni"]).stdout == ""


# What is refused


HANDBOOK = "[kubernetes]\nname=Kubernetes\nbaseurl={}\nenabled={}\ngpgcheck=0\n"


@pytest.mark.parametrize("address", ["http://yum.kubernetes.io/repos/kubernetes-el7-x86_64",
                                     "https://packages.cloud.google.com/yum/repos/kubernetes-el7-x86_64"])
def test_the_address_of_the_handbook_is_refused(fedora, address):
    fedora.write("/etc/yum.repos.d/kubernetes.repo", HANDBOOK.format(address.replace("://", "://me:secret@"), 1))
    refused = plugins(fedora, package="kubernetes-cni")
    address = address.replace("://", "://********@")
    assert refused["msg"] == (
        f"nothing was changed: package: 'kubernetes-cni' would come from {address}, by /etc/yum.repos.d/kubernetes.repo, which was taken "
        "away (expected its successor https://pkgs.k8s.io/core:/stable:/vX.Y/rpm/ there)"
    )
    fedora.write("/etc/yum.repos.d/kubernetes.repo", HANDBOOK.format(address, 0))
    assert plugins(fedora, check=True, package="kubernetes-cni")["changed"]


def test_the_address_of_the_handbook_for_apt(debian):
    debian.write("/etc/apt/sources.list.d/k.list", "deb [signed-by=/x.gpg] https://apt.kubernetes.io/ kubernetes-xenial main\n")
    debian.write("/etc/apt/sources.list.d/cloud.list", "deb https://packages.cloud.google.com/apt cloud-sdk-bookworm main\n")
    refused = plugins(debian, package="kubernetes-cni")
    assert "would come from https://apt.kubernetes.io/, by /etc/apt/sources.list.d/k.list" in refused["msg"]
    assert "https://pkgs.k8s.io/core:/stable:/vX.Y/deb/" in refused["msg"] and "cloud" not in refused["msg"]


@pytest.mark.parametrize(
    "options, text",
    [
        ({"package": "nginx"}, "package: 'nginx' is not known to have the plugins on rocky (expected auto or containernetworking-plugins or kubernetes-cni)"),
        ({"package": "kubernetes-cni", "bin_dir": OPT, "plugins": ["bridge"]}, "plugins: ['bridge'] cannot be chosen from kubernetes-cni"),
        ({"package": "auto", "plugins": ["vlan"]}, "plugins[0]: 'vlan' is not in the package containernetworking-plugins (expected some of bridge"),
    ],
)
def test_packages_that_will_not_do(fedora, options, text):
    refused = plugins(fedora, **options)
    assert refused.get("failed") and text in refused["msg"]


def test_a_repository_without_the_package(fedora, tmp_path):
    fedora.write("/etc/yum.repos.d/local.repo", "")
    refused = plugins(fedora, package="auto")
    assert "package: 'containernetworking-plugins' cannot be looked into: dnf" in refused["msg"]
    assert "\n" not in refused["msg"]

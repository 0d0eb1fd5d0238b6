# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory of kubespray, unchanged but for kube_network_plugin, and what it makes of real nodes."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
from testbed import diff_dumps
from testbed.kubespray import RELEASES, Kubespray, digits, make_archive, put_archive
from testbed.paths import HERE
from testbed.traffic import Server, tcp

BIN_DIR = "/opt/cni/bin"
PLUGINS = ("bridge", "host-local", "loopback", "portmap")


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_archive(tmp_path_factory.mktemp("release") / "cni.tgz", PLUGINS, Path("/usr/lib/cni"))


@pytest.fixture
def cluster(tmp_path):
    with Kubespray(1, tmp_path) as made:
        yield made


def document(node):
    return json.loads(node.read("/etc/kubenode-network/node.json"))["sections"]


def desired(node):
    """section -> what the document says of its one instance."""
    return {name: part["desired"] for name, parts in document(node).items() for part in parts.values()}


def failures(play):
    return [task["result"]["msg"] for task in play.tasks if task["status"] == "failed"]


def left_of(before, node):
    """What is left of us; the folder that a runtime watches stays."""
    return [line for line in diff_dumps(before, node.dump()).splitlines() if "files./etc/cni/net.d:" not in line]


# Before cluster.yml

def test_before_the_cluster_there_are_binaries_and_kernel_settings_only(cluster, archive):
    node = cluster.nodes["node1"]
    put_archive(node, archive)
    before = node.dump()
    plays = [cluster.run(*args, kubespray_moment="before") for args in (["--check"], [], ["--check"], [])]
    assert [(play.rc, play.changed) for play in plays] == [(0, 1), (0, 1), (0, 0), (0, 0)], plays[0].stdout + plays[1].stdout
    assert set(document(node)) == {"cni_plugins", "sysctl_bridge_nf", "boot_service"}
    assert node.run(["ls", BIN_DIR]).stdout.split() == sorted(PLUGINS)
    assert node.run(["stat", "-c", "%U", BIN_DIR, f"{BIN_DIR}/bridge"]).stdout.split() == ["kube", "kube"]
    assert node.read("/proc/sys/net/ipv4/ip_forward") == "1\n"
    reset = cluster.run(kubespray_moment="reset")
    assert (reset.rc, left_of(before, node)) == (0, []), reset.stdout


@pytest.mark.parametrize("variables, message", [
    ({"kubespray_network": True}, "Before cluster.yml the network is made only if kube_controller_manager_allocate_node_cidrs is false"),
    ({"kube_network_plugin": "calico"}, "kube_network_plugin: 'calico' makes a pod network of its own (expected cni"),
    ({"ipv4_stack": False}, "ipv4_stack: false with ipv6_stack false leaves pods without addresses (expected one of them to be true)"),
    ({"kube_network_node_prefix": 26}, "kubelet_max_pods: 110 is more than the 61 addresses for pods that a node gets (expected fewer, or a shorter"),
    ({"kubelet_max_pods": 255, "ipv4_stack": "false", "ipv6_stack": "true"}, "than 120)"),
    ({"kubespray_moment": "later"}, "value of kubespray_moment must be one of: before, after, reset, got: later"),
    ({"cni_bin_owner": "nobody-here"}, "cni_plugins.owner: 'nobody-here' is no user of the node"),
    ({"cni_binary_checksum": "0" * 64}, "(expected sha256:" + "0" * 64 + "); it was not unpacked"),
    ({"cni_binary_checksum": "abc"}, "cni_plugins.checksum: 'abc' is not"),
    ({"kubespray_cni_plugins": {"src": "/nowhere", "remote_src": True}}, "cni_plugins.src: '/nowhere' is not there on the node"),
])
def test_what_is_wrong_is_said_once_and_nothing_is_touched(cluster, archive, variables, message):
    node = cluster.nodes["node1"]
    put_archive(node, archive)
    before = node.dump()
    play = cluster.run(**{"kubespray_moment": "before", **variables})
    assert (play.rc, len(failures(play))) == (2, 1), play.stdout
    assert message in failures(play)[0]
    assert diff_dumps(before, node.dump()) == ""


def test_kubesprays_own_checks_can_be_ignored(cluster, archive):
    put_archive(cluster.nodes["node1"], archive)
    play = cluster.run("--check", kubespray_moment="before", kube_network_plugin="calico", kubelet_max_pods=1000, ignore_assert_errors=True)
    assert (play.rc, play.changed) == (0, 1), play.stdout


# The plugins

LOOK = """
- hosts: all
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: kubenode.network.kubespray, tasks_from: plugins, public: true}
    - ansible.builtin.debug: {var: __kubespray_plugins_section}
"""


def test_which_archive_is_taken(cluster, archive, tmp_path):
    """That of cni_version, else the one that came last; never one that another user can have put there, unless its checksum is known."""
    node = cluster.nodes["node1"]
    playbook = tmp_path / "look.yml"
    playbook.write_text(LOOK)
    other = make_archive(tmp_path / "other.tgz", ("loopback",), Path("/usr/lib/cni"))
    newest = put_archive(node, other, "1.0.1")
    named = put_archive(node, archive)
    node.run(["touch", "-d", "2020-01-01", named])

    def taken(**extra):
        play = cluster.run(playbook=str(playbook), kubespray_moment="before", **extra)
        assert play.rc == 0, play.stdout
        section = play.tasks[-1]["result"]["__kubespray_plugins_section"]
        return (section["src"], section["checksum"]) if section else None

    assert taken() == (newest, f"sha256:{digits(other)}")
    assert taken(cni_version="1.1.1") == (named, f"sha256:{digits(archive)}")
    assert taken(cni_version="1.1.1", cni_binary_checksum="A" * 64) == (named, "sha256:" + "A" * 64)
    for command in (["chmod", "0777", RELEASES], ["chown", "kube", RELEASES], ["chmod", "0775", named], ["chown", "kube", named]):
        node.run(command)
        assert taken(cni_version="1.1.1") is None, command
        node.run(["chmod", "-R", "0755", RELEASES])
        node.run(["chown", "-R", "root", RELEASES])
    assert taken(cni_version="1.1.1", cni_binary_checksum="sha256:" + "A" * 64) == (named, "sha256:" + "A" * 64)
    assert taken(cni_version="2.0.0") is None


def plugins_of(play):
    """Names of the binaries of the one node; None when they are not managed."""
    results = [task["result"] for task in play.tasks if task["action"] == "kubenode.network.node_network"]
    return sorted(results[-1]["cni_plugins"]["plugins"]) if "cni_plugins" in results[-1] else None


def test_without_an_archive_it_is_downloaded_where_that_is_known(cluster, archive, tmp_path):
    node = cluster.nodes["node1"]
    left = cluster.run("--check", kubespray_moment="before")
    assert (left.rc, plugins_of(left)) == (0, None), left.stdout
    assert f"{BIN_DIR} is left to kubespray: there is no archive in {RELEASES} that kubespray has downloaded" in left.stdout
    served = tmp_path / "served"
    served.mkdir()
    archive_served = served / "cni-plugins-linux-amd64-v1.1.1.tgz"
    archive_served.write_bytes(archive.read_bytes())
    known = {"kubespray_moment": "before", "cni_version": "1.1.1", "cni_binary_checksum": digits(archive)}
    url = "http://127.0.0.1:8123/files/cni-plugins-linux-{{ image_arch }}-v{{ cni_version }}.tgz"
    node.write("/run/asked", "")
    with node.popen([sys.executable, str(HERE / "web.py"), str(served), "8123", "/run/asked"], stdout=subprocess.PIPE) as web:
        web.stdout.readline()
        skipped = cluster.run("--check", **known, cni_download_url=url, image_arch="amd64", skip_downloads=True)
        done = cluster.run(**known, cni_download_url=url, image_arch="amd64")
        by_proxy = cluster.run(**{**known, "cni_binary_checksum": "0" * 64}, cni_download_url="http://files.example/x.tgz", http_proxy="http://127.0.0.1:8123")
        web.kill()
    assert (plugins_of(skipped), done.rc, plugins_of(done)) == (None, 0, sorted(PLUGINS)), done.stdout
    asked = node.read("/run/asked").splitlines()
    assert asked[0].startswith(f"/files/{archive_served.name} ")
    assert by_proxy.rc == 2
    assert any("files.example" in line for line in asked[1:]), asked


# The network

OURS = {"kube_controller_manager_allocate_node_cidrs": False}
DUAL = {**OURS, "ipv6_stack": True}


def test_the_network_of_a_cluster_that_assigns_no_pod_cidrs(tmp_path, archive):
    """Before cluster.yml: three nodes, both families, pods that reach each other by their own addresses; then one node alone; then nothing."""
    with Kubespray(3, tmp_path) as cluster:
        for node in cluster.nodes.values():
            put_archive(node, archive)
        before = {name: node.dump() for name, node in cluster.nodes.items()}
        plays = [cluster.run(*args, kubespray_moment="before", **DUAL) for args in (["--check", "--diff"], [], [])]
        assert [play.rc for play in plays] == [0, 0, 0], plays[0].stdout + plays[1].stdout
        assert plays[2].changed == 0, plays[2].stdout
        store = tmp_path / "inventory" / "mycluster" / "pod-cidrs.json"
        known = store.read_text()
        one = desired(cluster.nodes["node1"])
        assert one["kubenet_bridge"]["pod_cidrs"] == ["10.233.64.0/24", "fd85:ee78:d8a6:8607::1:0/120"]
        pods_reach_each_other(cluster)
        broken = cluster.nodes["node2"]
        broken.run(["ip", "route", "flush", "proto", "kubenode"])
        untouched = cluster.nodes["node3"].dump()
        mended = cluster.run("--limit", "node2", kubespray_moment="before", **DUAL)
        assert (mended.rc, set(mended.stats), mended.changed) == (0, {"node2"}, 1), mended.stdout
        assert diff_dumps(untouched, cluster.nodes["node3"].dump()) == ""
        pods_reach_each_other(cluster)
        assert json.loads(store.read_text()) == json.loads(known)
        reset = cluster.run(kubespray_moment="reset", **DUAL)
        assert reset.rc == 0, reset.stdout
        assert [left_of(before[name], node) for name, node in cluster.nodes.items()] == [[], [], []]


def pods_reach_each_other(cluster):
    """Over all nodes, by their own addresses."""
    with ExitStack() as own:
        pods = [own.enter_context(node.pod(f"pod-{name}")) for name, node in cluster.nodes.items()]
        for there in pods:
            others = [pod for pod in pods if pod is not there]
            for family in ("ip4", "ip6"):
                with Server(there, "tcp", 80, getattr(there, family)):
                    assert [tcp(pod, getattr(there, family), 80)["source"] for pod in others] == [getattr(pod, family) for pod in others]

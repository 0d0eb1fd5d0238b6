# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An inventory of kubespray, unchanged but for kube_network_plugin, and what it makes of real nodes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import ExitStack
from ipaddress import ip_network
from pathlib import Path

import pytest
from testbed import diff_dumps
from testbed.authority import Authority
from testbed.kube_api import KubeApi
from testbed.kubespray import ADMIN_CONF, RELEASES, Kubespray, digits, make_archive, put_archive, put_kubeconfig
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


# The mapping

MAPPING = """
- hosts: cases
  gather_facts: false
  tasks:
    - ansible.builtin.include_role: {name: kubenode.network.kubespray, tasks_from: cluster, public: true}
      vars: {kubespray_network: false}
    - ansible.builtin.debug:
        msg:
          cidrs: "{{ __kubespray_cluster_cidrs }}"
          services: "{{ __kubespray_service_subnets }}"
          backend: "{{ __kubespray_backend }}"
          owner: "{{ __kubespray_owner }}"
          api: "{{ __kubespray_api }}"
          proxies: "{{ __kubespray_proxy_env }}"
          assigned: "{{ __kubespray_assigned | bool }}"
          network: "{{ __kubespray_with_network | bool }}"
"""
PODS4, PODS6 = ["10.233.64.0/18", 24], ["fd85:ee78:d8a6:8607::1:0000/112", 120]
SERVICES4, SERVICES6 = "10.233.0.0/18", "fd85:ee78:d8a6:8607::1000/116"
OURS = {"kube_controller_manager_allocate_node_cidrs": False}
NFTABLES = {"kube_proxy_mode": "nftables"}
#: variables of a host -> what they mean
CASES = (
    ({}, {"cidrs": [PODS4], "services": [SERVICES4], "backend": "auto", "owner": "kube", "assigned": True, "network": True, "proxies": {},
          "api": "https://203.0.113.1:6443"}),
    ({"ipv6_stack": True}, {"cidrs": [PODS4, PODS6], "services": [SERVICES4, SERVICES6]}),
    ({"enable_dual_stack_networks": True}, {"cidrs": [PODS4, PODS6]}),
    ({"ipv4_stack": False, "ipv6_stack": "true"}, {"cidrs": [PODS6], "services": [SERVICES6]}),
    ({"kube_pods_subnet": "10.0.0.0/12", "kube_network_node_prefix": 22}, {"cidrs": [["10.0.0.0/12", 22]]}),
    ({"kube_pods_subnets": "10.1.0.0/16", "kube_service_subnets": "10.2.0.0/16"}, {"cidrs": [["10.1.0.0/16", 24]], "services": ["10.2.0.0/16"]}),
    (NFTABLES, {"backend": "nftables"}),
    ({**NFTABLES, "kube_proxy_remove": True}, {"backend": "auto"}),
    ({"kube_owner": "root"}, {"owner": "root"}),
    ({"kube_owner": "root", "cni_bin_owner": "cni"}, {"owner": "cni"}),
    ({"http_proxy": "http://proxy.example:3128"}, {"proxies": {"http_proxy": "http://proxy.example:3128"}}),
    ({"http_proxy": "http://x", "proxy_env": {"https_proxy": "http://y"}}, {"proxies": {"https_proxy": "http://y"}}),
    ({"kube_apiserver_port": 8443}, {"api": "https://203.0.113.1:8443"}),
    ({"loadbalancer_apiserver": {"address": "2001:db8::9", "port": 443}}, {"api": "https://[2001:db8::9]:443"}),
    ({"kubespray_moment": "before"}, {"assigned": True, "network": False}),
    ({"kubespray_moment": "before", **OURS}, {"assigned": False, "network": True}),
    ({"kubespray_moment": "before", "kube_kubeadm_controller_extra_args": {"allocate-node-cidrs": "false"}}, {"assigned": False, "network": True}),
    ({"kubespray_moment": "before", "kubespray_network": False, **OURS}, {"network": False}),
    ({"kubespray_moment": "reset", "kubespray_network": True}, {"network": False}),
)


def test_what_kubesprays_variables_mean(cluster, tmp_path):
    (tmp_path / "map.yml").write_text(MAPPING)
    hosts = {f"case-{number}": {"ansible_connection": "local", "kube_network_plugin": "cni", **given} for number, (given, _means) in enumerate(CASES)}
    (tmp_path / "cases.json").write_text(json.dumps({"cases": {"hosts": hosts}}))
    play = cluster.run("-i", str(tmp_path / "cases.json"), playbook=str(tmp_path / "map.yml"))
    found = {task["host"]: task["result"]["msg"] for task in play.tasks if task["action"].endswith("debug")}
    assert (play.rc, len(found)) == (0, len(CASES)), play.stdout
    for number, (given, means) in enumerate(CASES):
        said = found[f"case-{number}"]
        said["cidrs"] = [[one["cidr"], int(one["node_mask_size"])] for one in said["cidrs"]]
        assert {key: said[key] for key in means} == means, given


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
    ({"kubelet_max_pods": 200, "ipv6_stack": True, "kube_network_node_prefix_ipv6": 121}, "200 is more than the 126 addresses"),
    ({"kubelet_max_pods": "lots"}, "kubelet_max_pods: lots is no number (expected e.g. 110)"),
    ({"ipv4_stack": "maybe", "skip_downloads": ""}, "ipv4_stack: maybe is neither true nor false (expected one of them); skip_downloads:  is neither"),
    ({"kubespray_moment": ""}, "value of kubespray_moment must be one of: before, after, reset, got: "),
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


def test_an_inventory_without_the_group_k8s_cluster(cluster, archive):
    """kubespray makes the group in each of its runs; without it, what group_vars/k8s_cluster say would not count."""
    put_archive(cluster.nodes["node1"], archive)
    cluster.write_inventory(group=False)
    play = cluster.run("--check", kubespray_moment="before")
    assert (play.rc, play.changed) == (0, 1), play.stdout
    assert plugins_of(play) == sorted(PLUGINS), "from local_release_dir, which stands in group_vars/k8s_cluster"


def result_of(play):
    """What the module returned for the one node."""
    return next(task["result"] for task in play.tasks if task["action"] == "kubenode.network.node_network")


# As kubespray has them: one value follows from the other, and without facts the architecture is the first one.
DEFAULTS = """
cni_binary_checksums: {amd64: {1.1.1: "sha256:DIGITS", 1.0.1: "sha256:00"}, arm64: {1.1.1: "sha256:11"}}
cni_version: "{{ (cni_binary_checksums['amd64'] | dict2items)[0].key }}"
host_architecture: "{{ 'amd64' if ansible_architecture == 'x86_64' else ansible_architecture }}"
image_arch: "{{ host_architecture | default('amd64') }}"
cni_binary_checksum: "{{ cni_binary_checksums[image_arch][cni_version] }}"
cni_download_url: "https://files.example/v{{ cni_version }}/cni-plugins-linux-{{ image_arch }}-v{{ cni_version }}.tgz"
ipv4_stack: true
ipv6_stack: "{{ enable_dual_stack_networks | default(false) }}"
proxy_env: {http_proxy: "", HTTP_PROXY: "", no_proxy: ""}
"""
BEHIND_KUBESPRAY = """
- hosts: k8s_cluster
  gather_facts: false
  roles:
    - role: kubespray_defaults
    - role: kubenode.network.kubespray
"""


def test_behind_kubesprays_defaults_in_a_play_of_its_own(cluster, archive, tmp_path):
    node = cluster.nodes["node1"]
    put_archive(node, archive)
    node.run(["chmod", "0777", RELEASES])  # its checksum is known
    defaults = tmp_path / "roles" / "kubespray_defaults" / "defaults" / "main.yml"
    defaults.parent.mkdir(parents=True)
    defaults.write_text(DEFAULTS.replace("DIGITS", digits(archive)))
    (tmp_path / "play.yml").write_text(BEHIND_KUBESPRAY)
    variables = {"kubespray_moment": "before", "kube_kubeadm_controller_extra_args": {"allocate-node-cidrs": "false"}}
    play = cluster.run("--check", playbook=str(tmp_path / "play.yml"), **variables)
    assert (play.rc, play.changed) == (0, 2), play.stdout
    assert plugins_of(play) == sorted(PLUGINS)
    assert result_of(play)["kubenet_bridge"]["pod_cidrs"] == ["10.233.64.0/24"]


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
    result = result_of(play)
    return sorted(result["cni_plugins"]["plugins"]) if "cni_plugins" in result else None


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

DUAL = {**OURS, "ipv6_stack": True, "kubenode_network_serial": "100%"}


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
        kept = [ip_network(cidr) for cidr in one["masquerade"]["non_masquerade_cidrs"]]
        nodes = [address for node in cluster.nodes.values() for address in (node.ip4, node.ip6)]
        for text in ("10.233.64.0/18", "10.233.0.0/18", SERVICES6, "203.0.113.1", *nodes):
            assert any(ip_network(text).version == cidr.version and ip_network(text).subnet_of(cidr) for cidr in kept), text
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


# After kubeadm

ASSIGNED = {"node1": ["10.233.66.0/24", "fd85:ee78:d8a6:8607::1:300/120"], "worker-2": ["10.233.64.0/24", "fd85:ee78:d8a6:8607::1:100/120"],
            "node3": ["10.233.69.0/24", "fd85:ee78:d8a6:8607::1:600/120"]}


@pytest.fixture(scope="module")
def authority(tmp_path_factory):
    return Authority(tmp_path_factory.mktemp("pki"))


@pytest.fixture
def api(authority):
    """At 127.0.0.1 of the controller, by way of kubespray's loadbalancer_apiserver."""
    with KubeApi(authority.issue("kube-apiserver", "127.0.0.1"), authority.certificate) as server:
        yield server


def api_is_at(server):
    return {"loadbalancer_apiserver": {"address": "127.0.0.1", "port": server.port}}


def test_the_network_after_kubeadm(tmp_path, archive, authority, api):
    """With the pod CIDRs that the API has, one of them late, and a node of another name there; the credentials go nowhere else."""
    with Kubespray(3, tmp_path) as cluster:
        cluster.hosts["node2"]["kube_override_hostname"] = "worker-2"
        cluster.write_inventory()
        nodes = cluster.nodes
        put_kubeconfig(nodes["node1"], authority, authority.issue("kubernetes-admin"))
        secret = nodes["node1"].read(ADMIN_CONF).split("client-key-data: ")[1].split()[0]
        for node in nodes.values():
            put_archive(node, archive)
        joined = {name: (cidrs, [node.ip4, node.ip6]) for (name, cidrs), node in zip(ASSIGNED.items(), nodes.values(), strict=True)}
        extra = {"ipv6_stack": True, "kubenode_network_serial": "100%", **api_is_at(api)}
        for name, found in joined.items():
            if name != "node3":
                api.put(name, *found)
        without = cluster.run("--limit", "node1:node2", **extra)
        assert (without.rc, without.changed) == (0, 2), without.stdout
        assert "node3: no pod CIDR in the API yet" in without.stdout + without.stderr
        api.put("node3", None, joined["node3"][1])
        api.after(3, api.put, "node3", *joined["node3"])
        first, second = (cluster.run(*args, **extra) for args in (["-vvv"], []))
        assert (first.rc, first.changed, second.rc, second.changed) == (0, 3, 0, 0), first.stdout + second.stdout
        assert {user for user, _path, _query in api.requests} == {"kubernetes-admin"}
        assert (secret in first.stdout + first.stderr, os.listdir(tmp_path / "tmp")) == (False, [])
        assert [desired(node)["kubenet_bridge"]["pod_cidrs"] for node in nodes.values()] == list(ASSIGNED.values())
        pods_reach_each_other(cluster)
        limited = cluster.run("--limit", "node3", **extra)
        assert (limited.rc, list(limited.stats), limited.changed) == (0, ["node3"], 0), limited.stdout
        assert not (cluster.inventory / "pod-cidrs.json").exists()
        running = nodes["node3"].pod("one-that-runs")
        refused = cluster.run("--limit", "node3", kubespray_moment="reset")
        assert (refused.rc, running.ip4 in failures(refused)[0]) == (2, True), refused.stdout
        forced = cluster.run("--limit", "node3", kubespray_moment="reset", reset_confirmation="yes")
        assert (forced.rc, set(document(nodes["node3"]))) == (0, {"cni_plugins", "networks"}), forced.stdout
        running.delete()
        nodes["node3"].run(["find", "/etc/cni", "/opt/cni", "/var/lib/cni", "-mindepth", "1", "-delete"])
        assert [cluster.run("--limit", "node3", **extra).changed for _run in range(2)] == [1, 0], "what reset.yml deletes comes back"
        pods_reach_each_other(cluster)


def test_what_is_wrong_with_the_api_is_said_once(cluster, archive, authority, api, tmp_path):
    node = cluster.nodes["node1"]
    put_archive(node, archive)
    before = node.dump()
    extra = {**api_is_at(api), "kubespray_api_timeout": 1}

    def refused(**more):
        play = cluster.run(**{**extra, **more})
        assert (play.rc, len(failures(play))) == (2, 1), play.stdout
        assert os.listdir(tmp_path / "tmp") == []
        return failures(play)[0]

    expected = "(expected it there after kubeadm, or kubespray_kubeconfig with the path of one on the controller)"
    said = refused()
    assert said.startswith(f"{ADMIN_CONF}: cannot be read on node1 {expected}: ") and f"ile not found: {ADMIN_CONF}" in said
    assert diff_dumps(before, node.dump()) == ""
    put_kubeconfig(node, authority, authority.issue("kubernetes-admin"))
    before = node.dump()
    assert "'node1' is no node of https://127.0.0.1" in refused()
    api.put("node1")
    assert "'node1' has no pod CIDR in https://127.0.0.1" in refused()
    api.put("node1", ["10.99.0.0/24"], [node.ip4])
    assert "10.99.0.0/24" in refused()
    assert "https://127.0.0.1:1" in refused(loadbalancer_apiserver={"address": "127.0.0.1", "port": 1})
    assert "'/nowhere' is not there on the controller" in refused(kubespray_kubeconfig="/nowhere")
    assert "host: 'not-a-url' is not the URL of an API" in refused(kubespray_api_host="not-a-url")
    assert diff_dumps(before, node.dump()) == ""


def test_the_copy_that_kubespray_left_on_the_controller(cluster, archive, authority, api):
    """kubeconfig_localhost: nothing is read from the control plane, and the server is the one in the copy."""
    node = cluster.nodes["node1"]
    put_archive(node, archive)
    put_kubeconfig(node, authority, authority.issue("kubernetes-admin"))
    copy = cluster.inventory / "artifacts" / "admin.conf"
    copy.parent.mkdir()
    copy.write_text(node.read(ADMIN_CONF).replace("https://127.0.0.1:6443", api.url))
    node.run(["rm", ADMIN_CONF])
    api.put("node1", ASSIGNED["node1"][:1], [node.ip4])
    play = cluster.run("--check", kubeconfig_localhost=True)
    assert (play.rc, play.changed) == (0, 1), play.stdout

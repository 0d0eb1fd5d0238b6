# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a real containerd, running all the while, makes of what the collection writes."""

from __future__ import annotations

import ipaddress
import json
import subprocess
import sys

import pytest
from testbed import CHECKOUT, COLLECTIONS, Node, ProofError, network_files, proof, wait_for
from testbed.containerd import PACKAGE_CONFIG, Containerd
from testbed.cri import CriError

RANGES = ["10.244.1.0/24", "fd00:10:244:1::/64"]
PLUGINS = {"src": "/usr/lib/cni", "remote_src": True}
SITE = {
    "kubenode_network_hosts": "all", "node_network_pod_cidrs": RANGES, "node_network_cni_plugins": PLUGINS,
    "node_network_sysctl_bridge_nf": {}, "node_network_kubenet_bridge": {},
    "node_network_masquerade": {"cluster_cidrs": ["10.244.0.0/16", "fd00:10:244::/48"]},
}
# The handbook's network.
MYNET_RANGE = "10.244.0.0/16"
MYNET = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True,
         "ipam": {"type": "host-local", "subnet": MYNET_RANGE, "routes": [{"dst": "0.0.0.0/0"}]}}
FILE = "/etc/cni/net.d/10-mynet.conflist"
LOOPBACK = "/etc/cni/net.d/99-loopback.conf"
WEB = {"container_port": 80, "host_port": 8080}
# Run in the node: what a busy controller does to one file.
REWRITE = """
import json, sys, time
sys.path.insert(0, sys.argv[1])
from ansible_collections.kubenode.network.plugins.module_utils._host import files
path, chain, times = sys.argv[2], json.loads(sys.argv[3]), int(sys.argv[4])
for number in range(1, times + 1):
    # Longer and shorter in turn: a part of one would not be a whole of the other.
    config = {"cniVersion": "1.0.0", "name": "mynet", "plugins": [{**chain, "mtu": 1200 + number, "note": "x" * (number % 2 * 20000)}]}
    files.write(path, files.Bytes(json.dumps(config).encode()), mode=0o644)
    time.sleep(0.005)
"""


@pytest.fixture(scope="module")
def installed():
    """A node whose containerd runs, with the reference plugins where it looks for them."""
    with Node() as node, Containerd(node) as containerd:
        node.install_plugins()
        yield containerd


@pytest.fixture
def containerd(installed):
    """That containerd without any network; in the end it must still be the same process."""
    pid = installed.pid
    for folder in ("/etc/cni/net.d", "/etc/kubenode-network", "/var/lib/kubenode-network"):
        installed.node.run(["find", folder, "-mindepth", "1", "-delete"])
    installed.wait_ready(False)
    yield installed
    assert installed.pid == pid


def write_mynet(containerd, **options):
    """Run cni_config on the handbook's network; return the module's result."""
    chain = [{**MYNET, "mtu": options.pop("mtu")}] if "mtu" in options else [MYNET]
    return containerd.node.module("cni_config", {"name": "mynet", "plugins": chain, **options})


def names(containerd):
    return [network["name"] for network in containerd.networks()]


def belongs(ip, cidr):
    return ipaddress.ip_address(ip) in ipaddress.ip_network(cidr)


def warnings(play):
    return [text for task in play.tasks for text in task["result"].get("warnings", [])]


def node_task(play):
    """The result of the call that made the node so."""
    return next(task["result"] for task in play.tasks if task["action"] == "kubenode.network.node_network")


def leases(node, network):
    """Addresses that host-local has given away; beside them it keeps a lock and the last address of each range."""
    kept = node.run(["ls", f"/var/lib/cni/networks/{network}"]).stdout.split()
    return sorted(name for name in kept if name != "lock" and not name.startswith("last_reserved_ip"))


# From nothing to a pod

@pytest.mark.parametrize("package", [False, True], ids=["own-config", "package-config"])
def test_a_running_containerd_becomes_ready_and_its_pods_have_our_network(package):
    with Node() as node, Containerd(node, package=package) as containerd:
        before = containerd.status()
        assert before.info["cniconfig"]["PluginDirs"] == ["/usr/lib/cni" if package else "/opt/cni/bin"]
        assert node.exists(PACKAGE_CONFIG) is package
        assert before.conditions["RuntimeReady"][0] and not before.network_ready
        assert "no network config found in /etc/cni/net.d" in before.info["lastCNILoadStatus"]
        pid = containerd.pid

        play = node.playbook(CHECKOUT / "playbooks" / "site.yml", SITE)
        after = containerd.wait_ready()

        assert play.rc == 0, play.stdout
        assert containerd.pid == pid
        assert after.info["lastCNILoadStatus"] == "OK"
        assert network_files(node) == ["/etc/cni/net.d/10-kubenet.conflist"]
        assert containerd.networks() == [json.loads(node.read("/etc/cni/net.d/10-kubenet.conflist"))]
        assert warnings(play) == []
        assert node_task(play)["cni_plugins"]["bin_dir"] == ("/usr/lib/cni" if package else "/opt/cni/bin")
        touched = {change["resource"].rpartition("/")[0] for change in node_task(play)["changes"]}
        assert "file:/usr/lib/cni" not in touched and ("file:/opt/cni/bin" in touched) is not package
        check_pod(containerd)

        again = node.playbook(CHECKOUT / "playbooks" / "site.yml", SITE)
        assert again.rc == 0 and again.changed == 0, again.stdout
        assert containerd.pid == pid and containerd.status().network_ready


def check_pod(containerd):
    """A pod has an address of each family and answers at its host port, until it is stopped."""
    node = containerd.node
    pod = containerd.pod("web", (WEB,))
    assert len(pod.ips) == 2 and all(map(belongs, pod.ips, RANGES))
    with pod.serve_tcp(80):
        for address in (node.ip4, node.ip6):
            answer = proof.tcp(node.outside, address, 8080)
            assert answer["source"] in ("192.0.2.1", "2001:db8:0:1::1")
    assert leases(node, "kubenet") == sorted(pod.ips)

    pod.stop()
    assert leases(node, "kubenet") == [] and not node.exists(pod.netns)
    assert "dport 8080" not in node.run(["iptables-save"]).stdout + node.run(["ip6tables-save"]).stdout
    with pytest.raises(ProofError):
        proof.tcp(node.outside, node.ip4, 8080, timeout=1)
    pod.remove()
    with pytest.raises(CriError, match="NOT_FOUND"):
        containerd.cri.sandbox_status(pod.id)


# Where the runtime looks for plugins

def test_plugins_where_the_runtime_does_not_look_are_reported_and_pods_then_fail():
    with Node() as node, Containerd(node, package=True) as containerd:
        # /usr/lib/cni must have none, or containerd would run those.
        node.install_plugins(dest="/run/plugins")
        node.run(["find", "/usr/lib/cni", "-mindepth", "1", "-delete"])
        plugins = {"src": "/run/plugins", "remote_src": True, "bin_dir": "/opt/cni/bin"}
        options = {"cni_plugins": plugins, "kubenet_bridge": {"pod_cidrs": RANGES}}
        planned, made = node.module("node_network", options, check=True), node.module("node_network", options)

        assert planned["warnings"] == made["warnings"]
        text = f"cni_plugins: the container runtime looks for plugins in /usr/lib/cni ({PACKAGE_CONFIG}), not in /opt/cni/bin"
        assert text in made["warnings"]
        containerd.wait_ready()
        with pytest.raises(CriError, match=r'failed to find plugin "\w+" in path \[/usr/lib/cni\]'):
            containerd.pod("web")


# Changes under a running containerd

def test_the_handbooks_network_with_its_loopback_file(containerd):
    node = containerd.node
    # As the handbook has it: without the name that it needs as soon as somebody uses it.
    node.write(LOOPBACK, '{"cniVersion": "0.3.0", "type": "loopback"}\n')
    result = write_mynet(containerd, loopback=True)
    status = containerd.wait_ready()

    assert result.get("warnings", []) == [] and result["changed"]
    assert status.info["lastCNILoadStatus"] == "OK"
    assert network_files(node) == [FILE, LOOPBACK]
    assert containerd.networks() == [json.loads(node.read(FILE))]
    assert json.loads(node.read(LOOPBACK)) == {"cniVersion": containerd.networks()[0]["cniVersion"], "name": "lo", "type": "loopback"}
    pod = containerd.pod("a")
    assert len(pod.ips) == 1 and belongs(pod.ips[0], MYNET_RANGE)
    pod.stop()


def test_a_changed_file_is_noticed(containerd):
    for mtu in (1400, 1300):
        assert write_mynet(containerd, mtu=mtu)["changed"]
        wait_for(lambda: names(containerd) == ["mynet"] and containerd.networks()[0]["plugins"][0]["mtu"] == mtu, what=f"MTU {mtu}")  # noqa: B023
        assert containerd.status().network_ready
    pod = containerd.pod("a")
    assert json.loads(pod.run(["ip", "-j", "link", "show", "eth0"]).stdout)[0]["mtu"] == 1300
    pod.stop()


def test_the_conf_form(containerd):
    write_mynet(containerd, filename="10-mynet.conf")
    containerd.wait_ready()
    assert network_files(containerd.node) == ["/etc/cni/net.d/10-mynet.conf"]
    assert names(containerd) == ["mynet"]
    pod = containerd.pod("a")
    assert belongs(pod.ips[0], MYNET_RANGE)
    pod.stop()


def test_a_removed_network_is_noticed_and_so_is_its_return(containerd):
    write_mynet(containerd, loopback=True)
    containerd.wait_ready()
    removed = containerd.node.module("cni_config", {"name": "mynet", "state": "absent"})
    gone = containerd.wait_ready(False)

    assert removed["changed"] and network_files(containerd.node) == []
    assert gone.conditions["NetworkReady"][1] == "NetworkPluginNotReady Network plugin returns error: cni plugin not initialized"
    assert "no network config found in /etc/cni/net.d" in gone.info["lastCNILoadStatus"]
    assert containerd.networks() == []
    write_mynet(containerd)
    assert containerd.wait_ready().info["lastCNILoadStatus"] == "OK"


def test_no_moment_of_a_rewrite_is_a_bad_one(containerd):
    write_mynet(containerd)
    containerd.wait_ready()
    errors = len(containerd.load_errors())

    argv = [sys.executable, "-I", "-B", "-c", REWRITE, str(COLLECTIONS), FILE, json.dumps(MYNET), "200"]
    seen = []
    with containerd.node.popen(argv, stdin=subprocess.DEVNULL) as writer:
        while writer.poll() is None:
            seen.append(containerd.status().network_ready)
    assert writer.returncode == 0
    wait_for(lambda: containerd.networks()[0]["plugins"][0]["mtu"] == 1400, what="the last text")
    assert len(seen) > 10 and all(seen)
    assert containerd.load_errors()[errors:] == []

    # What such an error looks like: half a file.
    containerd.node.run(["tee", FILE], input='{"cniVersion": "1.0.0", "name": ')
    containerd.wait_ready(False)
    assert FILE in containerd.load_errors()[-1]

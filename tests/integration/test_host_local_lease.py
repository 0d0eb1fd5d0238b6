# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Leases of the real host-local and of a real containerd: orphaned by crashes, released, and never taken from the living."""

from __future__ import annotations

import itertools
import json
import operator
import os
import random
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml
from ansible_collections.kubenode.network.plugins.module_utils import _leases
from ansible_collections.kubenode.network.plugins.module_utils._host import cri, leases, namespaces
from ansible_collections.kubenode.network.plugins.modules import host_local_lease
from testbed import Node, wait_for
from testbed.containerd import Containerd
from testbed.cri import CriError
from testbed.fake_runtime import FakeRuntime

RANGE = "10.244.1.0/24"
MYNET = {"cniVersion": "1.0.0", "name": "mynet", "plugins": [
    {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "ipam": {"type": "host-local", "subnet": RANGE, "routes": [{"dst": "0.0.0.0/0"}]}},
]}  # fmt: skip
#: For what runs outside of a node (RFC 2544): an address that a pod on this machine has counts as in use.
OUTSIDE_RANGE = "198.18.1.0/24"
SOCKET = "/run/containerd/containerd.sock"
FOLDER = "/var/lib/cni/networks/mynet"


def host_local(command, data_dir, container_id, subnet=RANGE):
    """ADD or DEL by the plugin itself; returns the address, None when there is none left."""
    config = {"cniVersion": "1.0.0", "name": "mynet", "type": "bridge", "ipam": {"type": "host-local", "subnet": subnet, "dataDir": data_dir}}
    env = {"CNI_COMMAND": command, "CNI_CONTAINERID": container_id, "CNI_IFNAME": "eth0", "CNI_NETNS": "/run/netns/none", "CNI_PATH": "/usr/lib/cni"}
    done = subprocess.run(["/usr/lib/cni/host-local"], input=json.dumps(config), env=env, capture_output=True, text=True, timeout=60, check=False)
    if done.returncode:
        assert "no IP addresses available" in done.stdout, done.stdout
        return None
    return json.loads(done.stdout)["ips"][0]["address"].partition("/")[0] if command == "ADD" else None


def outside(node, path):
    return f"/proc/{node.pid}/root{path}"


def addresses(entries):
    return [entry["address"] for entry in entries]


# A real containerd


@pytest.fixture
def node():
    with Node() as made:
        made.install_plugins()
        made.write("/etc/cni/net.d/10-mynet.conflist", json.dumps(MYNET))
        yield made


def release(node, **options):
    result = node.module("host_local_lease", {"network": "mynet", "grace": 1, **options})
    assert not result.get("failed"), result
    return result


def test_the_runtime_is_understood_as_grpcio_understands_it(node):
    with Containerd(node) as containerd:
        containerd.wait_ready()
        containerd.pod("a")
        containerd.pod("b").stop()
        ours, theirs = cri.Cri(outside(node, SOCKET)), containerd.cri
        by_id = operator.itemgetter("id")  # containerd gives them in any order
        assert sorted((one._asdict() for one in ours.sandboxes()), key=by_id) == sorted(theirs.sandboxes(), key=by_id)
        assert {one.ready for one in ours.sandboxes()} == {True, False}
        assert dict(zip(("runtime_name", "runtime_version", "runtime_api_version"), ours.version())) == theirs.version()
        status, expected = ours.status(), theirs.status()
        assert {name: (one.status, f"{one.reason} {one.message}".strip()) for name, one in status.conditions.items()} == expected.conditions
        assert json.loads(status.info["cniconfig"]) == expected.info["cniconfig"]
        node.run(["rm", "/etc/cni/net.d/10-mynet.conflist"])
        containerd.wait_ready(False)
        assert ours.status().conditions["NetworkReady"].reason == "NetworkPluginNotReady"


def test_what_a_crash_leaves_is_released_and_nothing_else(node):
    with Containerd(node) as containerd:
        containerd.wait_ready()
        gone, pinned, forgotten = (containerd.pod(name) for name in ("gone", "pinned", "forgotten"))
        stopped = containerd.pod("stopped")
        stopped.stop()
        assert [one.address for one in leases.read_leases(outside(node, "/var/lib/cni/networks"), "mynet")] == [*gone.ips, *pinned.ips, *forgotten.ips]
        assert [entry["reason"] for entry in release(node, grace=0)["kept"]] == ["its sandbox exists"] * 3
    # Its state is lost, as with a wiped disk: nobody will ever ask the plugins to give these back.
    node.run(["rm", "/run/testbed/containerd/io.containerd.metadata.v1.bolt/meta.db"])
    for pod in (gone, forgotten):
        node.run(["umount", pod.netns])
        node.run(["rm", pod.netns])
    node.run(["rm", f"/var/lib/cni/results/mynet-{forgotten.id}-eth0"])
    with Containerd(node) as containerd:
        containerd.wait_ready()
        alive = containerd.pod("alive")
        first = release(node)
        assert (addresses(first["waiting"]), first["changed"]) == ([*gone.ips, *forgotten.ips], False)
        assert node.module("host_local_lease", {"network": "mynet", "grace": 300})["released"] == []
        time.sleep(1)
        announced, done, again = node.module("host_local_lease", {"network": "mynet", "grace": 1}, check=True), release(node), release(node)
        assert announced["changes"] == done["changes"] and announced["diff"] == done["diff"]
        assert (addresses(done["released"]), again["changed"]) == ([*gone.ips, *forgotten.ips], False)
        assert {entry["address"]: entry["reason"] for entry in done["kept"]} == {
            pinned.ips[0]: f"its network namespace {pinned.netns} is alive", alive.ips[0]: "its sandbox exists",
        }  # fmt: skip
        assert set(node.run(["ls", FOLDER]).stdout.split()) == {"lock", "last_reserved_ip.0", *pinned.ips, *alive.ips}
        assert containerd.pod("next").ips[0] not in {*pinned.ips, *alive.ips}


def test_an_exhausted_range_can_be_used_again(node):
    """pitfalls 10"""
    small = json.loads(json.dumps(MYNET).replace(RANGE, "10.244.1.0/29"))
    node.write("/etc/cni/net.d/10-mynet.conflist", json.dumps(small))
    for number in range(5):
        host_local("ADD", outside(node, "/var/lib/cni/networks"), f"crashed-{number}", "10.244.1.0/29")
    with Containerd(node) as containerd:
        containerd.wait_ready()
        with pytest.raises(CriError, match="no IP addresses available in range set"):
            containerd.pod("a")
        assert len(release(node, wait=True)["released"]) == 5
        node.ip("link delete cni0")  # release 1.1.1 trips over the bridge that its failed ADD left behind
        assert containerd.pod("b").ips == ("10.244.1.2",)


def test_an_address_that_a_process_has_is_kept_whoever_knows_of_it(node):
    """As when the runtime's state and the results of the plugins are wiped, but the pods still run; then without a process."""
    for name in ("four", "six", "none"):
        host_local("ADD", outside(node, "/var/lib/cni/networks"), name)
    node.run(["mv", f"{FOLDER}/10.244.1.3", f"{FOLDER}/fd00:244::3"])
    node.ip("netns add pod")
    for words in ("link set lo up", "address add 10.244.1.2/24 dev lo", "address add fd00:244::3/64 dev lo"):
        node.run(["ip", "-n", "pod", *words.split()])
    with node.popen(["ip", "netns", "exec", "pod", "sleep", "60"]) as process:
        wait_for(lambda: namespaces.addresses().keys() >= {"10.244.1.2", "fd00:244::3"}, 5, "a process in the namespace")
        result = release(node, grace=0, sandboxes=[])
        process.kill()
    assert [(entry["address"], entry["reason"]) for entry in result["kept"]] == [
        ("10.244.1.2", "a process has it as an address of its own"), ("fd00:244::3", "a process has it as an address of its own"),
    ]  # fmt: skip
    assert addresses(result["released"]) == ["10.244.1.4"]
    result = release(node, grace=0, sandboxes=[])
    reason = "the network namespace /run/netns/pod has it as an address of its own"
    assert ([entry["reason"] for entry in result["kept"]], result["released"]) == ([reason, reason], [])
    node.ip("netns delete pod")
    assert addresses(release(node, grace=0, sandboxes=[])["released"]) == ["10.244.1.2", "fd00:244::3"]


def test_the_plugin_waits_for_our_lock(tmp_path):
    host_local("ADD", str(tmp_path), "first")
    with ThreadPoolExecutor() as pool:
        with leases.plugin_lock(str(tmp_path / "mynet")):
            second = pool.submit(host_local, "ADD", str(tmp_path), "second")
            time.sleep(0.3)
            assert not second.done()
            assert addresses(one._asdict() for one in leases.read_leases(str(tmp_path), "mynet")) == ["10.244.1.2"]
        assert second.result() == "10.244.1.3"


# Starts and releases at once


class Kubelet:
    """Starts sandboxes that the runtime lists only later, and has some of them crash. Keeps who holds which address."""

    def __init__(self, data_dir):
        self.data_dir = data_dir
        self.listed, self.holders, self.twice = set(), {}, []
        self.mutex = threading.Lock()
        self.chance = random.Random(1)

    def start(self, name):
        address = None
        while address is None:  # all are taken: by those that crashed, until they are released
            # Else the plugin would take those that were just released last of all.
            Path(self.data_dir, "mynet", "last_reserved_ip.0").unlink(missing_ok=True)
            address = host_local("ADD", self.data_dir, name, OUTSIDE_RANGE)
        with self.mutex:
            if address in self.holders:
                self.twice.append((address, self.holders[address], name))
            self.holders[address] = name
        time.sleep(self.chance.uniform(0.05, 0.4))  # the other plugins and the pause image
        self.listed.add(name)
        time.sleep(self.chance.uniform(0, 0.2))
        with self.mutex:
            if self.holders.get(address) == name:
                del self.holders[address]
        if self.chance.random() < 0.5:
            host_local("DEL", self.data_dir, name, OUTSIDE_RANGE)
        self.listed.discard(name)


def released_beside_starts(tmp_path, grace, count):
    """Release in a loop beside many starts. Returns the kubelet, the number of released leases and what is left over."""
    options = {name: option.get("default") for name, option in _leases.OPTIONS.items()}
    kubelet, path, done, released = Kubelet(str(tmp_path)), str(tmp_path / "s"), threading.Event(), []
    options.update(network="mynet", data_dir=str(tmp_path), conf_dir=str(tmp_path), runtime_endpoint=path, grace=grace)
    (tmp_path / "mynet").mkdir()

    def loop():
        while not done.is_set():
            released.extend(_leases.release(options, check_mode=False, diff=False)["released"])

    with FakeRuntime(path, lambda: list(kubelet.listed)), ThreadPoolExecutor(17) as pool:
        loops = pool.submit(loop)
        try:
            list(pool.map(kubelet.start, [f"sandbox-{number}" for number in range(count)]))
        finally:
            done.set()
        loops.result()
        released.extend(_leases.release({**options, "wait": True}, check_mode=False, diff=False)["released"])
    return kubelet, released, leases.read_leases(str(tmp_path), "mynet")


def test_no_address_is_given_twice_while_500_sandboxes_start(tmp_path, monkeypatch):
    monkeypatch.setattr(_leases, "SEEN", str(tmp_path / "seen" / "leases.json"))
    kubelet, released, left = released_beside_starts(tmp_path, grace=2, count=500)
    assert kubelet.twice == []
    assert left == []
    names = [entry["container_id"] for entry in released]
    assert len(names) == len(set(names)) and 200 < len(names) < 300, "half of the sandboxes crashed"


def test_without_the_grace_addresses_are_given_twice(tmp_path, monkeypatch):
    """What the test before this one would find."""
    monkeypatch.setattr(_leases, "SEEN", str(tmp_path / "seen" / "leases.json"))
    kubelet, _released, _left = released_beside_starts(tmp_path, grace=0, count=60)
    assert kubelet.twice


# As a person uses it


def test_the_examples_run(node):
    docker = "#!/bin/sh\n[ \"$*\" = 'ps --all --quiet --no-trunc' ] && echo living\n"
    node.write("/run/testbed/bin/docker", docker)
    node.run(["chmod", "755", "/run/testbed/bin/docker"])
    node.run(["mkdir", "-p", "/run/containerd"])
    for name in ("living", "crashed"):
        host_local("ADD", outside(node, "/var/lib/cni/networks"), name)
    node.run(["touch", "-d", "1 hour ago", f"{FOLDER}/10.244.1.2", f"{FOLDER}/10.244.1.3"])
    # The one that waits: nothing to wait for here.
    tasks = [task for task in yaml.safe_load(host_local_lease.EXAMPLES) if not task.get("kubenode.network.host_local_lease", {}).get("wait")]
    with FakeRuntime(outside(node, SOCKET), lambda: ["living", "crashed"]):
        run = node.playbook(yaml.safe_dump([{"hosts": "all", "gather_facts": False, "tasks": tasks}]), env={"PATH": f"/run/testbed/bin:{os.environ['PATH']}"})
    assert run.rc == 0, run.stdout + run.stderr
    results = [task["result"] for task in run.tasks]
    assert [result["changed"] for result in results] == [False, False, False, True]
    assert (addresses(results[-1]["released"]), addresses(results[-1]["kept"])) == (["10.244.1.3"], ["10.244.1.2"])


def test_a_node_without_a_runtime_says_so(node):
    host_local("ADD", outside(node, "/var/lib/cni/networks"), "a")
    result = node.module("host_local_lease", {"network": "mynet"})
    assert result["failed"] and "no container runtime can be asked for its sandboxes" in result["msg"]
    assert all(place in result["msg"] for place in itertools.islice(cri.SOCKETS, 3))

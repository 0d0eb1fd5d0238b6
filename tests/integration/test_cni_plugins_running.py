# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Binaries change under pods that start and stop: upgrades, downgrades, and the order of binaries and configuration."""

from __future__ import annotations

import subprocess
import threading

import pytest
from testbed import CHECKOUT, diff_dumps

PROGRAMS = CHECKOUT / "build" / "programs"
OPT = "/opt/cni/bin"
BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": {"type": "host-local", "subnet": "10.244.0.0/16"}}
NETWORK = {"name": "mynet", "plugins": [BRIDGE, {"type": "portmap", "capabilities": {"portMappings": True}}]}


def release(version):
    return {"src": str(PROGRAMS / f"cni-plugins-{version}" / "usr" / "lib" / "cni"), "remote_src": True, "bin_dir": OPT,
            "plugins": ["bridge", "host-local", "loopback", "portmap"]}


def done(result):
    assert not result.get("failed"), result["msg"]
    return [change["resource"] for change in result["changes"]]


class Pods(threading.Thread):
    """Starts and stops one pod after the other, by the real plugins, and asks each plugin for its versions meanwhile."""

    def __init__(self, node):
        super().__init__()
        self.node, self.ended, self.count, self.errors = node, threading.Event(), 0, []

    def run(self):
        while not self.ended.is_set() and not self.errors:
            try:
                with self.node.pod(f"pod{self.count}", capabilities={"portMappings": [{"hostPort": 8080, "containerPort": 80, "protocol": "tcp"}]}):
                    pass
                self.count += 1
            except Exception as error:  # whatever it is, it is what the test looks for
                self.errors.append(error)


EXECUTE = """
import os, subprocess, sys, time
end, runs = time.monotonic() + float(sys.argv[1]), 0
while not os.path.exists("/run/stop") and time.monotonic() < end:
    for name in ("bridge", "host-local", "loopback", "portmap"):
        result = subprocess.run([f"/opt/cni/bin/{name}"], env={"CNI_COMMAND": "VERSION"}, input=b'{"cniVersion": "1.0.0"}', capture_output=True)
        if result.returncode or b"supportedVersions" not in result.stdout:
            sys.exit(f"{name}: {result}")
        runs += 1
print(runs)
"""


@pytest.mark.slow
def test_no_pod_notices_that_binaries_are_replaced(node):
    """Files stay whole and in place, also while they execute (dhcp and others run for a pod's whole life)."""
    done(node.module("cni_plugins", release("1.1.1")))
    done(node.module("cni_config", {**NETWORK, "cni_version": "1.0.0"}))
    node.run(["cp", "/usr/bin/sleep", f"{OPT}/firewall"])
    running = [node.popen([f"{OPT}/firewall", "600"])]
    pods = Pods(node)
    executed = node.popen(["python3", "-c", EXECUTE, "300"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    pods.start()
    try:
        for version in ("1.9.1", "1.1.1") * 5:
            with_running = {**release(version), "plugins": [*release(version)["plugins"], "firewall"]}
            assert f"file:{OPT}/bridge" in done(node.module("cni_plugins", with_running))
        assert running[0].poll() is None, "what executes goes on with the old content"
    finally:
        pods.ended.set()
        node.write("/run/stop", "")
        pods.join()
        running[0].kill()
        running[0].wait()
        output = executed.communicate()[0]
    assert pods.errors == []
    assert executed.returncode == 0, output
    assert pods.count > 5 and int(output) > 100


# The order of binaries and configuration


def test_a_downgrade_under_a_list_that_it_does_not_support_is_refused(node):
    done(node.module("cni_plugins", release("1.9.1")))
    done(node.module("cni_config", NETWORK))
    before = node.dump()
    refused = node.module("cni_plugins", release("0.9.0"))
    assert refused["msg"] == (
        "nothing was changed: plugins: the network mynet has cniVersion 1.0.0, which the new bridge, host-local, portmap would not support "
        "(expected another release, or in the same run the network with a cni_version of both)"
    )
    assert diff_dumps(before, node.dump()) == ""


def test_a_downgrade_writes_the_list_before_it_replaces_the_binaries(node):
    done(node.module("cni_plugins", release("1.9.1")))
    done(node.module("cni_config", NETWORK))
    options = {"cni_plugins": release("0.9.0"), "networks": [NETWORK]}
    planned = node.module("node_network", options, check=True)
    changes = done(node.module("node_network", options))
    assert changes == done(planned)
    assert changes.index("file:/etc/cni/net.d/10-mynet.conflist") < changes.index(f"file:{OPT}/bridge")
    assert '"cniVersion": "0.4.0"' in node.read("/etc/cni/net.d/10-mynet.conflist")
    with node.pod("pod"):
        pass
    upgraded = done(node.module("node_network", {"cni_plugins": release("1.9.1"), "networks": [NETWORK]}))
    assert upgraded.index("file:/etc/cni/net.d/10-mynet.conflist") > upgraded.index(f"file:{OPT}/bridge")
    assert '"cniVersion": "1.0.0"' in node.read("/etc/cni/net.d/10-mynet.conflist")


def test_a_downgrade_for_which_no_order_is_right_is_refused(node):
    """The new list wants a plugin that is not installed yet, the old one a version that the new plugins do not have."""
    some = {**release("1.9.1"), "plugins": ["bridge", "host-local", "loopback"]}
    done(node.module("cni_plugins", some))
    done(node.module("cni_config", {**NETWORK, "plugins": [BRIDGE]}))
    before = node.dump()
    refused = node.module("node_network", {"cni_plugins": release("0.9.0"), "networks": [NETWORK]})
    assert "the network mynet has cniVersion 1.0.0 now and would have 0.4.0, and no installed plugins support both" in refused["msg"]
    assert diff_dumps(before, node.dump()) == ""


def test_a_downgrade_that_keeps_what_the_lists_need(node):
    done(node.module("cni_plugins", release("1.9.1")))
    done(node.module("cni_config", {**NETWORK, "cni_version": "0.4.0"}))
    assert f"file:{OPT}/bridge" in done(node.module("cni_plugins", release("0.9.0")))

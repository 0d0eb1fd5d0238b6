# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whole or not at all: when a step fails or the run is ended, the node is as it was before the run. When it is killed, the next run
sees to that, or finishes what was done."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from testbed import diff_dumps, program, warm
from testbed.paths import link_collection

NODE = {
    "cni_plugins": {"src": "/usr/lib/cni", "remote_src": True, "plugins": ["bridge", "host-local", "loopback", "portmap"]},
    "sysctl_bridge_nf": {},
    "kubenet_bridge": {"pod_cidrs": ["10.244.1.0/24", "fd00:10:244:1::/64"]},
    "masquerade": {"cluster_cidrs": ["10.244.0.0/16", "fd00:10:244::/48"]},
}
OTHER = {
    **NODE,
    "cni_plugins": {**NODE["cni_plugins"], "plugins": ["bridge", "host-local", "loopback", "portmap", "tuning"]},
    "sysctl_bridge_nf": {"bridge_nf_call_arptables": False},
    "kubenet_bridge": {"pod_cidrs": ["10.244.2.0/24"], "mtu": "1400", "hairpin_mode": "promiscuous-bridge"},
    "masquerade": {"non_masquerade_cidrs": ["10.0.0.0/8"], "backend": "nftables", "adopt": ["kubenet"], "accept_forwarded": True},
}
REMOVED = {name: {"state": "absent"} for name in NODE}
#: From one home of every rule to another.
LEGACY = {
    **NODE,
    "sysctl_bridge_nf": {"bridges": ["cbr0"]},
    "kubenet_bridge": {**NODE["kubenet_bridge"], "hairpin_mode": "promiscuous-bridge", "txqueuelen": 500},
    "masquerade": {"cluster_cidrs": ["10.244.0.0/16"], "backend": "iptables-legacy", "adopt": ["kubenet"], "accept_forwarded": True},
}
MOVED = {
    **NODE,
    "sysctl_bridge_nf": {"bridge_nf": "unmanaged"},
    "kubenet_bridge": {**NODE["kubenet_bridge"], "unmanaged": False},
    "masquerade": {"cluster_cidrs": ["10.244.0.0/16"], "backend": "iptables-nft"},
}


ORDER = {"module": "engine_runner", "paths": [str(Path(__file__).parent)]}


def order_of(params, fail=None, pause=None):
    return json.dumps({"params": params, "fail": fail, "pause": pause}) + "\n"


def run(node, params, fail=None):
    done = warm.run(node, ORDER, stdin=order_of(params, fail), timeout=30)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


class PausedRun:
    """A run that goes on from its pauses when it is told. Its standard streams end with it."""

    def __init__(self, node, params, step):
        self.process, self._stdin, self._stdout, self._stderr = warm.popen(node, ORDER)
        self.tell(order_of(params, pause=step))
        self.said = self.hear()

    def tell(self, line="\n"):
        self._stdin.write(line)
        self._stdin.flush()

    def hear(self):
        return self._stdout.readline().strip()

    def end(self):
        """What it wrote until its end, and its exit status."""
        status = self.process.wait(20)
        with self._stdin, self._stdout, self._stderr:
            return self._stdout.read(), self._stderr.read(), status


@pytest.mark.parametrize("when", ["write", "verify"])
@pytest.mark.parametrize(("before", "after"), [(None, NODE), (NODE, OTHER), (NODE, REMOVED), (LEGACY, MOVED)], ids=["first run", "change", "removal", "move"])
def test_failure_at_every_step_leaves_the_node_as_it_was(node, before, after, when):
    node.add_foreign()
    rule = "-m comment --comment 'kubenet: SNAT for outbound traffic from cluster' -m addrtype ! --dst-type LOCAL ! -d 10.0.0.0/8 -j MASQUERADE"
    node.run(["sh", "-c", f"iptables -t nat -I POSTROUTING {rule}; iptables -P FORWARD DROP"])
    if before:
        assert "error" not in run(node, before)
    start = node.dump()
    step, steps = 0, []
    while True:
        step += 1
        result = run(node, after, [step, when])
        if "error" not in result:
            break
        reason = "told to fail" if when == "verify" else "OSError: [Errno 28] No space left on device"
        assert reason in result["error"]
        assert result["error"].endswith("everything done before it was put back, the node is as it was")
        steps.append(result["error"].split(" could not be changed")[0])
        difference = diff_dumps(start, node.dump())
        assert not difference, f"after a failure of step {step}, {steps[-1]}:\n{difference}"
    assert result["changes"] == len(steps) > 5
    assert steps[-1].startswith("document:")
    assert run(node, after) == {"changes": 0}


def check_ended_by(node, params, step, first, second):
    """Ends the run at a step with one signal, and sends another one during the undo. Returns whether there is such a step."""
    paused = PausedRun(node, params, step)
    if paused.said != "paused":
        assert json.loads(paused.said) == {"changes": step - 1}
        assert paused.end() == ("", "", 0)
        return False
    paused.process.send_signal(first)
    assert paused.hear() == "undoing"
    paused.process.send_signal(second)
    paused.tell()
    assert paused.end() == ("", f"ended by signal {first.name}\n", 1)
    return True


@pytest.mark.parametrize(
    ("before", "after", "first", "second"),
    [
        (None, NODE, signal.SIGTERM, signal.SIGTERM),
        (NODE, OTHER, signal.SIGHUP, signal.SIGTERM),
        (NODE, REMOVED, signal.SIGTERM, signal.SIGHUP),
    ],
    ids=["first run", "change", "removal"],
)
def test_a_signal_at_any_step_leaves_the_node_as_it_was(node, before, after, first, second):
    node.add_foreign()
    node.write("/etc/sysctl.d/99-kubenode-network.conf", "vm.overcommit_memory = 0\n")  # a content to be kept in the store
    if before:
        assert "error" not in run(node, before)
    start = node.dump()
    step = 1
    while check_ended_by(node, after, step, first, second):
        difference = diff_dumps(start, node.dump())
        assert not difference, f"after a signal in step {step}:\n{difference}"
        step += 1
    assert step > 6
    assert run(node, after) == {"changes": 0}


def test_a_run_under_nohup_does_not_end_with_its_connection(node):
    argv, env = ["nohup", sys.executable, str(Path(__file__).with_name("engine_runner.py"))], {"PYTHONPATH": str(link_collection())}
    process = node.popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdin.write(order_of({"kubenet_bridge": {**NODE["kubenet_bridge"], "unmanaged": False}, "networks": []}, pause=1))
    process.stdin.flush()
    assert process.stdout.readline() == "paused\n"
    process.send_signal(signal.SIGHUP)
    assert json.loads(process.communicate("\n", timeout=20)[0]) == {"changes": 2}


# Runs that are killed

JOURNAL = "/var/lib/kubenode-network/journal.json"
NETWORK = {"name": "mynet", "plugins": [{"type": "bridge"}]}


def document_of(node):
    path = "/etc/kubenode-network/node.json"
    return node.read(path) if node.exists(path) else None


def killed(node, params, step):
    """Whether the run had a step of that number, behind which it was killed."""
    ended = warm.run(node, ORDER, stdin=order_of(params, [step, "kill"]), timeout=30)
    assert ended.returncode in (0, -signal.SIGKILL), ended.stderr
    return ended.returncode != 0


@pytest.mark.parametrize(("before", "after"), [(None, NODE), (NODE, OTHER), (NODE, REMOVED)], ids=["first run", "change", "removal"])
def test_a_run_that_is_killed_is_undone_by_the_next_one(node, before, after):
    node.add_foreign()
    if before:
        assert "error" not in run(node, before)
    start, document = node.dump(), document_of(node)
    step = 1
    while killed(node, after, step) and document_of(node) == document:
        assert node.exists(JOURNAL)
        assert run(node, {}) == {"changes": 0}
        difference = diff_dumps(start, node.dump())
        assert not difference, f"after a kill in step {step}:\n{difference}"
        step += 1
    assert step > 6
    assert node.exists(JOURNAL), "it was killed behind its last step"
    assert run(node, after) == {"changes": 0}
    assert not node.exists("/var/lib/kubenode-network/undo.zip") and not node.exists(JOURNAL)


def test_every_door_recovers_and_says_so(plugin_node):
    node = plugin_node
    assert killed(node, NODE, 6)
    checked = node.module("cni_config", NETWORK, check=True)
    assert "a run that may change the node will first undo it" in checked["warnings"][0]
    program.send(node)
    start = node.dump()
    status = node.run([sys.executable, "-I", program.SENT, "status"], check=False)
    assert "was interrupted; a run that may change the node will first undo it" in status.stdout
    assert not diff_dumps(start, node.dump())
    made = node.module("cni_config", NETWORK)
    assert made["changed"]
    assert re.search(r"the run of a test that began at \S+ \(process \d+\) was interrupted; everything done before it was put back", made["warnings"][0])
    assert not any("interrupted" in warning for warning in node.module("cni_config", NETWORK).get("warnings", []))


def test_a_run_that_goes_on_is_not_said_to_have_been_interrupted(plugin_node):
    node = plugin_node
    program.send(node)
    paused = PausedRun(node, NODE, 4)
    said = r"the run of a test that began at \S+ \(process \d+\) is changing the node now"
    assert re.match(said, node.module("cni_config", NETWORK, check=True)["warnings"][0])
    assert re.match(said, node.run([sys.executable, "-I", program.SENT, "status"], check=False).stdout)
    paused.tell()
    assert json.loads(paused.end()[0])["changes"] > 5
    assert not node.module("node_network", NODE, check=True).get("warnings")


@pytest.mark.parametrize("options", [{"name": "mynet", "plugins": [{"type": "nobody-has-it"}]}, {**NETWORK, "plugins": [{"type": "bridge", "mtu": -1}]}])
def test_a_run_that_fails_says_what_it_has_undone_before(plugin_node, options):
    node = plugin_node
    assert killed(node, NODE, 6)
    failed = node.module("cni_config", options)
    assert failed["failed"], failed
    assert ("was interrupted; everything done before it was put back" in failed.get("warnings", [""])[0]) != node.exists(JOURNAL)


# What pods have begun to use

BRIDGED = {"kubenet_bridge": {**NODE["kubenet_bridge"], "hairpin_mode": "none", "unmanaged": False}}


def used_by_a_pod(node):
    """The node of a run that was killed when its bridge was there, which a pod has come to since."""
    node.write("/etc/cni/net.d/20-other.conflist", json.dumps({"cniVersion": "1.0.0", "name": "other", "plugins": [{
        "type": "bridge", "bridge": "cbr0", "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}]]}}]}))  # fmt: skip
    assert killed(node, {**BRIDGED, "networks": []}, 1)
    return node.pod("web")


def check_the_bridge_is_known_as_made(node):
    """And goes with the part that wants it."""
    assert not node.module("kubenet_bridge", BRIDGED["kubenet_bridge"]).get("failed")
    assert json.loads(document_of(node))["sections"]["kubenet_bridge"]["cbr0"]["objects"]["bridge:cbr0"]["origin"] == "created"


def another_module(state):
    """As Ansible brings it: without what it does not import."""
    return f"- hosts: all\n  gather_facts: false\n  tasks:\n    - kubenode.network.sysctl_bridge_nf:\n        state: {state}\n"


def test_what_pods_use_is_known_as_made_behind_other_runs(plugin_node):
    node = plugin_node
    used_by_a_pod(node)
    for _run in range(2):  # the second one undoes by the code that the first one came in
        assert node.playbook(another_module("present")).changed == 1
        assert node.exists(JOURNAL)
        assert node.playbook(another_module("absent")).changed == 1
    check_the_bridge_is_known_as_made(node)
    assert not node.exists(JOURNAL)


@pytest.mark.parametrize("how", ["verify", "kill", "no journal", "no guard"])
def test_what_pods_use_is_known_as_made_behind_a_run_that_fails(plugin_node, how):
    node = plugin_node
    used_by_a_pod(node)
    options = {**BRIDGED, "kubenet_bridge": {**BRIDGED["kubenet_bridge"], "txqueuelen": 77}, "networks": []}
    if how == "no journal":
        node.run(["sh", "-c", "cd /var/lib/kubenode-network && rm undo.zip && mkdir -p undo.zip/in-the-way"])
        failed = node.module("node_network", options)
        assert failed["failed"] and "nothing was changed: the journal of this run cannot be kept" in failed["msg"], failed
        node.run(["rm", "-r", "/var/lib/kubenode-network/undo.zip"])
    elif how == "no guard":
        kill = ("strace", "-qq", "-f", "-o", "/dev/null", "-e", "trace=setsid", "-e", "inject=setsid:signal=KILL")
        assert node.module("node_network", {**options, "confirm_timeout": 60}, prefix=kill)["failed"]
    else:
        assert killed(node, options, 1) if how == "kill" else "error" in run(node, options, [1, how])
    check_the_bridge_is_known_as_made(node)


def test_what_pods_used_goes_with_the_last_of_them(plugin_node):
    node = plugin_node
    pod = used_by_a_pod(node)
    assert "bridge:cbr0 (ports were attached" in node.module("sysctl_bridge_nf", {})["warnings"][0]
    pod.delete()
    assert node.module("sysctl_bridge_nf", {})["changed"] is False
    assert "cbr0" not in node.run(["ip", "link"]).stdout and not node.exists(JOURNAL)


# Somebody was at what a killed run has left

KEPT_BY_RUN = "/var/lib/kubenode-network"


@pytest.mark.parametrize(
    "damage",
    [
        "rm undo.py",
        "rm undo.zip",
        "echo x > undo.zip",
        "truncate -s 5000 undo.zip",
        "echo 'x(' > undo.py",
        "rm undo.zip && mkdir undo.zip",
        "chmod 0 undo.py undo.zip journal.json",
        "rm /etc/kubenode-network/node.json",
    ],
)
def test_a_run_is_undone_without_what_was_lost_of_its_code(node, damage):
    assert "error" not in run(node, NODE)
    start = node.dump()
    assert killed(node, OTHER, 6)
    node.run(["sh", "-c", f"cd {KEPT_BY_RUN} && {damage}"])
    assert run(node, {}) == {"changes": 0}
    node.run(["sh", "-c", f"rm -rf {KEPT_BY_RUN}/undo.zip"])
    difference = diff_dumps(start, node.dump())
    assert not difference, difference


def test_a_disk_that_cannot_be_written_is_named(node):
    node.run(["sh", "-c", f"mkdir -p {KEPT_BY_RUN} && mount --bind {KEPT_BY_RUN} {KEPT_BY_RUN}"])
    node.run(["mount", "-o", "remount,bind,ro", KEPT_BY_RUN])
    start = node.dump()
    failed = run(node, NODE)["error"]
    assert failed.startswith("nothing was changed: the journal of this run cannot be kept: ") and failed.endswith("Read-only file system"), failed
    assert not diff_dumps(start, node.dump())


def test_a_person_may_undo_a_run(node):
    start = node.dump()
    assert killed(node, NODE, 9)
    undo = [sys.executable, f"{KEPT_BY_RUN}/undo.py"]
    for wrong in ([], ["guard"], ["--help"], ["boot", "now"]):
        asked = node.run([*undo, *wrong], check=False)
        assert (asked.returncode, asked.stdout) == (2, "") and asked.stderr.startswith("usage: undo.py boot ("), wrong
    assert json.loads(node.run([*undo, "boot"]).stdout) == {"stuck": {}, "kept": {}, "stays": {}}
    difference = diff_dumps(start, node.dump())
    assert not difference, difference


def test_who_cannot_undo_a_run_says_how_to_go_on(node):
    """The python of the run is no python any more, and the module at hand has nothing of what the run has changed."""
    assert killed(node, NODE, 14)
    node.run(["rm", f"{KEPT_BY_RUN}/undo.zip"])
    played = node.playbook("- hosts: all\n  gather_facts: false\n  tasks:\n    - kubenode.network.boot_service:\n        state: absent\n")
    assert played.rc != 0
    for words in ("was interrupted, and cannot be undone", "No module named", f"expected the cause mended, or {JOURNAL} moved away"):
        assert words in played.stdout, played.stdout
    assert run(node, NODE)["changes"] > 5, "one that brings all of it can"

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes that wait to be confirmed, on a node without systemd (tests/systemd has the others, and a controller that is cut off)."""

from __future__ import annotations

import json
import signal
import sys
import time

import pytest
from testbed import diff_dumps, program, wait_for

NODE = {
    "sysctl_bridge_nf": {},
    "kubenet_bridge": {"pod_cidrs": ["10.244.1.0/24", "fd00:10:244:1::/64"]},
    "masquerade": {"cluster_cidrs": ["10.244.0.0/16", "fd00:10:244::/48"]},
}
OTHER = {**NODE, "kubenet_bridge": {**NODE["kubenet_bridge"], "mtu": "1300"}, "sysctl_bridge_nf": {"forwarding": ["ipv4"]}}
JOURNAL = "/var/lib/kubenode-network/journal.json"


def guards(node):
    """The processes that would take a change back."""
    return node.run(["pgrep", "-f", "undo.py guard"], check=False).stdout.split()


def made(node, options, **terms):
    result = node.module("node_network", {**options, **terms})
    assert not result.get("failed"), result
    return result


def is_over(node):
    return lambda: not node.exists(JOURNAL) and not guards(node)


def test_a_change_that_nobody_confirms_is_taken_back(plugin_node):
    node = plugin_node
    node.add_foreign()
    made(node, NODE)
    before, document = node.dump(), node.read("/etc/kubenode-network/node.json")
    result = made(node, OTHER, confirm_timeout=4)
    assert result["checkpoint"]["seconds"] == 4 and result["changed_resources"][0] in result["plan"][0]
    assert "mtu 1300" in node.run(["ip", "link", "show", "cbr0"]).stdout
    assert len(guards(node)) == 1
    wait_for(is_over(node), 30)
    difference = diff_dumps(before, node.dump())
    assert not difference, difference
    assert node.read("/etc/kubenode-network/node.json") == document
    late = node.module("checkpoint", {"run": result["checkpoint"]["run"]})
    assert late["failed"] and f"that of the run {result['checkpoint']['run']} was reverted" in late["msg"]


def test_a_first_run_that_nobody_confirms_leaves_nothing(plugin_node):
    node = plugin_node
    before = node.dump()
    made(node, NODE, confirm_timeout=1)
    wait_for(is_over(node), 30)
    difference = diff_dumps(before, node.dump())
    assert not difference, difference


def test_a_revert_says_what_pods_have_come_to_use(plugin_node):
    """They go on as before, and the next run knows who made their bridge."""
    node = plugin_node
    node.run(["mkdir", "/etc/cni/net.d"])  # stays if we made it: a runtime may watch it
    before = node.dump()
    made(node, NODE, confirm_timeout=60)
    pod, other = node.pod("web"), node.pod("other")
    program.send(node)
    reverted = node.run([sys.executable, "-I", program.SENT, "revert", "--json"])
    kept = "ports were attached to it meanwhile, by pods that have just begun"
    assert json.loads(reverted.stdout)["kept"] == {"bridge:cbr0": kept} and json.loads(reverted.stdout)["stuck"] == {}
    pod.run(["ping", "-c1", "-W5", other.ip4])
    run = made(node, NODE, confirm_timeout=60)["checkpoint"]["run"]
    again = node.module("checkpoint", {"state": "reverted"})
    assert again["warnings"] == [f"the change of the run {run} is taken back; everything else was put back, but for bridge:cbr0 ({kept})"]
    pod.run(["ping", "-c1", "-W5", other.ip6])
    made(node, NODE)
    pod.delete()
    other.delete()
    made(node, {name: {"state": "absent"} for name in NODE})
    node.run(["rm", program.SENT])
    difference = diff_dumps(before, node.dump())
    assert not difference, difference


def test_a_change_that_is_confirmed_stays(plugin_node):
    node = plugin_node
    made(node, NODE)
    run = made(node, OTHER, confirm_timeout=60)["checkpoint"]["run"]
    after = node.dump()
    assert node.module("checkpoint", {"run": run}, check=True)["changed"] and node.exists(JOURNAL)
    assert node.module("checkpoint", {"run": run})["changed"]
    wait_for(is_over(node), 10)
    assert node.module("checkpoint", {"run": run})["changed"] is False
    refused = node.module("checkpoint", {"state": "reverted", "run": run})
    assert refused["failed"] and f"that of the run {run} was confirmed" in refused["msg"]
    assert "checkpoint" not in made(node, OTHER, confirm_timeout=60), "nothing was changed"
    assert "var/lib/kubenode-network/undo.zip" in json.dumps(after) and "undo.zip" not in json.dumps(node.dump())


def test_other_runs_wait_for_the_answer(plugin_node):
    node = plugin_node
    made(node, NODE)
    before = node.dump()
    run = made(node, OTHER, confirm_timeout=60)["checkpoint"]["run"]
    waiting = node.module("node_network", {**NODE, "lock_timeout": 0})
    assert waiting["failed"] and "the run of node_network that began at" in waiting["msg"]
    assert "waits to be confirmed for another " in waiting["msg"] and f"(run {run})" in waiting["msg"]
    program.send(node)
    command = [sys.executable, "-I", program.SENT]
    assert "waits to be confirmed" in node.run([*command, "status"], check=False).stdout
    other = node.module("checkpoint", {"run": "another"})
    assert other["failed"] and f"another run waits to be confirmed: {run} (expected another)" in other["msg"]
    reverted = node.run([*command, "revert"], check=False)
    assert reverted.returncode == 0
    assert reverted.stdout == f"The change of the run {run} is taken back; everything done before it was put back, the node is as it was.\n"
    wait_for(is_over(node), 10)
    difference = diff_dumps(before, node.dump())
    assert not difference, difference


def test_a_run_goes_on_when_the_answer_comes_while_it_waits(plugin_node):
    node = plugin_node
    made(node, NODE)
    made(node, OTHER, confirm_timeout=3)
    assert made(node, NODE, lock_timeout=60)["changed"] is False, "the change was taken back meanwhile"


def test_the_next_run_takes_back_what_no_guard_is_left_for(plugin_node):
    node = plugin_node
    made(node, NODE)
    before = node.dump()
    made(node, OTHER, confirm_timeout=2)
    for guard in guards(node):
        node.run(["kill", f"-{signal.SIGKILL.value}", guard])
    time.sleep(2.5)
    assert node.exists(JOURNAL)
    warned = made(node, {"networks": []})
    assert "was not confirmed; everything done before it was put back" in warned["warnings"][0]
    difference = diff_dumps(before, node.dump())
    assert not difference, difference


def test_a_change_whose_guard_is_late_is_taken_back_by_hand(plugin_node):
    node = plugin_node
    made(node, NODE)
    before = node.dump()
    run = made(node, OTHER, confirm_timeout=1)["checkpoint"]["run"]
    for guard in guards(node):
        node.run(["kill", f"-{signal.SIGKILL.value}", guard])
    time.sleep(1.5)
    late = node.module("checkpoint", {"run": run})
    assert late["failed"] and f"the time of the run {run} is over, its guard or the next run takes it back" in late["msg"]
    assert node.module("checkpoint", {"state": "reverted"}, check=True)["changed"] and node.exists(JOURNAL)
    assert node.module("checkpoint", {"state": "reverted", "run": run})["changed"]
    difference = diff_dumps(before, node.dump())
    assert not difference, difference
    assert node.module("checkpoint", {"state": "reverted", "run": run})["changed"] is False


@pytest.mark.parametrize("damage", ["rm undo.zip undo.py", "echo x > undo.zip"])
def test_a_guard_has_all_that_it_needs(plugin_node, damage):
    node = plugin_node
    made(node, NODE)
    before = node.dump()
    made(node, OTHER, confirm_timeout=3)
    node.run(["sh", "-c", f"cd /var/lib/kubenode-network && {damage}"])
    wait_for(is_over(node), 30)
    node.run(["sh", "-c", "rm -rf /var/lib/kubenode-network/undo.*"])
    difference = diff_dumps(before, node.dump())
    assert not difference, difference


def test_nothing_is_changed_without_a_guard(plugin_node):
    node = plugin_node
    before = node.dump()
    kill = ("strace", "-qq", "-f", "-o", "/dev/null", "-e", "trace=setsid", "-e", "inject=setsid:signal=KILL")
    result = node.module("node_network", {**NODE, "confirm_timeout": 60}, prefix=kill)
    assert result["failed"] and "nothing was changed: what would take the change back unless it is confirmed does not start" in result["msg"]
    difference = diff_dumps(before, node.dump())
    assert not difference, difference


@pytest.mark.parametrize("value", [0, -1, 86401])
def test_a_time_that_makes_no_sense_is_refused(plugin_node, value):
    result = plugin_node.module("node_network", {**NODE, "confirm_timeout": value})
    assert result["msg"] == f"nothing was changed: confirm_timeout: {value} is not usable (expected 1 to 86400 seconds)"

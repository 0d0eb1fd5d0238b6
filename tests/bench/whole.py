# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a whole node costs: a run that changes nothing, one that finds a thing that somebody broke, and the first one.

Everything is told as times of ansible.builtin.ping in the same play. What the node pays is measured by an interpreter that notes the
CPU seconds of the module's process and its children; what the controller waits for, without it.
"""

from __future__ import annotations

import json
import random
import sys
from pathlib import Path
from typing import Any, NamedTuple

from testbed import Node

from .figure import Figure, low

PODS = ["10.244.1.0/24", "fd00:10:244:1::/64"]
PING, WHOLE = "ping", "node_network"
COSTS, PYTHON = "/run/bench/costs", "/run/bench/python"
#: Alternates are neighbours that cannot be collapsed into one range.
EXCEPTED = [f"10.{number}.0.0/16" for number in range(100, 120, 2)] + [f"fd00:{number}::/32" for number in range(10, 30, 2)]


def networks() -> list[dict[str, Any]]:
    """The node's own network and four more, dual stack."""
    found: list[dict[str, Any]] = [
        {"name": "kubenet", "plugins": [{"type": "bridge", "bridge": "cbr0"}, {"type": "portmap", "capabilities": {"portMappings": True}}]}]
    for number in range(1, 5):
        ranges = [[{"subnet": f"10.250.{number}.0/24"}], [{"subnet": f"fd00:10:250:{number}::/64"}]]
        bridge = {"type": "bridge", "bridge": f"br{number}", "isGateway": True, "mtu": 1400,
                  "ipam": {"type": "host-local", "ranges": ranges, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0"}]}}
        found.append({"name": f"more{number}", "priority": 20 + number, "plugins": [
            bridge, {"type": "portmap", "capabilities": {"portMappings": True}}, {"type": "bandwidth", "capabilities": {"bandwidth": True}}]})
    return found


def sections() -> dict[str, Any]:
    """All of a node: 16 binaries, sysctls, bridge, masquerade with 20 exceptions, 5 networks, the boot service."""
    binaries = {"src": "/usr/lib/cni", "remote_src": True, "bin_dir": "/opt/cni/bin"}
    return {"cni_plugins": binaries, "sysctl_bridge_nf": {}, "kubenet_bridge": {"pod_cidrs": PODS}, "masquerade": {"non_masquerade_cidrs": EXCEPTED},
            "networks": networks(), "boot_service": {}}


#: Changes a byte of a binary in its middle, and puts the modification time back.
_BYTE = """
import os, sys
before = os.stat(sys.argv[1])
with open(sys.argv[1], "r+b") as file:
    file.seek(before.st_size // 2)
    byte = file.read(1)[0] ^ 1
    file.seek(before.st_size // 2)
    file.write(bytes([byte]))
os.utime(sys.argv[1], ns=(before.st_atime_ns, before.st_mtime_ns))
"""


class Damage(NamedTuple):
    """A command that breaks something, and the resource that has to be found."""

    argv: list[str]
    resource: str


DAMAGES = [
    Damage(["iptables", "-t", "nat", "-D", "KUBENODE-MASQ", "3"], "masquerade:iptables-nft/ipv4"),
    Damage(["ip6tables", "-t", "nat", "-F", "POSTROUTING"], "masquerade:iptables-nft/ipv6"),
    Damage(["sysctl", "-qw", "net.ipv4.ip_forward=0"], "sysctl:net/ipv4/ip_forward"),
    Damage(["sysctl", "-qw", "net.bridge.bridge-nf-call-ip6tables=0"], "sysctl:net/bridge/bridge-nf-call-ip6tables"),
    Damage(["truncate", "-s", "-2", "/etc/cni/net.d/22-more2.conflist"], "file:/etc/cni/net.d/22-more2.conflist"),
    Damage(["rm", "/etc/cni/net.d/24-more4.conflist"], "file:/etc/cni/net.d/24-more4.conflist"),
    Damage(["ip", "address", "del", "10.244.1.1/24", "dev", "cbr0"], "bridge:cbr0"),
    Damage(["ip", "-6", "address", "del", "fd00:10:244:1::1/64", "dev", "cbr0"], "bridge:cbr0"),
    Damage([sys.executable, "-I", "-S", "-c", _BYTE, "/opt/cni/bin/bandwidth"], "file:/opt/cni/bin/bandwidth"),
    Damage([sys.executable, "-I", "-S", "-c", _BYTE, "/opt/cni/bin/vrf"], "file:/opt/cni/bin/vrf"),
    Damage(["chmod", "0700", "/opt/cni/bin/bridge"], "file:/opt/cni/bin/bridge"),
]


def whole(pairs: int, seed: int = 0) -> list[Figure]:
    with Node() as node:
        _prepare(node)
        _play(node, [_whole()] * 2, changes=None)
        node.run(["sleep", "3"])  # what changed just now is not counted on in the next run
        _play(node, [_whole()], changes=False)
        return [*_same(node, pairs), *_broken(node, pairs, seed), *_first(max(1, min(pairs // 4, 5)))]


def _prepare(node: Node) -> None:
    wrapper = Path(__file__).with_name("costed.py").resolve()
    node.write(PYTHON, f'#!/bin/sh\nexec {sys.executable} -I -S {wrapper} {sys.executable} {COSTS} "$@"\n', 0o755)


def _ping(**more: Any) -> dict[str, Any]:
    return {"name": PING, "ansible.builtin.ping": {}, **more}


def _whole(**more: Any) -> dict[str, Any]:
    return {"name": WHOLE, "kubenode.network.node_network": sections(), **more}


class Cost(NamedTuple):
    """Seconds of the node's CPUs and of its clock, MiB of the largest process, by the play's task."""

    cpu: dict[str, list[float]]
    wall: dict[str, list[float]]
    rss: dict[str, list[float]]


def _play(node: Node, tasks: list[dict[str, Any]], *, changes: bool | None, costed: bool = False) -> tuple[list[dict[str, Any]], Cost]:
    node.write(COSTS, "")
    text = json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}], indent=1) + "\n"
    play = node.playbook(text, timeout=1200, python=PYTHON if costed else None)
    assert play.rc == 0, play.stdout + play.stderr
    for task in play.tasks:
        if task["task"] == WHOLE and changes is not None:
            assert task["result"]["changed"] is changes, task["result"]
    cost = Cost({}, {}, {})
    for line in node.read(COSTS).splitlines():
        note = json.loads(line)
        name = next((word for word in (PING, WHOLE) if f"AnsiballZ_{word}.py" in "".join(note["ran"])), None)
        for table, value in zip(cost, (note["cpu"], note["wall"], note["rss"])):
            if name is not None:
                table.setdefault(name, []).append(value)
    return play.tasks, cost


def _same(node: Node, pairs: int) -> list[Figure]:
    turns = [task for number in range(pairs) for task in ([_ping(), _whole()] if number % 2 else [_whole(), _ping()])]
    _tasks, cost = _play(node, turns, changes=False, costed=True)
    tasks, _none = _play(node, turns, changes=False)
    seconds = {name: [task["seconds"] for task in tasks if task["task"] == name] for name in (PING, WHOLE)}
    return [
        Figure("ansible.builtin.ping, node CPU", low(cost.cpu[PING]), "s"),
        Figure("whole node without a change, node CPU", _ratio(cost.cpu), "x ping", 1.5),
        Figure("whole node without a change, node's clock", _ratio(cost.wall), "x ping", 1.5),
        Figure("whole node without a change, task on the controller", _ratio(seconds), "x ping", 1.5),
        Figure("whole node without a change, memory", max(cost.rss[WHOLE]), "MiB", 60),
    ]


def _ratio(values: dict[str, list[float]]) -> float:
    return low(values[WHOLE]) / low(values[PING])


def _broken(node: Node, pairs: int, seed: int) -> list[Figure]:
    """Before each timed run something else is broken. It is looked for in check mode, so that finding is timed, not repairing."""
    chosen = random.Random(seed).choices(DAMAGES, k=pairs)
    tasks: list[dict[str, Any]] = []
    for damage in chosen:
        tasks += [{"name": "break", "ansible.builtin.command": {"argv": damage.argv}}, _ping(), _whole(check_mode=True),
                  {"name": "repair", "kubenode.network.node_network": sections()}]
    done, cost = _play(node, tasks, changes=True, costed=True)
    found = [[change["resource"] for change in task["result"]["changes"]] for task in done if task["task"] == WHOLE]
    missed = [damage.argv for damage, resources in zip(chosen, found) if damage.resource not in resources]
    assert len(found) == pairs
    # the node's runs in between are repairs
    timed = cost.cpu[WHOLE][0::2]
    worst = max(low([value for value, one in zip(timed, chosen) if one.resource == kind]) for kind in {one.resource for one in chosen})
    return [
        Figure("broken before each run: not found", len(missed), f"of {pairs}", 0),
        Figure("broken before each run, node CPU", low(timed) / low(cost.cpu[PING]), "x ping", 1.5),
        Figure("broken before each run, the costliest thing, node CPU", worst / low(cost.cpu[PING]), "x ping"),
        Figure("broken before each run, node's clock", low(cost.wall[WHOLE][0::2]) / low(cost.wall[PING]), "x ping", 1.5),
    ]


def _first(times: int) -> list[Figure]:
    """On new nodes that have the binaries; with the boot service, its program is sent, and the module runs twice for that."""
    without, cpu = {"cni_plugins", "boot_service"}, {PING: [], "first": [], "boot": []}
    small = {name: options for name, options in sections().items() if name not in without}
    for _time in range(times):
        for key, wanted in (("first", small), ("boot", {**small, "boot_service": {}})):
            with Node() as node:
                _prepare(node)
                node.install_plugins()
                task = {"name": WHOLE, "kubenode.network.node_network": wanted}
                _tasks, cost = _play(node, [_ping(), task, _ping()], changes=True, costed=True)
                cpu[PING] += cost.cpu[PING]
                cpu[key].append(sum(cost.cpu[WHOLE]))
    return [
        Figure("first run, binaries and program aside, node CPU", low(cpu["first"]) / low(cpu[PING]), "x ping", 3),
        Figure("first run, binaries aside, node CPU", low(cpu["boot"]) / low(cpu[PING]), "x ping"),
    ]

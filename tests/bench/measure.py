# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network's validation costs, and a run that changes nothing: the latter as times of ansible.builtin.ping.

A machine's speed cancels in a ratio of one run, and its moods do when the tasks take turns.
"""

from __future__ import annotations

import json
import statistics
import timeit
from typing import Any, NamedTuple

from ansible_collections.kubenode.network.plugins.module_utils._cni import loader, model, versions
from ansible_collections.kubenode.network.plugins.module_utils._host.plugins import CACHE
from testbed import Node

RANGES = ["10.244.1.0/24", "fd00:10:244:1::/64"]
PING = "ping"


class Figure(NamedTuple):
    """One line of the report: a value, and what it should not exceed (None: just to know)."""

    what: str
    value: float
    unit: str
    goal: float | None = None

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"  (goal {self.goal:g}: {'met' if self.value <= self.goal else 'MISSED'})"
        return f"{self.what:<52} {self.value:7.2f} {self.unit:<10}{goal}"


def five_plugins() -> list[dict[str, Any]]:
    """bridge, portmap, bandwidth, firewall and tuning, most of their keys used."""
    routes = [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}, {"dst": "::/0", "gw": "fd00:10:244:1::1"}]
    ipam = {"type": "host-local", "ranges": [[{"subnet": subnet}] for subnet in RANGES], "routes": routes}
    return [
        {"type": "bridge", "bridge": "cbr0", "isGateway": True, "ipMasq": True, "hairpinMode": True, "mtu": 1450, "ipam": ipam},
        {"type": "portmap", "capabilities": {"portMappings": True}, "snat": True, "markMasqBit": 13, "conditionsV4": ["!", "-s", "192.0.2.0/24"]},
        {"type": "bandwidth", "capabilities": {"bandwidth": True}, "ingressRate": 10**7, "ingressBurst": 10**6},
        {"type": "firewall", "backend": "iptables", "ingressPolicy": "open"},
        {"type": "tuning", "sysctl": {"net.core.somaxconn": "512", "net.ipv4.conf.IFNAME.arp_filter": "1"}, "mtu": 1450},
    ]


def validate() -> None:
    """All that is checked of a network before anything is read from the node, and its text."""
    plugins = five_plugins()
    problems = [*model.check_name("kubenet"), *versions.check_version("1.0.0", "cni_version"),
                *loader.check_filename("10-kubenet.conflist", "filename"), *model.check_plugins(plugins, cni_version="1.0.0")]
    assert problems == []
    text = model.render(model.build("kubenet", "1.0.0", plugins, single=False))
    assert model.parse(text, "10-kubenet.conflist")["plugins"] == plugins


def validation(times: int) -> list[Figure]:
    runs = timeit.repeat(validate, number=10, repeat=times)
    return [Figure("validation of a list of 5 plugins, in-process", min(runs) / 10 * 1000, "ms", 5)]


def _play(node: Node, times: int) -> str:
    """Ping before each other task, so that a slow moment of the machine hits both."""
    network = {"name": "mynet", "priority": 20, "plugins": five_plugins()}
    whole = {"kubenet_bridge": {"pod_cidrs": RANGES}, "masquerade": {"pod_cidrs": RANGES, "cluster_cidrs": ["10.244.0.0/16", "fd00:10:244::/48"]},
             "sysctl_bridge_nf": {}}
    ping = {"name": PING, "ansible.builtin.ping": {}}
    forget = {"name": "forget", "ansible.builtin.file": {"path": CACHE, "state": "absent"}}
    config = {"name": "cni_config", "kubenode.network.cni_config": network}
    whole_node = {"name": "node_network", "kubenode.network.node_network": whole}
    info = {"name": "cni_info", "kubenode.network.cni_info": {}}
    turn = [ping, config, ping, whole_node, ping, info, forget, ping, {**info, "name": "cni_info, cold"}, ping, {**config, "name": "cni_config, cold"}]
    first = [{**config, "name": "make"}, {**whole_node, "name": "make"}]
    return json.dumps([{"hosts": "all", "gather_facts": False, "tasks": first + turn * times}], indent=1) + "\n"


def runs_without_a_change(times: int) -> list[Figure]:
    """Real tasks in a real play over the local connection."""
    with Node() as node:
        node.install_plugins()
        play = node.playbook(_play(node, times), timeout=1200)
    assert play.rc == 0, play.stdout
    seconds: dict[str, list[float]] = {}
    for task in play.tasks:
        if task["task"] not in ("make", "forget"):
            assert not task["result"]["changed"], task
            seconds.setdefault(task["task"], []).append(task["seconds"])
    ping = statistics.median(seconds.pop(PING))
    goals = {"cni_config": 1.5, "cni_config, cold": 3.0, "cni_info, cold": 3.0}
    ratios = [Figure(f"{name} without a change", statistics.median(found) / ping, "x ping", goals.get(name)) for name, found in seconds.items()]
    return [Figure("ansible.builtin.ping", ping, "s"), *ratios]


def report(times: int) -> list[Figure]:
    """Every figure, from so many turns."""
    return [*validation(times), *runs_without_a_change(times)]

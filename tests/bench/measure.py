# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a network's validation costs, and a run that changes nothing: the latter as times of ansible.builtin.ping. And how much of
a pod's throughput is left with our masquerade.

A machine's speed cancels in a ratio of one run, and its moods do when the tasks take turns.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import timeit
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ansible_collections.kubenode.network.plugins.module_utils._cni import loader, model, versions
from ansible_collections.kubenode.network.plugins.module_utils._host.plugins import CACHE
from testbed import Node, Pod
from testbed.paths import HERE
from testbed.space import Process

from .figure import Figure

RANGES = ["10.244.1.0/24", "fd00:10:244:1::/64"]
PING = "ping"
_BULK = [sys.executable, "-I", "-S", str(HERE / "bulk.py")]
_PORT = 9000


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


def throughput(pairs: int, seconds: float) -> list[Figure]:
    """Of a pod to the outside, as shares of what the same list gives with ipMasq and no rules of ours. Both take turns."""
    with Node("ours") as ours, Node("plain") as plain:
        pods = [_pod(ours), _plain_pod(plain, ours)]
        figures = []
        for family in ("ip4", "ip6"):
            rates = _rates(pods, family, pairs, seconds)
            shares = [of_ours / of_plain for of_ours, of_plain in zip(*rates)]
            figures += [
                Figure(f"throughput pod to outside, {family}, ipMasq", statistics.median(rates[1]) * 8 / 1e9, "Gbit/s"),
                Figure(f"throughput pod to outside, {family}, our masquerade", statistics.median(shares), "x ipMasq", 0.95, least=True,
                       spread=(min(shares), max(shares)))]
    return figures


def _pod(node: Node) -> Pod:
    node.install_plugins()
    cidrs = {"pod_cidrs": RANGES}
    _have(node, {"sysctl_bridge_nf": {}, "kubenet_bridge": cidrs, "masquerade": {**cidrs, "cluster_cidrs": ["10.244.0.0/16", "fd00:10:244::/48"]}})
    return node.pod("pod")


def _plain_pod(node: Node, ours: Node) -> Pod:
    node.install_plugins()
    _have(node, {"sysctl_bridge_nf": {"forwarding": ["ipv4", "ipv6"]}})
    path = "/etc/cni/net.d/10-kubenet.conflist"
    network = json.loads(ours.read(path))
    network["plugins"][0]["ipMasq"] = True
    node.write(path, json.dumps(network))
    return node.pod("pod")


def _have(node: Node, sections: dict[str, Any]) -> None:
    result = node.module("node_network", sections)
    assert not result.get("failed"), result


def _rates(pods: list[Pod], family: str, pairs: int, seconds: float) -> tuple[list[float], ...]:
    """Bytes a second of each pod. A pair is one, other, other, one, so that a machine that gets slower hits both; the first one
    only warms up."""
    rates: tuple[list[float], ...] = ([], [])
    with _sink(pods[0]) as first, _sink(pods[1]) as second:
        for pair in range(pairs + 1):
            turns: tuple[list[float], ...] = ([], [])
            for which in (0, 1, 1, 0) if pair % 2 else (1, 0, 0, 1):
                pod = pods[which]
                pod.run([*_BULK, "pour", getattr(pod.node.outside, family), str(_PORT), str(seconds / 2)], timeout=60)
                turns[which].append(json.loads((first, second)[which].stdout.readline()))
            for which in (0, 1) if pair else ():
                rates[which].append(statistics.mean(turns[which]))
    return rates


@contextmanager
def _sink(pod: Pod) -> Iterator[Process]:
    with pod.node.outside.popen([*_BULK, "swallow", str(_PORT)], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            process.stdout.readline()  # "ready"
            yield process
        finally:
            process.kill()

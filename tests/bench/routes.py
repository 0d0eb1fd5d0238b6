# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes to the pods of thousands of nodes: what they cost a node, and what their peers cost the controller."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ansible_collections.kubenode.network.plugins.module_utils._addressing import peers as packing
from testbed import Node
from testbed.ansible import play_env
from testbed.fleet import COMMON, cpu_of_children, stubs
from testbed.paths import HERE
from testbed.space import clean_env

from .figure import Figure, low

PEERS = 5000
#: Nodes of two plays whose difference is what each further node costs.
FEW, MANY = 2, 12
PING, ROUTES = "ping", "pod_routes"


def peers(count: int) -> dict[str, Any]:
    """Nodes 1, 2, ... on one network of each family."""
    return {f"node-{number:04}": {
        "pod_cidrs": [f"10.{number // 256}.{number % 256}.0/24", f"fd00:10:{number:x}::/64"],
        "addresses": [f"172.20.{number // 250}.{number % 250 + 1}", f"2001:db8:5::{number + 16:x}"]} for number in range(256, 256 + count)}


def one_family(entries: dict[str, Any]) -> dict[str, Any]:
    return {name: {key: values[:1] for key, values in entry.items()} for name, entry in entries.items()}


def plug(node: Node) -> None:
    """Connect the node to the network of the peers."""
    node.ip("link add up0 type bridge", "link set up0 up", "address add 172.20.255.1/16 dev up0", "address add 2001:db8:5::1/64 dev up0 nodad")


def _task(entries: dict[str, Any]) -> dict[str, Any]:
    return {"name": ROUTES, "kubenode.network.pod_routes": {"node": "node-1", "peers": packing.pack(entries)}}


def _play(node: Node, tasks: list[dict[str, Any]]) -> list[dict[str, Any]]:
    play = node.playbook(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}]) + "\n", timeout=1200)
    assert play.rc == 0, play.stdout[-3000:] + play.stderr[-3000:]
    return play.tasks


def on_node(times: int, count: int = PEERS) -> list[Figure]:
    """``count`` routes of one family, then twice as many of both."""
    figures = []
    for families, entries in ((f"{count} routes", one_family(peers(count))), (f"{2 * count} routes, dual stack", peers(count))):
        with Node() as node:
            plug(node)
            more = {**entries, "new": {"pod_cidrs": ["10.255.0.0/24"], "addresses": ["172.20.254.1"]}}
            ping = {"name": PING, "ansible.builtin.ping": {}}
            warm = {**_task({}), "name": "warm"}
            done = _play(node, [warm, _task(entries), *[ping, _task(entries)] * times, _task(more)])
        made = [task for task in done if task["task"] == ROUTES]
        same, added = made[1:-1], made[-1]
        assert made[0]["result"]["changed"] and not any(task["result"]["changed"] for task in same)
        seconds = {name: low([task["seconds"] for task in tasks]) for name, tasks in ((PING, [task for task in done if task["task"] == PING]), (ROUTES, same))}
        figures += [
            Figure(f"{families} applied, on the node", made[0]["result"]["duration"], "s", 1.5),
            Figure(f"{families} without a change, above ping", seconds[ROUTES] - seconds[PING], "s", 0.5),
            Figure(f"{families}, and a node more: routes that change", _changed(added["result"]), "", 1),
        ]
    return figures


def _changed(result: dict[str, Any]) -> int:
    """Prefixes that a run adds, changes or removes."""
    change = next(change for change in result["changes"] if change["resource"] == "routes:kubenode")
    return len({*(change["before"] or {}), *(change["after"] or {})})


def on_controller(times: int, count: int = PEERS) -> list[Figure]:
    """Peers that are packed once for all nodes; the least of some turns."""
    spent: dict[int, list[float]] = {FEW: [], MANY: []}
    for _turn in range(times):
        for hosts, values in spent.items():
            cpu, sent = _site(hosts, peers(count))
            values.append(cpu)
    each = (min(spent[MANY]) - min(spent[FEW])) / (MANY - FEW)
    return [
        Figure(f"{count} peers, controller, CPU per further node", each, "s", 0.5),
        Figure(f"{count} peers, sent to each node", max(sent) / 1e6, "MB", 1),
    ]


def _site(hosts: int, entries: dict[str, Any]) -> tuple[float, list[int]]:
    """CPU seconds of a play for nodes that answer at once, and the bytes that were sent to each."""
    with TemporaryDirectory(prefix="routes-") as name:
        folder = Path(name)
        (folder / "ansible.cfg").write_text("[defaults]\n")
        (folder / "results").write_text("")
        (folder / "inventory.json").write_text(json.dumps({"all": {"hosts": stubs(hosts), "vars": COMMON}}))
        (folder / "vars.json").write_text(json.dumps({"entries": entries}))
        packed = {"ansible.builtin.set_fact": {"site": "{{ entries | kubenode.network.pack_peers }}"}, "run_once": True}
        task = {"kubenode.network.pod_routes": {"node": "{{ inventory_hostname }}", "peers": "{{ site }}"}}
        (folder / "play.yml").write_text(json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [packed, task]}]))
        env = clean_env({**play_env(name), "ANSIBLE_CONNECTION_PLUGINS": str(HERE / "connections"), "PYTHONPATH": str(HERE.parent),
                         "STUB_SENT": str(folder / "sent")})  # fmt: skip
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", str(folder / "inventory.json"), "-e", f"@{folder / 'vars.json'}", str(folder / "play.yml")]
        before = cpu_of_children()
        done = subprocess.run(argv, env=env, text=True, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=280)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        return cpu_of_children() - before, [int(line) for line in (folder / "sent").read_text().split()]


def report(times: int) -> list[Figure]:
    return [*on_node(times), *on_controller(min(times, 3))]

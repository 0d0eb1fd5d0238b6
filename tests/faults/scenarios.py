# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is done to a node: a first run, a change and a removal of everything, and what was there before."""

from __future__ import annotations

import copy
import hashlib
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.kubenode.network.plugins.module_utils import _door, _node
from testbed import Node, Pod, program

Options = dict[str, Any]
PODS = ["10.244.1.0/24", "fd00:10:244:1::/64"]
BRIDGED = [{"type": "bridge", "bridge": "cbr0"}, {"type": "portmap", "capabilities": {"portMappings": True}}]
PROGRAM = program.build()
CHECKSUM = hashlib.sha256(PROGRAM).hexdigest()


def _macvlan(third: int) -> list[Options]:
    subnet = {"subnet": f"10.245.{third}.0/24"}
    return [{"type": "macvlan", "master": "eth0", "mode": "bridge", "ipam": {"type": "host-local", "ranges": [[subnet]]}}]


def _peers(*numbers: int) -> Options:
    """Other nodes; the last one has an address that follows from their number."""
    last = 10 + len(numbers)
    return {f"node-{number}": {"pod_cidrs": [f"10.244.{number}.0/24", f"fd00:10:244:{number}::/64"],
                               "addresses": [f"192.0.2.{last if number == numbers[-1] else number}", f"2001:db8:0:1::{number}"]} for number in numbers}


PRESENT: Options = {
    "cni_plugins": {"src": "/usr/lib/cni", "remote_src": True, "plugins": ["bridge", "host-local", "loopback", "macvlan", "portmap"]},
    "sysctl_bridge_nf": {},
    "kubenet_bridge": {"pod_cidrs": PODS},
    "masquerade": {"non_masquerade_cidrs": ["10.244.0.0/16", "fd00:10:244::/48"]},
    "routes": {"peers": _peers(102, 103, 104)},
    "networks": [{"name": "pods", "priority": 5, "plugins": BRIDGED}, {"name": "extra", "priority": 30, "plugins": _macvlan(1)}],
}
CHANGED: Options = {
    **PRESENT,
    "kubenet_bridge": {"pod_cidrs": PODS, "mtu": "1400"},
    "masquerade": {"non_masquerade_cidrs": ["10.244.0.0/15", "fd00:10:244::/47"]},
    "routes": {"peers": _peers(103, 104, 105, 106)},
    "networks": [
        {"name": "pods", "priority": 5, "plugins": BRIDGED},
        {"name": "extra", "state": "absent", "priority": 30},
        {"name": "more", "priority": 40, "plugins": _macvlan(2)},
    ],
}
SECTIONS = ("cni_plugins", "sysctl_bridge_nf", "kubenet_bridge", "masquerade", "routes", "boot_service")
ABSENT: Options = {
    **{name: {"state": "absent"} for name in SECTIONS},
    "networks": [{"name": name, "state": "absent", "priority": priority} for name, priority in (("pods", 5), ("extra", 30), ("more", 40))],
}
#: Of others: a network behind ours, and a setting in the file that is ours by name, whose content is to come back.
FILES = {
    "/etc/cni/net.d/87-other.conflist": json.dumps({"cniVersion": "0.4.0", "name": "other", "plugins": [{"type": "ptp", "ipMasq": False, "ipam": {
        "type": "host-local", "ranges": [[{"subnet": "10.99.0.0/24"}]]}}]}),
    "/etc/sysctl.d/99-kubenode-network.conf": "vm.overcommit_memory = 0\n",
}
RULES = "*nat\n:OTHER - [0:0]\n-A POSTROUTING -s 172.30.0.0/24 -j MASQUERADE\nCOMMIT\n"


class Scenario(NamedTuple):
    """before: the options of a run that comes first, if any; pods: names of those of ours that are there during the run."""

    name: str
    before: Options | None
    options: Options
    pods: tuple[str, ...] = ()


SCENARIOS = {scenario.name: scenario for scenario in (
    Scenario("first", None, PRESENT), Scenario("change", PRESENT, CHANGED, ("a", "b")), Scenario("removal", PRESENT, ABSENT),
)}


def start() -> Node:
    """A node as it is before the first run."""
    node = Node()
    try:
        node.run(["sh", "-c", "mkdir -p /opt/other && cp /usr/lib/cni/ptp /usr/lib/cni/host-local /usr/lib/cni/loopback /opt/other"])
        for path, text in FILES.items():
            node.write(path, text)
        arrive(node)
    except BaseException:
        node.close()
        raise
    return node


def arrive(node: Node) -> None:
    """What is there anew after each boot: rules of others, and in /run what Ansible sends."""
    node.run(["iptables-restore"], input=RULES)
    program.send(node, PROGRAM)


def other_pod(node: Node) -> Pod:
    """A pod of another network: nothing that we do may cut it off."""
    ours, node.cni_bin = node.cni_bin, ("/opt/other",)
    pod = node.pod("other", network="/etc/cni/net.d/87-other.conflist")
    node.cni_bin = ours
    return pod


def options(asked: Options) -> Options:
    """The options of a run as Ansible would give them to the module."""
    boot = {} if "boot_service" in asked else {"boot_service": {"program": program.SENT, "checksum": CHECKSUM, "python": "/usr/bin/python3"}}
    validated = ArgumentSpecValidator({**_node.argument_spec(), **_door.TERMS}).validate(copy.deepcopy({**asked, **boot}))
    if validated.error_messages:
        raise ValueError(validated.error_messages)
    return validated.validated_parameters


class _Done(Exception):
    """The module ended; the value is its result."""


class _Module:
    check_mode = False
    _diff = False
    _name = "kubenode.network.node_network"

    def __init__(self, params: Options) -> None:
        self.params = params
        self.warnings: list[str] = []

    def warn(self, warning: str) -> None:
        self.warnings.append(warning)

    def exit_json(self, **result: Any) -> None:
        raise _Done({**result, "warnings": self.warnings})

    def fail_json(self, msg: str, **result: Any) -> None:
        raise _Done({"failed": True, "msg": msg, **result, "warnings": self.warnings})


def run(asked: Options) -> Callable[[], Any]:
    """A run of node_network, as a function to be called in a node; it returns the module's result."""
    params = options(asked)

    def carry_out() -> Any:
        try:
            _door.open_all(_Module(params), lambda: _node.open_sections(params))
        except _Done as done:
            return done.args[0]

    return carry_out

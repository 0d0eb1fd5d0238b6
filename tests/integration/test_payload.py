# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a module is shipped to a node as: a zip of what it imports, and nothing else."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from testbed import Node

UTILS = "ansible_collections/kubenode/network/plugins/module_utils/"
#: module -> sections and resources that it needs of ours
NEEDS = {
    "kubenet_bridge": ({"kubenet_bridge", "bridge_dedup", "bridge_pods", "unmanaged"}, {"bridge", "dedup", "dropin", "file", "hairpin"}),
    "boot_service": ({"boot_service", "late"}, {"dropin", "file"}),
    "masquerade": ({"masquerade", "firewall_backend"}, {"iptables_chain", "kubenet_rules", "masquerade_table"}),
    "sysctl_bridge_nf": ({"sysctl_bridge_nf", "directory"}, {"cni_file", "file", "sysctl", "udev"}),
    "pod_routes": ({"routes", "boot_service", "late"}, {"dropin", "file", "route_set", "unit"}),
    "cni_plugins": ({"cni_plugins", "late", "plugin_source", "plugin_package"}, {"file", "package"}),
    "host_local_lease": (set(), set()),
    "cni_info": (set(), set()),
    "cni_config": ({"networks", "bridged", "directory"}, {"file", "cni_entry", "cni_file", "cni_form", "taken_over"}),
    "portmap": ({"networks", "bridged", "directory", "chained", "portmap"}, {"file", "cni_entry", "cni_file", "cni_form", "taken_over"}),
    "bandwidth": ({"networks", "bridged", "directory", "chained", "bandwidth"}, {"file", "cni_entry", "cni_file", "cni_form", "taken_over"}),
}


@pytest.fixture(scope="module")
def payloads():
    """module -> names of the files that ansible-core put into its zip; as kept on the node by a real run."""
    tasks = "".join(f"    - kubenode.network.{module}:\n      ignore_errors: true\n" for module in [*NEEDS, "node_network"])
    with Node() as node:
        node.playbook(f"- hosts: all\n  gather_facts: false\n  tasks:\n{tasks}", env={"ANSIBLE_KEEP_REMOTE_FILES": "1"})
        found = node.run(["find", "/run/testbed/ansible", "-name", "AnsiballZ_*.py"]).stdout.split()
        names = {}
        for script in found:
            node.run([sys.executable, script, "explode"])
            folder = str(Path(script).parent / "debug_dir")
            files = node.run(["find", folder, "-type", "f", "-printf", "%P\n"]).stdout.split()
            names[Path(script).stem.removeprefix("AnsiballZ_")] = files
        yield names


@pytest.mark.parametrize("module", NEEDS)
def test_a_node_is_sent_only_what_the_module_imports(payloads, module):
    names = [name[len(UTILS):] for name in payloads[module] if name.startswith(UTILS)]
    sections, resources = ({Path(name).stem for name in names if name.startswith(folder)} - {"__init__"} for folder in ("_sections/", "_resources/"))
    needed_sections, needed = NEEDS[module]
    assert (sections - {"base"}, resources) == (needed_sections, needed | {"bridge"}), "a bridge that pods use may stay in any run's journal"
    assert {"_converge.py", "_door.py", "_document.py", "_execution.py", "_errors.py"} <= set(names)


def test_node_network_is_sent_what_finds_the_engine(payloads):
    """The engine is sent once, by itself (test_engine.py)."""
    names = {name[len(UTILS):] for name in payloads["node_network"] if name.startswith(UTILS)}
    assert names == {"__init__.py", "_engine.py", "_host/__init__.py", "_host/bytecode.py"}

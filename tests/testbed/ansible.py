# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible inside a node: one module, or a whole play over the local connection."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from . import warm
from .paths import HERE, link_collection

if TYPE_CHECKING:
    from .node import Node

_WORK = "/run/testbed/ansible"
_LONGEST = 120  # seconds of a module


class ModuleCrash(RuntimeError):
    """A module ended without a result; the text is what it wrote, traceback included."""


def run_module(node: Node, name: str, args: dict[str, Any], *, check: bool = False, diff: bool = True, python: str | None = None,
               env: dict[str, str] | None = None, prefix: tuple[str, ...] = (), collections: Path | None = None) -> dict[str, Any]:
    """See Node.module."""
    collection, _dot, short = name.rpartition(".")
    dotted = f"ansible_collections.{collection or 'kubenode.network'}.plugins.modules.{short}"
    hidden = {"_ansible_check_mode": check, "_ansible_diff": diff, "_ansible_remote_tmp": _WORK, "_ansible_keep_remote_files": False,
              "_ansible_module_name": name}
    order = {"paths": [str(collections or link_collection())], "module": dotted, "args": {**args, **hidden}}
    if python is None and env is None and not prefix and collections is None:
        result = warm.run(node, order, timeout=_LONGEST)
    else:
        argv = [*prefix, python or sys.executable, str(HERE / "module_runner.py")]
        order["paths"].append(_ansible_alone(node))
        result = node.run(argv, check=False, input=json.dumps(order), timeout=_LONGEST, env=env)
    last = result.stdout.strip().rpartition("\n")[2]
    try:
        answer = json.loads(last)
    except ValueError:
        raise ModuleCrash(f"{name}: exit {result.returncode}\n{result.stdout}{result.stderr}") from None
    if "warnings" in answer:
        # ansible-core 2.19 and later send objects, for the controller to format.
        answer["warnings"] = [entry if isinstance(entry, str) else entry["event"]["msg"] for entry in answer["warnings"]]
    return answer


def _ansible_alone(node: Node) -> str:
    """A folder with only the `ansible` package: another Python must not find this one's pyroute2 or netaddr."""
    folder = "/run/testbed/python"
    if node.has_ansible:
        return folder
    node.has_ansible = True
    node.run(["mkdir", "-p", folder, _WORK])
    node.run(["ln", "-sfn", str(Path(importlib.util.find_spec("ansible").origin).parent), f"{folder}/ansible"])
    return folder


@dataclass(frozen=True)
class Play:
    """How a playbook went: stats is host -> {"ok", "changed", "failures", ...}, tasks as callbacks/results.py writes them."""

    rc: int
    stdout: str
    stderr: str
    stats: dict[str, dict[str, int]]
    tasks: list[dict[str, Any]]

    @property
    def changed(self) -> int:
        return sum(host["changed"] for host in self.stats.values())


def run_playbook(node: Node, playbook: str | Path, extra_vars: dict[str, Any] | None = None, args: tuple[str, ...] = (), *,
                 python: str | None = None, env: dict[str, str] | None = None, timeout: float = 300) -> Play:
    """See Node.playbook."""
    results = f"{_WORK}/results"
    if isinstance(playbook, str) and "\n" in playbook:
        text, playbook = playbook, f"{_WORK}/play.yml"
        node.write(playbook, text)
    node.write(f"{_WORK}/inventory", f"{node.name} ansible_connection=local ansible_python_interpreter={python or sys.executable}\n")
    node.write(f"{_WORK}/vars.json", json.dumps(extra_vars or {}))
    node.write(results, "")
    # Not a thousand looks a second for a task's end: that takes time from the task.
    node.write(f"{_WORK}/ansible.cfg", "[defaults]\ninternal_poll_interval = 0.01\n")
    argv = [sys.executable, "-m", "ansible", "playbook", "-i", f"{_WORK}/inventory", "-e", f"@{_WORK}/vars.json", str(playbook), *args]
    run = node.run(argv, check=False, timeout=timeout, env={**play_env(_WORK), **(env or {})})
    return play_of(run, node.read(results))


def play_of(run: subprocess.CompletedProcess[str], results: str) -> Play:
    records = [json.loads(line) for line in results.splitlines()]
    stats = next((record["stats"] for record in records if "stats" in record), {})
    return Play(run.returncode, run.stdout, run.stderr, stats, [record for record in records if "task" in record])


def play_env(work: str) -> dict[str, str]:
    """Variables of ansible-playbook that keep what it writes in a folder, which has an ansible.cfg."""
    results = f"{work}/results"
    return {
        # Whatever is put below ~ stays there.
        "LC_ALL": "C.UTF-8", "HOME": work, "ANSIBLE_CONFIG": f"{work}/ansible.cfg", "ANSIBLE_HOME": work,
        "ANSIBLE_REMOTE_TMP": f"{_WORK}/remote", "ANSIBLE_NOCOLOR": "1",
        "ANSIBLE_COLLECTIONS_PATH": str(link_collection()), "ANSIBLE_RETRY_FILES_ENABLED": "0", "ANSIBLE_NOCOWS": "1",
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"), "ANSIBLE_CALLBACKS_ENABLED": "results", "TESTBED_RESULTS": results,
    }

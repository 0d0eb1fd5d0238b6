# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""How each node went, after the recap of a run of a playbook for nodes: ansible-playbook loads what is beside a playbook by itself.

A callback and no task, because a play that stops at a batch ends the playbook, and because it is told of each result once:
it costs nothing per node.
"""

from __future__ import annotations

DOCUMENTATION = """
name: kubenode_network_summary
type: notification
author: the kubenode.network authors
short_description: how each node went in a playbook for nodes
description:
  - Names the nodes that are right, those that failed and those that could not be reached with the reason, and those that were not tried.
  - Prints nothing where the output is for a program (P(ansible.posix.json#callback), P(ansible.posix.jsonl#callback)).
"""

import typing as t

from ansible import constants as C
from ansible import context
from ansible.plugins.callback import CallbackBase

#: The plays of the playbooks: those for all nodes at once, and those that go to them.
FOR_ALL = ("Allocate pod CIDRs", "Free the pod CIDRs")
ON_NODES = ("Make the pod network of the nodes", "Take the pod network of the nodes away", "Tell the other nodes")
MODULE = "kubenode.network.node_network"
#: A reason is one line, and the whole text stands above.
LONGEST = 400


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible has no types
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "kubenode_network_summary"

    def __init__(self) -> None:
        super().__init__()
        self._play = ""
        self._stopped = ""  # why no node was tried
        self._nodes: dict[str, None] = {}  # in their order
        self._right: dict[str, int] = {}  # how many things were changed
        self._failed: dict[str, str] = {}
        self._unreachable: dict[str, str] = {}

    def v2_playbook_on_play_start(self, play: t.Any) -> None:
        """Called once for each batch."""
        self._play = play.get_name()
        if self._play in (*FOR_ALL, *ON_NODES):
            # All hosts of the play, not those of the batch; without those that --limit leaves out. A play for all nodes has the
            # controller where there is no node, to say so.
            names = play.get_variable_manager().get_vars(play=play)["ansible_play_hosts_all"]
            self._nodes.update({name: None for name in names if self._play in ON_NODES or name != "localhost"})

    def v2_runner_on_ok(self, result: t.Any) -> None:
        task, host, data = _parts(result)
        if self._play in ON_NODES and task.action == MODULE:
            self._right[host] = self._right.get(host, 0) + len(data.get("changed_resources") or ())

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        _task, host, data = _parts(result)
        if self._play in ON_NODES and not ignore_errors:
            self._failed[host] = _reason(data)
            self._unreachable.pop(host, None)  # a task of ours has said more
        elif self._play in FOR_ALL:
            self._stopped = _reason(data)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        if self._play in ON_NODES:
            _task, host, data = _parts(result)
            self._unreachable[host] = _reason(data)

    def v2_playbook_on_stats(self, stats: t.Any) -> None:
        if not (self._nodes or self._stopped) or C.DEFAULT_STDOUT_CALLBACK.rpartition(".")[2] in ("json", "jsonl"):
            return
        right = [name for name in self._nodes if name in self._right and name not in self._failed and name not in self._unreachable]
        untried = [name for name in self._nodes if name not in {*self._right, *self._failed, *self._unreachable}]
        self._display.banner(f"POD NETWORK of {len(self._nodes)} node{'s' if len(self._nodes) != 1 else ''}")
        if self._stopped:
            self._display.display(f"stopped before the first node: {self._stopped}", color=C.COLOR_ERROR)
        changed = sum(self._right[name] > 0 for name in right)
        done = "would change" if context.CLIARGS.get("check") else "changed"
        self._say("right", right, C.COLOR_OK, f", {changed} of them {done}" if changed else f", none {done}")
        self._explain("failed", self._failed)
        self._explain("not reached", self._unreachable)
        self._say("not tried", untried, C.COLOR_SKIP)

    def _say(self, what: str, names: list[str], color: str, more: str = "") -> None:
        if names:
            self._display.display(f"{what}: {len(names)}{more}: {', '.join(map(self._with_changes, names))}", color=color)

    def _with_changes(self, name: str) -> str:
        count = self._right.get(name)
        return f"{name} ({count} change{'s' if count > 1 else ''})" if count else name

    def _explain(self, what: str, reasons: dict[str, str]) -> None:
        if reasons:
            lines = "".join(f"\n  {name}: {reason}" for name, reason in reasons.items())
            self._display.display(f"{what}: {len(reasons)}{lines}", color=C.COLOR_ERROR)


def _parts(result: t.Any) -> tuple[t.Any, str, t.Mapping[str, t.Any]]:
    """Task, name of the host, data. ansible-core 2.19 gave the private attributes public names."""
    task, host, data = (getattr(result, name, None) or getattr(result, f"_{name}") for name in ("task", "host", "result"))
    return task, host.get_name(), data


def _reason(data: t.Mapping[str, t.Any]) -> str:
    text = " ".join(str(data.get("msg") or data.get("reason") or "no reason was given").split())
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."

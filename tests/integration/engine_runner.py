# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a node, as a script or by testbed/warm.py: converges sections with a step told to fail, or to pause. Reads JSON from stdin, prints JSON.

One line of JSON first: {"params": options of node_network, "fail": [STEP, "write" | "verify" | "kill"] or null, "pause": STEP or null,
"section": the module whose options they are, where these are not of node_network}
-> {"changes": N} or {"error": TEXT}. A run with a "pause" prints "paused" when the STEP-th change is written, and waits for
a line; if it is then put back, it prints "undoing" before and waits for another one.
"""

from __future__ import annotations

import json
import os
import select
import signal
import sys

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.kubenode.network.plugins.module_utils import _converge
from ansible_collections.kubenode.network.plugins.module_utils._errors import KubenodeError, NodeError
from ansible_collections.kubenode.network.plugins.module_utils._execution import Terms, execute
from ansible_collections.kubenode.network.plugins.module_utils._node import argument_spec, open_sections
from ansible_collections.kubenode.network.plugins.module_utils._resource import Resource
from ansible_collections.kubenode.network.plugins.module_utils._sections import bandwidth, networks, portmap


def at_step(step: int, change: object) -> None:
    """Has the resource of the STEP-th change changed, whatever the plan is."""
    plan = _converge.plan

    def planned(*args: object) -> _converge.Plan:
        made = plan(*args)
        if step <= len(made.changes):
            change(made.changes[step - 1].resource)
        return made

    _converge.plan = planned


def told_to_fail(step: int, when: str) -> None:
    """Makes the STEP-th change fail, before it is written or after, or kills this process when it is written."""
    real, seen = _converge._verify, []

    def verify(change: _converge.Change) -> None:
        is_first = change.resource.id not in seen
        seen.append(change.resource.id)
        if is_first and len(set(seen)) == step:
            raise NodeError("told to fail")
        real(change)

    def kill(resource: Resource) -> None:
        write = resource.write

        def last(state: object) -> None:
            write(state)
            os.kill(os.getpid(), signal.SIGKILL)

        resource.write = last

    def refuse_once(resource: Resource) -> None:
        write, calls = resource.write, []

        def refusing(state: object) -> None:
            calls.append(state)
            if len(calls) == 1:
                raise OSError(28, "No space left on device")
            write(state)

        resource.write = refusing

    if when == "verify":
        _converge._verify = verify
    else:
        at_step(step, {"write": refuse_once, "kill": kill}[when])


def told_to_pause(resource: Resource) -> None:
    write, restore = resource.write, resource.restore

    def writing(state: object) -> None:
        write(state)
        wait("paused")

    def restoring(token: object) -> None:
        resource.write, resource.restore = write, restore  # what is called from here on
        wait("undoing")
        restore(token)

    resource.write, resource.restore = writing, restoring


def wait(word: str) -> None:
    print(word, flush=True)
    while not select.select([sys.stdin], [], [], 0.2)[0]:
        pass  # a signal that comes right before a read would be heard of only behind it
    sys.stdin.readline()


def main() -> None:
    order = json.loads(sys.stdin.readline())
    section = {"portmap": portmap, "bandwidth": bandwidth, "cni_config": networks}.get(order.get("section"))
    validated = ArgumentSpecValidator(section.OPTIONS if section else argument_spec()).validate(order["params"])
    assert not validated.error_messages, validated.error_messages
    if order["fail"]:
        told_to_fail(*order["fail"])
    if order["pause"]:
        at_step(order["pause"], told_to_pause)
    try:
        options = validated.validated_parameters
        result = execute([(section, options, "")] if section else open_sections(options), Terms("a test"))
        print(json.dumps({"changes": len(result["changes"])}))
    except KubenodeError as error:
        print(json.dumps({"error": str(error)}))


if __name__ == "__main__":
    main()

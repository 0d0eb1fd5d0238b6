# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run in a node: converges sections with a step told to fail. Reads JSON from stdin, prints JSON.

{"params": options of node_network, "fail": [STEP, "write" | "verify"] or null} -> {"changes": N} or {"error": TEXT}
"""

from __future__ import annotations

import json
import sys

from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.kubenode.network.plugins.module_utils import _converge
from ansible_collections.kubenode.network.plugins.module_utils._door import execute
from ansible_collections.kubenode.network.plugins.module_utils._errors import KubenodeError, NodeError
from ansible_collections.kubenode.network.plugins.module_utils._node import argument_spec, open_sections


def told_to_fail(step: int, when: str) -> None:
    """Makes the STEP-th change fail, before it is written or after."""
    real, seen = _converge._verify, []

    def verify(change: _converge.Change) -> None:
        seen.append(change)
        if len(seen) == step:
            raise NodeError("told to fail")
        real(change)

    plan = _converge.plan

    def planned(*args: object) -> _converge.Plan:
        whole = plan(*args)
        if when == "write" and step <= len(whole.changes):
            resource = whole.changes[step - 1].resource
            resource.write = refuse_once(resource.write)
        return whole

    def refuse_once(write: object) -> object:
        calls = []

        def refusing(state: object) -> None:
            calls.append(state)
            if len(calls) == 1:
                raise OSError(28, "No space left on device")
            write(state)

        return refusing

    if when == "verify":
        _converge._verify = verify
    _converge.plan = planned


def main() -> None:
    order = json.load(sys.stdin)
    validated = ArgumentSpecValidator(argument_spec()).validate(order["params"])
    assert not validated.error_messages, validated.error_messages
    if order["fail"]:
        told_to_fail(*order["fail"])
    try:
        result = execute(open_sections(validated.validated_parameters), check=False)
        print(json.dumps({"changes": len(result["changes"])}))
    except KubenodeError as error:
        print(json.dumps({"error": str(error)}))


main()

#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: boot_service
short_description: Bring the node's pod network back at every boot
version_added: 0.1.0
description:
  - Bridges, addresses, rules and kernel parameters do not survive a reboot. This installs a program on the node, and a systemd unit
    that runs it before a container runtime or the kubelet starts. It makes the node again what the document of this collection says, with
    the code of the modules themselves, and needs no controller.
  - One part of the document that fails, or that waits for a link, does not hold up the others.
  - The program is there for a person on the node, too. C(kubenode-network status) lists every part and object and says where V(auto) would
    now choose otherwise, C(kubenode-network diff) shows what differs, and C(kubenode-network apply) mends it. C(kubenode-network confirm) and
    C(kubenode-network revert) decide about a change that waits to be confirmed. Each of them has C(--json).
    They end with 0 when the node is as it should be, 1 when something failed, 2 when the command was not understood, and 3 when
    something differs or still waits for a link.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
  - kubenode.network._sections.boot_service
  - kubenode.network._sections.document
  - kubenode.network._sections.controller_program
requirements:
  - pyroute2 >= 0.7.2 (on the controller, or else on the node)
  - systemd (on the node, for the unit; without it a warning says what is left to do)
seealso:
  - module: kubenode.network.node_network
    description: All of a node in one call.
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Bring the pod network back at every boot
  kubenode.network.boot_service:

- name: Run the program by another Python
  kubenode.network.boot_service:
    python: /usr/bin/python3

- name: Take the program and its unit away
  kubenode.network.boot_service:
    state: absent
"""

RETURN = r"""
changed:
  description: Whether anything was changed, or in check mode would be.
  returned: success
  type: bool
  sample: true
changed_resources:
  description: The names of what was changed, in that order, or in check mode would be.
  returned: success
  type: list
  elements: str
  sample: ["file:/usr/local/sbin/kubenode-network", "document:/etc/kubenode-network/node.json"]
plan:
  description: The same with what is done to each, V(create), V(change) or V(remove).
  returned: success
  type: list
  elements: str
  sample: ["create file:/usr/local/sbin/kubenode-network", "change document:/etc/kubenode-network/node.json"]
duration:
  description: How long the run took on the node, in seconds, from its options to its result.
  returned: success
  type: float
  sample: 0.012
checkpoint:
  description: What M(kubenode.network.checkpoint) needs to confirm the change, or to revert it.
  returned: success, O(confirm_timeout) is given, and something was changed
  type: dict
  contains:
    run:
      description: The id of the run.
      type: str
      sample: 2026-11-21T17:03:12Z-0a1b2c3d
    seconds:
      description: How long the node waits.
      type: int
      sample: 60
  sample:
    run: 2026-11-21T17:03:12Z-0a1b2c3d
    seconds: 60
changes:
  description:
    - What was changed, in that order, or in check mode would be. Check mode and the run after it return the same.
    - The last one is the node's document, V(document:/etc/kubenode-network/node.json).
  returned: success
  type: list
  elements: dict
  contains:
    resource:
      description: What was changed, as its kind and name.
      type: str
      sample: file:/usr/local/sbin/kubenode-network
    before:
      description: The state that was found. V(null) if it was not there.
      type: raw
      sample: null
    after:
      description: The state that was written. V(null) if it is gone.
      type: raw
      sample: {sha256: "8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e", mode: "0755", owner: 0, group: 0}
  sample:
    - resource: file:/usr/local/sbin/kubenode-network
      before: null
      after: {sha256: "8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e", mode: "0755", owner: 0, group: 0}
diff:
  description: The same as RV(changes) as text, one item for each. Shown by C(--diff).
  returned: success
  type: list
  elements: dict
  contains:
    before_header:
      description: What was changed, with V((absent\)) if it was not there.
      type: str
      sample: file:/usr/local/sbin/kubenode-network (absent)
    after_header:
      description: What was changed, with V((absent\)) if it is gone.
      type: str
      sample: file:/usr/local/sbin/kubenode-network
    before:
      description: The state that was found.
      type: str
      sample: ""
    after:
      description: The state that was written.
      type: str
      sample: "#!/bin/sh\n# Written by kubenode.network.boot_service\nexec /usr/bin/python3 -I /usr/local/lib/kubenode-network/kubenode-network.pyz \"$@\"\n"
  sample:
    - before_header: file:/usr/local/sbin/kubenode-network (absent)
      after_header: file:/usr/local/sbin/kubenode-network (mode 0755, owner 0:0)
      before: ""
      after: "#!/bin/sh\n# Written by kubenode.network.boot_service\nexec /usr/bin/python3 -I /usr/local/lib/kubenode-network/kubenode-network.pyz \"$@\"\n"
boot_service:
  description: What brings the network back.
  returned: success and O(state=present)
  type: dict
  contains:
    command:
      description: The program, for a person on the node.
      type: str
      sample: /usr/local/sbin/kubenode-network
    unit:
      description: The systemd unit that runs it at boot. V(null) on a node without systemd.
      type: str
      sample: kubenode-network.service
    python:
      description: The interpreter that runs the program.
      type: str
      sample: /usr/bin/python3
    program:
      description: The SHA-256 of the program.
      type: str
      sample: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e
    systemd:
      description: Whether systemd is on the node.
      type: bool
      sample: true
  sample:
    command: /usr/local/sbin/kubenode-network
    unit: kubenode-network.service
    python: /usr/bin/python3
    program: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e
    systemd: true
problems:
  description: Everything that is wrong with the options, found together. The message has the same as one line.
  returned: when an option is wrong
  type: list
  elements: dict
  contains:
    path:
      description: The option.
      type: str
      sample: python
    message:
      description: The value, what is wrong with it, and what is accepted.
      type: str
      sample: "'/opt/python' is not there on the node, or cannot be run (expected Python 3.9 or newer)"
  sample:
    - path: python
      message: "'/opt/python' is not there on the node, or cannot be run (expected Python 3.9 or newer)"
missing_program:
  description:
    - The SHA-256 of the program that the node needs before it can go on. Nothing was changed.
    - The action plugin sends it then and runs the module again, so that this is not seen.
  returned: when the program is missing
  type: str
  sample: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils._door import TERMS, open_door
from ansible_collections.kubenode.network.plugins.module_utils._sections import boot_service


def main() -> None:
    open_door(AnsibleModule(argument_spec={**boot_service.OPTIONS, **TERMS}, supports_check_mode=True), boot_service)


if __name__ == "__main__":
    main()

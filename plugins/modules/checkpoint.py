#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: checkpoint
short_description: Confirm or revert a change of a node's pod network
version_added: 0.1.0
description:
  - A run of a module of this collection with C(confirm_timeout) is taken back by the node itself unless it is confirmed. This module
    confirms it, which proves that the node can still be reached, or takes it back at once.
  - Use C(meta=reset_connection) before, so that the task does not go over a connection that was open before the change.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
attributes:
  diff_mode:
    support: none
options:
  run:
    description:
      - The id of the run, RV(kubenode.network.node_network#module:checkpoint.run) of its result. Whatever waits by default.
    type: str
  state:
    description:
      - V(confirmed) keeps the change. It is an error when the node has taken it back already.
      - V(reverted) takes the change back. It is an error when it was confirmed already.
    type: str
    choices: [confirmed, reverted]
    default: confirmed
seealso:
  - module: kubenode.network.node_network
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Change the node's pod network, for a minute at first
  kubenode.network.node_network:
    kubenet_bridge:
      pod_cidrs: ["10.244.1.0/24"]
    confirm_timeout: 60
  register: network

- name: Open a new connection
  ansible.builtin.meta: reset_connection

- name: Keep the change, now that the node was reached over it
  kubenode.network.checkpoint:
    run: "{{ network.checkpoint.run }}"
  when: network.checkpoint is defined
"""

RETURN = r"""
changed:
  description: Whether the change waited, and does so no more.
  returned: success
  type: bool
  sample: true
run:
  description: The id of its run.
  returned: success
  type: str
  sample: 2026-11-21T17:03:12Z-0a1b2c3d
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils._checkpoint import OPTIONS, settle
from ansible_collections.kubenode.network.plugins.module_utils._door import answer


def main() -> None:
    module = AnsibleModule(argument_spec=OPTIONS, supports_check_mode=True)
    answer(module, lambda: settle(module.params, check=module.check_mode))


if __name__ == "__main__":
    main()

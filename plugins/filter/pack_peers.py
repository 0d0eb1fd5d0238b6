# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: pack_peers
short_description: One short text of a site's nodes, for the routes between them
version_added: 0.1.0
description:
  - Makes a short text of the dictionary that M(kubenode.network.pod_routes) takes as O(kubenode.network.pod_routes#module:peers).
  - Ansible looks at each value of a dictionary again for each node and for each task. With thousands of nodes that takes seconds for each of
    them, and all of it is sent to each. The text is looked at as one value, and has a tenth of the size.
positional: _input
options:
  _input:
    description: The nodes, each with C(pod_cidrs) and C(addresses).
    type: dict
    required: true
seealso:
  - module: kubenode.network.pod_routes
    description: Takes the text in place of the dictionary.
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Pack what is the same for all nodes once
  ansible.builtin.set_fact:
    site_peers: "{{ {'node1': {'pod_cidrs': ['10.244.1.0/24'], 'addresses': ['192.0.2.11']}} | kubenode.network.pack_peers }}"
  run_once: true
"""

RETURN = r"""
_value:
  description: The text.
  type: str
"""

import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.kubenode.network.plugins.module_utils._addressing import peers


def pack_peers(value: t.Any) -> str:
    if not isinstance(value, t.Mapping):
        raise AnsibleFilterError(f"pack_peers: {value!r} is not a dictionary (expected each node's pod_cidrs and addresses)")
    return peers.pack(value)


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"pack_peers": pack_peers}

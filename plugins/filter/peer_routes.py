# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
name: peer_routes
short_description: The routes that a router needs to the pods of a site's nodes
version_added: 0.1.0
description:
  - Makes a list of routes of the dictionary that M(kubenode.network.pod_routes) takes as O(kubenode.network.pod_routes#module:peers), one to
    each pod CIDR by the first address of its node that is of the same family.
  - Everything is checked as the module checks it, so that nothing but CIDRs, addresses and plain names gets into a router's configuration.
positional: _input
options:
  _input:
    description: The nodes, each with C(pod_cidrs) and C(addresses), or what the filter P(kubenode.network.pack_peers#filter) makes of them.
    type: raw
    required: true
seealso:
  - module: kubenode.network.pod_routes
    description: Makes the routes on the nodes themselves.
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Show the routes
  ansible.builtin.debug:
    msg: "{{ {'node1': {'pod_cidrs': ['10.244.1.0/24'], 'addresses': ['192.0.2.11']}} | kubenode.network.peer_routes }}"
"""

RETURN = r"""
_value:
  description: The routes, in the order of the nodes.
  type: list
  elements: dict
  contains:
    prefix:
      description: The pod CIDR.
      type: str
      sample: 10.244.1.0/24
    via:
      description: The next hop.
      type: str
      sample: 192.0.2.11
    family:
      description: V(4) or V(6).
      type: int
      sample: 4
    node:
      description: The node's name. What is no letter, digit, dot, hyphen or underscore in it is an underscore.
      type: str
      sample: node1
"""

import re
import typing as t

from ansible.errors import AnsibleFilterError
from ansible_collections.kubenode.network.plugins.module_utils._addressing import peers


def peer_routes(value: t.Any) -> list[dict[str, t.Any]]:
    entries, problems = peers.unpack(value)
    found, wrong = peers.parse(entries)
    if problems or wrong:
        raise AnsibleFilterError(f"peer_routes: {'; '.join(map(str, problems or wrong))}")
    return [
        {"prefix": one.text, "via": via.text, "family": one.version, "node": re.sub("[^A-Za-z0-9._-]", "_", peer.name)}
        for peer in found
        for one in peer.pod_cidrs
        for via in [address for address in peer.addresses if address.version == one.version][:1]
    ]


class FilterModule:
    def filters(self) -> dict[str, t.Callable[..., t.Any]]:
        return {"peer_routes": peer_routes}

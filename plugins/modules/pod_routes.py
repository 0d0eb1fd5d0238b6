#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_routes
short_description: Make the routes to the pods of other nodes
version_added: 0.1.0
description:
  - Makes a route on this node to the pods of each other node, by the address of that node, as C(kindnet) and the routers of clouds do. So
    the pods of all nodes form one flat network without tunnels and without NAT.
  - It takes nodes that are in one network, or that have one in common. Otherwise, it is the routers' task.
  - Routes come, change and go as nodes do. What anybody else has in the node's routing table stays as it is.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
  - kubenode.network._sections.routes
  - kubenode.network._sections.document
notes:
  - The node has to forward packets, which is the business of M(kubenode.network.sysctl_bridge_nf).
  - A change of the routes needs no Python library on the node, and thousands of routes take less than a second.
seealso:
  - module: kubenode.network.pod_cidr
    description: Ranges for the pods of each node, and the peers.
  - module: kubenode.network.boot_service
    description: What brings the routes back at every boot.
  - module: kubenode.network.node_network
    description: All of a node in one call.
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Make a route to the pods of the other node
  kubenode.network.pod_routes:
    node: node1
    peers:
      node1:
        pod_cidrs: ["10.244.1.0/24"]
        addresses: ["192.0.2.11"]
      node2:
        pod_cidrs: ["10.244.2.0/24"]
        addresses: ["192.0.2.12"]

- name: Make it for both families
  kubenode.network.pod_routes:
    node: node1
    peers:
      node2:
        pod_cidrs: ["10.244.2.0/24", "fd00:10:244:2::/64"]
        addresses: ["192.0.2.12", "2001:db8:0:1::12"]

- name: Make the routes of all nodes from one packed dictionary
  kubenode.network.pod_routes:
    node: "{{ inventory_hostname }}"
    peers: "{{ {'node2': {'pod_cidrs': ['10.244.2.0/24'], 'addresses': ['192.0.2.12']}} | kubenode.network.pack_peers }}"

- name: Take all routes away
  kubenode.network.pod_routes:
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
  sample: ["routes:kubenode", "document:/etc/kubenode-network/node.json"]
plan:
  description: The same with what is done to each, V(create), V(change) or V(remove).
  returned: success
  type: list
  elements: str
  sample: ["change routes:kubenode", "change document:/etc/kubenode-network/node.json"]
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
      sample: routes:kubenode
    before:
      description: The state that was found, of the routes only those that differ. V(null) if it was not there.
      type: raw
      sample: {10.244.2.0/24: 192.0.2.11}
    after:
      description: The state that was written, of the routes only those that differ. V(null) if it is gone.
      type: raw
      sample: {10.244.2.0/24: 192.0.2.12}
  sample:
    - resource: routes:kubenode
      before: {10.244.2.0/24: 192.0.2.11}
      after: {10.244.2.0/24: 192.0.2.12}
diff:
  description: The same as RV(changes) as text, one item for each. Shown by C(--diff).
  returned: success
  type: list
  elements: dict
  contains:
    before_header:
      description: What was changed, with V((absent\)) if it was not there.
      type: str
      sample: routes:kubenode
    after_header:
      description: What was changed, with V((absent\)) if it is gone.
      type: str
      sample: routes:kubenode
    before:
      description: The state that was found.
      type: str
      sample: "10.244.2.0/24 via 192.0.2.11\n"
    after:
      description: The state that was written.
      type: str
      sample: "10.244.2.0/24 via 192.0.2.12\n"
  sample:
    - before_header: routes:kubenode
      after_header: routes:kubenode
      before: "10.244.2.0/24 via 192.0.2.11\n"
      after: "10.244.2.0/24 via 192.0.2.12\n"
routes:
  description: The routes as they are now, or in check mode would be.
  returned: success and O(state=present)
  type: dict
  contains:
    count:
      description: How many there are.
      type: int
      sample: 2
    next_hops:
      description: How many next hops they have.
      type: int
      sample: 2
    protocol:
      description: The number of their protocol.
      type: int
      sample: 107
  sample:
    count: 2
    next_hops: 2
    protocol: 107
problems:
  description: Everything that is wrong with the options, found together. The message has the same as one line.
  returned: when an option is wrong
  type: list
  elements: dict
  contains:
    path:
      description: The option.
      type: str
      sample: peers.node2.pod_cidrs[0]
    message:
      description: The value, what is wrong with it, and what is accepted.
      type: str
      sample: "'10.244.1.0/33' is not a CIDR (expected e.g. 10.244.1.0/24)"
  sample:
    - path: peers.node2.pod_cidrs[0]
      message: "'10.244.1.0/33' is not a CIDR (expected e.g. 10.244.1.0/24)"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils._door import TERMS, open_door
from ansible_collections.kubenode.network.plugins.module_utils._sections import routes


def main() -> None:
    open_door(AnsibleModule(argument_spec={**routes.OPTIONS, **TERMS}, supports_check_mode=True), routes)


if __name__ == "__main__":
    main()

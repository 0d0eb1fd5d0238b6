#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_cidr
short_description: Allocate pod CIDRs to the nodes of a cluster
version_added: 0.1.0
description:
  - Gives each node one block of every cluster CIDR, as kube-controller-manager does with C(--allocate-node-cidrs).
  - The module keeps nothing and changes nothing. What was allocated before is handed in as O(allocations) and always wins;
    hand in RV(allocations) of one run as O(allocations) of the next, and a node keeps its CIDRs whatever is added,
    removed or reordered.
  - New nodes get the lowest free block each, in natural order of their names (V(node-2) before V(node-10)). The order
    of O(nodes) does not matter.
  - Run it once for the whole site, on the controller (C(delegate_to=localhost), C(run_once=true)), and name all nodes
    of the cluster, for example C(groups['kube_node']), not the hosts of the play, which C(serial) and C(--limit) cut down.
options:
  cluster_cidrs:
    description:
      - The ranges that blocks are taken from. One, or one of each family.
      - Their order is the order of the CIDRs of every node. Kubernetes takes the first as the node's primary family.
    type: list
    elements: dict
    required: true
    suboptions:
      cidr:
        description:
          - The cluster CIDR. It must be a network's own address, without host bits, in no special range such as loopback.
        type: str
        required: true
      node_mask_size:
        description:
          - Prefix length of a node's block, at least the cluster CIDR's, at most V(30) for IPv4 and V(126) for IPv6.
          - For IPv6 at most 16 more than the cluster CIDR's prefix length, which is the limit of kube-controller-manager.
          - If not set, V(24) for IPv4 and V(64) for IPv6, where that fits the cluster CIDR. Otherwise it must be set.
        type: int
  nodes:
    description:
      - Names of the nodes, as Kubernetes knows them (DNS-1123 subdomains, each name once). At least one.
    type: list
    elements: str
    required: true
  allocations:
    description:
      - CIDRs that are given already, as a dictionary from node name to list of CIDRs.
      - Each must be a block of its cluster CIDR with the right O(cluster_cidrs[].node_mask_size), in the order of
        O(cluster_cidrs), and no two nodes may have the same.
      - Blocks of names that are not in O(nodes) stay taken, and are returned. Leave a name out to free its blocks.
      - A node of O(nodes) that lacks the CIDR of a family gets one, as when a cluster becomes dual-stack.
    type: dict
    default: {}
  service_cidrs:
    description:
      - Ranges of the services. It is an error when one overlaps a cluster CIDR.
    type: list
    elements: str
    default: []
  reserved_cidrs:
    description:
      - Ranges that no node may get. Blocks that touch one are never handed out.
      - It is an error when one overlaps a CIDR in O(allocations), and when no block of a cluster CIDR is left.
      - Ranges outside of the cluster CIDRs are accepted and change nothing.
    type: list
    elements: str
    default: []
requirements:
  - netaddr >= 0.8 (on the controller, where this module runs)
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.read_only
  - kubenode.network._attributes.actiongroup_node
attributes:
  platform:
    support: full
    platforms: posix
    details:
      - Runs on the controller. Nodes need nothing for it.
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Give three nodes a /24 each
  kubenode.network.pod_cidr:
    cluster_cidrs:
      - cidr: 10.244.0.0/16
    nodes: [node-1, node-2, node-3]
  delegate_to: localhost
  run_once: true
  register: site

- name: Add a node to a dual-stack cluster; node-1 keeps what it has
  kubenode.network.pod_cidr:
    cluster_cidrs:
      - cidr: 10.244.0.0/16
        node_mask_size: 25
      - cidr: fd00:10:244::/56
    nodes: [node-1, node-2]
    allocations:
      node-1: ["10.244.7.0/25", "fd00:10:244:7::/64"]
    service_cidrs: ["10.96.0.0/12", "fd00:10:96::/112"]
    reserved_cidrs: ["10.244.0.0/24"]
  delegate_to: localhost
  run_once: true
  register: site

- name: Allocate with a file that remembers
  delegate_to: localhost
  run_once: true
  vars:
    store: "{{ playbook_dir }}/pod-cidrs.json"
  block:
    - name: Allocate for all nodes of the cluster
      kubenode.network.pod_cidr:
        cluster_cidrs:
          - cidr: 10.244.0.0/16
        nodes: "{{ groups['kube_node'] | default(['node-1', 'node-2']) }}"
        allocations: "{{ lookup('ansible.builtin.file', store) | ansible.builtin.from_json if store is ansible.builtin.exists else {} }}"
      register: site

    - name: Remember what was allocated
      ansible.builtin.copy:
        content: "{{ site.allocations | ansible.builtin.to_nice_json }}\n"
        dest: "{{ store }}"
        mode: "0644"
"""

RETURN = r"""
allocations:
  description:
    - CIDRs of every node known, of O(nodes) and of O(allocations), in the order of O(cluster_cidrs).
    - The value for O(allocations) of the next run.
  returned: success
  type: dict
  sample:
    node-1: ["10.244.7.0/25", "fd00:10:244:7::/64"]
    node-2: ["10.244.1.0/25", "fd00:10:244::/64"]
nodes:
  description: For each name in O(nodes) what its node needs. The lists of one node are parallel, one item for each family.
  returned: success
  type: dict
  contains:
    <name>:
      description: One node, by its name.
      type: dict
      contains:
        pod_cidrs:
          description: The node's CIDRs.
          type: list
          elements: str
          sample: ["10.244.7.0/25", "fd00:10:244:7::/64"]
        gateways:
          description: The first host address of each CIDR, which the node's bridge has.
          type: list
          elements: str
          sample: ["10.244.7.1", "fd00:10:244:7::1"]
        ranges:
          description: First and last address of each CIDR that host-local gives to a pod.
          type: list
          elements: dict
          contains:
            start:
              description: First address.
              type: str
              sample: 10.244.7.2
            end:
              description: Last address, in IPv4 the one before the broadcast address.
              type: str
              sample: 10.244.7.126
          sample:
            - start: 10.244.7.2
              end: 10.244.7.126
            - start: "fd00:10:244:7::2"
              end: "fd00:10:244:7:ffff:ffff:ffff:ffff"
  sample:
    node-1:
      pod_cidrs: ["10.244.7.0/25", "fd00:10:244:7::/64"]
      gateways: ["10.244.7.1", "fd00:10:244:7::1"]
      ranges:
        - start: 10.244.7.2
          end: 10.244.7.126
        - start: "fd00:10:244:7::2"
          end: "fd00:10:244:7:ffff:ffff:ffff:ffff"
usage:
  description: For each cluster CIDR how many of its blocks are in use.
  returned: success
  type: dict
  contains:
    <cidr>:
      description: One cluster CIDR.
      type: dict
      contains:
        used:
          description: Blocks given to nodes, including nodes that are not in O(nodes).
          type: int
          sample: 2
        total:
          description: Blocks that nodes can have. Those that touch O(reserved_cidrs) do not count.
          type: int
          sample: 510
  sample:
    10.244.0.0/16:
      used: 2
      total: 510
    fd00:10:244::/56:
      used: 2
      total: 256
problems:
  description: Everything that is wrong with the options, found together. The message has the same as one line.
  returned: when an option is wrong
  type: list
  elements: dict
  contains:
    path:
      description: The option.
      type: str
      sample: cluster_cidrs[0].cidr
    message:
      description: The value, what is wrong with it, and what is accepted.
      type: str
      sample: "'10.244.0.0/33' is not a CIDR (expected e.g. 10.244.1.0/24)"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils._addressing.allocate import allocate
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError

ARGUMENT_SPEC = {
    "cluster_cidrs": {
        "type": "list",
        "elements": "dict",
        "required": True,
        "options": {
            "cidr": {"type": "str", "required": True},
            "node_mask_size": {"type": "int"},
        },
    },
    "nodes": {"type": "list", "elements": "str", "required": True},
    "allocations": {"type": "dict", "default": {}},
    "service_cidrs": {"type": "list", "elements": "str", "default": []},
    "reserved_cidrs": {"type": "list", "elements": "str", "default": []},
}


def main() -> None:
    module = AnsibleModule(argument_spec=ARGUMENT_SPEC, supports_check_mode=True)
    try:
        result = allocate(**module.params)
    except InputError as exc:
        module.fail_json(msg=str(exc), problems=[problem._asdict() for problem in exc.problems])
    except NodeError as exc:
        module.fail_json(msg=str(exc))
    else:
        module.exit_json(changed=False, **result._asdict())


if __name__ == "__main__":
    main()

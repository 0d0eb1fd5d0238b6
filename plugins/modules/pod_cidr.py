#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_cidr
short_description: Give each node of a site its pod CIDRs
version_added: 0.1.0
description:
  - Gives each node one block of every cluster CIDR, as kube-controller-manager does with C(--allocate-node-cidrs), and remembers
    who has what in a file on the controller, the store. Or takes CIDRs that were decided elsewhere, and checks them alike.
  - A node keeps its CIDRs as long as it exists, whatever is added, removed or reordered. New nodes get the lowest block that nobody ever
    had, in natural order of their names (V(node-2) before V(node-10)). When there is none left, they get those that were freed,
    the longest-freed first.
  - It runs on the controller alone and reaches no node. Run it once for all nodes (C(run_once=true)), in a play without C(serial), and name all
    nodes of the cluster, for example C(groups['kube_node']), not the hosts of the play, which C(serial) and C(--limit) cut down.
  - RV(peers) is one object with what the nodes need to know of each other, for routes to the pods of other nodes.
options:
  source:
    description:
      - Who decides about the CIDRs.
      - V(allocate) is this module, out of O(cluster_cidrs).
      - V(kubernetes) is kube-controller-manager. The nodes' C(spec.podCIDRs) are read from a live API, which is waited for as long as
        O(timeout) says, and nothing is written to the store. A message about C(pod_cidrs.NAME) is about what that node has there.
      - V(static) takes O(pod_cidrs), for example what the kubelets have as C(--pod-cidr), and allocates nothing.
    type: str
    choices: [allocate, kubernetes, static]
    default: allocate
  cluster:
    description:
      - Name of the cluster. Several clusters can share a store, and then never overlap.
    type: str
    default: default
  cluster_cidrs:
    description:
      - The ranges that blocks are taken from. One, or one of each family. Required with O(source=allocate).
      - Their order is the order of the CIDRs of every node. Kubernetes takes the first as the node's primary family.
      - They can grow later, and O(cluster_cidrs[].node_mask_size) can change. Nodes keep what they have.
    type: list
    elements: dict
    suboptions:
      cidr:
        description:
          - The cluster CIDR. It must be a network's own address, without host bits, in no special range such as loopback.
        type: str
        required: true
      node_mask_size:
        description:
          - Prefix length of a node's block, at least the cluster CIDR's, at most V(30) for IPv4 and V(126) for IPv6.
          - For IPv6 at most 16 more than the cluster CIDR's prefix length, which is the limit of kube-controller-manager. For IPv4 more than
            that is a warning.
          - If not set, V(24) for IPv4 and V(64) for IPv6, where that fits the cluster CIDR. Otherwise it must be set.
        type: int
  nodes:
    description:
      - Names of the nodes, as Kubernetes knows them (DNS-1123 subdomains, each name once). At least one, unless there are names in
        O(remove).
      - A node of the store, or of the API, that is not named here keeps its CIDRs.
    type: list
    elements: str
    required: true
  optional:
    description:
      - With O(source=kubernetes), those of O(nodes) that need not have pod CIDRs, for example because they have not joined yet. They are not waited
        for, and left out of the result, with a warning, as long as they have none.
    type: list
    elements: str
    default: []
  remove:
    description:
      - Names of nodes that are gone. Their CIDRs are freed, and given to others last. Names that the store does not know are accepted.
    type: list
    elements: str
    default: []
  store:
    description:
      - Path of the file on the controller that remembers who has what. A relative one is beside the playbook. Its folder must be there.
      - If not set with O(source=allocate), it is C(pod-cidrs.json) beside the inventory (the first one, if there are several), and has
        to be set where the inventory is no file. With O(source=static), CIDRs are remembered, and compared with those of other
        clusters, only if this is set.
      - With O(source=kubernetes) it is only read, if it is set, to compare with other clusters in it.
      - Keep it with the inventory, in version control. It has one sorted line for each node, so that branches merge. What a merge can
        break, such as two nodes with one CIDR, is found by the next run, which then changes nothing and names both.
      - Runs that write it wait for each other up to a minute. A run that is killed leaves the old file or the new one.
    type: path
  service_cidrs:
    description:
      - Ranges of the services. It is an error when one overlaps a cluster CIDR, or when their order of families is another one.
    type: list
    elements: str
    default: []
  reserved_cidrs:
    description:
      - Ranges that no node may get. Blocks that touch one are never handed out.
      - It is an error when one overlaps a CIDR that a node has, and when no block of a cluster CIDR is left.
      - Ranges outside of the cluster CIDRs are accepted and change nothing.
    type: list
    elements: str
    default: []
  addresses:
    description:
      - Addresses of the nodes, as a dictionary from node name to list of addresses. They come back in
        RV(peers), as next hops.
      - With O(source=kubernetes), nodes that are not named here have those that the API knows as C(InternalIP).
      - It is an error when one is inside of a cluster CIDR, is the address of two nodes, or is one that nodes cannot have.
    type: dict
    default: {}
  pod_cidrs:
    description:
      - CIDRs that were decided elsewhere, as a dictionary from node name to list of CIDRs.
      - With O(source=static), those of all nodes. With O(source=allocate), they take the place of what the node had, and of what it would get.
      - Each must be inside of its cluster CIDR, if there is one, and may have any size there.
    type: dict
    default: {}
  reported:
    description:
      - CIDRs that the nodes themselves say they have, as a dictionary from node name to list of CIDRs. An empty list is a node that has
        none, and null one that did not answer.
      - A node that the store does not know keeps what it reports. What the store knows is not compared with it.
      - Give it when the store is lost, or always. See O(rebuild).
    type: dict
  rebuild:
    description:
      - What to do when the store is lost (there is no file, or it does not know O(cluster)) or damaged.
      - V(never) begins a new store only if no node has anything, as far as O(reported) says. It is an error when nodes report CIDRs, or did not
        answer, and when the store is damaged.
      - V(complete) makes the store from O(reported), when all nodes answered. A damaged file is kept under a hidden name beside it. What it
        remembered of other clusters has to be rebuilt as well.
      - V(partial) does so even when nodes did not answer. These get other CIDRs than they have, and theirs may be given to others.
      - A file that is no store, or of a newer release, is never replaced.
    type: str
    choices: [never, complete, partial]
    default: never
  kubeconfig:
    description:
      - Path of a kubeconfig on the controller, for O(source=kubernetes). A relative one is beside the playbook.
      - If not set, the environment variable E(K8S_AUTH_KUBECONFIG), then E(KUBECONFIG), and then C(~/.kube/config). The variables can
        name several files with C(:) between them, which count as one.
      - None is read when neither this nor O(context) is set, and O(host) is together with O(api_key) or O(client_cert).
    type: path
  context:
    description:
      - The context of the kubeconfig, if not its current one. Or the environment variable E(K8S_AUTH_CONTEXT).
    type: str
  host:
    description:
      - URL of the Kubernetes API, in place of that in the kubeconfig. Or the environment variable E(K8S_AUTH_HOST).
    type: str
  api_key:
    description:
      - Token for the API, in place of all credentials in the kubeconfig. Or the environment variable E(K8S_AUTH_API_KEY).
      - It, or the client certificate, has to have permission to C(list) and C(watch) the resource C(nodes).
    type: str
  ca_cert:
    description:
      - Path on the controller of the certificate of the authority that the API's is of, in PEM. Or the environment variable
        E(K8S_AUTH_SSL_CA_CERT).
    type: path
  client_cert:
    description:
      - Path on the controller of a client certificate for the API, in PEM, in place of all credentials in the kubeconfig. Or the environment
        variable E(K8S_AUTH_CERT_FILE).
    type: path
  client_key:
    description:
      - Path on the controller of the key of O(client_cert), in PEM, not encrypted. If not set, the key is in that file as well. Or the
        environment variable E(K8S_AUTH_KEY_FILE).
    type: path
  validate_certs:
    description:
      - Whether the certificate of the API has to be of a known authority, and for the name in its URL. If not set, as the kubeconfig
        says, or C(true). Or the environment variable E(K8S_AUTH_VERIFY_SSL).
    type: bool
  timeout:
    description:
      - Seconds to wait until all of O(nodes) are in the API and have pod CIDRs, with O(source=kubernetes). An API that is down or
        overloaded is tried again as long. Wrong credentials, permissions and certificates are errors at once.
      - V(0) asks once.
    type: int
    default: 60
requirements:
  - netaddr >= 0.8 (on the controller)
  - kubernetes >= 22.6 (on the controller, for O(source=kubernetes) alone)
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.actiongroup_node
attributes:
  check_mode:
    support: full
    details:
      - Returns what a real run would, and writes nothing.
  diff_mode:
    support: full
    details:
      - Shows the lines of the store that differ.
  idempotent:
    support: full
  platform:
    support: full
    platforms: posix
    details:
      - Runs on the controller. Nodes need nothing for it.
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Give each node of the inventory a /24, and remember it beside the inventory
  kubenode.network.pod_cidr:
    cluster_cidrs:
      - cidr: 10.244.0.0/16
    nodes: "{{ groups['kube_node'] | default(['node-1', 'node-2']) }}"
  run_once: true
  register: site

- name: Allocate for a dual-stack cluster that shares the store of the site; node-1 has what it always had
  kubenode.network.pod_cidr:
    cluster: blue
    store: pod-cidrs.json
    cluster_cidrs:
      - cidr: 10.248.0.0/16
        node_mask_size: 25
      - cidr: fd00:10:248::/56
    nodes: [node-1, node-2]
    pod_cidrs:
      node-1: ["10.248.7.0/25", "fd00:10:248:7::/64"]
    addresses:
      node-1: [172.16.0.11, "fd00:172:16::11"]
      node-2: [172.16.0.12, "fd00:172:16::12"]
    service_cidrs: ["10.96.0.0/12", "fd00:10:96::/112"]
    reserved_cidrs: ["10.248.0.0/24"]
  run_once: true
  register: blue

- name: Free what a node had that is gone
  kubenode.network.pod_cidr:
    cluster: blue
    store: pod-cidrs.json
    cluster_cidrs:
      - cidr: 10.248.0.0/16
        node_mask_size: 25
      - cidr: fd00:10:248::/56
    nodes: [node-1]
    remove: [node-2]
  run_once: true

- name: Check what the kubelets were started with
  kubenode.network.pod_cidr:
    source: static
    nodes: [node-1, node-2]
    pod_cidrs:
      node-1: 10.244.1.0/24
      node-2: 10.244.2.0/24
    service_cidrs: [10.96.0.0/12]
  run_once: true

- name: Take what kube-controller-manager has given to the nodes, as soon as all have theirs
  kubenode.network.pod_cidr:
    source: kubernetes
    kubeconfig: admin.conf
    nodes: [node-1, node-2]
    service_cidrs: [10.96.0.0/12]
    timeout: 120
  run_once: true

- name: Make a store that was lost anew, from what the nodes say
  kubenode.network.pod_cidr:
    store: rebuilt.json
    cluster_cidrs:
      - cidr: 10.244.0.0/16
    nodes: [node-1, node-2, node-3]
    reported:
      node-1: [10.244.1.0/24]
      node-2: [10.244.9.0/24]
      node-3: []
    rebuild: complete
  run_once: true
"""

RETURN = r"""
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
          sample: ["10.248.7.0/25", "fd00:10:248:7::/64"]
        gateways:
          description: The first host address of each CIDR, which the node's bridge has.
          type: list
          elements: str
          sample: ["10.248.7.1", "fd00:10:248:7::1"]
        ranges:
          description: First and last address of each CIDR that host-local gives to a pod.
          type: list
          elements: dict
          contains:
            start:
              description: First address.
              type: str
              sample: 10.248.7.2
            end:
              description: Last address, in IPv4 the one before the broadcast address.
              type: str
              sample: 10.248.7.126
          sample:
            - start: 10.248.7.2
              end: 10.248.7.126
            - start: "fd00:10:248:7::2"
              end: "fd00:10:248:7:ffff:ffff:ffff:ffff"
  sample:
    node-1:
      pod_cidrs: ["10.248.7.0/25", "fd00:10:248:7::/64"]
      gateways: ["10.248.7.1", "fd00:10:248:7::1"]
      ranges:
        - start: 10.248.7.2
          end: 10.248.7.126
        - start: "fd00:10:248:7::2"
          end: "fd00:10:248:7:ffff:ffff:ffff:ffff"
peers:
  description: All of O(nodes) with what others need to route to them, in one object for O(kubenode.network.pod_routes#module:peers).
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
          sample: ["10.248.7.0/25", "fd00:10:248:7::/64"]
        addresses:
          description: The node's addresses, as in O(addresses).
          type: list
          elements: str
          sample: ["172.16.0.11", "fd00:172:16::11"]
  sample:
    node-1:
      pod_cidrs: ["10.248.7.0/25", "fd00:10:248:7::/64"]
      addresses: ["172.16.0.11", "fd00:172:16::11"]
    node-2:
      pod_cidrs: ["10.248.1.0/25", "fd00:10:248::/64"]
      addresses: ["172.16.0.12", "fd00:172:16::12"]
usage:
  description:
    - For each cluster CIDR how many of its blocks are in use. A warning says when less than a tenth is left.
  returned: success
  type: dict
  contains:
    <cidr>:
      description: One cluster CIDR.
      type: dict
      contains:
        used:
          description: Blocks that nodes have, including nodes that are not in O(nodes).
          type: int
          sample: 2
        total:
          description: Blocks that nodes can have. Those that touch O(reserved_cidrs) do not count.
          type: int
          sample: 510
        left:
          description: Blocks for more nodes.
          type: int
          sample: 508
  sample:
    10.248.0.0/16:
      used: 2
      total: 510
      left: 508
    fd00:10:248::/56:
      used: 2
      total: 256
      left: 254
store:
  description: Path of the store, null where there is none.
  returned: success
  type: str
  sample: /srv/site/pod-cidrs.json
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

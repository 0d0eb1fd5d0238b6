#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: masquerade
short_description: Let pods reach the outside by the node's address
version_added: 0.1.0
description:
  - Masquerades packets from the node's pods to destinations that do not know the way back to a pod.
  - The rules are in a chain of their own, V(KUBENODE-MASQ) in the table C(nat) of iptables and ip6tables, or in a table of their own,
    V(kubenode_masquerade), of nftables. They are one thing, replaced in one transaction. Rules of others, and their order, stay as they are.
  - Anything else in that chain or table, another order, and jumps to the chain that are missing, doubled, elsewhere, or behind a rule that
    accepts everything from the pods, are differences that the next run finds and mends.
  - Only packets from the node's own pod ranges are sent through the chain.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
  - kubenode.network._sections.masquerade
  - kubenode.network._sections.document
requirements:
  - iptables, and ip6tables for an IPv6 range (Debian has both in the package C(iptables)), or nft with JSON (package C(nftables))
seealso:
  - module: kubenode.network.pod_cidr
    description: Ranges for the pods of each node, out of the cluster's.
  - module: kubenode.network.kubenet_bridge
    description: The bridge of the node's pods.
  - module: kubenode.network.node_network
    description: All of a node in one call.
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Masquerade everything that leaves a dual-stack cluster
  kubenode.network.masquerade:
    pod_cidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"]
    cluster_cidrs: ["10.244.0.0/16", "fd00:10:244::/48"]

- name: Let the hosts of the site, too, see the addresses of the pods
  kubenode.network.masquerade:
    pod_cidrs: ["10.244.1.0/24"]
    cluster_cidrs: ["10.244.0.0/16"]
    non_masquerade_cidrs: ["192.0.2.0/24"]

- name: Masquerade everything that leaves the node's own pods
  kubenode.network.masquerade:
    pod_cidrs: ["10.244.1.0/24"]
    non_masquerade_cidrs: []

- name: Except the nodes and all private ranges, on a node where nothing uses iptables
  kubenode.network.masquerade:
    pod_cidrs: ["10.244.1.0/24"]
    node_cidrs: ["192.0.2.10", "192.0.2.11"]
    non_masquerade_cidrs: [ip-masq-agent]
    backend: nftables

- name: Take over from an old kubelet, on a host whose firewall drops what is forwarded
  kubenode.network.masquerade:
    pod_cidrs: ["10.244.1.0/24"]
    cluster_cidrs: ["10.244.0.0/16"]
    adopt: [kubenet]
    accept_forwarded: true

- name: Take the rules away
  kubenode.network.masquerade:
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
  sample: ["masquerade:iptables-nft/ipv4", "document:/etc/kubenode-network/node.json"]
plan:
  description: The same with what is done to each, V(create), V(change) or V(remove).
  returned: success
  type: list
  elements: str
  sample: ["create masquerade:iptables-nft/ipv4", "change document:/etc/kubenode-network/node.json"]
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
      sample: masquerade:iptables-nft/ipv4
    before:
      description: The state that was found. V(null) if it was not there.
      type: raw
      sample: null
    after:
      description: The state that was written. V(null) if it is gone.
      type: raw
      sample:
        rules:
          - -d 10.244.0.0/16 -j RETURN
          - -d 169.254.0.0/16 -j RETURN
          - -d 224.0.0.0/4 -j RETURN
          - -j MASQUERADE --random-fully
        jumps:
          - 'POSTROUTING -s 10.244.1.0/24 -m comment --comment "kubenode.network: pods to outside the cluster" -j KUBENODE-MASQ'
  sample:
    - resource: masquerade:iptables-nft/ipv4
      before: null
      after:
        rules:
          - -d 10.244.0.0/16 -j RETURN
          - -d 169.254.0.0/16 -j RETURN
          - -d 224.0.0.0/4 -j RETURN
          - -j MASQUERADE --random-fully
        jumps:
          - 'POSTROUTING -s 10.244.1.0/24 -m comment --comment "kubenode.network: pods to outside the cluster" -j KUBENODE-MASQ'
diff:
  description: The same as RV(changes) as text, one item for each. Shown by C(--diff).
  returned: success
  type: list
  elements: dict
  contains:
    before_header:
      description: What was changed, with V((absent\)) if it was not there.
      type: str
      sample: masquerade:iptables-nft/ipv4 (absent)
    after_header:
      description: What was changed, with V((absent\)) if it is gone.
      type: str
      sample: masquerade:iptables-nft/ipv4
    before:
      description: The state that was found.
      type: str
      sample: ""
    after:
      description: The state that was written.
      type: str
      sample: |
        -A POSTROUTING -s 10.244.1.0/24 -m comment --comment "kubenode.network: pods to outside the cluster" -j KUBENODE-MASQ
        -A KUBENODE-MASQ -d 10.244.0.0/16 -j RETURN
        -A KUBENODE-MASQ -d 169.254.0.0/16 -j RETURN
        -A KUBENODE-MASQ -d 224.0.0.0/4 -j RETURN
        -A KUBENODE-MASQ -j MASQUERADE --random-fully
  sample:
    - before_header: masquerade:iptables-nft/ipv4 (absent)
      after_header: masquerade:iptables-nft/ipv4
      before: ""
      after: |
        -A POSTROUTING -s 10.244.1.0/24 -m comment --comment "kubenode.network: pods to outside the cluster" -j KUBENODE-MASQ
        -A KUBENODE-MASQ -d 10.244.0.0/16 -j RETURN
        -A KUBENODE-MASQ -d 169.254.0.0/16 -j RETURN
        -A KUBENODE-MASQ -d 224.0.0.0/4 -j RETURN
        -A KUBENODE-MASQ -j MASQUERADE --random-fully
masquerade:
  description: What is masqueraded now.
  returned: success and O(state=present)
  type: dict
  contains:
    pod_cidrs:
      description: The sources of which packets are masqueraded.
      type: list
      elements: str
      sample: ["10.244.1.0/24", "fd00:10:244:1::/64"]
    non_masquerade_cidrs:
      description: The destinations for which they are not, without duplicates and overlaps, the pods' own ranges among them.
      type: list
      elements: str
      sample: ["10.244.0.0/16", "fd00:10:244::/48"]
    backend:
      description: V(iptables) or V(nftables), also when it was V(auto).
      type: str
      sample: iptables
    variant:
      description: The variant of iptables, V(nft) or V(legacy). V(null) with nftables.
      type: str
      sample: nft
    because:
      description: What decided for them.
      type: str
      sample: KUBE-SERVICES is there
    random_fully:
      description: Whether source ports are chosen at random, so that flows at the same time do not race for one. Old iptables cannot.
      type: bool
      sample: true
    chains:
      description: Where the rules are. The program that shows them, the table and the chain; for nftables, the family and the table.
      type: list
      elements: str
      sample: ["iptables-nft: nat KUBENODE-MASQ", "ip6tables-nft: nat KUBENODE-MASQ"]
    adopted:
      description: Rules of others that were taken over, and will be given back.
      type: list
      elements: dict
      contains:
        backend:
          description: The variant of iptables.
          type: str
          sample: iptables-nft
        family:
          description: V(ipv4) or V(ipv6).
          type: str
          sample: ipv4
        rules:
          description: The rules as iptables-save shows them, in order.
          type: list
          elements: str
          sample: ["-A POSTROUTING -j MASQUERADE"]
      sample: []
    others:
      description:
        - Rules of others that masquerade packets from pods as well and were left alone. Those of an old kubelet, and the jumps to chains of
          C(ip-masq-agent), C(kindnet) and GCE.
      type: list
      elements: dict
      contains:
        backend:
          description: The variant of iptables.
          type: str
          sample: iptables-nft
        family:
          description: V(ipv4) or V(ipv6).
          type: str
          sample: ipv4
        rules:
          description: The rules as iptables-save shows them, in order.
          type: list
          elements: str
          sample: ["-A POSTROUTING -j MASQUERADE"]
      sample: []
  sample:
    pod_cidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"]
    non_masquerade_cidrs: ["10.244.0.0/16", "fd00:10:244::/48"]
    backend: iptables
    variant: nft
    because: KUBE-SERVICES is there
    random_fully: true
    chains: ["iptables-nft: nat KUBENODE-MASQ", "ip6tables-nft: nat KUBENODE-MASQ"]
    adopted: []
    others: []
problems:
  description: Everything that is wrong with the options, found together. The message has the same as one line.
  returned: when an option is wrong
  type: list
  elements: dict
  contains:
    path:
      description: The option.
      type: str
      sample: pod_cidrs
    message:
      description: The value, what is wrong with it, and what is accepted.
      type: str
      sample: "is required when state is present (expected one or two CIDRs, e.g. 10.244.1.0/24)"
  sample:
    - path: pod_cidrs
      message: "is required when state is present (expected one or two CIDRs, e.g. 10.244.1.0/24)"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils._door import TERMS, open_door
from ansible_collections.kubenode.network.plugins.module_utils._sections import masquerade


def main() -> None:
    open_door(AnsibleModule(argument_spec={**masquerade.OPTIONS, **TERMS}, supports_check_mode=True), masquerade)


if __name__ == "__main__":
    main()

#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: kubenet_bridge
short_description: Make the bridge of the node's pods
version_added: 0.1.0
description:
  - Makes a bridge that is the gateway of the node's pods, as kubenet did, before the first pod starts.
  - A bridge that is there is changed in place, whoever made it. Pods on it stay connected.
  - It makes neither the network (M(kubenode.network.cni_config)) nor rules and kernel parameters. M(kubenode.network.node_network) makes
    all of these fit together.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
  - kubenode.network._sections.kubenet_bridge
  - kubenode.network._sections.document
requirements:
  - pyroute2 >= 0.7.2 (only for a run that has to change a link)
seealso:
  - module: kubenode.network.pod_cidr
    description: Ranges for the pods of each node, out of the cluster's.
  - module: kubenode.network.masquerade
    description: The rules for packets from pods to outside of the cluster.
  - module: kubenode.network.sysctl_bridge_nf
    description: The kernel parameters for bridges and forwarding.
  - module: kubenode.network.node_network
    description: All of a node in one call.
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Make a bridge for IPv4 pods
  kubenode.network.kubenet_bridge:
    pod_cidrs: ["10.244.1.0/24"]

- name: Make it a dual-stack bridge
  kubenode.network.kubenet_bridge:
    pod_cidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"]

- name: Make it a bridge for IPv6 pods alone, with an MTU that is not found out
  kubenode.network.kubenet_bridge:
    pod_cidrs: ["fd00:10:244:1::/64"]
    mtu: "1400"
    hairpin_mode: promiscuous-bridge

- name: Leave room for the cluster's tunnels, and look at nothing but the interface that they go by
  kubenode.network.kubenet_bridge:
    pod_cidrs: ["10.244.1.0/24"]
    mtu_from: default_route
    mtu_overhead: vxlan/ipv4

- name: Take the bridge away
  kubenode.network.kubenet_bridge:
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
  sample: ["bridge:cbr0", "document:/etc/kubenode-network/node.json"]
plan:
  description: The same with what is done to each, V(create), V(change) or V(remove).
  returned: success
  type: list
  elements: str
  sample: ["create bridge:cbr0", "change document:/etc/kubenode-network/node.json"]
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
      sample: bridge:cbr0
    before:
      description: The state that was found. V(null) if it was not there.
      type: raw
      sample: null
    after:
      description: The state that was written. V(null) if it is gone.
      type: raw
      sample: {accept_dad: 0, accept_ra: 0, addresses: ["10.244.1.1/24", "fd00:10:244:1::1/64"], mac: "0a:58:0a:f4:01:01", mtu: 1450, promisc: false,
        txqueuelen: 1000, up: true}
  sample:
    - resource: bridge:cbr0
      before: null
      after: {accept_dad: 0, accept_ra: 0, addresses: ["10.244.1.1/24", "fd00:10:244:1::1/64"], mac: "0a:58:0a:f4:01:01", mtu: 1450, promisc: false,
        txqueuelen: 1000, up: true}
diff:
  description: The same as RV(changes) as text, one item for each. Shown by C(--diff).
  returned: success
  type: list
  elements: dict
  contains:
    before_header:
      description: What was changed, with V((absent\)) if it was not there.
      type: str
      sample: bridge:cbr0 (absent)
    after_header:
      description: What was changed, with V((absent\)) if it is gone.
      type: str
      sample: bridge:cbr0
    before:
      description: The state that was found.
      type: str
      sample: ""
    after:
      description: The state that was written.
      type: str
      sample: "accept_dad: 0\naccept_ra: 0\naddresses:\n  - 10.244.1.1/24\n  - fd00:10:244:1::1/64\nmac: 0a:58:0a:f4:01:01\nmtu: 1450\npromisc: false\n\
        txqueuelen: 1000\nup: true\n"
  sample:
    - before_header: bridge:cbr0 (absent)
      after_header: bridge:cbr0
      before: ""
      after: "accept_dad: 0\naccept_ra: 0\naddresses:\n  - 10.244.1.1/24\n  - fd00:10:244:1::1/64\nmac: 0a:58:0a:f4:01:01\nmtu: 1450\npromisc: false\n\
        txqueuelen: 1000\nup: true\n"
kubenet_bridge:
  description: The bridge as it is now, or in check mode would be.
  returned: success and O(state=present)
  type: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: cbr0
    pod_cidrs:
      description: The ranges of the node's pods.
      type: list
      elements: str
      sample: ["10.244.1.0/24", "fd00:10:244:1::/64"]
    gateways:
      description: The bridge's address in each of the ranges, in the same order.
      type: list
      elements: str
      sample: ["10.244.1.1", "fd00:10:244:1::1"]
    mtu:
      description: The MTU that new pods get, in bytes, also when it was V(auto).
      type: int
      sample: 1450
    bridge_mtu:
      description: The MTU of the bridge. It is less than RV(kubenet_bridge.mtu) as long as RV(kubenet_bridge.waiting_for) is not empty.
      type: int
      sample: 1450
    waiting_for:
      description: The ports of pods that have a smaller MTU than RV(kubenet_bridge.mtu), so that the bridge cannot have it yet.
      type: list
      elements: str
      sample: []
    outside:
      description:
        - Who has an address outside of RV(kubenet_bridge.pod_cidrs), as pods have that were started with another range.
        - A port of the bridge with the pod's address and its sandbox as far as they are known, or C(no port) and a lease.
      type: list
      elements: str
      sample: []
    hairpin_mode:
      description: How a pod reaches itself.
      type: str
      sample: hairpin-veth
    unmanaged:
      description: Whether the node's network managers are told to leave the bridge and its ports alone.
      type: bool
      sample: true
    txqueuelen:
      description: The length of its transmit queue in packets.
      type: int
      sample: 1000
    mac:
      description: Its MAC address. A bridge that was there keeps its own, and one that has to be made again gets the same.
      type: str
      sample: "0a:58:0a:f4:01:01"
  sample:
    name: cbr0
    pod_cidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"]
    mtu: 1450
    hairpin_mode: hairpin-veth
    txqueuelen: 1000
    mac: "0a:58:0a:f4:01:01"
    gateways: ["10.244.1.1", "fd00:10:244:1::1"]
    unmanaged: true
    bridge_mtu: 1450
    waiting_for: []
    outside: []
problems:
  description: Everything that is wrong with the options, found together. The message has the same as one line.
  returned: when an option is wrong
  type: list
  elements: dict
  contains:
    path:
      description: The option.
      type: str
      sample: pod_cidrs[0]
    message:
      description: The value, what is wrong with it, and what is accepted.
      type: str
      sample: "'10.244.1.0/33' is not a CIDR (expected e.g. 10.244.1.0/24)"
  sample:
    - path: pod_cidrs[0]
      message: "'10.244.1.0/33' is not a CIDR (expected e.g. 10.244.1.0/24)"
missing_library:
  description:
    - The Python library that is needed on the node to make the changes. Nothing was changed.
    - Install it and repeat the task. A run that has nothing to change needs none.
  returned: when a library is missing
  type: str
  sample: pyroute2
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils._door import TERMS, open_door
from ansible_collections.kubenode.network.plugins.module_utils._sections import kubenet_bridge


def main() -> None:
    open_door(AnsibleModule(argument_spec={**kubenet_bridge.OPTIONS, **TERMS}, supports_check_mode=True), kubenet_bridge)


if __name__ == "__main__":
    main()

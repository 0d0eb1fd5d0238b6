#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: sysctl_bridge_nf
short_description: Set the kernel parameters that pods on a bridge need
version_added: 0.1.0
description:
  - Loads C(br_netfilter), lets packets that cross a bridge pass the firewall, and turns on forwarding, now and after the next boot.
  - Services need this where pods are on a Linux bridge. Without it, two pods on one node cannot reach each other by the address of a
    service. A node whose network uses no Linux bridge is left alone in that.
  - A node that learned its IPv6 default route from router advertisements keeps it when IPv6 forwarding is turned on.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
  - kubenode.network._sections.sysctl_bridge_nf
  - kubenode.network._sections.document
seealso:
  - module: kubenode.network.kubenet_bridge
    description: The bridge of the node's pods.
  - module: kubenode.network.node_network
    description: All of a node in one call.
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Prepare a node for IPv4 pods
  kubenode.network.sysctl_bridge_nf:

- name: Prepare a node for dual-stack pods, without a look at ARP
  kubenode.network.sysctl_bridge_nf:
    bridge_nf_call_arptables: false
    forwarding: [ipv4, ipv6]

- name: Prepare a node for Cilium, which is installed later and uses no Linux bridge
  kubenode.network.sysctl_bridge_nf:
    provider: cilium

- name: Let the firewall see what crosses the pods' bridge, and no other bridge of the node
  kubenode.network.sysctl_bridge_nf:
    bridges: [cbr0]

- name: Give the parameters the values that were found
  kubenode.network.sysctl_bridge_nf:
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
  sample: ["sysctl:net/ipv4/ip_forward", "document:/etc/kubenode-network/node.json"]
plan:
  description: The same with what is done to each, V(create), V(change) or V(remove).
  returned: success
  type: list
  elements: str
  sample: ["create sysctl:net/ipv4/ip_forward", "change document:/etc/kubenode-network/node.json"]
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
      sample: sysctl:net/ipv4/ip_forward
    before:
      description: The state that was found. V(null) if it was not there.
      type: raw
      sample: "0"
    after:
      description: The state that was written. V(null) if it is gone.
      type: raw
      sample: "1"
  sample:
    - resource: sysctl:net/ipv4/ip_forward
      before: "0"
      after: "1"
diff:
  description: The same as RV(changes) as text, one item for each. Shown by C(--diff).
  returned: success
  type: list
  elements: dict
  contains:
    before_header:
      description: What was changed, with V((absent\)) if it was not there.
      type: str
      sample: sysctl:net/ipv4/ip_forward
    after_header:
      description: What was changed, with V((absent\)) if it is gone.
      type: str
      sample: sysctl:net/ipv4/ip_forward
    before:
      description: The state that was found.
      type: str
      sample: "0\n"
    after:
      description: The state that was written.
      type: str
      sample: "1\n"
  sample:
    - before_header: sysctl:net/ipv4/ip_forward
      after_header: sysctl:net/ipv4/ip_forward
      before: "0\n"
      after: "1\n"
sysctl_bridge_nf:
  description: What is set now.
  returned: success and O(state=present)
  type: dict
  contains:
    bridge_nf:
      description: V(enabled), or V(unmanaged) if the parameters for bridges are left alone.
      type: str
      sample: enabled
    reason:
      description: Why, in a sentence.
      type: str
      sample: network 'kubenet' puts pods on a Linux bridge, by the plugin 'bridge'
    bridges:
      description: The bridges with switches of their own. V(null) if the parameters hold for all bridges.
      type: list
      elements: str
      sample: [cbr0]
    bridge_nf_call:
      description: What passes the firewall on its way across a bridge, those of RV(sysctl_bridge_nf.bridges) or all. Empty if unmanaged.
      type: dict
      sample: {iptables: "1", ip6tables: "1", arptables: "1"}
    forwarding:
      description: The families that the node forwards.
      type: list
      elements: str
      sample: [ipv4]
    module:
      description: The kernel module that is loaded. V(null) if none is needed.
      type: str
      sample: br_netfilter
    values:
      description: The kernel parameters and their values.
      type: dict
      sample: {net.bridge.bridge-nf-call-iptables: "1", net.ipv4.ip_forward: "1"}
    overridden:
      description: Lines in files of others that undo a value at the next boot, or when somebody runs C(sysctl --system).
      type: list
      elements: dict
      contains:
        key:
          description: The kernel parameter.
          type: str
          sample: net.ipv4.ip_forward
        value:
          description: What the line sets it to.
          type: str
          sample: "0"
        path:
          description: The file.
          type: str
          sample: /etc/sysctl.d/99-sysctl.conf
        line:
          description: The number of the line.
          type: int
          sample: 28
        by:
          description: The programs that read the file after ours, V(systemd-sysctl) at boot and V(sysctl --system).
          type: list
          elements: str
          sample: [systemd-sysctl, sysctl --system]
    module_blocked:
      description: Lines of C(modprobe.d) that keep the kernel module from being loaded at boot.
      type: list
      elements: dict
      contains:
        path:
          description: The file.
          type: str
          sample: /etc/modprobe.d/hardening.conf
        line:
          description: The number of the line.
          type: int
          sample: 3
        text:
          description: The line.
          type: str
          sample: blacklist br_netfilter
  sample:
    bridge_nf: enabled
    reason: network 'kubenet' puts pods on a Linux bridge, by the plugin 'bridge'
    bridges: null
    bridge_nf_call: {iptables: "1", ip6tables: "1", arptables: "1"}
    forwarding: [ipv4]
    module: br_netfilter
    values:
      net.bridge.bridge-nf-call-iptables: "1"
      net.bridge.bridge-nf-call-ip6tables: "1"
      net.bridge.bridge-nf-call-arptables: "1"
      net.ipv4.ip_forward: "1"
    overridden: []
    module_blocked: []
problems:
  description: Everything that is wrong with the options, found together. The message has the same as one line.
  returned: when an option is wrong
  type: list
  elements: dict
  contains:
    path:
      description: The option.
      type: str
      sample: forwarding
    message:
      description: The value, what is wrong with it, and what is accepted.
      type: str
      sample: "ipv6 is not there on this node: its kernel has no net.ipv6.conf.all.forwarding"
  sample:
    - path: forwarding
      message: "ipv6 is not there on this node: its kernel has no net.ipv6.conf.all.forwarding"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils._door import TERMS, open_door
from ansible_collections.kubenode.network.plugins.module_utils._sections import sysctl_bridge_nf


def main() -> None:
    open_door(AnsibleModule(argument_spec={**sysctl_bridge_nf.OPTIONS, **TERMS}, supports_check_mode=True), sysctl_bridge_nf)


if __name__ == "__main__":
    main()

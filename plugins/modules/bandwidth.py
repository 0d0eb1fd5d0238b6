#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: bandwidth
short_description: Limit what the pods of a network send and receive
version_added: 0.1.0
description:
  - Sees to it that the list of a network has one working entry for the plugin C(bandwidth), or none.
  - It works on networks of this collection and on files that somebody else wrote, such as Calico or Cilium.
  - For a network of M(kubenode.network.cni_config), the entry stays when that module writes the network anew.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
  - kubenode.network._sections.chained
  - kubenode.network._sections.bandwidth
  - kubenode.network._sections.document
attributes:
  check_mode:
    support: partial
    details:
      - A plugin that is not installed, and a network that is not written, is a warning, which names the task that has to come before
        this one, because in check mode that task did not do anything either. A real run refuses it.
notes:
  - The plugin shapes with C(tbf) on the pod's interface on the node and on an interface C(bwp...) that it makes for each pod, for which the
    kernel needs C(ifb), C(sch_tbf), C(sch_ingress), C(cls_u32) and C(act_mirred).
  - The list needs a C(cniVersion) of V(0.3.0) or later, since the plugin knows no older one.
seealso:
  - module: kubenode.network.portmap
    description: Host ports of pods.
  - module: kubenode.network.cni_config
    description: A network that pods get.
  - module: kubenode.network.cni_plugins
    description: The CNI plugin binaries.
  - module: kubenode.network.node_network
    description: All of a node in one call.
  - name: bandwidth plugin
    description: What the options do.
    link: https://www.cni.dev/plugins/current/meta/bandwidth/
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Give pods the bridge network mynet
  kubenode.network.cni_config:
    name: mynet
    plugins:
      - type: bridge
        bridge: cni0
        isGateway: true
        ipMasq: true
        ipam:
          type: host-local
          subnet: 10.244.0.0/16
          routes:
            - dst: 0.0.0.0/0

- name: Let pods of mynet have the limits that their annotations name
  kubenode.network.bandwidth:
    network: mynet

- name: Let each of them receive 10 and send 5 megabits per second
  kubenode.network.bandwidth:
    network: mynet
    ingress_rate: 10M
    egress_rate: 5M

- name: Take the limits away from new pods
  kubenode.network.bandwidth:
    network: mynet
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
  sample: ["cni_entry:/etc/cni/net.d/10-other.conflist#bandwidth", "document:/etc/kubenode-network/node.json"]
plan:
  description: The same with what is done to each, V(create), V(change) or V(remove).
  returned: success
  type: list
  elements: str
  sample: ["create cni_entry:/etc/cni/net.d/10-other.conflist#bandwidth", "change document:/etc/kubenode-network/node.json"]
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
      description:
        - What was changed, as its kind and name.
        - For a network of this collection that is its file, else the entry in the file, and before that, where a single configuration
          becomes a list, C(cni_form) and that file.
      type: str
      sample: cni_entry:/etc/cni/net.d/10-other.conflist#bandwidth
    before:
      description: The state that was found. V(null) if it was not there.
      type: raw
      sample: null
    after:
      description: The state that was written. V(null) if it is gone.
      type: raw
      sample: {type: bandwidth, capabilities: {bandwidth: true}}
  sample:
    - resource: cni_entry:/etc/cni/net.d/10-other.conflist#bandwidth
      before: null
      after: {type: bandwidth, capabilities: {bandwidth: true}}
diff:
  description: The same as RV(changes) as text, one item for each. Shown by C(--diff).
  returned: success
  type: list
  elements: dict
  contains:
    before_header:
      description: What was changed, with V((absent\)) if it was not there.
      type: str
      sample: cni_entry:/etc/cni/net.d/10-other.conflist#bandwidth (absent)
    after_header:
      description: What was changed, with V((absent\)) if it is gone.
      type: str
      sample: cni_entry:/etc/cni/net.d/10-other.conflist#bandwidth
    before:
      description: The state that was found.
      type: str
      sample: ""
    after:
      description: The state that was written.
      type: str
      sample: "{\n  \"type\": \"bandwidth\",\n  \"capabilities\": {\n    \"bandwidth\": true\n  }\n}\n"
  sample:
    - before_header: cni_entry:/etc/cni/net.d/10-other.conflist#bandwidth (absent)
      after_header: cni_entry:/etc/cni/net.d/10-other.conflist#bandwidth
      before: ""
      after: "{\n  \"type\": \"bandwidth\",\n  \"capabilities\": {\n    \"bandwidth\": true\n  }\n}\n"
bandwidth:
  description: The entry, and where it is.
  returned: success, unless O(state=absent) and the network is not one of this collection
  type: dict
  contains:
    path:
      description: The network's file.
      type: str
      sample: /etc/cni/net.d/10-mynet.conflist
    entry:
      description: The whole entry, with the keys that somebody else set. Not there with O(state=absent).
      type: dict
      sample: {type: bandwidth, capabilities: {bandwidth: true}, ingressRate: 10000000, ingressBurst: 1000000}
  sample:
    path: /etc/cni/net.d/10-mynet.conflist
    entry: {type: bandwidth, capabilities: {bandwidth: true}, ingressRate: 10000000, ingressBurst: 1000000}
networks:
  description: The network as it was written, by its name.
  returned: success and the network is one of this collection
  type: dict
  contains:
    <name>:
      description: One network, by its name.
      type: dict
      contains:
        path:
          description: Its file.
          type: str
          sample: /etc/cni/net.d/10-mynet.conflist
        cni_version:
          description: The version of the CNI specification, also when it was V(auto).
          type: str
          sample: 1.0.0
        config:
          description: The content of the file.
          type: dict
          sample:
            cniVersion: 1.0.0
            name: mynet
            plugins:
              - type: bridge
                bridge: cni0
                isGateway: true
                ipMasq: true
                ipam:
                  type: host-local
                  subnet: 10.244.0.0/16
                  routes:
                    - dst: 0.0.0.0/0
  sample:
    mynet:
      path: /etc/cni/net.d/10-mynet.conflist
      cni_version: 1.0.0
      config:
        cniVersion: 1.0.0
        name: mynet
        plugins:
          - type: bridge
            bridge: cni0
            isGateway: true
            ipMasq: true
            ipam:
              type: host-local
              subnet: 10.244.0.0/16
              routes:
                - dst: 0.0.0.0/0
problems:
  description: Everything that is wrong with the options, found together. The message has the same as one line.
  returned: when an option is wrong
  type: list
  elements: dict
  contains:
    path:
      description: The option.
      type: str
      sample: network
    message:
      description: The value, what is wrong with it, and what is accepted.
      type: str
      sample: "'mynet' is in no file of /etc/cni/net.d (expected one of kubenet)"
  sample:
    - path: network
      message: "'mynet' is in no file of /etc/cni/net.d (expected one of kubenet)"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils._door import TERMS, open_door
from ansible_collections.kubenode.network.plugins.module_utils._sections import bandwidth


def main() -> None:
    open_door(AnsibleModule(argument_spec={**bandwidth.OPTIONS, **TERMS}, supports_check_mode=True), bandwidth)


if __name__ == "__main__":
    main()

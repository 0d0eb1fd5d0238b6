#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: portmap
short_description: Give the pods of a network host ports
version_added: 0.1.0
description:
  - Sees to it that the list of a network has one working entry for the plugin C(portmap), or none.
  - It works on networks of this collection and on files that somebody else wrote, such as Calico or Cilium.
  - For a network of M(kubenode.network.cni_config), the entry stays when that module writes the network anew.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
  - kubenode.network._sections.chained
  - kubenode.network._sections.portmap
  - kubenode.network._sections.document
attributes:
  check_mode:
    support: partial
    details:
      - A plugin that is not installed, and a network that is not written, is a warning, which names the task that has to come before
        this one, because in check mode that task did not do anything either. A real run refuses it.
notes:
  - CRI-O maps host ports itself and passes none to the plugin, so on its nodes the entry has no effect, which is a warning.
seealso:
  - module: kubenode.network.bandwidth
    description: Limits to what pods send and receive.
  - module: kubenode.network.cni_config
    description: A network that pods get.
  - module: kubenode.network.cni_plugins
    description: The CNI plugin binaries.
  - module: kubenode.network.node_network
    description: All of a node in one call.
  - name: portmap plugin
    description: What the options do.
    link: https://www.cni.dev/plugins/current/meta/portmap/
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

- name: Let pods of mynet have host ports
  kubenode.network.portmap:
    network: mynet

- name: Let them have host ports that some hosts cannot use
  kubenode.network.portmap:
    network: mynet
    snat: true
    mark_masq_bit: 13
    conditions_v4: ["!", "-s", "192.0.2.0/24"]

- name: Let kube-proxy's chain mark what is masqueraded
  kubenode.network.portmap:
    filename: 10-mynet.conflist
    external_set_mark_chain: KUBE-MARK-MASQ

- name: Take host ports away from them
  kubenode.network.portmap:
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
  sample: ["cni_entry:/etc/cni/net.d/10-other.conflist#portmap", "document:/etc/kubenode-network/node.json"]
plan:
  description: The same with what is done to each, V(create), V(change) or V(remove).
  returned: success
  type: list
  elements: str
  sample: ["create cni_entry:/etc/cni/net.d/10-other.conflist#portmap", "change document:/etc/kubenode-network/node.json"]
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
      sample: cni_entry:/etc/cni/net.d/10-other.conflist#portmap
    before:
      description: The state that was found. V(null) if it was not there.
      type: raw
      sample: null
    after:
      description: The state that was written. V(null) if it is gone.
      type: raw
      sample: {type: portmap, capabilities: {portMappings: true}}
  sample:
    - resource: cni_entry:/etc/cni/net.d/10-other.conflist#portmap
      before: null
      after: {type: portmap, capabilities: {portMappings: true}}
diff:
  description: The same as RV(changes) as text, one item for each. Shown by C(--diff).
  returned: success
  type: list
  elements: dict
  contains:
    before_header:
      description: What was changed, with V((absent\)) if it was not there.
      type: str
      sample: cni_entry:/etc/cni/net.d/10-other.conflist#portmap (absent)
    after_header:
      description: What was changed, with V((absent\)) if it is gone.
      type: str
      sample: cni_entry:/etc/cni/net.d/10-other.conflist#portmap
    before:
      description: The state that was found.
      type: str
      sample: ""
    after:
      description: The state that was written.
      type: str
      sample: "{\n  \"type\": \"portmap\",\n  \"capabilities\": {\n    \"portMappings\": true\n  }\n}\n"
  sample:
    - before_header: cni_entry:/etc/cni/net.d/10-other.conflist#portmap (absent)
      after_header: cni_entry:/etc/cni/net.d/10-other.conflist#portmap
      before: ""
      after: "{\n  \"type\": \"portmap\",\n  \"capabilities\": {\n    \"portMappings\": true\n  }\n}\n"
portmap:
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
      sample: {type: portmap, capabilities: {portMappings: true}, snat: true}
  sample:
    path: /etc/cni/net.d/10-mynet.conflist
    entry: {type: portmap, capabilities: {portMappings: true}, snat: true}
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
from ansible_collections.kubenode.network.plugins.module_utils._sections import portmap


def main() -> None:
    open_door(AnsibleModule(argument_spec={**portmap.OPTIONS, **TERMS}, supports_check_mode=True), portmap)


if __name__ == "__main__":
    main()

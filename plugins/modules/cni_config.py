#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cni_config
short_description: Write the configuration of a pod network
version_added: 0.1.0
description:
  - Writes one network into the folder from which the node's container runtime takes the network of its pods.
  - Everything is checked first, including that the binaries are installed and speak the version of the file, which runtimes find out only
    when a pod fails to start.
  - The file is put in place by a rename, complete, so that a running containerd takes it without a restart.
  - A warning says when another file sorts before this one, because pods get the network of that file then. O(foreign) puts such
    files aside.
  - A change that would cut off running pods is refused, unless O(force) is set.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
  - kubenode.network._sections.cni_config
  - kubenode.network._sections.document
attributes:
  check_mode:
    support: partial
    details:
      - A plugin that is not installed is a warning, which names the task that has to come before this one, because in check mode that
        task did not install anything either. A real run refuses it.
seealso:
  - module: kubenode.network.cni_plugins
    description: The CNI plugin binaries.
  - module: kubenode.network.portmap
    description: Host ports for the pods of a network.
  - module: kubenode.network.node_network
    description: All of a node in one call.
  - name: CNI specification
    description: What a network configuration means.
    link: https://www.cni.dev/docs/spec/
  - name: CNI plugins
    description: The reference plugins and their keys.
    link: https://www.cni.dev/plugins/current/
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Give pods the bridge network mynet, as 10-mynet.conflist with 99-loopback.conf behind it
  kubenode.network.cni_config:
    name: mynet
    loopback: true
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

- name: Write the same as a single configuration, 10-mynet.conf, in place of the list
  kubenode.network.cni_config:
    name: mynet
    filename: 10-mynet.conf
    loopback: true
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

- name: Give pods two addresses, host ports and a version of the specification that is not chosen by the installed plugins
  kubenode.network.cni_config:
    name: dual
    priority: 5
    cni_version: 0.4.0
    mode: "0600"
    plugins:
      - type: bridge
        bridge: cni1
        isDefaultGateway: true
        hairpinMode: true
        ipam:
          type: host-local
          ranges:
            - - subnet: 10.245.1.0/24
            - - subnet: fd00:10:245:1::/64
      - type: portmap
        capabilities:
          portMappings: true

- name: Be the network of the pods, whatever packages put into the folder, or will put there
  kubenode.network.cni_config:
    name: mynet
    foreign: disable
    loopback: true
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

- name: Take the network with two addresses away
  kubenode.network.cni_config:
    name: dual
    priority: 5
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
  sample: ["file:/etc/cni/net.d/99-loopback.conf", "document:/etc/kubenode-network/node.json"]
plan:
  description: The same with what is done to each, V(create), V(change) or V(remove).
  returned: success
  type: list
  elements: str
  sample: ["create file:/etc/cni/net.d/99-loopback.conf", "change document:/etc/kubenode-network/node.json"]
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
      sample: file:/etc/cni/net.d/99-loopback.conf
    before:
      description: The state that was found. V(null) if it was not there.
      type: raw
      sample: null
    after:
      description: The state that was written. V(null) if it is gone.
      type: raw
      sample: {sha256: bf2d343afef2c81087d42a212458a20e5f52ace971ece585f0e3aab46628fe71, mode: "0644", owner: 0, group: 0}
  sample:
    - resource: file:/etc/cni/net.d/99-loopback.conf
      before: null
      after: {sha256: bf2d343afef2c81087d42a212458a20e5f52ace971ece585f0e3aab46628fe71, mode: "0644", owner: 0, group: 0}
diff:
  description: The same as RV(changes) as text, one item for each. Shown by C(--diff).
  returned: success
  type: list
  elements: dict
  contains:
    before_header:
      description: What was changed, with V((absent\)) if it was not there.
      type: str
      sample: file:/etc/cni/net.d/99-loopback.conf (absent)
    after_header:
      description: What was changed, with V((absent\)) if it is gone.
      type: str
      sample: file:/etc/cni/net.d/99-loopback.conf
    before:
      description: The state that was found.
      type: str
      sample: ""
    after:
      description: The state that was written.
      type: str
      sample: "# mode 0644, owner 0:0\n{\n  \"cniVersion\": \"1.0.0\",\n  \"name\": \"lo\",\n  \"type\": \"loopback\"\n}\n"
  sample:
    - before_header: file:/etc/cni/net.d/99-loopback.conf (absent)
      after_header: file:/etc/cni/net.d/99-loopback.conf
      before: ""
      after: "# mode 0644, owner 0:0\n{\n  \"cniVersion\": \"1.0.0\",\n  \"name\": \"lo\",\n  \"type\": \"loopback\"\n}\n"
networks:
  description: For each network that is present, by its name, what was written.
  returned: success and O(state=present)
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
winner:
  description:
    - The file that the container runtime takes for the pod network when the run is done, the first one in the order of names.
    - V(null) if there is none, or if the first one cannot be loaded, which a warning explains.
  returned: success
  type: str
  sample: 10-mynet.conflist
shadowed_by:
  description: For each valid file that pods do not get, the one that comes before it.
  returned: success
  type: dict
  sample: {99-loopback.conf: 10-mynet.conflist}
invalid_files:
  description: For each file that the container runtime cannot load, the reason. One that comes first takes the node's pod network down.
  returned: success
  type: dict
  sample: {20-old.conflist: "has no plugins (expected a list)"}
foreign:
  description: Files of others that are in the way and were left, by O(foreign).
  returned: success
  type: list
  elements: dict
  contains:
    filename:
      description: The file.
      type: str
      sample: 87-podman-bridge.conflist
    kind:
      description:
        - V(first) for one that sorts before ours, V(broken) for one that does and cannot be loaded, V(sibling) for one of the same name in
          another extension, V(vendor) for the default of a package.
      type: str
      sample: vendor
    message:
      description: The same in words.
      type: str
      sample: 87-podman-bridge.conflist is a default of podman and would be the pod network if it came first
    harmful:
      description: Whether it does harm as things are.
      type: bool
      sample: false
  sample: []
problems:
  description: Everything that is wrong with the options, found together. The message has the same as one line.
  returned: when an option is wrong
  type: list
  elements: dict
  contains:
    path:
      description: The option.
      type: str
      sample: plugins[0].isGatway
    message:
      description: The value, what is wrong with it, and what is accepted.
      type: str
      sample: "'isGatway' is not a key of bridge (expected isGateway?)"
  sample:
    - path: plugins[0].isGatway
      message: "'isGatway' is not a key of bridge (expected isGateway?)"
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils._door import TERMS, open_door
from ansible_collections.kubenode.network.plugins.module_utils._sections import networks


def main() -> None:
    open_door(AnsibleModule(argument_spec={**networks.OPTIONS, **TERMS}, supports_check_mode=True), networks)


if __name__ == "__main__":
    main()

#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: cni_info
short_description: Show a node's pod network and what is wrong with it
version_added: 0.1.0
description:
  - Says what there is on a node of CNI plugins and their releases, files and which of them wins, networks, leases, bridges, packet filters
    and kernel settings, and names the problems that can be seen from it.
  - It also works on nodes that this collection has never touched, and on broken ones. What cannot be found out is V(null) or left out, and
    RV(unavailable) says why.
  - It changes nothing, keeps nothing and takes no lock.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.read_only
  - kubenode.network._attributes.actiongroup_node
attributes:
  platform:
    support: full
    platforms: linux
options:
  conf_dir:
    description:
      - The directory of CNI files. By default the one that the container runtime reads.
    type: path
  bin_dirs:
    description:
      - The folders of plugins, in the order in which they are looked through. By default those of the container runtime.
    type: list
    elements: path
  sandboxes:
    description:
      - The ids of all sandboxes or containers that live, for a node whose runtime does not speak CRI, such as Docker alone. An empty list
        says that none does. By default the runtimes are asked.
      - Ids may be cut off, as C(docker ps) prints them.
    type: list
    elements: str
  runtime_endpoint:
    description:
      - The unix socket of the one container runtime that has the node's pods, with or without C(unix://).
      - By default all runtimes are asked that are found, at C(runtime-endpoint) of C(/etc/crictl.yaml) and at the usual places of containerd,
        CRI-O, cri-dockerd, k3s, k0s and MicroK8s.
    type: str
    aliases: [cri_socket]
notes:
  - Values in RV(networks[].config) whose key looks like that of a secret (token, password, client key and the like) are shown as V(********).
  - To learn its release, every reference plugin is run with C(CNI_COMMAND=VERSION), which has no effect, and so is every other plugin that a
    file of the networks names. Further programs in the folders are listed, but not run.
seealso:
  - module: kubenode.network.cni_config
    description: A network that pods get.
  - module: kubenode.network.host_local_lease
    description: Release addresses of sandboxes that are gone.
  - module: kubenode.network.node_network
    description: All of a node in one call.
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Look at the pod network
  kubenode.network.cni_info:
  register: cni_info

- name: Show what is wrong with it
  ansible.builtin.debug:
    msg: "{{ cni_info.problems | map(attribute='message') | list }}"

- name: Go on only if plugins answer and nobody else's files shadow ours
  ansible.builtin.assert:
    that:
      - cni_info.problems | selectattr('name', 'in', ['plugin-broken', 'file-first']) | list | length == 0

- name: Show how full each range is
  ansible.builtin.debug:
    msg: "{{ item.network }}: {{ item.range_sets | map(attribute='free') | list }} addresses are free"
  loop: "{{ cni_info.leases }}"
  loop_control:
    label: "{{ item.network }}"

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

- name: Look again
  kubenode.network.cni_info:
  register: cni_info

- name: See that pods will start
  ansible.builtin.assert:
    that: cni_info.problems | selectattr('severity', 'eq', 'error') | list | length == 0
"""

RETURN = r"""
changed:
  description: Always V(false).
  returned: success
  type: bool
  sample: false
runtime:
  description:
    - The container runtime that has the node's pods, and its settings, as it says over CRI, else as its configuration file says (containerd,
      CRI-O), else the defaults that all share.
  returned: success
  type: dict
  contains:
    name:
      description: V(containerd), V(crio), V(dockershim) (cri-dockerd), V(podman), or another name that it gives itself. V(null) if
        it is not known.
      type: str
      sample: containerd
    release:
      description: Its release. V(null) if it is not known.
      type: str
      sample: 1.7.24
    libcni:
      description: The release of libcni inside of it. With V(null) the files are judged by the strictest.
      type: str
      sample: 1.1.2
    evidence:
      description: As in RV(loaders.<name>.evidence), for the runtime's own loader.
      type: str
      sample: observed
    source:
      description: The socket or file that says so. V(null) for the defaults.
      type: str
      sample: /run/containerd/containerd.sock
    bin_dirs:
      description: Where it looks for plugins.
      type: list
      elements: str
      sample:
        - /opt/cni/bin
    conf_dir:
      description: Where it reads CNI files.
      type: str
      sample: /etc/cni/net.d
    max_conf_num:
      description: How many files containerd uses, V(0) for all.
      type: int
      sample: 1
    default_network:
      description: The network that CRI-O is told to use.
      type: str
      sample: null
    socket:
      description: The socket at which it answered. V(null) if none did.
      type: str
      sample: /run/containerd/containerd.sock
    network_ready:
      description: 'Whether it says that the pod network is ready. This is no proof: plugins and versions are not checked by it.'
      type: bool
      sample: true
    network_message:
      description: What it says beside that.
      type: str
      sample: ''
    load_status:
      description: How its last reading of the files went. containerd alone says it.
      type: str
      sample: OK
  sample:
    name: containerd
    release: 1.7.24
    libcni: 1.1.2
    evidence: observed
    source: /run/containerd/containerd.sock
    bin_dirs:
      - /opt/cni/bin
    conf_dir: /etc/cni/net.d
    max_conf_num: 1
    default_network: null
    socket: /run/containerd/containerd.sock
    network_ready: true
    network_message: ''
    load_status: OK
loaders:
  description:
    - 'What each loader makes of the directory, by its name: V(containerd), V(crio), V(podman), V(dockershim) (also cri-dockerd), V(libcni)
      (C(cnitool) and plugins such as Multus, asked for the network that pods get).'
    - The node's own runtime is judged with its settings and release, the others with their defaults.
  returned: success
  type: dict
  contains:
    <name>:
      description: One loader, by its name.
      type: dict
      contains:
        evidence:
          description: V(observed) if what is said of this loader was seen with the real program, V(source) if it is known from its
            source code.
          type: str
          sample: observed
        installed:
          description: Whether the program is on this node.
          type: bool
          sample: true
        winner:
          description: The file that makes the pods' first interface. V(null) if there is none.
          type: str
          sample: 10-mynet.conflist
        winners:
          description: All files that it uses, in their order.
          type: list
          elements: str
          sample:
            - 10-mynet.conflist
        error:
          description: Why it uses none.
          type: str
          sample: null
        order:
          description: All files that count, in the order in which it goes through them.
          type: list
          elements: str
          sample:
            - 10-mynet.conflist
            - 87-podman-bridge.conflist
        shadowed_by:
          description: Valid files that are not used, and the file for which they are not.
          type: dict
          sample:
            87-podman-bridge.conflist: 10-mynet.conflist
        invalid_files:
          description: Files that it cannot use, and why.
          type: dict
          sample:
            05-x.conflist: has no name (expected a name beside plugins)
      sample:
        evidence: observed
        installed: true
        winner: 10-mynet.conflist
        winners:
          - 10-mynet.conflist
        error: null
        order:
          - 10-mynet.conflist
          - 87-podman-bridge.conflist
        shadowed_by:
          87-podman-bridge.conflist: 10-mynet.conflist
        invalid_files: {}
  sample:
    containerd:
      evidence: observed
      installed: true
      winner: 10-mynet.conflist
      winners:
        - 10-mynet.conflist
      error: null
      order:
        - 10-mynet.conflist
        - 87-podman-bridge.conflist
      shadowed_by:
        87-podman-bridge.conflist: 10-mynet.conflist
      invalid_files: {}
plugins:
  description: The programs in the folders of plugins.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name, the type in a network.
      type: str
      sample: bridge
    path:
      description: Where it is.
      type: str
      sample: /opt/cni/bin/bridge
    asked:
      description: Whether it was run to ask what it supports, as reference plugins are, and others that a file of the networks names.
      type: bool
      sample: true
    versions:
      description: The versions of the CNI specification that it says it supports. Empty if it was not asked.
      type: list
      elements: str
      sample:
        - 0.1.0
        - 0.2.0
        - 0.3.0
        - 0.3.1
        - 0.4.0
        - 1.0.0
    release:
      description: The release, of a reference plugin. Distributions build them without it, so it may be known as a span only.
      type: dict
      contains:
        text:
          description: In words.
          type: str
          sample: release 1.1.0 or newer, before 1.3.0
        first:
          description: At least this one. V(null) if it is not known.
          type: str
          sample: 1.1.0
        before:
          description: Before this one. V(null) if it is not known.
          type: str
          sample: 1.3.0
      sample:
        text: release 1.1.0 or newer, before 1.3.0
        first: 1.1.0
        before: 1.3.0
    error:
      description: Why it does not answer.
      type: str
      sample: null
  sample:
    - name: bridge
      path: /opt/cni/bin/bridge
      asked: true
      versions:
        - 0.1.0
        - 0.2.0
        - 0.3.0
        - 0.3.1
        - 0.4.0
        - 1.0.0
      release:
        text: release 1.1.0 or newer, before 1.3.0
        first: 1.1.0
        before: 1.3.0
      error: null
networks:
  description: The networks in valid files, those in use first.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: mynet
    file:
      description: Its file, in the directory.
      type: str
      sample: 10-mynet.conflist
    cni_version:
      description: The version of the CNI specification.
      type: str
      sample: 1.0.0
    plugins:
      description: The types of all programs that it runs, IPAM plugins among them.
      type: list
      elements: str
      sample:
        - bridge
        - host-local
    in_use:
      description: Whether pods get it.
      type: bool
      sample: true
    ours:
      description: Whether this collection wrote the file.
      type: bool
      sample: true
    config:
      description: The content of the file, without secrets.
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
              subnet: 10.244.1.0/24
  sample:
    - name: mynet
      file: 10-mynet.conflist
      cni_version: 1.0.0
      plugins:
        - bridge
        - host-local
      in_use: true
      ours: true
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
              subnet: 10.244.1.0/24
leases:
  description: What C(host-local) has given away, by network. Networks that no file names any more are there as long as they have leases.
  returned: success
  type: list
  elements: dict
  contains:
    network:
      description: The network.
      type: str
      sample: mynet
    file:
      description: Its file. V(null) if none names it.
      type: str
      sample: 10-mynet.conflist
    data_dir:
      description: Where the leases are, in a folder of the network's name.
      type: str
      sample: /var/lib/cni/networks
    range_sets:
      description: The range sets. A pod gets one address of each.
      type: list
      elements: dict
      contains:
        total:
          description: How many addresses for pods there are.
          type: int
          sample: 253
        used:
          description: How many are given away.
          type: int
          sample: 2
        free:
          description: How many are left.
          type: int
          sample: 251
        ranges:
          description: The ranges of the set.
          type: list
          elements: dict
          contains:
            subnet:
              description: The subnet.
              type: str
              sample: 10.244.1.0/24
            start:
              description: The first address.
              type: str
              sample: 10.244.1.1
            end:
              description: The last address.
              type: str
              sample: 10.244.1.254
            gateway:
              description: The gateway, which no pod gets.
              type: str
              sample: 10.244.1.1
            total:
              description: How many addresses for pods there are.
              type: int
              sample: 253
            used:
              description: How many are given away.
              type: int
              sample: 2
            free:
              description: How many are left.
              type: int
              sample: 251
          sample:
            - subnet: 10.244.1.0/24
              start: 10.244.1.1
              end: 10.244.1.254
              gateway: 10.244.1.1
              total: 253
              used: 2
              free: 251
      sample:
        - total: 253
          used: 2
          free: 251
          ranges:
            - subnet: 10.244.1.0/24
              start: 10.244.1.1
              end: 10.244.1.254
              gateway: 10.244.1.1
              total: 253
              used: 2
              free: 251
    leases:
      description: The addresses that are given away.
      type: list
      elements: dict
      contains:
        address:
          description: The address.
          type: str
          sample: 10.244.1.2
        container_id:
          description: The id of the sandbox that has it. Empty if its file does not say.
          type: str
          sample: 61f57833083424c2
        interface:
          description: The interface in the sandbox. Empty if its file does not say.
          type: str
          sample: eth0
        age_seconds:
          description: For how long it has been given away.
          type: int
          sample: 4210
        netns_alive:
          description: Whether the sandbox's network namespace is there. V(null) if it is not known.
          type: bool
          sample: true
        orphaned:
          description:
            - 'Whether the sandbox no longer exists: neither a runtime nor O(sandboxes) names it, and no namespace of it is alive.'
            - 'V(null) if it cannot be told, or not yet: in its first five minutes a sandbox may be starting.'
          type: bool
          sample: false
      sample:
        - address: 10.244.1.2
          container_id: 61f57833083424c2
          interface: eth0
          age_seconds: 4210
          netns_alive: true
          orphaned: false
  sample:
    - network: mynet
      file: 10-mynet.conflist
      data_dir: /var/lib/cni/networks
      range_sets:
        - total: 253
          used: 2
          free: 251
          ranges:
            - subnet: 10.244.1.0/24
              start: 10.244.1.1
              end: 10.244.1.254
              gateway: 10.244.1.1
              total: 253
              used: 2
              free: 251
      leases:
        - address: 10.244.1.2
          container_id: 61f57833083424c2
          interface: eth0
          age_seconds: 4210
          netns_alive: true
          orphaned: false
bridges:
  description: All bridges.
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Its name.
      type: str
      sample: cni0
    mtu:
      description: Its MTU in bytes.
      type: int
      sample: 1450
    up:
      description: Whether it is up.
      type: bool
      sample: true
    promiscuous:
      description: Whether it is in promiscuous mode.
      type: bool
      sample: false
    mac:
      description: Its MAC address.
      type: str
      sample: 0a:58:0a:f4:01:01
    addresses:
      description: Its addresses of global scope.
      type: list
      elements: str
      sample:
        - 10.244.1.1/24
    ports:
      description: The links that are its ports.
      type: list
      elements: str
      sample:
        - veth1f2a
  sample:
    - name: cni0
      mtu: 1450
      up: true
      promiscuous: false
      mac: 0a:58:0a:f4:01:01
      addresses:
        - 10.244.1.1/24
      ports:
        - veth1f2a
firewall:
  description: The packet filters.
  returned: success
  type: dict
  contains:
    iptables:
      description: The program C(iptables). V(null) if it is not installed.
      type: dict
      contains:
        version:
          description: Its release.
          type: str
          sample: 1.8.9
        variant:
          description: V(nf_tables) or V(legacy).
          type: str
          sample: nf_tables
      sample:
        version: 1.8.9
        variant: nf_tables
    nft:
      description: The release of C(nft). V(null) if it is not installed.
      type: str
      sample: 1.0.6
    legacy_tables:
      description: The legacy tables that are there.
      type: dict
      contains:
        ipv4:
          description: Tables of IPv4.
          type: list
          elements: str
          sample: []
        ipv6:
          description: Tables of IPv6.
          type: list
          elements: str
          sample: []
      sample:
        ipv4: []
        ipv6: []
    chains:
      description: Chains of CNI plugins and of Kubernetes, without those of single pods and services.
      type: dict
      contains:
        nft:
          description: In nf_tables, those that iptables made there too.
          type: dict
          contains:
            ipv4:
              description: Chains of IPv4.
              type: list
              elements: str
              sample: []
            ipv6:
              description: Chains of IPv6.
              type: list
              elements: str
              sample: []
          sample:
            ipv4: []
            ipv6: []
        legacy:
          description: In legacy tables.
          type: dict
          contains:
            ipv4:
              description: Chains of IPv4.
              type: list
              elements: str
              sample: []
            ipv6:
              description: Chains of IPv6.
              type: list
              elements: str
              sample: []
          sample:
            ipv4: []
            ipv6: []
      sample:
        nft:
          ipv4:
            - CNI-HOSTPORT-DNAT
          ipv6: []
        legacy:
          ipv4: []
          ipv6: []
    forward_policy:
      description: 'What becomes of forwarded packets that no rule decides on: V(accept) or V(drop). V(null) without such a chain.'
      type: dict
      contains:
        nft:
          description: In nf_tables, those that iptables made there too.
          type: dict
          contains:
            ipv4:
              description: The policy of IPv4.
              type: str
              sample: null
            ipv6:
              description: The policy of IPv6.
              type: str
              sample: null
          sample:
            ipv4: null
            ipv6: null
        legacy:
          description: In legacy tables.
          type: dict
          contains:
            ipv4:
              description: The policy of IPv4.
              type: str
              sample: null
            ipv6:
              description: The policy of IPv6.
              type: str
              sample: null
          sample:
            ipv4: null
            ipv6: null
      sample:
        nft:
          ipv4: accept
          ipv6: null
        legacy:
          ipv4: null
          ipv6: null
  sample:
    iptables:
      version: 1.8.9
      variant: nf_tables
    nft: 1.0.6
    legacy_tables:
      ipv4: []
      ipv6: []
    chains:
      nft:
        ipv4:
          - CNI-HOSTPORT-DNAT
        ipv6: []
      legacy:
        ipv4: []
        ipv6: []
    forward_policy:
      nft:
        ipv4: accept
        ipv6: null
      legacy:
        ipv4: null
        ipv6: null
sysctls:
  description: Kernel settings that matter to pods, by their names. V(null) for one that the kernel does not have.
  returned: success
  type: dict
  sample:
    net.ipv4.ip_forward: '1'
    net.bridge.bridge-nf-call-iptables: '1'
problems:
  description:
    - What is wrong or will be, the worst first.
    - When an option is wrong, everything that is wrong with the options instead, as RV(problems[].path) and RV(problems[].message).
  returned: always
  type: list
  elements: dict
  contains:
    pitfall:
      description: Its number in the collection's list of pitfalls, which is sorted by how often and how badly they bite. V(null) for
        others.
      type: int
      sample: 6
    name:
      description: Its name, which stays the same.
      type: str
      sample: plugin-missing
    severity:
      description: V(error) if pods fail or will, V(warning) if they may, V(info) for what is good to know.
      type: str
      sample: error
    object:
      description: The file, network, plugin, link or setting that it is about.
      type: str
      sample: portmap
    message:
      description: What is wrong where, with the value, and what to do.
      type: str
      sample: portmap is not in /opt/cni/bin, but network 'mynet' in 10-mynet.conflist needs it (install it with kubenode.network.cni_plugins)
    path:
      description: The option, when one is wrong.
      type: str
      sample: conf_dir
  sample:
    - pitfall: 6
      name: plugin-missing
      severity: error
      object: portmap
      message: portmap is not in /opt/cni/bin, but network 'mynet' in 10-mynet.conflist needs it (install it with kubenode.network.cni_plugins)
unavailable:
  description: What could not be found out.
  returned: success
  type: list
  elements: dict
  contains:
    fact:
      description: What it is.
      type: str
      sample: status of the runtime
    reason:
      description: Why.
      type: str
      sample: '/run/containerd/containerd.sock cannot be asked: Connection refused'
  sample:
    - fact: status of the runtime
      reason: '/run/containerd/containerd.sock cannot be asked: Connection refused'
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.kubenode.network.plugins.module_utils._door import answer
from ansible_collections.kubenode.network.plugins.module_utils._info import module as info


def main() -> None:
    module = AnsibleModule(argument_spec=info.OPTIONS, supports_check_mode=True)
    answer(module, lambda: info.run(module.params))


if __name__ == "__main__":
    main()

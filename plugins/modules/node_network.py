#!/usr/bin/python

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: node_network
short_description: Configure the whole pod network of a node
version_added: 0.1.0
description:
  - Does in one run what the other modules of this collection do in one each, and makes their parts fit together.
  - A section that is not named is not managed, and stays as it is. An empty one means its defaults.
  - Everything is checked before anything is changed, and when a change fails, all that was done before it is undone.
  - Sections apply in a fixed order, from the binaries to the networks. New things are there before old ones go,
    so that a node that changes from one network to another has a valid one all the time.
  - In check mode, a binary that the same run would install counts as installed.
extends_documentation_fragment:
  - kubenode.network._attributes
  - kubenode.network._attributes.node
  - kubenode.network._attributes.actiongroup_node
  - kubenode.network._sections.node_network
  - kubenode.network._sections.document
  - kubenode.network._sections.controller_source
attributes:
  check_mode:
    support: partial
    details:
      - Without O(cni_plugins), a plugin that is not installed is a warning, because in check mode a task before this one did not
        install anything either. A real run refuses it.
options:
  engine:
    description:
      - The SHA-256 of the collection's code, which the node keeps in C(/run/kubenode-network).
      - The action plugin sets it in each task, whatever is given. It sends the code itself once to each node.
    type: str
  engine_archive:
    description: The code, from the action plugin.
    type: str
  engine_bytecode:
    description: The code as the controller's Python has compiled it, from the action plugin. A node with another Python compiles it itself.
    type: str
requirements:
  - pyroute2 >= 0.7.2 (on the controller, or else on the node, for O(boot_service))
  - pyroute2 >= 0.7.2 (for O(kubenet_bridge), only for a run that has to change a link)
  - iptables, and ip6tables for an IPv6 range (for O(masquerade); Debian has both in the package C(iptables))
seealso:
  - module: kubenode.network.pod_cidr
    description: Ranges for the pods of each node, out of the cluster's.
  - module: kubenode.network.cni_plugins
    description: The CNI plugin binaries.
  - module: kubenode.network.sysctl_bridge_nf
    description: The kernel parameters for bridges and forwarding.
  - module: kubenode.network.kubenet_bridge
    description: The bridge of the node's pods.
  - module: kubenode.network.masquerade
    description: The rules for packets from pods to outside of the cluster.
  - module: kubenode.network.cni_config
    description: A network that pods get.
  - module: kubenode.network.pod_routes
    description: The routes to the pods of other nodes.
  - module: kubenode.network.boot_service
    description: What brings all of this back at every boot.
  - module: kubenode.network.portmap
    description: Host ports for the pods of a network.
  - name: CNI specification
    description: What a network configuration means.
    link: https://www.cni.dev/docs/spec/
author:
  - The kubenode.network authors (@kubenode)
"""

EXAMPLES = r"""
- name: Make what kubenet made, for IPv4 pods
  kubenode.network.node_network:
    cni_plugins:
      src: /usr/lib/cni
      remote_src: true
      bin_dir: /opt/cni/bin
    sysctl_bridge_nf: {}
    kubenet_bridge:
      pod_cidrs: ["10.244.1.0/24"]
    masquerade:
      cluster_cidrs: ["10.244.0.0/16"]
    routes:
      node: node1
      peers:
        node1:
          pod_cidrs: ["10.244.1.0/24"]
          addresses: ["192.0.2.11"]
        node2:
          pod_cidrs: ["10.244.2.0/24"]
          addresses: ["192.0.2.12"]
    boot_service: {}

- name: Make what kubenet made, for dual-stack pods
  kubenode.network.node_network:
    sysctl_bridge_nf: {}
    kubenet_bridge:
      pod_cidrs: ["10.244.1.0/24", "fd00:10:244:1::/64"]
    masquerade:
      cluster_cidrs: ["10.244.0.0/16", "fd00:10:244::/48"]

- name: Make what kubenet made, for IPv6 pods alone
  kubenode.network.node_network:
    sysctl_bridge_nf: {}
    kubenet_bridge:
      pod_cidrs: ["fd00:10:244:1::/64"]
    masquerade:
      cluster_cidrs: ["fd00:10:244::/48"]

- name: Give pods a network of one's own on the bridge; what its entry does not say follows from kubenet_bridge
  kubenode.network.node_network:
    kubenet_bridge:
      pod_cidrs: ["10.244.1.0/24"]
      mtu: "1400"
    masquerade:
      cluster_cidrs: ["10.244.0.0/16"]
    networks:
      - name: kubenet
        state: absent
      - name: pods
        priority: 5
        plugins:
          - type: bridge
            bridge: cbr0
          - type: portmap
            capabilities:
              portMappings: true
          - type: bandwidth
            capabilities:
              bandwidth: true

- name: Take everything away
  kubenode.network.node_network:
    cni_plugins:
      bin_dir: /opt/cni/bin
      state: absent
    sysctl_bridge_nf:
      state: absent
    kubenet_bridge:
      state: absent
    masquerade:
      state: absent
    routes:
      state: absent
    boot_service:
      state: absent
    networks:
      - name: pods
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
cni_plugins:
  description: What is installed now.
  returned: success and the section is present
  type: dict
  contains:
    bin_dir:
      description: The folder, also when the node's container runtime decided.
      type: str
      sample: /opt/cni/bin
    plugins:
      description: The SHA-256 of each binary, by the plugin's name.
      type: dict
      sample: {bridge: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e}
    release:
      description:
        - The release that all of the binaries say they are of. Where they were built without it, as by distributions, what follows from
          the options that they know, such as V(release 1.1.0 or newer, before 1.2.0).
        - V(null) if that is nothing, or not the same.
      type: str
      sample: v1.9.1
    package:
      description: The package that has the binaries. V(null) if they came from O(cni_plugins.src).
      type: str
      sample: null
  sample:
    bin_dir: /opt/cni/bin
    release: v1.9.1
    package: null
    plugins:
      bridge: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e
      host-local: ebcf362b5c51a8376a232338f973e110e38523a37502a8bb7dfcfe538e8ef726
transfer:
  description: What was sent from the controller to the node. The size and the folder are shown before.
  returned: when something was sent
  type: dict
  contains:
    bytes:
      description: The size of all of it.
      type: int
      sample: 3986328
    files:
      description: Names of the binaries.
      type: list
      elements: str
      sample: [bridge]
    target:
      description: The folder on the node to which they were sent. It is removed at the end of the task.
      type: str
      sample: /root/.ansible/tmp/ansible-tmp-1763720000.0-1234-5678
  sample:
    bytes: 3986328
    files: [bridge]
    target: /root/.ansible/tmp/ansible-tmp-1763720000.0-1234-5678
sysctl_bridge_nf:
  description: What is set now.
  returned: success and the section is present
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
kubenet_bridge:
  description: The bridge as it is now, or in check mode would be.
  returned: success and the section is present
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
masquerade:
  description: What is masqueraded now.
  returned: success and the section is present
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
routes:
  description: The routes as they are now, or in check mode would be.
  returned: success and the section is present
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
boot_service:
  description: What brings the network back.
  returned: success and the section is present
  type: dict
  contains:
    command:
      description: The program, for a person on the node.
      type: str
      sample: /usr/local/sbin/kubenode-network
    unit:
      description: The systemd unit that runs it at boot. V(null) on a node without systemd.
      type: str
      sample: kubenode-network.service
    python:
      description: The interpreter that runs the program.
      type: str
      sample: /usr/bin/python3
    program:
      description: The SHA-256 of the program.
      type: str
      sample: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e
    systemd:
      description: Whether systemd is on the node.
      type: bool
      sample: true
  sample:
    command: /usr/local/sbin/kubenode-network
    unit: kubenode-network.service
    python: /usr/bin/python3
    program: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e
    systemd: true
networks:
  description: For each network that is present, by its name, what was written.
  returned: success and a network is present
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
  returned: success and a network was named
  type: str
  sample: 10-kubenet.conflist
shadowed_by:
  description: For each valid file that pods do not get, the one that comes before it.
  returned: success and a network was named
  type: dict
  sample: {99-loopback.conf: 10-mynet.conflist}
invalid_files:
  description: For each file that the container runtime cannot load, the reason. One that comes first takes the node's pod network down.
  returned: success and a network was named
  type: dict
  sample: {20-old.conflist: "has no plugins (expected a list)"}
foreign:
  description: Files of others that are in the way and were left, by O(networks[].foreign).
  returned: success and a network was named
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
      sample: kubenet_bridge.pod_cidrs[0]
    message:
      description: The value, what is wrong with it, and what is accepted.
      type: str
      sample: "'10.244.1.0/33' is not a CIDR (expected e.g. 10.244.1.0/24)"
  sample:
    - path: kubenet_bridge.pod_cidrs[0]
      message: "'10.244.1.0/33' is not a CIDR (expected e.g. 10.244.1.0/24)"
missing_program:
  description:
    - The SHA-256 of the program that the node needs before it can go on. Nothing was changed.
    - The action plugin sends it then and runs the module again, so that this is not seen.
  returned: when the program is missing
  type: str
  sample: 8a6de0ab6ff34131ae5b9b80ed5e69446121cba4e08c9c2a441ebf28a6c93e3e
missing_engine:
  description:
    - The node does not have the collection's code of the SHA-256 O(engine). Nothing was changed.
    - The action plugin sends it then and runs the module again, so that this is not seen.
  returned: when the code is missing
  type: bool
  sample: true
engine_kept:
  description:
    - The node has kept the collection's code for the next run, which the action plugin remembers.
  returned: when the code was sent, to the action plugin alone
  type: bool
  sample: true
missing_library:
  description:
    - The Python library that is needed on the node to make the changes. Nothing was changed.
    - Install it and repeat the task. A run that has nothing to change needs none.
  returned: when a library is missing
  type: str
  sample: pyroute2
"""

from importlib import import_module

from ansible.module_utils import basic
from ansible_collections.kubenode.network.plugins.module_utils import _engine


def main() -> None:
    package = _engine.package(basic._load_params)
    if package is None:
        ask_for_engine()
        return
    door, node = import_module(f"{package}._door"), import_module(f"{package}._node")
    spec = node.argument_spec()
    sections = [name for name in spec if name != "force"]
    module = basic.AnsibleModule(argument_spec={**spec, **door.TERMS, **_engine.OPTIONS}, required_one_of=[sections], supports_check_mode=True)
    door.open_all(module, lambda: node.open_sections(module.params))


def ask_for_engine() -> None:
    given = {name: {"type": "raw"} for name in basic._load_params() if not name.startswith("_ansible_")}
    module = basic.AnsibleModule(argument_spec={**given, **_engine.OPTIONS}, supports_check_mode=True)
    said = "the node does not have the code of the collection (expected the action plugin kubenode.network.node_network to send it)"
    module.fail_json(msg=f"nothing was changed: {said}", missing_engine=True)


if __name__ == "__main__":
    main()

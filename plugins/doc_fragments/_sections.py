# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import re
import textwrap

_NODE_NETWORK = r"""
options:
  cni_plugins:
    description:
      - The CNI plugin binaries, with the options of M(kubenode.network.cni_plugins).
    type: dict
{cni_plugins}
  sysctl_bridge_nf:
    description:
      - The kernel parameters for bridges and forwarding, with the options of M(kubenode.network.sysctl_bridge_nf).
    type: dict
{sysctl_bridge_nf}
  kubenet_bridge:
    description:
      - The bridge of the node's pods, with the options of M(kubenode.network.kubenet_bridge).
    type: dict
{kubenet_bridge}
  masquerade:
    description:
      - The rules for packets from pods to outside of the cluster, with the options of M(kubenode.network.masquerade).
    type: dict
{masquerade}
  networks:
    description:
      - The networks that pods get, each with the options of M(kubenode.network.cni_config).
      - A network that was in this list in an earlier run and is not in it now stays. Take it away with O(networks[].state=absent).
      - If not set and O(kubenet_bridge) is, V(10-kubenet.conflist) is written, a network named V(kubenet) that follows from that
        section alone, with host ports. An empty list means no network.
    type: list
    elements: dict
{networks}
  routes:
    description:
      - The routes to the pods of other nodes, with the options of M(kubenode.network.pod_routes).
    type: dict
{routes}
  boot_service:
    description:
      - What brings the node's pod network back at every boot, with the options of M(kubenode.network.boot_service).
    type: dict
{boot_service}
  force:
    description:
      - Whether to go on where running pods would be cut off, for all of O(networks) and the default one. See O(networks[].force).
    type: bool
    default: false
"""


def _suboptions(text: str, path: str) -> str:
    """The options of a section as those of an option ``path``, to which references from one to another lead then."""
    own = re.sub(r"\bO\((?!kubenode\.)", f"O({path}.", text.strip())
    return textwrap.indent(own.replace("options:", "suboptions:", 1), "    ")


class ModuleDocFragment:
    """``extends_documentation_fragment: [kubenode.network._sections.<section>, kubenode.network._sections.document]``.

    One text per section of the node's document, for the module of that name and as suboptions of node_network. Inside of
    a text, O(name) is an option of the same section.
    """

    CNI_PLUGINS = r"""
options:
  src:
    description:
      - The binaries to install. A folder that holds them, or a tar archive (V(.tar), V(.tgz), V(.tar.gz), V(.tar.xz)) with them at its
        top, as the releases of C(containernetworking/plugins) are, by its path or by its URL (V(http://) or V(https://)).
      - A path is one on the controller, where it is looked for like the C(src) of M(ansible.builtin.unarchive), or on the node with
        O(remote_src=true). Debian's package C(containernetworking-plugins) has the binaries in V(/usr/lib/cni).
      - V({arch}) in it stands for the node's architecture as the releases spell it (V(amd64), V(arm64), V(arm), V(ppc64le), V(s390x),
        V(riscv64), V(mips64le)), and V({version}) for O(version) as it is written. So one value serves all nodes.
      - Only reference plugins are taken. Any other file in the source is left there. A binary that is made for another architecture than
        the node's is refused.
      - User and password in a URL are sent to that host alone, not to where it redirects, and are not shown in messages.
      - One of O(src) and O(package) is required with O(state=present).
    type: path
  remote_src:
    description:
      - Whether O(src) is on the node already, or is downloaded by the node.
      - If V(false), the source is read or downloaded on the controller. Only binaries that the node does not have yet are transferred.
      - A download uses the proxies that the environment of the node or the controller names (C(http_proxy), C(https_proxy), C(no_proxy)).
    type: bool
    default: false
  checksum:
    description:
      - The checksum of the archive O(src), V(sha256:) or V(sha512:) and the hexadecimal digits. Or the URL or path of a file that holds it,
        as C(sha256sum) writes it and the releases have it beside each archive. V({arch}) and V({version}) stand for the same as in O(src).
      - A file of checksums must hold one line with the name of this archive. Its path is one on the machine that reads the archive.
      - Required for an archive, which is neither unpacked nor looked into before its checksum was found right. Not accepted for
        a folder.
      - An archive by a URL is not downloaded when the node has its binaries already, from this archive by its checksum.
    type: str
  version:
    description:
      - The release of the plugins, such as V(v1.9.1), for V({version}) in O(src) and O(checksum).
      - Refused when a binary says that it is of another release. Those of distributions mostly say none.
    type: str
  package:
    description:
      - The package of the node's distribution that has the plugins, in place of O(src). V(auto) is C(containernetworking-plugins) on
        Debian, Ubuntu, Fedora and their like, and C(cni-plugins) on openSUSE, Alpine and Arch. V(kubernetes-cni) is Kubernetes' own,
        from its repository at C(pkgs.k8s.io), which has to be configured. No other name is accepted.
      - Installed with apt-get, dnf, yum, zypper, apk or pacman when it is missing. It is neither updated nor, by O(state=absent),
        removed when it was there before or when another package needs it.
      - Where O(bin_dir) is not the folder of the package, each plugin is a symbolic link there, so that updates of the package reach pods.
      - Lists of packages are not renewed by the module. In check mode the package is downloaded, but not installed.
      - With V(kubernetes-cni), a repository at an address that Kubernetes has given up, such as C(yum.kubernetes.io), is refused.
    type: str
  bin_dir:
    description:
      - The folder into which the binaries go.
      - If not set, the first folder in which the node's container runtime looks for them, by its configuration. That is
        V(/opt/cni/bin) unless the configuration of containerd or CRI-O says something else.
      - A folder in which the configured runtime does not look is accepted with a warning.
    type: path
  plugins:
    description:
      - The plugins to install. If not set, all reference plugins that O(src) or O(package) holds.
      - Not accepted for a O(package) that has O(bin_dir) for its own folder.
      - An installed plugin that is taken off this list is removed, or given back as it was found.
    type: list
    elements: str
  owner:
    description:
      - The user that owns the binaries and O(bin_dir), by name or number. The group of what is there already stays then.
      - If not set, both belong to root and its group. Whoever else owns them can run programs as root on the node.
      - For installers that own them otherwise, such as kubespray (C(cni_bin_owner)), and would change it back.
      - Not accepted with O(package).
    type: str
  manifest:
    description:
      - The SHA-256 of each binary by the plugin's name. Set by the action plugin, which has read the source on the controller.
        Not for use in tasks.
      - Without O(src), the module only says which of these binaries the node does not have.
    type: dict
  verify:
    description:
      - Whether every binary is read in full and hashed, whatever is known of it.
      - If V(false), a binary counts as unchanged when its device, inode, size, modification and change time (C(ctime)) are those that it
        had when it was last hashed on this node since the node's boot. A change of a byte gives a file a new change time, which no
        program can set back. What a failing disk makes of a file is found with V(true) alone.
    type: bool
    default: false
  state:
    description:
      - V(present) installs the binaries, V(absent) takes away those that were installed into O(bin_dir).
    type: str
    choices: [present, absent]
    default: present
"""

    CNI_CONFIG = r"""
options:
  name:
    description:
      - The name of the network. Letters, digits, V(_), V(.) and V(-), the first a letter or digit.
      - Addresses that host-local gave out are remembered by this name, so keep it while pods run.
    type: str
    required: true
  priority:
    description:
      - The number at the start of the file's name, from V(0) to V(99). Runtimes take the first file in the order of names.
    type: int
    default: 10
  filename:
    description:
      - The name of the file, in place of the one made of O(priority) and O(name), such as V(10-mynet.conflist).
      - A name that ends in V(.conf) asks for a single configuration, which holds exactly one plugin. As long as M(kubenode.network.portmap)
        or M(kubenode.network.bandwidth) adds an entry to it, the file is a list whose name ends in V(.conflist).
      - Somebody else's file of this name becomes the network's, and comes back with O(state=absent) as it was found. Entries that those
        two modules set for a network of the same name come along, and what comes back is the file from before them.
    type: str
  cni_version:
    description:
      - The version of the CNI specification that runtime and plugins speak. This is not the release of the plugins.
      - V(auto) is the highest version that every plugin of O(plugins), those for C(ipam) included, and the node's container runtime
        support. Each installed binary is asked for it. Without a runtime on the node it is V(1.0.0) at most, which all of today's speak.
      - A version that one of them does not support is refused.
    type: str
    default: auto
  plugins:
    description:
      - The plugins of the network, in order, with the keys that the CNI specification and each plugin define.
      - Keys, types and values of the reference plugins are checked. Unknown keys, which CNI itself would ignore, are refused.
        Plugins of other types may have any keys.
      - A key that the installed release of its plugin does not know is refused, too. The release is told from the binary itself,
        also where the distribution has left its number out. What cannot be told passes.
      - The binary of every plugin, including those for C(ipam), must be installed.
      - In M(kubenode.network.node_network), an entry of type V(bridge) for the node's C(kubenet_bridge) takes over from that section
        what it does not say itself, namely C(mtu), C(hairpinMode), C(promiscMode), C(isGateway), C(ipMasq), and the C(ranges) and
        C(routes) of C(ipam). An entry that says something else is refused.
      - Required with O(state=present).
    type: list
    elements: dict
  loopback:
    description:
      - Whether to keep a valid V(99-loopback.conf) behind the network's file. No runtime of today needs it, only the binary.
      - It is written after the network's file and removed before it. A valid one that somebody else wrote is left as it is.
      - Refused where that file would be the first, because runtimes would then take it for the pod network.
    type: bool
    default: false
  mode:
    description:
      - The mode of the files, V(0644) or V(0600), as text. Owner and group are root.
    type: str
    default: "0644"
  foreign:
    description:
      - What to do with files of others in O(conf_dir) that are in the way. These are files that sort before this one, since runtimes use
        the first; files of the same name in another extension; and the default networks that packages of podman, CRI-O and containerd
        bring along.
      - V(report) leaves them and warns of those that do harm as things are.
      - V(disable) renames them to a name with C(.kubenode-disabled) behind, which no runtime reads. They are brought back with
        O(state=absent), and when this option changes. One that a package brings again is renamed again in the next run.
      - V(refuse) fails before anything is changed.
      - Files of Multus and Cilium may come first, because they are meant to.
    type: str
    choices: [report, disable, refuse]
    default: report
  force:
    description:
      - Whether to go on where running pods would be cut off, because their network goes, gets another name or subnet, or loses a plugin
        that has something to clean up for them. Runtimes stop a pod with the configuration of today, not with that of its start.
      - Without it such a change is refused while there are addresses given away or attachments remembered in the network. Changes
        that are safe, such as another MTU or one more plugin, go through.
      - With it a warning names these pods.
    type: bool
    default: false
  conf_dir:
    description:
      - The folder of the file. Made if it is missing, never removed.
      - If not set, the folder that the node's container runtime reads, by its configuration. That is V(/etc/cni/net.d) unless the
        configuration of containerd or CRI-O says something else.
    type: path
  bin_dirs:
    description:
      - The folders in which the binaries of O(plugins) are looked for.
      - If not set, the folders in which the node's container runtime looks, by its configuration.
    type: list
    elements: path
  state:
    description:
      - V(present) writes the network, V(absent) takes away the one of this name.
    type: str
    choices: [present, absent]
    default: present
"""

    # The options that the modules of all chained plugins have: which list gets the entry, and where.
    CHAINED = r"""
options:
  network:
    description:
      - The name of the network whose list gets the entry, as in the C(name) of its file.
      - It may be one that M(kubenode.network.cni_config) or M(kubenode.network.node_network) wrote, or somebody else's in O(conf_dir).
        Everything else in that file stays as it is, character by character.
      - A single configuration (V(.conf) or V(.json)), which cannot hold a second plugin, becomes a list (V(.conflist)) that says the same.
        The new file is complete before the old one goes. When the last entry that this collection put into it goes, the single
        configuration comes back as it was, with what others changed meanwhile. If they added what only a list can hold, it stays a list.
      - One of O(network) and O(filename) is required. They are mutually exclusive.
    type: str
  filename:
    description:
      - The file in O(conf_dir) of the network whose list gets the entry, for example V(10-calico.conflist). The name of a single
        configuration stays valid when it became a list.
    type: str
  conf_dir:
    description:
      - The folder of the network's file. If not set, the folder that the node's container runtime reads.
    type: path
  bin_dirs:
    description:
      - The folders in which the binary of the plugin is looked for. If not set, those in which the node's container runtime looks.
    type: list
    elements: path
  force:
    description:
      - Whether to go on where running pods have something that only this plugin takes away when they stop, such as their host ports.
        Without it, O(state=absent) is refused while there are addresses given away or attachments remembered in the network. With it a
        warning names these pods.
    type: bool
    default: false
  state:
    description:
      - V(present) sees to it that the network's list has one entry of the plugin, with the capability (C(portMappings) or C(bandwidth))
        without which the plugin does nothing. An entry that is there keeps its place and the keys that no option sets. A new one comes
        behind all other plugins, except those that must stay last (C(cilium-cni), C(istio-cni), C(linkerd-cni)).
      - V(absent) takes every entry of the plugin out of the list, whoever put it there, and nothing else.
    type: str
    choices: [present, absent]
    default: present
"""

    PORTMAP = r"""
options:
  snat:
    description:
      - Whether a pod reaches its own host port, and the node reaches host ports on V(127.0.0.1). The plugin does both unless told not to.
    type: bool
  masq_all:
    description:
      - Whether all traffic to host ports is masqueraded, which hides the client's address from the pod.
      - Needs plugins of release 1.2.0 or later. Refused with an older one.
    type: bool
  mark_masq_bit:
    description:
      - The bit of the packet mark, from V(0) to V(31), that asks for masquerading. The plugin uses V(13) unless told otherwise.
        Kubernetes itself uses V(14) and V(15).
      - Mutually exclusive with O(external_set_mark_chain).
    type: int
  external_set_mark_chain:
    description:
      - A chain of the iptables table C(nat) that marks packets for masquerading, such as V(KUBE-MARK-MASQ), in place of the plugin's own.
      - It must exist before the first pod starts.
    type: str
  conditions_v4:
    description:
      - Further arguments for each rule that forwards an IPv4 host port, in the syntax of the backend, for example
        V(["!", "-s", "192.0.2.0/24"]).
    type: list
    elements: str
  conditions_v6:
    description:
      - The same as O(conditions_v4), for IPv6.
    type: list
    elements: str
  backend:
    description:
      - The firewall in which the plugin writes its rules. Needs plugins of release 1.6.0 or later, and
        V(nftables) of 1.9.0 or later, because the releases before capture traffic that is forwarded to other hosts (CVE-2025-67499).
      - An older release is refused. A warning tells if the release is not known.
      - If not set, the plugin takes iptables where it can.
    type: str
    choices: [iptables, nftables]
"""

    BANDWIDTH = r"""
options:
  ingress_rate:
    description:
      - How much a pod may receive, in bits per second. A whole number, which may end in V(K), V(M) or V(G) for thousands, millions or
        thousands of millions, as in V(10M). V(0) is no limit.
      - If neither this nor O(egress_rate) is set, each pod has the limits that its annotations C(kubernetes.io/ingress-bandwidth) and
        C(kubernetes.io/egress-bandwidth) name, if any. The rates set here are those of every pod of the network, whatever its annotations say.
    type: str
  ingress_burst:
    description:
      - How much a pod may receive at once before O(ingress_rate) holds, in bits, written like that.
      - If not set beside O(ingress_rate), a tenth of a second's worth, and at least 64 KiB (V(524288)), which is what a host hands over
        at once.
      - It must be less than 4 GiB. A burst that is a small part of a second's worth lets little more than the rate through from the start.
      - With the limits of annotations, runtimes pass the largest burst, so that the first hundreds of megabytes are not slowed down at all.
    type: str
  egress_rate:
    description:
      - How much a pod may send, in bits per second, written like O(ingress_rate).
    type: str
  egress_burst:
    description:
      - How much a pod may send at once before O(egress_rate) holds, in bits, written like O(ingress_rate).
      - If not set beside O(egress_rate), as for O(ingress_burst).
    type: str
"""

    KUBENET_BRIDGE = r"""
options:
  name:
    description:
      - The name of the bridge, at most 15 characters.
    type: str
    default: cbr0
  pod_cidrs:
    description:
      - The ranges of the node's pods. One, or one of each family; the first is the primary.
      - The bridge has the first host address of each range as the pods' gateway.
      - Required with O(state=present). See M(kubenode.network.pod_cidr) for ranges out of a cluster's.
    type: list
    elements: str
  mtu:
    description:
      - The MTU of the bridge and of the pods on it, in bytes, or V(auto). A number is taken as it is.
      - V(auto) is what O(mtu_from) finds, less O(mtu_overhead). Where nothing is found, it is V(1460) less the overhead, with a warning.
      - Pods keep the MTU that they were started with. While there are pods with a smaller one on the bridge, the bridge has no more than
        they do, because larger packets to them would vanish. A warning and the result name these pods. A run after the last of them has
        left raises it. New pods get the new MTU from the start. Until then, packets of one pod to another on the same bridge that are
        larger than the receiver's MTU are lost, as on any bridge.
    type: str
    default: auto
  mtu_from:
    description:
      - Where V(auto) looks. V(smallest) is the smallest MTU of the node's normal interfaces. They are up, have a carrier, are neither
        loopback nor point-to-point, nor this bridge or its ports. Other bridges, their ports, veth links, C(ifb) and C(dummy) count
        only if a default route leaves by them, and a veth that is no port if any route by it has a next hop.
      - V(default_route) is the smallest of the interfaces by which a default route leaves.
      - An interface with less than 576 or more than 65535 is left out, and one with less than 1280 is taken. A warning names both.
      - Has no use, and is refused, beside an O(mtu) that is a number.
    type: str
    choices: [smallest, default_route]
    default: smallest
  mtu_overhead:
    description:
      - What V(auto) leaves free for the headers of a tunnel between the nodes. A number of bytes, a header with what it goes over
        (V(vxlan/ipv4), V(vxlan/ipv6), V(geneve/ipv4), V(geneve/ipv6), V(ipip), V(gre), V(wireguard/ipv4), V(wireguard/ipv6)), or a
        provider and its mode, such as V(calico/vxlan) or V(flannel/ipsec). The latter is what that provider takes off itself, over IPv4
        unless V(/ipv6) is added, as in V(calico/vxlan/ipv6).
      - IPsec alone has no fixed size. Kubernetes' manual takes 128 bytes off for it, 8873 out of 9001.
      - Refused beside an O(mtu) that is a number.
    type: str
  hairpin_mode:
    description:
      - How a pod reaches itself by the address of its service.
      - V(hairpin-veth) lets the ports of the bridge send packets back where they came from, those of running pods too.
        V(promiscuous-bridge) puts the bridge into promiscuous mode, with rules that drop the second copy of what it then hands to
        services, where bridge-nf is on. They are in nftables or, where nft is not installed or has no JSON, in ebtables. V(none) does neither, and
        turns off again what V(hairpin-veth) turned on.
      - With V(promiscuous-bridge) a pod does not reach itself through a service on kernels of today.
    type: str
    choices: [hairpin-veth, promiscuous-bridge, none]
    default: hairpin-veth
  txqueuelen:
    description:
      - The length of the bridge's transmit queue in packets. A shaper on a bridge with V(0) would drop everything, so that is not accepted.
    type: int
    default: 1000
  unmanaged:
    description:
      - Whether the network managers that are on the node are told to leave the bridge and the host's ends of pods' links alone.
        They would take addresses and routes away from them, and change their MAC addresses.
      - There is a file for each of NetworkManager, systemd-networkd and udev, where it is installed. One that runs reads it at once.
    type: bool
    default: true
  force:
    description:
      - Whether O(state=absent) takes a bridge away from pods that are on it. A warning names them. Without it, that is refused.
      - In M(kubenode.network.node_network), also true if its own O(kubenode.network.node_network#module:force) is.
    type: bool
    default: false
  state:
    description:
      - V(present) makes the bridge, or makes the one that is there so, without ever taking it away from the pods on it. When O(pod_cidrs)
        change, the addresses are replaced, and a warning names the pods that still have one of the old range.
      - V(absent) takes it away. Refused while it has ports, because these are running pods, unless O(force=true).
    type: str
    choices: [present, absent]
    default: present
"""

    MASQUERADE = r"""
options:
  pod_cidrs:
    description:
      - The ranges of the node's pods. One, or one of each family. Only packets from these are looked at.
      - In M(kubenode.network.node_network), those of C(kubenet_bridge) if not set.
      - Required with O(state=present).
    type: list
    elements: str
  non_masquerade_cidrs:
    description:
      - Destinations that see the address of the pod itself, because they know the way back to it.
      - Everything else sees the address of the node. The pods' own ranges, O(cluster_cidrs), O(node_cidrs), link-local and multicast
        destinations are never masqueraded.
      - The word V(ip-masq-agent) in the list stands for what C(ip-masq-agent) excepts without a configuration, V(10.0.0.0/8),
        V(172.16.0.0/12) and V(192.168.0.0/16).
      - Required unless O(cluster_cidrs) is given. With an empty list, everything outside of the pods' own ranges is masqueraded.
    type: list
    elements: str
  cluster_cidrs:
    description:
      - The ranges of all pods of the cluster. Added to O(non_masquerade_cidrs).
    type: list
    elements: str
  node_cidrs:
    description:
      - The addresses of the cluster's nodes, each alone or with a prefix length, or the networks they are in. Added to
        O(non_masquerade_cidrs), because between pods and nodes Kubernetes expects no other addresses than their own.
      - The roles P(kubenode.network.node_network#role) and P(kubenode.network.kubenet#role) fill it from the inventory.
    type: list
    elements: str
  backend:
    description:
      - Where the rules are. V(nftables) is a table of their own in nftables, V(iptables) a chain of their own in the variant of iptables
        that the node's command C(iptables) is, and V(iptables-nft) and V(iptables-legacy) are the variants by name.
      - V(auto) is what kube-proxy and the CNI plugins of the node use. Where there is nothing of them yet, it is V(iptables) if that is
        installed, else V(nftables). It stays what it was as long as it can be used and nothing speaks for another one, such as rules of
        others in that one alone, or another variant by the name of C(iptables). RV(masquerade.because) says what decided.
      - When it changes, the new rules are there before the old ones go, so that no packet leaves with the address of a pod.
    type: str
    choices: [auto, iptables, iptables-nft, iptables-legacy, nftables]
    default: auto
  adopt:
    description:
      - >-
        Whose rules are taken over. V(kubenet) are those with the comment C(kubenet: SNAT for outbound traffic from cluster), which an old
        kubelet left in either variant of iptables, several of them if its C(--non-masquerade-cidr) was changed. They go when ours are
        there, and are given back to their place with O(state=absent), or when they are no longer to be taken over.
      - Otherwise they stay and are named in a warning. As long as they are there, they masquerade what O(non_masquerade_cidrs) excepts.
    type: list
    elements: str
    choices: [kubenet]
    default: []
  accept_forwarded:
    description:
      - Whether packets from and to the pods' ranges are accepted where hosts drop what they forward, as Docker, ufw and firewalld make them.
      - The rules are in a chain of their own, V(KUBENODE-FORWARD), at the end of C(FORWARD), or before a rule there that drops everything.
        They are in O(backend) if that is a variant of iptables, and in each variant whose policy is to drop. The policy stays what it is.
      - What a table of nftables drops, such as that of firewalld, cannot be accepted in another table. A warning names it.
    type: bool
    default: false
  state:
    description:
      - V(present) writes the rules, into a chain or table of their own for each family. V(absent) takes them away.
    type: str
    choices: [present, absent]
    default: present
"""

    SYSCTL_BRIDGE_NF = r"""
options:
  bridge_nf:
    description:
      - Whether packets that cross a Linux bridge shall pass the firewall, as services need it for two pods on one node.
      - With V(auto), yes if the node's pods are on a Linux bridge. That is decided by the first of these that tells. O(bridges). In
        M(kubenode.network.node_network), C(kubenet_bridge). The networks that pods get from the CNI files, with those of the same run.
        O(provider). Where nothing tells, yes, as the kubelet had it without a network plugin. The result says what was decided, and why.
      - V(enabled) loads the kernel module C(br_netfilter) and sets the parameters below.
      - V(unmanaged), and V(auto) on a node without a Linux bridge for pods, leaves them alone. Those that an earlier run set get the
        values that were found.
    type: str
    choices: [auto, enabled, unmanaged]
    default: auto
  provider:
    description:
      - The network system that is to come, where the node has no network yet, or one with a plugin that is not known.
      - C(exec), C(ipvs), C(kuryr-kubernetes) and C(multus) tell nothing, for it depends on what they are combined with.
    type: str
    choices:
      - antrea
      - aws-vpc-cni
      - azure-cni
      - calico
      - canal
      - cilium
      - cni-bridge
      - contiv
      - contiv-vpp
      - exec
      - flannel
      - host-network
      - ipvs
      - kindnet
      - kindnet-kind
      - kope-routing
      - kube-ovn
      - kube-router
      - kubenet
      - kuryr-kubernetes
      - midonet
      - multus
      - noop
      - opencontrail
      - openshift-sdn
      - ovn-kubernetes
      - romana
      - weave
  bridges:
    description:
      - The bridges of the node's pods, such as V(cbr0), if packets that cross any other bridge, such as those of Docker or libvirt, shall
        not pass the firewall. These bridges get their own switches (C(nf_call_iptables) and so on), and the parameters for all bridges
        are V(0).
      - A bridge that comes later, as with the first pod, or anew, is switched by udev. On a node without udev a warning says so.
      - Some installers and controllers look at the parameters for all bridges, and refuse V(0) or set V(1). They need this not set.
      - If not set, the parameters hold for all bridges of the node, as kubenet had it.
    type: list
    elements: str
  bridge_nf_call_iptables:
    description:
      - Whether IPv4 packets that cross a bridge pass iptables. It counts where O(bridge_nf) is V(enabled), or V(auto) comes to that.
    type: bool
    default: true
  bridge_nf_call_ip6tables:
    description:
      - The same for IPv6 packets and ip6tables.
    type: bool
    default: true
  bridge_nf_call_arptables:
    description:
      - The same for ARP packets and arptables.
    type: bool
    default: true
  forwarding:
    description:
      - The families for which the node forwards packets. Forwarding of any other family is not managed.
      - With V(ipv6), each interface that learned its default route from router advertisements gets C(accept_ra) V(2) first, because
        the kernel drops that route otherwise.
      - If not set, V(ipv4). In M(kubenode.network.node_network), the families of the pod CIDRs of C(kubenet_bridge).
    type: list
    elements: str
    choices: [ipv4, ipv6]
  state:
    description:
      - V(present) sets the parameters now and keeps them in V(/etc/sysctl.d/99-kubenode-network.conf) for the next boot. The kernel
        module C(br_netfilter) is loaded, and named in V(/etc/modules-load.d/kubenode-network.conf). Where udev runs, the rules in
        V(/etc/udev/rules.d/99-kubenode-network.rules) set the parameters again when that module is loaded later than they are.
      - A line in a file of others that would undo a value at the next boot is a warning with its place, and stays. So is one in
        C(modprobe.d) that keeps the module from being loaded.
      - V(absent) takes the files away and gives every parameter the value that was found. The kernel module stays loaded.
    type: str
    choices: [present, absent]
    default: present
"""

    ROUTES = r"""
options:
  peers:
    description:
      - The nodes of the site, each with C(pod_cidrs), the ranges of its pods, and C(addresses), by which the other nodes reach it. As
        M(kubenode.network.pod_cidr) returns them, once for all nodes.
      - For each range of each node but this one, there is a route by the first of the node's addresses of the same family that is
        on-link here, which is in a network that this node is connected to by a link that is up, and not by the bridge of its pods.
      - Refused where there is none. The route then belongs into the router in between, and the message says which one.
        The playbook C(kubenode.network.export_routes) prints it for several kinds of routers.
      - A node without ranges has none yet, and gets no route. What is not in O(peers) any more loses its routes.
      - For a large cluster, the text that the filter P(kubenode.network.pack_peers#filter) makes of it, once for all nodes. It is a
        tenth as long, and Ansible looks at each value of a dictionary again for each node, which takes seconds for thousands.
      - Required with O(state=present). An empty dictionary means no route.
    type: raw
  node:
    description:
      - The name of this node in O(peers), which has no route to its own pods.
    type: str
  state:
    description:
      - V(present) makes the routes, all at once, in the main table and with a protocol of their own (V(107), which C(ip route) shows as
        V(kubenode)). A route of this protocol that is not wanted is taken away.
      - A route of others is never touched. Where one has the same prefix, the run is refused, with the route in the message.
      - So that systemd-networkd leaves the routes alone, V(/etc/systemd/networkd.conf.d/90-kubenode-network.conf) tells it so, where it
        is installed. It reads that when it starts.
      - The unit V(kubenode-network-routes.service) runs the program of M(kubenode.network.boot_service). It makes the routes at boot,
        as soon as their links are there, and brings them back when a link went down or a network manager set it up anew. On a
        node without systemd, its init has to run C(kubenode-network watch).
      - V(absent) takes all of it away.
    type: str
    choices: [present, absent]
    default: present
"""

    BOOT_SERVICE = r"""
options:
  python:
    description:
      - The interpreter on the node that runs the program, of release 3.9 or newer.
      - If not set, V(/usr/bin/python3), or where that is not there or too old, the one that runs the module.
    type: path
  program:
    description:
      - Where the program is on the node. Set by the action plugin, which brings it.
    type: path
  checksum:
    description:
      - The SHA-256 of the program. Set by the action plugin, which makes it of this collection and of the pyroute2 of the controller.
    type: str
  state:
    description:
      - V(present) installs the program as V(/usr/local/sbin/kubenode-network), or upgrades it, and on a node with systemd enables the unit
        V(kubenode-network.service). It is not started, because the network is there already.
      - V(absent) takes both away. What the document names stays as it is until the next boot.
    type: str
    choices: [present, absent]
    default: present
"""

    # With its type, for ansible-test's yamllint takes whatever is assigned without one for a literal.
    NODE_NETWORK: str = _NODE_NETWORK.format(
        cni_plugins=_suboptions(CNI_PLUGINS, "cni_plugins"),
        sysctl_bridge_nf=_suboptions(SYSCTL_BRIDGE_NF, "sysctl_bridge_nf"),
        kubenet_bridge=_suboptions(KUBENET_BRIDGE, "kubenet_bridge"),
        masquerade=_suboptions(MASQUERADE, "masquerade"),
        networks=_suboptions(CNI_CONFIG, "networks[]"),
        routes=_suboptions(ROUTES, "routes"),
        boot_service=_suboptions(BOOT_SERVICE, "boot_service"),
    )

    # What holds for every module that changes a node.
    DOCUMENT = r"""
options:
  confirm_timeout:
    description:
      - If given, the node takes the whole change back by itself after so many seconds, unless it was confirmed by then with
        M(kubenode.network.checkpoint), over a connection that was opened after the change. For changes that may cut the controller off.
      - What takes it back is started on the node before anything is changed. It outlives the connection and, where systemd is, a reboot,
        which takes an unconfirmed change back at once.
      - Until then, other runs on this node wait, or fail by O(lock_timeout).
      - A run that changes nothing has nothing to be confirmed.
    type: int
  lock_timeout:
    description:
      - How many seconds to wait while another run changes this node, or a change of it is not confirmed yet. V(0) fails at once.
    type: int
    default: 60
requirements:
  - Python >= 3.9 (on the node)
notes:
  - Everything that is wrong with the options is found before anything is changed, and reported together. When a change fails, those
    before it are undone, and the message says whether that worked.
  - Before the first change, what would undo it is written to C(/var/lib/kubenode-network/journal.json). When a run is killed, or the node
    loses its power, the next run (of any module, of the boot service, or of C(kubenode-network apply)) undoes what was done, or
    finishes a run whose document was written already, and says so in a warning.
  - What the collection makes on a node is written down in V(/etc/kubenode-network/node.json), as the last step of the same run.
    For each object this document has whether it was created or adopted, and for an adopted one the state in which it was found.
    It has a checksum; a document that was damaged, or edited by hand, is refused before anything is changed.
  - Removal takes away what was created, and gives what was adopted the state in which it was found, unless C(state) says otherwise.
    Contents of files that were found are kept for that in V(/var/lib/kubenode-network/found). What the document does not name is left
    alone.
"""

    CONTROLLER_PROGRAM = r"""
options: {}
attributes:
  action:
    description: Has an action plugin, so that a part of the work is done on the controller.
    support: full
  async:
    description: Can run with C(async).
    support: none
    details:
      - The program is put together on the controller, and transferred to a node that does not have it.
"""

    # For modules that run by an action plugin of their own.
    CONTROLLER_SOURCE = r"""
options: {}
attributes:
  action:
    description: Has an action plugin, so that a part of the work is done on the controller.
    support: full
  async:
    description: Can run with C(async).
    support: none
    details:
      - A source on the controller is read, or downloaded, and its binaries are transferred, before the module runs on the node.
"""

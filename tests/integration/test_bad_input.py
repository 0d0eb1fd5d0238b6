# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bad input fails with one clear message, and the node is untouched.

The cases are held against the argument specs: an option without a case fails test_every_option_has_a_case.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import io
import tarfile

import pytest
from ansible_collections.kubenode.network.plugins.module_utils import _leases
from ansible_collections.kubenode.network.plugins.module_utils._info import module as info
from ansible_collections.kubenode.network.plugins.module_utils._node import argument_spec
from ansible_collections.kubenode.network.plugins.module_utils._sections import (
    bandwidth,
    boot_service,
    cni_plugins,
    kubenet_bridge,
    masquerade,
    networks,
    portmap,
    routes,
    sysctl_bridge_nf,
)
from testbed import Node, diff_dumps

BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": {"type": "host-local", "subnet": "10.244.0.0/16"}}
SPECS = {
    "cni_plugins": cni_plugins.OPTIONS,
    "cni_config": networks.OPTIONS,
    "portmap": portmap.OPTIONS,
    "bandwidth": bandwidth.OPTIONS,
    "kubenet_bridge": kubenet_bridge.OPTIONS,
    "masquerade": masquerade.OPTIONS,
    "sysctl_bridge_nf": sysctl_bridge_nf.OPTIONS,
    "pod_routes": routes.OPTIONS,
    "boot_service": boot_service.OPTIONS,
    "node_network": argument_spec(),
    "host_local_lease": _leases.OPTIONS,
    "cni_info": info.OPTIONS,
}
GOOD = {
    "cni_plugins": {"src": "/usr/lib/cni", "remote_src": True},
    "cni_config": {"name": "mynet", "plugins": [BRIDGE]},
    "portmap": {"network": "there"},
    "bandwidth": {"network": "there", "ingress_rate": "1M", "ingress_burst": "1M"},
    "kubenet_bridge": {"pod_cidrs": ["10.244.1.0/24"]},
    "masquerade": {"pod_cidrs": ["10.244.1.0/24"], "non_masquerade_cidrs": []},
    "sysctl_bridge_nf": {},
    "pod_routes": {"node": "node-1", "peers": {"node-2": {"pod_cidrs": ["10.244.2.0/24"], "addresses": ["192.0.2.12"]}}},
    "boot_service": {"checksum": "0" * 64},
    "node_network": {
        "cni_plugins": {"src": "/usr/lib/cni", "remote_src": True},
        "sysctl_bridge_nf": {},
        "kubenet_bridge": {"pod_cidrs": ["10.244.1.0/24"]},
        "masquerade": {"non_masquerade_cidrs": []},
    },
    "host_local_lease": {"network": "ours", "sandboxes": []},
    "cni_info": {},
}


def bridge_with(**keys):
    return [{**BRIDGE, **keys}]


def ipam_with(**keys):
    return bridge_with(ipam={**BRIDGE["ipam"], **keys})


def peer_with(**keys):
    return {"peers": {"node-2": {**GOOD["pod_routes"]["peers"]["node-2"], **keys}}}


ARCHIVE = {"remote_src": True, "src": "/run/sources/plugins.tgz"}
#: What is wrong with the file of a chained plugin's network.
PLACES = [
    ({"filename": "10-x.conflist"}, "filename: '10-x.conflist' cannot be combined with network: 'there'"),
    ({"network": None, "filename": "../net.d/15-there.conflist"}, "filename: '../net.d/15-there.conflist' is not the name of a network's file"),
    ({"network": None, "filename": "10-x.conflist"}, "filename: /etc/cni/net.d/10-x.conflist is not there (expected one of"),
    ({"network": None, "filename": "30-broken.conflist"}, "filename: /etc/cni/net.d/30-broken.conflist is not a valid network: has no name"),
    ({"network": None, "filename": "60-nameless.conf"}, "filename: /etc/cni/net.d/60-nameless.conf has no usable name, '' (expected"),
]
#: module -> option -> (what replaces the good options, what the message must say)
CASES = {
    "cni_plugins": {
        "src": [
            ({"src": None}, "src: is required when state is present"),
            ({"src": "relative/path"}, "'relative/path' is not usable (expected an absolute path without ..)"),
            ({"src": "/usr/../etc"}, "'/usr/../etc' is not usable"),
            ({"src": "/nowhere"}, "src: '/nowhere' is not there on the node"),
            ({"src": "/etc"}, "src: '/etc' holds no CNI plugin binary"),
            ({"src": "/etc/passwd", "checksum": "sha256:PASSWD"}, "/etc/passwd is not a readable tar archive"),
            ({"src": "/run/sources/links"}, "'/run/sources/links/portmap' leads out of the folder, to '/etc/shadow'"),
            ({"src": "file:///usr/lib/cni"}, "src: 'file:///usr/lib/cni' is no address of the web (expected http:// or https://, or a path"),
            ({"src": "ftp://me:hidden@mirror.example/x.tgz"}, "src: 'ftp://mirror.example/x.tgz' is no address of the web"),
            ({"src": "https://mirror.example/"}, "src: 'https://mirror.example/' names no file"),
            ({"src": "https://mirror.example:x/y.tgz"}, "src: is not a URL (expected http:// or https://, a host, and %2F for a slash in a password"),
            ({"src": "https://mirror.example/{os}.tgz"}, "src: 'https://mirror.example/{os}.tgz' has '{os}' in it (expected no braces but {arch}"),
            ({"src": "https://yum.kubernetes.io/x.rpm"}, "Kubernetes' packages left yum.kubernetes.io (expected their successor https://pkgs.k8s.io/"),
            ({"src": "https://packages.cloud.google.com/yum/x.rpm"}, "Kubernetes' packages left packages.cloud.google.com"),
            ({"src": "https://mirror.example/x.tgz"}, "checksum: is required for the archive 'https://mirror.example/x.tgz'"),
            ({**ARCHIVE, "src": "/run/sources/evil.tgz", "checksum": "sha256:EVIL"}, "its entry '../bridge' leaves the folder"),
            ({**ARCHIVE, "src": "/run/sources/link.tgz", "checksum": "sha256:LINK"}, "its entry '/etc/passwd' leaves the folder"),
        ],
        "remote_src": [({"remote_src": False}, "remote_src: is false, but the source was not brought to the node")],
        "checksum": [
            ({"checksum": "md5:abc"}, "checksum: 'md5:abc' is not a checksum (expected sha256: and 64"),
            (ARCHIVE, "checksum: is required for the archive '/run/sources/plugins.tgz'"),
            ({**ARCHIVE, "checksum": "plugins.tgz.sha256"}, "checksum: 'plugins.tgz.sha256' is not usable (expected an absolute path"),
            ({**ARCHIVE, "checksum": "/run/sources/none"}, "checksum: '/run/sources/none' is not there (expected a file of checksums"),
            ({**ARCHIVE, "checksum": "/run/sources"}, "checksum: /run/sources cannot be read"),
            ({**ARCHIVE, "checksum": "/etc/hosts"}, "checksum: '/etc/hosts' has no checksum for 'plugins.tgz'"),
            ({**ARCHIVE, "checksum": "file:///x"}, "checksum: 'file:///x' is no address of the web"),
            ({**ARCHIVE, "checksum": "sha256:" + "0" * 64}, "(expected sha256:" + "0" * 64 + "); it was not unpacked"),
        ],
        "version": [
            ({"version": "newest"}, "version: 'newest' is not a release of the plugins (expected one like v1.9.1)"),
            ({"version": "1.9/../.."}, "version: '1.9/../..' is not a release of the plugins"),
            ({**ARCHIVE, "src": "/srv/{version}.tgz"}, "version: is required by {version} in src (expected one like v1.9.1)"),
        ],
        "package": [
            ({"package": "auto"}, "package: is given with src (expected one of the two)"),
            ({"package": "-o=x", "src": None}, "package: '-o=x' is not the name of a package (expected auto, or a name like kubernetes-cni)"),
            ({"package": "nginx", "src": None}, "package: 'nginx' is not known to have the plugins on debian (expected auto or containernetworking-plugins"),
        ],
        "bin_dir": [({"bin_dir": "opt"}, "bin_dir: 'opt' is not usable"), ({"bin_dir": "/opt/../x"}, "bin_dir: '/opt/../x' is not usable")],
        "plugins": [
            ({"plugins": ["bridgee"]}, "plugins[0]: 'bridgee' is not a reference plugin (expected some of bandwidth, bridge"),
            ({"plugins": ["bridge", "../x"]}, "plugins[1]: '../x' is not a reference plugin"),
            ({"plugins": ["tap"]}, "plugins[0]: 'tap' is not in /usr/lib/cni (expected some of bandwidth"),
        ],
        "owner": [
            ({"owner": "kube:kube"}, "owner: 'kube:kube' is not a user (expected a name, or a number up to 4294967294)"),
            ({"owner": ""}, "owner: '' is not a user"),
            ({"owner": "4294967295"}, "owner: '4294967295' is not a user"),
            ({"owner": "nobody-here"}, "owner: 'nobody-here' is no user of the node (expected the name of one, or a number)"),
            ({"owner": "root", "src": None, "package": "auto"}, "package: is given with owner (expected one of the two)"),
        ],
        "manifest": [({"manifest": {"bridge": "0" * 64}}, "did not arrive on the node as it was sent"),
                     ({"manifest": {"../x": "0" * 64}}, "manifest.../x: '../x' is not a reference plugin")],
        "verify": [({"verify": "perhaps"}, "argument 'verify' is of type str and we were unable to convert to bool")],
        "state": [({"state": "gone"}, "value of state must be one of: present, absent")],
    },
    "cni_config": {
        "name": [
            ({"name": "my net"}, "name: 'my net' is not a network name (expected letters"),
            ({"name": "../x"}, "name: '../x' is not a network name"),
            ({"name": ""}, "name: '' is not a network name"),
            ({"name": "n" * 230}, "name: "),
        ],
        "priority": [({"priority": 100}, "priority: 100 is out of range (expected 0 to 99)"), ({"priority": -1}, "priority: -1 is out of range")],
        "filename": [
            ({"filename": "../10-x.conflist"}, "filename: "),
            ({"filename": "a/b.conflist"}, "filename: "),
            ({"filename": "10-x.yaml"}, "filename: "),
            ({"filename": "05-ours.conflist"}, "filename: '05-ours.conflist' is the file of the network ours (expected another name"),
            ({"filename": "99-loopback.conf"}, "filename: '99-loopback.conf' is the name of the loopback file"),
        ],
        "foreign": [
            ({"foreign": "maybe"}, "value of foreign must be one of: report, disable, refuse"),
            ({"foreign": "refuse", "priority": 30}, "foreign: refuse, but in /etc/cni/net.d 15-there.conflist sorts before 30-mynet.conflist (expected that"),
            ({"foreign": "refuse", "priority": 30}, "foreign: refuse, but in /etc/cni/net.d 20-single.conf sorts before 30-mynet.conflist (expected that"),
        ],
        "force": [({"force": "perhaps"}, "argument 'force' is of type str and we were unable to convert to bool")],
        "cni_version": [
            ({"cni_version": "9.9.9"}, "cni_version: '9.9.9' is not a version of the CNI specification"),
            ({"cni_version": "1.0"}, "with three parts"),
            ({"cni_version": "1.1.0"}, "cni_version: '1.1.0' is not supported by the installed bridge (it supports 0.1.0"),
            ({"cni_version": "0.3.1", "plugins": [BRIDGE, {"type": "firewall"}]}, "plugins[1]"),
        ],
        "plugins": [
            ({"plugins": None}, "plugins: is required when state is present"),
            ({"plugins": []}, "plugins: is required when state is present"),
            ({"plugins": [{"bridge": "x"}]}, "plugins[0].type"),
            ({"plugins": [{**BRIDGE, "type": "bridgee"}]}, "plugins[0].type: 'bridgee' is not installed in /opt/cni/bin"),
            ({"plugins": [{**BRIDGE, "type": "a/b"}]}, "plugins[0].type"),
            ({"plugins": bridge_with(isGatway=True)}, "plugins[0].isGatway: 'isGatway' is not a key of bridge (expected isGateway?)"),
            ({"plugins": bridge_with(mtu=70000)}, "plugins[0].mtu: 70000"),
            ({"plugins": bridge_with(mtu="1500")}, "plugins[0].mtu: '1500'"),
            ({"plugins": bridge_with(hairpinMode=True, promiscMode=True)}, "hairpinMode"),
            ({"plugins": bridge_with(portIsolation=True)}, "plugins[0].portIsolation: true is not known to the installed bridge, release 1.1.0 or newer"),
            ({"plugins": bridge_with(bridge="a-name-that-is-too-long")}, "plugins[0].bridge"),
            ({"plugins": ipam_with(subnet="10.244.0.0/33")}, "plugins[0].ipam.subnet: '10.244.0.0/33' is not a CIDR"),
            ({"plugins": ipam_with(subnet="10.244.0.1/16")}, "plugins[0].ipam.subnet"),
            ({"plugins": ipam_with(subnet="10.244.0.0/31")}, "plugins[0].ipam.subnet"),
            ({"plugins": ipam_with(gateway="10.0.0.1")}, "plugins[0].ipam.gateway"),
            ({"plugins": ipam_with(ranges=[[{"subnet": "10.244.1.0/24"}], [{"subnet": "10.244.1.0/25"}]], subnet="10.9.0.0/16")}, "overlap"),
            ({"plugins": [{"type": "portmap"}]}, "plugins[0]"),
            ({"plugins": [BRIDGE, {"type": "tuning"}]}, "plugins[1].type: 'tuning' is not installed in /opt/cni/bin"),
            ({"filename": "10-mynet.conf", "plugins": [BRIDGE, {"type": "portmap"}]}, "plugins"),
        ],
        "loopback": [({"loopback": True, "priority": 99, "name": "z"}, "loopback: true would put 99-loopback.conf before 99-z.conflist")],
        "mode": [({"mode": "0666"}, "mode: '0666' is not a mode for a CNI file (expected '0644' or '0600'"), ({"mode": "rw"}, "mode: 'rw'")],
        "conf_dir": [({"conf_dir": "etc"}, "conf_dir: 'etc' is not usable"), ({"conf_dir": "/etc/../x"}, "conf_dir: '/etc/../x' is not usable")],
        "bin_dirs": [({"bin_dirs": ["bin"]}, "bin_dirs[0]: 'bin' is not usable"), ({"bin_dirs": ["/nowhere"]}, "'bridge' is not installed in /nowhere")],
        "state": [({"state": "gone"}, "value of state must be one of: present, absent")],
    },
    "portmap": {
        "network": [
            ({"network": "nowhere"}, "network: 'nowhere' is in no file of /etc/cni/net.d (expected one of"),
            ({"network": "a b"}, "network: 'a b' is not a network name"),
            ({"network": None}, "network: is required unless filename is given"),
            ({"network": "single"}, "/20-single.conf holds one plugin only, and /etc/cni/net.d/20-single.conflist, which it would become, is there"),
            ({"network": "twice"}, "network: /etc/cni/net.d/40-twice.conflist: an object in it has the key 'mtu' twice"),
            ({"network": "several"}, "network: 'several' in /etc/cni/net.d/45-several.conflist has several portmap entries"),
            ({"network": "chain", "mark_masq_bit": 3}, "mark_masq_bit: 'chain' in /etc/cni/net.d/50-chain.conflist: 3 cannot be combined"),
            ({"network": "marked", "external_set_mark_chain": "X"}, "external_set_mark_chain: 'marked' in /etc/cni/net.d/55-marked.conflist: markMasqBit: 14"),
        ],
        "force": [({"force": "perhaps"}, "argument 'force' is of type str and we were unable to convert to bool")],
        "filename": PLACES,
        "snat": [({"snat": "perhaps"}, "snat")],
        "masq_all": [
            ({"masq_all": "perhaps"}, "masq_all"),
            ({"masq_all": True}, "masq_all: true is not known to the installed portmap, release 1.0.0 or newer, before 1.2.0"),
        ],
        "mark_masq_bit": [({"mark_masq_bit": 32}, "mark_masq_bit: 32"), ({"mark_masq_bit": -1}, "mark_masq_bit: -1")],
        "external_set_mark_chain": [({"external_set_mark_chain": "KUBE-MARK-MASQ", "mark_masq_bit": 14}, "external_set_mark_chain")],
        "conditions_v4": [({"conditions_v4": ["! -s 192.0.2.0/24"]}, "conditions_v4[0]: '! -s 192.0.2.0/24' is not one word of an iptables rule")],
        "conditions_v6": [({"conditions_v6": ["-s", {"a": 1}]}, "conditions_v6[1]: \"{'a': 1}\" is not one word of an iptables rule")],
        "backend": [
            ({"backend": "ebtables"}, "value of backend must be one of: iptables, nftables"),
            ({"backend": "nftables"}, "backend: 'nftables' is not known to the installed portmap, release 1.0.0 or newer, before 1.2.0"),
        ],
        "conf_dir": [({"conf_dir": "etc"}, "conf_dir: 'etc' is not usable")],
        "bin_dirs": [({"bin_dirs": ["/nowhere"]}, "bin_dirs: 'portmap' is not installed in /nowhere")],
        "state": [({"state": "gone"}, "value of state must be one of: present, absent")],
    },
    "bandwidth": {
        "network": [
            ({"network": "nowhere"}, "network: 'nowhere' is in no file of /etc/cni/net.d (expected one of"),
            ({"network": "a b"}, "network: 'a b' is not a network name"),
            ({"network": "aged"}, "network: 'aged' in /etc/cni/net.d/35-aged.conflist: 'bandwidth' does not speak CNI 0.2.0 (expected a cniVersion of 0.3.0"),
            ({"network": "aged-ours"}, "network: the cniVersion of 'aged-ours', '0.2.0' is not supported by the installed bandwidth (it supports 0.3.0"),
        ],
        "force": [({"force": "perhaps"}, "argument 'force' is of type str and we were unable to convert to bool")],
        "filename": PLACES,
        "ingress_rate": [
            ({"ingress_rate": "fast"}, "ingress_rate: 'fast' is not a number of bits (expected a whole number such as 1000000, or 1M"),
            ({"ingress_rate": "4"}, "ingress_rate: 4 is out of range"),
            ({"ingress_rate": None}, "ingress_rate: null beside ingress_burst: 1000000 (expected both or neither)"),
        ],
        "ingress_burst": [({"ingress_burst": "40G"}, "ingress_burst: 40000000000 is out of range"), ({"ingress_burst": "7"}, "ingress_burst: 7 is out")],
        "egress_rate": [({"egress_rate": "7"}, "egress_rate: 7 is out of range"), ({"egress_rate": "-1"}, "egress_rate: '-1' is not")],
        "egress_burst": [({"egress_burst": "1M"}, "egress_rate: null beside egress_burst"), ({"egress_burst": "1MB"}, "egress_burst: '1MB' is not")],
        "conf_dir": [
            ({"conf_dir": "etc"}, "conf_dir: 'etc' is not usable"),
            ({"network": "ours", "conf_dir": "/etc/other"}, "conf_dir: '/etc/other' is not where this collection wrote 'ours' (expected /etc/cni/net.d)"),
        ],
        "bin_dirs": [({"bin_dirs": ["/nowhere"]}, "bin_dirs: 'bandwidth' is not installed in /nowhere")],
        "state": [({"state": "gone"}, "value of state must be one of: present, absent")],
    },
    "kubenet_bridge": {
        "name": [
            ({"name": "a-name-that-is-too-long"}, "name: 'a-name-that-is-too-long' is not an interface name"),
            ({"name": "a/b"}, "name: 'a/b' is not an interface name"),
            ({"name": "."}, "name: '.' is not an interface name"),
            ({"name": "default"}, "name: 'default' is not an interface name"),
            ({"name": "a\x01b"}, "is not an interface name"),
            ({"name": "eth0"}, "name: 'eth0' is already there as a link of kind veth (expected a bridge or a free name)"),
        ],
        "pod_cidrs": [
            ({"pod_cidrs": None}, "pod_cidrs: is required when state is present"),
            ({"pod_cidrs": ["10.244.1.0/33"]}, "pod_cidrs[0]: '10.244.1.0/33' is not a CIDR (expected e.g. "),
            ({"pod_cidrs": ["10.244.1.1/24"]}, "pod_cidrs[0]: '10.244.1.1/24' has host bits"),
            ({"pod_cidrs": ["10.244.1.0/31"]}, "pod_cidrs[0]: '10.244.1.0/31' has no room for a gateway and a pod"),
            ({"pod_cidrs": ["fd00::/127"]}, "has no room for a gateway and a pod"),
            ({"pod_cidrs": ["10.244.1.0/24", "10.244.2.0/24"]}, "is a second IPv4 CIDR"),
            ({"pod_cidrs": ["127.0.0.0/8"]}, "overlaps the loopback range"),
            ({"pod_cidrs": ["192.0.2.0/24"]}, "pod_cidrs[0]: 192.0.2.0/24 holds 192.0.2.10/24, the node's own address on eth0"),
            ({"pod_cidrs": ["203.0.113.0/24"]}, "203.0.113.0/24 is where this node has a route already: 203.0.113.0/24 via 192.0.2.1 dev eth0 proto boot"),
            ({"pod_cidrs": ["203.0.112.0/22"]}, "203.0.112.0/22 is where this node has a route already: 203.0.113.0/24 via 192.0.2.1 dev eth0 proto boot"),
            ({"pod_cidrs": ["198.18.0.0/15"]}, "(expected a range of its own for pods, or that route taken away)"),
        ],
        "mtu": [
            ({"mtu": "67"}, "mtu: '67' is not an MTU (expected auto or 68 to 65535)"),
            ({"mtu": "65536"}, "mtu: '65536' is not an MTU"),
            ({"mtu": "-5"}, "mtu: '-5' is not an MTU"),
            ({"mtu": "big"}, "mtu: 'big' is not an MTU"),
            ({"mtu": "1279", "pod_cidrs": ["fd00::/64"]}, "mtu: 1279 is too small for the IPv6 pod CIDR (expected at least 1280)"),
        ],
        "mtu_from": [
            ({"mtu_from": "largest"}, "value of mtu_from must be one of: smallest, default_route"),
            ({"mtu_from": "default_route", "mtu": "1400"}, "mtu_from: 'default_route' has no use beside an mtu that is told, 1400 (expected mtu: auto)"),
        ],
        "mtu_overhead": [
            ({"mtu_overhead": "ipsec"}, "mtu_overhead: 'ipsec' has no size of its own, since ciphers differ (expected bytes, as 128 that make 8873"),
            ({"mtu_overhead": "vxlan"}, "mtu_overhead: 'vxlan' is not an overhead (expected bytes, one of vxlan/ipv4, vxlan/ipv6"),
            ({"mtu_overhead": "-20"}, "mtu_overhead: '-20' is not an overhead"),
            ({"mtu_overhead": "calico/ipip/ipv6"}, "mtu_overhead: 'calico/ipip/ipv6': calico does not use that mode over IPv6"),
            ({"mtu_overhead": "50", "mtu": "1400"}, "mtu_overhead: '50' would not be taken off an mtu that is told, 1400 (expected mtu: auto, or no overhead)"),
            ({"mtu_overhead": "1000"}, "mtu_overhead: '1000' leaves 450 of the 1450 of eth0, too small for pods (expected interfaces, or"),
        ],
        "txqueuelen": [
            ({"txqueuelen": 0}, "txqueuelen: 0 is out of range (expected 1 to 1000000 packets)"),
            ({"txqueuelen": -1}, "txqueuelen: -1 is out of range"),
            ({"txqueuelen": "many"}, "argument 'txqueuelen' is of type str and we were unable to convert to int"),
        ],
        "force": [({"force": "perhaps"}, "argument 'force' is of type str and we were unable to convert to bool")],
        "hairpin_mode": [({"hairpin_mode": "both"}, "value of hairpin_mode must be one of: hairpin-veth, promiscuous-bridge, none")],
        "unmanaged": [({"unmanaged": "perhaps"}, "argument 'unmanaged' is of type str and we were unable to convert to bool")],
        "state": [({"state": "gone"}, "value of state must be one of: present, absent")],
    },
    "masquerade": {
        "pod_cidrs": [
            ({"pod_cidrs": None}, "pod_cidrs: is required when state is present"),
            ({"pod_cidrs": ["10.244.1.5/24"]}, "pod_cidrs[0]: '10.244.1.5/24' has host bits"),
        ],
        "non_masquerade_cidrs": [
            ({"non_masquerade_cidrs": None}, "non_masquerade_cidrs: is required unless cluster_cidrs is given"),
            ({"non_masquerade_cidrs": ["::ffff:10.0.0.0/104"]}, "non_masquerade_cidrs[0]: '::ffff:10.0.0.0/104' is an IPv4 range written as IPv6"),
            ({"non_masquerade_cidrs": ["10.0.0.0/8", "x"]}, "non_masquerade_cidrs[1]: 'x' is not a CIDR"),
            ({"non_masquerade_cidrs": ["ip-masq-agents"]}, "non_masquerade_cidrs[0]: 'ip-masq-agents' is not a CIDR"),
        ],
        "cluster_cidrs": [
            ({"cluster_cidrs": ["10.0.0.1/8"]}, "cluster_cidrs[0]: '10.0.0.1/8' has host bits"),
            ({"cluster_cidrs": ["ip-masq-agent"]}, "cluster_cidrs[0]: 'ip-masq-agent' is not a CIDR"),
        ],
        "node_cidrs": [
            ({"node_cidrs": ["192.0.2.10", "node-2"]}, "node_cidrs[1]: 'node-2' is not a CIDR"),
            ({"node_cidrs": ["192.0.2.10", "192.0.2.10/32"]}, "node_cidrs[1]: '192.0.2.10/32' is given twice (expected only node_cidrs[0])"),
            ({"node_cidrs": ["192.0.2.010"]}, "node_cidrs[0]: '192.0.2.010' is not a CIDR"),
            ({"node_cidrs": ["fe80::1%eth0"]}, "node_cidrs[0]: 'fe80::1%eth0' is not a CIDR"),
        ],
        "backend": [({"backend": "ipfw"}, "value of backend must be one of: auto, iptables, iptables-nft, iptables-legacy, nftables")],
        "adopt": [({"adopt": ["flannel"]}, "value of adopt must be one or more of: kubenet. Got no match for: flannel")],
        "accept_forwarded": [({"accept_forwarded": "perhaps"}, "accept_forwarded")],
        "state": [({"state": "gone"}, "value of state must be one of: present, absent")],
    },
    "sysctl_bridge_nf": {
        "bridge_nf": [({"bridge_nf": "on"}, "value of bridge_nf must be one of: auto, enabled, unmanaged")],
        "provider": [({"provider": "Calico"}, "value of provider must be one of: antrea, aws-vpc-cni")],
        "bridges": [
            ({"bridges": []}, "bridges: is empty (expected names of bridges such as cbr0, or to leave it out)"),
            ({"bridges": ["cbr0", "br*", "cbr0"]},
             "bridges[1]: 'br*' is not a bridge's name (expected 1 to 15 letters, digits, _, . or -); bridges[2]: 'cbr0' is given twice"),
            ({"bridges": [".."]}, "bridges[0]: '..' is not a bridge's name"),
            ({"bridges": ["cbr0"], "bridge_nf": "unmanaged"}, "bridges: [\"cbr0\"] has no use with bridge_nf=unmanaged (expected one of the two)"),
            ({"bridges": ["cbr0", "eth0"]}, "bridges[1]: 'eth0' is there, but is no Linux bridge (expected a bridge, or a name that is free)"),
        ],
        "bridge_nf_call_iptables": [({"bridge_nf_call_iptables": "perhaps"}, "bridge_nf_call_iptables")],
        "bridge_nf_call_ip6tables": [({"bridge_nf_call_ip6tables": "perhaps"}, "bridge_nf_call_ip6tables")],
        "bridge_nf_call_arptables": [({"bridge_nf_call_arptables": "perhaps"}, "bridge_nf_call_arptables")],
        "forwarding": [({"forwarding": ["ipv5"]}, "value of forwarding must be one or more of: ipv4, ipv6")],
        "state": [({"state": "gone"}, "value of state must be one of: present, absent")],
    },
    "pod_routes": {
        "peers": [
            ({"peers": None}, "peers: is required when state is present (expected each node's pod_cidrs and addresses"),
            ({"peers": "node-2"}, "peers: 'node-2' is no dictionary of nodes (expected each node's pod_cidrs and addresses, or what filter pack_peers"),
            ({"peers": ["node-2"]}, "peers: ['node-2'] is no dictionary of nodes"),
            ({"peers": "eJwrSSxOTlSwVgAAE8gDDw=="}, "is no dictionary of nodes"),
            ({"peers": {"node-2": None}}, "peers.node-2: None is not a dictionary (expected pod_cidrs and addresses)"),
            (peer_with(via="192.0.2.12"), "peers.node-2.via: is not known (expected pod_cidrs and addresses)"),
            (peer_with(pod_cidrs="10.244.2.0/24"), "peers.node-2.pod_cidrs: '10.244.2.0/24' is not a list (expected a list of CIDRs)"),
            (peer_with(pod_cidrs=["10.244.2.1/24"]), "peers.node-2.pod_cidrs[0]: '10.244.2.1/24' has host bits set (expected 10.244.2.0/24)"),
            (peer_with(pod_cidrs=["127.0.0.0/24"]), "peers.node-2.pod_cidrs[0]: '127.0.0.0/24' overlaps the loopback range 127.0.0.0/8"),
            (peer_with(pod_cidrs=["fd00::/64"]), "peers.node-2.addresses: has no IPv6 address by which to reach fd00::/64 (expected one of node-2's)"),
            (peer_with(addresses=["192.0.2.12/24"]), "peers.node-2.addresses[0]: '192.0.2.12/24' is not an address (expected e.g. 192.0.2.11"),
            (peer_with(addresses=["fe80::1"]), "peers.node-2.addresses[0]: 'fe80::1' is in the link-local range fe80::/10 (expected an address by"),
            (peer_with(addresses=["10.244.2.9"]), "peers.node-2.addresses[0]: '10.244.2.9' is in 10.244.2.0/24, where the pods of node-2 are"),
            ({"peers": dict.fromkeys(("node-2", "node-3"), GOOD["pod_routes"]["peers"]["node-2"])},
             "peers.node-3.pod_cidrs[0]: '10.244.2.0/24' overlaps 10.244.2.0/24 of node-2 (expected ranges of their own for all nodes)"),
            (peer_with(addresses=["198.51.100.2"]), "peers.node-2.addresses: 198.51.100.2 is in no network that this node is connected to by a link"),
            (peer_with(addresses=["198.51.100.2"]), "configure in the router 192.0.2.1 a route to 10.244.2.0/24 via 198.51.100.2"),
            (peer_with(pod_cidrs=["203.0.113.0/24"]),
             "peers.node-2.pod_cidrs[0]: '203.0.113.0/24' has a route already that is not ours: 203.0.113.0/24 via 192.0.2.1 dev eth0 proto boot"),
        ],
        "node": [
            ({**peer_with(addresses=["192.0.2.10"])}, "peers.node-2.addresses[0]: '192.0.2.10' is an address of this node itself (expected node to be"),
            ({"node": ""}, "node: '' is not a name (expected that of this node in peers, or to leave it out)"),
        ],
        "state": [({"state": "gone"}, "value of state must be one of: present, absent")],
    },
    "boot_service": {
        "python": [
            ({"python": "python3"}, "python: 'python3' is not usable (expected an absolute path without .., of letters, digits, /, ., _, + and -)"),
            ({"python": "/usr/bin/../bin/python3"}, "python: '/usr/bin/../bin/python3' is not usable"),
            ({"python": "/usr/bin/python3 -S; reboot"}, "python: '/usr/bin/python3 -S; reboot' is not usable"),
            ({"python": "/nowhere/python3"}, "python: '/nowhere/python3' is not there on the node, or cannot be run (expected Python 3.9 or newer)"),
            ({"python": "/usr/bin/true"}, "python: '/usr/bin/true' is Python of no known version (expected 3.9 or newer)"),
        ],
        "program": [
            ({"program": "kubenode-network.pyz"}, "program: 'kubenode-network.pyz' is not usable"),
            ({"program": "/etc/passwd"}, "program: '/etc/passwd' did not arrive on the node as it was sent (expected SHA-256 0000"),
        ],
        "checksum": [
            ({"checksum": None}, "checksum: is missing (expected the module to run by its action plugin, which brings the program)"),
            ({"checksum": "A" * 64}, "is not a SHA-256 (expected 64 hexadecimal digits, in lower case)"),
            ({"checksum": "1" * 64}, "the program (SHA-256 111111111111) is not on the node (expected Ansible to bring it; run the playbook)"),
        ],
        "state": [({"state": "gone"}, "value of state must be one of: present, absent")],
    },
    "node_network": {
        "boot_service": [({"boot_service": {"python": "py"}}, "boot_service.python: 'py' is not usable")],
        "cni_plugins": [({"cni_plugins": {}}, "cni_plugins.src: is required when state is present")],
        "sysctl_bridge_nf": [({"sysctl_bridge_nf": {"forward": True}}, "Unsupported parameters")],
        "kubenet_bridge": [({"kubenet_bridge": {"pod_cidrs": ["10.244.1.0/33"]}}, "kubenet_bridge.pod_cidrs[0]: '10.244.1.0/33' is not a CIDR")],
        "masquerade": [({"masquerade": {"cluster_cidrs": ["a"]}}, "masquerade.cluster_cidrs[0]: 'a' is not a CIDR")],
        "routes": [
            ({"routes": {"peers": {"node-2": {"pod_cidrs": ["x"]}}}}, "routes.peers.node-2.pod_cidrs[0]: 'x' is not a CIDR"),
            ({"routes": {"peers": {"node-2": {"pod_cidrs": ["10.244.1.128/25"], "addresses": ["192.0.2.12"]}}}},
             "routes.peers.node-2.pod_cidrs[0]: '10.244.1.128/25' overlaps 10.244.1.0/24, the range of this node's own pods"),
        ],
        "networks": [
            ({"networks": [{"name": "n", "plugins": [{"type": "bridge", "bridge": "cbr0", "mtu": 9000}]}], "kubenet_bridge": {
                "pod_cidrs": ["10.244.1.0/24"], "mtu": "1400"}},
             "networks[0].plugins[0].mtu: 9000 disagrees with kubenet_bridge.mtu, from which it would be 1400"),
            ({"networks": [{"name": "n", "plugins": [{"type": "bridge", "bridge": "cbr0", "mtu": 9000}]}]},
             "networks[0].plugins[0].mtu: 9000 disagrees with kubenet_bridge.mtu, from which it would be 1450"),
            ({"networks": [{"name": "n", "plugins": [{"type": "bridge", "bridge": "cbr0", "promiscMode": True}]}]},
             "networks[0].plugins[0].promiscMode: True disagrees with kubenet_bridge.hairpin_mode"),
            ({"networks": [{"name": "n", "plugins": [{"type": "bridge", "bridge": "cbr0", "hairpinMode": False}]}]},
             "networks[0].plugins[0].hairpinMode: False disagrees with kubenet_bridge.hairpin_mode"),
            ({"networks": [{"name": "n", "plugins": [{"type": "bridge", "bridge": "cbr0",
                                                     "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}}]}]},
             "networks[0].plugins[0].ipam.subnet: '10.9.0.0/24' disagrees with kubenet_bridge.pod_cidrs (expected one of 10.244.1.0/24)"),
            ({"networks": [{"name": "n", "plugins": [BRIDGE], "priority": 100}, {"name": "m m", "plugins": [BRIDGE]}]},
             "networks[0].priority: 100 is out of range (expected 0 to 99); networks[1].name: 'm m' is not a network name"),
            ({"networks": [{"name": "n", "plugins": [BRIDGE]}, {"name": "n", "plugins": [BRIDGE], "priority": 20}]},
             "networks[1].name: 'n' is given twice"),
            ({"networks": [{"name": "n", "plugins": [BRIDGE], "filename": "10-a.conflist"},
                           {"name": "m", "plugins": [BRIDGE], "filename": "10-a.conflist"}]},
             "networks[1].filename: '10-a.conflist' is given twice"),
            ({"networks": [{"name": "n", "plugins": [BRIDGE], "priority": 18, "foreign": "refuse"}]},
             "networks[0].foreign: refuse, but in /etc/cni/net.d 15-there.conflist sorts before 18-n.conflist"),
        ],
        "force": [({"force": "perhaps"}, "argument 'force' is of type str and we were unable to convert to bool")],
    },
    "host_local_lease": {
        "network": [
            ({"network": "../x"}, "network: '../x' is not a network name"),
            ({"network": "nowhere"}, "network: 'nowhere' is in no file of /etc/cni/net.d and has no leases in /var/lib/cni/networks (expected one of"),
        ],
        "only": [({"only": "all"}, "value of only must be one of: orphaned")],
        "grace": [({"grace": -1}, "grace: -1 is below zero (expected seconds, e.g. 300)")],
        "wait": [({"wait": True}, "wait: True has no use beside sandboxes, which is the only list then (expected one of the two)")],
        "addresses": [({"addresses": ["10.244.0.5", "10.244.0.0/24"]}, "addresses[1]: '10.244.0.0/24' is not an IP address (expected e.g. 10.244.1.5)")],
        "sandboxes": [
            ({"sandboxes": [""]}, "sandboxes[0]: '' is not a container id (expected it as the runtime shows it)"),
            ({"sandboxes": None}, "no container runtime can be asked for its sandboxes, there is no socket at /run/containerd/containerd.sock"),
        ],
        "runtime_endpoint": [
            ({"runtime_endpoint": "tcp://10.0.0.1:1", "sandboxes": None}, "runtime_endpoint: 'tcp://10.0.0.1:1' is not a unix socket (expected e.g."),
            ({"runtime_endpoint": "unix:///nowhere", "sandboxes": None}, "/nowhere cannot be asked: No such file or directory (expected it to answer"),
            ({"runtime_endpoint": "/run/x"}, "runtime_endpoint: /run/x has no use beside sandboxes"),
        ],
        "data_dir": [({"data_dir": "networks"}, "data_dir: 'networks' is not usable"), ({"data_dir": "/a/../b"}, "data_dir: '/a/../b' is not usable")],
        "conf_dir": [({"conf_dir": "etc"}, "conf_dir: 'etc' is not usable")],
        "state": [({"state": "present"}, "value of state must be one of: absent")],
    },
    "cni_info": {
        "conf_dir": [({"conf_dir": "etc"}, "conf_dir: 'etc' is not usable"), ({"conf_dir": "/etc/../x"}, "conf_dir: '/etc/../x' is not usable")],
        "bin_dirs": [({"bin_dirs": ["/opt", "bin"]}, "bin_dirs[1]: 'bin' is not usable")],
        "sandboxes": [({"sandboxes": ["../x"]}, "sandboxes[0]: '../x' is not a container id (expected it as the runtime shows it)")],
        "runtime_endpoint": [({"runtime_endpoint": "tcp://10.0.0.1:1"}, "runtime_endpoint: 'tcp://10.0.0.1:1' is not a unix socket (expected e.g. unix:")],
    },
}


def test_every_option_has_a_case():
    assert {module: set(options) for module, options in SPECS.items()} == {module: set(cases) for module, cases in CASES.items()}


def archive(node, path, name, link=None):
    """A tar archive on the node with one entry; returns its SHA-256."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as tar:
        entry = tarfile.TarInfo(name)
        if link:
            entry.type, entry.linkname = tarfile.SYMTYPE, link
        tar.addfile(entry, io.BytesIO(b""))
    node.run(["sh", "-c", f"mkdir -p /run/sources && base64 -d > {path}"], input=base64.b64encode(data.getvalue()).decode())
    return hashlib.sha256(data.getvalue()).hexdigest()


@pytest.fixture(scope="module")
def prepared():
    with Node() as node:
        node.install_plugins()
        node.run(["rm", "/opt/cni/bin/tuning"])
        node.add_foreign()
        node.write("/etc/cni/net.d/15-there.conflist", '{"cniVersion": "1.0.0", "name": "there", "plugins": [{"type": "bridge"}]}')
        node.write("/etc/cni/net.d/20-single.conf", '{"cniVersion": "1.0.0", "name": "single", "type": "bridge"}')
        node.write("/etc/cni/net.d/20-single.conflist", '{"cniVersion": "1.0.0", "name": "other", "plugins": [{"type": "bridge"}]}')
        node.write("/etc/cni/net.d/30-broken.conflist", '{"plugins": [{"type": "bridge"}]}')
        node.write("/etc/cni/net.d/35-aged.conflist", '{"cniVersion": "0.2.0", "name": "aged", "plugins": [{"type": "bridge"}]}')
        node.write("/etc/cni/net.d/40-twice.conflist", '{"cniVersion": "1.0.0", "name": "twice", "plugins": [{"type": "bridge", "mtu": 1, "mtu": 2}]}')
        entry = '{"type": "portmap", "externalSetMarkChain": "X"}'
        node.write("/etc/cni/net.d/45-several.conflist", f'{{"cniVersion": "1.0.0", "name": "several", "plugins": [{{"type": "ptp"}}, {entry}, {entry}]}}')
        node.write("/etc/cni/net.d/50-chain.conflist", f'{{"cniVersion": "1.0.0", "name": "chain", "plugins": [{{"type": "ptp"}}, {entry}]}}')
        marked = '{"type": "portmap", "markMasqBit": 14, "backend": "nftables", "odd": 1}'
        node.write("/etc/cni/net.d/55-marked.conflist", f'{{"cniVersion": "1.0.0", "name": "marked", "plugins": [{{"type": "ptp"}}, {marked}]}}')
        node.write("/etc/cni/net.d/60-nameless.conf", '{"cniVersion": "1.0.0", "type": "bridge"}')
        sums = {
            "EVIL": archive(node, "/run/sources/evil.tgz", "../bridge"),
            "LINK": archive(node, "/run/sources/link.tgz", "bridge", "/etc/passwd"),
            "PASSWD": hashlib.sha256(node.read("/etc/passwd").encode()).hexdigest(),
        }
        archive(node, "/run/sources/plugins.tgz", "bridge")
        node.run(["mkdir", "/run/sources/links"])
        node.run(["ln", "-s", "/etc/shadow", "/run/sources/links/portmap"])
        assert node.module("cni_config", {"name": "ours", "priority": 5, "plugins": [BRIDGE]})["changed"]
        assert node.module("cni_config", {"name": "aged-ours", "priority": 90, "cni_version": "0.2.0", "plugins": [BRIDGE]})["changed"]
        yield node, sums, node.dump()


def cases():
    for module, options in CASES.items():
        for option, wrong in options.items():
            for index, (change, text) in enumerate(wrong):
                yield pytest.param(module, change, text, id=f"{module}-{option}-{index}")


@pytest.mark.parametrize(("module", "change", "text"), list(cases()))
def test_bad_input_is_refused_and_the_node_untouched(prepared, module, change, text):
    node, sums, before = prepared
    args = {**copy.deepcopy(GOOD[module]), **change}
    for word, digits in sums.items():
        if (args.get("checksum") or "").endswith(word):
            args["checksum"] = args["checksum"].replace(word, digits)
    args = {name: value for name, value in args.items() if value is not None}
    result = node.module(module, args)
    assert result.get("failed"), result
    assert text in result["msg"]
    assert "Traceback" not in str(result)
    assert not diff_dumps(before, node.dump())


@pytest.mark.parametrize("module", GOOD)
def test_the_good_input_that_the_cases_start_from_is_taken(prepared, module):
    node = prepared[0]
    result = node.module(module, GOOD[module], check=True)
    assert not result.get("failed"), result

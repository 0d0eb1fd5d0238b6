# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import re
import typing as t

#: Bytes that a header takes from each packet, by what it goes over. geneve without options, gre without key and checksum.
HEADERS = {
    "vxlan/ipv4": 50,
    "vxlan/ipv6": 70,
    "geneve/ipv4": 50,
    "geneve/ipv6": 70,
    "ipip": 20,
    "gre": 24,
    "wireguard/ipv4": 60,
    "wireguard/ipv6": 80,
}
Modes = t.Mapping[str, tuple[int, t.Optional[int]]]
#: Provider -> mode -> bytes that it subtracts from the MTU of the nodes' network, over IPv4 and over IPv6 (None: it does not go over
#: IPv6). Its own arithmetic, which may keep more than the header takes; what no source says is left out. Read in August 2026 from the
#: sources and manuals of the projects: flannel-io/flannel pkg/backend, rajch/weave fastdp manual, tigera/docs configuring/mtu,
#: cilium/cilium pkg/mtu, cloudnativelabs/kube-router, antrea-io/antrea pkg/agent/config/node_config.go, ovn-kubernetes/ovn-kubernetes
#: and OpenShift's manual, kubeovn/kube-ovn, Azure/azure-container-networking, aws/amazon-vpc-cni-k8s, contiv, fdio/vpp, romana,
#: tungstenfabric vRouter, kopeio/networking, openshift/sdn.
PROVIDERS: t.Mapping[str, Modes] = {
    "kubenet": {"none": (0, 0)},
    "noop": {"none": (0, 0)},
    "cni-bridge": {"none": (0, 0)},
    "host-network": {"none": (0, 0)},
    "ipvs": {"none": (0, 0)},
    "flannel": {"vxlan": (50, 50), "host-gw": (0, 0), "wireguard": (80, 80), "udp": (28, None), "ipip": (20, None), "ipsec": (77, None)},
    "weave": {"fastdp-vxlan": (50, None), "fastdp-esp": (84, None)},
    "calico": {
        "none-bgp": (0, 0),
        "ipip": (20, None),
        "ipip-crosssubnet": (20, None),
        "vxlan": (50, 70),
        "vxlan-crosssubnet": (50, 70),
        "wireguard": (60, 80),
        "ebpf": (50, 70),
    },
    "canal": {"vxlan-flannel": (50, 50), "host-gw-flannel": (0, 0)},
    "cilium": {"vxlan": (50, 70), "geneve": (50, 70), "native": (0, 0), "wireguard": (95, 95), "ipsec": (77, 77)},
    "kube-router": {"bgp-same-subnet": (0, 0), "ipip": (20, None), "fou-gue": (28, None)},
    "kindnet-kind": {"none": (0, 0)},
    "kindnet": {"none": (0, 0)},
    "antrea": {"geneve": (50, 70), "vxlan": (50, 70), "gre": (42, 62), "stt": (0, 0), "noencap": (0, 0), "wireguard": (60, 80), "ipsec": (88, 108)},
    "ovn-kubernetes": {"geneve": (100, 100), "vxlan": (100, 100), "gre": (100, 100), "no-overlay-bgp": (0, 0), "geneve-ipsec": (146, 146)},
    "kube-ovn": {"geneve": (100, 120), "vxlan": (50, 70), "stt": (72, 92), "vlan-underlay": (100, 120)},
    "azure-cni": {"none-vnet-addresses": (0, 0), "overlay-cns": (0, 0)},
    "aws-vpc-cni": {"none": (0, 0)},
    "contiv": {"vxlan": (50, None), "vlan-routing": (0, 0)},
    "contiv-vpp": {"vxlan": (50, None)},
    "romana": {"none": (0, 0)},
    "opencontrail": {"mplsoudp-or-mplsogre-layer-3": (40, None), "layer-2-mpls-or-vxlan": (62, None)},
    "midonet": {"vxlan": (50, None)},
    "kope-routing": {"vxlan": (100, 100), "gre": (24, None), "layer2": (0, 0)},
    "openshift-sdn": {"vxlan": (50, None)},
}
LARGEST = 65535
_UNDERLAY = re.compile("(.+)/(ipv4|ipv6)")


def find(text: str) -> tuple[int, str]:
    """Bytes that ``mtu_overhead`` stands for, and what is wrong with it (with what is accepted), or "".

    A number, a header with what it goes over (``vxlan/ipv6``), or ``PROVIDER/MODE`` (``calico/vxlan``), over IPv4 unless ``/ipv6``
    follows.
    """
    text = text.strip()
    if text.isascii() and text.isdigit():
        size = int(text[-9:]) if not text[:-9].strip("0") else LARGEST + 1  # Python refuses to read thousands of digits
        return (size, "") if size <= LARGEST else (0, f"{text!r} is more than an MTU can be (expected at most {LARGEST})")
    if text.lower() in HEADERS:
        return HEADERS[text.lower()], ""
    provider, _slash, mode = text.partition("/")
    if provider.lower() in PROVIDERS:
        return _of_provider(text, provider.lower(), mode)
    if provider.lower() == "ipsec":
        there = ", ".join(f"{name}/ipsec" for name, modes in PROVIDERS.items() if "ipsec" in modes)
        return 0, f"{text!r} has no size of its own, since ciphers differ (expected bytes, as 128 that make 8873 out of 9001, or one of {there})"
    text = f"{text!r} is not an overhead (expected bytes, one of {', '.join(HEADERS)}, or PROVIDER/MODE"
    return 0, f"{text} with a provider of {', '.join(PROVIDERS)})"


def _of_provider(text: str, provider: str, mode: str) -> tuple[int, str]:
    found = _UNDERLAY.fullmatch(mode)
    mode, underlay = (found[1], found[2]) if found else (mode, "ipv4")
    sizes = PROVIDERS[provider].get(_word(mode))
    if sizes is None:
        known = ", ".join(f"{provider}/{name}" for name in PROVIDERS[provider])
        return 0, f"{text!r} names no mode of {provider} whose overhead is known (expected one of {known})"
    size = sizes[underlay == "ipv6"]
    return (0, f"{text!r}: {provider} does not use that mode over IPv6 (expected {provider}/{_word(mode)})") if size is None else (size, "")


def _word(mode: str) -> str:
    return re.sub("[^a-z0-9]+", "-", mode.lower()).strip("-")

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Which network systems, and which CNI plugins, put pods on a Linux bridge: where they do, packets between pods of a node pass the
firewall, and so services work, only with the bridge-nf sysctls. Data, as the systems' own documents and sources have it.
"""

from __future__ import annotations

import typing as t

#: Network system -> whether it needs the bridge-nf sysctls. None where that depends on what it is combined with.
PROVIDERS: dict[str, bool | None] = {
    "antrea": False,
    "aws-vpc-cni": False,
    "azure-cni": False,
    "calico": False,
    "canal": False,
    "cilium": False,
    "cni-bridge": True,
    "contiv": False,
    "contiv-vpp": False,
    "exec": None,
    "flannel": True,
    "host-network": False,
    "ipvs": None,
    "kindnet": False,
    "kindnet-kind": False,
    "kope-routing": True,
    "kube-ovn": False,
    "kube-router": True,
    "kubenet": True,
    "kuryr-kubernetes": None,
    "midonet": False,
    "multus": None,
    "noop": True,
    "opencontrail": False,
    "openshift-sdn": False,
    "ovn-kubernetes": False,
    "romana": False,
    "weave": True,
}
#: Plugins that give a pod its interface. What is not here is not known.
_BRIDGED = ("bridge", "flannel", "weave-net")
_NOT_BRIDGED = (
    "antrea",
    "aws-cni",
    "azure-vnet",
    "calico",
    "cilium-cni",
    "cni-kindnet",
    "contiv-cni",
    "contivk8s",
    "contrail-k8s-cni",
    "dummy",
    "host-device",
    "ipvlan",
    "kube-ovn",
    "macvlan",
    "midonet-kube-cni",
    "openshift-sdn",
    "ovn-k8s-cni-overlay",
    "ptp",
    "romana",
    "tap",
    "vlan",
)
#: Plugins that work on the interface of another one, or only on lo.
_CHAINED = ("bandwidth", "egress-cni", "firewall", "loopback", "portmap", "sbr", "tuning", "vrf")


class Attachment(t.NamedTuple):
    """How a network attaches pods: by which plugin, and whether to a Linux bridge (None: not known)."""

    plugin: str
    bridged: bool | None


def attachment(config: t.Mapping[str, t.Any]) -> Attachment:
    """What a network does, by its list of plugins or its single one: a bridge anywhere in it counts, then what is not known."""
    found = [_of_plugin(plugin) for plugin in config.get("plugins", [config]) if plugin["type"] not in _CHAINED]
    return next((one for wanted in (True, None, False) for one in found if one.bridged is wanted), Attachment("", None))


def _of_plugin(plugin: t.Mapping[str, t.Any]) -> Attachment:
    name = plugin["type"]
    delegate = plugin.get("delegate")
    if name == "flannel" and isinstance(delegate, dict) and isinstance(delegate.get("type"), str):
        return _of_plugin(delegate)
    if name == "azure-vnet":  # transparent mode routes, the old bridge mode does not
        return Attachment(name, plugin.get("mode") == "bridge")
    return Attachment(name, True if name in _BRIDGED else False if name in _NOT_BRIDGED else None)

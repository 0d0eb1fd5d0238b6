# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Problems of pods with the addresses, links, kernel settings and packet filters of the node."""

from __future__ import annotations

import typing as t

from .._cni.kinds import show
from .._cni.ranges import Range
from .node import Config, Facts, Leases, Network, is_kubernetes_chain, is_of_iptables
from .problem import ERROR, INFO, WARNING, Found, Problem, at, has_family, net, ranges_of

#: What kubelet's maxPods is unless it is told otherwise.
MAX_PODS = 110
_FREE = 10  # percent
_FAMILIES = {"ipv4": "IPv4", "ipv6": "IPv6"}
_GATEWAY = ("bridge", "ptp")
#: By the family's version.
_FORWARDING = {4: "net/ipv4/ip_forward", 6: "net/ipv6/conf/all/forwarding"}
_TABLES = {4: "iptables", 6: "ip6tables"}


# 10, 11, 12: leases


def lease_orphaned(facts: Facts) -> Found:
    for known in facts.leases:
        gone = [lease for lease in known.leases if lease.orphaned]
        if gone:
            shown = ", ".join(lease.address for lease in gone[:5]) + (f" and {len(gone) - 5} more" if len(gone) > 5 else "")
            text = f"network {show(known.network)} holds {len(gone)} of its addresses for sandboxes that no longer exist: {shown}"
            yield Problem(WARNING, known.network, text, "release them with kubenode.network.host_local_lease")


def range_full(facts: Facts) -> Found:
    for known in _leased(facts):
        for one in known.sets:
            if one.total and one.free * 100 < one.total * _FREE:
                text = f"network {show(known.network)} has {one.free} of {one.total} addresses left in {_span(one.ranges)}"
                severity = WARNING if one.free else ERROR
                yield Problem(severity, known.network, text, "release what is orphaned with kubenode.network.host_local_lease, or enlarge the range")


def range_small(facts: Facts) -> Found:
    for known in _leased(facts):
        for one in known.sets:
            if one.ranges and one.total < MAX_PODS:  # Calico's usePodCidr is no range that a file tells
                text = f"network {show(known.network)} has {one.total} addresses in {_span(one.ranges)}, kubelet starts up to {MAX_PODS} pods by default"
                yield Problem(WARNING, known.network, text, "give it a larger range, or kubelet fewer maxPods")


def leases_volatile(facts: Facts) -> Found:
    for known in facts.leases:
        if known.file_system in ("tmpfs", "ramfs") and known.leases:
            text = f"{known.data_dir} is on {known.file_system} and has leases of network {show(known.network)} ({len(known.leases)}), which a restart forgets"
            yield Problem(WARNING, known.network, f"{text} while pods may live on", "two pods then get one address; put it on a disk")


def leases_without_network(facts: Facts) -> Found:
    counts = {known.network: len(known.leases) for known in facts.leases if not known.file}
    for name in sorted({*counts, *facts.attachments}):
        held = f"leases ({counts.get(name, 0)}) or attachments ({facts.attachments.get(name, 0)})"
        text = f"network {show(name)} has {held}, but no valid file in {facts.folder.path} names it, so these pods cannot be taken down cleanly"
        yield Problem(WARNING, name, text, "bring the file back; if no pod of it lives, release the leases with kubenode.network.host_local_lease")


def _leased(facts: Facts) -> list[Leases]:
    used = {network.file for network in facts.used}
    return [known for known in facts.leases if known.file in used]


def _span(ranges: t.Sequence[Range]) -> str:
    return ", ".join(f"{one.start}-{one.end}" for one in ranges) or "no valid range"


# 13, 14: bridges


def bridge_address(facts: Facts) -> Found:
    for network in facts.used:
        for plugin in network.parts("bridge"):
            name = _bridge(plugin)
            link = (facts.links or {}).get(name)
            if link is None or plugin.get("forceAddress") or not (plugin.get("isGateway") or plugin.get("isDefaultGateway")):
                continue
            wanted = [f"{one.gateway}/{net(one.subnet).prefixlen}" for one in ranges_of(facts, network) if net(one.subnet).version == 4]
            there = [address for address in link.addresses if ":" not in address]
            if wanted and there and there[0] != wanted[0]:  # the plugin looks at the first one (bridge.go ensureAddr)
                text = f"{name} has {there[0]}, but network {show(network.name)} in {network.file} makes {wanted[0]} its gateway, and no pod can start"
                advice = "move the pods away and remove the bridge, or name another one in kubenode.network.cni_config; pods on it lose their network"
                yield Problem(ERROR, name, text, advice)


def mtu_too_large(facts: Facts) -> Found:
    uplinks = [link for name, link in (facts.links or {}).items() if name in facts.uplinks]
    uplink = min(uplinks, key=lambda link: link.mtu, default=None)
    for network in facts.used if uplink is not None else ():
        for plugin in network.parts("bridge", "ptp"):
            mtu = plugin.get("mtu") or 1500  # the kernel's default
            if isinstance(mtu, int) and uplink is not None and mtu > uplink.mtu:
                said = "" if plugin.get("mtu") else ", since it names none,"
                text = f"pods of {show(network.name)} in {network.file} get MTU {mtu}{said} but {uplink.name}, by which they leave, has {uplink.mtu}"
                advice = "set the key mtu of its plugin in kubenode.network.cni_config, or mtu=auto in kubenode.network.kubenet_bridge"
                yield Problem(WARNING, network.file, text, advice)


def _bridge(plugin: Config) -> str:
    name = plugin.get("bridge")
    return name if isinstance(name, str) and name else "cni0"


# 18, 19: services on one bridge


def bridge_nf_off(facts: Facts) -> Found:
    for version, table in _TABLES.items():
        key = f"bridge-nf-call-{table}"
        value = facts.sysctls.get(f"net/bridge/{key}", "1")
        blind = [network for network in facts.used if any(not _sees(facts, plugin, table, "1") for plugin in network.parts("bridge"))]
        if has_family(facts, blind, version):
            said = "the kernel module br_netfilter is not loaded" if value is None else f"net.bridge.{key} is {value}"
            text = f"{said}, so IPv{version} services between pods on one bridge fail"
            yield Problem(WARNING, f"net.bridge.{key}", text, "kubenode.network.sysctl_bridge_nf loads and sets it, also for the next start")


def _sees(facts: Facts, plugin: Config, table: str, unknown: str) -> bool:
    """Whether packets that cross the plugin's bridge pass the firewall: because of the key for all bridges, or its own switch."""
    own = facts.bridge_nf.get(_bridge(plugin), {})
    return "1" in (facts.sysctls.get(f"net/bridge/bridge-nf-call-{table}", unknown), own.get(table))


def hairpin_off(facts: Facts) -> Found:
    for network in facts.used:
        for plugin in network.parts("bridge"):
            if plugin.get("hairpinMode") is not True and _sees(facts, plugin, "iptables", "0"):
                text = f"{at(facts, network.file)}: without hairpinMode a pod on {_bridge(plugin)} cannot reach its own service or host port"
                yield Problem(WARNING, network.file, text, "set hairpinMode: true in kubenode.network.cni_config")


# 20, 22: the way out


def forward_drop(facts: Facts) -> Found:
    for backend in ("nft", "legacy"):
        for family, version in (("ipv4", 4), ("ipv6", 6)):
            drops = facts.firewall.dropping(backend, family)
            if drops and has_family(facts, facts.used, version):
                partly = any(network.parts("firewall") for network in facts.used)
                effect = "the plugin firewall lets pods out, but nobody in" if partly else "pods get out, or host ports in, only where a rule accepts them"
                text = f"forwarded {_FAMILIES[family]} packets are dropped by policy ({backend}), as Docker, ufw and firewalld set it: {effect}"
                ours = "set accept_forwarded: true in kubenode.network.masquerade, or " if any(map(is_of_iptables, drops)) else ""
                yield Problem(WARNING, f"{backend} {family}", text, f"{ours}accept the pod CIDRs in both directions in whoever set it")


def masquerade_twice(facts: Facts) -> Found:
    for network in _masquerading(facts) if facts.masquerades else ():
        text = f"{at(facts, network.file)}: ipMasq comes before the rules of kubenode.network.masquerade, and takes in what these except"
        yield Problem(WARNING, network.file, text, "set ipMasq: false in kubenode.network.cni_config")


def masquerade_in_cluster(facts: Facts) -> Found:
    for network in _masquerading(facts) if not facts.masquerades else ():
        text = f"{at(facts, network.file)}: with ipMasq pods on other nodes see the address of this node, not of the pod"
        yield Problem(INFO, network.file, text, "set ipMasq: false, and except the cluster's CIDRs with kubenode.network.masquerade")


def masquerade_none(facts: Facts) -> Found:
    others = {chain.name for chain in facts.firewall.chains or ()} & {"IP-MASQ", "IP-MASQ-AGENT", "FLANNEL-POSTRTG", "cali-nat-outgoing"}
    for network in facts.used[:1] if facts.firewall.chains is not None and not facts.masquerades and not others else ():
        if network.parts(*_GATEWAY) and network not in _masquerading(facts):
            text = f"nothing masquerades the pods of {show(network.name)} in {network.file}; they reach the outside only if it knows the way back"
            yield Problem(INFO, network.file, text, "kubenode.network.masquerade, or ipMasq: true")


def _masquerading(facts: Facts) -> list[Network]:
    return [network for network in facts.used if any(plugin.get("ipMasq") is True for plugin in network.parts(*_GATEWAY))]


# also reported


def mixed_backends(facts: Facts) -> Found:
    for family in _FAMILIES:
        ours = {backend: sorted(chain.name for chain in facts.firewall.of(backend, family) if is_kubernetes_chain(chain.name)) for backend in ("nft", "legacy")}
        if all(ours.values()):
            text = f"{_FAMILIES[family]} rules of CNI plugins or kube-proxy are in nf_tables ({ours['nft'][0]}) and in legacy tables ({ours['legacy'][0]})"
            yield Problem(WARNING, family, text, "choose one variant with update-alternatives --config iptables, then restart the node")


def forwarding_off(facts: Facts) -> Found:
    """Plugins switch it on when a pod starts, so that it being off before the first one is no problem."""
    leased = {known.file: known for known in facts.leases if known.leases}
    gateways = [network for network in _gateways(facts) if network.file in leased]
    for version, key in _FORWARDING.items():
        if gateways and facts.sysctls.get(key, "1") == "0" and has_family(facts, gateways, version):
            name = key.replace("/", ".")
            text = f"{name} is 0, so pods of {show(gateways[0].name)} reach nothing beyond this node; something has reset it since they started"
            yield Problem(ERROR, name, text, f"kubenode.network.sysctl_bridge_nf forwarding=ipv{version} sets it, also for the next start")


def sysctl_undone(facts: Facts) -> Found:
    """What is right now, and will not be after the next start or the next ``sysctl --system``."""
    bridged = [network for network in facts.used if network.parts("bridge")]
    needed = {key: version for version, key in _FORWARDING.items() if has_family(facts, _gateways(facts), version)}
    needed.update({f"net/bridge/bridge-nf-call-{table}": version for version, table in _TABLES.items() if has_family(facts, bridged, version)})
    for line in facts.undone:
        if line.key in needed and facts.sysctls.get(line.key) == "1":
            name = line.key.replace("/", ".")
            text = f"{line.path} line {line.line} sets {name} to {line.value} when {' or '.join(line.by)} runs next, and IPv{needed[line.key]} pods need 1"
            yield Problem(WARNING, line.path, text, "take that line away")


def _gateways(facts: Facts) -> list[Network]:
    return [network for network in facts.used if any(_is_gateway(plugin) for plugin in network.parts(*_GATEWAY))]


def _is_gateway(plugin: Config) -> bool:
    return plugin.get("type") == "ptp" or bool(plugin.get("isGateway") or plugin.get("isDefaultGateway"))


def ipv6_off(facts: Facts) -> Found:
    off = [key for key in ("net/ipv6/conf/all/disable_ipv6", "net/ipv6/conf/default/disable_ipv6") if facts.sysctls.get(key, "0") != "0"]
    for network in facts.used if off else ():
        if has_family(facts, [network], 6):
            value = "the kernel has no IPv6" if facts.sysctls[off[0]] is None else f"{off[0].replace('/', '.')} is {facts.sysctls[off[0]]}"
            text = f"{value}, but network {show(network.name)} in {network.file} has an IPv6 range, and no pod can start"
            yield Problem(ERROR, network.file, text, "switch IPv6 on, or take the range away")

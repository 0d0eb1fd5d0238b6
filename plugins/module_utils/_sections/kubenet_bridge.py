# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import hashlib
import ipaddress
import re
import typing as t

from .._addressing import cidr, mtu
from .._converge import Part, Want
from .._errors import Problem
from .._host import firewall, links, sysctls
from .._resource import Resource
from .._resources import bridge as resource
from .._resources import dedup
from .base import STATE, Options, Run, removal

NAME = "kubenet_bridge"
OPTIONS: dict[str, t.Any] = {
    "name": {"type": "str", "default": "cbr0"},
    "pod_cidrs": {"type": "list", "elements": "str"},
    "mtu": {"type": "str", "default": "auto"},
    "hairpin_mode": {"type": "str", "choices": ["hairpin-veth", "promiscuous-bridge", "none"], "default": "hairpin-veth"},
    "state": STATE,
}
#: What the bridge plugin and the kernel take for a bridge (cni.md 3.1).
MTU_RANGE = range(68, 65536)
#: IPv6 needs 1280 on every link (RFC 8200 section 5); the kernel takes IPv6 off a link below it.
MTU_IPV6 = 1280
BRIDGE_NF = {4: "net/bridge/bridge-nf-call-iptables", 6: "net/bridge/bridge-nf-call-ip6tables"}


def check(options: Options) -> list[Problem]:
    problems = _check_name(options["name"])
    if options["state"] == "absent":
        return problems
    if not options["pod_cidrs"]:
        return [*problems, Problem("pod_cidrs", "is required when state is present (expected one or two CIDRs, e.g. 10.244.1.0/24)")]
    networks, wrong = cidr.check_pod_cidrs(options["pod_cidrs"], "pod_cidrs")
    return problems + wrong + _check_mtu(options["mtu"], networks)


def _check_name(name: str) -> list[Problem]:
    """The kernel's and libcni's rule for the name of a link (cni.md 2.1)."""
    if re.fullmatch(r"[^\s/:%\x00-\x1f\x7f]{1,15}", name) and name not in (".", "..", "all", "default") and name.isascii():
        return []
    return [Problem("name", f"{name!r} is not an interface name (expected 1 to 15 characters without white space, / and :, and not all or default)")]


def _check_mtu(value: str, networks: t.Sequence[t.Any]) -> list[Problem]:
    if value == "auto":
        return []
    if not value.isascii() or not value.isdigit() or int(value) not in MTU_RANGE:
        return [Problem("mtu", f"{value!r} is not an MTU (expected auto or {MTU_RANGE[0]} to {MTU_RANGE[-1]})")]
    if int(value) < MTU_IPV6 and any(network.version == 6 for network in networks):
        return [Problem("mtu", f"{value} is too small for the IPv6 pod CIDR (expected at least {MTU_IPV6})")]
    return []


def parts(options: Options, run: Run) -> list[Part]:
    name = options["name"]
    if options["state"] == "absent":
        return _removal(name, run)
    networks, _problems = cidr.check_pod_cidrs(options["pod_cidrs"], "pod_cidrs")
    _check_node(name, networks, run)
    size = _resolve_mtu(options["mtu"], name, run)
    if size < MTU_IPV6 and any(network.version == 6 for network in networks):
        run.refuse("mtu", f"auto finds {size}, too small for the IPv6 pod CIDR (expected interfaces, or an mtu, of at least {MTU_IPV6})")
    desired = {
        "name": name,
        "pod_cidrs": [str(network) for network in networks],
        "mtu": size,
        "hairpin_mode": options["hairpin_mode"],
        "gateways": [cidr.gateway(network) for network in networks],
    }
    _warn_of_lost_gateways(name, networks, run)
    _warn_of_other_mtu(desired, run)
    run.planned.bridge = desired
    run.results[NAME] = desired
    state = {
        "addresses": sorted(cidr.gateway_interface(network) for network in networks),
        "mac": run.links[name].mac if name in run.links else stable_mac(desired["gateways"][0]),
        "mtu": desired["mtu"],
        "promisc": options["hairpin_mode"] == "promiscuous-bridge",
        "up": True,
    }
    wants = [Want(resource.Bridge(name), state)]
    if state["promisc"]:
        # The rules first: a bridge that is promiscuous without them doubles what pods send to services (measured).
        wants = [*_dedup_wants(name, state["mac"], networks, run), *wants]
    return [Part(NAME, name, desired, wants, revive)]


def _dedup_wants(name: str, mac: str, networks: t.Sequence[t.Any], run: Run) -> list[Want]:
    """The rules against duplicates, for each family whose bridged packets iptables sees: without that, they would drop
    all traffic to services instead (measured)."""
    run.warnings.append(f"{NAME}: with promiscuous-bridge a pod does not reach itself through a service on today's kernels; hairpin-veth does that")
    if not firewall.nft_installed():
        run.warnings.append(f"{NAME}: nft is not installed, so pods behind a service on {name} get packets twice (Debian: package nftables)")
        return []
    rules: list[str] = []
    for network in networks:
        key = BRIDGE_NF[network.version]
        if run.planned.sysctls.get(key, sysctls.read(key)) == "1":
            rules += dedup_rules(mac, network)
        else:
            run.warnings.append(f"{NAME}: {key.replace('/', '.')} is not 1, so there is no rule against duplicates for {network}")
    return [Want(dedup.DedupRules(name), {"rules": rules})] if rules else []


def dedup_rules(mac: str, network: t.Any) -> list[str]:
    family = "ip" if network.version == 4 else "ip6"
    match = f'oifname "veth*" ether saddr {mac} {family} saddr'
    return [f"{match} {cidr.gateway(network)} accept", f"{match} {network} drop"]


def stable_mac(gateway: str) -> str:
    """A bridge address that stays when the bridge is made anew: 0a:58 and the IPv4 gateway, as kubenet had it for a
    time (kubenet.md section 14); for IPv6 alone, a hash of the gateway."""
    octets = bytes(int(part) for part in gateway.split(".")) if "." in gateway else hashlib.sha256(gateway.encode()).digest()[:4]
    return "0a:58:" + ":".join(f"{octet:02x}" for octet in octets)


def _resolve_mtu(value: str, name: str, run: Run) -> int:
    if value != "auto":
        return int(value)
    choice = mtu.choose(run.links.values(), links.default_route_links(), name)
    if choice.warning:
        run.warnings.append(f"{NAME}: {choice.warning}")
    return choice.mtu


def _warn_of_lost_gateways(name: str, networks: t.Sequence[t.Any], run: Run) -> None:
    """Pods keep the gateway that they were started with, so a new range cuts off those that run."""
    link = run.links.get(name)
    ports = _ports(name, run)
    leaving = sorted(set(link.addresses) - {cidr.gateway_interface(network) for network in networks}) if link else []
    if leaving and ports:
        text = f"{', '.join(leaving)} goes away from {name}: pods with that gateway among the {len(ports)} there ({', '.join(ports)}) are cut off"
        run.warnings.append(f"{NAME}: {text} until they are started anew")


def _warn_of_other_mtu(desired: t.Mapping[str, t.Any], run: Run) -> None:
    """In a run of its own, this section does not write the networks on the bridge."""
    for network in run.document.instances("networks"):
        settings = run.document.desired("networks", network) or {}
        for plugin in settings["plugins"] if not run.writes_networks else []:
            if plugin.get("bridge") == desired["name"] and plugin.get("mtu", desired["mtu"]) != desired["mtu"]:
                text = f"{settings['filename']} still gives pods an MTU of {plugin['mtu']}; node_network keeps both in step"
                run.warnings.append(f"{NAME}: {text}")


def _ports(name: str, run: Run) -> list[str]:
    return sorted(link.name for link in run.links.values() if link.master == name)


def _check_node(name: str, networks: t.Sequence[t.Any], run: Run) -> None:
    link = run.links.get(name)
    if link is not None and link.kind != "bridge":
        run.refuse("name", f"{name!r} is already there as {_kind(link.kind)} (expected a bridge or a free name)")
        return
    for index, network in enumerate(networks):
        for other in run.links.values():
            for address in other.addresses if other.name != name else ():
                if ipaddress.ip_interface(address).ip in network:
                    ours = other.name in run.document.instances(NAME)
                    hint = f"; {other.name} is this collection's, take it away first (state: absent)" if ours else ""
                    text = f"{network} holds {address}, the node's own address on {other.name} (expected a range of its own for pods){hint}"
                    run.refuse(f"pod_cidrs[{index}]", text)
    if any(network.version == 6 for network in networks) and sysctls.read("net/ipv6/conf/all/disable_ipv6") != "0":
        run.refuse("pod_cidrs", "has an IPv6 range, but IPv6 is switched off on this node (net.ipv6.conf.all.disable_ipv6)")


def _kind(kind: str) -> str:
    return f"a link of kind {kind}" if kind else "a network interface"


def _removal(name: str, run: Run) -> list[Part]:
    if not run.document.objects(NAME, name):
        if name in run.links:
            run.warnings.append(f"{NAME}: {name} is there, but this collection did not make it; it was left alone")
    else:
        _refuse_ports(name, run)
    return [removal(NAME, name, revive)]


def _refuse_ports(name: str, run: Run) -> None:
    """Removing a bridge cuts off the pods on it."""
    ports = _ports(name, run)
    if ports:
        run.refuse("state", f"absent would cut off {len(ports)} pods: {name} has the ports {', '.join(ports)} (expected: remove the pods first)")


def revive(object_id: str) -> Resource:
    return dedup.revive(object_id) if object_id.startswith("dedup:") else resource.revive(object_id)

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import functools
import hashlib
import ipaddress
import re
import typing as t

from .._addressing import cidr, mtu, overhead
from .._converge import Part, Want
from .._document import Document
from .._errors import Problem
from .._host import routes, sysctls
from .._resource import Resource
from .._resources import bridge as resource
from .._resources import dedup, dropin, hairpin
from . import bridge_dedup, bridge_pods, unmanaged
from .base import STATE, Options, Run, defaults, removal

NAME = "kubenet_bridge"
#: What a new bridge needs.
LIBRARIES = resource.Bridge.libraries
OPTIONS: dict[str, t.Any] = {
    "name": {"type": "str", "default": "cbr0"},
    "pod_cidrs": {"type": "list", "elements": "str"},
    "mtu": {"type": "str", "default": "auto"},
    "mtu_from": {"type": "str", "choices": list(mtu.SOURCES), "default": mtu.SMALLEST_LINK},
    "mtu_overhead": {"type": "str"},
    "hairpin_mode": {"type": "str", "choices": [bridge_pods.HAIRPIN_VETH, "promiscuous-bridge", "none"], "default": bridge_pods.HAIRPIN_VETH},
    "txqueuelen": {"type": "int", "default": 1000},
    "unmanaged": {"type": "bool", "default": True},
    "force": {"type": "bool", "default": False},
    "state": STATE,
}
#: What the bridge plugin and the kernel take for a bridge (cni.md 3.1).
MTU_RANGE = range(68, mtu.LARGEST + 1)
#: IPv6 needs 1280 on every link (RFC 8200 section 5); the kernel takes IPv6 off a link below it.
MTU_IPV6 = 1280
#: A zero would have a shaper on the bridge drop everything (kubenet.md section 4).
TXQUEUELEN_RANGE = range(1, 1000001)


def check(options: Options) -> list[Problem]:
    problems = _check_name(options["name"])
    if options["state"] == "absent":
        return problems
    if not options["pod_cidrs"]:
        return [*problems, Problem("pod_cidrs", "is required when state is present (expected one or two CIDRs, e.g. 10.244.1.0/24)")]
    networks, wrong = cidr.check_pod_cidrs(options["pod_cidrs"], "pod_cidrs")
    if options["txqueuelen"] not in TXQUEUELEN_RANGE:
        expected = f"expected {TXQUEUELEN_RANGE[0]} to {TXQUEUELEN_RANGE[-1]} packets"
        wrong.append(Problem("txqueuelen", f"{options['txqueuelen']} is out of range ({expected})"))
    return problems + wrong + _check_mtu(options["mtu"], networks) + _check_auto(options)


def _check_name(name: str) -> list[Problem]:
    """The kernel's and libcni's rule for the name of a link (cni.md 2.1)."""
    if re.fullmatch(r"[^\s/:%\x00-\x1f\x7f]{1,15}", name) and name not in (".", "..", "all", "default") and name.isascii():
        return []
    return [Problem("name", f"{name!r} is not an interface name (expected 1 to 15 characters without white space, / and :, and not all or default)")]


def _check_mtu(value: str, networks: t.Sequence[t.Any]) -> list[Problem]:
    if value == "auto":
        return []
    if not value.isascii() or not value.isdigit() or len(value) > 5 or int(value) not in MTU_RANGE:
        return [Problem("mtu", f"{value!r} is not an MTU (expected auto or {MTU_RANGE[0]} to {MTU_RANGE[-1]})")]
    if int(value) < MTU_IPV6 and _has_ipv6(networks):
        return [Problem("mtu", f"{value} is too small for the IPv6 pod CIDR (expected at least {MTU_IPV6})")]
    return []


def _check_auto(options: Options) -> list[Problem]:
    """What belongs to ``auto`` has no use beside an MTU that is told."""
    problems = []
    if options["mtu"] != "auto" and options["mtu_from"] != mtu.SMALLEST_LINK:
        problems.append(Problem("mtu_from", f"{options['mtu_from']!r} has no use beside an mtu that is told, {options['mtu']} (expected mtu: auto)"))
    if options["mtu_overhead"] is None:
        return problems
    wrong = overhead.find(options["mtu_overhead"])[1]
    if not wrong and options["mtu"] != "auto":
        wrong = f"{options['mtu_overhead']!r} would not be taken off an mtu that is told, {options['mtu']} (expected mtu: auto, or no overhead)"
    return problems + ([Problem("mtu_overhead", wrong)] if wrong else [])


def parts(options: Options, run: Run) -> list[Part]:
    name = options["name"]
    if options["state"] == "absent":
        return _removal(name, options["force"], run)
    networks, _problems = cidr.check_pod_cidrs(options["pod_cidrs"], "pod_cidrs")
    _check_node(name, networks, run)
    desired = {
        "name": name,
        "pod_cidrs": [str(network) for network in networks],
        "mtu": _resolve_mtu(options, networks, run),
        "hairpin_mode": options["hairpin_mode"],
        "txqueuelen": options["txqueuelen"],
        "mac": _mac(name, cidr.gateway(networks[0]), run),
        "gateways": [cidr.gateway(network) for network in networks],
        "unmanaged": options["unmanaged"],
    }
    ports = bridge_pods.ports_of(name, run)
    size = bridge_pods.fitting_mtu(desired["mtu"], MTU_IPV6 if _has_ipv6(networks) else MTU_RANGE[0], ports)
    waiting = [port for port in ports if port.mtu < desired["mtu"]]
    stale = bridge_pods.holders_outside(name, networks, ports, run)
    _warn_of_lost_gateways(name, networks, ports, stale, run)
    _warn_of_lost_ports(name, networks, run)
    _warn_of_pending_mtu(desired, size, waiting, run)
    _warn_of_other_mtu(desired, run)
    bridge_dedup.warn_of_kubelet(NAME, run)
    run.planned.bridge = desired
    run.results[NAME] = {**desired, "bridge_mtu": size, "waiting_for": [port.name for port in waiting], "outside": stale}
    return [Part(NAME, name, desired, _wants(desired, size, networks, ports, run), functools.partial(revive, run.document))]


def resolved(desired: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The options that give the same part, with nothing left to ``auto``."""
    taken = ("name", "pod_cidrs", "hairpin_mode", "txqueuelen", "unmanaged")
    return {**defaults(OPTIONS), **{name: desired[name] for name in taken}, "mtu": str(desired["mtu"])}


def _wants(desired: t.Mapping[str, t.Any], size: int, networks: t.Sequence[t.Any], ports: t.Sequence[bridge_pods.Port], run: Run) -> list[Want]:
    """In an order in which at no instant packets are doubled: what is against it comes before the promiscuous mode, and ports send back
    only when that is off."""
    name, mode = desired["name"], desired["hairpin_mode"]
    state = {
        **_ipv6_settings(name, size, run),
        "addresses": sorted(cidr.gateway_interface(network) for network in networks),
        "mac": desired["mac"],
        "mtu": size,
        "promisc": mode == "promiscuous-bridge",
        "txqueuelen": desired["txqueuelen"],
        "up": True,
    }
    managers = unmanaged.wants(name, run) if desired["unmanaged"] else []
    wants = [*managers, Want(resource.Bridge(name), state), *_pinned(name, run)]
    at_ports = bridge_pods.hairpin_wants(NAME, name, mode, ports, run)
    if not state["promisc"]:
        return [*wants, *at_ports]
    return [*bridge_dedup.wants(NAME, name, desired["mac"], networks, run), *at_ports, *wants]


def _ipv6_settings(name: str, size: int, run: Run) -> dict[str, int | None]:
    """The node routes for its pods, and takes no route from them; nor does its link-local address wait for one of them to answer: in
    that second it would not reach any. None where the bridge has no IPv6."""
    if size < MTU_IPV6 or sysctls.read("net/ipv6/conf/all/accept_ra") is None:
        return dict.fromkeys(resource.IPV6_KEYS)
    settings: dict[str, int | None] = dict.fromkeys(resource.IPV6_KEYS, 0)
    if name in run.links and name in routes.router_advertised_links():
        now = sysctls.read(f"net/ipv6/conf/{name}/accept_ra")
        run.warnings.append(f"{NAME}: {name} has a default route from a router's advertisement; its accept_ra stays {now}")
        settings["accept_ra"] = None if now is None else int(now)
    return settings


def _pinned(name: str, run: Run) -> list[Want]:
    """A bridge that others made may still follow its ports; one that we make does not."""
    record, pinned = run.document.record(f"bridge:{name}"), run.document.record(f"pinned:{name}")
    if record["origin"] == "created" if record else name not in run.links:
        return []
    return [Want(resource.PinnedBridge(name, kept=pinned is not None), {"mac": True, "mtu": True})]


def _mac(name: str, gateway: str, run: Run) -> str:
    """The address that the bridge has, since pods remember it; the one that it had, for one that is to be made again."""
    if name in run.links:
        return run.links[name].mac
    return (run.document.desired(NAME, name) or {}).get("mac") or stable_mac(gateway)


def stable_mac(gateway: str) -> str:
    """A bridge address that stays when the bridge is made anew: 0a:58 and the IPv4 gateway, as kubenet had it for a
    time (kubenet.md section 14); for IPv6 alone, a hash of the gateway."""
    octets = bytes(int(part) for part in gateway.split(".")) if "." in gateway else hashlib.sha256(gateway.encode()).digest()[:4]
    return "0a:58:" + ":".join(f"{octet:02x}" for octet in octets)


def _has_ipv6(networks: t.Sequence[t.Any]) -> bool:
    return any(network.version == 6 for network in networks)


def _resolve_mtu(options: Options, networks: t.Sequence[t.Any], run: Run) -> int:
    if options["mtu"] != "auto":
        return int(options["mtu"])
    ways = mtu.Routes(routes.default_route_links(), routes.next_hop_links())
    choice = mtu.choose(run.links.values(), ways, options["name"], options["mtu_from"])
    run.warnings += [f"{NAME}: {warning}" for warning in choice.warnings]
    less = overhead.find(options["mtu_overhead"] or "0")[0]
    least, whom = (MTU_IPV6, "the IPv6 pod CIDR") if _has_ipv6(networks) else (mtu.SMALLEST, "pods")
    if choice.mtu - less < least:
        source = f"{choice.mtu} of {choice.link}" if choice.link else str(choice.mtu)
        said = f"{options['mtu_overhead']!r} leaves {choice.mtu - less} of the {source}" if less else f"auto finds {source}"
        run.refuse("mtu_overhead" if less else "mtu", f"{said}, too small for {whom} (expected interfaces, or an mtu, of at least {least + less})")
    return choice.mtu - less


def _warn_of_lost_gateways(name: str, networks: t.Sequence[t.Any], ports: t.Sequence[bridge_pods.Port], stale: t.Sequence[str], run: Run) -> None:
    """Pods keep the addresses and the gateway that they were started with, so a new range cuts off those that run."""
    link = run.links.get(name)
    leaving = sorted(set(link.addresses) - {cidr.gateway_interface(network) for network in networks}) if link else []
    unseen = [port.name for port in ports if port.is_veth and port.addresses is None] if leaving else []
    if stale or unseen:
        said = f"{', '.join(leaving)} goes away from {name}" if leaving else f"{name} has {', '.join(str(network) for network in networks)}"
        hidden = [f"{port} (whose address is not seen)" for port in unseen]
        run.warnings.append(f"{NAME}: {said}, and pods with addresses outside are cut off until they are started anew: {', '.join([*stale, *hidden])}")


def _warn_of_lost_ports(name: str, networks: t.Sequence[t.Any], run: Run) -> None:
    lost = bridge_pods.lost_ports(networks, run)
    if lost:
        text = f"pods of this range are no ports of {name}, as after it was taken away, and reach nothing: {', '.join(lost)}"
        run.warnings.append(f"{NAME}: {text}; start them anew, or put each back with: ip link set VETH master {name}")


def _warn_of_pending_mtu(desired: t.Mapping[str, t.Any], size: int, waiting: t.Sequence[bridge_pods.Port], run: Run) -> None:
    if waiting:
        said = ", ".join(f"{port.name} ({port.mtu})" for port in waiting)
        text = f"the MTU of {desired['name']} stays {size} until the last pod with less than {desired['mtu']} has left: {said}"
        run.warnings.append(f"{NAME}: {text}; a run after that raises it. New pods get {desired['mtu']}")


def _warn_of_other_mtu(desired: t.Mapping[str, t.Any], run: Run) -> None:
    """In a run of its own, this section does not write the networks on the bridge."""
    for network in run.document.instances("networks"):
        settings = run.document.desired("networks", network) or {}
        for plugin in settings["plugins"] if "networks" not in run.sections else []:
            if plugin.get("bridge") == desired["name"] and plugin.get("mtu", desired["mtu"]) != desired["mtu"]:
                text = f"{settings['filename']} still gives pods an MTU of {plugin['mtu']}; node_network keeps both in step"
                run.warnings.append(f"{NAME}: {text}")


def _check_node(name: str, networks: t.Sequence[t.Any], run: Run) -> None:
    link = run.links.get(name)
    if link is not None and link.kind != "bridge":
        run.refuse("name", f"{name!r} is already there as {_kind(link.kind)} (expected a bridge or a free name)")
        return
    for index, network in enumerate(networks):
        taken = _addresses_inside(name, network, run) or _routes_inside(name, network, run)  # an address comes with a route
        for text in taken:
            run.refuse(f"pod_cidrs[{index}]", f"{network} {text}")
    if _has_ipv6(networks):
        _check_ipv6(name, run)


def _addresses_inside(name: str, network: t.Any, run: Run) -> list[str]:
    texts = []
    for other in run.links.values():
        for address in other.addresses if other.name != name else ():
            if ipaddress.ip_interface(address).ip in network:
                ours = other.name in run.document.instances(NAME)
                hint = f"; {other.name} is this collection's, take it away first (state: absent)" if ours else ""
                texts.append(f"holds {address}, the node's own address on {other.name} (expected a range of its own for pods){hint}")
    return texts


def _routes_inside(name: str, network: t.Any, run: Run) -> list[str]:
    """Routes of others to this range, or to a part of it: the bridge would take their packets, or they those of pods.

    A wider route, such as that of a whole site to its router, is none, nor is one to a single pod by its own link, as other plugins
    make them: pods that run stay reachable until they are gone.
    """
    links = {link.index: link for link in run.links.values()}
    first, last = int(network.network_address), int(network.broadcast_address)
    texts = []
    for route in routes.others():
        hops = [links.get(hop.link) for hop in route.hops]
        own = all(link is not None and (link.name == name or (link.kind == "veth" and route.first == route.last)) for link in hops)
        if not own and route.table == routes.RT_TABLE_MAIN and route.version == network.version and first <= route.first and route.last <= last:
            texts.append(f"is where this node has a route already: {route} (expected a range of its own for pods, or that route taken away)")
    return texts


def _check_ipv6(name: str, run: Run) -> None:
    """A link that is to come, or one whose MTU has been too small for IPv6, begins with the default."""
    own = f"net/ipv6/conf/{name}/disable_ipv6"
    for key in ("net/ipv6/conf/all/disable_ipv6", own if sysctls.read(own) is not None else "net/ipv6/conf/default/disable_ipv6"):
        if sysctls.read(key) != "0":
            said = key if "." in key else key.replace("/", ".")
            run.refuse("pod_cidrs", f"has an IPv6 range, but IPv6 is switched off on this node ({said}); set that to 0 first")
            return


def _kind(kind: str) -> str:
    return f"a link of kind {kind}" if kind else "a network interface"


def _removal(name: str, force: bool, run: Run) -> list[Part]:
    if run.document.objects(NAME, name):
        _check_ports(name, force, run)
    elif name in run.links:
        run.warnings.append(f"{NAME}: {name} is there, but this collection did not make it; it was left alone")
    return [removal(NAME, name, functools.partial(revive, run.document))]


def _check_ports(name: str, force: bool, run: Run) -> None:
    """Removing a bridge cuts off the pods on it."""
    ports = bridge_pods.ports_of(name, run)
    many = "" if len(ports) == 1 else "s"
    said = f"{len(ports)} pod{many}: {name} has the port{many} {bridge_pods.names(ports)}"
    if ports and force:
        run.warnings.append(f"{NAME}: cut off {said}; start them anew on another network")
    elif ports:
        run.refuse("state", f"absent would cut off {said} (expected: remove the pods first, or force=true)")


def revive(document: Document, object_id: str) -> Resource:
    kind = object_id.partition(":")[0]
    if kind == "hairpin":
        return hairpin.revive(document, object_id)
    if kind in ("file", "folder"):
        return dropin.revive(object_id)
    return dedup.revive(object_id) if kind.startswith("dedup") else resource.revive(object_id)

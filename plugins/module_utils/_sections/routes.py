# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import typing as t

from .._addressing import peers as site
from .._addressing.cidr import WIDTHS
from .._addressing.peers import Address, Cidr, Peer
from .._converge import Part, Want
from .._errors import Problem
from .._host import files, routes, services
from .._resource import Resource
from .._resources import dropin, file, route_set, unit
from . import boot_service
from .base import Options, Run, removal
from .late import ROUTES

NAME = "routes"
OPTIONS = ROUTES
INSTANCE = "node"
#: Nothing here is left to the node to choose.
AUTO: tuple[str, ...] = ()
HEADER = f"# Written by kubenode.network.{NAME}\n"
#: So that ip(8) shows a name (iproute2 reads this folder since 4.10).
PROTOCOLS_FILE = "/etc/iproute2/rt_protos.d/kubenode.conf"
PROTOCOL = "kubenode"
#: systemd-networkd takes routes of others away whenever it configures a link, as when it starts (networkd.conf(5), since 246).
NETWORKD_FILE = f"{dropin.NETWORKD_SETTINGS}/90-kubenode-network.conf"
#: The boot unit comes before the links have their addresses, which the next hops need; and when a link goes down, or a network manager sets
#: it up anew, the kernel takes the routes by it away. This unit brings them back.
UNIT = "kubenode-network-routes.service"
UNIT_TEXT = f"""\
[Unit]
Description=Routes to the pods of other nodes
Documentation=https://github.com/kubenode/network
After={boot_service.UNIT}
ConditionPathExists={boot_service.COMMAND}
RequiresMountsFor={boot_service.COMMAND} {boot_service.PROGRAM} /etc/kubenode-network

[Service]
ExecStart=/bin/sh {boot_service.COMMAND} watch
Restart=always
RestartSec=1

[Install]
WantedBy={boot_service.WANTED_BY}
"""


def check(options: Options) -> list[Problem]:
    if options["state"] == "absent" or "ways" in options:
        return []
    if options["peers"] is None:
        return [Problem("peers", "is required when state is present (expected each node's pod_cidrs and addresses, as pod_cidr returns them)")]
    nameless = Problem("node", "'' is not a name (expected that of this node in peers, or to leave it out)")
    return [*([nameless] if options["node"] == "" else []), *_parsed(options["peers"])[1]]


#: What was made of the peers of this run: there are thousands.
_last: tuple[t.Any, tuple[list[Peer], list[Problem]]] | None = None


def _parsed(peers: t.Any) -> tuple[list[Peer], list[Problem]]:
    global _last
    if _last is None or _last[0] is not peers:
        found, problems = site.unpack(peers)
        _last = peers, ([], problems) if problems else site.parse(found, by=routes.number)
    return _last[1]


def resolved(desired: t.Mapping[str, t.Any]) -> Options:
    """The options that give the same part. A next hop that is not there yet is waited for then."""
    return {"peers": None, "node": desired["node"], "state": "present", "ways": desired["routes"]}


def parts(options: Options, run: Run) -> list[Part]:
    joined = routes.joined((run.document.desired(NAME, INSTANCE) or {"routes": {}})["routes"])
    if joined and "ways" in options:
        run.warnings.append(f"{NAME}: {joined[0]} has next hops of others beside ours, and so no route is changed")
        return [Part(NAME, INSTANCE, {"node": options["node"], "routes": dict(options["ways"])}, [*_files(run), *_unit(run)], revive)]
    if joined:
        text = "has next hops of others beside ours, which the kernel has joined to it (expected those taken away by whoever made them)"
        run.refuse("state" if options["state"] == "absent" else "peers", f"{joined[0]} {text}")
        return []
    if options["state"] == "absent":
        if not run.document.objects(NAME, INSTANCE) and routes.own():
            run.warnings.append(f"{NAME}: there are routes of protocol {routes.OURS}, but the document does not name them; they were left alone")
        return [removal(NAME, INSTANCE, revive)]
    if "ways" in options:  # at boot, when no unit is to wait for another one
        wanted: t.Mapping[str, str] = options["ways"]
        now, waiting = _possible(wanted, run)
        running: list[Want] = []
    else:
        now = wanted = _wanted(options, run)
        waiting, running = None, _running(run)
    desired = {"node": options["node"], "routes": dict(wanted)}
    run.results[NAME] = {"count": len(wanted), "protocol": routes.OURS, "next_hops": len(set(wanted.values()))}
    wants = [*_files(run), Want(route_set.RouteSet(waiting), dict(now) or None), *_unit(run), *running]
    return [Part(NAME, INSTANCE, desired, wants, revive)]


def _files(run: Run) -> list[Want]:
    texts = {PROTOCOLS_FILE: f"{routes.OURS} {PROTOCOL}\n"}
    if services.networkd_installed():
        texts[NETWORKD_FILE] = "[Network]\nManageForeignRoutes=no\n"
    wants = []
    for path, text in texts.items():
        resource = file.File(path, files.Bytes(f"{HEADER}{text}".encode()))
        wants += [*file.folder_wants(os.path.dirname(path), run.document), Want(resource, resource.wanted())]
    return wants


def _unit(run: Run) -> list[Want]:
    return boot_service.unit_wants(UNIT, f"{HEADER}{UNIT_TEXT}", run) if services.systemd_installed() else []


def _running(run: Run) -> list[Want]:
    """The unit's program comes by section boot_service."""
    planned = run.sections.get(boot_service.NAME)
    has_program = planned[0]["state"] == "present" if planned else bool(run.document.instances(boot_service.NAME))
    return [Want(unit.Running(UNIT), {"active": True}, last=True)] if has_program and services.systemd_runs() else []


# What the peers mean on this node


def _wanted(options: Options, run: Run) -> dict[str, str]:
    """Prefix -> next hop, for each pod CIDR of another node. Adds to ``run.problems``."""
    found, _problems = _parsed(options["peers"])
    others = [peer for peer in found if peer.name != options["node"]]
    _refuse_own(others, run)
    if run.problems:
        return {}
    table = _Table(run)
    ways: dict[str, str] = {}
    far = []
    for peer in others:
        for one in peer.pod_cidrs:
            via = table.first_on_link(address for address in peer.addresses if address.version == one.version)
            if via is None:
                far.append((peer, one))
            else:
                ways[one.text] = via.text
    _refuse_far(far, table, run)
    _refuse_foreign(others, table, run)
    return ways


def _refuse_own(others: t.Sequence[Peer], run: Run) -> None:
    """What is this node's own belongs to no other one: then it is here by another name than it was said to be."""
    own = {address.partition("/")[0] for link in run.links.values() for address in link.addresses}
    pods = site.Ranges(site.cidrs_of(_own_pod_cidrs(run)))
    hint = "(expected node to be the name of this node in peers)"
    for peer in others:
        for address in peer.addresses:
            if address.text in own:
                run.refuse(address.path, f"{address.text!r} is an address of this node itself {hint}")
        for one in peer.pod_cidrs:
            for mine in pods.within(one.version, one.first, one.last):
                run.refuse(one.path, f"{one.text!r} overlaps {mine.text}, the range of this node's own pods {hint}")


def _own_pod_cidrs(run: Run) -> list[str]:
    going = [bridge["name"] for bridge in run.sections.get("kubenet_bridge", ())]
    there = [run.document.desired("kubenet_bridge", name) or {} for name in run.document.instances("kubenet_bridge") if name not in going]
    return [text for bridge in [*there, run.planned.bridge or {}] for text in bridge.get("pod_cidrs", ())]


def _refuse_far(far: t.Sequence[tuple[Peer, Cidr]], table: _Table, run: Run) -> None:
    """A next hop that is not on-link is behind a router, which has to know the pods then."""
    if not far:
        return
    peer, one = far[0]
    addresses = [address for address in peer.addresses if address.version == one.version]
    routers = table.routers_to(addresses[0])
    more = sorted({other.name for other, _one in far[1:]} - {peer.name})
    said = f"{', '.join(address.text for address in addresses)} is in no network that this node is connected to by a link that is up"
    those = f"; the same for {len(more)} more, {', '.join(more[:3])}{' and others' if len(more) > 3 else ''}" if more else ""
    where = f"the router {' or '.join(routers)}" if routers else "the router between them"
    todo = f"configure in {where} a route to {one.text} via {addresses[0].text}{', and so for the others' if more else ''}; playbook export_routes prints them"
    run.refuse(f"peers.{peer.name}.addresses", f"{said}{those} (expected an address on-link here, or no routes by the nodes: then {todo})")


def _refuse_foreign(others: t.Sequence[Peer], table: _Table, run: Run) -> None:
    """Routes of others to the very prefixes stay theirs; those inside of them take their packets away, which may be meant."""
    ranges = site.Ranges(one for peer in others for one in peer.pod_cidrs)
    for route, holder in table.inside(ranges):
        if route.prefix == holder.text:
            text = f"{holder.text!r} has a route already that is not ours: {route} (expected it taken away by whoever made it)"
            run.refuse(holder.path, text)
        else:
            run.warnings.append(f"{NAME}: {route} is inside of {holder.text} of {holder.name}, and keeps its packets")


def _possible(wanted: t.Mapping[str, str], run: Run) -> tuple[dict[str, str], str | None]:
    """What there can be at once of the routes in the document, and if that is nothing, what they wait for."""
    table = _Table(run)
    taken = {route.prefix for route, _holder in table.inside(site.Ranges(site.cidrs_of(wanted, routes.number)))}
    on_link = {via: table.first_on_link([address]) is not None for via, address in ((via, site.address(via, routes.number)) for via in set(wanted.values()))}
    now = {prefix: via for prefix, via in wanted.items() if on_link[via] and prefix not in taken}
    late = sorted(via for via, is_there in on_link.items() if not is_there)
    if late:
        run.warnings.append(f"{NAME}: {len(wanted) - len(now)} routes are left for later, no link that is up leads to {', '.join(late[:3])}")
    for prefix in sorted(taken & wanted.keys()):
        run.warnings.append(f"{NAME}: {prefix} has a route already that is not ours, which stays")
    return now, f"a link to {late[0]}" if late and not now else None


class _Table:
    """The node's main table, to be asked what is on-link."""

    def __init__(self, run: Run) -> None:
        self._bridges = {bridge["name"] for bridge in run.sections.get("kubenet_bridge", ())} | set(run.document.instances("kubenet_bridge"))
        self._links = {link.index: link for link in run.links.values()}
        self.routes = sorted((route for route in routes.others() if route.table == routes.RT_TABLE_MAIN), key=lambda route: route.metric)
        self._by_length: dict[tuple[int, int], dict[int, routes.Route]] = {}
        for route in self.routes:
            self._by_length.setdefault((route.version, route.length), {}).setdefault(route.number, route)
        self._lengths = sorted(self._by_length, reverse=True)

    def best(self, address: Address) -> routes.Route | None:
        """The route by which packets to it leave."""
        for version, length in self._lengths:
            if version == address.version:
                route = self._by_length[version, length].get(address.number >> (WIDTHS[version] - length))
                if route is not None:
                    return route
        return None

    def first_on_link(self, addresses: t.Iterable[Address]) -> Address | None:
        return next((address for address in addresses if self._is_on_link(self.best(address))), None)

    def _is_on_link(self, route: routes.Route | None) -> bool:
        """By a default route without a gateway everything would be."""
        if route is None or route.kind != routes.RTN_UNICAST or route.is_default or any(hop.gateway for hop in route.hops):
            return False
        links = [self._links.get(hop.link) for hop in route.hops]
        return all(link is not None and "UP" in link.flags and link.name not in self._bridges for link in links)

    def routers_to(self, address: Address) -> list[str]:
        route = self.best(address)
        return [hop.gateway for hop in route.hops if hop.gateway] if route else []

    def inside(self, ranges: site.Ranges) -> list[tuple[routes.Route, Cidr]]:
        """The routes that lead to no more than one of the ranges, each with that one."""
        held = ((route, ranges.holding(route.version, route.first), ranges.holding(route.version, route.last)) for route in self.routes)
        return [(route, first) for route, first, last in held if first is not None and first == last]


def revive(object_id: str) -> Resource:
    if object_id.startswith("routes:"):
        return route_set.RouteSet()
    if object_id.startswith("running:"):
        return unit.Running(object_id.partition(":")[2])
    return dropin.revive(object_id) if dropin.UNITS in object_id else file.revive(object_id)

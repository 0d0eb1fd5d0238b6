# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What section kubenet_bridge knows of the pods on its bridge, and owes them."""

from __future__ import annotations

import ipaddress
import typing as t

from .._converge import Want
from .._host import far_ends, files, leases
from .._resources import hairpin
from .base import Run

HAIRPIN_VETH = "hairpin-veth"


class Port(t.NamedTuple):
    """A port of the bridge. ``mtu``: of the port, or of the pod's end if that is smaller. ``addresses``: what the pod has on it, of
    global scope; None where the kernel does not say."""

    name: str
    is_veth: bool
    hairpin: bool
    mtu: int
    addresses: tuple[str, ...] | None


def ports_of(bridge: str, run: Run) -> list[Port]:
    ports = []
    for link in sorted(run.links.values(), key=lambda link: link.name):
        if link.master == bridge:
            end = far_ends.read(link, run.links) if link.kind == "veth" else None
            smallest = min(link.mtu, end.mtu) if end else link.mtu
            ports.append(Port(link.name, link.kind == "veth", link.hairpin, smallest, end.addresses if end else None))
    return ports


def lost_ports(ranges: t.Sequence[t.Any], run: Run) -> list[str]:
    """Pods with an address in the ranges whose veth is a port of nothing, as ``veth1 (10.244.1.5)``: their bridge went away under them, and
    a new one does not get its ports back."""
    lost = []
    for link in sorted(run.links.values(), key=lambda link: link.name):
        end = far_ends.read(link, run.links) if link.kind == "veth" and not link.master else None
        addresses = end.addresses if end else ()
        if any(ipaddress.ip_address(address) in one for address in addresses for one in ranges):
            lost.append(f"{link.name} ({', '.join(addresses)})")
    return lost


def fitting_mtu(goal: int, least: int, ports: t.Sequence[Port]) -> int:
    """The MTU for a bridge that is to have ``goal`` one day: never more than an attached pod has, whose full-size packets would vanish
    without an ICMP (measured), nor less than ``least``."""
    return max(min([goal, *(port.mtu for port in ports)]), least)


def hairpin_wants(section: str, bridge: str, mode: str, ports: t.Sequence[Port], run: Run) -> list[Want]:
    """The hairpin flag of the ports that are there; later ones have it from the plugin list.

    ``hairpin-veth`` turns it on at every veth. When the mode is another one again, all that it turned on, or the list of that time,
    is turned off; a port that had the flag before stays as it was found. What the document holds of ports that are gone stays in it until
    the mode changes, so that a pod's end is no change of the node.
    """
    known, wanted_on = run.document.objects(section, bridge), mode == HAIRPIN_VETH
    mode_before = (run.document.desired(section, bridge) or {}).get("hairpin_mode")
    was_on = mode_before == HAIRPIN_VETH
    wants = []
    for port in ports:
        record = known.get(hairpin.HairpinPort(bridge, port.name, gone=False).id)
        if not port.is_veth:
            continue
        if wanted_on and (record or not was_on or not port.hairpin):
            wants.append(Want(hairpin.HairpinPort(bridge, port.name, gone=True), True))
        elif not wanted_on and (record or (was_on and port.hairpin)):
            found = bool(record and record["found"])
            wants.append(Want(hairpin.HairpinPort(bridge, port.name, gone=found, before=found), found))
    there = {want.resource.id for want in wants}
    for object_id in known if mode == mode_before else ():
        if object_id.startswith("hairpin:") and object_id not in there:
            resource = hairpin.revive(run.document, object_id)
            resource.gone = wanted_on or resource.gone
            wants.append(Want(resource, resource.gone))
    return wants


def holders_outside(bridge: str, ranges: t.Sequence[t.Any], ports: t.Sequence[Port], run: Run) -> list[str]:
    """Who holds an address outside of the pods' ranges, as ``veth1 (10.244.1.5, sandbox 0123456789ab)``: ports whose pod has no address of
    a family in them, and leases of the networks on the bridge that no port shows."""
    sandboxes = _leased()
    outside = {port.name: _outside(port.addresses or (), ranges) for port in ports}
    said = [f"{name} ({_with_sandbox(addresses, sandboxes)})" for name, addresses in outside.items() if addresses]
    seen = {address for port in ports for address in port.addresses or ()}
    for network in networks_on(bridge, run):
        for lease in leases.read_leases(leases.DATA_DIR, network):
            if lease.address not in seen and _outside([lease.address], ranges):
                said.append(f"no port (lease {_with_sandbox([lease.address], sandboxes)})")
    return said


def _outside(addresses: t.Sequence[str], ranges: t.Sequence[t.Any]) -> list[str]:
    """The addresses of each family of which none is in the ranges."""
    parsed = [ipaddress.ip_address(address) for address in addresses]
    inside = {address.version for address in parsed if any(address in one for one in ranges)}
    return [str(address) for address in parsed if address.version not in inside]


def _leased() -> dict[str, str]:
    """Address -> sandbox, of every network that host-local knows."""
    known = [lease for network in files.entries(leases.DATA_DIR) for lease in leases.read_leases(leases.DATA_DIR, network)]
    return {lease.address: lease.container_id for lease in known if lease.container_id}


def _with_sandbox(addresses: t.Sequence[str], sandboxes: t.Mapping[str, str]) -> str:
    ids = {sandboxes[address][:12] for address in addresses if address in sandboxes}
    return ", ".join([*addresses, *(f"sandbox {sandbox}" for sandbox in sorted(ids))])


def networks_on(bridge: str, run: Run) -> list[str]:
    """The networks of ours whose pods are on the bridge."""
    chains = {name: (run.document.desired("networks", name) or {}).get("plugins", []) for name in run.document.instances("networks")}
    return [name for name, chain in chains.items() if any(plugin.get("bridge") == bridge for plugin in chain)]


def names(ports: t.Sequence[Port]) -> str:
    """Ports with what their pods have: ``veth1 (10.244.1.5), veth2``."""
    return ", ".join(f"{port.name} ({', '.join(port.addresses)})" if port.addresses else port.name for port in ports)

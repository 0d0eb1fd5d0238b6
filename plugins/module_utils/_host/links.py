# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import contextlib
import json
import os
import typing as t

from .._errors import NodeError
from . import libraries
from .files import read_text
from .process import changing, once, output, seen

# Reading goes through iproute2, which costs a millisecond; pyroute2 costs 70 ms to import and is there to change things.

IFF_UP = 0x1
IFF_PROMISC = 0x100
IFA_F_NODAD = 0x02
NET_ADDR_SET = 3
#: What the kernel takes for a bridge (br_dev_setup).
LARGEST_MTU = 65535


class Link(t.NamedTuple):
    """A network interface as the kernel shows it."""

    name: str
    index: int  # type: ignore[assignment]  # not that of a tuple
    kind: str  # "bridge", "veth", … or "" for hardware
    mtu: int
    flags: frozenset[str]  # UP, LOWER_UP (carrier), LOOPBACK, POINTOPOINT, PROMISC, …
    mac: str
    master: str  # the bridge or bond that it is a port of, or ""
    port_of: str  # kind of that master as the port sees it: "bridge", "bond", … or ""
    addresses: tuple[str, ...]  # "10.0.0.1/24", global scope only, in the kernel's order
    txqueuelen: int = 1000  # packets
    hairpin: bool = False  # of a bridge's port
    peer: tuple[int, int] | None = None  # number of the other network namespace that a veth's far end is in, and its index there
    peer_name: str = ""  # of a far end in this namespace


def read_links() -> dict[str, Link]:
    """Every link of the node by name."""
    return once(_read_links, "links")


def _read_links() -> dict[str, Link]:
    """iproute2 prints a name as it is, control characters too."""
    links = {}
    for item in json.loads(seen(["ip", "-j", "-d", "address", "show"]) or "[]", strict=False):
        if not item:
            continue  # iproute2 5.10 prints empty objects for what a filter leaves out
        info = item.get("linkinfo") or {}
        links[item["ifname"]] = Link(
            name=item["ifname"],
            index=item["ifindex"],
            kind=info.get("info_kind", ""),
            mtu=item["mtu"],
            flags=frozenset(item["flags"]),
            mac=item.get("address", ""),
            master=item.get("master", ""),
            port_of=info.get("info_slave_kind", ""),
            addresses=tuple(
                f"{address['local']}/{address['prefixlen']}" for address in item.get("addr_info", []) if address.get("scope") == "global" and "local" in address
            ),
            txqueuelen=item.get("txqlen", 0),  # iproute2 leaves a zero out
            hairpin=bool((info.get("info_slave_data") or {}).get("hairpin")),
            peer=(item["link_netnsid"], item["link_index"]) if {"link_netnsid", "link_index"} <= set(item) else None,
            peer_name=item.get("link") or "",
        )
    return links


def create_bridge(name: str, mac: str) -> None:
    with _changing(name) as netlink:
        netlink.link("add", ifname=name, kind="bridge", address=mac)


def delete_link(name: str) -> None:
    with _changing(name) as netlink:
        netlink.link("del", index=_index(netlink, name))


def set_mtu(name: str, mtu: int) -> None:
    """Sets the MTU so that the kernel keeps it.

    A bridge follows the smallest MTU of its ports, and goes back to 1500 without ports, until somebody sets its MTU;
    setting the value that it has already does not count, so it goes by way of another one (kubenet.md section 4): a larger one,
    since with a smaller one a packet that passes in that moment would be answered with ICMP, and its sender remember it.
    """
    with _changing(name) as netlink:
        index = _index(netlink, name)
        if netlink.get_links(index)[0].get_attr("IFLA_MTU") == mtu:
            netlink.link("set", index=index, mtu=mtu + 1 if mtu < LARGEST_MTU else mtu - 1)
        netlink.link("set", index=index, mtu=mtu)


def set_txqueuelen(name: str, packets: int) -> None:
    with _changing(name) as netlink:
        netlink.link("set", index=_index(netlink, name), txqlen=packets)


def mac_is_set(name: str) -> bool:
    """Whether somebody set the link's address: a bridge whose address nobody set takes on the lowest one of its ports, again and
    again. True where sysfs does not say."""
    return (read_text(f"/sys/class/net/{name}/addr_assign_type") or str(NET_ADDR_SET)).strip() == str(NET_ADDR_SET)


def attach(port: str, bridge: str) -> None:
    output(["ip", "link", "set", "dev", port, "master", bridge])


def set_hairpin(port: str, on: bool) -> None:
    """Whether the bridge sends frames back by the port that they came in."""
    output(["ip", "link", "set", "dev", port, "type", "bridge_slave", "hairpin", "on" if on else "off"])


def set_flags(name: str, *, up: bool | None = None, promisc: bool | None = None) -> None:
    flags = (IFF_UP if up else 0) | (IFF_PROMISC if promisc else 0)
    mask = (IFF_UP if up is not None else 0) | (IFF_PROMISC if promisc is not None else 0)
    with _changing(name) as netlink:
        netlink.link("set", index=_index(netlink, name), flags=flags, change=mask)


def set_mac(name: str, mac: str) -> None:
    with _changing(name) as netlink:
        netlink.link("set", index=_index(netlink, name), address=mac)


def add_address(name: str, address: str) -> None:
    """Adds ``10.0.0.1/24`` or ``fd00::1/64``. IPv6 without duplicate address detection: on a bridge without ports it
    would never end, and pods could not use their gateway in their first second."""
    host, _slash, length = address.partition("/")
    with _changing(name) as netlink:
        if ":" in host:
            netlink.addr("add", index=_index(netlink, name), address=host, prefixlen=int(length), flags=IFA_F_NODAD)
        else:
            netlink.addr("add", index=_index(netlink, name), address=host, prefixlen=int(length))


def delete_address(name: str, address: str) -> None:
    host, _slash, length = address.partition("/")
    with _changing(name) as netlink:
        netlink.addr("del", index=_index(netlink, name), address=host, prefixlen=int(length))


@contextlib.contextmanager
def _changing(name: str) -> t.Iterator[t.Any]:
    """pyroute2, whose errors then say which link could not be changed."""
    try:
        with _netlink() as netlink:
            yield netlink
    except NodeError:
        raise
    except Exception as error:  # NetlinkError is not to be had before pyroute2 is imported, and is no OSError
        said = os.strerror(error.code) if hasattr(error, "code") else str(error)
        raise NodeError(f"the interface {name} cannot be changed: {said}") from error


def _netlink() -> t.Any:
    changing()
    return libraries.load("pyroute2").IPRoute()


def _index(netlink: t.Any, name: str) -> int:
    found = netlink.link_lookup(ifname=name)
    if not found:
        raise NodeError(f"the interface {name} is no longer there")
    return found[0]

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The links by which packets leave the node, asked of the kernel itself (rtnetlink(7)): every run wants to know, and two runs of
ip(8) would cost it ten times as much."""

from __future__ import annotations

import contextlib
import socket
import struct
import typing as t

from .._errors import NodeError
from .process import once

# linux/netlink.h, linux/rtnetlink.h
NLMSG_ERROR, NLMSG_DONE, RTM_NEWROUTE, RTM_GETROUTE = 2, 3, 24, 26
NLM_F_REQUEST, NLM_F_DUMP_INTR, NLM_F_DUMP = 0x1, 0x10, 0x300
RTM_F_CLONED = 0x200
RTA_OIF, RTA_GATEWAY, RTA_MULTIPATH, RTA_TABLE, RTA_VIA = 4, 5, 9, 15, 18
RT_TABLE_MAIN, RTPROT_RA = 254, 9
_HEADER = struct.Struct("=IHHII")  # struct nlmsghdr: length, type, flags, sequence, port
_ROUTE = struct.Struct("=8BI")  # struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type; flags
_HOP = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, hops, link
_ATTRIBUTE = struct.Struct("=HH")  # struct rtattr: length, type
_TYPE = 0x3FFF  # of an attribute, without its flags
#: Dumps that a change of the routes spoils before it is taken for an error.
_TRIES = 10


class Hop(t.NamedTuple):
    """One way of a route: the number of the link, 0 for none, and whether it leads to a next hop."""

    link: int
    has_gateway: bool


class Route(t.NamedTuple):
    family: int
    is_default: bool  # and of the main table
    protocol: int
    hops: list[Hop]


def default_route_links() -> set[str]:
    """Names of the links by which a default route of either family leaves, ECMP next hops included."""
    return _names(hop for route in _routes() if route.is_default for hop in route.hops)


def next_hop_links() -> set[str]:
    """Names of the links by which the node reaches a next hop, of a default route or of any other: the ways to other hosts."""
    return _names(hop for route in _routes() for hop in route.hops if route.is_default or hop.has_gateway)


def router_advertised_links() -> set[str]:
    """Names of the links whose IPv6 default route the kernel learned from router advertisements."""
    learned = [route for route in _routes() if route.family == socket.AF_INET6 and route.protocol == RTPROT_RA]
    return _names(hop for route in learned if route.is_default for hop in route.hops)


def _names(hops: t.Iterable[Hop]) -> set[str]:
    names = set()
    for link in {hop.link for hop in hops if hop.link}:
        with contextlib.suppress(OSError):  # it went meanwhile
            names.add(socket.if_indextoname(link))
    return names


def _routes() -> list[Route]:
    """The routes of all tables, of IPv4 and IPv6."""
    return once(_read, "routes")


def _read() -> list[Route]:
    try:
        with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE) as kernel:
            for number in range(1, _TRIES + 1):
                kernel.send(_HEADER.pack(_HEADER.size + _ROUTE.size, RTM_GETROUTE, NLM_F_REQUEST | NLM_F_DUMP, number, 0) + bytes(_ROUTE.size))
                bodies, is_whole = _dump(kernel)
                if is_whole:
                    return [route for body in bodies for route in _route(body)]
    except OSError as error:
        raise NodeError(f"the routes could not be read: {error.strerror or error}") from error
    raise NodeError("the routes could not be read: they changed all the time")


def _dump(kernel: socket.socket) -> tuple[list[bytes], bool]:
    """What the kernel answers, and whether nothing changed meanwhile."""
    bodies: list[bytes] = []
    is_whole = True
    while True:
        data = kernel.recv(1 << 18)
        while data:
            length, kind, flags, _sequence, _port = _HEADER.unpack_from(data)
            body, data = data[_HEADER.size : length], data[_aligned(length) :]
            is_whole = is_whole and not flags & NLM_F_DUMP_INTR
            if kind in (NLMSG_DONE, NLMSG_ERROR):
                number = -struct.unpack_from("=i", body)[0] if len(body) >= 4 else 0
                if number:
                    raise OSError(number, f"netlink error {number}")
                return bodies, is_whole
            if kind == RTM_NEWROUTE:
                bodies.append(body)


def _route(body: bytes) -> t.Iterator[Route]:
    family, dst_len, _src_len, _tos, table, protocol, _scope, _type, flags = _ROUTE.unpack_from(body)
    if family not in (socket.AF_INET, socket.AF_INET6) or flags & RTM_F_CLONED:
        return
    attributes = _attributes(body[_ROUTE.size :])
    table = _number(attributes.get(RTA_TABLE)) or table
    hops = list(_hops(attributes[RTA_MULTIPATH])) if RTA_MULTIPATH in attributes else [_hop(_number(attributes.get(RTA_OIF)), attributes)]
    yield Route(family, dst_len == 0 and table == RT_TABLE_MAIN, protocol, hops)


def _hops(data: bytes) -> t.Iterator[Hop]:
    while len(data) >= _HOP.size:
        length, _flags, _weight, link = _HOP.unpack_from(data)
        yield _hop(link, _attributes(data[_HOP.size : length]))
        data = data[max(_aligned(length), _HOP.size) :]


def _hop(link: int, attributes: t.Mapping[int, bytes]) -> Hop:
    return Hop(link, RTA_GATEWAY in attributes or RTA_VIA in attributes)


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack_from(data)
        found[kind & _TYPE] = data[_ATTRIBUTE.size : length]
        data = data[max(_aligned(length), _ATTRIBUTE.size) :]
    return found


def _number(data: bytes | None) -> int:
    return struct.unpack("=I", data)[0] if data else 0


def _aligned(length: int) -> int:
    return (length + 3) & ~3

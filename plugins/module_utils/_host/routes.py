# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The node's routes, asked of the kernel itself: every run wants to know them, and two runs of ip(8) would cost it ten times as much."""

from __future__ import annotations

import contextlib
import re
import socket
import struct
import time
import typing as t

from .._errors import NodeError
from . import rtnetlink
from .process import changing, once

# linux/rtnetlink.h
RTM_NEWROUTE, RTM_DELROUTE, RTM_GETROUTE = 24, 25, 26
RTM_NEWLINK, RTM_NEWADDR, RTM_DELADDR = 16, 20, 21
RTM_F_CLONED = 0x200
RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_MULTIPATH, RTA_CACHEINFO, RTA_TABLE, RTA_VIA, RTA_PREF = 1, 4, 5, 6, 9, 12, 15, 18, 20
RTNH_F_ONLINK = 0x4
RTN_UNICAST = 1
RT_TABLE_MAIN, RT_SCOPE_UNIVERSE, RTPROT_RA = 254, 0, 9
#: Of the routes that are ours. Nobody's in linux/rtnetlink.h, in iproute2's rt_protos, in FRR's (186 to 198), and among those that
#: network systems of Kubernetes take for themselves (Calico 80, OVN 84, Kilo 44, kube-router 17).
OURS = 107
PROTOCOLS = {1: "redirect", 2: "kernel", 3: "boot", 4: "static", 9: "ra", 11: "zebra", 12: "bird", 16: "dhcp", 18: "keepalived", 186: "bgp", 188: "ospf"}
FAMILIES = (socket.AF_INET, socket.AF_INET6)
#: Bytes of an address -> the metric that the kernel gives to a route without one (IP6_RT_PRIO_USER).
_METRIC = {4: 0, 16: 1024}
_ROUTE = struct.Struct("=8BI")  # struct rtmsg: family, dst_len, src_len, tos, table, protocol, scope, type; flags
_HOP = struct.Struct("=HBBi")  # struct rtnexthop: length, flags, hops, link
_NUMBER = struct.Struct("=I")
_PROTOCOL, _FLAGS = 5, slice(8, 12)  # where they are in a rtmsg
_LINK = struct.Struct("=BBHiII")  # struct ifinfomsg: family, -, type, link; flags, change
_ADDRESS_SCOPE = 3  # where it is in a struct ifaddrmsg
#: RTMGRP_LINK, RTMGRP_IPV4_IFADDR, RTMGRP_IPV4_ROUTE, RTMGRP_IPV6_IFADDR, RTMGRP_IPV6_ROUTE
_GROUPS = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
#: Seconds: network managers do one thing after the other, and an answer to each of them would be too early.
_QUIET, _LONGEST_STORM = 0.2, 2.0
#: What a route of ours has, and nothing else: the last two are there in every route of IPv6.
_PLAIN = {RTA_DST, RTA_OIF, RTA_GATEWAY, RTA_PRIORITY, RTA_TABLE, RTA_CACHEINFO, RTA_PREF}


class Hop(t.NamedTuple):
    """One way of a route: the number of the link, 0 for none, and the next hop, in text; "" for none."""

    link: int
    gateway: str


class Route(t.NamedTuple):
    """``kind``: RTN_*; ``destination``: an address as bytes."""

    family: int
    destination: bytes
    length: int
    table: int
    protocol: int
    kind: int
    metric: int
    hops: list[Hop]

    @property
    def is_default(self) -> bool:
        return self.length == 0 and self.table == RT_TABLE_MAIN

    @property
    def prefix(self) -> str:
        return _text(self.destination, self.length)

    @property
    def version(self) -> int:
        return 4 if self.family == socket.AF_INET else 6

    @property
    def first(self) -> int:
        """The first of its addresses, as a number."""
        return int.from_bytes(self.destination, "big")

    @property
    def last(self) -> int:
        return self.first | ((1 << self._rest) - 1)

    @property
    def number(self) -> int:
        """The bits that count of its addresses."""
        return self.first >> self._rest

    @property
    def _rest(self) -> int:
        return 8 * len(self.destination) - self.length

    def __str__(self) -> str:
        """As ip(8) shows it: ``10.244.2.0/24 via 192.0.2.12 dev eth0 proto static``."""
        ways = [f"{f' via {hop.gateway}' if hop.gateway else ''}{f' dev {_name(hop.link)}' if hop.link else ''}" for hop in self.hops]
        where = "" if self.table == RT_TABLE_MAIN else f" table {self.table}"
        metric = f" metric {self.metric}" if self.metric != _METRIC[len(self.destination)] else ""
        return f"{self.prefix}{' nexthop'.join(ways)} proto {PROTOCOLS.get(self.protocol, self.protocol)}{where}{metric}"


class OwnRoute(t.NamedTuple):
    """A route with our protocol. ``name``: its prefix, and its table, metric and TOS where they are not those that we give; ``via``: its
    next hop, or the route as ip(8) shows it if it is not as we make them; ``body`` is then the message from which it can be made again."""

    name: str
    via: str
    body: bytes | None


def default_route_links() -> set[str]:
    """Names of the links by which a default route of either family leaves, ECMP next hops included."""
    return _names(hop for route in others() if route.is_default for hop in route.hops)


def next_hop_links() -> set[str]:
    """Names of the links by which the node reaches a next hop, of a default route or of any other: the ways to other hosts."""
    return _names(hop for route in others() for hop in route.hops if route.is_default or hop.gateway)


def connected_links() -> set[int]:
    """Numbers of the links to networks that the node is connected to."""
    return {hop.link for route in others() if route.table == RT_TABLE_MAIN for hop in route.hops if not hop.gateway}


def router_advertised_links() -> set[str]:
    """Names of the links whose IPv6 default route the kernel learned from router advertisements."""
    learned = [route for route in others() if route.family == socket.AF_INET6 and route.protocol == RTPROT_RA]
    return _names(hop for route in learned if route.is_default for hop in route.hops)


def _names(hops: t.Iterable[Hop]) -> set[str]:
    return {name for name in (_name(link) for link in {hop.link for hop in hops if hop.link}) if name}


def _name(link: int) -> str:
    with contextlib.suppress(OSError):  # it went meanwhile
        return socket.if_indextoname(link)
    return ""


def others() -> list[Route]:
    """The routes of all tables, of IPv4 and IPv6, without those that are ours: nothing that we decide follows from these."""
    return once(_read_others, "routes")


def _read_others() -> list[Route]:
    try:
        bodies = rtnetlink.dump(RTM_GETROUTE, bytes(_ROUTE.size), RTM_NEWROUTE)
    except OSError as error:
        raise _unread(error) from error
    return [route for body in bodies if body[_PROTOCOL] != OURS for route in _route(body)]


def _unread(error: OSError) -> NodeError:
    return NodeError(f"the routes could not be read: {error.strerror or error}")


def _route(body: bytes) -> t.Iterator[Route]:
    family, length, _src_len, _tos, table, protocol, _scope, kind, flags = _ROUTE.unpack_from(body)
    if family not in FAMILIES or flags & RTM_F_CLONED:
        return
    found = rtnetlink.attributes(body, _ROUTE.size)
    table = _number(found.get(RTA_TABLE)) or table
    hops = list(_hops(found[RTA_MULTIPATH])) if RTA_MULTIPATH in found else [_hop(_number(found.get(RTA_OIF)), found)]
    yield Route(family, found.get(RTA_DST, bytes(4 if family == socket.AF_INET else 16)), length, table, protocol, kind, _number(found.get(RTA_PRIORITY)), hops)


def _hops(data: bytes) -> t.Iterator[Hop]:
    while len(data) >= _HOP.size:
        length, _flags, _weight, link = _HOP.unpack_from(data)
        yield _hop(link, rtnetlink.attributes(data[:length], _HOP.size))
        data = data[max((length + 3) & ~3, _HOP.size) :]


def _hop(link: int, found: t.Mapping[int, bytes]) -> Hop:
    """RTA_VIA is a next hop of the other family, behind the number of that (struct rtvia)."""
    gateway = found.get(RTA_GATEWAY) or found.get(RTA_VIA, b"")[2:]
    return Hop(link, _address(gateway) if len(gateway) in _METRIC else "")


def _number(data: bytes | None) -> int:
    return _NUMBER.unpack(data)[0] if data else 0


def number(text: str) -> tuple[int, int, str] | None:
    """Family (4 or 6), number and usual spelling of an address, None for what is none: a tenth of the time that ipaddress takes."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        data = socket.inet_pton(family, text)
    except (OSError, ValueError):  # or a zero byte in it
        return None
    return 6 if ":" in text else 4, int.from_bytes(data, "big"), socket.inet_ntop(family, data)


def _address(data: bytes) -> str:
    return socket.inet_ntop(socket.AF_INET if len(data) == 4 else socket.AF_INET6, data)


def _text(destination: bytes, length: int) -> str:
    return f"{_address(destination)}/{length}"


# What may concern routes of our own


class Watch:
    """Waits for what may take routes away, or let them be there. The kernel says nothing of IPv4 routes that go with their link or with an
    address, so that these are watched as well."""

    def __init__(self) -> None:
        try:
            self._events = rtnetlink.Events(_GROUPS)
        except OSError as error:
            raise NodeError(f"the routes cannot be watched: {error.strerror}") from error

    def wait(self, links: t.AbstractSet[int], seconds: float | None) -> None:
        """Returns when something happened, to one of the ``links`` or to any address or route of ours, and nothing more did so for a
        moment; or behind so many seconds."""
        while True:
            messages = self._events.wait(seconds)
            if messages is None:
                return
            if not messages or any(_concerns(kind, body, links) for kind, body in messages):
                break
        end = time.monotonic() + _LONGEST_STORM
        while self._events.wait(_QUIET) is not None and time.monotonic() < end:
            pass


def _concerns(kind: int, body: bytes, links: t.AbstractSet[int]) -> bool:
    if kind in (RTM_NEWROUTE, RTM_DELROUTE):
        return body[_PROTOCOL] == OURS
    if kind in (RTM_NEWADDR, RTM_DELADDR):
        return body[_ADDRESS_SCOPE] == RT_SCOPE_UNIVERSE
    return kind == RTM_NEWLINK and _LINK.unpack_from(body)[3] in links


# Routes of our own


def own() -> list[OwnRoute]:
    """The routes with our protocol, whoever made them, of all tables."""
    return once(_read_own, "own routes")


def _read_own() -> list[OwnRoute]:
    found: list[OwnRoute] = []
    for family in FAMILIES:
        try:
            request = _ROUTE.pack(family, 0, 0, 0, 0, OURS, 0, 0, 0)
            bodies = rtnetlink.dump(RTM_GETROUTE, request, RTM_NEWROUTE, strict=True)
        except OSError as error:
            raise _unread(error) from error
        # Without IPv6 the kernel answers with what it has, and an older one with the routes of others and what it remembers of paths, too.
        found += [_own(body) for body in bodies if body[0] == family and body[_PROTOCOL] == OURS and not _number(body[_FLAGS]) & RTM_F_CLONED]
    return found


def _head(kind: int, width: int) -> bytes:
    """The start of an attribute, as a pattern."""
    return re.escape(rtnetlink.attribute(kind, bytes(width))[:4])


def _layout(family: int, width: int, metric: bytes = b"", rest: bytes = b"") -> re.Pattern[bytes]:
    """A route as we make them, in the order in which kernels of today tell it: its length, flags, destination and next hop."""
    fields = re.escape(bytes([family])) + b"(.)" + re.escape(bytes([0, 0, RT_TABLE_MAIN, OURS, RT_SCOPE_UNIVERSE, RTN_UNICAST])) + b"(.{4})"
    table = re.escape(rtnetlink.attribute(RTA_TABLE, _NUMBER.pack(RT_TABLE_MAIN)))
    destination, gateway = (_head(kind, width) + b"(.{%d})" % width for kind in (RTA_DST, RTA_GATEWAY))
    return re.compile(fields + table + destination + metric + gateway + _head(RTA_OIF, 4) + b".{4}" + rest, re.DOTALL)


_LAYOUTS: dict[int, re.Pattern[bytes]] = {
    socket.AF_INET: _layout(socket.AF_INET, 4),
    socket.AF_INET6: _layout(
        socket.AF_INET6,
        16,
        re.escape(rtnetlink.attribute(RTA_PRIORITY, _NUMBER.pack(_METRIC[16]))),
        _head(RTA_CACHEINFO, 32) + b".{32}" + _head(RTA_PREF, 1) + b".{4}",
    ),
}


def _own(body: bytes) -> OwnRoute:
    match = _LAYOUTS[body[0]].fullmatch(body)
    if match is not None and not _number(match[2]) & RTNH_F_ONLINK:  # thousands of routes, each in a fifth of the time
        return OwnRoute(_text(match[3], match[1][0]), _address(match[4]), None)
    _family, length, source, tos, _table, _protocol, scope, kind, flags = _ROUTE.unpack_from(body)
    found = rtnetlink.attributes(body, _ROUTE.size)
    destination, gateway = found.get(RTA_DST, b""), found.get(RTA_GATEWAY, b"")
    plain_slot = destination and (tos, _number(found.get(RTA_TABLE)), _number(found.get(RTA_PRIORITY))) == (0, RT_TABLE_MAIN, _METRIC[len(destination)])
    if plain_slot and gateway and found.keys() <= _PLAIN and (source, scope, kind, flags & RTNH_F_ONLINK) == (0, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0):
        return OwnRoute(_text(destination, length), _address(gateway), None)
    (route,) = _route(body)
    return OwnRoute(route.prefix if plain_slot else f"{route.prefix} table {route.table} metric {route.metric} tos {tos}", str(route), body)


def joined(known: t.Mapping[str, str]) -> list[str]:
    """Those of the ``known`` routes, prefix -> next hop, to which the kernel has joined next hops of others, as ip(8) shows them: in IPv6 it
    does so, whatever protocol those have, and shows that of the first."""
    found = []
    for one in own():
        for route in _route(one.body) if one.body is not None and one.name in known else ():
            if route.version == 6 and known[one.name] in [hop.gateway for hop in route.hops] and len(route.hops) > 1:
                found.append(one.via)
    return found


#: The next hop of a route as we make them, or the message of another one.
How = t.Union[str, bytes]


def change_own(add: t.Mapping[str, How], replace: t.Mapping[str, How], remove: t.Sequence[OwnRoute]) -> None:
    """Adds routes by their name, has others be as they are given, and removes some, in this order and in one go.

    Nothing of anybody else is changed: what is to be added must not be there, by whoever. Raises NodeError with the first that failed;
    the others may be done or not.
    """
    create, change = rtnetlink.NLM_F_CREATE | rtnetlink.NLM_F_EXCL, rtnetlink.NLM_F_CREATE | rtnetlink.NLM_F_REPLACE
    titled = [_put(name, how, create) for name, how in add.items()] + [_put(name, how, change) for name, how in replace.items()]
    titled += [(f"the removal of {route.name}", rtnetlink.Message(RTM_DELROUTE, 0, _removal(route))) for route in remove]
    if not titled:
        return
    changing()
    try:
        failures = rtnetlink.change([message for _title, message in titled])
    except OSError as error:
        raise NodeError(f"the routes cannot be changed: {error.strerror or error}") from error
    if failures:
        more = f" ({len(failures) - 1} more failed with it)" if len(failures) > 1 else ""
        raise NodeError(f"the kernel refused {titled[failures[0].index][0]}: {failures[0].reason}{more}")


def _put(name: str, how: How, flags: int) -> tuple[str, rtnetlink.Message]:
    if isinstance(how, str):
        return f"{name} via {how}", rtnetlink.Message(RTM_NEWROUTE, flags, _body(name, how))
    return name, rtnetlink.Message(RTM_NEWROUTE, flags, _again(how))


def _body(prefix: str, via: str = "") -> bytes:
    address, _slash, length = prefix.partition("/")
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    head = _ROUTE.pack(family, int(length), 0, 0, RT_TABLE_MAIN, OURS, RT_SCOPE_UNIVERSE, RTN_UNICAST, 0)
    gateway = rtnetlink.attribute(RTA_GATEWAY, socket.inet_pton(family, via)) if via else b""
    return head + rtnetlink.attribute(RTA_DST, socket.inet_pton(family, address)) + gateway


def _again(body: bytes) -> bytes:
    """The message that makes a route again: of its flags, only the one that somebody has set."""
    *fields, flags = _ROUTE.unpack_from(body)
    return _ROUTE.pack(*fields, flags & RTNH_F_ONLINK) + body[_ROUTE.size :]


def _removal(route: OwnRoute) -> bytes:
    """With the protocol in it, the kernel takes no other route of this prefix."""
    if route.body is None:
        return _body(route.name)
    found = rtnetlink.attributes(route.body, _ROUTE.size)
    *fields, _flags = _ROUTE.unpack_from(route.body)
    kept = (RTA_DST, RTA_PRIORITY, RTA_TABLE)
    return _ROUTE.pack(*fields, 0) + b"".join(rtnetlink.attribute(kind, found[kind]) for kind in kept if kind in found)

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The far end of a veth, in the network namespace of its pod, without entering it.

The kernel answers for another namespace when a request names it by the number that the veth shows (``IFLA_TARGET_NETNSID``, Linux
4.15; ``IFA_TARGET_NETNSID``, Linux 5.0). iproute2 cannot ask so, and not every runtime gives its namespaces names for ``ip netns``.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import struct
import typing as t

from .links import Link

NETLINK_ROUTE = 0
SOL_NETLINK, NETLINK_GET_STRICT_CHK = 270, 12
NLM_F_REQUEST, NLM_F_DUMP = 0x1, 0x300
NLMSG_ERROR, NLMSG_DONE = 2, 3
RTM_NEWLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR = 16, 18, 20, 22
IFLA_MTU, IFLA_TARGET_NETNSID = 4, 46
IFA_ADDRESS, IFA_LOCAL, IFA_TARGET_NETNSID = 1, 2, 10
RT_SCOPE_UNIVERSE = 0
_HEADER = struct.Struct("=IHHII")  # length, type, flags, sequence number, port
_LINK = struct.Struct("=BxHiII")  # family, type, index, flags, change
_ADDRESS = struct.Struct("=BBBBI")  # family, prefix length, flags, scope, index
_ATTRIBUTE = struct.Struct("=HH")  # length, type


class FarEnd(t.NamedTuple):
    """What a pod's own interface has. ``addresses``: of global scope, without prefix length."""

    mtu: int
    addresses: tuple[str, ...]


def read(link: Link, links: t.Mapping[str, Link]) -> FarEnd | None:
    """The far end of a veth; None where the kernel does not say."""
    if link.peer_name in links:
        peer = links[link.peer_name]
        return FarEnd(peer.mtu, tuple(address.partition("/")[0] for address in peer.addresses))
    if link.peer is None:
        return None
    namespace, index = link.peer
    with contextlib.closing(socket.socket(socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, NETLINK_ROUTE)) as netlink:
        netlink.settimeout(5)
        try:
            mtu = _mtu(netlink, namespace, index)
            return None if mtu is None else FarEnd(mtu, _addresses(netlink, namespace, index))
        except OSError:  # it went meanwhile, or a kernel that cannot be asked so
            return None


def _mtu(netlink: socket.socket, namespace: int, index: int) -> int | None:
    body = _LINK.pack(socket.AF_UNSPEC, 0, index, 0, 0) + _attribute(IFLA_TARGET_NETNSID, struct.pack("=i", namespace))
    for kind, data in _ask(netlink, RTM_GETLINK, NLM_F_REQUEST, body):
        found = _attributes(data[_LINK.size :]) if kind == RTM_NEWLINK else {}
        if IFLA_MTU in found and IFLA_TARGET_NETNSID in found:  # without the latter it is a link of our own with that index
            return int(struct.unpack("=I", found[IFLA_MTU])[0])
    return None


def _addresses(netlink: socket.socket, namespace: int, index: int) -> tuple[str, ...]:
    netlink.setsockopt(SOL_NETLINK, NETLINK_GET_STRICT_CHK, 1)  # or the namespace would be passed over in silence
    body = _ADDRESS.pack(socket.AF_UNSPEC, 0, 0, 0, index) + _attribute(IFA_TARGET_NETNSID, struct.pack("=i", namespace))
    addresses = []
    for kind, data in _ask(netlink, RTM_GETADDR, NLM_F_REQUEST | NLM_F_DUMP, body):
        if kind == RTM_NEWADDR:
            _family, _length, _flags, scope, of_index = _ADDRESS.unpack(data[: _ADDRESS.size])
            found = _attributes(data[_ADDRESS.size :])
            raw = found.get(IFA_LOCAL, found.get(IFA_ADDRESS))
            if scope == RT_SCOPE_UNIVERSE and of_index == index and raw is not None:
                addresses.append(str(ipaddress.ip_address(raw)))
    return tuple(addresses)


def _ask(netlink: socket.socket, kind: int, flags: int, body: bytes) -> t.Iterator[tuple[int, bytes]]:
    """Sends a request; yields type and body of each message of the answer. OSError when the kernel refuses."""
    netlink.send(_HEADER.pack(_HEADER.size + len(body), kind, flags, 1, 0) + body)
    while True:
        data = netlink.recv(1 << 18)
        while data:
            length, of_kind, _flags, _sequence, _port = _HEADER.unpack(data[: _HEADER.size])
            message, data = data[_HEADER.size : length], data[_aligned(length) :]
            if of_kind == NLMSG_ERROR:
                error = -struct.unpack("=i", message[:4])[0]
                raise OSError(error, os.strerror(error))
            if of_kind == NLMSG_DONE:
                return
            yield of_kind, message
        if not flags & NLM_F_DUMP:
            return


def _attribute(kind: int, value: bytes) -> bytes:
    return _ATTRIBUTE.pack(_ATTRIBUTE.size + len(value), kind) + value


def _attributes(data: bytes) -> dict[int, bytes]:
    found = {}
    while len(data) >= _ATTRIBUTE.size:
        length, kind = _ATTRIBUTE.unpack(data[: _ATTRIBUTE.size])
        if length < _ATTRIBUTE.size:
            break
        found[kind] = data[_ATTRIBUTE.size : length]
        data = data[_aligned(length) :]
    return found


def _aligned(length: int) -> int:
    return (length + 3) & ~3

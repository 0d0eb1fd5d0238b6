# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The world outside of the node: the router its default routes lead to, and "the internet" behind it."""

from __future__ import annotations

import subprocess
import sys

from .space import Space

GATEWAY4, GATEWAY6 = "192.0.2.1", "2001:db8:0:1::1"
INTERNET4, INTERNET6 = "198.51.100.1", "2001:db8:ffff::1"
#: An ICMPv6 router advertisement (RFC 4861 section 4.2) with a lifetime of half an hour, sent from the link `lan`.
ADVERTISE = """
import socket, struct
link = socket.if_nametoindex("lan")
with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as wire:
    wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
    wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, link)
    wire.sendto(struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 1800, 0, 0), ("ff02::1", 0, 0, link))
"""


class Outside(Space):
    """One wire `lan` that nodes are plugged into. It knows no way back to pods unless told with route()."""

    role = "outside"
    ip4, ip6 = INTERNET4, INTERNET6

    def __init__(self, name: str = "outside") -> None:
        super().__init__(name)
        self._numbers: dict[Space, int] = {}
        self.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1",
                  # Packets with a pod's source must reach a server here, so that a missing masquerade can be seen.
                  "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.default.rp_filter=0",
                  "net.ipv6.conf.default.accept_dad=0"])
        self.ip("link set lo up", "link add lan type bridge", "link set lan up",
                f"addr add {GATEWAY4}/24 dev lan", f"addr add {GATEWAY6}/64 dev lan nodad",
                f"addr add {INTERNET4}/32 dev lo", f"addr add {INTERNET6}/128 dev lo nodad")

    def plug(self, node: Space, mtu: int) -> tuple[str, str]:
        """Give node an uplink eth0 with addresses and default routes; return its IPv4 and IPv6 address: the same each time."""
        number = self._numbers.setdefault(node, 10 + len(self._numbers))
        mac, port, ip4, ip6 = f"02:00:c0:00:02:{number:02x}", f"port{number}", f"192.0.2.{number}", f"2001:db8:0:1::{number}"
        # What is left of it if it was plugged in before: the kernel is in no hurry to end a namespace.
        subprocess.run(["nsenter", f"--target={self.pid}", "--net", "--", "ip", "link", "del", port], check=False, stderr=subprocess.DEVNULL)
        # Not with run(): inside of this space the node's process has no number.
        link = f"link add {port} mtu {mtu} type veth peer name eth0 address {mac} mtu {mtu} netns {node.pid}"
        subprocess.run(["nsenter", f"--target={self.pid}", "--net", "--", "ip", *link.split()], check=True)
        self.ip(f"link set {port} master lan up")
        # Without this IPv6 leaves the node only a second or two later; pods keep duplicate address detection.
        node.run(["sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0"])
        node.ip("link set lo up", f"addr add {ip4}/24 dev eth0", f"addr add {ip6}/64 dev eth0 nodad", "link set eth0 up",
                f"route add default via {GATEWAY4}", f"route add default via {GATEWAY6}")
        return ip4, ip6

    def route(self, cidr: str, via: str) -> None:
        """Know the way to a pod range by a node's address."""
        self.run(["ip", "route", "replace", cidr, "via", via])

    def advertise(self) -> None:
        """Tell the nodes on the wire, as their router, of the way out."""
        self.run([sys.executable, "-c", ADVERTISE])

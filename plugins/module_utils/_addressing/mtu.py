# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

#: What kubenet fell back to (kubenet.md section 3), and the smallest MTU that it accepted.
FALLBACK = 1460
SMALLEST = 576
LARGEST = 65535  # of a bridge and of a veth
#: Below that, IPv6 does not work at all (RFC 8200 section 5), and there is hardly a network on purpose.
UNUSUAL = 1280
#: Links with which containers are attached, and those that carry nothing to other hosts: ``ifb`` of the plugin bandwidth has the MTU of
#: a pod, ``dummy`` of kube-proxy and node-local DNS any.
OF_CONTAINERS = ("bridge", "veth", "ifb", "dummy")

SMALLEST_LINK, DEFAULT_ROUTE = SOURCES = ("smallest", "default_route")


class LinkFacts(t.Protocol):
    """What the choice needs of a link (see ``_host.links.Link``)."""

    @property
    def name(self) -> str: ...

    @property
    def kind(self) -> str: ...

    @property
    def mtu(self) -> int: ...

    @property
    def flags(self) -> frozenset[str]: ...

    @property
    def master(self) -> str: ...

    @property
    def port_of(self) -> str: ...


class Routes(t.NamedTuple):
    """Names of the links by which default routes leave, and of those by which any route reaches a next hop."""

    default: t.AbstractSet[str]
    next_hops: t.AbstractSet[str]


class Choice(t.NamedTuple):
    mtu: int  # bytes
    link: str  # the link that it comes from, or ""
    warnings: tuple[str, ...] = ()


def choose(links: t.Iterable[LinkFacts], routes: Routes, bridge: str, source: str = SMALLEST_LINK) -> Choice:
    """The smallest MTU of the node's normal interfaces, or of those with a default route, for a pod bridge named ``bridge``.

    kubenet took every link that is up, docker0, veths and its own bridge among them, and gave up when one was too small (kubenet.md
    section 3). Here only links count that carry the node's own traffic, and one with an odd MTU is named and left out.
    """
    links = [link for link in links if link.name != bridge and link.master != bridge and "UP" in link.flags]
    by_default = [link for link in links if link.name in routes.default and "LOOPBACK" not in link.flags]
    counted = by_default if source == DEFAULT_ROUTE else [link for link in links if _is_normal(link, routes)]
    usable = [link for link in counted if SMALLEST <= link.mtu <= LARGEST]
    warnings = [f"{link.name} has an MTU of {link.mtu} and was left out (expected {SMALLEST} to {LARGEST}); mend it or set mtu"
                for link in counted if link not in usable]  # fmt: skip
    smallest = min(usable, key=lambda link: link.mtu, default=None)
    if smallest is None:
        which = "no default route leaves by an interface" if source == DEFAULT_ROUTE else "no normal interface is up on this node"
        return Choice(FALLBACK, "", (*warnings, f"{which}{' that can be used' if warnings else ''}, so the MTU is {FALLBACK}; set mtu to choose another"))
    if smallest.mtu < UNUSUAL:
        warnings.append(f"{smallest.name} has an MTU of {smallest.mtu} only, which all pods get now; mend that interface or set mtu")
    warnings += [
        f"a default route leaves by {link.name} with an MTU of {link.mtu}, less than the {smallest.mtu} of {smallest.name}; mtu_from: default_route heeds it"
        for link in by_default
        if link not in counted and SMALLEST <= link.mtu < smallest.mtu
    ]
    return Choice(smallest.mtu, smallest.name, tuple(warnings))


def _is_normal(link: LinkFacts, routes: Routes) -> bool:
    if "LOWER_UP" not in link.flags or link.flags & {"LOOPBACK", "POINTOPOINT"}:
        return False
    if link.name in routes.default or (link.kind == "veth" and link.port_of != "bridge" and link.name in routes.next_hops):
        return True
    return link.kind not in OF_CONTAINERS and link.port_of != "bridge"

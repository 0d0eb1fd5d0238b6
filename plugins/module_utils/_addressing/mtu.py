# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import dataclasses
import typing as t

#: What kubenet fell back to (kubenet.md section 3), and the smallest MTU that it accepted.
FALLBACK = 1460
SMALLEST = 576


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


@dataclasses.dataclass(frozen=True)
class Choice:
    mtu: int  # bytes
    link: str  # the link that it comes from, or ""
    warning: str = ""


def choose(links: t.Iterable[LinkFacts], uplinks: t.AbstractSet[str], bridge: str) -> Choice:
    """The smallest MTU of the node's normal interfaces, for a pod bridge named ``bridge``.

    ``uplinks`` are the links by which a default route leaves. kubenet took every link that is up, docker0, veths and its
    own bridge among them (kubenet.md section 3); here only links count that carry the node's own traffic.
    """
    normal = [link for link in links if _is_normal(link, uplinks, bridge)]
    smallest = min(normal, key=lambda link: link.mtu, default=None)
    if smallest is None:
        return Choice(FALLBACK, "", f"no normal interface is up on this node, so the MTU is {FALLBACK}; set mtu to choose another")
    if smallest.mtu < SMALLEST:
        said = f"{smallest.name} has an MTU of {smallest.mtu}, less than {SMALLEST}"
        return Choice(FALLBACK, "", f"{said}, so the MTU is {FALLBACK}; mend that interface or set mtu")
    return Choice(smallest.mtu, smallest.name)


def _is_normal(link: LinkFacts, uplinks: t.AbstractSet[str], bridge: str) -> bool:
    if link.name == bridge or link.master == bridge:
        return False
    if not {"UP", "LOWER_UP"} <= link.flags or link.flags & {"LOOPBACK", "POINTOPOINT"}:
        return False
    of_containers = link.kind in ("bridge", "veth") or link.port_of == "bridge"
    return not of_containers or link.name in uplinks

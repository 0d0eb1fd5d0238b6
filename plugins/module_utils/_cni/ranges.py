# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""How full the ranges of a host-local section are.

The rules are host-local's own (plugins/ipam/host-local/backend/allocator), which takes more than ``ipam`` lets through:
a range may begin at the network's and end at the broadcast address, and only a range's own gateway is left out of it.
"""

from __future__ import annotations

import typing as t

from .ipam import Section, last_host, range_sets
from .kinds import Address, parse_cidr, parse_ip


class Range(t.NamedTuple):
    """One range with its defaults filled in, and how many addresses it has for pods."""

    subnet: str
    start: str
    end: str
    gateway: str
    total: int
    used: int

    @property
    def free(self) -> int:
        return self.total - self.used


class RangeSet(t.NamedTuple):
    """A pod gets one address of each set, out of whichever of its ranges has one."""

    ranges: tuple[Range, ...]

    @property
    def total(self) -> int:
        return sum(entry.total for entry in self.ranges)

    @property
    def used(self) -> int:
        return sum(entry.used for entry in self.ranges)

    @property
    def free(self) -> int:
        return self.total - self.used


def usage(section: Section, addresses: t.Iterable[str]) -> list[RangeSet]:
    """The range sets of an ``ipam`` section in host-local's order, its legacy range first. ``addresses``: those with a
    lease. A range that host-local refuses has no addresses and is left out."""
    taken = {address for address in map(parse_ip, addresses) if address is not None}
    sets = []
    for written in range_sets(section, ""):
        found = [_range(entry, taken) for _path, entry in written]
        sets.append(RangeSet(tuple(one for one in found if one is not None)))
    return sets


def _range(entry: t.Any, taken: t.AbstractSet[Address]) -> Range | None:
    parsed = parse_cidr(entry.get("subnet")) if isinstance(entry, dict) else None
    if parsed is None or parsed[0] != parsed[1].network_address or parsed[1].prefixlen > parsed[1].max_prefixlen - 2:
        return None
    subnet = parsed[1]
    gateway = _given(entry, "gateway", subnet.network_address + 1)
    start = _given(entry, "rangeStart", subnet.network_address + 1)
    end = _given(entry, "rangeEnd", last_host(subnet))
    if gateway is None or start is None or end is None or start not in subnet or end not in subnet or int(end) < int(start):
        return None
    inside = [address for address in taken if _within(address, start, end) and address != gateway]
    total = int(end) - int(start) + (0 if _within(gateway, start, end) else 1)
    return Range(str(subnet), str(start), str(end), str(gateway), total, len(inside))


def _given(entry: Section, key: str, default: Address) -> Address | None:
    """The address at a key, None when it is not one; an empty text is none given, as in Go's net.IP."""
    return parse_ip(entry[key]) if entry.get(key) not in (None, "") else default


def _within(address: Address, start: Address, end: Address) -> bool:
    return address.version == start.version and int(start) <= int(address) <= int(end)

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The nodes of a site as each of them knows the others: their pod CIDRs and their addresses, for thousands of nodes."""

from __future__ import annotations

import bisect
import ipaddress
import typing as t

from .._errors import Problem
from . import cidr
from .cidr import WIDTHS

KEYS = ("pod_cidrs", "addresses")
#: What no node and no pod has: version, first and last address, the range and what it is.
_NEVER = [(one.version, int(one.network_address), int(one.broadcast_address), one, what) for one, what in cidr.NEVER_PODS]
#: Problems that are told one by one: a mistake in a template is one of every node.
MOST = 20


class Cidr(t.NamedTuple):
    """A pod CIDR, from its first to its last address as integers. ``name``: its node's; ``path``: its place in the input."""

    version: int
    first: int
    last: int
    text: str
    name: str
    path: str


class Address(t.NamedTuple):
    version: int
    number: int
    text: str
    path: str


class Peer(t.NamedTuple):
    name: str
    pod_cidrs: list[Cidr]
    addresses: list[Address]


def parse(peers: t.Mapping[t.Any, t.Any], path: str = "peers") -> tuple[list[Peer], list[Problem]]:
    """``{name: {"pod_cidrs": [CIDR, ...], "addresses": [address, ...]}}`` as numbers, in the order given, and what is wrong with it.

    A node without a CIDR, or whose ``pod_cidrs`` are None, has none yet. Two nodes may not have an address in common.
    """
    found, problems = [], []
    for name, entry in peers.items():
        peer, wrong = _peer(name, entry, f"{path}.{name}")
        found.append(peer)
        problems += wrong
    problems = problems or _unusable(found) or _addresses_of_pods(found)
    more = len(problems) - MOST
    return found, problems if more < 1 else [*problems[:MOST], Problem(path, f"has {more} more entries with such problems")]


def _peer(name: t.Any, entry: t.Any, path: str) -> tuple[Peer, list[Problem]]:
    peer = Peer(str(name), [], [])
    if not isinstance(entry, dict):
        return peer, [Problem(path, f"{entry!r} is not a dictionary (expected pod_cidrs and addresses)")]
    problems = [Problem(f"{path}.{key}", "is not known (expected pod_cidrs and addresses)") for key in entry if key not in KEYS]
    for value, place in _items(entry, "pod_cidrs", path, problems):
        number = _cidr(value, peer.name, place)
        if isinstance(number, Cidr):
            peer.pod_cidrs.append(number)
        else:
            problems += number
    for value, place in _items(entry, "addresses", path, problems):
        address = _address(value, place)
        if isinstance(address, Address):
            peer.addresses.append(address)
        else:
            problems.append(address)
    return peer, problems or _without_address(peer, path)


def _items(entry: t.Mapping[str, t.Any], key: str, path: str, problems: list[Problem]) -> list[tuple[t.Any, str]]:
    """What an entry has at ``key``, each with its place."""
    values = entry.get(key)
    if isinstance(values, (list, tuple)):
        return [(value, f"{path}.{key}[{index}]") for index, value in enumerate(values)]
    if values is not None:
        problems.append(Problem(f"{path}.{key}", f"{values!r} is not a list (expected a list of {'CIDRs' if key == 'pod_cidrs' else 'addresses'})"))
    return []


def _cidr(value: t.Any, name: str, path: str) -> Cidr | list[Problem]:
    """The network that ``value`` names, by the rules of ``cidr.parse_cidr``, which takes five times as long."""
    match = cidr.SPELLING.fullmatch(value) if isinstance(value, str) else None
    if match is not None:
        host, _slash, length = value.partition("/")
        number = _number(host)
        version = 6 if ":" in host else 4
        hosts = (1 << (WIDTHS[version] - int(length))) - 1 if int(length) <= WIDTHS[version] else -1
        if number is not None and hosts >= 0 and not number & hosts:
            return Cidr(version, number, number + hosts, f"{_canonical(host, number)}/{length}", name, path)
    return cidr.parse_cidr(value, path)[1]


def _address(value: t.Any, path: str) -> Address | Problem:
    number = _number(value) if isinstance(value, str) else None
    if number is None:
        return Problem(path, f"{value!r} is not an address (expected e.g. 192.0.2.11 or 2001:db8::11)")
    version = 6 if ":" in value else 4
    for family, first, last, special, what in _NEVER:
        if family == version and first <= number <= last:
            return Problem(path, f"{value!r} is in the {what} range {special} (expected an address by which other nodes reach this one)")
    return Address(version, number, _canonical(value, number), path)


def _number(text: str) -> int | None:
    if not cidr.BARE.fullmatch(text) or cidr.LEADING_ZERO.search(text):
        return None
    try:
        return int(ipaddress.IPv6Address(text) if ":" in text else ipaddress.IPv4Address(text))
    except ValueError:
        return None


def _canonical(text: str, number: int) -> str:
    return str(ipaddress.IPv6Address(number)) if ":" in text else text


def _without_address(peer: Peer, path: str) -> list[Problem]:
    known = {address.version for address in peer.addresses}
    return [
        Problem(f"{path}.addresses", f"has no {cidr.FAMILIES[one.version]} address by which to reach {one.text} (expected one of {peer.name}'s)")
        for one in peer.pod_cidrs
        if one.version not in known
    ]


def address(text: str) -> Address:
    """Of an address that was checked before."""
    return t.cast(Address, _address(text, ""))


def cidrs_of(texts: t.Iterable[str]) -> list[Cidr]:
    """Of CIDRs that were checked before."""
    return [t.cast(Cidr, _cidr(text, "", "")) for text in texts]


class Ranges:
    """CIDRs that have no address in common, to be asked which of them holds an address."""

    def __init__(self, cidrs: t.Iterable[Cidr]) -> None:
        self.cidrs = sorted(cidrs, key=lambda one: one[:3])
        self._firsts = [one[:2] for one in self.cidrs]

    def holding(self, version: int, number: int) -> Cidr | None:
        at = bisect.bisect_right(self._firsts, (version, number)) - 1
        if at < 0 or self.cidrs[at].version != version or self.cidrs[at].last < number:
            return None
        return self.cidrs[at]

    def within(self, version: int, first: int, last: int) -> list[Cidr]:
        """Those that have an address in common with this range."""
        start = self.holding(version, first)
        at = bisect.bisect_right(self._firsts, (version, first))
        end = bisect.bisect_right(self._firsts, (version, last))
        return [*([start] if start else []), *self.cidrs[at:end]]


def _unusable(peers: t.Sequence[Peer]) -> list[Problem]:
    """CIDRs that no pods can have, and those that two nodes have addresses of."""
    cidrs = [one for peer in peers for one in peer.pod_cidrs]
    problems = []
    for version, first, last, special, what in _NEVER:
        problems += [
            Problem(one.path, f"{one.text!r} overlaps the {what} range {special} (expected e.g. {cidr.EXAMPLES[one.version]})")
            for one in cidrs
            if one.version == version and one.first <= last and first <= one.last
        ]
    ordered = Ranges(cidrs).cidrs
    for before, one in zip(ordered, ordered[1:]):
        if before.version == one.version and one.first <= before.last:
            problems.append(Problem(one.path, f"{one.text!r} overlaps {before.text} of {before.name} (expected ranges of their own for all nodes)"))
    return problems


def _addresses_of_pods(peers: t.Sequence[Peer]) -> list[Problem]:
    ranges = Ranges(one for peer in peers for one in peer.pod_cidrs)
    held = ((address, ranges.holding(address.version, address.number)) for peer in peers for address in peer.addresses)
    return [
        Problem(address.path, f"{address.text!r} is in {pods.text}, where the pods of {pods.name} are (expected a node's address outside of all pod CIDRs)")
        for address, pods in held
        if pods is not None
    ]

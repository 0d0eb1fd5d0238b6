# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The nodes of a site as each of them knows the others: their pod CIDRs and their addresses, for thousands of nodes."""

from __future__ import annotations

import base64
import bisect
import ipaddress
import json
import typing as t
import zlib

from .._errors import Problem
from . import cidr
from .cidr import WIDTHS

#: Makes an address's family (4 or 6), number and usual spelling of its text, or None of what is none.
Read = t.Callable[[str], t.Optional[tuple[int, int, str]]]
KEYS = ("pod_cidrs", "addresses")
#: What no node and no pod has: version, first and last address, the range and what it is.
_NEVER = [(one.version, int(one.network_address), int(one.broadcast_address), one, what) for one, what in cidr.NEVER_PODS]
#: Problems that are told one by one: a mistake in a template is one of every node.
MOST = 20
#: Characters of a wrong text that are told.
SHOWN = 40
#: Bytes of peers that are packed: some hundred times what the largest clusters have.
LARGEST = 1 << 28


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


def pack(peers: t.Mapping[t.Any, t.Any]) -> str:
    """All of it as one short text, of a tenth of the size: thousands of values would cost Ansible more, for each node, than all the rest.
    What is no list in an entry stays as it is, for ``parse`` to complain of."""
    plain = {str(name): _plain(entry) for name, entry in peers.items()}
    return base64.b64encode(zlib.compress(json.dumps(plain, separators=(",", ":"), default=str).encode(), 9)).decode()


def _plain(entry: t.Any) -> t.Any:
    """Ansible's own containers hold what is not worked out yet, until it is taken out of them."""
    if isinstance(entry, t.Mapping):
        return {str(key): _plain(value) for key, value in entry.items()}
    return [_plain(value) for value in entry] if isinstance(entry, (list, tuple)) else entry


def unpack(value: t.Any, path: str = "peers") -> tuple[dict[str, t.Any], list[Problem]]:
    """The dictionary that is given as it is, as JSON, or packed."""
    found = value
    if isinstance(value, str):
        try:
            found = json.loads(value if value.lstrip().startswith("{") else _inflated(value))
        except (ValueError, zlib.error, RecursionError):
            pass
    if isinstance(found, dict):
        return found, []
    said = value if not isinstance(value, str) or len(value) < SHOWN else f"{value[:SHOWN]}…"
    return {}, [Problem(path, f"{said!r} is no dictionary of nodes (expected each node's pod_cidrs and addresses, or what filter pack_peers makes of it)")]


def _inflated(text: str) -> bytes:
    stream = zlib.decompressobj()
    data = stream.decompress(base64.b64decode(text, validate=True), LARGEST)
    if stream.unconsumed_tail:
        raise ValueError(f"more than {LARGEST} bytes")
    return data


def read(text: str) -> tuple[int, int, str] | None:
    """The standard library's way. It takes ten times as long as the C library's, which is not at hand where nothing is touched."""
    if not cidr.BARE.fullmatch(text) or cidr.LEADING_ZERO.search(text):
        return None
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        return None
    return address.version, int(address), str(address)


def parse(peers: t.Mapping[t.Any, t.Any], path: str = "peers", by: Read = read) -> tuple[list[Peer], list[Problem]]:
    """``{name: {"pod_cidrs": [CIDR, ...], "addresses": [address, ...]}}`` as numbers, in the order given, and what is wrong with it.

    A node without a CIDR, or whose ``pod_cidrs`` are None, has none yet. No address of pods may be in two ranges.
    """
    found, problems = [], []
    for name, entry in peers.items():
        peer, wrong = _peer(name, entry, f"{path}.{name}", by)
        found.append(peer)
        problems += wrong
    problems = problems or _unusable(found) or _addresses_of_pods(found)
    more = len(problems) - MOST
    return found, problems if more < 1 else [*problems[:MOST], Problem(path, f"has {more} more entries with such problems")]


def _peer(name: t.Any, entry: t.Any, path: str, by: Read) -> tuple[Peer, list[Problem]]:
    peer = Peer(str(name), [], [])
    if not isinstance(entry, dict):
        return peer, [Problem(path, f"{entry!r} is not a dictionary (expected pod_cidrs and addresses)")]
    problems = [Problem(f"{path}.{key}", "is not known (expected pod_cidrs and addresses)") for key in entry if key not in KEYS]
    for value, place in _items(entry, "pod_cidrs", path, problems):
        network = _cidr(value, peer.name, place, by)
        if isinstance(network, Cidr):
            peer.pod_cidrs.append(network)
        else:
            problems += network
    for value, place in _items(entry, "addresses", path, problems):
        address = _address(value, place, by)
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


def _cidr(value: t.Any, name: str, path: str, by: Read) -> Cidr | list[Problem]:
    """The network that ``value`` names, by the rules of ``cidr.parse_cidr``, which takes five times as long."""
    if isinstance(value, str) and cidr.SPELLING.fullmatch(value):
        host, _slash, length = value.partition("/")
        found = by(host)
        if found is not None and int(length) <= WIDTHS[found[0]]:
            version, number, text = found
            hosts = (1 << (WIDTHS[version] - int(length))) - 1
            if not number & hosts:
                return Cidr(version, number, number + hosts, f"{text}/{length}", name, path)
    return cidr.parse_cidr(value, path)[1]


def _address(value: t.Any, path: str, by: Read) -> Address | Problem:
    found = by(value) if isinstance(value, str) else None
    if found is None:
        return Problem(path, f"{value!r} is not an address (expected e.g. 192.0.2.11 or 2001:db8::11)")
    version, number, text = found
    for family, first, last, special, what in _NEVER:
        if family == version and first <= number <= last:
            return Problem(path, f"{value!r} is in the {what} range {special} (expected an address by which other nodes reach this one)")
    return Address(version, number, text, path)


def _without_address(peer: Peer, path: str) -> list[Problem]:
    known = {address.version for address in peer.addresses}
    return [
        Problem(f"{path}.addresses", f"has no {cidr.FAMILIES[one.version]} address by which to reach {one.text} (expected one of {peer.name}'s)")
        for one in peer.pod_cidrs
        if one.version not in known
    ]


def address(text: str, by: Read = read) -> Address:
    """Of an address that was checked before."""
    return t.cast(Address, _address(text, "", by))


def cidrs_of(texts: t.Iterable[str], by: Read = read) -> list[Cidr]:
    """Of CIDRs that were checked before."""
    return [t.cast(Cidr, _cidr(text, "", "", by)) for text in texts]


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

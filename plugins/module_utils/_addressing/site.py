# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What is asked for the pods of a site, judged: everything that can be said without knowing what was given before."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._errors import Problem
from .blocks import Block, address_text, block_of, overlaps, parse
from .cidr import EXAMPLES, FAMILIES, NEVER_PODS, WIDTHS, Network, check_cidrs, parse_cidr, unfit_for_pods
from .pools import MASK_DISTANCE, Pool, as_netaddr, block_fault, pool_of, read_pools

# With thousands of nodes one wrong mask makes thousands of problems; a person reads the first few.
SHOWN_PROBLEMS = 10

NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_NAME_LENGTH = 253

# RFC 5737, RFC 3849, RFC 9637: examples in texts have them, and routers drop them.
_DOCUMENTATION = tuple(
    block_of(ipaddress.ip_network(text)) for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32", "3fff::/20")
)
_NEVER_NODES = {
    version: [(int(network.network_address), int(network.broadcast_address), what) for network, what in NEVER_PODS if network.version == version]
    for version in FAMILIES
}


class Site(t.NamedTuple):
    """``fixed``: CIDRs that were decided elsewhere; ``reported``: those that nodes have by themselves; ``addresses``: of the nodes.
    Each is by the node's name. ``unanswered``: nodes that were asked what they have and did not answer."""

    pools: list[Pool]
    nodes: list[str]
    remove: frozenset[str]
    fixed: dict[str, list[Block]]
    reported: dict[str, list[Block]]
    unanswered: list[str]
    addresses: dict[str, list[str]]


def check(options: t.Mapping[str, t.Any]) -> tuple[Site, list[Problem], list[str]]:
    """``options`` are those of the module pod_cidr; only ``nodes`` has to be there. Returns what is asked, all problems, and warnings.

    With problems, the site is what could be understood of it. Without ``cluster_cidrs`` nothing can be allocated, and CIDRs that were
    decided elsewhere are judged by themselves.
    """
    reader = _Reader(options)
    return reader.site(), reader.problems, reader.warnings


def limited(problems: list[Problem], path: str) -> list[Problem]:
    more = len(problems) - SHOWN_PROBLEMS
    return problems if more <= 0 else [*problems[:SHOWN_PROBLEMS], Problem(path, f"{more} more problems of this kind")]


def name_fault(name: object) -> str:
    """Kubernetes takes DNS-1123 subdomains as names of nodes."""
    if isinstance(name, str) and len(name) <= _NAME_LENGTH and NAME.fullmatch(name):
        return ""
    return f"{name!r} is not a node name (expected at most {_NAME_LENGTH} lower case letters, digits, '-' and '.', e.g. node-1.example.org)"


def order_of(families: t.Iterable[int]) -> list[int]:
    """Each family once, where it comes first. Kubernetes takes the first as the primary one: turning them round is a change."""
    return list(dict.fromkeys(families))


def turned(families: t.Iterable[int], order: list[int]) -> bool:
    """Whether both families are there in both, and the other way round."""
    found = order_of(families)
    return len(found) == len(order) == 2 and found != order


class _Reader:
    """Reads the options in their order, and gathers what is wrong with each."""

    def __init__(self, options: t.Mapping[str, t.Any]) -> None:
        self.options = options
        self.problems: list[Problem] = []
        self.warnings: list[str] = []

    def site(self) -> Site:
        self.pools, wrong = read_pools(self.options["cluster_cidrs"]) if "cluster_cidrs" in self.options else ([], [])
        self.problems += wrong
        # Blocks can only be judged by cluster CIDRs that are all right.
        self.judged = not wrong
        nodes, remove = self._nodes()
        services = self._ranges("service_cidrs")
        self.reserved = self._ranges("reserved_cidrs")
        self._reserve()
        fixed = self._blocks("pod_cidrs", set(nodes))
        reported, unanswered = self._blocks("reported", {*nodes, *remove}), self._unanswered(nodes, fixed)
        ranges = [(pool.whole, f"{pool.path}.cidr") for pool in self.pools]
        if "cluster_cidrs" not in self.options:
            ranges = [(block, f"pod_cidrs.{name}") for name, blocks in fixed.items() for block in blocks]
        self._look_at_services(services, ranges)
        self._look_at_orders(services, fixed, reported)
        addresses = self._addresses(set(nodes), ranges)
        self._warn(ranges)
        return Site(self.pools, nodes, frozenset(remove), fixed, reported, unanswered, addresses)

    def add(self, path: str, problems: list[Problem]) -> None:
        self.problems += limited(problems, path)

    def _nodes(self) -> tuple[list[str], list[str]]:
        nodes, remove = self.options["nodes"], self.options.get("remove") or []
        if not isinstance(nodes, (list, tuple)) or not (nodes or remove):
            self.problems.append(Problem("nodes", f"{nodes!r} names no node (expected a list of node names)"))
            return [], []
        known = self._names("nodes", nodes)
        gone = self._names("remove", remove)
        both = sorted(set(known) & set(gone))
        self.add("remove", [Problem("remove", f"{name!r} is in nodes as well (expected one of the two)") for name in both])
        return known, gone

    def _names(self, option: str, names: t.Sequence[object]) -> list[str]:
        problems: list[Problem] = []
        seen: dict[str, int] = {}
        for index, name in enumerate(names):
            fault = name_fault(name)
            if not fault and name in seen:
                fault = f"{name!r} is given twice (expected only {option}[{seen[str(name)]}])"
            if fault:
                problems.append(Problem(f"{option}[{index}]", fault))
                continue
            seen[str(name)] = index
        self.add(option, problems)
        return list(seen)

    def _ranges(self, option: str) -> list[Network]:
        networks, problems = check_cidrs(self.options.get(option) or [], option)
        self.add(option, problems)
        return networks

    def _reserve(self) -> None:
        networks = [as_netaddr(network) for network in self.reserved]
        for pool in self.pools:
            covering = [index for index, network in enumerate(networks) if network.version == pool.version and pool.network in network]
            if covering:
                text = f"'{networks[covering[0]]}' covers {pool.path}.cidr {pool.network} (expected a part of it, or a range elsewhere)"
                self.problems.append(Problem(f"reserved_cidrs[{covering[0]}]", text))
                continue
            pool.reserve(networks)
            if pool.total == 0:
                text = f"{[str(network) for network in self.reserved]} leaves no block of {pool.path}.cidr {pool.network} (expected a part of it)"
                self.problems.append(Problem("reserved_cidrs", text))

    def _by_name(self, option: str, names: set[str]) -> dict[str, list[t.Any]]:
        """An option that has a list for some of the nodes, without those of no node."""
        found: dict[str, list[t.Any]] = {}
        problems: list[Problem] = []
        given = self.options.get(option) or {}
        if not isinstance(given, t.Mapping):
            self.problems.append(Problem(option, f"{given!r} is not a dictionary (expected names of nodes with lists)"))
            return {}
        for name, value in given.items():
            values = value.split(",") if isinstance(value, str) else value
            if name not in names:
                problems.append(Problem(f"{option}.{name}", f"{name!r} is not in nodes (expected names that are)"))
            elif values is not None and not isinstance(values, (list, tuple)):
                problems.append(Problem(f"{option}.{name}", f"{value!r} is not a list (expected a list, e.g. [{EXAMPLES[4]}])"))
            elif values:
                found[name] = values if isinstance(values, list) else list(values)
        self.add(option, problems)
        return found

    def _blocks(self, option: str, names: set[str]) -> dict[str, list[Block]]:
        found: dict[str, list[Block]] = {}
        problems: list[Problem] = []
        for name, cidrs in self._by_name(option, names).items():
            found[name] = []
            for index, cidr in enumerate(cidrs):
                block, wrong = self._block(cidr, found[name], f"{option}.{name}[{index}]")
                problems += wrong
                found[name] += [block] if block else []
        self.add(option, problems)
        return found

    def _block(self, cidr: object, others: list[Block], path: str) -> tuple[Block | None, list[Problem]]:
        block = parse(cidr)
        if block is None:
            return None, parse_cidr(cidr, path)[1]
        if any(other.version == block.version for other in others):
            return None, [Problem(path, f"'{cidr}' is a second {FAMILIES[block.version]} CIDR of this node (expected one of each family)")]
        fault = self._fault(block, cidr) if self.judged else ""
        return (None, [Problem(path, fault)]) if fault else (block, [])

    def _fault(self, block: Block, text: object) -> str:
        if "cluster_cidrs" in self.options:
            return fault_in(self.pools, block, text)
        unfit = unfit_for_pods(ipaddress.ip_network(str(block)))
        if unfit:
            return f"'{text}' {unfit}"
        away = next((network for network in self.reserved if block.overlaps(block_of(network))), None)
        return f"'{text}' overlaps {away} of reserved_cidrs (expected a range that is not reserved)" if away else ""

    def _unanswered(self, nodes: list[str], fixed: t.Container[str]) -> list[str]:
        reported = self.options.get("reported")
        if not isinstance(reported, t.Mapping):
            return []
        return [name for name in nodes if name not in fixed and reported.get(name) is None]

    def _look_at_services(self, services: list[Network], ranges: list[tuple[Block, str]]) -> None:
        """kube-proxy and pods would claim the same addresses."""
        self.add("service_cidrs", [
            Problem(f"service_cidrs[{index}]", f"'{service}' overlaps {path} {block} (expected a range that pods do not use)")
            for index, service in enumerate(services)
            for block, path in ranges
            if block.overlaps(block_of(service))
        ])  # fmt: skip

    def _look_at_orders(self, services: list[Network], fixed: dict[str, list[Block]], reported: dict[str, list[Block]]) -> None:
        order, whose = [pool.version for pool in self.pools], "cluster_cidrs"
        if not order:
            name = next((name for name, blocks in fixed.items() if len(blocks) == 2), "")
            order, whose = [block.version for block in fixed.get(name, ())], f"pod_cidrs.{name}"
        expected = f"has another order of families than {whose} (expected the same order)"
        if turned((service.version for service in services), order):
            self.problems.append(Problem("service_cidrs", f"{[str(service) for service in services]!r} {expected}"))
        for option, given in (("pod_cidrs", fixed), ("reported", reported)):
            self.add(option, [
                Problem(f"{option}.{name}", f"{[str(block) for block in blocks]!r} {expected}")
                for name, blocks in given.items()
                if turned((block.version for block in blocks), order)
            ])  # fmt: skip

    def _addresses(self, names: set[str], ranges: list[tuple[Block, str]]) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        hosts: list[tuple[Block, str]] = []
        problems: list[Problem] = []
        for name, texts in self._by_name("addresses", names).items():
            found[name] = texts
            for index, text in enumerate(texts):
                host, fault = _host(text)
                if fault or host is None:
                    problems.append(Problem(f"addresses.{name}[{index}]", fault))
                    continue
                hosts.append((host, name))
                normal = address_text(host.version, host.first)
                if normal != text:
                    found[name] = [*found[name][:index], normal, *found[name][index + 1 :]]
        problems += [_of_addresses(one, other) for one, other in overlaps([*ranges, *hosts]) if _is_host(other[0])]
        self.add("addresses", problems)
        return found

    def _warn(self, ranges: list[tuple[Block, str]]) -> None:
        unreal = [(block, path) for block, path in ranges if any(block.overlaps(example) for example in _DOCUMENTATION)]
        for block, path in unreal[:1]:
            more = f", and {len(unreal) - 1} more are" if len(unreal) > 1 else ""
            self.warnings.append(f"{path}: {block} is for documentation{more}; others drop packets with such addresses")
        self.warnings += [
            f"{pool.path}.node_mask_size: {pool.mask} is more than {MASK_DISTANCE} bits longer than the prefix of {pool.network};"
            " a cluster of that many nodes is larger than Kubernetes supports"
            for pool in self.pools
            if pool.version == 4 and pool.mask - pool.network.prefixlen > MASK_DISTANCE
        ]


def fault_in(pools: t.Sequence[Pool], block: Block, text: object) -> str:
    """Why no node of these cluster CIDRs can have ``block``; empty when one can."""
    pool = pool_of(pools, block.version)
    if pool is None:
        clusters = ", ".join(str(pool.network) for pool in pools)
        return f"'{text}' is {FAMILIES[block.version]}, of which there is no cluster CIDR (expected a block of {clusters})"
    return block_fault(pool, block, text)


def _host(text: object) -> tuple[Block | None, str]:
    """The address as the block of itself alone, or what is wrong with it."""
    version = 6 if ":" in str(text) else 4
    host = parse(f"{text}/{WIDTHS[version]}") if isinstance(text, str) else None
    if host is None:
        return None, f"{text!r} is not an IP address (expected e.g. 192.0.2.11)"
    what = next((what for first, last, what in _NEVER_NODES[version] if first <= host.first <= last), None)
    return host, f"{text!r} is {what} (expected an address by which other nodes reach this one)" if what else ""


def _is_host(block: Block) -> bool:
    return block.length == WIDTHS[block.version]


def _of_addresses(one: tuple[Block, str], other: tuple[Block, str]) -> Problem:
    path, text = f"addresses.{other[1]}", f"'{address_text(other[0].version, other[0].first)}'"
    if _is_host(one[0]):
        return Problem(path, f"{text} is an address of {one[1]} as well (expected an address of this node alone)")
    return Problem(path, f"{text} is inside {one[1]} {one[0]} (expected an address outside of the pods' networks)")

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""One block of each cluster CIDR for each node of a site, as kube-controller-manager's ``--allocate-node-cidrs`` does.

Needs netaddr and runs on the controller. What was allocated before is an input and wins; the rest follows from it:
the same input gives the same output, in whatever order the nodes are listed.
"""

from __future__ import annotations

import bisect
import re
import sys
import traceback
import typing as t

from .._errors import InputError, NodeError, Problem
from .cidr import EXAMPLES, FAMILIES, LONGEST_POD_PREFIX, WIDTHS, Network, check_cidrs, parse_cidr, unfit_for_pods, usable_numbers

# Not only ImportError: a library made for another Python fails in other ways.
try:
    import netaddr

    NETADDR_ERROR = ""
except Exception:  # pylint: disable=broad-except
    NETADDR_ERROR = traceback.format_exc()

NETADDR_MINIMUM = (0, 8)

# kube-controller-manager's --node-cidr-mask-size-ipv4 and -ipv6.
DEFAULT_MASK = {4: 24, 6: 64}

# kube-controller-manager refuses an IPv6 node mask further than this from the cluster CIDR's (its bitmap of blocks).
IPV6_MASK_DISTANCE = 16

# With thousands of nodes one wrong mask makes thousands of problems; a person reads the first few.
SHOWN_PROBLEMS = 10

_NAME = re.compile(r"[a-z0-9](?:[-a-z0-9]*[a-z0-9])?(?:\.[a-z0-9](?:[-a-z0-9]*[a-z0-9])?)*")
_NAME_LENGTH = 253
_DIGITS = re.compile(r"([0-9]+)")


class Allocation(t.NamedTuple):
    """``allocations``: name -> CIDRs, of every node known, in natural order of the names.
    ``nodes``: name -> {"pod_cidrs": [cidr], "gateways": [address], "ranges": [{"start": address, "end": address}]}, of the nodes asked for.
    ``usage``: cluster CIDR -> {"used": blocks, "total": blocks that can be given}."""

    allocations: dict[str, list[str]]
    nodes: dict[str, dict[str, list[t.Any]]]
    usage: dict[str, dict[str, int]]


class _Pool:
    """The blocks of one cluster CIDR, by number: block 0 is the lowest."""

    def __init__(self, path: str, network: netaddr.IPNetwork, mask: int) -> None:
        self.path = path
        self.network = network
        self.mask = mask
        self.version: int = network.version
        self.first: int = network.first
        self.shift = WIDTHS[self.version] - mask
        self.count = 1 << (mask - network.prefixlen)
        self.owners: dict[int, str] = {}
        self.reserved: list[tuple[int, int]] = []

    @property
    def total(self) -> int:
        """Blocks that can be given to nodes."""
        return self.count - sum(last - first + 1 for first, last in self.reserved)

    def number(self, network: Network) -> int:
        """Of the block that begins where ``network``, which lies inside this cluster CIDR, begins."""
        return (int(network.network_address) - self.first) >> self.shift

    def block(self, number: int) -> netaddr.IPNetwork:
        return netaddr.IPNetwork((self.first + (number << self.shift), self.mask), version=self.version)

    def reserve(self, networks: t.Iterable[netaddr.IPNetwork]) -> None:
        """Never give a block that shares an address with one of ``networks``."""
        inside = [self._blocks_around(network) for network in networks if network.version == self.version and network in self.network]
        self.reserved = [
            ((part.first - self.first) >> self.shift, (part.last - self.first) >> self.shift) for part in netaddr.cidr_merge(inside)
        ]

    def is_reserved(self, number: int) -> bool:
        place = bisect.bisect_right(self.reserved, (number, self.count)) - 1
        return place >= 0 and number <= self.reserved[place][1]

    def _blocks_around(self, network: netaddr.IPNetwork) -> netaddr.IPNetwork:
        return netaddr.IPNetwork((network.first, min(network.prefixlen, self.mask)), version=self.version).cidr

    def free(self) -> t.Iterator[int]:
        """Numbers of the free blocks, lowest first. Blocks that are taken while this runs are behind it already."""
        number = 0
        for first, last in [*self.reserved, (self.count, self.count)]:
            while number < first:
                if number not in self.owners:
                    yield number
                number += 1
            number = last + 1


def require_netaddr() -> None:
    """NodeError with what to install where, when netaddr is missing, broken or too old."""
    if NETADDR_ERROR:
        reason = NETADDR_ERROR.strip().rsplit("\n", 1)[-1]
    elif _version(netaddr.__version__) < NETADDR_MINIMUM:
        reason = f"found {netaddr.__version__}"
    else:
        return
    wanted = ".".join(str(part) for part in NETADDR_MINIMUM)
    raise NodeError(
        f"Failed to import the required Python library (netaddr >= {wanted}) for {sys.executable}: {reason}. Pod CIDRs are computed on the"
        " controller: delegate the task to localhost and install netaddr for the Python that runs Ansible there, or set"
        " ansible_python_interpreter of localhost to the Python that has it."
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in _DIGITS.findall(text)[:2])


def allocate(
    cluster_cidrs: t.Sequence[t.Mapping[str, t.Any]],
    nodes: t.Sequence[str],
    allocations: t.Mapping[str, t.Sequence[str]] | None = None,
    service_cidrs: t.Sequence[str] = (),
    reserved_cidrs: t.Sequence[str] = (),
) -> Allocation:
    """Blocks for ``nodes``. ``cluster_cidrs`` is one {"cidr", "node_mask_size"}, or one of each family.

    * ``allocations`` (name -> CIDRs) is kept as it is, also for names that are not in ``nodes``: those blocks stay taken.
      A node that lacks a family gets a block of that family.
    * New nodes get the lowest free block each, in natural order of their names (``node-2`` before ``node-10``), so
      neither the order of ``nodes`` nor of ``allocations`` matters.
    * ``service_cidrs`` may not overlap a cluster CIDR: kube-proxy and pods would claim the same addresses.
    * ``reserved_cidrs`` inside a cluster CIDR: no block that touches them is given out. One that overlaps an existing
      allocation is refused, and so is reserving everything. Those elsewhere change nothing.

    Time and memory grow with the number of nodes, not of blocks. InputError has all problems; NodeError: no netaddr.
    """
    require_netaddr()
    pools, problems = _read_pools(cluster_cidrs)
    # Blocks can only be judged by cluster CIDRs that are all right.
    unknown_pools = bool(problems)
    problems += _limit(_check_nodes(nodes), "nodes")
    services, wrong = check_cidrs(service_cidrs, "service_cidrs")
    problems += wrong or _check_services(pools, services)
    reserved, wrong = check_cidrs(reserved_cidrs, "reserved_cidrs")
    problems += wrong or _reserve(pools, reserved)
    given: dict[str, list[int | None]] = {}
    if not unknown_pools:
        given, wrong = _read_allocations(pools, {} if allocations is None else allocations)
        problems += _limit(wrong, "allocations")
    if problems:
        raise InputError(problems)
    problems = _assign(pools, nodes, given)
    if problems:
        raise InputError(problems)
    return _result(pools, nodes, given)


def _limit(problems: list[Problem], path: str) -> list[Problem]:
    more = len(problems) - SHOWN_PROBLEMS
    return problems if more <= 0 else [*problems[:SHOWN_PROBLEMS], Problem(path, f"{more} more problems of this kind")]


def _as_netaddr(network: Network) -> netaddr.IPNetwork:
    return netaddr.IPNetwork((int(network.network_address), network.prefixlen), version=network.version)


def _read_pools(cluster_cidrs: object) -> tuple[list[_Pool], list[Problem]]:
    expected = "(expected one cluster CIDR, or one of each family)"
    if not isinstance(cluster_cidrs, (list, tuple)) or not cluster_cidrs:
        return [], [Problem("cluster_cidrs", f"{cluster_cidrs!r} names no cluster CIDR {expected}")]
    pools: list[_Pool] = []
    problems: list[Problem] = []
    for index, entry in enumerate(cluster_cidrs):
        pool, wrong = _read_pool(entry, f"cluster_cidrs[{index}]")
        problems += wrong
        if pool is None:
            continue
        twin = next((one for one in pools if one.version == pool.version), None)
        if twin:
            text = f"'{pool.network}' is a second {FAMILIES[pool.version]} CIDR, beside {twin.path} {expected}"
            problems.append(Problem(f"{pool.path}.cidr", text))
            continue
        pools.append(pool)
    return pools, problems


def _read_pool(entry: object, path: str) -> tuple[_Pool | None, list[Problem]]:
    if not isinstance(entry, t.Mapping):
        return None, [Problem(path, f"{entry!r} is not a dictionary (expected cidr and node_mask_size)")]
    network, problems = parse_cidr(entry.get("cidr"), f"{path}.cidr")
    if network is None:
        return None, problems
    unfit = unfit_for_pods(network)
    if unfit:
        return None, [Problem(f"{path}.cidr", f"'{network}' {unfit}")]
    mask, fault = _read_mask(entry.get("node_mask_size"), network)
    if fault:
        return None, [Problem(f"{path}.node_mask_size", fault)]
    return _Pool(path, _as_netaddr(network), mask), []


def _read_mask(value: object, network: Network) -> tuple[int, str]:
    """The node mask size, and what is wrong with it. Absent is the default of kube-controller-manager, if that fits."""
    shortest, longest = network.prefixlen, LONGEST_POD_PREFIX[network.version]
    if network.version == 6:
        longest = min(longest, shortest + IPV6_MASK_DISTANCE)
    mask = DEFAULT_MASK[network.version] if value is None else value
    expected = f"(expected {shortest} to {longest})"
    if not isinstance(mask, int) or isinstance(mask, bool):
        return 0, f"{value!r} is not an integer {expected}"
    if shortest <= mask <= longest:
        return mask, ""
    shown = f"not given, and the default {mask}" if value is None else str(mask)
    if mask < shortest:
        return 0, f"{shown} is shorter than the prefix of {network} {expected}"
    if mask > LONGEST_POD_PREFIX[network.version]:
        return 0, f"{shown} leaves a node no room for a gateway and a pod {expected}"
    return 0, f"{shown} is more than {IPV6_MASK_DISTANCE} bits longer than the prefix of {network}, which Kubernetes refuses {expected}"


def _name_fault(name: object) -> str:
    """Kubernetes takes DNS-1123 subdomains as names of nodes."""
    if isinstance(name, str) and len(name) <= _NAME_LENGTH and _NAME.fullmatch(name):
        return ""
    return f"{name!r} is not a node name (expected at most {_NAME_LENGTH} lower case letters, digits, '-' and '.', e.g. node-1.example.org)"


def _check_nodes(nodes: object) -> list[Problem]:
    if not isinstance(nodes, (list, tuple)) or not nodes:
        return [Problem("nodes", f"{nodes!r} names no node (expected a list of node names)")]
    problems: list[Problem] = []
    seen: dict[str, int] = {}
    for index, name in enumerate(nodes):
        fault = _name_fault(name)
        if not fault and name in seen:
            fault = f"{name!r} is given twice (expected only nodes[{seen[name]}])"
        if fault:
            problems.append(Problem(f"nodes[{index}]", fault))
            continue
        seen[name] = index
    return problems


def _check_services(pools: list[_Pool], services: list[Network]) -> list[Problem]:
    return [
        Problem(f"service_cidrs[{index}]", f"'{service}' overlaps {pool.path}.cidr {pool.network} (expected a range that pods do not use)")
        for index, service in enumerate(services)
        for pool in pools
        if _overlap(_as_netaddr(service), pool.network)
    ]


def _overlap(one: netaddr.IPNetwork, other: netaddr.IPNetwork) -> bool:
    return one.version == other.version and (one in other or other in one)


def _reserve(pools: list[_Pool], reserved: list[Network]) -> list[Problem]:
    networks = [_as_netaddr(network) for network in reserved]
    problems: list[Problem] = []
    for pool in pools:
        covering = [index for index, network in enumerate(networks) if network.version == pool.version and pool.network in network]
        if covering:
            text = f"'{networks[covering[0]]}' covers {pool.path}.cidr {pool.network} (expected a part of it, or a range elsewhere)"
            problems.append(Problem(f"reserved_cidrs[{covering[0]}]", text))
            continue
        pool.reserve(networks)
        if pool.total == 0:
            text = f"{[str(network) for network in reserved]} leaves no block of {pool.path}.cidr {pool.network} (expected a part of it)"
            problems.append(Problem("reserved_cidrs", text))
    return problems


def _read_allocations(pools: list[_Pool], allocations: object) -> tuple[dict[str, list[int | None]], list[Problem]]:
    """Name -> its block number in each pool, None where it has none; the blocks are marked as taken."""
    if not isinstance(allocations, t.Mapping):
        return {}, [Problem("allocations", f"{allocations!r} is not a dictionary (expected node names with lists of CIDRs)")]
    given: dict[str, list[int | None]] = {}
    problems: list[Problem] = []
    # In a fixed order, so that of two nodes with one block always the same one is told.
    for name in sorted(allocations, key=str):
        path, cidrs = f"allocations.{name}", allocations[name]
        fault = _name_fault(name)
        if fault:
            problems.append(Problem(path, fault))
        elif not isinstance(cidrs, (list, tuple)):
            problems.append(Problem(path, f"{cidrs!r} is not a list (expected a list of CIDRs, e.g. [{EXAMPLES[4]}])"))
        else:
            given[name], wrong = _read_node(pools, name, cidrs, path)
            problems += wrong
    return given, problems


def _read_node(pools: list[_Pool], name: str, cidrs: t.Sequence[object], path: str) -> tuple[list[int | None], list[Problem]]:
    numbers: list[int | None] = [None] * len(pools)
    problems: list[Problem] = []
    order: list[int] = []
    for index, cidr in enumerate(cidrs):
        where = f"{path}[{index}]"
        network, wrong = parse_cidr(cidr, where)
        problems += wrong
        if network is None:
            continue
        position = next((place for place, pool in enumerate(pools) if pool.version == network.version), None)
        if position is None or numbers[position] is not None:
            problems.append(Problem(where, _unwanted(pools, network, position)))
            continue
        fault = _block_fault(pools[position], network)
        if fault:
            problems.append(Problem(where, fault))
            continue
        numbers[position] = pools[position].number(network)
        order.append(position)
        problems += _take(pools[position], t.cast(int, numbers[position]), name, where)
    if order != sorted(order):
        # Kubernetes takes the family of a node's first CIDR as the node's primary one: turning them round is a change.
        problems.append(Problem(path, f"{list(cidrs)!r} has another order of families than cluster_cidrs (expected the same order)"))
    return numbers, problems


def _unwanted(pools: list[_Pool], network: Network, position: int | None) -> str:
    family = FAMILIES[network.version]
    if position is None:
        clusters = ", ".join(str(pool.network) for pool in pools)
        return f"'{network}' is {family}, of which there is no cluster CIDR (expected a block of {clusters})"
    return f"'{network}' is a second {family} CIDR of this node (expected one of each family)"


def _block_fault(pool: _Pool, network: Network) -> str:
    expected = f"(expected a /{pool.mask} of {pool.path}.cidr {pool.network})"
    first = int(network.network_address)
    if not pool.first <= first <= pool.network.last:
        return f"'{network}' is not inside its cluster CIDR {expected}"
    if network.prefixlen != pool.mask:
        return f"'{network}' has another mask than node_mask_size {expected}"
    if pool.is_reserved(pool.number(network)):
        return f"'{network}' overlaps reserved_cidrs {expected[:-1]} that is not reserved)"
    return ""


def _take(pool: _Pool, number: int, name: str, where: str) -> list[Problem]:
    """Blocks of one size overlap only when they are the same, so one look per block finds every overlap."""
    owner = pool.owners.setdefault(number, name)
    if owner == name:
        return []
    return [Problem(where, f"'{pool.block(number)}' is given to {owner} as well (expected one node for each block)")]


def _natural(name: str) -> tuple[list[str | int], str]:
    """``node-2`` before ``node-10``; the name itself decides between ``node-1`` and ``node-01``."""
    parts = _DIGITS.split(name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def _assign(pools: list[_Pool], nodes: t.Iterable[str], given: dict[str, list[int | None]]) -> list[Problem]:
    """Fill what the nodes lack, in ``given`` and in the pools. One problem for each cluster CIDR that is too small."""
    names = sorted(nodes, key=_natural)
    problems: list[Problem] = []
    for position, pool in enumerate(pools):
        free = pool.free()
        lacking = [name for name in names if name not in given or given[name][position] is None]
        for done, name in enumerate(lacking):
            number = next(free, None)
            if number is None:
                problems.append(_exhausted(pool, len(pool.owners) - done, lacking))
                break
            given.setdefault(name, [None] * len(pools))[position] = number
            pool.owners[number] = name
    return problems


def _exhausted(pool: _Pool, used: int, lacking: list[str]) -> Problem:
    names = ", ".join(lacking[:3]) + (", ..." if len(lacking) > 3 else "")
    left = pool.total - used
    return Problem(
        f"{pool.path}.cidr",
        f"'{pool.network}' has too few /{pool.mask} blocks: {used}/{pool.total} used, {left} left for {len(lacking)} new nodes: {names}"
        " (expected a larger cluster CIDR, a longer node_mask_size, or fewer nodes)",
    )


def _result(pools: list[_Pool], nodes: t.Iterable[str], given: dict[str, list[int | None]]) -> Allocation:
    wanted = set(nodes)
    allocations: dict[str, list[str]] = {}
    described: dict[str, dict[str, list[t.Any]]] = {}
    for name in sorted(given, key=_natural):
        blocks = [pool.block(number) for pool, number in zip(pools, given[name]) if number is not None]
        allocations[name] = [str(block) for block in blocks]
        if name in wanted:
            described[name] = _describe(blocks, allocations[name])
    usage = {str(pool.network): {"used": len(pool.owners), "total": pool.total} for pool in pools}
    return Allocation(allocations, described, usage)


def _describe(blocks: list[netaddr.IPNetwork], pod_cidrs: list[str]) -> dict[str, list[t.Any]]:
    gateways: list[str] = []
    ranges: list[dict[str, str]] = []
    for block in blocks:
        usable = usable_numbers(block.version, block.first, block.last)
        gateway, start, end = (str(netaddr.IPAddress(number, block.version)) for number in usable)
        gateways.append(gateway)
        ranges.append({"start": start, "end": end})
    return {"pod_cidrs": list(pod_cidrs), "gateways": gateways, "ranges": ranges}

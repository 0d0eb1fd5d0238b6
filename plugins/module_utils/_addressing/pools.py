# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""A cluster CIDR as a pool of blocks for nodes. Needs netaddr and is used on the controller only."""

from __future__ import annotations

import bisect
import re
import sys
import traceback
import typing as t

from .._errors import NodeError, Problem
from .blocks import DEFAULT_MASK, Block, Span, gaps, merge, size
from .cidr import FAMILIES, LONGEST_POD_PREFIX, WIDTHS, Network, parse_cidr, unfit_for_pods

# Not only ImportError: a library made for another Python fails in other ways.
try:
    import netaddr

    NETADDR_ERROR = ""
except Exception:  # pylint: disable=broad-except
    NETADDR_ERROR = traceback.format_exc()

NETADDR_MINIMUM = (0, 8)

# kube-controller-manager refuses an IPv6 node mask further than this from the cluster CIDR's (its bitmap of blocks).
MASK_DISTANCE = 16

_HIGHEST = 1 << 128


class Pool:
    """The blocks of one cluster CIDR, by number: block 0 is the lowest."""

    def __init__(self, path: str, network: netaddr.IPNetwork, mask: int) -> None:
        self.path = path
        self.network = network
        self.mask = mask
        self.version: int = network.version
        self.whole = Block(network.version, network.first, network.prefixlen)
        self.shift = WIDTHS[self.version] - mask
        self.count = 1 << (mask - network.prefixlen)
        self.reserved: list[Span] = []  # addresses
        self.kept_back: list[Span] = []  # numbers of the blocks that have some of them

    @property
    def total(self) -> int:
        """Blocks that can be given to nodes."""
        return self.count - size(self.kept_back)

    def numbers(self, block: Block) -> Span:
        """Of the blocks that share an address with ``block``, which lies inside this cluster CIDR."""
        return (block.first - self.whole.first) >> self.shift, (block.last - self.whole.first) >> self.shift

    def block(self, number: int) -> Block:
        return Block(self.version, self.whole.first + (number << self.shift), self.mask)

    def reserve(self, networks: t.Iterable[netaddr.IPNetwork]) -> None:
        """Never give a block that shares an address with one of ``networks``."""
        inside = netaddr.cidr_merge([network for network in networks if network.version == self.version and network in self.network])
        self.reserved = merge((network.first, network.last) for network in inside)
        self.kept_back = merge(self.numbers(Block(self.version, network.first, network.prefixlen)) for network in inside)

    def is_reserved(self, block: Block) -> bool:
        return _touches(self.reserved, block.first, block.last)

    def taken(self, blocks: t.Iterable[Block]) -> list[Span]:
        """Numbers that cannot be given any more when nodes have ``blocks``: theirs, and those that are kept back."""
        return merge([*self.kept_back, *(self.numbers(block) for block in blocks)])

    def unused(self, taken: list[Span], freed: t.Iterable[int]) -> t.Iterator[int]:
        """Numbers that nobody ever had, lowest first."""
        return gaps(merge([*taken, *((number, number) for number in freed)]), self.count)

    def again(self, taken: list[Span], freed: t.Mapping[int, int]) -> t.Iterator[int]:
        """Numbers that nobody has any more; ``freed`` says since when, and the longest-freed come first."""
        return (number for number in sorted(freed, key=lambda number: (freed[number], number)) if not _touches(taken, number, number))


def _touches(merged: list[Span], first: int, last: int) -> bool:
    place = bisect.bisect_right(merged, (last, _HIGHEST)) - 1
    return place >= 0 and merged[place][1] >= first


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
        " controller: install netaddr for the Python that runs Ansible there."
    )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall("[0-9]+", text)[:2])


def as_netaddr(network: Network) -> netaddr.IPNetwork:
    return netaddr.IPNetwork((int(network.network_address), network.prefixlen), version=network.version)


def read_pools(cluster_cidrs: object) -> tuple[list[Pool], list[Problem]]:
    """One {"cidr", "node_mask_size"}, or one of each family."""
    expected = "(expected one cluster CIDR, or one of each family)"
    if not isinstance(cluster_cidrs, (list, tuple)) or not cluster_cidrs:
        return [], [Problem("cluster_cidrs", f"{cluster_cidrs!r} names no cluster CIDR {expected}")]
    pools: list[Pool] = []
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


def _read_pool(entry: object, path: str) -> tuple[Pool | None, list[Problem]]:
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
    return Pool(path, as_netaddr(network), mask), []


def _read_mask(value: object, network: Network) -> tuple[int, str]:
    """The node mask size, and what is wrong with it. Absent is the default of kube-controller-manager, if that fits."""
    shortest, longest = network.prefixlen, LONGEST_POD_PREFIX[network.version]
    if network.version == 6:
        longest = min(longest, shortest + MASK_DISTANCE)
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
    return 0, f"{shown} is more than {MASK_DISTANCE} bits longer than the prefix of {network}, which Kubernetes refuses {expected}"


def pool_of(pools: t.Iterable[Pool], version: int) -> Pool | None:
    return next((pool for pool in pools if pool.version == version), None)


def block_fault(pool: Pool, block: Block, text: object) -> str:
    """Why no node can have ``block`` of the pool's family, as the part of a message; empty when one can."""
    expected = f"(expected a block of {pool.path}.cidr {pool.network}"
    if not block.inside(pool.whole):
        return f"'{text}' is not inside its cluster CIDR {expected})"
    if block.length > LONGEST_POD_PREFIX[block.version]:
        return f"'{text}' has no room for a gateway and a pod {expected}, at most a /{LONGEST_POD_PREFIX[block.version]})"
    if pool.is_reserved(block):
        return f"'{text}' overlaps reserved_cidrs {expected} that is not reserved)"
    return ""

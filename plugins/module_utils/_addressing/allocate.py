# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""One block of each cluster CIDR for each node of a site, as kube-controller-manager's ``--allocate-node-cidrs`` does.

What was given before is an input and wins; the rest follows from it: the same input gives the same output, in whatever order the
nodes are listed.
"""

from __future__ import annotations

import itertools
import re
import typing as t

from .._errors import InputError, Problem
from .blocks import Block, address_text, overlaps, size
from .cidr import FAMILIES, usable_numbers
from .pools import Pool
from .site import Site, fault_in, limited, turned

#: A cluster CIDR with less than one block in so many left is said to be nearly full.
GROWTH = 10
_DIGITS = re.compile(r"([0-9]+)")


class Kept(t.NamedTuple):
    """What is remembered of a cluster. ``ranges``: its cluster CIDRs with their node mask sizes; ``nodes``: name -> blocks;
    ``freed``: block -> when it was given back, as a number that grows."""

    ranges: list[tuple[Block, int]]
    nodes: dict[str, list[Block]]
    freed: dict[Block, int]


class Allocation(t.NamedTuple):
    """``kept``: what is to be remembered. ``usage``: cluster CIDR -> {"used", "total", "left"}, in blocks."""

    kept: Kept
    usage: dict[str, dict[str, int]]
    warnings: list[str]


def natural(name: str) -> tuple[list[str | int], str]:
    """``node-2`` before ``node-10``; the name itself decides between ``node-1`` and ``node-01``."""
    parts = _DIGITS.split(name)
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


def allocate(site: Site, kept: Kept, others: t.Mapping[str, Kept] | None = None, *, fill: bool = True, where: str = "the store") -> Allocation:
    """Blocks for the nodes of ``site``, given what is ``kept`` of its cluster and of the ``others`` (by name) in the same store.

    * A node keeps what it has, whether it is asked for or not; ``site.remove`` gives blocks back.
    * ``site.fixed`` takes the place of what a node has. A node that is not known yet keeps what it reports.
    * With ``fill``, a node that lacks a family gets a block of it: one that nobody ever had, the lowest first, in natural order of the
      names; then the one that was given back first.

    Time and memory grow with the number of nodes, not of blocks. InputError has all problems; ``where`` names the store in them.
    """
    work = _Work(site, kept, others or {}, where)
    work.take(fill)
    problems = [*work.strays(), *work.conflicts()]
    if not problems:
        problems = work.fill() if fill else work.missing()
    if problems:
        raise InputError(problems)
    return work.result()


class _Work:
    def __init__(self, site: Site, kept: Kept, others: t.Mapping[str, Kept], where: str) -> None:
        self.site, self.kept, self.others, self.where = site, kept, others, where
        self.nodes = {name: blocks for name, blocks in kept.nodes.items() if name not in site.remove}
        self.given_back = {block for name in site.remove for block in kept.nodes.get(name, ())}
        self.warnings: list[str] = []
        self.usage: dict[str, dict[str, int]] = {}

    def take(self, fill: bool) -> None:
        """What the nodes have from elsewhere."""
        for name, blocks in self.site.reported.items():
            if name not in self.site.remove:
                self.nodes.setdefault(name, blocks)
        for name, blocks in self.site.fixed.items():
            before = self.kept.nodes.get(name, [])
            left = {pool.version for pool in self.site.pools if fill} - {block.version for block in blocks}
            rest = [block for block in before if block.version in left]
            gone = [block for block in before if block not in blocks and block not in rest]
            self.nodes[name] = self._in_order([*blocks, *rest])
            self.given_back.update(gone)
            if gone:
                self.warnings.append(f"pod_cidrs.{name}: {_text(blocks)} takes the place of {_text(gone)}")

    def _in_order(self, blocks: list[Block]) -> list[Block]:
        order = [pool.version for pool in self.site.pools]
        return sorted(blocks, key=lambda block: order.index(block.version)) if order else blocks

    def strays(self) -> list[Problem]:
        """What is remembered and does not fit the cluster CIDRs."""
        pools = self.site.pools
        if not pools:
            return []
        order = [pool.version for pool in pools]
        problems: list[Problem] = []
        for name, blocks in self.nodes.items():
            for block in blocks if name in self.kept.nodes else ():
                if block in self.site.fixed.get(name, ()):
                    continue
                fault = fault_in(pools, block, block)
                problems += [Problem(f"store: node {name}", fault)] if fault else []
            if turned((block.version for block in blocks), order):
                text = f"{_text(blocks)} has another order of families than cluster_cidrs (expected the same order)"
                problems.append(Problem(f"store: node {name}", text))
        return limited(problems, "store")

    def conflicts(self) -> list[Problem]:
        """Two nodes with an address in common, of this cluster or of another."""
        labelled = [(block, name) for name, blocks in self.nodes.items() for block in blocks]
        for cluster, kept in self.others.items():
            labelled += [(block, f"{name} of cluster {cluster}") for name, blocks in kept.nodes.items() for block in blocks]
        problems = limited([self._conflict(one, other) for one, other in overlaps(labelled)], "store")
        return [*problems, *limited(list(self._foreign()), "cluster_cidrs")]

    def _conflict(self, one: tuple[Block, str], other: tuple[Block, str]) -> Problem:
        (wide, first), (narrow, second) = one, other
        what = f"'{wide}' is given to {first} and to {second}" if wide == narrow else f"'{narrow}' of {second} overlaps '{wide}' of {first}"
        for option, names in (("pod_cidrs", self.site.fixed), ("reported", self.site.reported)):
            mine, theirs = (second, first) if second in names else (first, second)
            if mine in names and (option == "pod_cidrs" or mine not in self.kept.nodes):
                return Problem(f"{option}.{mine}", f"{what} (expected one node for each block; remove: [{theirs}], if that node is gone)")
        return Problem("store", f"{what} in {self.where}, as when two branches were merged (expected one node for each block: take the line of the"
                                " node that came last out of the file, and run again, so that it gets another)")  # fmt: skip

    def _foreign(self) -> t.Iterator[Problem]:
        """This cluster's ranges, or its nodes where it has none, among those of the others."""
        pools = [(pool.whole, f"{pool.path}.cidr") for pool in self.site.pools]
        mine = pools or [(block, f"pod_cidrs.{name}") for name, blocks in self.nodes.items() for block in blocks]
        for cluster, kept in self.others.items():
            theirs = [block for block, _mask in kept.ranges]
            if pools and not theirs:
                theirs = [block for blocks in kept.nodes.values() for block in blocks]
            for block, path in mine:
                other = next((other for other in theirs if other.overlaps(block)), None)
                if other:
                    yield Problem(path, f"'{block}' overlaps {other} of cluster {cluster} in {self.where} (expected a range of this cluster alone)")

    def missing(self) -> list[Problem]:
        """Where CIDRs are decided elsewhere, each node has to have one of each family."""
        problems: list[Problem] = []
        for name in self.site.nodes:
            found = {block.version for block in self.site.fixed.get(name, ())}
            lacking = [FAMILIES[pool.version] for pool in self.site.pools if pool.version not in found]
            if lacking or not found:
                what = " ".join([" and ".join(lacking), "CIDR"]).strip()
                problems.append(Problem(f"pod_cidrs.{name}", f"has no {what} (expected one of each family)"))
        return limited(problems, "pod_cidrs")

    def fill(self) -> list[Problem]:
        names = sorted(self.site.nodes, key=natural)
        problems: list[Problem] = []
        for pool in self.site.pools:
            lacking = [name for name in names if all(block.version != pool.version for block in self.nodes.get(name, ()))]
            if lacking:
                problems += self._fill_from(pool, lacking)
        return problems

    def _fill_from(self, pool: Pool, lacking: list[str]) -> list[Problem]:
        taken = pool.taken(self._blocks_of(pool))
        left = pool.count - size(taken)
        if left < len(lacking):
            return [_exhausted(pool, left, lacking)]
        freed = self._freed_in(pool)
        for name, number in zip(lacking, itertools.chain(pool.unused(taken, freed), pool.again(taken, freed))):
            self.nodes[name] = self._in_order([*self.nodes.get(name, ()), pool.block(number)])
        return []

    def _blocks_of(self, pool: Pool) -> t.Iterator[Block]:
        return (block for blocks in self.nodes.values() for block in blocks if block.version == pool.version)

    def _freed(self) -> dict[Block, int]:
        now = max(self.kept.freed.values(), default=0) + 1
        return {**self.kept.freed, **dict.fromkeys(self.given_back, now)}

    def _freed_in(self, pool: Pool) -> dict[int, int]:
        """Number -> when. Blocks of another size, from before the mask was changed, stand for all that they touch."""
        freed: dict[int, int] = {}
        for block, when in self._freed().items():
            if block.inside(pool.whole):
                first, last = pool.numbers(block)
                freed.update((number, max(when, freed.get(number, 0))) for number in range(first, last + 1))
        return freed

    def result(self) -> Allocation:
        pools = self.site.pools
        freed = {block: when for block, when in self._freed().items() if not any(block.inside(pool.whole) for pool in pools)}
        for pool in pools:
            taken = pool.taken(self._blocks_of(pool))
            free = pool.count - size(taken)
            self.usage[str(pool.network)] = {"used": pool.total - free, "total": pool.total, "left": free}
            numbers = self._freed_in(pool)
            freed.update((pool.block(number), numbers[number]) for number in pool.again(taken, numbers))
            if free * GROWTH < pool.total:
                self.warnings.append(f"{pool.path}.cidr: {pool.network} has {free} of {pool.total} /{pool.mask} blocks left; plan a larger cluster CIDR")
        taken_blocks = {block for blocks in self.nodes.values() for block in blocks}
        freed = {block: when for block, when in freed.items() if block not in taken_blocks}
        return Allocation(Kept([(pool.whole, pool.mask) for pool in pools] or self.kept.ranges, self.nodes, freed), self.usage, self.warnings)


def _text(blocks: t.Iterable[Block]) -> str:
    return ", ".join(map(str, blocks))


def _exhausted(pool: Pool, left: int, lacking: list[str]) -> Problem:
    beyond = lacking[left:]
    names = ", ".join(beyond[:3]) + (", ..." if len(beyond) > 3 else "")
    return Problem(
        f"{pool.path}.cidr",
        f"'{pool.network}' has too few /{pool.mask} blocks: {pool.total - left}/{pool.total} used, {left} left for {len(lacking)} new nodes, so"
        f" {len(beyond)} do not fit: {names} (expected a larger cluster CIDR, a longer node_mask_size, or fewer nodes)",
    )


def describe(blocks: t.Iterable[Block]) -> dict[str, list[t.Any]]:
    """{"pod_cidrs": [cidr], "gateways": [address], "ranges": [{"start": address, "end": address}]}, of one node."""
    pod_cidrs: list[str] = []
    gateways: list[str] = []
    ranges: list[dict[str, str]] = []
    for block in blocks:
        gateway, start, end = (address_text(block.version, number) for number in usable_numbers(block.version, block.first, block.last))
        pod_cidrs.append(str(block))
        gateways.append(gateway)
        ranges.append({"start": start, "end": end})
    return {"pod_cidrs": pod_cidrs, "gateways": gateways, "ranges": ranges}

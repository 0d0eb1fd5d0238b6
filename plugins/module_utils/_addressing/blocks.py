# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""CIDRs as integers, for callers with a hundred thousand of them: what objects of a library cost is seconds there."""

from __future__ import annotations

import re
import typing as t

from .cidr import WIDTHS, Network, parse_cidr

# kube-controller-manager's --node-cidr-mask-size-ipv4 and -ipv6.
DEFAULT_MASK = {4: 24, 6: 64}

Span = tuple[int, int]  # first and last, both of them in it


class Block(t.NamedTuple):
    """A CIDR. It sorts by family, then by address."""

    version: int
    first: int
    length: int

    @property
    def last(self) -> int:
        return self.first + (1 << (WIDTHS[self.version] - self.length)) - 1

    def __str__(self) -> str:
        return f"{address_text(self.version, self.first)}/{self.length}"

    def inside(self, other: Block) -> bool:
        return self.version == other.version and other.first <= self.first and self.length >= other.length and self.first <= other.last

    def overlaps(self, other: Block) -> bool:
        return self.version == other.version and self.first <= other.last and other.first <= self.last


# The usual spellings, so that most texts need no more than these. Everything else goes to parse_cidr, which knows all the rest.
_OCTET = "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])"
_IPV4 = re.compile(rf"{_OCTET}\.{_OCTET}\.{_OCTET}\.{_OCTET}/(3[0-2]|[12]?[0-9])")
_IPV6 = re.compile(r"([0-9a-f:]{2,39})/([0-9]{1,3})")
# Runs of zeros, the longest first (RFC 5952 section 4.2).
_ZEROS = tuple(":0" * count + ":" for count in range(8, 1, -1))


def block_of(network: Network) -> Block:
    return Block(network.version, int(network.network_address), network.prefixlen)


def parse(text: object) -> Block | None:
    """The block that is written so, None where that is no CIDR (``cidr.parse_cidr`` says why)."""
    if isinstance(text, str):
        found = _IPV4.fullmatch(text)
        if found:
            a, b, c, d, length = map(int, found.groups())
            first = a << 24 | b << 16 | c << 8 | d
            return Block(4, first, length) if not first & ((1 << (32 - length)) - 1) else None
        block = _parse_ipv6(text)
        if block:
            return block
    network, _problems = parse_cidr(text, "")
    return block_of(network) if network else None


def _parse_ipv6(text: str) -> Block | None:
    """None for what is not spelled as this module spells it, and for what is none."""
    found = _IPV6.fullmatch(text)
    if not found or int(found[2]) > 128:
        return None
    left, _gap, right = found[1].partition("::")
    first = 0
    for words, end in ((left, 8), (right, right.count(":") + 1)):
        for place, word in enumerate(words.split(":") if words else ()):
            if word:  # an empty one is a mistake, which the comparison below finds
                first |= int(word, 16) << max(end - 1 - place, 0) * 16
    length = int(found[2])
    if first >= 1 << 128 or first & ((1 << (128 - length)) - 1):
        return None
    block = Block(6, first, length)
    return block if str(block) == text else None


def address_text(version: int, number: int) -> str:
    if version == 4:
        return f"{number >> 24}.{number >> 16 & 255}.{number >> 8 & 255}.{number & 255}"
    high, low = number >> 64, number & (1 << 64) - 1
    text = (f":{high >> 48:x}:{high >> 32 & 65535:x}:{high >> 16 & 65535:x}:{high & 65535:x}"
            f":{low >> 48:x}:{low >> 32 & 65535:x}:{low >> 16 & 65535:x}:{low & 65535:x}:")  # fmt: skip
    for zeros in _ZEROS:
        place = text.find(zeros)
        if place >= 0:
            return f"{text[1:place]}::{text[place + len(zeros):-1]}"
    return text[1:-1]


def merge(spans: t.Iterable[Span]) -> list[Span]:
    """The same numbers in the fewest spans, in their order."""
    merged: list[Span] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(merged[-1][1], last))
        else:
            merged.append((first, last))
    return merged


def size(merged: t.Iterable[Span]) -> int:
    return sum(last - first + 1 for first, last in merged)


def gaps(merged: t.Iterable[Span], count: int) -> t.Iterator[int]:
    """The numbers from 0 to ``count`` - 1 that are in none of the spans, lowest first."""
    number = 0
    for first, last in merged:
        yield from range(number, min(first, count))
        number = last + 1
    yield from range(number, count)


def overlaps(blocks: t.Iterable[tuple[Block, str]]) -> list[tuple[tuple[Block, str], tuple[Block, str]]]:
    """Pairs of neighbours with an address in common, in their order: empty when no two of all the labelled blocks have one."""
    found = []
    before: tuple[Block, str] | None = None
    for one in sorted(blocks):
        if before and one[0].version == before[0].version and one[0].first <= before[0].last:
            found.append((before, one))
            continue  # the wider one stays for what comes next
        before = one
    return found

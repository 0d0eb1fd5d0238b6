# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What templates ask about addresses. Each raises InputError with one problem, whose path is the argument, or "" for the value itself."""

from __future__ import annotations

import typing as t

from .._errors import InputError, Problem
from . import cidr, mtu, overhead
from .blocks import DEFAULT_MASK, Block, block_of


def nth(value: object, number: object, node_mask_size: object = None) -> str:
    """The block of this number, counted from 0, or from -1 backwards from the end, of a cluster CIDR."""
    whole = block_of(_network(value))
    longest = cidr.WIDTHS[whole.version]
    mask = max(DEFAULT_MASK[whole.version], whole.length) if node_mask_size is None else _integer(node_mask_size, "node_mask_size", whole.length, longest)
    count = 1 << (mask - whole.length)
    place = _integer(number, "number", -count, count - 1) % count
    return str(Block(whole.version, whole.first + (place << (longest - mask)), mask))


def gateway(value: object) -> str:
    """The first host address of a node's pod CIDR."""
    network = _network(value)
    unfit = cidr.unfit_for_pods(network)
    if unfit:
        raise InputError([Problem("", f"{value!r} {unfit}")])
    return cidr.gateway(network)


def overlaps(value: object, others: object) -> bool:
    """Whether any CIDR or address of the one is in any of the other; each is one or a list."""
    return bool(cidr.overlapping(_networks(value, ""), _networks(others, "others")))


def pod_mtu(value: object, of: object) -> int:
    """What is left of the MTU of the nodes' network under an overhead (``overhead.find``)."""
    underlay = _integer(value, "", mtu.SMALLEST, mtu.LARGEST)
    less, wrong = overhead.find(str(of)) if isinstance(of, (str, int)) and not isinstance(of, bool) else (0, f"{of!r} is not an overhead (expected e.g. 50)")
    if wrong:
        raise InputError([Problem("overhead", wrong)])
    if underlay - less < mtu.SMALLEST:
        raise InputError([Problem("overhead", f"{of!r} leaves {underlay - less} of {underlay} (expected at least {mtu.SMALLEST})")])
    return underlay - less


def _network(value: object) -> cidr.Network:
    network, problems = cidr.parse_cidr(value, "")
    if network is None:
        raise InputError(problems)
    return network


def _networks(value: object, path: str) -> list[cidr.Network]:
    alone = isinstance(value, str)
    networks, problems = cidr.check_hosts([value] if alone else value, path)
    if problems:
        raise InputError([Problem(path if alone else problems[0].path, problems[0].message)])
    return networks


def _integer(value: object, path: str, least: int, most: int) -> int:
    try:
        number = int(t.cast("t.Any", value)) if isinstance(value, (int, str)) and not isinstance(value, bool) else None
    except ValueError:
        number = None
    if number is None or not least <= number <= most:
        raise InputError([Problem(path, f"{value!r} is not usable (expected an integer from {least} to {most})")])
    return number

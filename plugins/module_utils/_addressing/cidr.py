# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""CIDRs as people write them, judged strictly, and the addresses that kubenet and host-local take from them.

Standard library only: this runs on nodes.
"""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._errors import Problem

Network = t.Union[ipaddress.IPv4Network, ipaddress.IPv6Network]

EXAMPLES = {4: "10.244.1.0/24", 6: "fd00:10:244:1::/64"}
FAMILIES = {4: "IPv4", 6: "IPv6"}
WIDTHS = {4: 32, 6: 128}

# host-local refuses /31, /32 and /127 ("too small to allocate from"); a gateway and one pod need this much.
LONGEST_POD_PREFIX = {4: 30, 6: 126}

# Spelled out, because the is_* properties of ipaddress differ from one Python release to the next.
# RFC 4291 section 2.5.5. No traffic has such addresses, and tools spell them in different ways.
_IPV4_AS_IPV6 = ((ipaddress.IPv6Network("::/96"), "IPv4-compatible"), (ipaddress.IPv6Network("::ffff:0:0/96"), "IPv4-mapped"))
NEVER_PODS: tuple[tuple[Network, str], ...] = (
    (ipaddress.IPv4Network("0.0.0.0/8"), "unspecified"),
    (ipaddress.IPv4Network("127.0.0.0/8"), "loopback"),
    (ipaddress.IPv4Network("169.254.0.0/16"), "link-local"),
    (ipaddress.IPv4Network("224.0.0.0/4"), "multicast"),
    (ipaddress.IPv6Network("::/127"), "unspecified and loopback"),
    *_IPV4_AS_IPV6,
    (ipaddress.IPv6Network("fe80::/10"), "link-local"),
    (ipaddress.IPv6Network("fec0::/10"), "site-local"),  # RFC 3879: unique local addresses took its place
    (ipaddress.IPv6Network("ff00::/8"), "multicast"),
)

# ipaddress also takes netmasks, scope ids and "/024"; Python before 3.9.5 takes "010.0.0.0" as well. Nothing that
# reads our files (Go, the kernel's tools) does, so the spelling is checked here.
SPELLING = re.compile(r"[0-9A-Fa-f:.]+/(?:0|[1-9][0-9]{0,2})")
BARE = re.compile(r"[0-9A-Fa-f:.]+")
LEADING_ZERO = re.compile(r"(?:^|[.:])0[0-9]+\.|\.0[0-9]")


class Usable(t.NamedTuple):
    """What a pod network gives out, as integers: the gateway, and the first and last address of pods."""

    gateway: int
    first: int
    last: int


def parse_cidr(value: object, path: str) -> tuple[Network | None, list[Problem]]:
    """The network that ``value`` names, or None and what is wrong with it. Nothing is guessed or corrected."""
    if not isinstance(value, str):
        return None, [Problem(path, f"{value!r} is not a string (expected e.g. {EXAMPLES[4]})")]
    if SPELLING.fullmatch(value) and not LEADING_ZERO.search(value):
        try:
            return ipaddress.ip_network(value), []
        except ValueError:
            pass
    return None, [Problem(path, _fault(value))]


def _fault(value: str) -> str:
    """Why ``value``, which is no network, is none: a missing length, host bits, or anything else."""
    bare = BARE.fullmatch(value) is not None
    if (bare or SPELLING.fullmatch(value)) and not LEADING_ZERO.search(value):
        try:
            address = ipaddress.ip_address(value.partition("/")[0])
            length = (24 if address.version == 4 else 64) if bare else value.partition("/")[2]
            meant = ipaddress.ip_network(f"{address}/{length}", strict=False)
        except ValueError:
            pass
        else:
            return f"{value!r} has no prefix length (expected e.g. {meant})" if bare else f"{value!r} has host bits set (expected {meant})"
    return f"{value!r} is not a CIDR (expected e.g. {EXAMPLES[6 if ':' in value else 4]})"


def check_cidrs(values: object, path: str, named: t.Mapping[str, t.Sequence[str]] | None = None) -> tuple[list[Network], list[Problem]]:
    """Any number of CIDRs of any family, in the order given. They may overlap; the same one twice is a mistake. A word of
    ``named`` stands for its CIDRs."""
    networks: list[Network] = []
    problems: list[Problem] = []
    seen: dict[Network, int] = {}
    if not isinstance(values, (list, tuple)):
        return [], [Problem(path, f"{values!r} is not a list (expected a list of CIDRs, e.g. [{EXAMPLES[4]}])")]
    for index, value in enumerate(values):
        if isinstance(value, str) and value in (named or {}):
            networks += [ipaddress.ip_network(one) for one in (named or {})[value]]
            continue
        network, wrong = parse_cidr(value, f"{path}[{index}]")
        problems += wrong
        if network is None:
            continue
        if network in seen:
            problems.append(Problem(f"{path}[{index}]", f"{value!r} is given twice (expected only {path}[{seen[network]}])"))
            continue
        if network.version == 6 and any(network.subnet_of(special) for special, _what in _IPV4_AS_IPV6):
            problems.append(Problem(f"{path}[{index}]", f"{value!r} is an IPv4 range written as IPv6 (expected e.g. {EXAMPLES[4]})"))
        seen[network] = index
        networks.append(network)
    return networks, problems


def check_hosts(values: object, path: str) -> tuple[list[Network], list[Problem]]:
    """The same for what may be single addresses as well."""
    return check_cidrs([_alone(value) for value in values] if isinstance(values, (list, tuple)) else values, path)


def _alone(value: object) -> object:
    """An address as the network of that address alone; anything else as it is."""
    if not isinstance(value, str) or not BARE.fullmatch(value) or LEADING_ZERO.search(value):
        return value
    try:
        return str(ipaddress.ip_network(value))
    except ValueError:
        return value


def check_pod_cidrs(values: object, path: str = "pod_cidrs") -> tuple[list[Network], list[Problem]]:
    """The pod CIDRs of one node: one, or two of different families, in the order given (the first is the primary).

    Host bits are refused although kubenet dropped them: a node's CIDR that is not the one written is a surprise.
    """
    one_or_two = "(expected one CIDR, or one of each family)"
    if not isinstance(values, (list, tuple)):
        return [], [Problem(path, f"{values!r} is not a list (expected a list of CIDRs, e.g. [{EXAMPLES[4]}])")]
    if not values:
        return [], [Problem(path, f"[] is empty {one_or_two}")]
    networks: list[Network] = []
    problems: list[Problem] = []
    families: dict[int, int] = {}
    for index, value in enumerate(values):
        network, wrong = parse_cidr(value, f"{path}[{index}]")
        problems += wrong
        if network is None:
            continue
        if network.version in families:
            first = f"{path}[{families[network.version]}]"
            text = f"{value!r} is a second {FAMILIES[network.version]} CIDR, beside {first} {one_or_two}"
            problems.append(Problem(f"{path}[{index}]", text))
        families.setdefault(network.version, index)
        unfit = unfit_for_pods(network)
        if unfit:
            problems.append(Problem(f"{path}[{index}]", f"{value!r} {unfit}"))
        networks.append(network)
    return networks, problems


def unfit_for_pods(network: Network) -> str:
    """Why pods cannot have addresses of this network, as the part of a message after the value; empty when they can."""
    example = EXAMPLES[network.version]
    longest = LONGEST_POD_PREFIX[network.version]
    if network.prefixlen > longest:
        return f"has no room for a gateway and a pod (expected a prefix length of at most {longest}, e.g. {example})"
    if network.prefixlen == 0:
        return f"is the whole address space (expected e.g. {example})"
    for special, what in NEVER_PODS:
        if special.version == network.version and special.overlaps(network):
            return f"overlaps the {what} range {special} (expected e.g. {example})"
    return ""


def usable_numbers(version: int, first: int, last: int) -> Usable:
    """Gateway and pod addresses of the network from ``first`` to ``last``, for callers with many networks.

    The gateway is the first host address (kubenet.md section 4). Pods get what host-local gives (cni.md 4.1): not the
    network's own address, not the gateway, not IPv4's broadcast address; IPv6 has none, so its last address is used.
    """
    end = last - 1 if version == 4 else last
    if end < first + 2:
        raise ValueError(f"{last - first + 1} {FAMILIES[version]} addresses have no room for a gateway and a pod")
    return Usable(first + 1, first + 2, end)


def _usable(network: Network) -> Usable:
    return usable_numbers(network.version, int(network.network_address), int(network.broadcast_address))


def _text(network: Network, number: int) -> str:
    return str(type(network.network_address)(number))


def gateway(network: Network) -> str:
    """``10.244.1.1`` for 10.244.1.0/24. ValueError when the network is too small, as check_pod_cidrs says."""
    return _text(network, _usable(network).gateway)


def gateway_interface(network: Network) -> str:
    """The gateway with the network's prefix length, as it is put on the bridge: ``10.244.1.1/24``."""
    return f"{gateway(network)}/{network.prefixlen}"


def pod_range(network: Network) -> tuple[str, str]:
    """First and last address that host-local gives to a pod: ``("10.244.1.2", "10.244.1.254")``."""
    usable = _usable(network)
    return _text(network, usable.first), _text(network, usable.last)


def overlapping(networks_a: t.Iterable[Network], networks_b: t.Iterable[Network]) -> list[tuple[Network, Network]]:
    """Every pair (one of a, one of b) with an address in common, in the order of a, then b. For short lists: all pairs are tried."""
    others = list(networks_b)
    return [(one, other) for one in networks_a for other in others if one.version == other.version and one.overlaps(other)]


def collapse(networks: t.Iterable[Network]) -> list[Network]:
    """The fewest networks with the same addresses, IPv4 first, each family in address order."""
    given = list(networks)
    result: list[Network] = list(ipaddress.collapse_addresses(one for one in given if isinstance(one, ipaddress.IPv4Network)))
    result += ipaddress.collapse_addresses(one for one in given if isinstance(one, ipaddress.IPv6Network))
    return result

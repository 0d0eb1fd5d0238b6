# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The ``ipam`` section of a plugin: what several of its keys mean together.

host-local's own rules are those of plugins/ipam/host-local/backend/allocator (Canonicalize, Overlaps). Beyond them we
refuse what it accepts and pods then suffer from: a gateway outside of the subnet, ranges that begin at the network's or
end at the broadcast address, a range that holds nothing but the gateway.
"""

from __future__ import annotations

import typing as t

from .._errors import Problem
from .keys import IPAM, PLUGINS
from .kinds import Address, Network, Problems, either, parse_cidr, parse_ip, show
from .versions import older

Section = t.Mapping[str, t.Any]

#: Where host-local keeps its leases unless it is told otherwise.
DATA_DIR = "/var/lib/cni/networks"
_FAMILY = {4: "IPv4", 6: "IPv6"}


class Range(t.NamedTuple):
    """One well-formed range with its defaults filled in. ``path`` is where it is written."""

    path: str
    subnet: Network
    start: Address
    end: Address
    gateway: Address

    def overlaps(self, other: Range) -> bool:
        if self.subnet.version != other.subnet.version:
            return False
        return int(self.start) <= int(other.end) and int(other.start) <= int(self.end)

    def __str__(self) -> str:
        return f"{self.start}-{self.end}"


class Link(t.NamedTuple):
    """One subnet a pod may be in, where it is written, and the pod's gateway there (``None``: bridge takes the first)."""

    path: str
    network: Network
    gateway: Address | None

    def on_bridge(self) -> str:
        return f"{self.gateway or self.network.network_address + 1}/{self.network.prefixlen}"


def check_ipam(plugin: Section, path: str, cni_version: str | None) -> Problems:
    """Problems of ``plugin["ipam"]``, a section of a known interface plugin; ``path`` is the section's."""
    section = plugin["ipam"]
    if not isinstance(section, dict):
        yield Problem(path, f'{show(section)} is not an object (expected e.g. {{"type": "host-local", ...}})')
        return
    name = section.get("type")
    if not section:
        return
    if not isinstance(name, str) or not name or "/" in name:
        got = show(name) if "type" in section else "missing, all of it would be ignored"
        yield Problem(f"{path}.type", f"{got} (expected the name of an IPAM plugin such as host-local)")
        return
    known = PLUGINS.get(name)
    if known is None:
        return
    if known.role != IPAM:
        others = either(other for other, entry in PLUGINS.items() if entry.role == IPAM)
        yield Problem(f"{path}.type", f"{name!r} is not an IPAM plugin (expected {others})")
        return
    yield from known.keys.check(section, path)
    rules = _RULES.get(name)
    if rules:
        yield from rules(plugin, section, path, cni_version)


def _host_local(plugin: Section, section: Section, path: str, cni_version: str | None) -> Problems:
    legacy = [name for name in ("rangeStart", "rangeEnd", "gateway") if name in section]
    if legacy and "subnet" not in section:
        yield Problem(f"{path}.{legacy[0]}", f"{show(section[legacy[0]])} without a subnet beside it has no effect (expected a subnet)")
    if "subnet" not in section and section.get("ranges", []) == [] and not _capable(plugin, "ipRanges"):
        yield Problem(f"{path}.ranges", 'missing (expected e.g. [[{"subnet": "10.244.1.0/24"}]])')
    sets: list[list[Range]] = []
    for written in range_sets(section, path):
        found: list[Range] = []
        for where, entry in written:
            problems, ready = _range(entry, where)
            yield from problems
            found.extend([ready] if ready else [])
        yield from _one_set(found)
        yield from _apart(found, sets)
        if found:
            sets.append(found)
    links = [Link(f"{entry.path}.subnet", entry.subnet, entry.gateway) for found in sets for entry in found]
    yield from _one_per_family(plugin, [found[0].subnet.version for found in sets], f"{path}.ranges", "range sets", cni_version)
    yield from _check_links(plugin, section, path, links)


def range_sets(section: Section, path: str) -> list[list[tuple[str, t.Any]]]:
    """Every range with its path, in the order of host-local: the range at the top of the section, then ``ranges``."""
    sets = [[(path, section)]] if "subnet" in section else []
    ranges = section.get("ranges")
    for number, written in enumerate(ranges if isinstance(ranges, list) else []):
        entries = written if isinstance(written, list) else []
        sets.append([(f"{path}.ranges[{number}][{index}]", entry) for index, entry in enumerate(entries)])
    return sets


def _range(entry: t.Any, path: str) -> tuple[list[Problem], Range | None]:
    """The range, or ``None`` when it cannot be compared with others. Wrong types were reported by the table already."""
    parsed = parse_cidr(entry.get("subnet")) if isinstance(entry, dict) else None
    if parsed is None or parsed[0] != parsed[1].network_address:
        return [], None
    subnet = parsed[1]
    if subnet.prefixlen > subnet.max_prefixlen - 2:
        longest = subnet.max_prefixlen - 2
        return [Problem(f"{path}.subnet", f"{show(str(subnet))} is too small to allocate from (expected /{longest} or shorter)")], None
    problems: list[Problem] = []
    gateway = _inside(entry, "gateway", subnet, path, problems) or subnet.network_address + 1
    start = _inside(entry, "rangeStart", subnet, path, problems) or subnet.network_address + 1
    end = _inside(entry, "rangeEnd", subnet, path, problems) or last_host(subnet)
    if problems:
        return problems, None
    if int(end) < int(start):
        return [Problem(f"{path}.rangeEnd", f"{show(str(end))} is below rangeStart (expected {start} or above)")], None
    if start == end == gateway:
        problems.append(Problem(f"{path}.rangeEnd", f"{show(str(end))} leaves only the gateway (expected another address)"))
    return problems, Range(path, subnet, start, end, gateway)


def last_host(subnet: Network) -> Address:
    """The last address for a pod: IPv6 has no broadcast address."""
    return subnet.broadcast_address - 1 if subnet.version == 4 else subnet.broadcast_address


def _inside(entry: Section, key: str, subnet: Network, path: str, problems: list[Problem]) -> Address | None:
    """The address at ``key``, if it is one; a problem is noted if it cannot belong to a host of ``subnet``."""
    address = parse_ip(entry.get(key))
    if address is None:
        return None
    first, last = subnet.network_address + 1, last_host(subnet)
    if address.version != subnet.version or not int(first) <= int(address) <= int(last):
        problems.append(Problem(f"{path}.{key}", f"{show(entry[key])} is not a host of {subnet} (expected {first}..{last})"))
    return address


def _one_set(ranges: t.Sequence[Range]) -> Problems:
    """A pod gets one address of each set, so a set has one family and no address twice."""
    for index, entry in enumerate(ranges):
        if entry.subnet.version != ranges[0].subnet.version:
            family = _FAMILY[ranges[0].subnet.version]
            text = f"{show(str(entry.subnet))} is of another family than {ranges[0].subnet} in its set"
            yield Problem(f"{entry.path}.subnet", f"{text} (expected {family}, or a set of its own)")
        for other in ranges[:index]:
            if entry.overlaps(other):
                yield _overlap(entry, other)


def _apart(ranges: t.Sequence[Range], sets: t.Sequence[t.Sequence[Range]]) -> Problems:
    for entry in ranges:
        for other in (earlier for found in sets for earlier in found):
            if entry.overlaps(other):
                yield _overlap(entry, other)


def _overlap(entry: Range, other: Range) -> Problem:
    return Problem(f"{entry.path}.subnet", f"{show(str(entry.subnet))} ({entry}) overlaps {other.path} ({other}) (expected apart)")


def _one_per_family(plugin: Section, families: t.Sequence[int], path: str, what: str, cni_version: str | None) -> Problems:
    """A pod with two addresses of a family cannot be told in a result before 0.3.0, and with ipMasq it cannot be deleted:
    both addresses' rules share the chain that the first of them tries to remove (pkg/ip TeardownIPMasq; measured)."""
    for family in (4, 6):
        count = families.count(family)
        if count > 1 and older(cni_version, "0.3.0"):
            yield Problem(path, f"{count} {_FAMILY[family]} {what} at cniVersion {cni_version} (expected one before 0.3.0)")
        if count > 1 and plugin.get("ipMasq") is True:
            yield Problem(path, f"{count} {_FAMILY[family]} {what} beside ipMasq: true, so that no pod can be deleted (expected one)")


def _static(plugin: Section, section: Section, path: str, cni_version: str | None) -> Problems:
    addresses = section.get("addresses", [])
    if addresses == [] and not _capable(plugin, "ips") and not _args_ips(plugin):
        yield Problem(f"{path}.addresses", 'missing (expected e.g. [{"address": "10.244.1.5/24"}])')
    links: list[Link] = []
    seen: dict[t.Any, str] = {}
    for index, entry in enumerate(addresses if isinstance(addresses, list) else []):
        parsed = parse_cidr(entry.get("address")) if isinstance(entry, dict) else None
        if parsed is None:
            continue
        where, gateway = f"{path}.addresses[{index}]", parse_ip(entry.get("gateway"))
        first = seen.setdefault(parsed, where)
        if first != where:
            yield Problem(f"{where}.address", f"{show(entry['address'])} is that of {first} (expected it once)")
        if plugin.get("type") == "ptp" and "gateway" not in entry:
            yield Problem(f"{where}.gateway", "missing, ptp routes everything through it (expected the node's address on the link)")
        links.append(Link(f"{where}.address", parsed[1], gateway))
        if gateway and gateway not in parsed[1]:
            text = f"{show(entry['gateway'])} is not in the address's network (expected an address of {parsed[1]})"
            yield Problem(f"{where}.gateway", text)
    yield from _one_per_family(plugin, [link.network.version for link in links], f"{path}.addresses", "addresses", cni_version)
    yield from _check_links(plugin, section, path, links)


def _check_links(plugin: Section, section: Section, path: str, links: t.Sequence[Link]) -> Problems:
    """What the addresses mean for the routes, the bridge and the MTU."""
    yield from _check_routes(plugin, section, path, links)
    yield from _one_on_bridge(plugin, links)
    mtu = plugin.get("mtu")
    versions = [link.network.version for link in links] + [dst.version for *_rest, dst in _destinations(section, path)]
    if isinstance(mtu, int) and 0 < mtu < 1280 and 6 in versions:
        owner = path.rpartition(".")[0]
        yield Problem(f"{owner}.mtu", f"{mtu} is too small for IPv6, which {path} asks for (expected 1280 or more)")


def _one_on_bridge(plugin: Section, links: t.Sequence[Link]) -> Problems:
    """A bridge takes one IPv4 gateway address; ADD fails at the second (bridge.go ensureAddr; measured)."""
    if plugin.get("type") != "bridge" or plugin.get("forceAddress") or not (plugin.get("isGateway") or plugin.get("isDefaultGateway")):
        return
    fours = [link for link in links if link.network.version == 4]
    for link in fours[1:]:
        if link.on_bridge() != fours[0].on_bridge():
            text = f"{show(str(link.network))} needs {link.on_bridge()} on the bridge beside {fours[0].on_bridge()}"
            yield Problem(link.path, f"{text} (expected one IPv4 gateway, or isGateway: false)")


def _destinations(section: Section, path: str) -> t.Iterator[tuple[str, Section, Network]]:
    """The well-formed routes: path, route, destination."""
    routes = section.get("routes")
    for index, route in enumerate(routes if isinstance(routes, list) else []):
        parsed = parse_cidr(route.get("dst")) if isinstance(route, dict) else None
        if parsed:
            yield f"{path}.routes[{index}]", route, parsed[1]


def _check_routes(plugin: Section, section: Section, path: str, links: t.Sequence[Link]) -> Problems:
    seen: dict[t.Any, str] = {}
    for where, route, dst in _destinations(section, path):
        gateway = parse_ip(route.get("gw"))
        same = [link for link in links if link.network.version == dst.version]
        # Without gw the first address's gateway is taken (pkg/ipam ConfigureIface). Other gateways make a multipath route.
        taken = gateway or (same[0].gateway if same else None)
        first = seen.setdefault((dst, taken, show([route.get("priority"), route.get("table")])), where)
        if first != where:
            yield Problem(f"{where}.dst", f"{show(route['dst'])} is the same route as {first} (expected it once)")
        yield from _check_scope(route, where, dst, bool(gateway) or _gives_gateway(plugin, same))
        if gateway:
            yield from _check_gw(gateway, f"{where}.gw", dst, [link.network for link in same])
        elif "gw" not in route and dst.prefixlen == 0 and (same or not links) and plugin.get("isDefaultGateway") is True:
            text = f"{show(route['dst'])} without gw beside isDefaultGateway: true, which adds the same route"
            yield Problem(f"{where}.dst", f"{text} (expected no such route, or one with gw)")


def _gives_gateway(plugin: Section, links: t.Sequence[Link]) -> bool:
    """Whether the first address comes with a gateway, which routes of its family without ``gw`` then go through."""
    own = plugin.get("type") == "bridge" and (plugin.get("isGateway") or plugin.get("isDefaultGateway"))
    return bool(links) and bool(links[0].gateway or own)


class Pool(t.NamedTuple):
    """Addresses that host-local gives away in a network. It keeps which of them are taken below ``data_dir`` by the network's
    name, so that two pools that overlap give one address twice unless both are the same."""

    network: str
    data_dir: str
    range: Range

    def clashes(self, other: Pool) -> bool:
        return self[:2] != other[:2] and self.range.overlaps(other.range)


def pools(config: Section) -> list[Pool]:
    """All of a network's, as far as they are well formed."""
    found = []
    for index, plugin in enumerate(config.get("plugins", [config])):
        section = plugin.get("ipam")
        if isinstance(section, dict) and section.get("type") == "host-local":
            entries = [entry for written in range_sets(section, f"plugins[{index}].ipam") for entry in written]
            ready = [_range(entry, where)[1] for where, entry in entries]
            found += [Pool(config.get("name") or "", str(section.get("dataDir") or DATA_DIR), one) for one in ready if one is not None]
    return found


def data_dir(config: Section) -> t.Any:
    """Where host-local keeps the leases of a network, as its file says; None where it leaves that to the plugin."""
    for plugin in config.get("plugins", [config]):
        section = plugin.get("ipam")
        if isinstance(section, dict) and section.get("type") == "host-local" and section.get("dataDir") not in (None, ""):
            return section["dataDir"]
    return None


def bare_defaults(plugin: Section, path: str) -> t.Iterator[str]:
    """Paths of the default routes of ``plugin``, at ``path``, that go through no gateway. host-local always gives one."""
    section = plugin.get("ipam")
    if not isinstance(section, dict) or section.get("type") != "static":
        return
    addresses = section.get("addresses")
    entries = [entry for entry in (addresses if isinstance(addresses, list) else []) if isinstance(entry, dict)]
    found = [(parse_cidr(entry.get("address")), entry) for entry in entries]
    links = [Link("", parsed[1], parse_ip(entry.get("gateway"))) for parsed, entry in found if parsed]
    for where, route, dst in _destinations(section, f"{path}.ipam"):
        same = [link for link in links if link.network.version == dst.version]
        if dst.prefixlen == 0 and "gw" not in route and not _gives_gateway(plugin, same):
            yield where


def _check_scope(route: Section, path: str, dst: Network, via_gateway: bool) -> Problems:
    """The kernel wants a gateway to be nearer than what lies behind it (fib_check_nh), and ignores the scope in IPv6."""
    scope, farthest = route.get("scope"), 252 if via_gateway else 254
    if dst.version == 4 and isinstance(scope, int) and farthest < scope <= 255:
        reason = "behind a gateway" if via_gateway else "anywhere"
        yield Problem(f"{path}.scope", f"{scope} is too narrow for a destination {reason} (expected {farthest} or less)")


def _check_gw(gateway: Address, path: str, dst: Network, networks: t.Sequence[Network]) -> Problems:
    """``networks``: the pod's, of the family of ``dst``; none when they are not known."""
    if gateway.version != dst.version:
        yield Problem(path, f"{show(str(gateway))} is of another family than dst (expected {_FAMILY[dst.version]})")
        return
    # fe80:: is on every link.
    if not networks or any(gateway in network for network in networks) or (gateway.version == 6 and gateway.is_link_local):
        return
    subnets = either(str(network) for network in networks)
    yield Problem(path, f"{show(str(gateway))} cannot be reached from the pod (expected an address of {subnets})")


def _capable(plugin: Section, name: str) -> bool:
    """Whether the runtime may hand the section's data in by a capability."""
    capabilities = plugin.get("capabilities")
    return isinstance(capabilities, dict) and capabilities.get(name) is True


def _args_ips(plugin: Section) -> bool:
    args = plugin.get("args")
    inner = args.get("cni") if isinstance(args, dict) else None
    return isinstance(inner, dict) and bool(inner.get("ips"))


_RULES: dict[str, t.Callable[[Section, Section, str, str | None], Problems]] = {
    "host-local": _host_local,
    "static": _static,
}

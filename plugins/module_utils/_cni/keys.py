# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The documented keys of the reference plugins (containernetworking/plugins), as one table.

A plugin ignores a key it does not know without a word, so a misspelt option looks like one that has no effect. Sources
are the plugins' configuration structs up to 1.9.1; ``since`` and ``until`` name releases of the plugins (judged in
``releases``; held against the binaries of 0.9.0, 1.1.1 and 1.9.1). Types that are not in the table pass unchecked.
"""

from __future__ import annotations

import dataclasses
import typing as t

from .._errors import Problem
from .kinds import (
    SET,
    TRUTHY,
    AnyOf,
    Anything,
    Ascending,
    Bool,
    Choice,
    Cidr,
    Given,
    Int,
    Ip,
    Key,
    Kind,
    List,
    Map,
    NotBoth,
    Object,
    Problems,
    Rule,
    Text,
    Together,
    closest,
    parse_ip,
    show,
)

INTERFACE = "interface"
CHAINED = "chained"
IPAM = "ipam"

# Interfaces without a peer on the node, where bandwidth sets its limits (measured: "has no veth peer").
WITHOUT_PEER = ("macvlan", "ipvlan", "vlan", "dummy", "tap", "loopback")

# What the runtimes or the reference plugins know (cni.dev conventions). Others are passed on as they are.
CAPABILITIES = (
    "portMappings",
    "bandwidth",
    "ipRanges",
    "dns",
    "ips",
    "mac",
    "aliases",
    "cgroupPath",
    "deviceID",
    "infinibandGUID",
    "io.kubernetes.cri.pod-annotations",
)

UINT32 = 2**32 - 1


class Capability(Kind):
    """A capability's name. One that nobody knows makes the plugin do nothing, silently, so near misses are refused."""

    def check(self, value: t.Any, path: str) -> Problems:
        near = None if value in CAPABILITIES else closest(str(value), CAPABILITIES, cutoff=0.85)
        if near:
            yield Problem(path, f"{str(value)!r} is not a capability (expected {near}?)")


class VlanGatewayName(Rule):
    """The gateway address of a bridge with a VLAN sits on an interface ``<bridge>.<vlan>`` (bridge.go ensureVlanInterface)."""

    def check(self, value: t.Mapping[str, t.Any], path: str) -> Problems:
        name = f"{value.get('bridge', 'cni0')}.{value.get('vlan')}"
        if value.get("vlan") and (value.get("isGateway") or value.get("isDefaultGateway")) and len(name.encode()) > 15:
            text = f"{show(value['bridge'])} makes the gateway interface {name!r} (expected at most 15 bytes)"
            yield Problem(f"{path}.bridge", text)


@dataclasses.dataclass(eq=False, repr=False)
class NoAliases(Rule):
    """Keys of a sysctl map that name one file: ``net.a.b`` and ``net/a/b`` (tuning refuses both from 1.2.0 on)."""

    key: str

    def check(self, value: t.Mapping[str, t.Any], path: str) -> Problems:
        seen: dict[str, str] = {}
        names = value.get(self.key)
        for name in names if isinstance(names, dict) else ():
            first = seen.setdefault(str(name).replace("/", "."), str(name))
            if first != name:
                yield Problem(f"{path}.{self.key}.{name}", f"{name!r} and {first!r} are one sysctl (expected it once)")


@dataclasses.dataclass(eq=False, repr=False)
class TokenBucket(Rule):
    """A rate and its burst make a bucket that holds at least one byte.

    The burst reaches the kernel as its duration at the rate, in whole microseconds turned into ticks of 64 ns
    (bandwidth ifb_creator.go, netlink time2Tick; 32 bits each); the kernel turns it back into bytes and refuses 0
    (sch_tbf; measured: "create qdisc: invalid argument").
    """

    rate: str
    burst: str

    def check(self, value: t.Mapping[str, t.Any], path: str) -> Problems:
        rate, burst = value.get(self.rate), value.get(self.burst)
        if not isinstance(rate, int) or not isinstance(burst, int) or rate < 8 or burst < 8:
            return
        microseconds = (burst // 8 * 10**6 // (rate // 8)) % 2**32
        ticks = (microseconds * 125 // 8) % 2**32
        if ticks * 64 * (rate // 8) < 10**9:
            text = f"{burst} makes an empty bucket with {self.rate}: {rate} (expected a larger burst or another rate)"
            yield Problem(f"{path}.{self.burst}", text)


@dataclasses.dataclass(eq=False, repr=False)
class Conditions(Rule):
    """Match arguments for portmap's rules, in the words of iptables or of nft; the plugin tells them apart by the first
    character (portmap main.go detectBackendOfConditions) and takes iptables when ``backend`` is not there, except on a
    host without. Their grammar is not judged, only what goes wrong by mistake: the other program's words, an option
    and its value in one string, an address of the other family.
    """

    key: str
    version: int

    def check(self, value: t.Mapping[str, t.Any], path: str) -> Problems:
        words = value.get(self.key)
        if not isinstance(words, list) or not words or not all(isinstance(word, str) for word in words):
            return
        where, nft = f"{path}.{self.key}", value.get("backend") == "nftables"
        if nft is words[0].startswith(("-", "!")):
            other = "backend: nftables (expected nft's words" if nft else "the iptables backend (expected an option such as -s"
            yield Problem(where, f"{show(words[0])} is not for {other} first)")
            return
        for index, word in enumerate(words):
            if not nft and word.startswith(("-", "!")) and " " in word:
                yield Problem(f"{where}[{index}]", f"{show(word)} is one word for iptables (expected each word as an entry of its own)")
        yield from self._check_addresses(" ".join(words).split(), where)

    def _check_addresses(self, words: t.Sequence[str], path: str) -> Problems:
        for selector, *rest in zip(words, words[1:], [*words[2:], ""]):
            word = rest[1] if rest[0] in ("!=", "==") else rest[0]
            address = parse_ip(word.partition("/")[0]) if selector in _SELECTORS else None
            if address and address.version != self.version:
                yield Problem(path, f"{show(word)} is an IPv{address.version} address (expected an IPv{self.version} address)")


_SELECTORS = ("-s", "--src", "--source", "-d", "--dst", "--destination", "saddr", "daddr")
_IFNAME = "an interface name of 1 to 15 characters without /, :, % and white space"
IFNAME = Text(r"(?!\.{1,2}$)[^\s/:%]{1,15}", _IFNAME)
BRIDGE = Text(r"(?!\.{1,2}$|lo$)[^\s/:%]{1,15}", f"{_IFNAME}, other than lo")
MAC = Text(
    r"[0-9A-Fa-f][02468ACEace]([:-][0-9A-Fa-f]{2}){5}",
    "a unicast MAC address such as 0a:58:0a:f4:01:05",
)
PATH = Text(r"/[^\0]*", "an absolute path")
CHAIN = Text(r"[^\s!-][^\s]{0,27}", "the name of an iptables chain, at most 28 characters")
SYSCTL = Text(r"net[./](?!.*\.\.)\S+", "a sysctl below net., such as net.core.somaxconn")
MTU = Int(68, 65535, also=(0,))
# Bits; the kernel gets them as whole bytes and refuses 0 (measured: "create qdisc: invalid argument").
RATE = Int(8, 2**64 - 1, also=(0,))
BURST = Int(8, UINT32 * 8 - 1, also=(0,))
STRINGS = List(Text(), 'a list of strings such as ["a", "b"]')
NETFILTER = {"iptables": "1.6.0", "nftables": "1.6.0"}

ARGS = Object("args", {}, open=True)
DNS = Object(
    "dns",
    {"nameservers": Key(STRINGS), "domain": Key(Text()), "search": Key(STRINGS), "options": Key(STRINGS)},
)
ROUTE = Object(
    "a route",
    {
        "dst": Key(Cidr(), required=True),
        "gw": Key(Ip()),
        "mtu": Key(Int(0, UINT32), since="1.6.0"),
        "advmss": Key(Int(0, UINT32), since="1.6.0"),
        "priority": Key(Int(0, UINT32), since="1.6.0"),
        "table": Key(Int(0, UINT32), since="1.6.0"),
        "scope": Key(Int(0, 255), since="1.6.0"),
    },
)
ROUTES = List(ROUTE, 'a list of routes such as [{"dst": "0.0.0.0/0"}]')
RANGE_KEYS = {"subnet": Key(Cidr(), required=True), "rangeStart": Key(Ip()), "rangeEnd": Key(Ip()), "gateway": Key(Ip())}
RANGES = List(
    List(Object("a range", RANGE_KEYS), 'a list of ranges such as [{"subnet": "10.244.1.0/24"}]', least=1),
    'a list of lists of ranges such as [[{"subnet": "10.244.1.0/24"}]]',
)
TRUNK = Object(
    "a VLAN trunk entry",
    {"id": Key(Int(1, 4094)), "minID": Key(Int(1, 4094)), "maxID": Key(Int(1, 4094))},
    rules=(Together(Given("minID"), Given("maxID")), Ascending("minID", "maxID")),
)
BRIDGE_ARGS = Object("args", {"cni": Key(Object("args.cni", {"mac": Key(MAC, since="1.0.0")}, open=True))}, open=True)

COMMON = {
    "type": Key(Anything()),
    "capabilities": Key(Map(Bool(), 'such as {"portMappings": true}', key=Capability())),
    "args": Key(ARGS),
}
LINK = {**COMMON, "ipam": Key(Anything()), "dns": Key(DNS)}
IN_CONTAINER = {"linkInContainer": Key(Bool(), since="1.3.0")}


@dataclasses.dataclass(eq=False, repr=False)
class Plugin:
    """One plugin type. ``spec_since``: first specification version it answers VERSION with. ``needs_ipam``: ADD fails
    without an IPAM type. ``stacks``: may also come after the plugin that made the interface."""

    role: str
    keys: Object
    since: str = ""
    spec_since: str = "0.1.0"
    needs_ipam: bool = False
    stacks: bool = False


def _link(name: str, keys: t.Mapping[str, Key], rules: tuple[Rule, ...] = (), **rest: t.Any) -> Plugin:
    return Plugin(INTERFACE, Object(name, {**LINK, **keys}, rules), **rest)


def _chained(name: str, keys: t.Mapping[str, Key], rules: tuple[Rule, ...] = (), **rest: t.Any) -> Plugin:
    return Plugin(CHAINED, Object(name, {**COMMON, **keys}, rules), **rest)


def _ipam(name: str, keys: t.Mapping[str, Key], **rest: t.Any) -> Plugin:
    return Plugin(IPAM, Object(name, {"type": Key(Anything()), **keys}), **rest)


def _asked_by_device_id(value: t.Mapping[str, t.Any]) -> bool:
    capabilities = value.get("capabilities")
    return isinstance(capabilities, dict) and capabilities.get("deviceID") is True


PLUGINS: t.Mapping[str, Plugin] = {
    "bridge": _link(
        "bridge",
        {
            "bridge": Key(BRIDGE),
            "isGateway": Key(Bool()),
            "isDefaultGateway": Key(Bool()),
            "forceAddress": Key(Bool()),
            "ipMasq": Key(Bool()),
            "ipMasqBackend": Key(Choice(NETFILTER), since="1.6.0"),
            "mtu": Key(MTU),
            "hairpinMode": Key(Bool()),
            "promiscMode": Key(Bool()),
            "vlan": Key(Int(0, 4094), since="0.8.0"),
            "vlanTrunk": Key(List(TRUNK, 'a list such as [{"id": 10}, {"minID": 20, "maxID": 29}]'), since="1.3.0"),
            "preserveDefaultVlan": Key(Bool(), since="1.3.0"),
            "macspoofchk": Key(Bool(), since="1.1.0"),
            "enabledad": Key(Bool(), since="1.1.0"),
            "disableContainerInterface": Key(Bool(), since="1.4.1"),
            "portIsolation": Key(Bool(), since="1.7.0"),
            "args": Key(BRIDGE_ARGS),
        },
        (
            NotBoth(Given("hairpinMode", TRUTHY), Given("promiscMode", TRUTHY)),
            NotBoth(Given("vlan", TRUTHY), Given("vlanTrunk", TRUTHY)),
            NotBoth(Given("disableContainerInterface", TRUTHY), Given("ipam", TRUTHY)),
            VlanGatewayName(),
        ),
    ),
    "ptp": _link(
        "ptp",
        {"ipMasq": Key(Bool()), "ipMasqBackend": Key(Choice(NETFILTER), since="1.6.0"), "mtu": Key(MTU)},
        needs_ipam=True,
    ),
    "loopback": Plugin(INTERFACE, Object("loopback", COMMON)),
    "macvlan": _link(
        "macvlan",
        {
            "master": Key(IFNAME),
            "mode": Key(Choice({"bridge": "", "private": "", "vepa": "", "passthru": ""})),
            "mtu": Key(MTU),
            "mac": Key(MAC),
            "bcqueuelen": Key(Int(0, UINT32), since="1.6.0"),
            **IN_CONTAINER,
        },
    ),
    "ipvlan": _link(
        "ipvlan",
        {"master": Key(IFNAME), "mode": Key(Choice({"l2": "", "l3": "", "l3s": ""})), "mtu": Key(MTU), **IN_CONTAINER},
        needs_ipam=True,
        stacks=True,
    ),
    "vlan": _link(
        "vlan",
        {"master": Key(IFNAME, required=True), "vlanId": Key(Int(0, 4094)), "mtu": Key(MTU), **IN_CONTAINER},
        needs_ipam=True,
    ),
    "host-device": _link(
        "host-device",
        {
            "device": Key(IFNAME),
            "hwaddr": Key(MAC),
            "kernelpath": Key(Text(r"/sys/devices/.+", "a path below /sys/devices/")),
            "pciBusID": Key(Text(r"[^/\s]+", "a PCI address such as 0000:00:1f.6")),
        },
        (AnyOf(("device", "hwaddr", "kernelpath", "pciBusID"), unless=_asked_by_device_id),),
    ),
    "dummy": _link("dummy", {}, since="1.2.0", needs_ipam=True),
    "tap": _link(
        "tap",
        {
            "multiQueue": Key(Bool()),
            "mtu": Key(MTU),
            "mac": Key(MAC),
            "owner": Key(Int(0, UINT32)),
            "group": Key(Int(0, UINT32)),
            "selinuxContext": Key(Text()),
            "bridge": Key(BRIDGE),
        },
        since="1.3.0",
    ),
    "portmap": _chained(
        "portmap",
        {
            "snat": Key(Bool()),
            "masqAll": Key(Bool(), since="1.2.0"),
            "markMasqBit": Key(Int(0, 31)),
            "externalSetMarkChain": Key(CHAIN),
            "conditionsV4": Key(STRINGS),
            "conditionsV6": Key(STRINGS),
            "backend": Key(Choice(NETFILTER), since="1.6.0"),
        },
        (
            NotBoth(Given("externalSetMarkChain", SET), Given("markMasqBit", SET)),
            NotBoth(Given("backend", "nftables"), Given("externalSetMarkChain", SET)),
            Conditions("conditionsV4", 4),
            Conditions("conditionsV6", 6),
        ),
    ),
    "bandwidth": _chained(
        "bandwidth",
        {
            "ingressRate": Key(RATE),
            "ingressBurst": Key(BURST),
            "egressRate": Key(RATE),
            "egressBurst": Key(BURST),
            "shapedSubnets": Key(STRINGS, since="1.5.0", until="1.5.1"),
            "unshapedSubnets": Key(STRINGS, since="1.5.0", until="1.5.1"),
        },
        (
            Together(Given("ingressRate", TRUTHY), Given("ingressBurst", TRUTHY)),
            Together(Given("egressRate", TRUTHY), Given("egressBurst", TRUTHY)),
            TokenBucket("ingressRate", "ingressBurst"),
            TokenBucket("egressRate", "egressBurst"),
            NotBoth(Given("shapedSubnets", TRUTHY), Given("unshapedSubnets", TRUTHY)),
        ),
        spec_since="0.3.0",
    ),
    "firewall": _chained(
        "firewall",
        {
            "backend": Key(Choice({"iptables": "", "firewalld": ""})),
            "iptablesAdminChainName": Key(CHAIN),
            "firewalldZone": Key(Text(r"\S+", "the name of a firewalld zone")),
            "ingressPolicy": Key(Choice({"open": "1.1.0", "same-bridge": "1.1.0", "isolated": "1.7.0"}), since="1.1.0"),
        },
        since="0.8.0",
        spec_since="0.4.0",
    ),
    "tuning": _chained(
        "tuning",
        {
            "sysctl": Key(Map(Text(), 'such as {"net.core.somaxconn": "512"}', key=SYSCTL)),
            "mac": Key(MAC, since="0.8.0"),
            "mtu": Key(MTU, since="0.8.0"),
            "promisc": Key(Bool(), since="0.8.0"),
            "allmulti": Key(Bool(), since="1.0.0"),
            "txQLen": Key(Int(0, UINT32), since="1.4.0"),
            "dataDir": Key(PATH, since="0.9.0"),
        },
        (NoAliases("sysctl"),),
    ),
    "sbr": _chained(
        "sbr",
        {
            "table": Key(Int(1, UINT32), since="1.6.0"),
            # On the main branch after 1.9.1; their shape is not settled here.
            "gateways": Key(Anything(), since="1.10.0"),
            "addSourceHints": Key(Anything(), since="1.10.0"),
        },
    ),
    "vrf": _chained(
        "vrf",
        {"vrfname": Key(IFNAME, required=True), "table": Key(Int(0, UINT32))},
        spec_since="0.3.1",
    ),
    "host-local": _ipam(
        "host-local",
        {
            "ranges": Key(RANGES),
            **{name: dataclasses.replace(key, required=False) for name, key in RANGE_KEYS.items()},
            "routes": Key(ROUTES),
            "dataDir": Key(PATH),
            "resolvConf": Key(PATH),
        },
    ),
    "static": _ipam(
        "static",
        {
            "addresses": Key(
                List(
                    Object("an address", {"address": Key(Cidr(network=False), required=True), "gateway": Key(Ip())}),
                    'a list such as [{"address": "10.244.1.5/24"}]',
                )
            ),
            "routes": Key(ROUTES),
            "dns": Key(DNS),
        },
        since="0.8.0",
    ),
    "dhcp": _ipam(
        "dhcp",
        {
            "daemonSocketPath": Key(PATH),
            "request": Key(
                List(
                    Object("a requested option", {"option": Key(Text()), "skipDefault": Key(Bool())}),
                    'a list such as [{"option": "subnet-mask"}]',
                ),
                since="1.1.0",
            ),
            "provide": Key(
                List(
                    Object("a provided option", {"option": Key(Text()), "value": Key(Text()), "fromArg": Key(Text())}),
                    'a list such as [{"option": "host-name", "fromArg": "K8S_POD_NAME"}]',
                ),
                since="1.1.0",
            ),
            "priority": Key(Int(0, 2**31 - 1), since="1.6.0"),
        },
    ),
}

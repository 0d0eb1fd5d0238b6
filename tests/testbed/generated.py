# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Networks as people get them right, and nearly right: generated from a seed, most keys legal, some values not."""

from __future__ import annotations

import copy
import ipaddress
from collections.abc import Callable, Collection
from random import Random
from typing import Any

from .chains import MARK_CHAIN

VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "0.4.0", "1.0.0", "1.0.0", "1.0.0", "1.1.0")


class Maker:
    """Draws networks; the same source of chance draws the same ones. Every method returns new data."""

    def __init__(self, chance: Random) -> None:
        self._random = chance

    def one(self, *choices: Any) -> Any:
        return copy.deepcopy(self._random.choice(choices))

    def often(self, chance: float) -> bool:
        return self._random.random() < chance

    def some(self, options: dict[str, tuple[float, tuple[Any, ...]]]) -> dict[str, Any]:
        """Of key: (chance, values) some keys, each with one of its values."""
        return {key: self.one(*values) for key, (chance, values) in options.items() if self.often(chance)}

    def accepted(self, chain: str, judge: Callable[[str, list[Any]], list[Any]], known: Collection[str]) -> tuple[str, list[Any]]:
        """A version and the plugins of a chain (kubelets_chain, other_chain) of which the judge finds no problem."""
        while True:
            version, plugins = self.version(known), getattr(self, chain)()
            if not judge(version, plugins):
                return version, plugins

    # Chains of the other plugins that this kernel can run

    def other_chain(self) -> list[dict[str, Any]]:
        """What begins with loopback wants the interface name lo."""
        if self.often(0.05):
            return [{"type": "loopback", **self.some({"ipam": (0.1, ({},)), "mtu": (0.1, (1400,)), "capabilities": (0.2, ({"mac": True}, {"mac": 1}))})}]
        makers = (self._ptp, self._ptp, self._macvlan, self._bridge_static)
        plugins = [self.one(*makers)()]
        for chance, make in ((0.3, self._tuning), (0.3, self._firewall), (0.15, self._sbr), (0.2, self.portmap), (0.2, self.bandwidth)):
            if self.often(chance):
                plugins.append(make())
        return plugins[::-1] if self.often(0.03) else plugins

    def _ptp(self) -> dict[str, Any]:
        plugin = {"type": "ptp", **self.some({
            "ipMasq": (0.4, (True, True, False, "true")), "mtu": (0.3, (1400, 0, 68, 1279, 65535, 67, 65536, "1400")),
            "ipMasqBackend": (0.1, ("iptables", "nft")), "isGateway": (0.03, (True,)), "dns": (0.05, ({"nameservers": ["192.0.2.53"]},)),
        })}
        if self.often(0.95):
            plugin["ipam"] = self.one(self.host_local, self.static)()
        return plugin

    def _macvlan(self) -> dict[str, Any]:
        return {"type": "macvlan", "ipam": self.one(self.host_local, self.static)(), **self.some({
            "master": (0.5, ("eth0", "eth0", "eth0", "a/b", "")), "mode": (0.5, ("bridge", "private", "vepa", "bridged", 1)),
            # Not more than the master's, which only the node knows.
            "mtu": (0.3, (1400, 0, 1279, "1400")), "mac": (0.2, ("0a:58:0a:01:02:03", "zz", "01:58:0a:01:02:03")),
            "linkInContainer": (0.1, (False, "no")), "bcqueuelen": (0.1, (1000, -1)),
        })}

    def _bridge_static(self) -> dict[str, Any]:
        return {"type": "bridge", "bridge": f"b{self._random.randrange(10**6)}", "ipam": self.static(), **self.some({
            "isGateway": (0.3, (True, False)), "isDefaultGateway": (0.3, (True, False)), "ipMasq": (0.3, (True, False))})}

    def static(self) -> dict[str, Any]:
        """A section of the IPAM plugin static."""
        section: dict[str, Any] = {"type": "static", "addresses": [self._address(4)]}
        if self.often(0.3):
            section["addresses"].append(self._address(self.one(6, 6, 6, 4)))
        if self.often(0.05):
            section["addresses"] = self.one([], "10.1.1.5/24", [{}])
        if self.often(0.4):
            section["routes"] = [self._route(section)]
        return {**section, **self.some({"dns": (0.1, ({"nameservers": ["192.0.2.53"]}, {"nameservers": 5}))})}

    def _address(self, family: int) -> dict[str, Any]:
        net, length = ("10.1.{}.", 24) if family == 4 else ("fd00:{}::", 64)
        net = net.format(self._random.randrange(1, 250))
        return {"address": self.one(*[f"{net}5/{length}"] * 6, f"{net}5", f"{net}5/129", 5),
                **self.some({"gateway": (0.5, (f"{net}1", f"{net}1", f"{net}1", "192.168.9.1", "fd09::1", "gw"))})}

    def _tuning(self) -> dict[str, Any]:
        return {"type": "tuning", **self.some({
            "sysctl": (0.6, ({"net.core.somaxconn": "512"}, {"net.ipv4.conf.IFNAME.arp_filter": "1"}, {"net/ipv4/conf/IFNAME/arp_filter": "1"},
                             {"kernel.domainname": "x"}, {"net.core.somaxconn": 512}, {})),
            "mac": (0.2, ("0a:58:0a:01:02:03", "zz")), "mtu": (0.2, (1400, 0, "1400")), "promisc": (0.2, (True, False, "true")),
            "allmulti": (0.2, (True, False, "true")), "txQLen": (0.1, (500, -1)), "dataDir": (0.1, ("/run/tuning", 5)), "sysctls": (0.03, ({},)),
        })}

    def _firewall(self) -> dict[str, Any]:
        return {"type": "firewall", **self.some({
            "backend": (0.5, ("iptables", "iptables", "iptable", 5)), "iptablesAdminChainName": (0.2, ("ADMIN", "x" * 29, "A B", 5)),
            "ingressPolicy": (0.3, ("open", "same-bridge", "isolated", "closed")), "firewalldZone": (0.1, ("trusted", 5)),
        })}

    def _sbr(self) -> dict[str, Any]:
        return {"type": "sbr", **self.some({"table": (0.3, (500, -1, "500")), "tables": (0.05, (1,))})}

    # The chain of kubelets: bridge, host-local, portmap, bandwidth

    def version(self, known: Collection[str]) -> str:
        """A version of the specification that the plugins know."""
        return self.one(*(version for version in VERSIONS if version in known))

    def kubelets_chain(self) -> list[dict[str, Any]]:
        plugins = [self.bridge()]
        if self.often(0.6):
            plugins.append(self.portmap())
        if self.often(0.4):
            plugins.append(self.bandwidth())
        if self.often(0.04):
            self._random.shuffle(plugins)
        elif self.often(0.02):
            plugins.append(self.bridge())
        return plugins

    def bridge(self) -> dict[str, Any]:
        plugin = {"type": "bridge", "bridge": f"b{self._random.randrange(10**6)}"}
        if self.often(0.04):
            plugin["bridge"] = self.one("a-name-too-long-x", "lo", "a b", "a/b", "", 5)
        flags = (True, True, True, True, True, True, False, False, False, "true", 1)
        names = ("isGateway", "isDefaultGateway", "ipMasq", "hairpinMode", "promiscMode", "forceAddress", "enabledad")
        plugin.update(self.some(dict.fromkeys(names, (0.3, flags))))
        plugin.update(self.some({
            "mtu": (0.3, (1400, 1500, 9000, 0, 68, 67, 65535, 65536, 1280, 1279, "1500", 1500.0, -1)),
            # VLANs need more of the kernel than a bridge does; here are only those that no kernel is asked about.
            "vlan": (0.05, (0, 4095, -1, "5")),
            "ipMasqBackend": (0.1, ("iptables", "nftables", "iptables", "nftables", "nft", 5, "")),
            "portIsolation": (0.1, (True, False, "true")),
            "preserveDefaultVlan": (0.05, (True, False, "true")),
            "disableContainerInterface": (0.05, (True, False, False, "true")),
            "args": (0.05, ({"cni": {"mac": "0a:58:0a:01:02:03"}}, {"cni": {"mac": "01:58:0a:01:02:03"}}, {"cni": {"mac": "zz"}}, 5)),
            "dns": (0.05, ({"nameservers": ["192.0.2.53"]}, {"nameservers": "192.0.2.53"}, {"domain": 5}, {"search": ["example.org"]})),
        }))
        if self.often(0.06):
            plugin[self.one("hairpin_mode", "isgateway", "MTU", "foo")] = self.one(True, 1400)
        if self.often(0.95):
            plugin["ipam"] = self.host_local()
        elif self.often(0.5):
            plugin["ipam"] = {}
        return plugin

    def host_local(self) -> dict[str, Any]:
        section: dict[str, Any] = {"type": "host-local" if self.often(0.985) else self.one("portmap", "", 5, "a/b")}
        section.update(self._some_ranges())
        if self.often(0.45):
            section["routes"] = [self._route(section) for _number in range(self.one(1, 1, 2, 2))]
        section.update(self.some({"resolvConf": (0.04, ("/etc/hostname", "etc/hostname", 5)),
                                  "dataDir": (0.04, ("/run/leases", "/run/leases", 5))}))
        return section

    def _some_ranges(self) -> dict[str, Any]:
        kind = self._random.random()
        if kind < 0.1:
            return self.range(4)
        if kind < 0.2:
            return {"ranges": self.one([self.range(4)], [], [[]], "10.1.0.0/24")}
        sets = [[self.range(4)]]
        if self.often(0.45):
            sets.append([self.range(6)])
        if self.often(0.1):
            sets.append([self.range(4)])
        if self.often(0.1):
            sets[0].append(self.one(self.range(4), self.range(6), sets[0][0]))
        if self.often(0.06):
            sets.append(copy.deepcopy(sets[0]))
        return {"ranges": sets}

    def range(self, family: int) -> dict[str, Any]:
        """One range of host-local."""
        found = self._range4() if family == 4 else self._range6()
        if self.often(0.04):
            found["start"] = "x"
        return found

    def _range4(self) -> dict[str, Any]:
        net = f"10.{self._random.randrange(250)}"
        usual = (f"{net}.1.0/24",) * 4
        return {"subnet": self.one(*usual, f"{net}.1.0/30", f"{net}.1.0/31", f"{net}.1.0/32", f"{net}.1.5/24", f"{net}.1.0", f"{net}.1.0/33",
                                   f"{net}.0.0/16", "10.01.0.0/24", "10.9.0.0/255.255.255.0"),
                **self.some({
                    "rangeStart": (0.25, (f"{net}.1.10", f"{net}.1.1", f"{net}.2.1", f"{net}.1.200", "x", f"{net}.1.0")),
                    "rangeEnd": (0.25, (f"{net}.1.20", f"{net}.1.1", f"{net}.1.2", f"{net}.1.254", f"{net}.1.255", 5)),
                    "gateway": (0.2, (f"{net}.1.1", f"{net}.1.254", "192.168.9.1", "bad", f"{net}.1.2")),
                })}

    def _range6(self) -> dict[str, Any]:
        net = f"fd00:{self._random.randrange(1, 0xfff):x}"
        usual = (f"{net}::/64",) * 3
        return {"subnet": self.one(*usual, f"{net}::/126", f"{net}::/127", f"{net}::1/64", f"{net}:0::/64", f"{net.upper()}::/64"),
                **self.some({
                    "rangeStart": (0.2, (f"{net}::10", "fe00::1", f"{net}::")),
                    "rangeEnd": (0.2, (f"{net}::20", f"{net}::1", f"{net}::ffff:ffff:ffff:ffff")),
                    "gateway": (0.2, (f"{net}::1", f"{net}::ffff", "10.0.0.1", "::ffff:10.0.0.1")),
                })}

    def _route(self, section: dict[str, Any]) -> Any:
        inside = _first_host(section)
        return self.one(
            {"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0"}, {"dst": "::/0"}, {"dst": "192.168.0.0/16"}, {"dst": "192.168.5.5/16"},
            {"dst": "fd99::5/64"}, {"dst": "fd99::/64"}, {"dst": "10.77.0.0/16"}, {"dst": "10.77.0.0/16"},
            {"dst": "0.0.0.0/0", "gw": "9.9.9.9"}, {"dst": "fd99::/64", "gw": "10.1.1.1"}, {"dst": "::/0", "gw": "fe80::1"},
            {"dst": "172.16.0.0/12", "gw": inside}, {"dst": "172.16.0.0/12", "gw": inside}, {"dst": "0.0.0.0/0", "gw": inside},
            {"gw": "10.1.1.1"}, "0.0.0.0/0", {"dst": "172.17.0.0/16", "mtu": 1400}, {"dst": "172.17.0.0/16", "priority": "high"},
            {"dst": "172.17.0.0/16", "scope": 253, "table": 100}, {"dst": "fd98::/64", "scope": 253}, {"dst": "172.18.0.0/16", "scope": 255},
            {"dst": "172.17.0.0/16", "scope": 200},
        )

    def portmap(self) -> dict[str, Any]:
        plugin = {"type": "portmap"}
        if self.often(0.9):
            plugin["capabilities"] = self.one(*[{"portMappings": True}] * 8, {"portMappings": "true"}, {"portMappings": False},
                                              {"portmappings": True})
        plugin.update(self.some({
            "snat": (0.3, (True, False, "no")),
            "masqAll": (0.1, (True, False, "no")),
            "backend": (0.15, ("iptables", "nftables", "iptables", "nftables", "nft", 5)),
            "markMasqBit": (0.3, (0, 13, 31, 32, -1, "5", None)),
            "externalSetMarkChain": (0.15, (MARK_CHAIN, MARK_CHAIN, "x" * 29, 5)),
            "conditionsV4": (0.15, (["!", "-s", "192.0.2.0/24"], ["ip", "saddr", "!=", "192.0.2.0/24"], ["! -s 192.0.2.0/24"],
                                    ["-s", "2001:db8::/32"], ["meta", "mark", "0x1"], "-s", ["-d", 5], [])),
            "conditionsV6": (0.1, (["!", "-s", "2001:db8::/32"], ["ip6", "saddr", "2001:db8::/32"], ["-s", "192.0.2.1"], "-s", [])),
            "condition": (0.05, (1,)),
        }))
        return plugin

    def bandwidth(self) -> dict[str, Any]:
        plugin: dict[str, Any] = {"type": "bandwidth"}
        if self.often(0.4):
            plugin["capabilities"] = {"bandwidth": True}
        for direction in ("ingress", "egress"):
            both = self.often(0.3)
            if both or self.often(0.1):
                plugin[f"{direction}Rate"] = self._rate()
            if both or self.often(0.1):
                plugin[f"{direction}Burst"] = self._burst()
        return plugin

    def _rate(self) -> Any:
        return self.one(10**6, 8 * 10**7, 1, 7, 8, 9, 0, 2**64 - 1, 2**64, -5, "1M", 10**12, self._random.randrange(2 ** self._random.randrange(4, 64)))

    def _burst(self) -> Any:
        return self.one(10**6, 10**5, 1, 8, 9, 80, 0, self._random.randrange(2 ** self._random.randrange(4, 35)), 2**32 * 8 - 9, 2**32 * 8 - 8, 2**35)


def _first_host(section: dict[str, Any]) -> str:
    """The usual gateway of the first range, if it is one."""
    try:
        sets = section.get("ranges", [[section]])
        return str(ipaddress.ip_network(sets[0][0]["subnet"])[1])
    except (KeyError, IndexError, TypeError, ValueError):
        return "10.1.1.1"

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from .._errors import InUse
from .._host import links, sysctls
from .._resource import Resource, State

#: Keys below net/ipv6/conf/LINK that are a part of a bridge's state.
IPV6_KEYS = ("accept_dad", "accept_ra")


class Bridge(Resource):
    """A Linux bridge with its gateway addresses.

    State: ``{"accept_dad": 0, "accept_ra": 0, "addresses": ["10.244.1.1/24"], "mac", "mtu": bytes, "promisc": bool, "txqueuelen":
    packets, "up": bool}``. The IPv6 settings are None where the link has no IPv6 (the kernel, or an MTU below 1280). Addresses are all
    of global scope: the CNI bridge plugin refuses a pod when another IPv4 address is there (cni.md 3.1 forceAddress).
    Everything is changed in place, a bridge with pods on it is never made anew.
    """

    libraries = ("pyroute2>=0.7.2",)  # older ones fail on every change of a link that is there already

    def __init__(self, name: str) -> None:
        self.name = name
        self.id = f"bridge:{name}"

    def read(self) -> State:
        link = links.read_links().get(self.name)
        if link is None:
            return None
        return {
            **{key: self._read_ipv6(key) for key in IPV6_KEYS},
            "addresses": sorted(link.addresses),
            "mac": link.mac,
            "mtu": link.mtu,
            "promisc": "PROMISC" in link.flags,
            "txqueuelen": link.txqueuelen,
            "up": "UP" in link.flags,
        }

    def _read_ipv6(self, key: str) -> int | None:
        value = sysctls.read(f"net/ipv6/conf/{self.name}/{key}")
        return None if value is None else int(value)

    def write(self, state: State) -> None:
        now = self.read()
        if state is None:
            if now is not None:
                links.delete_link(self.name)
            return
        if now is None:
            links.create_bridge(self.name, state["mac"])
            now = {**self.read(), "mtu": None}
        self._change(now, state)

    def _change(self, now: dict[str, t.Any], state: dict[str, t.Any]) -> None:
        if now["mac"] != state["mac"]:
            links.set_mac(self.name, state["mac"])
        if now["mtu"] != state["mtu"]:
            links.set_mtu(self.name, state["mtu"])
        if now["txqueuelen"] != state["txqueuelen"]:
            links.set_txqueuelen(self.name, state["txqueuelen"])
        for key in IPV6_KEYS:  # behind the MTU, with which they come and go
            if state[key] is not None and self._read_ipv6(key) not in (None, state[key]):
                sysctls.write(f"net/ipv6/conf/{self.name}/{key}", str(state[key]))
        if now["up"] and not state["up"]:  # first: a link that goes down loses its IPv6 addresses
            links.set_flags(self.name, up=False)
            now = {**now, "up": False}
        self._change_addresses(state["addresses"], self.read()["addresses"] if now["addresses"] else [])
        if (now["up"], now["promisc"]) != (state["up"], state["promisc"]):
            links.set_flags(self.name, up=state["up"], promisc=state["promisc"])

    def _change_addresses(self, wanted: list[str], there: list[str]) -> None:
        """``there``: what is left by now of those that were, since an MTU below 1280 takes the IPv6 ones away."""
        self._add(wanted, there)
        if not set(there) <= set(wanted):
            self._delete_others(wanted)
            self._add(wanted, self.read()["addresses"])

    def _delete_others(self, wanted: list[str]) -> None:
        """Read anew each time: an IPv4 address that is deleted takes along those added behind it to the same subnet (unless
        promote_secondaries is on)."""
        while True:
            others = [address for address in self.read()["addresses"] if address not in wanted]
            if not others:
                return
            links.delete_address(self.name, others[0])

    def _add(self, wanted: list[str], there: list[str]) -> None:
        for address in wanted:
            if address not in there:
                host = address.partition("/")[0]
                for other in there:
                    if ":" in host and other.partition("/")[0] == host:  # the kernel holds an IPv6 address once, whatever its prefix
                        links.delete_address(self.name, other)
                links.add_address(self.name, address)

    def capture(self) -> t.Any:
        """The ports, too: a bridge that is deleted lets go of them."""
        ports = {link.name: link.hairpin for link in links.read_links().values() if link.master == self.name}
        return {**super().capture(), "ports": ports}

    def restore(self, token: t.Any) -> None:
        if token["state"] is None and any(link.master == self.name for link in links.read_links().values()):
            raise InUse("ports were attached to it meanwhile, by pods that have just begun")
        super().restore(token)
        there = links.read_links()
        for port, hairpin in token["ports"].items():
            if port in there and not there[port].master:
                links.attach(port, self.name)
                links.set_hairpin(port, hairpin)

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        return found is not None and self.read() is None  # somebody else's bridge, gone since (a reboot, say): not ours to make


class PinnedBridge(Resource):
    """A bridge that is there keeps its MAC and its MTU whatever ports come and go. State: ``{"mac": bool, "mtu": bool}``.

    As long as nobody sets them, the kernel gives a bridge the lowest MAC and the smallest MTU of its ports, and 1500 without ports
    (br_stp_recalculate_bridge_id, br_mtu_auto_adjust). It does not tell whether somebody set the MTU: ``kept`` says that we did.
    Setting cannot be undone, so it is never given back.
    """

    libraries = Bridge.libraries

    def __init__(self, name: str, *, kept: bool = False) -> None:
        self.name = name
        self.id = f"pinned:{name}"
        self.kept = kept

    def read(self) -> State:
        all_links = links.read_links()
        if self.name not in all_links:
            return None
        ports = [link.mtu for link in all_links.values() if link.master == self.name]
        return {"mac": links.mac_is_set(self.name), "mtu": self.kept or all_links[self.name].mtu != min(ports, default=1500)}

    def write(self, state: State) -> None:
        link = links.read_links()[self.name]
        links.set_mac(self.name, link.mac)
        links.set_mtu(self.name, link.mtu)
        self.kept = True

    def restore(self, token: t.Any) -> None:
        """Stays."""

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        return True


def revive(object_id: str) -> Resource:
    kind, _colon, name = object_id.partition(":")
    return PinnedBridge(name) if kind == "pinned" else Bridge(name)

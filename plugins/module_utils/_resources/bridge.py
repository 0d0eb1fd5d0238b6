# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from .._host import links
from .._resource import Resource, State


class Bridge(Resource):
    """A Linux bridge with its gateway addresses.

    State: ``{"addresses": ["10.244.1.1/24"], "mac", "mtu": bytes, "promisc": bool, "up": bool}``. Addresses are all of
    global scope: the CNI bridge plugin refuses a pod when another IPv4 address is there (cni.md 3.1 forceAddress).
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
            "addresses": sorted(link.addresses),
            "mac": link.mac,
            "mtu": link.mtu,
            "promisc": "PROMISC" in link.flags,
            "up": "UP" in link.flags,
        }

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
        if now["up"] and not state["up"]:  # first: a link that goes down loses its IPv6 addresses
            links.set_flags(self.name, up=False)
            now = {**now, "up": False}
        self._change_addresses(state["addresses"])
        if (now["up"], now["promisc"]) != (state["up"], state["promisc"]):
            links.set_flags(self.name, up=state["up"], promisc=state["promisc"])

    def _change_addresses(self, wanted: list[str]) -> None:
        """Read anew each time: an MTU below 1280 takes the IPv6 ones away, and deleting an IPv4 address takes along
        those added behind it to the same subnet (unless promote_secondaries is on)."""
        self._add_missing(wanted)
        for address in self.read()["addresses"]:
            if address not in wanted:
                links.delete_address(self.name, address)
        self._add_missing(wanted)

    def _add_missing(self, wanted: list[str]) -> None:
        there = self.read()["addresses"]
        for address in wanted:
            if address not in there:
                host = address.partition("/")[0]
                for other in there:
                    if ":" in host and other.partition("/")[0] == host:  # the kernel holds an IPv6 address once, whatever its prefix
                        links.delete_address(self.name, other)
                links.add_address(self.name, address)

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        return found is not None and self.read() is None  # somebody else's bridge, gone since (a reboot, say): not ours to make


def revive(object_id: str) -> Resource:
    return Bridge(object_id.partition(":")[2])

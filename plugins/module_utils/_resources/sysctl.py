# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import re
import typing as t

from .._errors import Stays
from .._host import sysctls
from .._resource import Resource, State

#: What the kernel rewrites when a forwarding switch is turned: every link's own switch, and for IPv4 accept_redirects
#: (net/ipv4/devinet.c inet_forward_change, net/ipv6/addrconf.c addrconf_fixup_forwarding).
SIDE_EFFECTS = {
    "net/ipv4/ip_forward": ("net/ipv4/conf", ("forwarding",), "net/ipv4/conf/all/accept_redirects"),
    "net/ipv6/conf/all/forwarding": ("net/ipv6/conf", ("forwarding",), None),
}


class Sysctl(Resource):
    """One kernel parameter. State: its value as text, or None when the kernel does not have the key."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.id = f"sysctl:{key}"

    def read(self) -> State:
        return sysctls.read(self.key)

    def write(self, state: State) -> None:
        if state is not None and sysctls.read(self.key) != state:
            sysctls.write(self.key, state)

    def beside(self) -> t.Any:
        if self.key not in SIDE_EFFECTS:
            return None
        folder, names, single = SIDE_EFFECTS[self.key]
        keys = [f"{folder}/{link}/{name}" for link in sysctls.children(folder) for name in names] + ([single] if single else [])
        return {key: sysctls.read(key) for key in keys if key != self.key}

    def write_beside(self, beside: t.Any) -> None:
        for key, value in beside.items():
            now = sysctls.read(key)
            if value is not None and now is not None and now != value:  # a link may have gone meanwhile
                sysctls.write(key, value)

    def waits_for(self) -> str | None:
        """The link of a parameter like ``net/ipv6/conf/eth0/accept_ra``, as long as it is not there. Every link has IPv4's, so
        that a kernel without IPv6 is not waited for."""
        match = re.match("net/ipv[46]/(?:conf|neigh)/([^/]+)/", self.key)
        return f"link {match[1]}" if match and match[1] not in sysctls.children("net/ipv4/conf") else None

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        return found is None or self.read() is None  # the key came with a module that stays, or went with its link


class BridgeNf(Resource):
    """One bridge's own switches: a packet passes the firewall where its bridge, or ``net/bridge`` for all of them, says so. State:
    ``{"iptables": "1", "ip6tables": "1", "arptables": "0"}``, or None while there is no such bridge. ``ruled``: a rule for udev
    of ours has set them before they were looked at. ``made``: the run that wants them makes the bridge before."""

    def __init__(self, bridge: str, *, ruled: bool = False, made: bool = False) -> None:
        self.bridge, self.ruled, self.made = bridge, ruled, made
        self.id = f"bridge_nf:{bridge}"

    def read(self) -> State:
        return sysctls.read_bridge_nf(self.bridge)

    def write(self, state: State) -> None:
        now = self.read()
        for table, value in (state or {}).items():
            if now is None or now[table] != value:
                sysctls.write_bridge_nf(self.bridge, table, value)

    def found(self, state: State) -> State:
        """A bridge begins with all of them off."""
        return dict.fromkeys(sysctls.NF_TABLES, "0") if state is None or self.ruled else state

    def waits_for(self) -> str | None:
        return f"bridge {self.bridge}" if not self.made and self.read() is None else None

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        return self.read() is None or f"bridge:{self.bridge}" in releasing  # they go with their bridge


class BrNetfilter(Resource):
    """The kernel module behind ``net/bridge``, loaded or built in. State: ``{"loaded": true}`` or None. It is never
    unloaded: others may have begun to rely on it."""

    id = "module:br_netfilter"

    def arguments(self) -> list[t.Any]:
        return []

    def read(self) -> State:
        return {"loaded": True} if sysctls.br_netfilter_loaded() else None

    def write(self, state: State) -> None:
        if state is not None and self.read() is None:
            sysctls.load_module("br_netfilter")

    def restore(self, token: t.Any) -> None:
        if token["state"] != self.read():
            raise Stays("it stays loaded")

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        return True


def revive(object_id: str) -> Resource:
    kind, _colon, key = object_id.partition(":")
    if kind == "bridge_nf":
        return BridgeNf(key)
    return BrNetfilter() if kind == "module" else Sysctl(key)

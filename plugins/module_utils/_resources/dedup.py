# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import hashlib
import re

from .._host import firewall, nft
from .._resource import Resource, State, outline


class DedupRules(Resource):
    """Rules that drop the second copy of a frame which a promiscuous bridge both bridges and hands up to be routed.

    State: ``{"rules": ["oifname \"veth*\" ether saddr MAC ip saddr GATEWAY accept", … drop]}``. kubenet had them in
    ebtables (kubenet.md section 7); a table of nftables' family bridge is there whatever the ebtables variant. A table of this name
    with anything else in it is ``{"items": […]}`` as nft gives it, and can be put back from that.
    """

    def __init__(self, bridge: str) -> None:
        self.id = f"dedup:{bridge}"
        self.table = "kubenode_dedup_" + re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match.group()):x}_", bridge)

    def read(self) -> State:
        found = firewall.read_bridge_table(self.table)
        if found is None:
            return None
        rules, items = found
        return {"items": items} if rules is None else {"rules": rules}

    def write(self, state: State) -> None:
        if state is not None and "items" in state:
            nft.load_table("bridge", self.table, state["items"])
        elif state is not None:
            firewall.replace_bridge_table(self.table, state["rules"])
        elif self.read() is not None:
            firewall.delete_bridge_table(self.table)

    def describe(self, state: State) -> str:
        return "".join(f"{rule}\n" for rule in state["rules"]) if state is not None and "rules" in state else outline(state)


class DedupEbtables(DedupRules):
    """The same rules in ebtables, of either variant, for nodes without nft: in a chain of our own, which OUTPUT jumps to.

    State: ``{"rules": ["-p IPv4 -s MAC -o veth+ --ip-src GATEWAY -j RETURN", … -j DROP], "jumps": 1}``.
    """

    def __init__(self, bridge: str) -> None:
        self.id = f"dedup_ebtables:{bridge}"
        # ebtables takes 28 characters of few kinds.
        name = bridge if re.fullmatch("[A-Za-z0-9_-]{1,13}", bridge) else hashlib.sha256(bridge.encode()).hexdigest()[:8]
        self.chain = f"KUBENODE-DEDUP-{name}"

    def read(self) -> State:
        return firewall.read_ebtables_chain(self.chain)

    def write(self, state: State) -> None:
        if state is not None:
            firewall.replace_ebtables_chain(self.chain, state["rules"])
        elif self.read() is not None:
            firewall.delete_ebtables_chain(self.chain)


def nft_rules(mac: str, version: int, gateway: str, pods: str) -> list[str]:
    match = f'oifname "veth*" ether saddr {mac} {"ip" if version == 4 else "ip6"} saddr'
    return [f"{match} {gateway} accept", f"{match} {pods} drop"]


def ebtables_rules(mac: str, version: int, gateway: str, pods: str) -> list[str]:
    match = f"-p IPv{version} -s {mac} -o veth+ {'--ip-src' if version == 4 else '--ip6-src'}"
    return [f"{match} {gateway} -j RETURN", f"{match} {pods} -j DROP"]


def revive(object_id: str) -> Resource:
    kind, _colon, bridge = object_id.partition(":")
    return DedupEbtables(bridge) if kind == "dedup_ebtables" else DedupRules(bridge)

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import hashlib
import re

from .._host import firewall
from .._resource import Resource, State


class DedupRules(Resource):
    """Rules that drop the second copy of a frame which a promiscuous bridge both bridges and hands up to be routed.

    State: ``{"rules": ["oifname \"veth*\" ether saddr MAC ip saddr GATEWAY accept", … drop]}``. kubenet had them in
    ebtables (kubenet.md section 7); a table of nftables' family bridge is there whatever the ebtables variant.
    """

    def __init__(self, bridge: str) -> None:
        self.id = f"dedup:{bridge}"
        self.table = "kubenode_dedup_" + re.sub(r"[^A-Za-z0-9]", lambda match: f"_{ord(match.group()):x}_", bridge)

    def read(self) -> State:
        rules = firewall.read_bridge_table(self.table)
        return None if rules is None else {"rules": rules}

    def write(self, state: State) -> None:
        if state is not None:
            firewall.replace_bridge_table(self.table, state["rules"])
        elif self.read() is not None:
            firewall.delete_bridge_table(self.table)

    def describe(self, state: State) -> str:
        return "" if state is None else "".join(f"{rule}\n" for rule in state["rules"])


class DedupEbtables(DedupRules):
    """The same rules in ebtables, of either variant, for nodes without nft: in a chain of our own, which OUTPUT jumps to.

    State: ``{"rules": ["-p IPv4 -s MAC -o veth+ --ip-src GATEWAY -j RETURN", … -j DROP], "jumps": 1}``.
    """

    def __init__(self, bridge: str) -> None:
        self.id = f"dedup_ebtables:{bridge}"
        # ebtables takes 31 characters of few kinds.
        name = bridge if re.fullmatch("[A-Za-z0-9_-]+", bridge) else hashlib.sha256(bridge.encode()).hexdigest()[:8]
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

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import collections
import typing as t

from .._host import firewall
from .._resource import Resource, State

CHAIN = "KUBENODE-MASQ"
COMMENT = "kubenode.network: pods to outside the cluster"


class MasqueradeChain(Resource):
    """Our chain in the nat table of one family, and the jumps to it.

    State: ``{"rules": ["-d 10.0.0.0/8 -j RETURN", …], "jumps": ["-s 10.244.1.0/24 … -j KUBENODE-MASQ"]}``, both in
    order; ``jumps`` are those in POSTROUTING. One transaction replaces them, nothing else in the table is touched.
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self.id = f"masquerade:{family}"

    def read(self) -> State:
        chains, rules = firewall.read_nat(self.family)
        if CHAIN not in chains:
            return None
        return {
            "rules": [rule for chain, rule in rules if chain == CHAIN],
            "jumps": [rule for chain, rule in rules if chain == "POSTROUTING" and rule.endswith(f" -j {CHAIN}")],
        }

    def write(self, state: State) -> None:
        now = self.read()
        jumps = _jump_commands((now or {}).get("jumps", []), (state or {}).get("jumps", []))
        if state is not None:
            rules = [f"-A {CHAIN} {rule}" for rule in state["rules"]]
            firewall.change_nat(self.family, [f":{CHAIN} - [0:0]", *rules, *jumps])
        elif now is not None:
            firewall.change_nat(self.family, [*jumps, f"-F {CHAIN}", f"-X {CHAIN}"])

    def beside(self) -> t.Any:
        """The places of our jumps among the rules of others, counted from one."""
        rules = [rule for chain, rule in firewall.read_nat(self.family)[1] if chain == "POSTROUTING"]
        return [place for place, rule in enumerate(rules, 1) if rule.endswith(f" -j {CHAIN}")] or None

    def write_beside(self, beside: t.Any) -> None:
        jumps = (self.read() or {}).get("jumps", [])
        if self.beside() != beside and len(jumps) == len(beside):
            away = [f"-D POSTROUTING {rule}" for rule in jumps]
            firewall.change_nat(self.family, away + [f"-I POSTROUTING {place} {rule}" for place, rule in zip(beside, jumps)])

    def describe(self, state: State) -> str:
        if state is None:
            return ""
        jumps = [f"-A POSTROUTING {rule}\n" for rule in state["jumps"]]
        return "".join(jumps + [f"-A {CHAIN} {rule}\n" for rule in state["rules"]])


def _jump_commands(now: list[str], wanted: list[str]) -> list[str]:
    """What turns the jumps that are there into the wanted ones; those that are right keep their place."""
    surplus = list((collections.Counter(now) - collections.Counter(wanted)).elements())
    missing = list((collections.Counter(wanted) - collections.Counter(now)).elements())
    kept = [rule for rule in now if rule in wanted]
    if not surplus and kept + missing != wanted:
        surplus, missing = now, wanted
    return [f"-D POSTROUTING {rule}" for rule in surplus] + [f"-A POSTROUTING {rule}" for rule in missing]


class NatTable(Resource):
    """The nat table that iptables-nft leaves behind, empty, when the last rule is gone. State: ``{"table": "nat"}``."""

    def __init__(self, family: str) -> None:
        self.family = family
        self.id = f"nat_table:{family}"

    def read(self) -> State:
        return None if firewall.nat_table(self.family) is None else {"table": "nat"}

    def write(self, state: State) -> None:
        now = firewall.nat_table(self.family)
        if state is not None and now is None:
            firewall.add_nat_table(self.family)
        elif state is None and now == []:
            firewall.delete_nat_table(self.family)

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        ours_goes = f"masquerade:{self.family}" in releasing  # not when iptables means another kind of tables by now
        return found is None and (not ours_goes or self._holds_other_chains() or self._others_jump())

    def _holds_other_chains(self) -> bool:
        return any(name not in (CHAIN, "POSTROUTING") for name in firewall.nat_table(self.family) or [])

    def _others_jump(self) -> bool:
        return any(chain == "POSTROUTING" and not rule.endswith(f" -j {CHAIN}") for chain, rule in firewall.read_nat(self.family)[1])


def revive(object_id: str) -> Resource:
    kind, _colon, family = object_id.partition(":")
    return NatTable(family) if kind == "nat_table" else MasqueradeChain(family)

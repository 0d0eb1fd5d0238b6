# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from .._host import iptables
from .._resource import Resource, State
from .iptables_chain import places, placing

CHAIN = "POSTROUTING"
#: kubenet.md section 6. A kubelet that was given another CIDR left the rule of the former one as well.
COMMENT = '--comment "kubenet: SNAT for outbound traffic from cluster"'


class KubenetRules(Resource):
    """The masquerade rules that kubenet left in one variant of iptables, as many as there are.

    State: ``{"rules": ["! -d 10.0.0.0/8 -m comment … -j MASQUERADE"]}`` in order; None without any.
    """

    def __init__(self, variant: str, family: str) -> None:
        self.variant, self.family = variant, family
        self.id = f"kubenet_rules:iptables-{variant}/{family}"

    def arguments(self) -> list[t.Any]:
        return [self.variant, self.family]

    def _based(self) -> list[str]:
        return [rule for chain, rule in iptables.read(self.variant, self.family, "nat")[1] if chain == CHAIN]

    def read(self) -> State:
        rules = [rule for rule in self._based() if COMMENT in rule]
        return {"rules": rules} if rules else None

    def write(self, state: State) -> None:
        now, wanted = ([] if one is None else one["rules"] for one in (self.read(), state))
        if now != wanted:
            commands = [f"-D {CHAIN} {rule}" for rule in now] + [f"-A {CHAIN} {rule}" for rule in wanted]
            iptables.change(self.variant, self.family, "nat", commands)

    def beside(self) -> t.Any:
        """Their places among the other rules, counted from one."""
        return places(self._based(), lambda rule: COMMENT in rule) or None

    def write_beside(self, beside: t.Any) -> None:
        based = self._based()
        rules = [rule for rule in based if COMMENT in rule]
        if self.beside() != beside and len(rules) == len(beside):
            iptables.change(self.variant, self.family, "nat", placing(CHAIN, rules, beside, len(based)))

    def describe(self, state: State) -> str:
        return "" if state is None else "".join(f"-A {CHAIN} {rule}\n" for rule in state["rules"])

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import collections
import ipaddress
import typing as t

from .._host import iptables, nft
from .._resource import Resource, State


class Kind(t.NamedTuple):
    """A chain of ours in a table of iptables, reached from a chain that is built in."""

    name: str
    table: str
    chain: str
    base: str
    #: What a base chain is to nf_tables, where iptables has to find one as it makes it: type and priority.
    type: str
    priority: int
    #: Targets of a rule before our jump that keep the packets of pods from it, and what may narrow such a rule to pods.
    ends: frozenset[str]
    sides: tuple[str, ...]


MASQUERADE = Kind("masquerade", "nat", "KUBENODE-MASQ", "POSTROUTING", "nat", 100, frozenset({"ACCEPT", "RETURN"}), ("-s",))
FORWARD = Kind("forward", "filter", "KUBENODE-FORWARD", "FORWARD", "filter", 0, frozenset({"DROP", "REJECT", "RETURN"}), ("-s", "-d"))
KINDS = {kind.name: kind for kind in (MASQUERADE, FORWARD)}


class OwnChain(Resource):
    """A chain of ours in one variant of iptables, and the jumps to it: one thing, replaced in one transaction.

    State: ``{"rules": ["-d 10.0.0.0/8 -j RETURN", …], "jumps": ["POSTROUTING -s 10.244.1.0/24 … -j KUBENODE-MASQ"]}``, both in
    order; ``jumps`` are all that there are in the table. Told of ``pods``, it also sees the rules of others ``behind`` which
    our jumps stand although those end the way of all packets of the pods; ``write`` puts the jumps before them.
    """

    def __init__(self, kind: Kind, variant: str, family: str, pods: t.Sequence[str] = ()) -> None:
        self.kind, self.variant, self.family = kind, variant, family
        self.pods = [ipaddress.ip_network(pod) for pod in pods]
        self.id = f"{kind.name}:iptables-{variant}/{family}"

    def arguments(self) -> list[t.Any]:
        return [self.kind.name, self.variant, self.family, [str(pod) for pod in self.pods]]

    @classmethod
    def again(cls, *arguments: t.Any) -> OwnChain:
        return cls(KINDS[arguments[0]], *arguments[1:])

    def _rules(self) -> tuple[set[str], list[iptables.Rule]]:
        return iptables.read(self.variant, self.family, self.kind.table)

    def _is_jump(self, rule: str) -> bool:
        return rule.split()[-2:] in (["-j", self.kind.chain], ["-g", self.kind.chain])

    def read(self) -> State:
        chains, rules = self._rules()
        if self.kind.chain not in chains:
            return None
        state = {
            "rules": [rule for chain, rule in rules if chain == self.kind.chain],
            "jumps": [f"{chain} {rule}" for chain, rule in rules if self._is_jump(rule)],
        }
        based = [rule for chain, rule in rules if chain == self.kind.base]
        last = max((place for place, rule in enumerate(based) if self._is_jump(rule)), default=0)
        behind = [rule for rule in based[:last] if self._ends_all(rule)]
        return {**state, "behind": behind} if behind else state

    def found(self, state: State) -> State:
        return {name: state[name] for name in ("rules", "jumps")} if state is not None else None

    def _ends_all(self, rule: str) -> bool:
        """Whether a rule ends the way for every packet of one of the pod ranges."""
        words = iptables.split(rule)
        if words[:2] == ["-m", "comment"]:
            words = words[4:]
        pods: t.Sequence[t.Any] = self.pods
        if words and words[0] in self.kind.sides:
            network: t.Any = ipaddress.ip_network(words[1])
            pods, words = [pod for pod in pods if pod.version == network.version and pod.subnet_of(network)], words[2:]
        if words[:2] == ["-m", "comment"]:
            words = words[4:]
        return bool(pods) and (words[:1] == ["-g"] or (words[:1] == ["-j"] and words[1] in self.kind.ends))  # -g does not come back

    def write(self, state: State) -> None:
        chain, now = self.kind.chain, self.read()
        if state is not None:
            rules = [f":{chain} - [0:0]", *(f"-A {chain} {rule}" for rule in state["rules"])]
            self._change([*rules, *self._jump_commands(now, state["jumps"])])
        elif now is not None:
            self._change([*self._jump_commands(now, []), f"-F {chain}", f"-X {chain}"])

    def _change(self, commands: t.Sequence[str]) -> None:
        iptables.change(self.variant, self.family, self.kind.table, commands)

    def _jump_commands(self, now: State, wanted: list[str]) -> list[str]:
        jumps = [] if now is None else now["jumps"]
        others = [rule for chain, rule in self._rules()[1] if chain == self.kind.base and not self._is_jump(rule)]
        ends = next((place for place, rule in enumerate(others, 1) if self._ends_all(rule)), None)
        if ends is None or (jumps == wanted and "behind" not in now):
            return _jump_commands(jumps, wanted)
        rules = [jump.partition(" ")[2] for jump in wanted]
        return [f"-D {jump}" for jump in jumps] + [f"-I {self.kind.base} {place} {rule}" for place, rule in enumerate(rules, ends)]

    def beside(self) -> t.Any:
        """The places of our jumps among the rules of others, counted from one."""
        return places(self._based(), self._is_jump) or None

    def _based(self) -> list[str]:
        return [rule for chain, rule in self._rules()[1] if chain == self.kind.base]

    def write_beside(self, beside: t.Any) -> None:
        based = self._based()
        jumps = [rule for rule in based if self._is_jump(rule)]
        if self.beside() != beside and len(jumps) == len(beside):
            self._change(placing(self.kind.base, jumps, beside, len(based)))

    def describe(self, state: State) -> str:
        if state is None:
            return ""
        behind = [f"# behind -A {self.kind.base} {rule}\n" for rule in state.get("behind", [])]
        return "".join([*behind, *(f"-A {jump}\n" for jump in state["jumps"]), *(f"-A {self.kind.chain} {rule}\n" for rule in state["rules"])])


def _jump_commands(now: list[str], wanted: list[str]) -> list[str]:
    """What turns the jumps that are there into the wanted ones; those that are right keep their place."""
    surplus = list((collections.Counter(now) - collections.Counter(wanted)).elements())
    missing = list((collections.Counter(wanted) - collections.Counter(now)).elements())
    kept = [rule for rule in now if rule in wanted]
    if not surplus and kept + missing != wanted:
        surplus, missing = now, wanted
    return [f"-D {rule}" for rule in surplus] + [f"-A {rule}" for rule in missing]


def places(rules: t.Sequence[str], ours: t.Callable[[str], bool]) -> list[int]:
    return [place for place, rule in enumerate(rules, 1) if ours(rule)]


def placing(chain: str, rules: t.Sequence[str], wanted: t.Sequence[int], total: int) -> list[str]:
    """What puts ``rules`` of a chain, which has ``total`` of them, to their places; where others are gone, to the end."""
    fewer = total - len(rules)
    inserts = [f"-I {chain} {min(place, fewer + number)} {rule}" for number, (place, rule) in enumerate(zip(wanted, rules), 1)]
    return [f"-D {chain} {rule}" for rule in rules] + inserts


class BaseChain(Resource):
    """The table and the built-in chain that iptables-nft makes for our first rule, and leaves behind, empty.

    State: ``{"table": "nat", "chain": "POSTROUTING"}``, or with ``"chain": null`` the table without that chain.
    """

    def __init__(self, kind: Kind, family: str) -> None:
        self.kind, self.family = kind, family
        self.id = f"iptables_table:{kind.table}/{family}"

    def arguments(self) -> list[t.Any]:
        return [self.kind.name, self.family]

    @classmethod
    def again(cls, *arguments: t.Any) -> BaseChain:
        return cls(KINDS[arguments[0]], *arguments[1:])

    def read(self) -> State:
        if nft.has_chain(self.family, self.kind.table, self.kind.base):  # without reading all rules of others
            return self.wanted()
        return {**self.wanted(), "chain": None} if nft.has_table(self.family, self.kind.table) else None

    def wanted(self) -> State:
        return {"table": self.kind.table, "chain": self.kind.base}

    def write(self, state: State) -> None:
        if state == self.wanted():
            if not nft.has_chain(self.family, self.kind.table, self.kind.base):  # its policy may be another one
                nft.add_base_chain(self.family, self.kind.table, self.kind.base, self.kind.type, self.kind.base.lower(), self.kind.priority)
        elif self.read() in (None, state):
            return
        elif state is None:
            nft.delete_table(self.family, self.kind.table)
        else:
            nft.delete_chain(self.family, self.kind.table, self.kind.base)

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        if not nft.speaks_json():
            return True  # an empty chain is no reason to want nft again
        items = nft.read_table(self.family, self.kind.table)
        if items is None:
            return found is not None  # somebody else's table, gone since: not ours to make
        if found == self.wanted():
            return False
        ours_goes = OwnChain(self.kind, "nft", self.family).id in releasing
        return not ours_goes or (_chain(items, self.kind.base) or {}).get("policy", "accept") != "accept" or self._is_used(items, found)

    def _is_used(self, items: t.Sequence[nft.Item], found: State) -> bool:
        """Whether something of others is in what would go."""
        rules = [rule for rule in (item["rule"] for item in items if "rule" in item) if rule["chain"] != self.kind.chain]
        others = [rule for rule in rules if {"jump": {"target": self.kind.chain}} not in rule["expr"]]
        if found is not None:
            return any(rule["chain"] == self.kind.base for rule in others)
        chains = [item["chain"] for item in items if "chain" in item]
        return bool(others) or any("hook" not in chain and chain["name"] != self.kind.chain for chain in chains)


def _chain(items: t.Sequence[nft.Item], name: str) -> dict[str, t.Any] | None:
    return next((item["chain"] for item in items if item.get("chain", {}).get("name") == name), None)

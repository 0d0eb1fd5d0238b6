# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import ipaddress
import json
import os
import re
import typing as t

from . import nft
from .iptables import TOOLS, answers, legacy_tables
from .process import find, look, output, seen

#: The chain of a table of ours at the bridge's output.
_OUTPUT = {"name": "output", "type": "filter", "hook": "output", "prio": -200, "policy": "accept"}


def read_bridge_table(name: str) -> tuple[list[str] | None, list[nft.Item]] | None:
    """A table of family bridge: the rules of our chain in nft's words and order, or None where the table has anything else in it;
    and all that it has. None without the table."""
    items = nft.read_table("bridge", name)
    if items is None:
        return None
    frame = [{"table": {"family": "bridge", "name": name}}, {"chain": {"family": "bridge", "table": name, **_OUTPUT}}]
    ours = [item for item in items if "rule" not in item] == frame
    return [_nft_words(item["rule"]["expr"]) for item in items if "rule" in item] if ours else None, items


def _nft_words(expressions: t.Sequence[t.Mapping[str, t.Any]]) -> str:
    return " ".join(filter(None, (_nft_expression(expression) for expression in expressions)))


def _nft_expression(expression: t.Mapping[str, t.Any]) -> str:
    if "match" not in expression:
        kind, value = next(iter(expression.items()))
        return kind if value is None else json.dumps(expression, sort_keys=True)
    left, right = expression["match"]["left"], expression["match"]["right"]
    if expression["match"]["op"] not in ("==", "in"):
        return json.dumps(expression, sort_keys=True)
    if "meta" in left:
        return "" if left["meta"]["key"] == "protocol" else f'{left["meta"]["key"]} "{right}"'  # a protocol follows from what comes behind
    payload = left.get("payload", {})
    if payload.get("field") == "type":
        return ""
    text = f"{right['prefix']['addr']}/{right['prefix']['len']}" if isinstance(right, dict) and "prefix" in right else right
    return f"{payload.get('protocol')} {payload.get('field')} {text}"


def replace_bridge_table(name: str, rules: t.Sequence[str]) -> None:
    """Puts rules into a table of our own at the bridge's output, as one transaction."""
    lines = "".join(f"    {rule}\n" for rule in rules)
    chain = f"  chain output {{\n    type filter hook output priority -200; policy accept;\n{lines}  }}\n"
    output(["nft", "-f", "-"], stdin=f"add table bridge {name}\ndelete table bridge {name}\ntable bridge {name} {{\n{chain}}}\n")


def delete_bridge_table(name: str) -> None:
    output(["nft", "delete", "table", "bridge", name])


def ebtables_works() -> bool:
    """Whether ebtables is there, and the kernel has what this variant of it needs."""
    return find("ebtables") is not None and look([*_EBTABLES, "-L", "OUTPUT"]).returncode == 0


_EBTABLES = ("ebtables", "--concurrent", "-t", "filter")


def read_ebtables_chain(chain: str) -> dict[str, t.Any] | None:
    """Rules of a chain of ebtables' table filter, in one spelling, and how often OUTPUT jumps to it; None without the chain. Nothing is
    made by asking."""
    result = look([*_EBTABLES, "-L", chain, "--Lmac2"])
    if result.returncode != 0:
        return None
    jumps = [line for line in seen([*_EBTABLES, "-L", "OUTPUT"]).splitlines() if line.split() == ["-j", chain]]
    return {"rules": [_one_spelling(line) for line in result.stdout.splitlines() if line.startswith("-")], "jumps": len(jumps)}


def _one_spelling(rule: str) -> str:
    """The legacy variant writes masks of IPv6 ranges out, as addresses."""
    return " ".join(_with_prefix_length(word) if "/" in word else word for word in rule.split())


def _with_prefix_length(cidr: str) -> str:
    address, _slash, mask = cidr.partition("/")
    return f"{address}/{bin(int(ipaddress.IPv6Address(mask))).count('1')}" if ":" in mask else cidr


def replace_ebtables_chain(chain: str, rules: t.Sequence[str]) -> None:
    """Makes the chain hold these rules, and OUTPUT jump to it once. The old rules go when the new ones are there."""
    before = read_ebtables_chain(chain)
    if before is None:
        output([*_EBTABLES, "-N", chain, "-P", "RETURN"])
        before = {"rules": [], "jumps": 0}
    if before["rules"] != list(rules):
        for rule in rules:
            output([*_EBTABLES, "-A", chain, *rule.split()])
        for _rule in before["rules"]:
            output([*_EBTABLES, "-D", chain, "1"])
    if before["jumps"] == 0:
        output([*_EBTABLES, "-A", "OUTPUT", "-j", chain])
    for _jump in range(before["jumps"] - 1):
        output([*_EBTABLES, "-D", "OUTPUT", "-j", chain])


def delete_ebtables_chain(chain: str) -> None:
    for _jump in range((read_ebtables_chain(chain) or {"jumps": 0})["jumps"]):
        output([*_EBTABLES, "-D", "OUTPUT", "-j", chain])
    output([*_EBTABLES, "-F", chain])
    output([*_EBTABLES, "-X", chain])


def holds_bridge_chain(chain: str) -> bool:
    """Whether a table of ebtables has a chain of that name, in either variant. Only the tables that are there are asked: to ask the
    legacy variant makes one."""
    if nft.speaks_json() and any((one["family"], one["name"]) == ("bridge", chain) for one in nft.chains()):
        return True
    program = next((name for name in ("ebtables-legacy", "ebtables") if find(name)), None)
    if program is None or not os.path.isdir("/sys/module/ebtable_filter"):
        return False
    return look([program, "-t", "filter", "-L", chain]).returncode == 0


class Chain(t.NamedTuple):
    """A chain of the packet filter. ``backend``: nft or legacy. ``family``: ipv4, ipv6 or inet. ``hook`` (``forward``) and
    ``policy`` (``drop``) are those of a base chain, else empty."""

    backend: str
    family: str
    table: str
    name: str
    hook: str = ""
    policy: str = ""


_NFT_WORDS = {"ip": "ipv4", "ip6": "ipv6", "inet": "inet"}
_HOOKS = ("PREROUTING", "INPUT", "FORWARD", "OUTPUT", "POSTROUTING")


def program_version(program: str) -> tuple[str, str] | None:
    """Release and, for iptables, variant: ``("1.8.9", "nf_tables")``; None when the program is not installed."""
    if find(program) is None:
        return None
    said = seen([program, "--version"], timeout=10)
    found = re.search(r"v?(\d+(?:\.\d+)+)(?: \((\w+)\))?", said)
    return (found[1], found[2] or "") if found else ("", "")


def nft_chains() -> list[Chain]:
    """All chains in nf_tables, those that iptables made there too. Nothing is made by asking."""
    chains = [chain for chain in nft.chains() if chain["family"] in _NFT_WORDS]
    return [
        Chain("nft", _NFT_WORDS[chain["family"]], chain["table"], chain["name"], str(chain.get("hook", "")), str(chain.get("policy", "")).lower())
        for chain in chains
    ]


def legacy_chains(family: str) -> list[Chain]:
    """The chains in tables of the legacy kind. Only tables that are there are asked for: to ask makes one."""
    program = f"{TOOLS[family]}-legacy-save"
    return [chain for table in legacy_tables(family) for chain in _saved_chains("legacy", family, table, program)]


def saved_nft_chains(family: str) -> list[Chain]:
    """The chains that iptables made in nf_tables, for a node without the program nft; none on a kernel without nf_tables."""
    if not answers("nft", family):
        return []
    return [chain for table in ("filter", "nat") for chain in _saved_chains("nft", family, table, f"{TOOLS[family]}-nft-save")]


def _saved_chains(backend: str, family: str, table: str, program: str) -> list[Chain]:
    chains = []
    for line in seen([program if find(program) else f"{TOOLS[family]}-save", "-t", table]).splitlines():
        if line.startswith(":"):
            name, policy = line[1:].split()[:2]
            base = name in _HOOKS
            chains.append(Chain(backend, family, table, name, name.lower() if base else "", policy.lower() if base else ""))
    return chains

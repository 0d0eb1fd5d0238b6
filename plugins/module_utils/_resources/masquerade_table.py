# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import ipaddress
import typing as t

from .._host import nft
from .._resource import Resource, State, outline

TABLE = "kubenode_masquerade"
BASE, CHAIN = "postrouting", "pods"
#: Before those of iptables and kube-proxy (100): they see only what we leave to them.
PRIORITY = 90
_HOOK = {"type": "nat", "hook": "postrouting", "prio": PRIORITY, "policy": "accept"}


class MasqueradeTable(Resource):
    """Our own table of one family in nf_tables: a base chain that sends the packets of pods to a second one.

    State: ``{"postrouting": ["ip saddr 10.244.1.0/24 jump pods"], "pods": ["ip daddr { … } return", "masquerade"]}`` in nft's
    words, which are the same for equal rules whatever the release of nft. A table of this name with anything else in it is
    ``{"items": […]}`` as nft gives it, and can be put back from that.
    """

    def __init__(self, family: str) -> None:
        self.family = family
        self.id = f"masquerade:nftables/{family}"

    def arguments(self) -> list[t.Any]:
        return [self.family]

    def read(self) -> State:
        items = nft.read_table(self.family, TABLE)
        return None if items is None else _in_words(items) or {"items": items}

    def write(self, state: State) -> None:
        if state is None:
            if self.read() is not None:
                nft.delete_table(self.family, TABLE)
        elif "items" in state:
            nft.load_table(self.family, TABLE, state["items"])
        else:
            nft.replace_table(self.family, TABLE, _body(state))

    def describe(self, state: State) -> str:
        return outline(state) if state is None or "items" in state else _body(state)


def _body(state: State) -> str:
    """The chains as nft reads them."""
    hook = f"type nat hook postrouting priority {PRIORITY}; policy accept;"
    return "".join(f"  chain {name} {{\n{lines}  }}\n" for name, lines in ((BASE, _indented([hook, *state[BASE]])), (CHAIN, _indented(state[CHAIN]))))


def _indented(lines: t.Iterable[str]) -> str:
    return "".join(f"    {line}\n" for line in lines)


def _in_words(items: t.Sequence[nft.Item]) -> State:
    """The state of a table that has our chains and nothing that the words do not say; else None."""
    chains: dict[str, list[str]] = {}
    for item in items:
        ((kind, body),) = item.items()
        known = {"table": {"family", "name"}, "chain": {"family", "table", "name", *_HOOK}, "rule": {"family", "table", "chain", "expr"}}
        if not set(body) <= known.get(kind, set()):
            return None
        if kind == "chain":
            chains[body["name"]] = []
            if {key: body[key] for key in _HOOK if key in body} != (_HOOK if body["name"] == BASE else {}):
                return None
        elif kind == "rule":
            words = [_words(expression) for expression in body["expr"]]
            if None in words:
                return None
            chains[body["chain"]].append(" ".join(t.cast("list[str]", words)))
    return chains if list(chains) == [BASE, CHAIN] else None


def _words(expression: t.Mapping[str, t.Any]) -> str | None:
    ((kind, body),) = expression.items()
    if kind == "match":
        return _match(body)
    if kind == "jump" and set(body) == {"target"}:
        return f"jump {body['target']}"
    if kind == "return" and body is None:
        return "return"
    if kind == "masquerade" and set(body or {}) <= {"flags"}:
        flags = (body or {}).get("flags", [])
        return " ".join(["masquerade", *([flags] if isinstance(flags, str) else flags)])
    return None


def _match(body: t.Mapping[str, t.Any]) -> str | None:
    payload, right = body["left"].get("payload", {}), body["right"]
    if body["op"] not in ("==", "in") or payload.get("protocol") not in ("ip", "ip6"):
        return None
    listed = right["set"] if isinstance(right, dict) and "set" in right else [right]
    try:
        networks = [network for element in listed for network in _networks(element)]
    except (ValueError, TypeError, KeyError):  # something else than addresses
        return None
    return match(payload["protocol"], payload["field"], networks)


def _networks(element: t.Any) -> list[t.Any]:
    """What an element of a set is in JSON: an address, a prefix or, of what lies side by side, a range."""
    if isinstance(element, str):
        return [ipaddress.ip_network(element)]
    if "prefix" in element:
        return [ipaddress.ip_network(f"{element['prefix']['addr']}/{element['prefix']['len']}")]
    first, last = map(ipaddress.ip_address, element["range"])
    return list(ipaddress.summarize_address_range(first, last))


def match(protocol: str, field: str, networks: t.Iterable[t.Any]) -> str:
    """``ip daddr { 10.0.0.0/8, 192.0.2.1/32 }``: the fewest networks with the same addresses, in their order."""
    words = [str(network) for network in ipaddress.collapse_addresses(networks)]
    return f"{protocol} {field} {words[0] if len(words) == 1 else '{ ' + ', '.join(words) + ' }'}"

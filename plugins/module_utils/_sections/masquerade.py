# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from .._addressing import cidr
from .._converge import Part, Want
from .._errors import NodeError, Problem
from .._host import iptables, nft
from .._resource import Resource
from .._resources import kubenet_rules, masquerade_table
from .._resources.iptables_chain import FORWARD, KINDS, MASQUERADE, BaseChain, Kind, OwnChain
from . import firewall_backend as backends
from .base import STATE, Options, Run, defaults, removal

NAME = "masquerade"
OPTIONS: dict[str, t.Any] = {
    "pod_cidrs": {"type": "list", "elements": "str"},
    "non_masquerade_cidrs": {"type": "list", "elements": "str"},
    "cluster_cidrs": {"type": "list", "elements": "str"},
    "node_cidrs": {"type": "list", "elements": "str"},
    "backend": {"type": "str", "choices": list(backends.WORDS), "default": "auto"},
    "adopt": {"type": "list", "elements": "str", "choices": ["kubenet"], "default": []},
    "accept_forwarded": {"type": "bool", "default": False},
    "state": STATE,
}
#: Never masqueraded: what does not leave the link, and multicast (ip-masq-agent and the plugins' ipMasq do likewise).
ALWAYS = {"ipv4": ["169.254.0.0/16", "224.0.0.0/4"], "ipv6": ["fe80::/10", "ff00::/8"]}
#: Lists by name. ip-masq-agent's is what it takes without a configuration (NewMasqConfig): the private ranges of RFC 1918.
LISTS = {"ip-masq-agent": ["10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16"]}
INSTANCE = "node"
#: What of ``desired`` an ``auto`` chose.
AUTO = ("backend",)
COMMENT = "kubenode.network: pods to outside the cluster"
FORWARD_COMMENT = "kubenode.network: from and to pods"
#: Chains of others that masquerade what pods send, by exceptions of their own.
AGENTS = {"IP-MASQ-AGENT": "ip-masq-agent", "IP-MASQ": "the node's start script on GCE", "KIND-MASQ-AGENT": "kindnet"}


def check(options: Options) -> list[Problem]:
    if options["state"] == "absent":
        return []
    problems = []
    if not options["pod_cidrs"]:
        problems.append(Problem("pod_cidrs", "is required when state is present (expected one or two CIDRs, e.g. 10.244.1.0/24)"))
    else:
        problems += cidr.check_pod_cidrs(options["pod_cidrs"], "pod_cidrs")[1]
    if options["non_masquerade_cidrs"] is None and options["cluster_cidrs"] is None:
        text = "is required unless cluster_cidrs is given (expected a list of CIDRs; an empty one masquerades everything outside the pod CIDRs)"
        problems.append(Problem("non_masquerade_cidrs", text))
    return problems + _excepted(options)[1]


def _excepted(options: Options) -> tuple[list[cidr.Network], list[Problem]]:
    """The destinations that the options except, and what is wrong with them."""
    found = [
        cidr.check_cidrs(options["cluster_cidrs"] or [], "cluster_cidrs"),
        cidr.check_hosts(options["node_cidrs"] or [], "node_cidrs"),
        cidr.check_cidrs(options["non_masquerade_cidrs"] or [], "non_masquerade_cidrs", LISTS),
    ]
    return [network for networks, _wrong in found for network in networks], [problem for _networks, wrong in found for problem in wrong]


def resolved(desired: t.Mapping[str, t.Any]) -> Options:
    """The options that make the same with nothing left to be found out."""
    return {**defaults(OPTIONS), **{name: value for name, value in desired.items() if name in OPTIONS}}


def parts(options: Options, run: Run) -> list[Part]:
    if options["state"] == "absent":
        return [removal(NAME, INSTANCE, revive)]
    pods = cidr.check_pod_cidrs(options["pod_cidrs"], "pod_cidrs")[0]
    families = {f"ipv{pod.version}": str(pod) for pod in pods}
    seen = backends.Seen()
    before = run.document.desired(NAME, INSTANCE) or {}
    known = backends.Known(before.get("backend"), before.get("alternative"))
    choice = backends.choose(options["backend"], list(families), known, seen, run)
    if choice is None:
        return []
    excepted = cidr.collapse([*_excepted(options)[0], *pods])
    desired = {
        "pod_cidrs": [str(pod) for pod in pods],
        "non_masquerade_cidrs": [str(net) for net in excepted],
        "backend": choice.backend,
        "alternative": backends.alternative(list(families)),
        "adopt": sorted(set(options["adopt"])),
        "accept_forwarded": options["accept_forwarded"],
    }
    wants = [want for family, pod in families.items() for want in _masquerade_wants(choice.backend, family, pod, excepted)]
    if options["accept_forwarded"]:
        wants += [want for family, pod in families.items() for want in _forward_wants(choice.backend, family, pod, seen, run)]
    adopted, left = _kubenet(families, "kubenet" in options["adopt"], run)
    wants += [Want(rules, None) for rules in adopted]  # behind ours, so that something masquerades at each instant
    left += _agents(families)
    _warn_of_foreign_clusters(options["cluster_cidrs"], pods, run)
    run.warnings += [f"{NAME}: {one['text']}" for one in left]
    run.results[NAME] = {
        **{name: desired[name] for name in ("pod_cidrs", "non_masquerade_cidrs")},
        **_shown_choice(choice, wants),
        "adopted": [_shown(rules, run) for rules in adopted],
        "others": [{key: one[key] for key in ("backend", "family", "rules")} for one in left],
    }
    return [Part(NAME, INSTANCE, desired, wants, revive)]


def _warn_of_foreign_clusters(cluster_cidrs: t.Sequence[str] | None, pods: t.Sequence[cidr.Network], run: Run) -> None:
    """A node whose pods are in none of the cluster's ranges hides them from the pods of other nodes."""
    clusters = cidr.check_cidrs(cluster_cidrs or [], "cluster_cidrs")[0]
    for pod in pods if cluster_cidrs is not None else ():
        if cidr.collapse([*clusters, pod]) != cidr.collapse(clusters):
            text = f"{pod} lies in none of cluster_cidrs ({', '.join(cluster_cidrs or ()) or 'which are empty'})"
            run.warnings.append(f"{NAME}: {text}, so pods of other nodes there will see this node's address instead of a pod's")


def _shown_choice(choice: backends.Choice, wants: t.Sequence[Want]) -> dict[str, t.Any]:
    return {
        "backend": choice.backend.partition("-")[0],
        "variant": backends.variant(choice.backend),
        "because": choice.because,
        "random_fully": any(_is_random(want) for want in wants),
        "chains": [_place(want.resource) for want in wants if _place(want.resource)],
    }


def _masquerade_wants(backend: str, family: str, pod: str, excepted: t.Sequence[cidr.Network]) -> list[Want]:
    version = 4 if family == "ipv4" else 6
    always = cidr.check_cidrs(ALWAYS[family], "")[0]
    networks = cidr.collapse([net for net in [*excepted, *always] if net.version == version])
    variant = backends.variant(backend)
    if variant is None:
        return [Want(masquerade_table.MasqueradeTable(family), table_state(family, pod, networks))]
    state = chain_state(pod, networks, random=iptables.knows_random_fully(variant, family))
    return _chain_wants(MASQUERADE, variant, family, pod, state)


def _chain_wants(kind: Kind, variant: str, family: str, pod: str, state: dict[str, list[str]]) -> list[Want]:
    wants = [Want(OwnChain(kind, variant, family, [pod]), state)]
    if variant == "nft" and nft.speaks_json():
        base = BaseChain(kind, family)
        wants.insert(0, Want(base, base.wanted()))
    return wants


def chain_state(pod: str, networks: t.Sequence[cidr.Network], *, random: bool) -> dict[str, list[str]]:
    """The rules as iptables-save spells them: what is excepted returns first, the rest is masqueraded."""
    return {
        "rules": [f"-d {net} -j RETURN" if net.prefixlen else "-j RETURN" for net in networks] + ["-j MASQUERADE" + " --random-fully" * random],
        "jumps": [_jump(MASQUERADE, "-s", pod, COMMENT)],
    }


def _jump(kind: Kind, side: str, pod: str, comment: str) -> str:
    return f"{kind.base} {iptables.spell([side, pod, '-m', 'comment', '--comment', comment, '-j', kind.chain])}"


def table_state(family: str, pod: str, networks: t.Sequence[cidr.Network]) -> dict[str, list[str]]:
    """The same in nft's words."""
    protocol = nft.FAMILIES[family]
    rest = "return" if any(net.prefixlen == 0 for net in networks) else f"{masquerade_table.match(protocol, 'daddr', networks)} return"
    return {
        masquerade_table.BASE: [f"{protocol} saddr {pod} jump {masquerade_table.CHAIN}"],
        masquerade_table.CHAIN: [rest, "masquerade fully-random"],
    }


def _is_random(want: Want) -> bool:
    return any(rule.endswith(("--random-fully", "fully-random")) for rules in (want.state or {}).values() for rule in rules or [])


# Hosts that drop what they forward


def _forward_wants(backend: str, family: str, pod: str, seen: backends.Seen, run: Run) -> list[Want]:
    """Our accept rules where they have an effect: in each variant of iptables whose FORWARD drops, and in our own, whose policy
    somebody may yet change. What a base chain of another table drops stays dropped, whatever ours accepts (pitfalls 20)."""
    forwards = [chain for chain in seen.chains if chain.hook == "forward" and chain.family in (family, "inet")]
    made_by_iptables = [chain for chain in forwards if (chain.table, chain.name, chain.family) == ("filter", "FORWARD", family)]
    dropping = {f"iptables-{chain.backend}" for chain in made_by_iptables if chain.policy == "drop"}
    ids = {word: OwnChain(FORWARD, str(backends.variant(word)), family).id for word in backends.BACKENDS[:2]}
    wanted = [word for word, oid in ids.items() if word in {backend, *dropping} or run.document.record(oid) is not None]
    for chain in forwards:
        unreachable = chain not in made_by_iptables or not backends.usable(f"iptables-{chain.backend}", [family])
        if unreachable and (chain.policy == "drop" or chain.table == "firewalld"):
            text = f"accept_forwarded: true has no effect on the chain {chain.name} of the nftables table {chain.table}, which may drop packets of pods"
            run.warnings.append(f"{NAME}: {text}; accept {pod} there, in both directions")
    rules = [f"-s {pod} -j ACCEPT", f"-d {pod} -j ACCEPT"]
    state = {"rules": rules, "jumps": [_jump(FORWARD, side, pod, FORWARD_COMMENT) for side in ("-s", "-d")]}
    usable = [word for word in wanted if backends.usable(word, [family])]
    return [want for word in usable for want in _chain_wants(FORWARD, str(backends.variant(word)), family, pod, state)]


# Rules of others that masquerade, too


def _kubenet(families: t.Iterable[str], adopt: bool, run: Run) -> tuple[list[kubenet_rules.KubenetRules], list[dict[str, t.Any]]]:
    """Rules of an old kubelet to be taken over, with those that were; and those that are left."""
    adopted, left = [], []
    for rules in [kubenet_rules.KubenetRules(variant, family) for family in families for variant in iptables.VARIANTS]:
        state = _readable(rules)
        if adopt and (state is not None or run.document.record(rules.id) is not None):
            adopted.append(rules)
        elif state is not None:
            text = f"{_tool(rules.variant, rules.family)} has rules of an old kubelet (kubenet: SNAT for outbound traffic from cluster)"
            text += ", which masquerade beside ours; adopt: [kubenet] takes them over"
            left.append({"backend": f"iptables-{rules.variant}", "family": rules.family, "text": text, "rules": _lines(state)})
    return adopted, left


def _readable(resource: kubenet_rules.KubenetRules) -> t.Any:
    try:
        return resource.read() if iptables.installed(resource.variant, resource.family) else None
    except NodeError:  # a table that iptables cannot show was not made by it
        return None


def _tool(variant: str, family: str) -> str:
    return f"{iptables.TOOLS[family]}-{variant}"


def _lines(state: t.Mapping[str, t.Any]) -> list[str]:
    return [f"-A {kubenet_rules.CHAIN} {rule}" for rule in state["rules"]]


def _shown(rules: kubenet_rules.KubenetRules, run: Run) -> dict[str, t.Any]:
    record = run.document.record(rules.id)
    found = record["found"] if record is not None else rules.read()
    return {"backend": f"iptables-{rules.variant}", "family": rules.family, "rules": [] if found is None else _lines(found)}


def _agents(families: t.Mapping[str, str]) -> list[dict[str, t.Any]]:
    """Chains of agents that get packets from our pods."""
    found = []
    for family, pod in families.items():
        for variant in iptables.VARIANTS:
            for rule in _postrouting(variant, family):
                words = iptables.split(rule)
                agent = AGENTS.get(words[-1]) if words[-2:-1] == ["-j"] else None
                if agent is not None and _concerns(words, pod):
                    text = f"{_tool(variant, family)} has the chain {words[-1]} of {agent}, which masquerades what pods send"
                    text += " by a list of its own; what only one of the two lists excepts is masqueraded"
                    found.append({"backend": f"iptables-{variant}", "family": family, "text": text, "rules": [f"-A POSTROUTING {rule}"]})
    return found


def _postrouting(variant: str, family: str) -> list[str]:
    try:
        rules = iptables.read(variant, family, "nat")[1] if iptables.installed(variant, family) else []
    except NodeError:
        return []
    return [rule for chain, rule in rules if chain == "POSTROUTING"]


def _concerns(words: t.Sequence[str], pod: str) -> bool:
    """Whether a rule looks at packets from the pods: it names no source, or one that has addresses in common with theirs."""
    if "-s" not in words:
        return True
    source, pods = cidr.parse_cidr(words[words.index("-s") + 1], "")[0], cidr.parse_cidr(pod, "")[0]
    return source is not None and pods is not None and bool(cidr.overlapping([source], [pods])) != (words[:1] == ["!"])


def _place(resource: Resource) -> str:
    """Where rules of ours are, for a person."""
    if isinstance(resource, OwnChain):
        return f"{_tool(resource.variant, resource.family)}: {resource.kind.table} {resource.kind.chain}"
    return f"nft: {nft.FAMILIES[resource.family]} {masquerade_table.TABLE}" if isinstance(resource, masquerade_table.MasqueradeTable) else ""


def revive(object_id: str) -> Resource:
    """``masquerade:iptables-nft/ipv4``, ``masquerade:nftables/ipv4``, ``iptables_table:nat/ipv4``, ``kubenet_rules:…``."""
    kind, _colon, place = object_id.partition(":")
    where, _slash, family = place.partition("/")
    variant = backends.variant(where)
    if kind == "iptables_table":
        return BaseChain(next(one for one in KINDS.values() if one.table == where), family)
    if variant is None:
        return masquerade_table.MasqueradeTable(family)
    return kubenet_rules.KubenetRules(variant, family) if kind == "kubenet_rules" else OwnChain(KINDS[kind], variant, family)

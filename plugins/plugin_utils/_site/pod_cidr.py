# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""From the options of pod_cidr to its result: what is asked, what is remembered, and what becomes of both."""

from __future__ import annotations

import hashlib
import os
import typing as t

from ansible_collections.kubenode.network.plugins.module_utils._addressing.allocate import Allocation, Kept, allocate, describe, natural
from ansible_collections.kubenode.network.plugins.module_utils._addressing.blocks import Block, overlaps, parse
from ansible_collections.kubenode.network.plugins.module_utils._addressing.pools import Pool, require_netaddr
from ansible_collections.kubenode.network.plugins.module_utils._addressing.site import Site, check, fault_in, limited, name_fault
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, Problem
from ansible_collections.kubenode.network.plugins.plugin_utils._site import kube_client, kubernetes, store

ALLOCATE, KUBERNETES = "allocate", "kubernetes"
NEVER, PARTIAL = "never", "partial"
_SHOWN = 20  # names in a message


class _Plan(t.NamedTuple):
    """``before``, ``after``: what is in the store, and what will be; ``damage``: why it is not understood now; ``known``: whether it knows
    this cluster."""

    before: bytes | None
    after: bytes | None
    damage: str
    known: bool
    allocation: Allocation


def run(options: t.Mapping[str, t.Any], path: str | None, check_mode: bool) -> dict[str, t.Any]:
    """``options``: the module's, without those that are not set. ``path``: of the store, None where a source needs none.

    Raises InputError with all problems, before anything is written; NodeError without netaddr; StoreError.
    """
    require_netaddr()
    if options["source"] == ALLOCATE and "cluster_cidrs" not in options:
        raise InputError([Problem("cluster_cidrs", "is required with source allocate (expected e.g. [{cidr: 10.244.0.0/16, node_mask_size: 24}])")])
    asked = options["nodes"]
    options, elsewhere = _decided(options)
    site, problems, warnings = check(options)
    late = set(asked) - set(options["nodes"])
    if late:
        warnings.append(f"{_some(late)}: no pod CIDR in the API yet, so no other node gets a route there (run again when it has one)")
    real = os.path.realpath(path) if path else ""
    plan = _plan(options, site, problems, real, elsewhere)
    if plan.after != plan.before and not check_mode:
        with store.locked(real):
            if store.read(real) != plan.before:  # another run came first
                plan = _plan(options, site, problems, real, elsewhere)
            warnings += _put_aside(real, plan)
            store.write(real, t.cast(bytes, plan.after))
    warnings += _said(options, site, plan, real) + plan.allocation.warnings
    change, allocation = _change(plan, real), plan.allocation
    del plan  # what is in the store need not be in memory beside the result
    return {**change, **_result(site, allocation), "store": path, "warnings": warnings}


def _decided(options: t.Mapping[str, t.Any]) -> tuple[t.Mapping[str, t.Any], Kept | None]:
    """The options with the CIDRs that are decided elsewhere; and of a source that is asked, before the store is locked, all else that it
    remembers of the cluster, in place of the store."""
    given = options.get("pod_cidrs") or {}
    problems = _optional_faults(options)
    if options["source"] != KUBERNETES:
        if problems:
            raise InputError(problems)
        return {**options, "pod_cidrs": given}, None
    site, wrong, _warnings = check({**options, "pod_cidrs": {}})
    problems = [*wrong, *problems, *kube_client.check(options)]
    if given:
        problems.append(Problem("pod_cidrs", f"{given!r} has no use with source=kubernetes, which asks for them (expected one of the two)"))
    if problems:
        raise InputError(problems)
    optional = set(options.get("optional") or ())
    nodes = kubernetes.read_nodes({name: index for index, name in enumerate(site.nodes) if name not in optional}, options, options["timeout"])
    there = [name for name in site.nodes if name in nodes and nodes[name].pod_cidrs]
    asked = {
        "nodes": there,
        "pod_cidrs": {name: nodes[name].pod_cidrs for name in there},
        "addresses": {name: site.addresses.get(name) or nodes[name].addresses for name in there},
    }
    return {**options, **asked}, _others({name: node.pod_cidrs for name, node in nodes.items() if name not in asked["pod_cidrs"]}, site.pools)


def _optional_faults(options: t.Mapping[str, t.Any]) -> list[Problem]:
    names, nodes = options.get("optional") or [], set(map(str, options["nodes"]))
    if names and options["source"] != KUBERNETES:
        return [Problem("optional", f"{names!r} has no use with source={options['source']} (expected source=kubernetes, which waits for the others)")]
    if names and nodes <= set(names):
        return [Problem("optional", f"{names!r} leaves no node to wait for (expected some of nodes, not all)")]
    strange = [(index, name) for index, name in enumerate(names) if name not in nodes]
    return limited([Problem(f"optional[{index}]", f"{name!r} is not in nodes (expected one of them)") for index, name in strange], "optional")


def _others(nodes: t.Mapping[str, t.Sequence[str]], pools: t.Sequence[Pool]) -> Kept:
    """Blocks of nodes that are not asked for count as used. What is wrong with these nodes is not for this run to say."""
    blocks = [(block, name) for name, cidrs in nodes.items() for block in map(parse, cidrs) if block and not fault_in(pools, block, block)]
    clashing = {name for pair in overlaps(blocks) for _block, name in pair}
    kept: dict[str, list[Block]] = {}
    for block, name in sorted(blocks, key=lambda one: [pool.version for pool in pools].index(one[0].version)):
        if name not in clashing:
            kept.setdefault(name, []).append(block)
    return Kept([], kept, {})


def _plan(options: t.Mapping[str, t.Any], site: Site, problems: list[Problem], path: str, elsewhere: Kept | None) -> _Plan:
    """``elsewhere``: what is remembered of the cluster, where that is not in the store, which is then not written."""
    cluster = options["cluster"]
    fault = name_fault(cluster).replace("a node name", "the name of a cluster").replace("node-1.example.org", "blue")
    data, clusters, damage = store.read(path) if path else None, {}, ""
    try:
        clusters = {} if data is None else store.parsed(data, path)
    except store.Damaged as error:
        damage = str(error)
    known = cluster in clusters
    found = [*([Problem("cluster", fault)] if fault else []), *problems, *_lost(options, site, path, damage, known)]
    if found:
        raise InputError(found)
    others = {name: kept for name, kept in clusters.items() if name != cluster}
    kept = clusters.get(cluster, store.empty()) if elsewhere is None else elsewhere
    allocation = allocate(site, kept, others, fill=options["source"] == ALLOCATE, where=path)
    after = store.text_of({**others, cluster: allocation.kept}).encode() if path and elsewhere is None else data
    return _Plan(data, after, damage, known, allocation)


def _lost(options: t.Mapping[str, t.Any], site: Site, path: str, damage: str, known: bool) -> list[Problem]:
    """What was remembered is never replaced by a guess: a cluster that the store does not know is new only if its nodes have nothing."""
    rebuild = options.get("rebuild", NEVER)
    if damage and rebuild == NEVER:
        expected = "the file as it was, from version control or a backup; or rebuild: complete, which takes what the nodes say they have"
        return [Problem("store", f"{damage} (expected {expected})")]
    if known or options["source"] != ALLOCATE:
        return []
    problems = []
    if rebuild != NEVER and options.get("reported") is None:
        problems.append(Problem("rebuild", f"{rebuild!r} needs to know what the nodes have (expected reported with all of them)"))
    if rebuild == NEVER and site.reported:
        problems.append(Problem("store", f"{_not_there(path, options)}, but pod CIDRs are reported by {_some(site.reported)} (expected the file, e.g."
                                         " from version control; or rebuild: complete, which takes what the nodes have)"))  # fmt: skip
    if rebuild != PARTIAL and site.unanswered:
        problems.append(Problem("reported", f"{_not_there(path, options)}, and there is no answer about pod CIDRs from {_some(site.unanswered)}"
                                            " (expected one from all; or rebuild: partial, which may give others what these have)"))  # fmt: skip
    return problems


def _not_there(path: str, options: t.Mapping[str, t.Any]) -> str:
    return f"{path} does not know cluster {options['cluster']}" if os.path.exists(path) else f"{path} is not there"


def _some(names: t.Collection[str]) -> str:
    shown = ", ".join(sorted(names, key=natural)[:_SHOWN])
    return f"{shown} and {len(names) - _SHOWN} more" if len(names) > _SHOWN else shown


def _put_aside(path: str, plan: _Plan) -> list[str]:
    """Keeps a damaged store under a hidden name, which no inventory is read from."""
    if not plan.damage or plan.before is None:
        return []
    folder, name = os.path.split(path)
    aside = os.path.join(folder, f".{name}.damaged-{hashlib.sha256(plan.before).hexdigest()[:8]}")
    store.write(aside, plan.before)
    return [f"{plan.damage}; it is kept as {aside}"]


def _said(options: t.Mapping[str, t.Any], site: Site, plan: _Plan, path: str) -> list[str]:
    if plan.known or options["source"] != ALLOCATE:
        return []
    if options.get("reported") is None:
        return [f"{path} begins with cluster {options['cluster']} anew; keep it with the inventory, or nodes change their pod CIDRs some day"]
    said = [f"{path} is made from what was reported by {_some(site.reported)}"] if site.reported else []
    return said + ([f"{path} does not have what these nodes may have, which did not answer: {_some(site.unanswered)}"] if site.unanswered else [])


def _result(site: Site, allocation: Allocation) -> dict[str, t.Any]:
    nodes, peers = {}, {}
    for name in sorted(site.nodes, key=natural):
        nodes[name] = describe(allocation.kept.nodes.pop(name))  # or both would be in memory, of tens of thousands of nodes
        peers[name] = {"pod_cidrs": nodes[name]["pod_cidrs"], "addresses": site.addresses.get(name, [])}
    return {"nodes": nodes, "peers": peers, "usage": allocation.usage}


def _change(plan: _Plan, path: str) -> dict[str, t.Any]:
    """Of thousands of lines only those that differ are shown."""
    if plan.after == plan.before:
        return {"changed": False}
    before, after = ((data or b"").splitlines(keepends=True) for data in (plan.before, plan.after))
    diff = {"before": _without(before, after), "after": _without(after, before), "before_header": path, "after_header": path}
    return {"changed": True, "diff": diff}


def _without(lines: list[bytes], others: list[bytes]) -> str:
    known = set(others)
    return b"".join(line for line in lines if line not in known).decode(errors="replace")

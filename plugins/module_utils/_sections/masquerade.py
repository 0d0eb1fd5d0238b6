# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from .._addressing import cidr
from .._converge import Part, Want
from .._errors import Problem
from .._host import firewall
from .._resources import masquerade as resource
from .base import STATE, Options, Run, defaults, removal

NAME = "masquerade"
OPTIONS: dict[str, t.Any] = {
    "pod_cidrs": {"type": "list", "elements": "str"},
    "non_masquerade_cidrs": {"type": "list", "elements": "str"},
    "cluster_cidrs": {"type": "list", "elements": "str"},
    "state": STATE,
}
#: Never masqueraded: what does not leave the link, and multicast (ip-masq-agent and the plugins' ipMasq do likewise).
ALWAYS = {"ipv4": ["169.254.0.0/16", "224.0.0.0/4"], "ipv6": ["fe80::/10", "ff00::/8"]}
INSTANCE = "node"


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
    for name in ("non_masquerade_cidrs", "cluster_cidrs"):
        problems += cidr.check_cidrs(options[name] or [], name)[1]
    return problems


def parts(options: Options, run: Run) -> list[Part]:
    if options["state"] == "absent":
        return [removal(NAME, INSTANCE, resource.revive)]
    pods = cidr.check_pod_cidrs(options["pod_cidrs"], "pod_cidrs")[0]
    except_for = [net for name in ("cluster_cidrs", "non_masquerade_cidrs") for net in cidr.check_cidrs(options[name] or [], name)[0]]
    desired = {"pod_cidrs": [str(pod) for pod in pods], "non_masquerade_cidrs": [str(net) for net in cidr.collapse([*except_for, *pods])]}
    run.results[NAME] = desired
    wants: list[Want] = []
    for family in ("ipv4", "ipv6"):
        sources = [pod for pod in pods if f"ipv{pod.version}" == family]
        if sources and _tools_are_there(family, run):
            wants += _family_wants(family, sources, except_for)
    return [Part(NAME, INSTANCE, desired, wants, resource.revive)]


def resolved(desired: Options) -> Options:
    return {**defaults(OPTIONS), **desired}


def _tools_are_there(family: str, run: Run) -> bool:
    if firewall.installed(family):
        return True
    run.refuse("", f"{firewall.TOOLS[family]} is not installed on this node (Debian: package iptables)")
    return False


def _family_wants(family: str, sources: t.Sequence[t.Any], except_for: t.Sequence[t.Any]) -> list[Want]:
    wants = []
    if firewall.tables_can_be_removed(family):
        wants.append(Want(resource.NatTable(family), {"table": "nat"}))
    return [*wants, Want(resource.MasqueradeChain(family), chain_state(family, sources, except_for))]


def chain_state(family: str, sources: t.Sequence[t.Any], except_for: t.Sequence[t.Any]) -> dict[str, list[str]]:
    """The rules as iptables-save spells them: what is excepted returns first, the rest is masqueraded."""
    version = 4 if family == "ipv4" else 6
    always = cidr.check_cidrs(ALWAYS[family], "")[0]
    excepted = cidr.collapse([net for net in [*except_for, *sources, *always] if net.version == version])
    return {
        "rules": [_return(net) for net in excepted] + ["-j MASQUERADE"],
        "jumps": [firewall.spell(["-s", str(pod), "-m", "comment", "--comment", resource.COMMENT, "-j", resource.CHAIN]) for pod in sources],
    }


def _return(network: t.Any) -> str:
    return f"-d {network} -j RETURN" if network.prefixlen else "-j RETURN"

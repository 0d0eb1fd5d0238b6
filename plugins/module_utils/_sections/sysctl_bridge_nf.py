# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import typing as t

from .._converge import Part, Want
from .._document import Document
from .._errors import Problem
from .._host import files, links, sysctls
from .._resource import Resource
from .._resources import file, sysctl
from .base import STATE, Options, Run, defaults, removal

NAME = "sysctl_bridge_nf"
OPTIONS: dict[str, t.Any] = {
    "bridge_nf_call_iptables": {"type": "bool", "default": True},
    "bridge_nf_call_ip6tables": {"type": "bool", "default": True},
    "bridge_nf_call_arptables": {"type": "bool", "default": True},
    "forwarding": {"type": "list", "elements": "str", "choices": ["ipv4", "ipv6"]},
    "state": STATE,
}
INSTANCE = "node"
#: Late in the order of sysctl.d, behind what distributions ship; the module must be loaded before the keys exist.
SYSCTL_FILE = "/etc/sysctl.d/99-kubenode-network.conf"
MODULES_FILE = "/etc/modules-load.d/kubenode-network.conf"
FORWARDING = {"ipv4": "net/ipv4/ip_forward", "ipv6": "net/ipv6/conf/all/forwarding"}
DEFAULT_FORWARDING = ["ipv4"]


def check(options: Options) -> list[Problem]:
    return []


def parts(options: Options, run: Run) -> list[Part]:
    if options["state"] == "absent":
        return [removal(NAME, INSTANCE, revive)]
    families = DEFAULT_FORWARDING if options["forwarding"] is None else sorted(set(options["forwarding"]))
    values = {f"net/bridge/bridge-nf-call-{name}": str(int(options[f"bridge_nf_call_{name}"])) for name in ("iptables", "ip6tables", "arptables")}
    if "ipv6" in families:
        values.update(_accept_ra(run))
    values.update({FORWARDING[family]: "1" for family in families})
    for family in families:
        if sysctls.read(FORWARDING[family]) is None:
            run.refuse("forwarding", f"{family} is not there on this node: its kernel has no {dotted(FORWARDING[family])}")
    desired = {"module": "br_netfilter", "values": {dotted(key): value for key, value in values.items()}}
    run.results[NAME] = desired
    run.planned.sysctls.update(values)
    return [Part(NAME, INSTANCE, desired, _wants(values, run.document), revive)]


def resolved(desired: Options) -> Options:
    values = desired["values"]
    switches = {f"bridge_nf_call_{name}": values[f"net.bridge.bridge-nf-call-{name}"] == "1" for name in ("iptables", "ip6tables", "arptables")}
    return {**defaults(OPTIONS), **switches, "forwarding": [family for family, key in FORWARDING.items() if dotted(key) in values]}


def _wants(values: t.Mapping[str, str], document: Document) -> list[Want]:
    """The module before its keys, accept_ra before forwarding, and the files for the next boot behind what is set now."""
    wants = [Want(sysctl.BrNetfilter(), {"loaded": True})]
    wants += [Want(sysctl.Sysctl(key), value) for key, value in values.items()]
    persisted = "".join(f"{dotted(key)} = {value}\n" for key, value in values.items())
    for path, text in ((MODULES_FILE, "br_netfilter\n"), (SYSCTL_FILE, persisted)):
        resource = file.File(path, files.Bytes(f"# Written by kubenode.network.{NAME}\n{text}".encode()))
        wants += file.folder_wants(os.path.dirname(path), document)
        wants.append(Want(resource, resource.wanted()))
    return wants


def _accept_ra(run: Run) -> dict[str, str]:
    """``accept_ra=2`` for each link with a default route from router advertisements.

    With 1, the kernel drops that route the moment forwarding is on. 0 means that somebody else minds the
    advertisements. A link that has its 2 from us keeps it, or a route that happens to be away would lose it for good; so
    does one that is away itself, as at boot.
    """
    learned = {f"net/ipv6/conf/{link}/accept_ra" for link in links.router_advertised_links()}
    ours = {oid.partition(":")[2] for oid in run.document.objects(NAME, INSTANCE) if oid.endswith("/accept_ra")}
    values = {key: sysctls.read(key) for key in sorted(learned | ours)}
    return {key: "2" for key, value in values.items() if value in ("1", "2") or (value is None and key in ours)}


def dotted(key: str) -> str:
    """The spelling of sysctl.d(5): dots, but slashes for a key in which a link's name holds a dot."""
    return key if "." in key else key.replace("/", ".")


def revive(object_id: str) -> Resource:
    return sysctl.revive(object_id) if object_id.startswith(("sysctl:", "module:")) else file.revive(object_id)

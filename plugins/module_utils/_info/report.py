# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Facts as the module's result: plain data in a stable order."""

from __future__ import annotations

import re
import typing as t

from .._cni.ranges import RangeSet
from .._cni.releases import Release
from .node import Binary, Facts, Leases, Network, View, is_kubernetes_chain

#: Chains of one pod or service: there may be thousands.
_OF_ONE = re.compile(r"CNI-(?:DN-|SN-)?[0-9a-f]{20,}|KUBE-[A-Z]+-[A-Z2-7]{16}")


def result(facts: Facts, problems: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    return {
        "runtime": _runtime(facts),
        "loaders": {name: _loader(view) for name, view in facts.views.items()},
        "plugins": [_plugin(binary) for _name, binary in sorted(facts.binaries.items())],
        "networks": [_network(network) for network in facts.networks],
        "leases": [_leases(known) for known in facts.leases],
        "bridges": _bridges(facts),
        "firewall": _firewall(facts),
        "sysctls": {key.replace("/", "."): value for key, value in facts.sysctls.items()},
        "problems": problems,
        "unavailable": facts.unavailable,
    }


def _runtime(facts: Facts) -> dict[str, t.Any]:
    runtime, settings = facts.runtime, facts.settings
    ready = runtime.status.conditions.get("NetworkReady") if runtime.status else None
    return {
        "name": runtime.name or None,
        "release": runtime.release or None,
        "libcni": runtime.libcni,
        "evidence": facts.view.loader.evidence,
        "source": settings.source or None,
        "bin_dirs": list(settings.bin_dirs),
        "conf_dir": settings.conf_dir,
        "max_conf_num": settings.max_conf_num,
        "default_network": settings.default_network or None,
        "socket": runtime.socket or None,
        "network_ready": ready.status if ready else None,
        "network_message": ready.message if ready else None,
        "load_status": runtime.status.info.get("lastCNILoadStatus") if runtime.status else None,
    }


def _loader(view: View) -> dict[str, t.Any]:
    verdict = view.verdict
    return {
        "evidence": view.loader.evidence,
        "installed": view.installed,
        "winner": verdict.winner,
        "winners": verdict.winners,
        "error": verdict.error,
        "order": verdict.order,
        "shadowed_by": verdict.shadowed_by,
        "invalid_files": verdict.invalid,
    }


def _plugin(binary: Binary) -> dict[str, t.Any]:
    return {
        "name": binary.name,
        "path": binary.path,
        "asked": binary.asked,
        "versions": list(binary.versions),
        "release": _release(binary.release),
        "error": binary.error or None,
    }


def _release(release: Release) -> dict[str, t.Any]:
    return {"text": str(release), "first": release.first or None, "before": release.before or None}


def _network(network: Network) -> dict[str, t.Any]:
    return {
        "name": network.name,
        "file": network.file,
        "cni_version": network.config.get("cniVersion"),
        "plugins": network.types,
        "in_use": network.in_use,
        "ours": network.ours,
        "config": network.config,
    }


def _leases(known: Leases) -> dict[str, t.Any]:
    return {
        "network": known.network,
        "file": known.file or None,
        "data_dir": known.data_dir,
        "range_sets": [_range_set(one) for one in known.sets],
        "leases": [
            {
                "address": lease.address,
                "container_id": lease.container_id,
                "interface": lease.interface,
                "age_seconds": lease.age,
                "netns_alive": lease.netns_alive,
                "orphaned": lease.orphaned,
            }
            for lease in known.leases
        ],
    }


def _range_set(one: RangeSet) -> dict[str, t.Any]:
    return {
        "total": one.total,
        "used": one.used,
        "free": one.free,
        "ranges": [{**entry._asdict(), "free": entry.free} for entry in one.ranges],
    }


def _bridges(facts: Facts) -> list[dict[str, t.Any]]:
    links = facts.links or {}
    return [
        {
            "name": name,
            "mtu": link.mtu,
            "up": "UP" in link.flags,
            "promiscuous": "PROMISC" in link.flags,
            "mac": link.mac,
            "addresses": list(link.addresses),
            "ports": sorted(port.name for port in links.values() if port.master == name),
        }
        for name, link in sorted(links.items())
        if link.kind == "bridge"
    ]


def _firewall(facts: Facts) -> dict[str, t.Any]:
    firewall = facts.firewall
    families = ("ipv4", "ipv6")
    return {
        "iptables": {"version": firewall.iptables[0], "variant": firewall.iptables[1] or "legacy"} if firewall.iptables else None,
        "nft": firewall.nft,
        "legacy_tables": dict(firewall.legacy_tables),
        "chains": {backend: {family: _chain_names(facts, backend, family) for family in families} for backend in ("nft", "legacy")},
        "forward_policy": {backend: {family: firewall.policy(backend, family) for family in families} for backend in ("nft", "legacy")},
    }


def _chain_names(facts: Facts, backend: str, family: str) -> list[str] | None:
    if facts.firewall.chains is None:
        return None
    return sorted({chain.name for chain in facts.firewall.of(backend, family) if is_kubernetes_chain(chain.name) and not _OF_ONE.fullmatch(chain.name)})

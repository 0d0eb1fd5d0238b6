# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What is wrong on a node, or will be: one function for each named problem.

The names and numbers are those of a list of what goes wrong with CNI on nodes, by how often and how badly it bites. What
cannot be told from the facts is not reported.
"""

from __future__ import annotations

import typing as t

from . import of_files, of_plugins, of_pods
from .node import SOFT, Facts
from .problem import ERROR, INFO, WARNING, Found, Problem

#: Name -> number in the list of pitfalls (None: one of those that it also names), and what finds it.
TABLE: dict[str, tuple[int | None, t.Callable[[Facts], Found]]] = {
    "not-reloaded": (1, of_files.not_reloaded),
    "temporary-file": (2, of_files.temporary_file),
    "temporary-left": (2, of_files.temporary_left),
    "file-first": (3, of_files.file_first),
    "file-sibling": (3, of_files.file_sibling),
    "file-shadowed": (3, of_files.file_shadowed),
    "vendor-file": (4, of_files.vendor_file),
    "subnet-overlap": (4, of_files.subnet_overlap),
    "file-broken": (5, of_files.file_broken),
    "no-network": (5, of_files.no_network),
    "plugin-missing": (6, of_plugins.plugin_missing),
    "plugin-elsewhere": (7, of_plugins.plugin_elsewhere),
    "version-missing": (8, of_plugins.version_missing),
    "version-malformed": (8, of_plugins.version_malformed),
    "version-unsupported": (8, of_plugins.version_unsupported),
    "option-too-new": (9, of_plugins.option_too_new),
    "option-wrong": (9, of_plugins.option_wrong),
    "lease-orphaned": (10, of_pods.lease_orphaned),
    "range-full": (10, of_pods.range_full),
    "range-small": (10, of_pods.range_small),
    "leases-volatile": (11, of_pods.leases_volatile),
    "leases-without-network": (12, of_pods.leases_without_network),
    "bridge-address": (13, of_pods.bridge_address),
    "mtu-too-large": (14, of_pods.mtu_too_large),
    "portmap-without-capability": (15, of_plugins.portmap_without_capability),
    "portmap-on-crio": (15, of_plugins.portmap_on_crio),
    "hostport-impossible": (15, of_plugins.hostport_impossible),
    "mark-chain-missing": (16, of_plugins.mark_chain_missing),
    "mark-bit-taken": (16, of_plugins.mark_bit_taken),
    "nft-backend-unsafe": (17, of_plugins.nft_backend_unsafe),
    "bridge-nf-off": (18, of_pods.bridge_nf_off),
    "hairpin-off": (19, of_pods.hairpin_off),
    "forward-drop": (20, of_pods.forward_drop),
    "masquerade-twice": (22, of_pods.masquerade_twice),
    "masquerade-in-cluster": (22, of_pods.masquerade_in_cluster),
    "masquerade-none": (22, of_pods.masquerade_none),
    "plugin-writable": (23, of_plugins.plugin_writable),
    "plugin-broken": (24, of_plugins.plugin_broken),
    "conf-dir-missing": (25, of_files.conf_dir_missing),
    "conf-dir-link": (25, of_files.conf_dir_link),
    "loopback-first": (None, of_files.loopback_first),
    "loopback-used": (None, of_files.loopback_used),
    "mixed-backends": (None, of_pods.mixed_backends),
    "sysctl-undone": (None, of_pods.sysctl_undone),
    "forwarding-off": (None, of_pods.forwarding_off),
    "ipv6-off": (None, of_pods.ipv6_off),
    "file-mode": (None, of_files.file_mode),
}
_ORDER = (ERROR, WARNING, INFO)


def find(facts: Facts) -> list[dict[str, t.Any]]:
    """``[{"pitfall", "name", "severity", "object", "message"}]``, the worst first."""
    found = [
        {"pitfall": pitfall, "name": name, "severity": problem.severity, "object": problem.object, "message": "; ".join(problem.message.splitlines())}
        for name, (pitfall, look) in TABLE.items()
        for problem in _looked(name, look, facts)
    ]
    return sorted(found, key=lambda problem: _ORDER.index(problem["severity"]))


def _looked(name: str, look: t.Callable[[Facts], Found], facts: Facts) -> list[Problem]:
    """What one function finds, each once. What others wrote may be stranger than it expects; the other problems are told all the same."""
    try:
        return list(dict.fromkeys(look(facts)))
    except SOFT as error:
        facts.unavailable.append({"fact": f"problem {name}", "reason": repr(error)})
        return []

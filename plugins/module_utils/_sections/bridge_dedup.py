# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What section kubenet_bridge does against the packets that a promiscuous bridge doubles."""

from __future__ import annotations

import typing as t

from .._addressing import cidr
from .._converge import Want
from .._host import firewall, nft
from .._resources import dedup
from .base import Run

#: IP version -> what has iptables see the packets of all bridges
BRIDGE_NF = {4: "net.bridge.bridge-nf-call-iptables", 6: "net.bridge.bridge-nf-call-ip6tables"}
#: Where the kubelet had its rules (kubenet.md section 7).
OF_KUBELET = "KUBE-DEDUP"


def wants(section: str, bridge: str, mac: str, networks: t.Sequence[t.Any], run: Run) -> list[Want]:
    """The rules against duplicates, for each family whose bridged packets iptables sees: without that, they would drop
    all traffic to services instead (measured)."""
    run.warnings.append(f"{section}: with promiscuous-bridge a pod does not reach itself through a service on today's kernels; hairpin-veth does that")
    seen = [network for network in networks if run.firewall_sees(bridge, network.version)]
    for network in networks:
        if network not in seen:
            run.warnings.append(f"{section}: {BRIDGE_NF[network.version]} is not 1, so there is no rule against duplicates for {network}")
    if not seen:
        return []
    facts = [(mac, network.version, cidr.gateway(network), str(network)) for network in seen]
    if nft.speaks_json():
        return [Want(dedup.DedupRules(bridge), {"rules": [rule for fact in facts for rule in dedup.nft_rules(*fact)]})]
    if firewall.ebtables_works():
        return [Want(dedup.DedupEbtables(bridge), {"rules": [rule for fact in facts for rule in dedup.ebtables_rules(*fact)], "jumps": 1})]
    text = "neither an nft with JSON nor a working ebtables is installed, so pods behind a service on"
    run.warnings.append(f"{section}: {text} {bridge} get packets twice (Debian: package nftables)")
    return []


def warn_of_kubelet(section: str, run: Run) -> None:
    """A chain that a kubelet left has the bridge's MAC and pod range of its time, and drops what it takes for duplicates."""
    if firewall.holds_bridge_chain(OF_KUBELET):
        text = f"the chain {OF_KUBELET} of an old kubelet is still in ebtables' table filter, and drops frames from the bridge that it was made for"
        run.warnings.append(f"{section}: {text}; take it away with ebtables -D OUTPUT -j {OF_KUBELET}, then -F {OF_KUBELET} and -X {OF_KUBELET}")

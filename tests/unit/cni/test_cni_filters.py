# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plugins that run iptables, or nft, on nodes that lack one of them."""

from __future__ import annotations

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import model
from ansible_collections.kubenode.network.plugins.module_utils._cni.releases import Release

PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
BRIDGE = {"type": "bridge", "ipMasq": True}
OLD, NEW, NEWEST = Release("1.1.1", "1.1.2"), Release("1.6.2", "1.6.3"), Release("1.9.1", "1.9.2")
BOTH, IPTABLES, NFT = ("iptables", "nftables"), ("iptables",), ("nftables",)


@pytest.mark.parametrize(
    ("plugin", "release", "there", "text"),
    [
        (PORTMAP, OLD, IPTABLES, None),
        (PORTMAP, OLD, BOTH, None),
        (PORTMAP, OLD, NFT, ("backend: not set, and portmap runs iptables, which is not installed on this node; the installed one is release 1.1.1 "
                             "(expected iptables, or release 1.9.0 or newer, which takes nftables)")),
        (PORTMAP, NEW, NFT, ("backend: not set, and portmap runs iptables, which is not installed on this node; the installed one is release 1.6.2 "
                             "(expected iptables, or release 1.9.0 or newer, which takes nftables)")),
        (PORTMAP, NEWEST, NFT, None),
        (PORTMAP, Release(), NFT, None),
        (PORTMAP, NEWEST, (), ("backend: not set, and portmap runs iptables, which is not installed on this node; the installed one is release 1.9.1 "
                               "(expected iptables, or nft and release 1.9.0 or newer)")),
        ({**PORTMAP, "capabilities": {}}, OLD, NFT, None),
        ({"type": "portmap"}, OLD, (), None),
        ({**PORTMAP, "backend": "iptables"}, NEWEST, NFT,
         "backend: 'iptables' needs iptables, which is not installed on this node (expected iptables, or nftables)"),
        ({**PORTMAP, "backend": "nftables"}, NEWEST, IPTABLES,
         "backend: 'nftables' needs nft, which is not installed on this node (expected nft, or iptables)"),
        ({**PORTMAP, "backend": "nftables"}, NEWEST, NFT, None),
        (BRIDGE, OLD, IPTABLES, None),
        (BRIDGE, OLD, NFT, ("ipMasq: true, and bridge runs iptables, which is not installed on this node; the installed one is release 1.1.1 "
                            "(expected iptables, or release 1.6.0 or newer, which takes nftables)")),
        (BRIDGE, NEW, NFT, None),
        ({**BRIDGE, "ipMasq": False}, OLD, NFT, None),
        ({**BRIDGE, "ipMasqBackend": "iptables"}, NEW, NFT,
         "ipMasqBackend: 'iptables' needs iptables, which is not installed on this node (expected iptables, or nftables)"),
        ({"type": "ptp", "ipMasq": True}, OLD, NFT, ("ipMasq: true, and ptp runs iptables, which is not installed on this node; the installed one is "
                                                     "release 1.1.1 (expected iptables, or release 1.6.0 or newer, which takes nftables)")),
        ({"type": "calico", "ipMasq": True}, OLD, (), None),
    ],
)  # fmt: skip
def test_plugins_need_a_packet_filter_that_is_there(plugin, release, there, text):
    found = [str(problem) for problem in model.check_filters([plugin], {plugin["type"]: release}, there)]
    assert found == ([] if text is None else [f"plugins[0].{text}"])

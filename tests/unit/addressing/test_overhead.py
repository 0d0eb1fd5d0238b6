# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._addressing import overhead


@pytest.mark.parametrize(
    "text, expected",
    [
        ("0", 0),
        ("128", 128),
        ("vxlan/ipv4", 50),
        ("vxlan/ipv6", 70),
        ("geneve/ipv4", 50),
        ("geneve/ipv6", 70),
        ("ipip", 20),
        ("gre", 24),
        ("wireguard/ipv4", 60),
        ("WireGuard/IPv6", 80),
        ("flannel/vxlan", 50),
        ("flannel/vxlan/ipv6", 50),  # flannel takes 50 off in both families
        ("flannel/ipsec", 77),
        ("calico/vxlan", 50),
        ("calico/vxlan/ipv6", 70),
        ("calico/ipip CrossSubnet", 20),
        ("cilium/wireguard", 95),
        ("kube-router/fou/gue", 28),
        ("antrea/noEncap", 0),
        ("kube-ovn/geneve/ipv6", 120),
        ("ovn-kubernetes/geneve + ipsec", 146),
        ("kubenet/none", 0),
    ],
)
def test_what_is_taken_off(text, expected):
    assert overhead.find(text) == (expected, "")


@pytest.mark.parametrize(
    "text, words",
    [
        ("-1", "'-1' is not an overhead (expected bytes, one of vxlan/ipv4, "),
        ("65536", "'65536' is more than an MTU can be (expected at most 65535)"),
        ("9" * 5000, f"'{'9' * 5000}' is more than an MTU can be (expected at most 65535)"),
        ("", "'' is not an overhead"),
        ("vxlan", "'vxlan' is not an overhead (expected bytes, one of vxlan/ipv4, vxlan/ipv6"),
        ("wireguard", "'wireguard' is not an overhead"),
        ("ipsec", "'ipsec' has no size of its own, since ciphers differ (expected bytes, as 128 that make 8873 out of 9001, or one of flannel/ipsec, "),
        ("ipsec/ipv4", "'ipsec/ipv4' has no size of its own"),
        ("calico", "'calico' names no mode of calico whose overhead is known (expected one of calico/none-bgp, calico/ipip"),
        ("calico/wire", "'calico/wire' names no mode of calico"),
        ("calico/ipip/ipv6", "'calico/ipip/ipv6': calico does not use that mode over IPv6 (expected calico/ipip)"),
        ("weave/sleeve", "'weave/sleeve' names no mode of weave whose overhead is known"),
        ("kindnet/ipsec", "'kindnet/ipsec' names no mode of kindnet"),
        ("callico/vxlan", "or PROVIDER/MODE with a provider of kubenet, "),
        ("١٢٨", "is not an overhead"),
    ],
)  # fmt: skip
def test_what_is_refused(text, words):
    size, problem = overhead.find(text)
    assert size == 0 and words in problem and "\n" not in problem


def test_every_mode_can_be_said_and_leaves_room():
    for provider, modes in overhead.PROVIDERS.items():
        for mode, (over_ipv4, over_ipv6) in modes.items():
            assert overhead.find(f"{provider}/{mode}") == (over_ipv4, "")
            assert over_ipv6 is None or (overhead.find(f"{provider}/{mode}/ipv6") == (over_ipv6, "") and over_ipv4 <= over_ipv6 <= 146)

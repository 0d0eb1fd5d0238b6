# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni.stranding import stranding

BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "ipam": {"type": "host-local", "subnet": "10.1.0.0/24"}}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


def network(*plugins, **keys):
    return {"cniVersion": "1.0.0", "name": "n", "plugins": list(plugins), **keys}


def bridge(**keys):
    return network({**BRIDGE, **keys}, PORTMAP)


def ipam(**keys):
    return bridge(ipam={"type": "host-local", **keys})


OLD = bridge()


@pytest.mark.parametrize("new", [
    OLD,
    {**OLD, "cniVersion": "0.4.0"},
    bridge(mtu=1400),
    bridge(hairpinMode=True, isDefaultGateway=True),
    network(BRIDGE, {"type": "bandwidth"}, PORTMAP, {"type": "tuning"}),
    network(BRIDGE, {**PORTMAP, "snat": False}),
    ipam(ranges=[[{"subnet": "10.1.0.0/24"}], [{"subnet": "fd00::/64"}]]),
    ipam(subnet="10.1.0.0/24", rangeEnd="10.1.0.100", routes=[{"dst": "0.0.0.0/0"}]),
    ipam(subnet="10.1.0.0/24", dataDir="/var/lib/cni/networks"),
    ipam(subnet="10.1.0.0/24", dataDir=""),
])  # fmt: skip
def test_safe(new):
    assert stranding(OLD, new) == []


@pytest.mark.parametrize("new, reason", [
    (None, "the network would no longer be there"),
    (network({**BRIDGE, "type": "ptp"}, PORTMAP), "'bridge' would become 'ptp'"),
    (bridge(bridge="cni1"), "bridge 'cni0' would become 'cni1'"),
    (bridge(ipMasq=False), "ipMasq would be off, and the rules of these pods stay behind"),
    (bridge(ipMasqBackend="nftables"), "ipMasqBackend null would become 'nftables'"),
    (ipam(subnet="10.2.0.0/24"), "subnet 10.1.0.0/24 would go"),
    (ipam(ranges=[[{"subnet": "10.1.0.0/25"}]]), "subnet 10.1.0.0/24 would go"),
    (ipam(subnet="10.1.0.0/24", gateway="10.1.0.254"), "the gateway of 10.1.0.0/24 would become 10.1.0.254"),
    (ipam(subnet="10.1.0.0/24", dataDir="/x"), "dataDir '/var/lib/cni/networks' would become '/x'"),
    (bridge(ipam={"type": "static", "addresses": []}), "ipam 'host-local' would become 'static'"),
    (bridge(ipam={}), "ipam 'host-local' would become null"),
    (network(BRIDGE), "'portmap' would go, and what it made for these pods stays behind"),
    (network(BRIDGE, {**PORTMAP, "backend": "nftables"}), "backend null would become 'nftables'"),
])  # fmt: skip
def test_stranding(new, reason):
    assert stranding(OLD, new) == [reason]


def test_all_reasons_together():
    new = network({**BRIDGE, "bridge": "b", "ipMasq": False, "ipam": {"type": "host-local", "subnet": "10.9.0.0/24"}})
    assert len(stranding(OLD, new)) == 4


def test_defaults_are_the_plugins_own():
    silent = copy.deepcopy(OLD)
    del silent["plugins"][0]["bridge"]
    assert stranding(OLD, silent) == stranding(silent, OLD) == []


def test_a_single_configuration_is_a_list_of_one():
    single = {"cniVersion": "1.0.0", "name": "n", **BRIDGE}
    assert stranding(single, network(BRIDGE, PORTMAP)) == []
    assert stranding(network(BRIDGE, PORTMAP), single) == ["'portmap' would go, and what it made for these pods stays behind"]


def test_what_leaves_nothing_behind_may_go():
    assert stranding(network(BRIDGE, {"type": "tuning"}, {"type": "sbr"}), network(BRIDGE)) == []


def test_another_plugins_addresses_are_compared_as_they_are():
    calico = {"type": "calico", "ipam": {"type": "calico-ipam", "assign_ipv4": "true"}, "log_level": "info"}
    assert stranding(network(calico), network({**calico, "log_level": "debug"})) == []
    assert stranding(network(calico), network({**calico, "ipam": {"type": "calico-ipam"}})) == ["ipam would change"]
    use_pod_cidr = {"type": "calico", "ipam": {"type": "host-local", "subnet": "usePodCidr"}}
    assert stranding(network(use_pod_cidr), network(use_pod_cidr)) == []


@pytest.mark.parametrize("odd", [
    {"plugins": []}, {"plugins": [{"type": "bridge", "ipam": 3}]}, {"plugins": [None, 5]}, {"type": "bridge", "ipam": {"ranges": [3]}},
])  # fmt: skip
def test_odd_files_are_no_reason_to_fail(odd):
    assert isinstance(stranding(odd, OLD), list) and isinstance(stranding(OLD, odd), list)

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Random runs one after the other: check mode tells the truth, a second run changes nothing, a refused or failed one
touches nothing, and when everything is taken away the node is as it was found. A seed that fails fails again."""

from __future__ import annotations

import random

import pytest
from testbed import Node, diff_dumps, program

PLUGINS = {"src": "/usr/lib/cni", "remote_src": True}
BASIC = ["bridge", "host-local", "loopback", "portmap"]
NAMES = ("kubenet", "mynet", "x.y-z")
BACKENDS = ("auto", "iptables", "iptables-nft", "iptables-legacy", "nftables")
OF_KUBELET = '-m comment --comment "kubenet: SNAT for outbound traffic from cluster" -m addrtype ! --dst-type LOCAL ! -d 10.0.0.0/8 -j MASQUERADE'


def pod_cidrs(r):
    ipv4, ipv6 = f"10.244.{r.randrange(1, 9)}.0/{r.choice([24, 25])}", f"fd00:10:244:{r.randrange(1, 9)}::/{r.choice([64, 80])}"
    return r.choice([[ipv4], [ipv6], [ipv4, ipv6], [ipv6, ipv4]])


def sometimes_absent(r, options):
    return {"state": "absent"} if r.random() < 0.2 else options


def network(r, name):
    plugins = [{"type": "bridge", "bridge": "cni7", "ipam": {"type": "host-local", "subnet": f"10.{90 + NAMES.index(name)}.0.0/16"}}]
    plugins += [{"type": "portmap", "capabilities": {"portMappings": True}}] if r.random() < 0.5 else []
    options = {"priority": r.randrange(100), "loopback": r.random() < 0.3, "mode": r.choice(["0600", "0644"]), "plugins": plugins}
    return {"name": name, **sometimes_absent(r, options)}


def bridge(r):
    options = {"pod_cidrs": pod_cidrs(r), "hairpin_mode": r.choice(["hairpin-veth", "promiscuous-bridge", "none"])}
    options["mtu"] = r.choice(["auto", "auto", "1280", "1400", "1500", "9000"])
    if options["mtu"] == "auto":
        options |= {"mtu_from": r.choice(["smallest", "default_route"]), "mtu_overhead": r.choice([None, "20", "vxlan/ipv4", "calico/vxlan"])}
    return options | {"unmanaged": r.random() < 0.7, "txqueuelen": r.choice([500, 1000]), "force": r.random() < 0.2}


def masquerade(r):
    options = {"pod_cidrs": pod_cidrs(r), "non_masquerade_cidrs": r.choice([[], ["10.0.0.0/8", "fd00::/8"], ["0.0.0.0/0"], ["::/0"], ["ip-masq-agent"]])}
    options |= {"node_cidrs": r.choice([None, ["192.0.2.88", "2001:db8:0:1::88"]]), "adopt": r.choice([[], ["kubenet"]])}
    return options | {"backend": r.choice(BACKENDS), "accept_forwarded": r.random() < 0.5}


def sysctls(r):
    options = {"forwarding": r.choice([[], ["ipv4"], ["ipv6"], ["ipv4", "ipv6"]]), "bridge_nf": r.choice(["auto", "enabled", "enabled", "unmanaged"])}
    if options["bridge_nf"] != "unmanaged":
        options |= {"bridges": r.choice([None, ["cbr0"], ["br.9", "cbr0"], ["br-foreign"]]), "bridge_nf_call_ip6tables": r.random() < 0.5}
    return options


def parameters(r, service):
    params = {"cni_plugins": {**PLUGINS, **({"plugins": BASIC + r.sample(["tuning", "vlan", "ptp"], r.randrange(3))} if r.random() < 0.5 else {})}}
    if r.random() < 0.6:
        params["sysctl_bridge_nf"] = sometimes_absent(r, sysctls(r))
    if r.random() < 0.7:
        params["kubenet_bridge"] = {"name": r.choice(["cbr0", "br.9"]), **sometimes_absent(r, bridge(r))}
    if r.random() < 0.7:
        params["masquerade"] = sometimes_absent(r, masquerade(r))
    if r.random() < 0.3:
        params["boot_service"] = sometimes_absent(r, service)
    if r.random() < 0.5:
        params["networks"] = [network(r, name) for name in r.sample(NAMES, r.randrange(3))]
    return params


def furnish(node, r):
    """Things of others, among them some that bear our names."""
    node.add_foreign()
    if r.random() < 0.5:
        node.ip("link add cbr0 type bridge", f"link set cbr0 mtu {r.choice([1300, 1500])} up", "addr add 172.20.0.1/16 dev cbr0")
    if r.random() < 0.5:
        node.write("/etc/cni/net.d/10-kubenet.conflist", '{"cniVersion": "0.4.0", "name": "old", "plugins": [{"type": "ptp"}]}', 0o600)
    if r.random() < 0.5:
        node.write("/opt/cni/bin/bridge", "#!/bin/sh\nexit 1\n", 0o700)
    if r.random() < 0.5:
        node.run(["sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv4.conf.eth0.forwarding=0"])
    node.use_iptables(r.choice(["nft", "legacy"]))
    for variant in ("nft", "legacy"):
        if r.random() < 0.5:
            node.run(["sh", "-c", f"iptables-{variant} -t nat -{r.choice('AI')} POSTROUTING {OF_KUBELET}"])
        if r.random() < 0.5:
            node.run([f"iptables-{variant}", "-P", "FORWARD", "DROP"])


@pytest.mark.parametrize("seed", range(8))
def test_random_runs(seed):
    r = random.Random(seed)
    with Node() as node:
        furnish(node, r)
        found, changed, service = node.dump(), 0, program.send(node)
        for _step in range(4):
            params, before = parameters(r, service), node.dump()
            announced = node.module("node_network", params, check=True)
            assert not diff_dumps(before, node.dump()), "check mode touched the node"
            done = node.module("node_network", params)
            if done.get("failed"):
                assert announced.get("failed"), f"check mode did not foresee: {done['msg']}"
                assert not diff_dumps(before, node.dump()), done["msg"]
                continue
            assert announced["changes"] == done["changes"]
            assert not node.module("node_network", params)["changed"]
            changed += done["changed"]
        assert changed
        networks = [{"name": name, "state": "absent"} for name in NAMES]
        for bridge in ("cbr0", "br.9"):
            gone = node.module("kubenet_bridge", {"name": bridge, "state": "absent"})
            assert not gone.get("failed"), gone
        sections = {name: {"state": "absent"} for name in ("cni_plugins", "sysctl_bridge_nf", "masquerade", "boot_service")}
        for expected in (None, False):
            gone = node.module("node_network", {**sections, "networks": networks})
            assert not gone.get("failed"), gone
            assert expected is None or gone["changed"] is expected
        assert not diff_dumps(found, node.dump())

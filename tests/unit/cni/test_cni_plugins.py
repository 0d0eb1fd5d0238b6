# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules for plugins. Where a rule repeats a plugin's own, release 1.1.1 fails ADD or DEL on the same input."""

from __future__ import annotations

import datetime
import json

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import keys, model
from ansible_collections.kubenode.network.plugins.module_utils._cni.versions import SPEC_VERSIONS

IPAM = {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}]]}
DUAL = {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}], [{"subnet": "fd00:1::/64"}]]}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}


def bridge(**keys_):
    return {"type": "bridge", "ipam": IPAM, **keys_}


def hostlocal(**keys_):
    """A bridge with a host-local section of these keys."""
    return [{"type": "bridge", "ipam": {"type": "host-local", **keys_}}]


def ranges(*sets, **keys_):
    return hostlocal(ranges=list(sets), **keys_)


def said(plugins, **options):
    return [str(problem) for problem in model.check_plugins(plugins, **options)]


FULL = {
    "bridge": {
        "bridge": "cbr0",
        "isGateway": True,
        "isDefaultGateway": True,
        "forceAddress": False,
        "ipMasq": True,
        "ipMasqBackend": "nftables",
        "mtu": 1450,
        "hairpinMode": True,
        "promiscMode": False,
        "vlan": 100,
        "preserveDefaultVlan": False,
        "macspoofchk": True,
        "enabledad": True,
        "disableContainerInterface": False,
        "portIsolation": True,
        "args": {"cni": {"mac": "0a:58:0a:f4:01:05", "other": 1}, "x": 1},
        "capabilities": {"ips": True, "mac": True, "io.kubernetes.cri.pod-annotations": True, "someones": False},
        "dns": {"nameservers": ["10.96.0.10"], "domain": "cluster.local", "search": ["svc"], "options": ["ndots:5"]},
        "ipam": DUAL,
    },
    "ptp": {"ipMasq": True, "ipMasqBackend": "iptables", "mtu": 0, "ipam": IPAM},
    "macvlan": {"master": "eth0", "mode": "vepa", "mtu": 1400, "mac": "0a-58-0a-f4-01-05", "bcqueuelen": 1000, "linkInContainer": True},
    "ipvlan": {"master": "eth0", "mode": "l3s", "mtu": 1400, "linkInContainer": False, "ipam": IPAM},
    "vlan": {"master": "eth0", "vlanId": 5, "mtu": 1400, "linkInContainer": False, "ipam": IPAM},
    "host-device": {"device": "eth1", "hwaddr": "0a:58:0a:f4:01:05", "kernelpath": "/sys/devices/pci0000:00/x", "pciBusID": "0000:00:1f.6"},
    "tap": {"multiQueue": True, "mtu": 1400, "mac": "0a:58:0a:f4:01:05", "owner": 0, "group": 0, "selinuxContext": "x", "bridge": "br0"},
    "portmap": {
        "snat": False,
        "masqAll": True,
        "markMasqBit": 31,
        "conditionsV4": ["ip", "saddr", "!=", "192.0.2.0/24"],
        "conditionsV6": [],
        "backend": "nftables",
        "capabilities": {"portMappings": True},
    },
    "bandwidth": {"ingressRate": 8, "ingressBurst": 16, "egressRate": 10**9, "egressBurst": 34359738359, "shapedSubnets": ["10.0.0.0/8"]},
    "firewall": {"backend": "firewalld", "iptablesAdminChainName": "x" * 28, "firewalldZone": "trusted", "ingressPolicy": "isolated"},
    "tuning": {
        "sysctl": {"net.core.somaxconn": "512", "net/ipv4/conf/IFNAME/arp_notify": "1"},
        "mac": "0a:58:0a:f4:01:05",
        "mtu": 1400,
        "promisc": True,
        "allmulti": False,
        "txQLen": 0,
        "dataDir": "/run/x",
    },
    "sbr": {"table": 100},
    "vrf": {"vrfname": "blue", "table": 10},
}


@pytest.mark.parametrize("name", sorted(FULL))
def test_every_documented_key_passes(name):
    plugin = {"type": name, **FULL[name]}
    chained = keys.PLUGINS[name].role == keys.CHAINED
    assert said([bridge(), plugin] if chained else [plugin], cni_version="1.1.0") == []


@pytest.mark.parametrize(
    "ipam",
    [
        {"type": "host-local", "subnet": "10.1.0.0/16", "rangeStart": "10.1.2.3", "rangeEnd": "10.1.2.9", "gateway": "10.1.255.254"},
        {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/30"}]], "dataDir": "/run/x", "resolvConf": "/etc/resolv.conf"},
        {"type": "host-local", "ranges": [[{"subnet": "fd00::/126", "rangeEnd": "fd00::3"}]]},
        {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}, {"subnet": "10.1.1.0/24"}]]},
        # One subnet, two sets that share nothing.
        {
            "type": "host-local",
            "ranges": [
                [{"subnet": "10.1.0.0/24", "rangeEnd": "10.1.0.99"}],
                [{"subnet": "10.1.0.0/24", "rangeStart": "10.1.0.100"}],
            ],
        },
        {
            **IPAM,
            "routes": [
                {"dst": "0.0.0.0/0"},
                {"dst": "10.0.0.0/8", "gw": "10.244.1.9", "mtu": 1400, "advmss": 1360, "priority": 5, "table": 7, "scope": 0},
                # Several gateways make one multipath route.
                {"dst": "10.0.0.0/8", "gw": "10.244.1.8", "priority": 5, "table": 7},
            ],
        },
        {**DUAL, "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "gw": "fe80::1"}]},
        {"type": "static", "addresses": [{"address": "10.8.0.5/24", "gateway": "10.8.0.1"}], "routes": [], "dns": {"domain": "x"}},
        {"type": "dhcp", "daemonSocketPath": "/run/d", "request": [{"option": "x", "skipDefault": True}], "provide": [], "priority": 3},
        {"type": "whereabouts", "range": 5, "routes": "all"},
        {},
    ],
)
def test_good_ipam(ipam):
    assert said([{"type": "bridge", "ipam": ipam}], cni_version="1.0.0") == []


@pytest.mark.parametrize(
    ("plugins", "options"),
    [
        ([{"type": "loopback"}], {"single": True, "cni_version": "0.2.0"}),
        ([{"type": "dummy", "ipam": IPAM}, {"type": "tuning"}], {}),
        ([bridge(isDefaultGateway=True, ipMasq=True, hairpinMode=True, ipam=DUAL), PORTMAP], {"cni_version": "0.4.0"}),
        ([bridge(isDefaultGateway=True, ipam={**IPAM, "routes": [{"dst": "0.0.0.0/0", "gw": "10.244.1.1"}]})], {}),
        # The default route of the other family is not the one that isDefaultGateway adds.
        ([bridge(isDefaultGateway=True, ipam={**IPAM, "routes": [{"dst": "::/0"}]})], {}),
        ([bridge(isDefaultGateway=False, ipam={**IPAM, "routes": [{"dst": "0.0.0.0/0"}]})], {}),
        ([bridge(hairpinMode=True, promiscMode=False), PORTMAP], {}),
        ([bridge(vlanTrunk=[{"id": 10}, {"minID": 20, "maxID": 20}])], {}),
        ([{"type": "bridge", "disableContainerInterface": True, "ipam": {}}], {}),
        # The runtime brings the addresses.
        ([{"type": "bridge", "capabilities": {"ipRanges": True}, "ipam": {"type": "host-local"}}], {}),
        ([{"type": "bridge", "capabilities": {"ips": True}, "ipam": {"type": "static"}}], {}),
        ([{"type": "bridge", "args": {"cni": {"ips": ["10.0.0.5/24"]}}, "ipam": {"type": "static"}}], {}),
        ([{"type": "host-device", "capabilities": {"deviceID": True}}], {}),
        ([bridge(), {"type": "ipvlan"}], {}),
        (
            [
                bridge(
                    forceAddress=True,
                    isGateway=True,
                    ipam={"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/24"}]]},
                )
            ],
            {},
        ),
        ([bridge(isGateway=True, ipam={"type": "host-local", "ranges": [[{"subnet": "fd00:1::/64"}], [{"subnet": "fd00:2::/64"}]]})], {}),
        ([bridge(mtu=1280, ipam=DUAL)], {}),
        ([bridge(), {"type": "bandwidth", "ingressRate": 0, "ingressBurst": 0}], {"cni_version": "0.3.0"}),
        ([{"type": "flannel", "delegate": {"mtu": "any"}, "ipam": {"subnet": 5}}], {}),
        ([{"type": "calico", "nodename": None, "ipam": {"type": "host-local", "subnet": "usePodCidr"}}, PORTMAP], {}),
    ],
)
def test_good(plugins, options):
    assert said(plugins, **options) == []


HOST = '(expected e.g. {"type": "host-local", ...})'
NAME = "(expected the name of a plugin's binary, such as bridge)"


@pytest.mark.parametrize(
    ("plugins", "messages"),
    [
        ({"type": "bridge"}, ['plugins: {"type": "bridge"} is not a list (expected a list of plugins)']),
        ([], ["plugins: [] is empty (expected at least one plugin)"]),
        (["bridge"], ['plugins[0]: \'bridge\' is not an object (expected e.g. {"type": "bridge", ...})']),
        ([{"mtu": 5}], [f"plugins[0].type: missing {NAME}"]),
        ([{"type": ""}], [f"plugins[0].type: '' is not a plugin type {NAME}"]),
        ([{"type": "../bridge"}], [f"plugins[0].type: '../bridge' is not a plugin type {NAME}"]),
        ([{"type": 5}], [f"plugins[0].type: 5 is not a plugin type {NAME}"]),
        ([{"type": "host-local"}], ["plugins[0].type: 'host-local' is an IPAM plugin (expected it as the type of an ipam section)"]),
        (
            [bridge(), {"type": "ptp", "ipam": IPAM}],
            ["plugins[1].type: 'ptp' makes the pod's interface again, after bridge (expected a chained plugin)"],
        ),
        (
            [bridge(hairpin_mode=True)],
            ["plugins[0].hairpin_mode: 'hairpin_mode' is not a key of bridge (expected hairpinMode?)"],
        ),
        ([bridge(MTU=1500)], ["plugins[0].MTU: 'MTU' is not a key of bridge (expected mtu?)"]),
        (
            [bridge(), {**PORTMAP, "zzz": 1}],
            [
                (
                    "plugins[1].zzz: 'zzz' is not a key of portmap (expected args, backend, capabilities, conditionsV4, conditionsV6, "
                    "externalSetMarkChain, markMasqBit, masqAll, snat or type)"
                )
            ],
        ),
        (
            [bridge(ipam={**IPAM, "subnets": "10.0.0.0/8"})],
            ["plugins[0].ipam.subnets: 'subnets' is not a key of host-local (expected subnet?)"],
        ),
        ([bridge(isGateway="true")], ["plugins[0].isGateway: 'true' is not a boolean (expected true or false)"]),
        ([bridge(isGateway=1)], ["plugins[0].isGateway: 1 is not a boolean (expected true or false)"]),
        ([bridge(isGateway=None)], ["plugins[0].isGateway: null is not a boolean (expected true or false)"]),
        ([bridge(mtu="1500")], ["plugins[0].mtu: '1500' is not an integer (expected 0 or 68..65535)"]),
        ([bridge(mtu=1500.0)], ["plugins[0].mtu: 1500.0 is not an integer (expected 0 or 68..65535)"]),
        ([bridge(mtu=True)], ["plugins[0].mtu: true is not an integer (expected 0 or 68..65535)"]),
        ([bridge(mtu=67)], ["plugins[0].mtu: 67 is out of range (expected 0 or 68..65535)"]),
        ([bridge(mtu=65536)], ["plugins[0].mtu: 65536 is out of range (expected 0 or 68..65535)"]),
        ([bridge(mtu=-1)], ["plugins[0].mtu: -1 is out of range (expected 0 or 68..65535)"]),
        ([bridge(vlan=4095)], ["plugins[0].vlan: 4095 is out of range (expected 0..4094)"]),
        (
            [bridge(bridge="a-name-too-long0")],
            [
                (
                    "plugins[0].bridge: 'a-name-too-long0' is not usable (expected an interface name of 1 to 15 characters "
                    "without /, :, % and white space, other than lo)"
                )
            ],
        ),
        (
            [bridge(hairpinMode=True, promiscMode=True)],
            ["plugins[0].promiscMode: true cannot be combined with hairpinMode: true (expected only one of the two)"],
        ),
        (
            [bridge(vlan=5, vlanTrunk=[{"id": 7}])],
            ['plugins[0].vlanTrunk: [{"id": 7}] cannot be combined with vlan: 5 (expected only one of the two)'],
        ),
        (
            [{"type": "bridge", "disableContainerInterface": True, "ipam": {"type": "x"}}],
            ['plugins[0].ipam: {"type": "x"} cannot be combined with disableContainerInterface: true (expected only one of the two)'],
        ),
        (
            [bridge(vlan=100, isGateway=True, bridge="a-long-name0")],
            ["plugins[0].bridge: 'a-long-name0' makes the gateway interface 'a-long-name0.100' (expected at most 15 bytes)"],
        ),
        (
            [bridge(vlanTrunk=[{"minID": 20}, {"minID": 9, "maxID": 8}, {"id": 0}])],
            [
                "plugins[0].vlanTrunk[0].maxID: null beside minID: 20 (expected both or neither)",
                "plugins[0].vlanTrunk[1].maxID: 8 is below minID: 9 (expected 9 or more)",
                "plugins[0].vlanTrunk[2].id: 0 is out of range (expected 1..4094)",
            ],
        ),
        ([bridge(ipMasqBackend="nft")], ["plugins[0].ipMasqBackend: 'nft' is not known (expected iptables or nftables)"]),
        (
            [bridge(args={"cni": {"mac": "01:00:5e:00:00:01"}})],
            ["plugins[0].args.cni.mac: '01:00:5e:00:00:01' is not usable (expected a unicast MAC address such as 0a:58:0a:f4:01:05)"],
        ),
        (
            [bridge(dns={"nameservers": "1.1.1.1"})],
            ['plugins[0].dns.nameservers: \'1.1.1.1\' is not a list (expected a list of strings such as ["a", "b"])'],
        ),
        (
            [bridge(capabilities={"portMapping": True, "x": "true"})],
            [
                "plugins[0].capabilities.portMapping: 'portMapping' is not a capability (expected portMappings?)",
                "plugins[0].capabilities.x: 'true' is not a boolean (expected true or false)",
            ],
        ),
        ([bridge(capabilities=["ips"])], ['plugins[0].capabilities: ["ips"] is not an object (expected such as {"portMappings": true})']),
        ([bridge(), {**PORTMAP, "markMasqBit": 32}], ["plugins[1].markMasqBit: 32 is out of range (expected 0..31)"]),
        (
            [bridge(), {**PORTMAP, "externalSetMarkChain": "KUBE-MARK-MASQ", "markMasqBit": 0}],
            ["plugins[1].markMasqBit: 0 cannot be combined with externalSetMarkChain: 'KUBE-MARK-MASQ' (expected only one of the two)"],
        ),
        (
            [bridge(), {**PORTMAP, "externalSetMarkChain": "K", "backend": "nftables"}],
            ["plugins[1].externalSetMarkChain: 'K' cannot be combined with backend: 'nftables' (expected only one of the two)"],
        ),
        (
            [bridge(), {**PORTMAP, "externalSetMarkChain": "x" * 29}],
            [
                (
                    f"plugins[1].externalSetMarkChain: '{'x' * 29}' is not usable "
                    "(expected the name of an iptables chain, at most 28 characters)"
                )
            ],
        ),
        (
            [bridge(), {**PORTMAP, "conditionsV4": "-s"}],
            ['plugins[1].conditionsV4: \'-s\' is not a list (expected a list of strings such as ["a", "b"])'],
        ),
        (
            [bridge(), {"type": "bandwidth", "ingressRate": 1000, "egressBurst": 1000}],
            [
                "plugins[1].ingressBurst: null beside ingressRate: 1000 (expected both or neither)",
                "plugins[1].egressRate: null beside egressBurst: 1000 (expected both or neither)",
            ],
        ),
        (
            [bridge(), {"type": "bandwidth", "ingressRate": 1000, "ingressBurst": 0}],
            ["plugins[1].ingressBurst: 0 beside ingressRate: 1000 (expected both or neither)"],
        ),
        (
            [bridge(), {"type": "bandwidth", "ingressRate": 7, "ingressBurst": 34359738360}],
            [
                "plugins[1].ingressRate: 7 is out of range (expected 0 or 8..18446744073709551615)",
                "plugins[1].ingressBurst: 34359738360 is out of range (expected 0 or 8..34359738359)",
            ],
        ),
        (
            [bridge(), {"type": "bandwidth", "egressRate": 10**9, "egressBurst": 80}],
            ["plugins[1].egressBurst: 80 makes an empty bucket with egressRate: 1000000000 (expected a larger burst or another rate)"],
        ),
        (
            [bridge(), {"type": "bandwidth", "ingressRate": 28, "ingressBurst": 8}],
            ["plugins[1].ingressBurst: 8 makes an empty bucket with ingressRate: 28 (expected a larger burst or another rate)"],
        ),
        (
            [bridge(), {"type": "firewall", "backend": "nftables"}],
            ["plugins[1].backend: 'nftables' is not known (expected iptables or firewalld)"],
        ),
        (
            [bridge(), {"type": "firewall", "ingressPolicy": "closed"}],
            ["plugins[1].ingressPolicy: 'closed' is not known (expected open, same-bridge or isolated)"],
        ),
        (
            [bridge(), {"type": "tuning", "sysctl": {"net.core.somaxconn": 512, "kernel.x": "1"}}],
            [
                "plugins[1].sysctl.net.core.somaxconn: 512 is not a string (expected a string)",
                "plugins[1].sysctl.kernel.x: 'kernel.x' is not usable (expected a sysctl below net., such as net.core.somaxconn)",
            ],
        ),
        (
            [bridge(), {"type": "tuning", "sysctl": {"net.a.b": "1", "net/a/b": "1"}}],
            ["plugins[1].sysctl.net/a/b: 'net/a/b' and 'net.a.b' are one sysctl (expected it once)"],
        ),
        ([{"type": "ptp"}], [f"plugins[0].ipam: missing, ptp fails without {HOST}"]),
        ([{"type": "ipvlan"}], [f"plugins[0].ipam: missing, ipvlan fails without {HOST}"]),
        ([{"type": "dummy", "ipam": {}}], [f"plugins[0].ipam: missing, dummy fails without {HOST}"]),
        (
            [{"type": "vlan", "ipam": IPAM}],
            ["plugins[0].master: missing in vlan"],
        ),
        ([{"type": "host-device"}], ["plugins[0]: none of device, hwaddr, kernelpath, pciBusID given (expected at least one)"]),
        ([{"type": "macvlan", "mode": "l2"}], ["plugins[0].mode: 'l2' is not known (expected bridge, private, vepa or passthru)"]),
        (
            [bridge(name="x", cniVersion="1.0.0")],
            [
                "plugins[0].name: 'x' would be overwritten by the network's own name (expected it there only)",
                "plugins[0].cniVersion: '1.0.0' would be overwritten by the network's own cniVersion (expected it there only)",
            ],
        ),
        (
            [{"type": "calico", "runtimeConfig": {}, "prevResult": None, "cni.dev/x": 1}],
            [
                "plugins[0].runtimeConfig: {} is reserved: the runtime writes it for each pod (expected capabilities, which ask for it)",
                "plugins[0].prevResult: null is reserved: the runtime writes it for each pod (expected not to be given)",
                "plugins[0].cni.dev/x: 1 is reserved: cni.dev/ keys pass between runtime and plugin (expected not to be given)",
            ],
        ),
        (
            [{"type": "calico", "a": [float("nan")], "b": {1: 2}, "c": datetime.date(2026, 1, 2)}],
            [
                "plugins[0].a[0]: nan cannot be written as JSON (expected a finite number)",
                "plugins[0].b.1: 1 is not a string (expected keys in quotes)",
                "plugins[0].c: datetime.date(2026, 1, 2) cannot be written as JSON (expected e.g. a string in quotes)",
            ],
        ),
    ],
)
def test_bad(plugins, messages):
    found = said(plugins)
    assert len(found) == len(messages), found
    for text, message in zip(found, messages):
        assert text.startswith(message)
        assert text == message or message.endswith("missing in vlan")


@pytest.mark.parametrize("name", ["portmap", "bandwidth", "firewall", "tuning", "sbr", "vrf"])
def test_a_chained_plugin_cannot_be_first(name):
    plugin = {"type": name, "vrfname": "blue"} if name == "vrf" else {"type": name}
    (text,) = said([plugin])
    assert text == (
        f"plugins[0].type: '{name}' cannot be first, it must be called as chained plugin "
        "(expected bridge, dummy, host-device, ipvlan, loopback, macvlan, ptp, tap or vlan before it)"
    )
    assert said([bridge(), plugin]) == []


def test_a_single_configuration_has_one_plugin():
    assert said([bridge(), PORTMAP], single=True) == ["plugins: 2 plugins in a single configuration (expected exactly one, or a list)"]
    assert said([bridge()], single=True) == []


def test_paths_start_where_told():
    assert said([{}], path="networks[2].plugins") == [f"networks[2].plugins[0].type: missing {NAME}"]


def test_problems_of_all_plugins_come_together():
    found = said([bridge(mtu="x", foo=1, ipam={"type": "host-local"}), {"type": "portmap", "snat": 1}, 5, {"type": "calico", "name": "x"}])
    assert [text.partition(": ")[0] for text in found] == [
        "plugins[0].mtu",
        "plugins[0].foo",
        "plugins[0].ipam.ranges",
        "plugins[1].snat",
        "plugins[2]",
        "plugins[3].name",
    ]


HOSTS = "is not a host of 10.1.2.0/24 (expected 10.1.2.1..10.1.2.254)"
CIDR = "is not a CIDR (expected e.g. 10.244.1.0/24)"
IP = "is not an IP address (expected e.g. 10.244.1.1 or fd00::1)"
R = {"subnet": "10.1.2.0/24"}


@pytest.mark.parametrize(
    ("plugins", "messages"),
    [
        ([bridge(ipam="host-local")], [f": 'host-local' is not an object {HOST}"]),
        (
            [bridge(ipam={"subnet": "x"})],
            [".type: missing, all of it would be ignored (expected the name of an IPAM plugin such as host-local)"],
        ),
        ([bridge(ipam={"type": 5})], [".type: 5 (expected the name of an IPAM plugin such as host-local)"]),
        ([bridge(ipam={"type": "portmap"})], [".type: 'portmap' is not an IPAM plugin (expected host-local, static or dhcp)"]),
        (hostlocal(), ['.ranges: missing (expected e.g. [[{"subnet": "10.244.1.0/24"}]])']),
        (hostlocal(ranges=[]), ['.ranges: missing (expected e.g. [[{"subnet": "10.244.1.0/24"}]])']),
        (hostlocal(ranges=[[]]), ['.ranges[0]: [] is too short (expected a list of ranges such as [{"subnet": "10.244.1.0/24"}])']),
        (
            hostlocal(ranges=[R]),
            ['.ranges[0]: {"subnet": "10.1.2.0/24"} is not a list (expected a list of ranges such as [{"subnet": "10.244.1.0/24"}])'],
        ),
        (
            hostlocal(ranges=R),
            [
                (
                    '.ranges: {"subnet": "10.1.2.0/24"} is not a list '
                    '(expected a list of lists of ranges such as [[{"subnet": "10.244.1.0/24"}]])'
                )
            ],
        ),
        (ranges([{"rangeStart": "10.1.2.3"}]), ['.ranges[0][0].subnet: missing in a range {"rangeStart": "10.1.2.3"} (expected a value)']),
        (
            ranges([R], gateway="10.1.2.1"),
            [".gateway: '10.1.2.1' without a subnet beside it has no effect (expected a subnet)"],
        ),
        (hostlocal(subnet="10.1.2.5/24"), [".subnet: '10.1.2.5/24' has host bits set (expected 10.1.2.0/24)"]),
        (ranges([{"subnet": "10.1.2.0"}]), [f".ranges[0][0].subnet: '10.1.2.0' {CIDR}"]),
        (ranges([{"subnet": "10.1.2.0/33"}]), [f".ranges[0][0].subnet: '10.1.2.0/33' {CIDR}"]),
        (ranges([{"subnet": "10.1.2.0/255.255.255.0"}]), [f".ranges[0][0].subnet: '10.1.2.0/255.255.255.0' {CIDR}"]),
        (ranges([{"subnet": "10.1.2.0/024"}]), [f".ranges[0][0].subnet: '10.1.2.0/024' {CIDR}"]),
        (ranges([{"subnet": "10.01.2.0/24"}]), [f".ranges[0][0].subnet: '10.01.2.0/24' {CIDR}"]),
        (ranges([{"subnet": "fe80::%eth0/64"}]), [f".ranges[0][0].subnet: 'fe80::%eth0/64' {CIDR}"]),
        (ranges([{"subnet": "::ffff:10.1.2.0/120"}]), [f".ranges[0][0].subnet: '::ffff:10.1.2.0/120' {CIDR}"]),
        (ranges([{"subnet": 5}]), [f".ranges[0][0].subnet: 5 {CIDR}"]),
        (
            ranges([{"subnet": "10.1.2.0/31"}]),
            [".ranges[0][0].subnet: '10.1.2.0/31' is too small to allocate from (expected /30 or shorter)"],
        ),
        (
            ranges([{"subnet": "fd00::/127"}]),
            [".ranges[0][0].subnet: 'fd00::/127' is too small to allocate from (expected /126 or shorter)"],
        ),
        (ranges([{**R, "rangeStart": "10.1.3.1"}]), [f".ranges[0][0].rangeStart: '10.1.3.1' {HOSTS}"]),
        (ranges([{**R, "rangeStart": "10.1.2.0"}]), [f".ranges[0][0].rangeStart: '10.1.2.0' {HOSTS}"]),
        (ranges([{**R, "rangeEnd": "10.1.2.255"}]), [f".ranges[0][0].rangeEnd: '10.1.2.255' {HOSTS}"]),
        (ranges([{**R, "rangeEnd": "fd00::1"}]), [f".ranges[0][0].rangeEnd: 'fd00::1' {HOSTS}"]),
        (ranges([{**R, "rangeEnd": 7}]), [f".ranges[0][0].rangeEnd: 7 {IP}"]),
        (
            ranges([{**R, "rangeStart": "10.1.2.9", "rangeEnd": "10.1.2.8"}]),
            [".ranges[0][0].rangeEnd: '10.1.2.8' is below rangeStart (expected 10.1.2.9 or above)"],
        ),
        (
            ranges([{**R, "rangeEnd": "10.1.2.1"}]),
            [".ranges[0][0].rangeEnd: '10.1.2.1' leaves only the gateway (expected another address)"],
        ),
        # host-local itself takes a gateway from anywhere and then gives .1 to a pod.
        (ranges([{**R, "gateway": "192.168.0.1"}]), [f".ranges[0][0].gateway: '192.168.0.1' {HOSTS}"]),
        (ranges([{**R, "gateway": "10.1.2.x"}]), [f".ranges[0][0].gateway: '10.1.2.x' {IP}"]),
        (
            ranges([R, {"subnet": "10.1.0.0/16", "gateway": "10.1.2.1"}]),
            [
                (
                    ".ranges[0][1].subnet: '10.1.0.0/16' (10.1.0.1-10.1.255.254) overlaps plugins[0].ipam.ranges[0][0] "
                    "(10.1.2.1-10.1.2.254) (expected apart)"
                )
            ],
        ),
        (
            ranges([R], [{**R, "rangeStart": "10.1.2.254"}]),
            [
                (
                    ".ranges[1][0].subnet: '10.1.2.0/24' (10.1.2.254-10.1.2.254) overlaps plugins[0].ipam.ranges[0][0] "
                    "(10.1.2.1-10.1.2.254) (expected apart)"
                )
            ],
        ),
        (
            ranges([R], subnet="10.1.2.0/24"),
            [".ranges[0][0].subnet: '10.1.2.0/24' (10.1.2.1-10.1.2.254) overlaps plugins[0].ipam (10.1.2.1-10.1.2.254) (expected apart)"],
        ),
        (
            ranges([R, {"subnet": "fd00::/64"}]),
            [".ranges[0][1].subnet: 'fd00::/64' is of another family than 10.1.2.0/24 in its set (expected IPv4, or a set of its own)"],
        ),
        (ranges([R], dataDir="x"), [".dataDir: 'x' is not usable (expected an absolute path)"]),
        (ranges([R], routes=["0.0.0.0/0"]), [".routes[0]: '0.0.0.0/0' is not an object (expected a route)"]),
        (ranges([R], routes=[{"gw": "10.1.2.1"}]), ['.routes[0].dst: missing in a route {"gw": "10.1.2.1"} (expected a value)']),
        (ranges([R], routes=[{"dst": "10.9.9.9/8"}]), [".routes[0].dst: '10.9.9.9/8' has host bits set (expected 10.0.0.0/8)"]),
        (ranges([R], routes=[{"dst": "default"}]), [f".routes[0].dst: 'default' {CIDR}"]),
        (
            ranges([R], routes=[{"dst": "10.0.0.0/8", "gw": "10.9.9.9"}]),
            [".routes[0].gw: '10.9.9.9' cannot be reached from the pod (expected an address of 10.1.2.0/24)"],
        ),
        (
            ranges([R], routes=[{"dst": "fd00::/8", "gw": "10.1.2.1"}]),
            [".routes[0].gw: '10.1.2.1' is of another family than dst (expected IPv6)"],
        ),
        (
            ranges([R], routes=[{"dst": "0.0.0.0/0"}, {"dst": "0.0.0.0/0", "gw": "10.1.2.1"}]),
            [".routes[1].dst: '0.0.0.0/0' is the same route as plugins[0].ipam.routes[0] (expected it once)"],
        ),
        (
            [bridge(ipam={"type": "static"})],
            ['.addresses: missing (expected e.g. [{"address": "10.244.1.5/24"}])'],
        ),
        (
            [bridge(ipam={"type": "static", "addresses": [{"address": "10.8.0.5"}]})],
            [".addresses[0].address: '10.8.0.5' is not a CIDR (expected e.g. 10.244.1.5/24)"],
        ),
        (
            [bridge(ipam={"type": "static", "addresses": [{"address": "10.8.0.5/24", "gateway": "10.9.0.1"}]})],
            [".addresses[0].gateway: '10.9.0.1' is not in the address's network (expected an address of 10.8.0.0/24)"],
        ),
    ],
)
def test_bad_ipam(plugins, messages):
    assert said(plugins) == [f"plugins[0].ipam{message}" for message in messages]


FILE_EXISTS = "without gw beside isDefaultGateway: true, which adds the same route (expected no such route, or one with gw)"


@pytest.mark.parametrize(
    ("ipam", "routes"),
    [
        (IPAM, [{"dst": "0.0.0.0/0"}]),
        (DUAL, [{"dst": "10.0.0.0/8"}, {"dst": "::/0"}]),
        ({"type": "static", "addresses": [{"address": "10.8.0.5/24"}]}, [{"dst": "0.0.0.0/0"}]),
        # The runtime brings the ranges.
        ({"type": "host-local"}, [{"dst": "0.0.0.0/0"}]),
    ],
)
def test_a_default_route_beside_is_default_gateway(ipam, routes):
    plugin = bridge(isDefaultGateway=True, ipam={**ipam, "routes": routes}, capabilities={"ipRanges": True})
    last = len(routes) - 1
    assert said([plugin]) == [f"plugins[0].ipam.routes[{last}].dst: '{routes[last]['dst']}' {FILE_EXISTS}"]


TWO = {"type": "host-local", "ranges": [[{"subnet": "10.1.0.0/24"}], [{"subnet": "10.2.0.0/24"}]]}
TWO_STATIC = {"type": "static", "addresses": [{"address": "10.1.0.5/24"}, {"address": "10.2.0.5/24"}]}


def test_two_addresses_of_a_family_beside_ipmasq():
    text = "beside ipMasq: true, so that no pod can be deleted (expected one)"
    assert said([bridge(ipMasq=True, ipam=TWO)]) == [f"plugins[0].ipam.ranges: 2 IPv4 range sets {text}"]
    assert said([bridge(ipMasq=True, ipam=TWO_STATIC)]) == [f"plugins[0].ipam.addresses: 2 IPv4 addresses {text}"]
    assert said([bridge(ipMasq=False, ipam=TWO)]) == []


@pytest.mark.parametrize("option", ["isGateway", "isDefaultGateway"])
@pytest.mark.parametrize(("ipam", "path"), [(TWO, "ranges[1][0].subnet"), (TWO_STATIC, "addresses[1].address")])
def test_two_ipv4_gateways_on_a_bridge(option, ipam, path):
    text = "'10.2.0.0/24' needs 10.2.0.1/24 on the bridge beside 10.1.0.1/24 (expected one IPv4 gateway, or isGateway: false)"
    assert said([bridge(**{option: True}, ipam=ipam)]) == [f"plugins[0].ipam.{path}: {text}"]
    assert said([{"type": "macvlan", "ipam": ipam}]) == []


@pytest.mark.parametrize("ipam", [DUAL, {**IPAM, "routes": [{"dst": "fd00:9::/64"}]}])
def test_an_mtu_too_small_for_ipv6(ipam):
    text = "plugins[0].mtu: 1279 is too small for IPv6, which plugins[0].ipam asks for (expected 1280 or more)"
    assert said([bridge(mtu=1279, ipam=ipam)]) == [text]
    assert said([bridge(mtu=1279)]) == []


@pytest.mark.parametrize(("name", "first"), [("firewall", "0.4.0"), ("bandwidth", "0.3.0"), ("vrf", "0.3.1"), ("portmap", "0.1.0")])
@pytest.mark.parametrize("version", SPEC_VERSIONS)
def test_the_oldest_version_a_plugin_speaks(name, first, version):
    plugin = {"type": name, "vrfname": "blue"} if name == "vrf" else {"type": name}
    text = f"plugins[1].type: '{name}' does not speak CNI {version} (expected a cniVersion of {first} or later)"
    too_old = SPEC_VERSIONS.index(version) < SPEC_VERSIONS.index(first)
    assert said([bridge(), plugin], cni_version=version) == ([text] if too_old else [])


@pytest.mark.parametrize("version", SPEC_VERSIONS)
def test_two_addresses_of_a_family_need_030(version):
    old = version in ("0.1.0", "0.2.0")
    text = f"at cniVersion {version} (expected one before 0.3.0)"
    assert said([bridge(ipam=TWO)], cni_version=version) == ([f"plugins[0].ipam.ranges: 2 IPv4 range sets {text}"] if old else [])
    assert said([bridge(ipam=TWO_STATIC)], cni_version=version) == ([f"plugins[0].ipam.addresses: 2 IPv4 addresses {text}"] if old else [])
    assert said([bridge(ipam=DUAL)], cni_version=version) == []


def test_no_address_needs_030():
    text = f"plugins[0].ipam: missing, CNI 0.2.0 has no result without an address {HOST}"
    assert said([{"type": "bridge"}], cni_version="0.2.0") == [text]
    assert said([{"type": "bridge"}], cni_version="0.3.0") == []


def test_the_input_is_left_alone():
    plugins = [bridge(isDefaultGateway=True, ipam={**TWO, "routes": [{"dst": "0.0.0.0/0"}]}), PORTMAP, {"type": "calico"}]
    before = json.dumps(plugins)
    assert model.check_plugins(plugins)
    assert json.dumps(plugins) == before


@pytest.mark.parametrize("name", ["mynet", "a", "0", "k8s-pod-network", "A.b_c-d", "a."])
def test_good_name(name):
    assert model.check_name(name) == []


@pytest.mark.parametrize("name", ["", "a b", "-a", ".a", "_a", "a/b", "a\n", "\u00e9", "a:b", None, 5])
def test_bad_name(name):
    shown = {None: "null", 5: "5"}.get(name, repr(name))
    rule = "is not a network name (expected letters, digits, _, . and -, the first a letter or digit)"
    assert [str(problem) for problem in model.check_name(name)] == [f"name: {shown} {rule}"]


def test_plugin_types():
    assert model.plugin_types([bridge(), PORTMAP, {"type": "calico", "ipam": {"type": "calico-ipam"}}, {"type": "x", "ipam": {}}]) == [
        ("bridge", "plugins[0].type"),
        ("host-local", "plugins[0].ipam.type"),
        ("portmap", "plugins[1].type"),
        ("calico", "plugins[2].type"),
        ("calico-ipam", "plugins[2].ipam.type"),
        ("x", "plugins[3].type"),
    ]


def test_plugin_types_of_nonsense():
    assert model.plugin_types([5, {}, {"type": 5, "ipam": "x"}, {"type": "", "ipam": {"type": None}}]) == []


def test_the_table_says_of_every_key_when_it_came():
    releases = {key.since for plugin in keys.PLUGINS.values() for key in plugin.keys.keys.values()}
    assert "1.7.0" in releases and all(since == "" or len(since.split(".")) == 3 for since in releases)


CHECKED = [
    (name, key)
    for name, plugin in keys.PLUGINS.items()
    for key, described in plugin.keys.keys.items()
    if not isinstance(described.kind, keys.Anything)
]


@pytest.mark.parametrize(("name", "key"), CHECKED, ids=[".".join(pair) for pair in CHECKED])
def test_every_key_has_a_type(name, key):
    """Go takes null for "not given", so an option that ends up null would be lost without a word."""
    plugin = keys.PLUGINS[name]
    entry = {"type": name, key: None}
    plugins = {keys.IPAM: [bridge(ipam=entry)], keys.CHAINED: [bridge(), entry], keys.INTERFACE: [entry]}[plugin.role]
    path = {keys.IPAM: "plugins[0].ipam", keys.CHAINED: "plugins[1]", keys.INTERFACE: "plugins[0]"}[plugin.role]
    assert any(text.startswith(f"{path}.{key}: null is ") for text in said(plugins))


@pytest.mark.parametrize("key", ["mtu", "advmss", "priority", "table", "scope"])
def test_numbers_of_a_route(key):
    (text,) = said(ranges([R], routes=[{"dst": "10.0.0.0/8", key: -1}]))
    assert text.startswith(f"plugins[0].ipam.routes[0].{key}: -1 is out of range (expected 0..")


STATIC = {"address": "10.5.0.2/24", "gateway": "10.5.0.1"}


def test_every_address_of_ptp_comes_with_its_gateway():
    """Measured: `numerical result out of range` without."""
    addresses = [{"address": "10.5.0.2/24"}, {"address": "fd00:5::2/64", "gateway": "fd00:5::1"}]
    plugin = {"type": "ptp", "ipam": {"type": "static", "addresses": addresses}}
    text = "plugins[0].ipam.addresses[0].gateway: missing, ptp routes everything through it (expected the node's address on the link)"
    assert said([plugin]) == [text]
    assert said([{**plugin, "type": "bridge"}]) == []


def test_an_address_is_given_once():
    addresses = [STATIC, {"address": "10.5.0.3/24"}, STATIC]
    text = "plugins[0].ipam.addresses[2].address: '10.5.0.2/24' is that of plugins[0].ipam.addresses[0] (expected it once)"
    assert said([{"type": "macvlan", "ipam": {"type": "static", "addresses": addresses}}]) == [text]


@pytest.mark.parametrize("limits", [{"ingressRate": 10**6, "ingressBurst": 10**6}, {"capabilities": {"bandwidth": True}}])
def test_bandwidth_needs_an_interface_with_a_peer(limits):
    """Measured with macvlan: `container interface eth0 has no veth peer`."""
    plugins = [{"type": "macvlan", "ipam": IPAM}, {"type": "bandwidth", **limits}]
    text = "plugins[1].type: 'bandwidth' cannot shape the interface that macvlan makes, it has no peer (expected bridge or ptp before it)"
    assert said(plugins) == [text]
    assert said([{"type": "ptp", "ipam": IPAM}, plugins[1]]) == []
    assert said([plugins[0], {"type": "bandwidth"}]) == []


@pytest.mark.parametrize("dst, address", [("0.0.0.0/0", STATIC), ("::/0", {"address": "fd00:5::2/64", "gateway": "fd00:5::1"})])
def test_sbr_moves_no_default_route_without_a_gateway(dst, address):
    """Measured with 0.9.0 and 1.1.1: `one of Dst.IP, Src, or Gw must not be nil`."""

    def chain(address, route, **more):
        return [{"type": "bridge", **more, "ipam": {"type": "static", "addresses": [address], "routes": [route]}}, {"type": "sbr"}]

    bare = {"address": address["address"]}
    text = "plugins[0].ipam.routes[0].gw: missing, sbr cannot move a default route without (expected the gateway's address)"
    assert said(chain(bare, {"dst": dst})) == [text]
    assert said(chain(bare, {"dst": dst})[:1]) == []
    assert said(chain(address, {"dst": dst})) == []
    assert said(chain(bare, {"dst": dst, "gw": address["gateway"]})) == []
    assert said(chain(bare, {"dst": dst}, isGateway=True)) == []


SCOPE = "plugins[0].ipam.routes[0].scope: {} is too narrow for a destination {} (expected {} or less)"


@pytest.mark.parametrize(
    "gateway, scope, problem",
    [
        (True, 252, []),
        (True, 253, [SCOPE.format(253, "behind a gateway", 252)]),
        (True, 254, [SCOPE.format(254, "behind a gateway", 252)]),
        (False, 254, []),
        (False, 255, [SCOPE.format(255, "anywhere", 254)]),
    ],
)
@pytest.mark.parametrize("maker", ["address", "route", "bridge"])
def test_the_kernel_refuses_a_scope_that_is_narrower_than_the_gateways(maker, gateway, scope, problem):
    """Measured, IPv4: `network is unreachable` from 253 on behind a gateway, `invalid argument` at 255 without."""
    address, route, plugin = {"address": "10.5.0.2/24"}, {"dst": "172.16.0.0/12", "scope": scope}, {"type": "bridge"}
    if gateway:
        {"address": address, "route": route}.get(maker, {}).update({"gateway": "10.5.0.1"} if maker == "address" else {"gw": "10.5.0.1"})
        plugin["isGateway"] = maker == "bridge"
    assert said([{**plugin, "ipam": {"type": "static", "addresses": [address], "routes": [route]}}]) == problem


def test_a_scope_means_nothing_in_ipv6():
    routes = [{"dst": "fd77::/64", "scope": 255}]
    assert said(ranges([{"subnet": "fd00:1::/64"}], routes=routes)) == []


@pytest.mark.parametrize(
    "key, words, backend, problem",
    [
        ("conditionsV4", ["-s", "192.0.2.1"], None, ""),
        ("conditionsV4", ["!", "-s", "192.0.2.0/24"], "iptables", ""),
        ("conditionsV4", ["-m", "comment", "--comment", "not from 2001:db8::1"], None, ""),
        ("conditionsV6", ["ip6", "saddr", "!=", "2001:db8::/32"], "nftables", ""),
        ("conditionsV4", ["ip saddr 192.0.2.1"], "nftables", ""),
        ("conditionsV4", ["ip", "saddr", "192.0.2.1"], None, "V4: 'ip' is not for the iptables backend (expected an option such as -s first)"),
        ("conditionsV4", ["meta", "mark", "1"], "iptables", "V4: 'meta' is not for the iptables backend (expected an option such as -s first)"),
        ("conditionsV6", ["-s", "2001:db8::1"], "nftables", "V6: '-s' is not for backend: nftables (expected nft's words first)"),
        ("conditionsV4", ["! -s 192.0.2.1"], None, "V4[0]: '! -s 192.0.2.1' is one word for iptables (expected each word as an entry of its own)"),
        ("conditionsV4", ["-d", "2001:db8::1/64"], None, "V4: '2001:db8::1/64' is an IPv6 address (expected an IPv4 address)"),
        ("conditionsV6", ["ip", "daddr", "!=", "192.0.2.1"], "nftables", "V6: '192.0.2.1' is an IPv4 address (expected an IPv6 address)"),
    ],
)
def test_conditions_are_in_the_words_of_the_backend(key, words, backend, problem):
    """Each refusal measured with portmap 1.9.1."""
    entry = {**PORTMAP, key: words, **({"backend": backend} if backend else {})}
    assert said([bridge(), entry]) == ([f"plugins[1].conditions{problem}"] if problem else [])


def test_the_gateway_of_a_route_is_an_address():
    assert said(ranges([R], routes=[{"dst": "0.0.0.0/0", "gw": "x"}])) == [f"plugins[0].ipam.routes[0].gw: 'x' {IP}"]


def test_shaped_or_unshaped():
    (text,) = said([bridge(), {"type": "bandwidth", "shapedSubnets": ["10.0.0.0/8"], "unshapedSubnets": ["10.1.0.0/16"]}])
    assert text.startswith('plugins[1].unshapedSubnets: ["10.1.0.0/16"] cannot be combined with shapedSubnets: ')


def test_json_booleans_are_not_choices():
    assert said([bridge(), {**PORTMAP, "backend": True}]) == ["plugins[1].backend: true is not known (expected iptables or nftables)"]

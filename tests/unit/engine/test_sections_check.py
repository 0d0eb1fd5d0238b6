# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What each section says of its options by themselves. Nothing of the node is looked at."""

from __future__ import annotations

import builtins
import os
import subprocess

import pytest
from ansible_collections.kubenode.network.plugins.module_utils import _node
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError
from ansible_collections.kubenode.network.plugins.module_utils._sections import (
    bandwidth,
    boot_service,
    cni_plugins,
    kubenet_bridge,
    masquerade,
    networks,
    portmap,
    sysctl_bridge_nf,
)

HOST_LOCAL = {"type": "host-local", "subnet": "10.244.1.0/24"}
PTP = {"type": "ptp", "ipam": HOST_LOCAL}
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}

#: The least that each section needs when it is present.
LEAST = {
    cni_plugins: {"src": "/srv/plugins", "remote_src": True},
    sysctl_bridge_nf: {},
    kubenet_bridge: {"pod_cidrs": ["10.244.1.0/24"]},
    masquerade: {"pod_cidrs": ["10.244.1.0/24"], "cluster_cidrs": ["10.244.0.0/16"]},
    networks: {"name": "mynet", "plugins": [PTP]},
    portmap: {"network": "mynet"},
    bandwidth: {"network": "mynet"},
    boot_service: {"checksum": "0" * 64},
}
SECTIONS = sorted(LEAST, key=lambda section: section.NAME)


def options(section, **given):
    return {**{name: option.get("default") for name, option in section.OPTIONS.items()}, **given}


def check(section, **given):
    return [str(problem) for problem in untouched(section, options(section, **{**LEAST[section], **given}))]


def refuse(*arguments, **keywords):
    raise AssertionError(f"the check touches the node: {arguments}")


def untouched(section, given):
    """The section's check, with nothing to open and nothing to look at."""
    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((builtins, "open"), (os, "stat"), (os, "lstat"), (os, "listdir"), (os, "scandir"), (subprocess, "Popen")):
            patch.setattr(module, name, refuse)
        return section.check(given)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.NAME)
def test_the_least_is_enough(section):
    assert check(section) == []


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.NAME)
def test_absent_needs_no_more_than_a_name(section):
    named = {name: LEAST[section][name] for name in ("name", "network") if name in LEAST[section]}
    assert untouched(section, options(section, state="absent", **named)) == []


# Text for text

TEXTS = [
    (cni_plugins, {"src": None}, ["src: is required when state is present (expected a folder, an archive or a URL of plugin binaries, or package)"]),
    (cni_plugins, {"src": "plugins"}, ["src: 'plugins' is not usable (expected an absolute path without ..)"]),
    (cni_plugins, {"bin_dir": "/opt/../etc"}, ["bin_dir: '/opt/../etc' is not usable (expected an absolute path without ..)"]),
    (cni_plugins, {"bin_dir": "/"}, ["bin_dir: '/' is not usable (expected an absolute path without ..)"]),
    (cni_plugins, {"bin_dir": "opt", "state": "absent"}, ["bin_dir: 'opt' is not usable (expected an absolute path without ..)"]),
    (
        cni_plugins,
        {"remote_src": False},
        ["remote_src: is false, but the source was not brought to the node (expected the module to run by its action plugin)"],
    ),
    (
        cni_plugins,
        {"checksum": "sha256:abc"},
        ["checksum: 'sha256:abc' is not a checksum (expected sha256: and 64 or sha512: and 128 hexadecimal digits)"],
    ),
    (
        cni_plugins,
        {"plugins": ["bridge", "calico"]},
        [
            (
                "plugins[1]: 'calico' is not a reference plugin (expected some of bandwidth, bridge, dhcp, dummy, firewall, flannel, host-device, "
                "host-local, ipvlan, loopback, macvlan, portmap, ptp, sbr, static, tap, tuning, vlan, vrf)"
            )
        ],
    ),
    (kubenet_bridge, {"pod_cidrs": None}, ["pod_cidrs: is required when state is present (expected one or two CIDRs, e.g. 10.244.1.0/24)"]),
    (kubenet_bridge, {"pod_cidrs": []}, ["pod_cidrs: is required when state is present (expected one or two CIDRs, e.g. 10.244.1.0/24)"]),
    (kubenet_bridge, {"pod_cidrs": ["10.244.1.0/33"]}, ["pod_cidrs[0]: '10.244.1.0/33' is not a CIDR (expected e.g. 10.244.1.0/24)"]),
    (kubenet_bridge, {"pod_cidrs": ["10.244.1.7/24"]}, ["pod_cidrs[0]: '10.244.1.7/24' has host bits set (expected 10.244.1.0/24)"]),
    (kubenet_bridge, {"mtu": "67"}, ["mtu: '67' is not an MTU (expected auto or 68 to 65535)"]),
    (kubenet_bridge, {"mtu": "9" * 5000}, [f"mtu: '{'9' * 5000}' is not an MTU (expected auto or 68 to 65535)"]),
    (kubenet_bridge, {"mtu": "65536"}, ["mtu: '65536' is not an MTU (expected auto or 68 to 65535)"]),
    (kubenet_bridge, {"mtu": "-1500"}, ["mtu: '-1500' is not an MTU (expected auto or 68 to 65535)"]),
    (kubenet_bridge, {"mtu": "１５００"}, ["mtu: '１５００' is not an MTU (expected auto or 68 to 65535)"]),
    (kubenet_bridge, {"mtu": ""}, ["mtu: '' is not an MTU (expected auto or 68 to 65535)"]),
    (
        kubenet_bridge,
        {"mtu": "1279", "pod_cidrs": ["10.244.1.0/24", "fd00::/64"]},
        ["mtu: 1279 is too small for the IPv6 pod CIDR (expected at least 1280)"],
    ),
    (
        kubenet_bridge,
        {"name": "sixteen-letters-"},
        ["name: 'sixteen-letters-' is not an interface name (expected 1 to 15 characters without white space, / and :, and not all or default)"],
    ),
    (
        masquerade,
        {"pod_cidrs": None, "cluster_cidrs": None},
        [
            "pod_cidrs: is required when state is present (expected one or two CIDRs, e.g. 10.244.1.0/24)",
            (
                "non_masquerade_cidrs: is required unless cluster_cidrs is given (expected a list of CIDRs; an empty one masquerades everything "
                "outside the pod CIDRs)"
            ),
        ],
    ),
    (masquerade, {"cluster_cidrs": ["10.0.0.0"]}, ["cluster_cidrs[0]: '10.0.0.0' has no prefix length (expected e.g. 10.0.0.0/24)"]),
    (
        masquerade,
        {"non_masquerade_cidrs": ["10.0.0.0/8", "10.0.0.0/8"]},
        ["non_masquerade_cidrs[1]: '10.0.0.0/8' is given twice (expected only non_masquerade_cidrs[0])"],
    ),
    (
        networks,
        {"name": "-my"},
        ["name: '-my' is not a network name (expected letters, digits, _, . and -, the first a letter or digit)"],
    ),
    (networks, {"priority": 100}, ["priority: 100 is out of range (expected 0 to 99)"]),
    (networks, {"priority": -1}, ["priority: -1 is out of range (expected 0 to 99)"]),
    (networks, {"mode": "0666"}, ["mode: '0666' is not a mode for a CNI file (expected '0644' or '0600', with the quotation marks)"]),
    (networks, {"mode": "420"}, ["mode: '420' is not a mode for a CNI file (expected '0644' or '0600', with the quotation marks)"]),
    (networks, {"conf_dir": "net.d"}, ["conf_dir: 'net.d' is not usable (expected an absolute path without ..)"]),
    (networks, {"conf_dir": "/"}, ["conf_dir: '/' is not usable (expected an absolute path without ..)"]),
    (networks, {"bin_dirs": ["/opt/cni/bin", "/.."]}, ["bin_dirs[1]: '/..' is not usable (expected an absolute path without ..)"]),
    (
        networks,
        {"plugins": None},
        ["plugins: is required when state is present (expected a list of plugins, the first one of them bridge or the like)"],
    ),
    (
        networks,
        {"filename": "99-loopback.conf"},
        ["filename: '99-loopback.conf' is the name of the loopback file (expected another name; loopback=true writes that file)"],
    ),
    (
        networks,
        {"filename": "99-z.conflist", "loopback": True},
        ["loopback: true would put 99-loopback.conf before 99-z.conflist, where it becomes the pod network (expected a name before it)"],
    ),
    (networks, {"plugins": [PTP, PORTMAP], "filename": "10-x.conf"}, ["plugins: 2 plugins in a single configuration (expected exactly one, or a list)"]),
    (
        networks,
        {"plugins": [PORTMAP]},
        [
            (
                "plugins[0].type: 'portmap' cannot be first, it must be called as chained plugin (expected bridge, dummy, host-device, ipvlan, "
                "loopback, macvlan, ptp, tap or vlan before it)"
            )
        ],
    ),
    (
        portmap,
        {"network": ""},
        ["network: '' is not a network name (expected letters, digits, _, . and -, the first a letter or digit)"],
    ),
    (portmap, {"network": None}, ["network: is required unless filename is given (expected the name of a network)"]),
    (portmap, {"filename": "10-x.conf"}, ["filename: '10-x.conf' cannot be combined with network: 'mynet' (expected only one of the two)"]),
    (
        portmap,
        {"network": None, "filename": "../10-x.conf", "state": "absent"},
        [
            (
                "filename: '../10-x.conf' is not the name of a network's file (expected one in conf_dir that ends in .conf, .conflist or .json, "
                "without a path)"
            )
        ],
    ),
    (
        bandwidth,
        {"ingress_rate": "1Mi", "ingress_burst": "1M", "conf_dir": "x"},
        [
            "ingress_rate: '1Mi' is not a number of bits (expected a whole number such as 1000000, or 1M with K, M or G behind it)",
            "conf_dir: 'x' is not usable (expected an absolute path without ..)",
        ],
    ),
    (bandwidth, {"egress_burst": "1M"}, ["egress_rate: null beside egress_burst: 1000000 (expected both or neither)"]),
    (bandwidth, {"egress_rate": "7", "egress_burst": "1M"}, ["egress_rate: 7 is out of range (expected 0 or 8..18446744073709551615)"]),
    (bandwidth, {"ingress_rate": "1M", "ingress_burst": "35G"}, ["ingress_burst: 35000000000 is out of range (expected 0 or 8..34359738359)"]),
    (portmap, {"conf_dir": "../net.d"}, ["conf_dir: '../net.d' is not usable (expected an absolute path without ..)"]),
]


@pytest.mark.parametrize("section, given, expected", TEXTS, ids=[f"{row[0].NAME}-{index}" for index, row in enumerate(TEXTS)])
def test_what_is_wrong_is_told_in_these_words(section, given, expected):
    assert check(section, **given) == expected


def test_texts_are_one_line_each():
    assert not [text for _section, _given, texts in TEXTS for text in texts if "\n" in text]


# What is accepted, at the edges


@pytest.mark.parametrize(
    "section, given",
    [
        (cni_plugins, {"checksum": "sha256:" + "aF" * 32}),
        (cni_plugins, {"checksum": "sha512:" + "0" * 128}),
        (cni_plugins, {"plugins": ["bridge", "host-local"], "bin_dir": "/opt/cni/bin/"}),
        (kubenet_bridge, {"mtu": "68"}),
        (kubenet_bridge, {"mtu": "65535"}),
        (kubenet_bridge, {"mtu": "1280", "pod_cidrs": ["10.244.1.0/24", "fd00::/64"]}),
        (kubenet_bridge, {"mtu": "1279"}),
        (kubenet_bridge, {"name": "fifteen-letters"}),
        (masquerade, {"cluster_cidrs": None, "non_masquerade_cidrs": []}),
        (networks, {"priority": 0}),
        (networks, {"priority": 99}),
        (networks, {"priority": 99, "name": "a", "loopback": True}),
        (networks, {"mode": "600"}),
        (networks, {"mode": "0640"}),
        (networks, {"filename": "10-x.conf"}),
        (networks, {"cni_version": "0.4.0"}),
        (portmap, {"mark_masq_bit": 0}),
        (portmap, {"mark_masq_bit": 31}),
        (portmap, {"network": None, "filename": "10-x.json"}),
        (portmap, {"network": None, "filename": ".hidden.conf"}),
        (bandwidth, {"ingress_rate": "8", "ingress_burst": "17G"}),
        (bandwidth, {"egress_rate": "1000k", "egress_burst": "1M"}),
        (bandwidth, {"ingress_rate": "0", "ingress_burst": "0"}),
        (bandwidth, {"ingress_rate": "1M"}),
        *((bandwidth, {"egress_rate": rate}) for rate in ("0", "8", "63", "1000", "28", "10M", "100G", "1000000000000")),
    ],
)
def test_this_is_accepted(section, given):
    assert check(section, **given) == []


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "a/b", "a:b", "a%d", "brücke", "a\tb"])
def test_this_is_no_name_of_a_bridge(name):
    assert len(check(kubenet_bridge, name=name)) == 1
    assert len(check(kubenet_bridge, name=name, state="absent")) == 1


@pytest.mark.parametrize("name", ["", ".", "..", "a", "a.yaml", "a/b.conf", "/etc/cni/net.d/a.conf", "a\n.conf", "a\0.conf", "10-a.conflist~"])
def test_this_is_no_file_of_a_network(name):
    for state in ("present", "absent"):
        (problem,) = check(bandwidth, network=None, filename=name, state=state)
        assert problem.startswith("filename: ")


@pytest.mark.parametrize("text", ["", "-1", "+1", "1.5M", "1e6", " 1M", "1M ", "1m", "1Mi", "0x10", "\u0661", "True", "9" * 21])
def test_this_is_no_rate(text):
    (problem,) = check(bandwidth, egress_rate=text, egress_burst="1M")
    assert problem.startswith(f"egress_rate: {text!r} is not a number of bits")


@pytest.mark.parametrize("text", ["md5:" + "0" * 32, "0" * 64, "sha256:" + "0" * 63, "sha512:" + "0" * 64, "sha256:" + "g" * 64, "SHA256:" + "0" * 64, ""])
def test_this_is_no_checksum(text):
    assert len(check(cni_plugins, checksum=text)) == 1


@pytest.mark.parametrize("name", ["a/b.conflist", "..conflist", ".hidden.conflist", "a b.conflist", "a.txt", "a.json", "a", "x" * 200 + ".conflist"])
def test_this_is_no_file_name(name):
    problems = check(networks, filename=name)
    assert problems and all(problem.startswith("filename: ") for problem in problems)


def test_problems_are_told_together():
    problems = check(networks, name="!", priority=100, mode="7", conf_dir="x", plugins=[])
    assert [problem.split(":")[0] for problem in problems] == ["name", "conf_dir", "priority", "mode", "plugins"]


@pytest.mark.parametrize(
    "given, path",
    [
        ({"mark_masq_bit": 32}, "mark_masq_bit"),
        ({"mark_masq_bit": 3, "external_set_mark_chain": "KUBE-MARK-MASQ"}, "mark_masq_bit|external_set_mark_chain"),
    ],
)
def test_problems_of_the_portmap_entry_name_the_option(given, path):
    problems = check(portmap, **given)
    assert problems and all(problem.split(":")[0] in path.split("|") for problem in problems)
    assert not any("plugins[1]" in problem or "markMasqBit" in problem or "externalSetMarkChain" in problem for problem in problems)


# A whole node


def node(**given):
    params = {**dict.fromkeys(_node.argument_spec()), "force": False}
    for name, values in given.items():
        section = next(section for section in SECTIONS if name == section.NAME)
        params[name] = [options(networks, **one) for one in values] if section is networks else options(section, **values)
    return params


def test_the_sections_of_a_node_come_in_the_order_of_their_application():
    least = {section.NAME: LEAST[section] for section in SECTIONS if section not in (portmap, bandwidth, networks)}
    opened = _node.open_sections(node(**dict(reversed(least.items())), networks=[LEAST[networks], {**LEAST[networks], "name": "two"}]))
    assert [(section.NAME, path) for section, _options, path in opened] == [
        ("cni_plugins", "cni_plugins"),
        ("sysctl_bridge_nf", "sysctl_bridge_nf"),
        ("kubenet_bridge", "kubenet_bridge"),
        ("masquerade", "masquerade"),
        ("networks", "networks[0]"),
        ("networks", "networks[1]"),
        ("boot_service", "boot_service"),
    ]


def test_a_bridge_without_networks_has_kubenets():
    (_bridge, (section, network, path)) = _node.open_sections(node(kubenet_bridge={"pod_cidrs": ["10.244.1.0/24"], "mtu": "1450"}))
    assert (section, path, network["name"], networks.filename(network)) == (networks, "kubenet_bridge", "kubenet", "10-kubenet.conflist")
    assert [plugin["type"] for plugin in network["plugins"]] == ["bridge", "portmap"]
    assert network["plugins"][0]["mtu"] == 1450 and network["plugins"][0]["ipam"]["ranges"] == [[{"subnet": "10.244.1.0/24"}]]
    assert section.check(network) == []


def test_an_empty_list_of_networks_is_none():
    assert [section.NAME for section, _options, _path in _node.open_sections(node(kubenet_bridge={"pod_cidrs": ["10.244.1.0/24"]}, networks=[]))] == [
        "kubenet_bridge"
    ]


def test_families_are_taken_over_from_the_bridge():
    bridge = {"pod_cidrs": ["fd00::/64", "10.244.1.0/24"]}
    opened = {section.NAME: given for section, given, _path in _node.open_sections(node(kubenet_bridge=bridge, masquerade={}, sysctl_bridge_nf={}))}
    assert opened["masquerade"]["pod_cidrs"] == ["fd00::/64", "10.244.1.0/24"]
    assert opened["sysctl_bridge_nf"]["forwarding"] == ["ipv4", "ipv6"]
    given = node(kubenet_bridge=bridge, masquerade={"pod_cidrs": ["10.9.0.0/24"]}, sysctl_bridge_nf={"forwarding": ["ipv6"]})
    opened = {section.NAME: taken for section, taken, _path in _node.open_sections(given)}
    assert opened["masquerade"]["pod_cidrs"] == ["10.9.0.0/24"] and opened["sysctl_bridge_nf"]["forwarding"] == ["ipv6"]


def test_a_network_that_disagrees_with_the_bridge_is_refused_by_its_place():
    entry = {"type": "bridge", "bridge": "cbr0", "mtu": 9000}
    given = node(kubenet_bridge={"pod_cidrs": ["10.244.1.0/24"], "mtu": "1450"}, networks=[LEAST[networks], {"name": "b", "plugins": [entry]}])
    with pytest.raises(InputError) as caught:
        _node.open_sections(given)
    assert str(caught.value).startswith("networks[1].plugins[0].mtu: 9000 disagrees with kubenet_bridge.mtu, from which it would be 1450")


def test_ranges_of_a_wrong_type_on_the_bridge_are_a_problem():
    entry = {"type": "bridge", "bridge": "cbr0", "ipam": {"type": "host-local", "ranges": 5}}
    (_bridge, (section, network, _path)) = _node.open_sections(
        node(kubenet_bridge={"pod_cidrs": ["10.244.1.0/24"]}, networks=[{"name": "b", "plugins": [entry]}])
    )
    assert [problem.path for problem in section.check(network)] == ["plugins[0].ipam.ranges"]


def test_a_bridge_that_goes_lends_nothing():
    given = node(kubenet_bridge={"state": "absent"}, networks=[{"name": "b", "plugins": [{"type": "bridge", "bridge": "cbr0", "mtu": 9000}]}])
    assert _node.open_sections(given)[-1][1]["plugins"] == [{"type": "bridge", "bridge": "cbr0", "mtu": 9000}]


@pytest.mark.parametrize(("rate", "burst"), [(8, 1600), (10**6, 8 * 2**16), (10**7, 10**6), (10**10, 10**9), (10**12, 8 * (2**32 - 1) - 1)])
def test_a_burst_that_is_not_said(rate, burst):
    """A tenth of a second, at least what a host hands over at once; within what the plugin and the kernel take."""
    entry = bandwidth._entry(options(bandwidth, network="mynet", ingress_rate=str(rate)))
    assert entry == {"type": "bandwidth", "capabilities": {"bandwidth": True}, "ingressRate": rate, "ingressBurst": burst}

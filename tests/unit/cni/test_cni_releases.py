# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The release of a binary, and what it cannot know. tests/integration/test_versions.py has the same of real binaries."""

from __future__ import annotations

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import keys, model
from ansible_collections.kubenode.network.plugins.module_utils._cni.releases import Release, common, recognise

OLD = ["0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0"]
MIDDLE = [*OLD, "1.0.0"]
NEW = [*MIDDLE, "1.1.0"]
UNKNOWN = "CNI bridge plugin version unknown\n"


def tags_of(name, *more, without=()):
    """The keys that every release of the plugin decodes, and more."""
    oldest = {key for key, described in keys.PLUGINS[name].keys.keys.items() if not described.since and key != "args"}
    return (oldest | {"cniVersion", "mac", *more}) - set(without)


def interval(*asked):
    found = recognise(*asked)
    return found.first, found.before


@pytest.mark.parametrize(
    ("about", "expected"),
    [
        ("CNI bridge plugin v1.6.0\n", ("1.6.0", "1.6.1")),
        ("CNI bridge plugin v1.6.0\nCNI protocol versions supported: 0.1.0, 1.0.0\n", ("1.6.0", "1.6.1")),
        ("CNI none plugin v1.3.0\n", ("1.3.0", "1.3.1")),
        # A build of something in between is what its VERSION answer says.
        ("CNI bridge plugin v1.6.0-rc1\n", ("1.0.0", "1.6.0")),
        ("CNI bridge plugin v1.6.0-12-gabcdef\n", ("1.0.0", "1.6.0")),
        (UNKNOWN, ("1.0.0", "1.6.0")),
        ("", ("1.0.0", "1.6.0")),
    ],
)
def test_the_about_line(about, expected):
    assert interval("bridge", MIDDLE, about, ()) == expected


@pytest.mark.parametrize(
    ("versions", "expected"),
    [
        (["0.2.0", "0.3.1"], ("", "0.8.0")),
        (OLD, ("0.8.0", "1.0.0")),
        (MIDDLE, ("1.0.0", "1.6.0")),
        (NEW, ("1.6.0", "")),
        ([*NEW, "1.2.0", "nonsense"], ("1.6.0", "")),
        ([], ("", "")),
        (["nonsense"], ("", "")),
    ],
)
def test_the_version_answer(versions, expected):
    """cni.md 2.5."""
    assert interval("bridge", versions, UNKNOWN, ()) == expected


@pytest.mark.parametrize(
    ("name", "versions", "tags", "expected"),
    [
        ("bridge", MIDDLE, ("args", "cni"), ("1.0.0", "1.1.0")),
        ("bridge", MIDDLE, ("args", "cni", "macspoofchk", "enabledad"), ("1.1.0", "1.3.0")),
        ("bridge", OLD, ("vlan",), ("0.8.0", "1.0.0")),
        ("bridge", NEW, ("args", "cni", "macspoofchk", "enabledad", "preserveDefaultVlan", "vlanTrunk", "disableContainerInterface", "ipMasqBackend"),
         ("1.6.0", "1.7.0")),
        ("portmap", MIDDLE, ("masqAll",), ("1.2.0", "1.6.0")),
        ("bandwidth", MIDDLE, ("shapedSubnets", "unshapedSubnets"), ("1.5.0", "1.5.2")),
        ("bandwidth", MIDDLE, (), ("1.0.0", "1.6.0")),
        ("dummy", MIDDLE, (), ("1.2.0", "1.6.0")),
    ],
)  # fmt: skip
def test_the_keys_in_the_binary(name, versions, tags, expected):
    tags = tags_of(name, *(["vlan"] if name == "bridge" else []), *tags)
    assert interval(name, versions, UNKNOWN, tags) == expected
    assert recognise(name, versions, UNKNOWN, tags).known_keys == tags


def test_a_packed_or_foreign_binary_is_judged_by_its_version_answer_alone():
    assert recognise("bridge", MIDDLE, "", tags_of("bridge", without=["isGateway"])) == Release("1.0.0", "1.6.0")
    assert recognise("bridge", MIDDLE, "", ()) == Release("1.0.0", "1.6.0")


def test_keys_that_contradict_the_version_answer_say_nothing():
    assert recognise("bridge", OLD, "", tags_of("bridge", "vlan", "portIsolation")) == Release("0.8.0", "1.0.0")


def test_of_other_plugins_nothing_is_known():
    assert recognise("calico", NEW, "CNI calico plugin v3.2.1", {"x"}) == Release()
    assert model.check_releases([{"type": "calico", "portIsolation": True}], {"calico": Release()}) == []


@pytest.mark.parametrize(
    ("release", "text"),
    [
        (Release("1.6.0", "1.6.1"), "release 1.6.0"),
        (Release("1.1.0", "1.3.0"), "release 1.1.0 or newer, before 1.3.0"),
        (Release("1.7.0"), "release 1.7.0 or newer"),
        (Release("", "0.8.0"), "a release before 0.8.0"),
        (Release(), "an unknown release"),
    ],
)
def test_a_release_in_words(release, text):
    assert str(release) == text


BOOKWORM = Release("1.1.0", "1.3.0")
REFUSED = [
    (
        {"type": "bridge", "portIsolation": True},
        BOOKWORM,
        (
            "portIsolation: true is not known to the installed bridge, release 1.1.0 or newer, before 1.3.0"
            " (expected release 1.7.0 or newer, or the key left out)"
        ),
    ),
    (
        {"type": "bridge", "args": {"cni": {"mac": "0a:58:0a:f4:01:05"}}},
        Release("0.9.0", "1.0.0"),
        (
            "args.cni.mac: '0a:58:0a:f4:01:05' is not known to the"
            " installed bridge, release 0.9.0 or newer, before 1.0.0 (expected release 1.0.0 or newer, or the key left out)"
        ),
    ),
    (
        {"type": "portmap", "backend": "iptables"},
        BOOKWORM,
        (
            "backend: 'iptables' is not known to the installed portmap, release 1.1.0 or newer, before 1.3.0"
            " (expected release 1.6.0 or newer, or the key left out)"
        ),
    ),
    (
        {"type": "firewall", "ingressPolicy": "isolated"},
        Release("1.6.0", "1.7.0"),
        (
            "ingressPolicy: 'isolated' is not known to the installed firewall,"
            " release 1.6.0 or newer, before 1.7.0 (expected release 1.7.0 or newer, or open or same-bridge)"
        ),
    ),
    (
        {"type": "bandwidth", "shapedSubnets": ["10.0.0.0/8"]},
        Release("1.6.0"),
        (
            'shapedSubnets: ["10.0.0.0/8"] is not known to the installed bandwidth,'
            " release 1.6.0 or newer (expected release 1.5.0 to 1.5.1, or the key left out)"
        ),
    ),
    (
        {"type": "bandwidth", "shapedSubnets": []},
        Release("1.4.1", "1.4.2"),
        ("shapedSubnets: [] is not known to the installed bandwidth, release 1.4.1 (expected release 1.5.0 to 1.5.1, or the key left out)"),
    ),
    (
        {"type": "sbr", "table": 100},
        Release("1.0.0", "", frozenset({"cniVersion"})),
        ("table: 100 is not known to the installed sbr, release 1.0.0 or newer (expected release 1.6.0 or newer, or the key left out)"),
    ),
]


@pytest.mark.parametrize(("plugin", "release", "text"), REFUSED, ids=[text.split(":")[0] for _plugin, _release, text in REFUSED])
def test_pitfall_9_what_the_release_does_not_know_is_refused(plugin, release, text):
    assert [str(problem) for problem in model.check_releases([plugin], {plugin["type"]: release})] == [f"plugins[0].{text}"]


def test_keys_of_the_ipam_plugin_are_those_of_its_own_release():
    plugin = {"type": "bridge", "vlanTrunk": [{"id": 5}], "ipam": {"type": "host-local", "routes": [{"dst": "0.0.0.0/0"}, {"dst": "::/0", "mtu": 1400}]}}
    found = model.check_releases([{"type": "x"}, plugin], {"bridge": Release("1.7.0"), "host-local": BOOKWORM}, "networks[1].plugins")
    assert [problem.path for problem in found] == ["networks[1].plugins[1].ipam.routes[1].mtu"]


@pytest.mark.parametrize("release", [Release(), Release("1.1.0"), Release("1.7.0"), Release("1.7.0", "1.7.1"), Release("", "1.9.0")])
def test_what_cannot_be_decided_passes(release):
    plugins = [{"type": "bridge", "portIsolation": True, "ipam": {"type": "host-local"}}, {"type": "firewall", "ingressPolicy": "isolated"}]
    assert model.check_releases(plugins, dict.fromkeys(["bridge", "firewall", "host-local"], release)) == []
    assert model.check_releases(plugins, {}) == []


def test_nonsense_passes():
    """It is a problem of check_plugins already."""
    plugins = [5, None, {}, {"type": 5}, {"type": "bridge", "vlan": {}, "args": 1, "ipam": "x"}, {"type": "firewall", "ingressPolicy": ["isolated"]}]
    assert model.check_releases(plugins, {"bridge": Release("1.1.0", "1.1.1"), "firewall": Release("1.1.0", "1.1.1")}) == []
    assert model.doubts(plugins, {}) == []


NFTABLES = {"type": "portmap", "backend": "nftables"}


def test_pitfall_17_hostports_in_nftables_before_1_9_0_are_refused():
    text = "plugins[0].backend: 'nftables' captures forwarded traffic with the installed portmap, release 1.8.0: CVE-2025-67499"
    said = [str(problem) for problem in model.check_releases([NFTABLES], {"portmap": Release("1.8.0", "1.8.1")})]
    assert said == [f"{text} (expected release 1.9.0 or newer, or iptables)"]


@pytest.mark.parametrize(("release", "problems", "doubts"), [
    (Release("1.1.0", "1.3.0"), 1, 0),
    (Release("1.6.0", "1.9.0"), 1, 0),
    (Release("1.6.0"), 0, 1),
    (Release(), 0, 1),
    (Release("1.9.0"), 0, 0),
    (Release("1.9.1", "1.9.2"), 0, 0),
])  # fmt: skip
def test_pitfall_17_is_a_warning_where_the_release_is_not_known(release, problems, doubts):
    installed = {"portmap": release}
    assert (len(model.check_releases([NFTABLES], installed)), len(model.doubts([NFTABLES], installed))) == (problems, doubts)


DOUBTS = [
    (
        {**NFTABLES, "masqAll": True},
        Release("1.9.1", "1.9.2"),
        ("masqAll: true has no effect with backend: nftables up to release 1.9.1 (expected backend: iptables)"),
    ),
    (
        NFTABLES,
        Release("1.6.0"),
        (
            "backend: 'nftables' captures forwarded traffic before release 1.9.0 (CVE-2025-67499); the installed portmap is"
            " release 1.6.0 or newer (expected release 1.9.0 or newer)"
        ),
    ),
    (
        {"type": "portmap", "capabilities": {"portMappings": True}},
        Release("0.8.7", "0.8.8"),
        ("capabilities.portMappings: UDP host ports go on to pods that are gone with the installed portmap, release 0.8.7 (expected release 0.9.0 or newer)"),
    ),
    (
        {"type": "bridge", "vlan": 100},
        Release("1.3.0"),
        ("preserveDefaultVlan: missing beside vlan: 100, pods keep VLAN 1 up to release 1.7.1 and lose it from 1.8.0 on (expected true or false)"),
    ),
    (
        {"type": "bridge", "vlanTrunk": [{"id": 5}]},
        Release(),
        ('preserveDefaultVlan: missing beside vlanTrunk: [{"id": 5}], pods keep VLAN 1 up to release 1.7.1 and lose it from 1.8.0 on (expected true or false)'),
    ),
]


@pytest.mark.parametrize(("plugin", "release", "text"), DOUBTS, ids=[f"{text.split(':')[0]}, {release}" for _plugin, release, text in DOUBTS])
def test_what_may_go_wrong(plugin, release, text):
    assert [str(doubt) for doubt in model.doubts([plugin], {plugin["type"]: release})] == [f"plugins[0].{text}"]


@pytest.mark.parametrize(("plugin", "release"), [
    ({**NFTABLES, "masqAll": True}, Release("1.9.2")),
    ({"type": "portmap", "masqAll": True}, Release("1.6.0")),
    ({"type": "portmap", "capabilities": {"portMappings": True}}, Release("0.8.0", "1.0.0")),
    ({"type": "portmap", "capabilities": {"portMappings": False}}, Release("0.8.7", "0.8.8")),
    ({"type": "bridge", "vlan": 0}, Release("1.3.0")),
    ({"type": "bridge", "vlan": 100, "preserveDefaultVlan": True}, Release("1.3.0")),
    # It keeps VLAN 1 and does not know the key.
    ({"type": "bridge", "vlan": 100}, Release("1.1.0", "1.3.0")),
    ({"type": "bridge", "vlan": 100}, Release("1.1.0", "1.6.0", frozenset({"vlan"}))),
])  # fmt: skip
def test_what_goes_right(plugin, release):
    assert model.doubts([plugin], {plugin["type"]: release}) == []


@pytest.mark.parametrize("found, text", [
    ([Release("1.1.0", "1.3.0"), Release("1.0.0", "1.2.0"), Release()], "release 1.1.0 or newer, before 1.2.0"),
    ([Release("1.7.0"), Release("1.6.0")], "release 1.7.0 or newer"),
    ([Release("1.7.0"), Release("1.0.0", "1.6.0")], "an unknown release"),
    ([], "an unknown release"),
])  # fmt: skip
def test_what_several_binaries_of_one_release_tell(found, text):
    assert str(common(found)) == text

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Versions, releases and options of real plugins and runtimes (pitfalls 8, 9 and 17)."""

from __future__ import annotations

import json
import re
from functools import cache, partial

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import keys, kinds, releases
from ansible_collections.kubenode.network.plugins.module_utils._cni.versions import number
from ansible_collections.kubenode.network.plugins.module_utils._host import plugins
from hypothesis import given, settings
from hypothesis import strategies as st
from testbed import Node, proof
from testbed.programs import Program

SUITES = ["bullseye", "bookworm", "sid"]
IPAM = {"type": "host-local", "subnet": "10.244.0.0/16", "routes": [{"dst": "0.0.0.0/0"}]}
BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipam": IPAM}
CACHE = "/run/kubenode-network/plugins.json"
#: Keys that the runtime, the IPAM plugin or any plugin reads, whatever the release.
SHARED = {"type", "capabilities", "args", "ipam", "dns"}


def plugin_folder(suite):
    return Program("cni-plugins", suite).cni_bin


def true_release(suite):
    return Program("cni-plugins", suite).version


@cache
def probe(suite, name):
    return plugins.probe_reference(str(plugin_folder(suite) / name))


@cache
def recognised(suite, name):
    found = probe(suite, name)
    return releases.recognise(name, found.versions, found.about, found.tags)


def there(suite):
    return [name for name in keys.PLUGINS if (plugin_folder(suite) / name).exists()]


def _inside(wrap, name, value):
    return wrap({name: value})


def walk(kind, words=(), wrap=lambda value: value):
    """Every key of the table: the keys on the way, the key, and a function that puts a value there."""
    if isinstance(kind, kinds.Object):
        for name, key in kind.keys.items():
            inner = partial(_inside, wrap, name)
            yield (*words, name), key, inner
            yield from walk(key.kind, (*words, name), inner)
    elif isinstance(kind, kinds.List):
        yield from walk(kind.of, words, lambda value: wrap([value]))


def own_keys(name):
    return [found for found in walk(keys.PLUGINS[name].keys) if found[0][0] not in SHARED or (found[1].since and found[0][0] == "args")]


def test_the_programs_are_those_that_are_meant():
    assert [true_release(suite) for suite in SUITES[:2]] == ["0.9.0", "1.1.1"]
    assert number(true_release("sid")) >= number("1.9.1")


@pytest.mark.parametrize("suite", SUITES)
def test_the_table_says_of_each_key_what_the_binary_says(suite):
    """A key's ``since`` and ``until`` hold exactly where its tag is in the binary."""
    wrong, release, seen = [], number(true_release(suite)), 0
    for name in there(suite):
        since = {(): ""}
        for words, key, _wrap in own_keys(name):
            since[words] = max(key.since, since.get(words[:-1], ""), key=lambda text: number(text or "0.0.0"))
            known = release >= number(since[words] or "0.0.0") and not (key.until and release > number(key.until))
            seen += 1
            if known != probe(suite, name).tags.issuperset(words):
                wrong.append((name, *words))
    assert not wrong and seen > 80


@pytest.mark.parametrize("suite", SUITES)
def test_a_plugin_that_is_asked_for_nothing_names_the_versions_of_its_answer(suite):
    for name in there(suite):
        assert probe(suite, name).versions == plugins.probe(str(plugin_folder(suite) / name)).versions, name


@pytest.mark.parametrize("suite", SUITES)
def test_the_release_of_each_plugin_is_recognised(suite):
    release = number(true_release(suite))
    for name in there(suite):
        found = recognised(suite, name)
        assert number(found.first) <= release and (not found.before or release < number(found.before)), (name, str(found))


def test_how_narrowly_a_release_is_recognised():
    """Debian builds its plugins without the number."""
    assert "version unknown" in probe("bookworm", "bridge").about
    said = {suite: {name: str(recognised(suite, name)) for name in ("bridge", "firewall", "portmap", "host-local")} for suite in SUITES}
    assert said == {
        "bullseye": dict.fromkeys(said["sid"], "release 0.8.0 or newer, before 1.0.0") | {"bridge": "release 0.8.0 or newer, before 1.0.0"},
        "bookworm": {
            "bridge": "release 1.1.0 or newer, before 1.3.0",
            "firewall": "release 1.1.0 or newer, before 1.6.0",
            "portmap": "release 1.0.0 or newer, before 1.2.0",
            "host-local": "release 1.0.0 or newer, before 1.6.0",
        },
        "sid": {
            "bridge": "release 1.7.0 or newer",
            "firewall": "release 1.6.0 or newer",
            "portmap": "release 1.6.0 or newer",
            "host-local": "release 1.6.0 or newer",
        },
    }


def decodes(node, suite, name, part):
    """Whether the real plugin stumbles over a value of a wrong type. Such keys it reads; others it passes over."""
    role = keys.PLUGINS[name].role
    config = {"cniVersion": "0.4.0", "name": "x", **({"ipam": {"type": name, **part}} if role == keys.IPAM else {"type": name, **part})}
    env = {
        "CNI_COMMAND": "ADD" if name == "static" else "DEL",  # static's DEL reads nothing
        "CNI_CONTAINERID": "c", "CNI_NETNS": "/run/netns/p", "CNI_IFNAME": "eth0", "CNI_PATH": str(plugin_folder(suite)),
    }  # fmt: skip
    said = node.run([str(plugin_folder(suite) / name)], input=json.dumps(config), env=env, check=False).stdout
    return bool(re.search("cannot unmarshal|invalid CIDR|expected a string", said))


@pytest.mark.parametrize("suite", SUITES)
def test_pitfall_9_an_option_is_refused_exactly_when_the_plugin_would_pass_over_it(node, suite):
    node.run(["mkdir", "-p", "/run/netns"])
    node.run(["ip", "netns", "add", "p"])
    wrong, refused = [], 0
    for name in there(suite):
        for words, key, wrap in own_keys(name):
            part = wrap("x" if isinstance(key.kind, (kinds.Object, kinds.Map)) else {"x": 1})
            accepted = not list(releases.check_plugin(name, part, recognised(suite, name), name))
            refused += not accepted
            if accepted != decodes(node, suite, name, part):
                wrong.append((name, *words))
    assert not wrong and refused > 1


@pytest.mark.parametrize("suite", SUITES)
def test_whatever_is_accepted_for_a_binary_is_in_it(suite):
    """Any combination of keys: a problem for each that the binary lacks, and no other."""
    table = {name: own_keys(name) for name in there(suite)}

    @settings(max_examples=200, deadline=None, database=None)
    @given(st.data())
    def check(data):
        name = data.draw(st.sampled_from(sorted(name for name in table if table[name])))
        chosen = data.draw(st.lists(st.sampled_from(range(len(table[name]))), unique=True, max_size=6))
        picked = {table[name][index][0][0]: table[name][index] for index in chosen}
        part = {key: value for words, _key, wrap in picked.values() for key, value in wrap(1).items()}
        found = {problem.path for problem in releases.check_plugin(name, part, recognised(suite, name), "p")}
        lacking = {words[0] for words, _key, _wrap in picked.values() if not probe(suite, name).tags.issuperset(words)}
        assert {re.split(r"[.[]", path)[1] for path in found} == lacking

    check()


# The modules


@pytest.fixture
def sid_node(node):
    node.install_plugins(str(plugin_folder("sid")))
    return node


def config(node, **options):
    return node.module("cni_config", {"name": "mynet", "plugins": [BRIDGE], **options})


def runtime(suite):
    """Environment in which this containerd is the node's."""
    return {"PATH": f"{Program('containerd', suite).folder}/usr/bin:/usr/sbin:/usr/bin"}


def test_pitfall_9_an_option_newer_than_the_installed_release_is_refused(plugin_node):
    node = plugin_node
    firewall = {"type": "firewall", "ingressPolicy": "same-bridge"}
    chain = [{**BRIDGE, "portIsolation": True, "ipam": {**IPAM, "routes": [{"dst": "0.0.0.0/0", "mtu": 1400}]}}, {**firewall, "ingressPolicy": "isolated"}]
    problems = {problem["path"]: problem["message"] for problem in config(node, plugins=chain)["problems"]}
    assert problems.keys() == {"plugins[0].portIsolation", "plugins[0].ipam.routes[0].mtu", "plugins[1].ingressPolicy"}
    assert problems["plugins[0].portIsolation"] == (
        "true is not known to the installed bridge, release 1.1.0 or newer, before 1.3.0 (expected release 1.7.0 or newer, or the key left out)"
    )
    assert not node.exists("/etc/cni/net.d/10-mynet.conflist")
    assert config(node, plugins=[BRIDGE, firewall])["changed"]


def test_an_option_of_the_installed_release_is_taken_and_works(sid_node):
    node = sid_node
    assert config(node, plugins=[{**BRIDGE, "portIsolation": True}])["changed"]
    with node.pod("a") as a, node.pod("b") as b:
        proof.ping(a, "10.244.0.1")
        assert a.run(["ping", "-q", "-c", "1", "-W", "1", b.ip4], check=False).returncode == 1, "isolated"


def test_a_plugin_newer_than_the_installed_release_is_refused(plugin_node):
    result = config(plugin_node, plugins=[{"type": "dummy", "ipam": IPAM}])
    assert "'dummy' is not installed in /opt/cni/bin" in result["msg"] and "the plugins have it from release 1.2.0 on" in result["msg"]


def test_options_of_the_module_portmap_are_held_against_the_release(plugin_node):
    node = plugin_node
    config(node)
    for name, value, release in [("masq_all", True, "1.2.0"), ("backend", "nftables", "1.6.0")]:
        (problem,) = node.module("portmap", {"network": "mynet", name: value})["problems"]
        assert problem["path"] == name and f"(expected release {release} or newer" in problem["message"]
    assert node.module("portmap", {"network": "mynet"})["changed"]


def test_pitfall_17_hostports_in_nftables_are_a_warning_where_the_release_is_not_known(sid_node):
    portmap = {"type": "portmap", "capabilities": {"portMappings": True}, "backend": "nftables", "masqAll": True}
    warnings = config(sid_node, plugins=[BRIDGE, portmap])["warnings"]
    assert any("plugins[1].backend: 'nftables' captures forwarded traffic before release 1.9.0 (CVE-2025-67499)" in text for text in warnings)
    assert any("plugins[1].masqAll: true has no effect" in text for text in warnings)
    config(sid_node)
    warnings = sid_node.module("portmap", {"network": "mynet", "backend": "nftables", "masq_all": True})["warnings"]
    assert [text.partition(": ")[0] for text in warnings] == ["masq_all", "backend"]


def test_pitfall_17_hostports_in_nftables_are_refused_before_1_9_0(sid_node):
    node = sid_node
    script = '#!/bin/sh\n[ "$CNI_COMMAND" ] || { echo "CNI portmap plugin v1.8.0" >&2; exit; }\nexec /opt/cni/bin/real-portmap\n'
    node.run(["mv", "/opt/cni/bin/portmap", "/opt/cni/bin/real-portmap"])
    node.write("/opt/cni/bin/portmap", script, 0o755)
    result = config(node, plugins=[BRIDGE, {"type": "portmap", "backend": "nftables"}])
    assert "plugins[1].backend: 'nftables' captures forwarded traffic with the installed portmap, release 1.8.0: CVE-2025-67499" in result["msg"]


def test_pitfall_vlan_the_default_vlan_is_to_be_written_down(sid_node):
    (warning,) = config(sid_node, plugins=[{**BRIDGE, "vlan": 5}])["warnings"]
    assert warning.startswith("plugins[0].preserveDefaultVlan: missing beside vlan: 5")
    assert "warnings" not in config(sid_node, plugins=[{**BRIDGE, "vlan": 5, "preserveDefaultVlan": False}])


@pytest.mark.parametrize("suite, version", [("bookworm", "1.0.0"), ("trixie", "1.0.0"), ("sid", "1.1.0")])
def test_pitfall_8_auto_is_what_plugins_and_runtime_speak(sid_node, suite, version):
    """All plugins speak 1.1.0, so it is the release of containerd that counts."""
    node = sid_node
    result = node.module("cni_config", {"name": "mynet", "plugins": [BRIDGE]}, env=runtime(suite))
    assert result["networks"]["mynet"]["cni_version"] == version
    with node.pod("a") as pod:
        proof.ping(pod, "10.244.0.1")


def test_pitfall_8_auto_stays_below_the_oldest_plugin(sid_node):
    node = sid_node
    node.run(["cp", str(plugin_folder("bullseye") / "host-local"), "/opt/cni/bin/host-local"])
    result = node.module("cni_config", {"name": "mynet", "plugins": [BRIDGE]}, env=runtime("sid"))
    assert result["networks"]["mynet"]["cni_version"] == "0.4.0"


def test_pitfall_8_a_fixed_version_that_the_runtime_does_not_speak_is_refused(sid_node):
    node = sid_node
    params = {"name": "mynet", "cni_version": "1.1.0", "plugins": [BRIDGE]}
    result = node.module("cni_config", params, env=runtime("trixie"))
    assert "cni_version: '1.1.0' is not supported by the installed containerd 1.7.24 (it supports up to 1.0.0)" in result["msg"]
    assert node.module("cni_config", params, env=runtime("sid"))["changed"]
    node.run(["cp", str(plugin_folder("bookworm") / "host-local"), "/opt/cni/bin/host-local"])
    result = node.module("cni_config", params, env=runtime("trixie"))
    assert [problem["message"].partition(" (")[0] for problem in result["problems"]] == [
        f"'1.1.0' is not supported by the installed {name}" for name in ("host-local", "containerd 1.7.24")
    ]


def test_nothing_in_common_says_who_supports_what(plugin_node):
    node = plugin_node
    node.write("/opt/cni/bin/new", '#!/bin/sh\necho \'{"cniVersion": "1.1.0", "supportedVersions": ["1.1.0"]}\'\n', 0o755)
    (problem,) = config(node, plugins=[{"type": "loopback"}, {"type": "new"}])["problems"]
    assert problem["path"] == "cni_version"
    assert problem["message"] == (
        "auto finds no version that every plugin supports (loopback: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0; new: 1.1.0; containerd 1.6.20: up to 1.0.0)"
    )


# The cache


def touched(node, tmp_path, params=None, check=False, **options):
    """The programs that a run starts or opens."""
    trace = tmp_path / "trace"
    prefix = ("strace", "-f", "-qq", "-e", "trace=execve,open,openat", "-o", str(trace))
    result = node.module("cni_config", params or {"name": "mynet", "plugins": [BRIDGE]}, check=check, prefix=prefix, **options)
    assert not result.get("failed"), result
    text = re.sub(".*ENOENT.*", "", trace.read_text())
    return set(re.findall(r'(?:execve\(|openat\(AT_FDCWD, )"(?:/opt/cni/bin|/usr/bin)/(bridge|host-local|loopback|containerd)"', text))


def test_a_second_run_asks_nobody(plugin_node, tmp_path):
    node = plugin_node
    assert touched(node, tmp_path) == {"bridge", "host-local", "containerd"}
    assert node.run(["stat", "-c", "%a %u", CACHE, "/run/kubenode-network"]).stdout == "600 0\n700 0\n"
    assert touched(node, tmp_path) == set()
    assert touched(node, tmp_path, check=True) == set()


def test_a_binary_that_was_replaced_is_asked_again(plugin_node, tmp_path):
    node = plugin_node
    config(node)
    node.run(["cp", "--archive", str(plugin_folder("bullseye") / "host-local"), "/opt/cni/bin/.new"])
    node.run(["mv", "/opt/cni/bin/.new", "/opt/cni/bin/host-local"])
    assert touched(node, tmp_path) == {"host-local"}
    assert json.loads(node.read("/etc/cni/net.d/10-mynet.conflist"))["cniVersion"] == "0.4.0"
    assert touched(node, tmp_path) == set()


@pytest.mark.parametrize("text", ["", "{", '{"schema": 99, "probes": {}}'])
def test_a_damaged_cache_is_ignored_and_written_anew(plugin_node, tmp_path, text):
    node = plugin_node
    config(node)
    node.write(CACHE, text, 0o600)
    assert touched(node, tmp_path) == {"bridge", "host-local", "containerd"}
    assert touched(node, tmp_path) == set()


def test_check_mode_keeps_nothing(plugin_node, tmp_path):
    node = plugin_node
    assert touched(node, tmp_path, check=True) == {"bridge", "host-local", "containerd"}
    assert not node.exists("/run/kubenode-network")


def test_what_is_asked_before_it_is_installed_is_not_kept(node):
    params = {"cni_plugins": {"src": "/usr/lib/cni", "remote_src": True, "plugins": ["bridge", "host-local", "loopback"]},
              "networks": [{"name": "mynet", "plugins": [BRIDGE]}]}  # fmt: skip
    assert node.module("node_network", params)["changed"]
    assert not [path for path in json.loads(node.read(CACHE))["probes"] if path.startswith("/proc/")]
    assert node.module("node_network", params)["changed"] is False


def test_a_reboot_forgets(plugin_node, tmp_path):
    """/run is empty then; a device may have another's number."""
    node = plugin_node
    config(node)
    node.run(["rm", "-r", "/run/kubenode-network"])
    assert touched(node, tmp_path) == {"bridge", "host-local", "containerd"}


def test_two_nodes_do_not_share_a_cache(plugin_node, tmp_path):
    config(plugin_node)
    with Node("second") as other:
        other.install_plugins()
        assert touched(other, tmp_path) == {"bridge", "host-local", "containerd"}

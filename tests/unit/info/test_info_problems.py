# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the test's machine cannot be made to have, and whatever others may write. The rest is tests/integration/test_cni_info.py."""

from __future__ import annotations

import dataclasses
import json

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import loader, model, ranges
from ansible_collections.kubenode.network.plugins.module_utils._cni.releases import Release
from ansible_collections.kubenode.network.plugins.module_utils._host.cri import Condition, RuntimeStatus
from ansible_collections.kubenode.network.plugins.module_utils._host.files import Entry
from ansible_collections.kubenode.network.plugins.module_utils._host.firewall import Chain
from ansible_collections.kubenode.network.plugins.module_utils._host.links import Link
from ansible_collections.kubenode.network.plugins.module_utils._info import module, problems, report
from ansible_collections.kubenode.network.plugins.module_utils._info.node import (
    Binary,
    Facts,
    Firewall,
    Folder,
    LeaseFact,
    Leases,
    Network,
    Runtime,
    View,
    masked,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

FILE = "10-mynet.conflist"
BRIDGE = {"type": "bridge", "bridge": "cni0", "isGateway": True, "ipMasq": True, "hairpinMode": True, "mtu": 1450,
          "ipam": {"type": "host-local", "ranges": [[{"subnet": "10.244.1.0/24"}]]}}  # fmt: skip
PORTMAP = {"type": "portmap", "capabilities": {"portMappings": True}}
PROGRAM = Entry("file", "", 0o755, 0, 0, 0.0)
ALL = ("0.4.0", "1.0.0", "1.1.0")


def binary(name, release="1.9.1"):
    return Binary(name, f"/opt/cni/bin/{name}", PROGRAM, ALL, Release(release, f"{release}0"))


def facts_of(*plugins, name="mynet", file=FILE, config=None, **changes):
    """A node with one network and nothing wrong with it."""
    config = config if config is not None else {"cniVersion": "1.0.0", "name": name, "plugins": list(plugins or [BRIDGE, PORTMAP])}
    text = json.dumps(config)
    reader = loader.Loader("containerd", "1.3.0")
    verdict = loader.view(reader, {file: text})
    network = Network(config.get("name", ""), file, masked(config), file in verdict.winners, False)
    sections = network.parts("host-local")
    leases = [Leases(network.name, file, "/var/lib/cni/networks", "ext4", tuple(ranges.usage(section, [])), ()) for section in sections[:1]]
    made = Facts(
        now=1e9,
        folder=Folder("/etc/cni/net.d", Entry("folder", "", 0o755, 0, 0, 0.0), {file: Entry("file", "", 0o600, 0, 0, 0.0)}, {file: text}),
        bin_dirs=("/opt/cni/bin",),
        views={"containerd": View(reader, verdict, True)},
        networks=[] if file in verdict.invalid else [network],
        binaries={kind: binary(kind) for kind in ("bridge", "host-local", "portmap", "loopback")},
        leases=leases,
        links={"eth0": Link("eth0", 2, "", 1500, frozenset({"UP"}), "", "", "", ("192.0.2.10/24",))},
        uplinks=frozenset({"eth0"}),
        firewall=Firewall(("1.8.9", "nf_tables"), "1.0.6", {"ipv4": [], "ipv6": []}, ()),
        sysctls={"net/ipv4/ip_forward": "1", "net/bridge/bridge-nf-call-iptables": "1", "net/bridge/bridge-nf-call-ip6tables": "1"},
    )
    return dataclasses.replace(made, **changes)


def found(facts):
    named = {problem["name"]: problem for problem in problems.find(facts)}
    assert facts.unavailable == []
    return named


def test_nothing_is_wrong_to_begin_with():
    assert set(found(facts_of())) == {"masquerade-in-cluster"}


# What this machine's kernel and programs cannot be made to have


def test_pitfall_18_the_module_is_not_loaded():
    sysctls = {"net/bridge/bridge-nf-call-iptables": None, "net/bridge/bridge-nf-call-ip6tables": None}
    named = found(facts_of(sysctls=sysctls))
    assert named["bridge-nf-off"]["message"].startswith("the kernel module br_netfilter is not loaded, so IPv4 services between pods on one bridge fail")


def test_what_could_not_be_read_is_no_problem():
    named = found(facts_of(sysctls={}, links=None, uplinks=frozenset(), firewall=Firewall(), leases=[]))
    assert set(named) == {"masquerade-in-cluster"}


@pytest.mark.parametrize(
    ("release", "severity"),
    [
        (Release("1.6.0", "1.9.0"), "error"),
        (Release("1.6.0", ""), "warning"),
        (Release(), "warning"),
        (Release("1.9.0", ""), None),
        (Release("1.0.0", "1.6.0"), None),
    ],
)
def test_pitfall_17_as_far_as_the_release_is_known(release, severity):
    named = found(facts_of(BRIDGE, {**PORTMAP, "backend": "nftables"}, binaries={"portmap": dataclasses.replace(binary("portmap"), release=release)}))
    assert named.get("nft-backend-unsafe", {}).get("severity") == severity


def test_pitfall_17_without_iptables_the_plugin_chooses_nftables_by_itself():
    binaries = {"portmap": binary("portmap", "1.7.1")}
    assert "nft-backend-unsafe" in found(facts_of(binaries=binaries, firewall=Firewall(None, "1.0.6", {}, ())))
    assert "nft-backend-unsafe" not in found(facts_of(binaries=binaries))


def test_pitfall_8_the_runtime_speaks_less_than_the_plugins():
    config = {"cniVersion": "1.1.0", "name": "mynet", "plugins": [BRIDGE]}
    named = found(facts_of(config=config, runtime=Runtime("containerd", "1.7.24", "1.1.2")))
    assert "says CNI 1.1.0, containerd 1.7.24 speaks up to 1.0.0" in named["version-unsupported"]["message"]
    assert "version-unsupported" not in found(facts_of(config=config, runtime=Runtime("containerd", "2.1.9", "1.3.0")))


def test_cri_o_needs_no_loopback_plugin():
    facts = facts_of(binaries={name: binary(name) for name in ("bridge", "host-local", "portmap")}, views={})
    facts.views = {name: facts_of().views["containerd"] for name in ("containerd", "crio")}
    assert "plugin-missing" in found(facts)
    facts.loader = "crio"
    assert "plugin-missing" not in found(facts)


def test_a_legacy_iptables_looks_for_the_mark_chain_in_its_own_tables():
    chain = facts_of(BRIDGE, {**PORTMAP, "externalSetMarkChain": "KUBE-MARK-MASQ"})
    for variant, backend, is_missing in (("legacy", "legacy", False), ("legacy", "nft", True), ("nf_tables", "legacy", True), ("nf_tables", "nft", False)):
        chain.firewall = Firewall(("1.8.9", variant), "1.0.6", {}, (Chain(backend, "ipv4", "nat", "KUBE-MARK-MASQ"),))
        assert ("mark-chain-missing" in found(chain)) is is_missing


@pytest.mark.parametrize(
    ("ready", "said", "loaded", "is_named"),
    [
        (True, {"lastCNILoadStatus": "OK"}, None, False),
        (True, {}, None, False),
        (False, {}, None, True),
        (True, {"lastCNILoadStatus": "cni config load failed"}, None, True),
        (True, {"lastCNILoadStatus": "OK"}, (), True),
        (True, {"lastCNILoadStatus": "OK"}, ({"name": "old"},), True),
        (True, {"lastCNILoadStatus": "OK"}, ({"cniVersion": "1.0.0", "name": "mynet", "plugins": [BRIDGE, PORTMAP]},), False),
    ],
)
def test_pitfall_1_by_what_the_runtime_says(ready, said, loaded, is_named):
    status = RuntimeStatus({"NetworkReady": Condition(ready, "", "cni plugin not initialized")}, said)
    assert ("not-reloaded" in found(facts_of(runtime=Runtime("containerd", "1.7.24", "1.1.2", "/run/x.sock", status, loaded)))) is is_named


def test_many_orphans_are_counted_and_some_named():
    gone = tuple(LeaseFact(f"10.244.1.{number}", "c", "eth0", 9999, None, True) for number in range(2, 10))
    known = dataclasses.replace(facts_of().leases[0], leases=gone)
    assert "holds 8 of its addresses for sandboxes that no longer exist: 10.244.1.2, 10.244.1.3, 10.244.1.4, 10.244.1.5, 10.244.1.6 and 3 more (" in (
        found(facts_of(leases=[known]))["lease-orphaned"]["message"]
    )


def test_networks_that_are_not_in_use_are_for_information():
    facts = facts_of({"type": "nowhere"})
    other = dataclasses.replace(facts_of(name="other").networks[0], file="05-other.conflist")
    facts.networks = [other, dataclasses.replace(facts.networks[0], in_use=False)]
    assert found(facts)["plugin-missing"]["severity"] == "info"
    facts.networks = facts.networks[1:]
    assert found(facts)["plugin-missing"]["severity"] == "error", "it may be why pods get none"


def test_the_worst_comes_first():
    severities = [problem["severity"] for problem in problems.find(facts_of({**BRIDGE, "mtu": 9000, "hairpinMode": False}, {"type": "x"}))]
    assert severities == sorted(severities, key=["error", "warning", "info"].index) and len(set(severities)) == 3


# Whatever others write

_WORDS = st.sampled_from(["type", "bridge", "ipam", "host-local", "portmap", "ranges", "subnet", "gateway", "rangeStart", "10.244.1.0/24", "fd00::/64",
                          "10.1.0.9", "capabilities", "portMappings", "mtu", "isGateway", "ipMasq", "hairpinMode", "externalSetMarkChain", "markMasqBit",
                          "backend", "nftables", "cniVersion", "1.0.0", "1.0", "name", "plugins", "dataDir", "token", "x/y", "", "99"])  # fmt: skip
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-1, 70000) | st.floats(allow_nan=False, allow_infinity=False) | _WORDS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_WORDS, inner, max_size=5),
    max_leaves=12,
)
_PARTS = st.dictionaries(_WORDS, _VALUES, max_size=6)


def _plugin(kind, keys, section):
    return {**keys, "type": kind, **({"ipam": {"type": "host-local", **section}} if section is not None else {})}


_PLUGINS = st.builds(_plugin, st.sampled_from(["bridge", "ptp", "portmap", "loopback", "x"]), _PARTS, st.none() | _PARTS)


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(plugins=st.lists(_PLUGINS, min_size=1, max_size=3), head=_PARTS, single=st.booleans())
def test_no_configuration_stops_the_search(plugins, head, single):
    file = "10-mynet.conf" if single else FILE
    config = {"cniVersion": "1.0.0", "name": "n", **head, **(plugins[0] if single else {"plugins": plugins})}
    try:
        model.parse(json.dumps(config), file, "1.3.0")
    except model.ConfigError:
        return
    facts = facts_of(config=config, file=file)
    named = found(facts)
    json.dumps(report.result(facts, list(named.values())))


def test_a_function_that_stumbles_leaves_the_others_their_say(monkeypatch):
    def stumble(facts):
        yield facts.sysctls["x"]

    monkeypatch.setitem(problems.TABLE, "hairpin-off", (19, stumble))
    facts = facts_of()
    assert [problem["name"] for problem in problems.find(facts)] == ["masquerade-in-cluster"]
    assert facts.unavailable == [{"fact": "problem hairpin-off", "reason": "KeyError('x')"}]


# Reports


@pytest.mark.parametrize("key", ["k8s_auth_token", "password", "Passwd", "clientSecret", "api_key", "apiKey", "privateKey", "credentials", "sshKey"])
def test_secrets_are_masked(key):
    assert masked({"a": [{key: "hush"}, {key: {"b": 1}}, {key: ""}]}) == {"a": [{key: "********"}, {key: "********"}, {key: ""}]}


@pytest.mark.parametrize("key", ["type", "keys", "monkey", "kubeconfig", "path"])
def test_what_is_no_secret_is_shown(key):
    assert masked({key: ["x"]}) == {key: ["x"]}


def test_chains_of_one_pod_or_service_are_not_listed():
    names = ["CNI-HOSTPORT-DNAT", "CNI-DN-0123456789abcdef01234", "CNI-0123456789abcdef01234567", "KUBE-SVC-ABCDEFGHIJKLMNO2", "KUBE-SEP-ABCDEFGHIJKLMNO3",
             "KUBE-SERVICES", "KUBE-MARK-MASQ", "KUBE-KUBELET-CANARY", "FOREIGN"]  # fmt: skip
    facts = facts_of(firewall=Firewall(None, "1.0.6", {}, tuple(Chain("nft", "ipv4", "nat", name) for name in names)))
    assert report.result(facts, [])["firewall"]["chains"]["nft"]["ipv4"] == ["CNI-HOSTPORT-DNAT", "KUBE-KUBELET-CANARY", "KUBE-MARK-MASQ", "KUBE-SERVICES"]


def test_a_node_of_which_nothing_is_known_can_be_reported():
    facts = Facts()
    result = report.result(facts, problems.find(facts))
    assert result["loaders"] == {} and facts.unavailable == []
    assert [problem["name"] for problem in result["problems"]] == ["conf-dir-missing"]


# Options


@pytest.mark.parametrize(
    "option",
    [{"conf_dir": "etc"}, {"conf_dir": "/"}, {"bin_dirs": ["/a", "/a/../b"]}, {"sandboxes": ["a b"]}, {"runtime_endpoint": "tcp://x"}],
)
def test_wrong_options(option):
    assert len(module.check({**dict.fromkeys(module.OPTIONS), **option})) == 1

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import copy
import json

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import entries, model

NOTHING = dict.fromkeys(("snat", "masq_all", "mark_masq_bit", "external_set_mark_chain", "conditions_v4", "conditions_v6", "backend"))
PLAIN = {"type": "portmap", "capabilities": {"portMappings": True}}

# Someone else's file: unknown types, placeholders, an order of its own.
CALICO = {
    "name": "k8s-pod-network",
    "cniVersion": "0.3.1",
    "plugins": [
        {"type": "calico", "mtu": 1440, "ipam": {"type": "host-local", "subnet": "usePodCidr"}, "policy": {"type": "k8s"}},
        {"type": "bandwidth", "capabilities": {"bandwidth": True}},
    ],
    "x-owner": "calico",
}


def test_nothing_given_leaves_the_defaults_to_the_plugin():
    assert entries.portmap_entry(NOTHING) == PLAIN
    assert entries.portmap_entry({}) == PLAIN


def test_false_and_zero_are_given():
    entry = entries.portmap_entry({**NOTHING, "snat": False, "mark_masq_bit": 0, "conditions_v4": []})
    assert entry == {**PLAIN, "snat": False, "markMasqBit": 0, "conditionsV4": []}


def test_every_option_has_its_key():
    options = {
        "snat": True,
        "masq_all": True,
        "mark_masq_bit": 13,
        "conditions_v4": ["-d", "10.0.0.0/8"],
        "conditions_v6": ["-d", "fd00::/8"],
        "backend": "iptables",
    }
    entry = entries.portmap_entry(options)
    assert list(entry) == ["type", "capabilities", "backend", "snat", "masqAll", "markMasqBit", "conditionsV4", "conditionsV6"]
    assert model.check_plugins([{"type": "bridge"}, entry]) == []
    chained = entries.portmap_entry({"external_set_mark_chain": "KUBE-MARK-MASQ"})
    assert chained == {**PLAIN, "externalSetMarkChain": "KUBE-MARK-MASQ"}


def test_find_entry():
    assert entries.find_entry(CALICO["plugins"], "bandwidth") == 1
    assert entries.find_entry(CALICO["plugins"], "portmap") is None
    assert entries.find_entry(["odd", PLAIN, PLAIN], "portmap") == 1


def test_a_new_entry_comes_last_and_the_rest_stays():
    before = copy.deepcopy(CALICO)
    after = entries.with_entry(CALICO, PLAIN)
    assert before == CALICO
    assert list(after) == list(CALICO)
    assert after["plugins"] == [*CALICO["plugins"], PLAIN]
    # Everything up to the new entry is the same text, byte for byte.
    assert model.render(after).startswith(model.render(CALICO).rpartition("}\n  ],")[0])


def test_an_entry_of_the_type_is_replaced_in_place():
    config = {**CALICO, "plugins": [CALICO["plugins"][0], {"type": "portmap", "snat": True}, CALICO["plugins"][1]]}
    after = entries.with_entry(config, {**PLAIN, "snat": False})
    assert after["plugins"] == [CALICO["plugins"][0], {**PLAIN, "snat": False}, CALICO["plugins"][1]]


def test_of_several_the_first_is_replaced_and_all_go():
    config = {**CALICO, "plugins": [{"type": "bridge"}, {"type": "portmap"}, {"type": "tuning"}, {"type": "portmap"}]}
    assert entries.with_entry(config, PLAIN)["plugins"] == [{"type": "bridge"}, PLAIN, {"type": "tuning"}, {"type": "portmap"}]
    assert entries.without_entry(config, "portmap")["plugins"] == [{"type": "bridge"}, {"type": "tuning"}]
    assert [entries.count(config["plugins"], name) for name in ("portmap", "tuning", "bandwidth")] == [2, 1, 0]


@pytest.mark.parametrize(
    "types, index",
    [
        ("calico", 1),
        ("calico bandwidth", 2),
        ("calico istio-cni", 1),
        ("ptp bandwidth linkerd-cni istio-cni", 2),
        ("aws-cni cilium-cni tuning", 3),
        ("cilium-cni", 1),
        ("cilium-cni istio-cni", 1),
    ],
)
def test_a_new_entry_comes_before_those_that_must_stay_last(types, index):
    plugins = [{"type": name} for name in types.split()]
    assert entries.place(plugins) == index
    assert entries.with_entry({"plugins": plugins}, PLAIN)["plugins"].index(PLAIN) == index


def test_the_bandwidth_entry():
    assert entries.bandwidth_entry({}) == {"type": "bandwidth", "capabilities": {"bandwidth": True}}
    options = {"ingress_rate": 1, "ingress_burst": 2, "egress_rate": 3, "egress_burst": 4}
    entry = entries.bandwidth_entry(options)
    assert list(entry.items())[2:] == [("ingressRate", 1), ("ingressBurst", 2), ("egressRate", 3), ("egressBurst", 4)]


# Into an entry that is there


@pytest.mark.parametrize(
    "theirs, ours, before, found, expected",
    [
        (None, {"snat": True}, None, None, {"snat": True}),
        ({"x": 1, "snat": False, "y": 2}, {"snat": True, "masqAll": True}, None, None, {"x": 1, "snat": True, "y": 2, "masqAll": True}),
        ({"snat": True, "x": 1}, {}, {"snat": True}, None, {"x": 1}),
        ({"snat": True, "x": 1}, {}, {"snat": True}, {"snat": False}, {"snat": False, "x": 1}),
        ({"snat": True, "x": 1}, {}, {}, {"snat": False}, {"snat": True, "x": 1}),
    ],
)
def test_an_entry_that_is_there_keeps_what_is_not_ours(theirs, ours, before, found, expected):
    def whole(keys):
        return None if keys is None else {**PLAIN, **keys}

    made = entries.merged(whole(theirs), whole(ours), whole(before), whole(found))
    assert json.dumps(made) == json.dumps(whole(expected))


@pytest.mark.parametrize("capabilities, expected", [({"odd": True}, {"odd": True, "portMappings": True}), ({"portMappings": False}, PLAIN["capabilities"]),
                                                    (None, PLAIN["capabilities"])])
def test_the_capability_is_set_beside_others(capabilities, expected):
    theirs = {"capabilities": capabilities, "type": "portmap"}
    assert json.dumps(entries.merged(theirs, PLAIN)) == json.dumps({"capabilities": expected, "type": "portmap"})
    assert entries.merged({"type": "portmap"}, PLAIN) == PLAIN


# A single configuration as a list

SINGLE = {"cniVersion": "0.3.0", "type": "bridge", "name": "n", "disableCheck": True, "ipam": {}}


def test_a_single_configuration_becomes_what_loaders_make_of_it():
    made = entries.to_list(SINGLE)
    assert json.dumps(made) == json.dumps({"cniVersion": "0.3.0", "name": "n", "plugins": [{"type": "bridge", "disableCheck": True, "ipam": {}}]})
    assert entries.to_single(made) == SINGLE
    assert entries.to_list({"name": "n", "type": "x"}) == {"name": "n", "plugins": [{"type": "x"}]}, "no version stays no version"


@pytest.mark.parametrize("change, reason", [({"name": ""}, "has no name"), ({"CNIVersion": "1.0.0"}, "has the key 'CNIVersion', which a list would not know")])
def test_what_becomes_no_list(change, reason):
    with pytest.raises(ValueError, match=reason):
        entries.to_list({**SINGLE, **change})


@pytest.mark.parametrize("change, reason", [({"disableCheck": True}, "has disableCheck"), ({"plugins": [{}, {}]}, "has 2 plugins")])
def test_what_becomes_no_single_configuration(change, reason):
    with pytest.raises(ValueError, match=f"{reason}, which a single configuration cannot hold"):
        entries.to_single({"name": "n", "plugins": [{"type": "x"}], **change})


def test_twice_is_once():
    once = entries.with_entry(CALICO, PLAIN)
    assert json.dumps(entries.with_entry(once, PLAIN)) == json.dumps(once)


def test_out_again_gives_the_same_text():
    assert model.render(entries.without_entry(entries.with_entry(CALICO, PLAIN), "portmap")) == model.render(CALICO)


def test_out_of_a_list_that_has_none():
    assert entries.without_entry(CALICO, "portmap") == CALICO


def test_the_copy_is_deep():
    entry = copy.deepcopy(PLAIN)
    after = entries.with_entry(CALICO, entry)
    after["plugins"][0]["policy"]["type"] = "changed"
    after["plugins"][-1]["capabilities"]["portMappings"] = False
    assert CALICO["plugins"][0]["policy"]["type"] == "k8s"
    assert entry == PLAIN


def test_the_last_plugin_is_not_taken_out():
    with pytest.raises(ValueError, match=r"^plugins: 'portmap' is the only one \(expected another that stays\)$"):
        entries.without_entry({"name": "n", "plugins": [PLAIN]}, "portmap")


@pytest.mark.parametrize("config", [{"name": "n", "type": "bridge"}, {"name": "n", "plugins": {}}])
def test_a_single_configuration_takes_no_entry(config):
    for change in (lambda: entries.with_entry(config, PLAIN), lambda: entries.without_entry(config, "portmap")):
        with pytest.raises(ValueError, match=r"^plugins: missing \(expected a list of plugins; a single configuration cannot hold another"):
            change()

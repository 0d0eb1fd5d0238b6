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


def test_of_several_one_is_left():
    config = {**CALICO, "plugins": [{"type": "bridge"}, {"type": "portmap"}, {"type": "tuning"}, {"type": "portmap"}]}
    assert entries.with_entry(config, PLAIN)["plugins"] == [{"type": "bridge"}, PLAIN, {"type": "tuning"}]


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

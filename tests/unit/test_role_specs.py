# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a role says of its variables is what its defaults set and what the module behind it takes."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from ansible_collections.kubenode.network.plugins.module_utils._cni import entries
from ansible_collections.kubenode.network.plugins.module_utils._execution import TERMS
from ansible_collections.kubenode.network.plugins.module_utils._sections import (
    bandwidth,
    boot_service,
    cni_plugins,
    kubenet_bridge,
    masquerade,
    networks,
    sysctl_bridge_nf,
)

ROLES = sorted(path.parent.parent for path in Path(__file__).parents[2].glob("roles/*/meta/argument_specs.yml"))
SECTIONS = (cni_plugins, sysctl_bridge_nf, kubenet_bridge, masquerade, boot_service)
# What the action plugin hands to the module, and no person does.
INTERNAL = {"manifest", "program"}


def spec(role):
    path = next(path for path in ROLES if path.name == role)
    return yaml.safe_load((path / "meta" / "argument_specs.yml").read_text())["argument_specs"]["main"]["options"]


def bare(options):
    """Options without their texts and without what says nothing."""
    words = ("type", "elements", "choices", "default", "required")
    return {name: {word: option[word] for word in words if option.get(word) is not None} for name, option in options.items()}


def taken(options):
    internal = {*INTERNAL, "checksum"} if options is boot_service.OPTIONS else INTERNAL
    return bare({name: option for name, option in options.items() if name not in internal})


def test_every_role_is_looked_at():
    assert [path.name for path in ROLES] == ["configure_cni", "install_cni", "kubenet", "kubespray", "node_network", "pull"]


@pytest.mark.parametrize("role", ROLES, ids=lambda path: path.name)
def test_defaults_are_those_of_the_spec(role):
    defaults = yaml.safe_load((role / "defaults" / "main.yml").read_text())
    assert defaults == {name: option.get("default") for name, option in spec(role.name).items()}
    assert all(name.startswith(f"{role.name}_") for name in defaults)


def test_the_terms_of_a_run_are_those_of_the_modules():
    options = spec("node_network")
    assert bare({name: options[f"node_network_{name}"] for name in TERMS}) == bare(TERMS)


@pytest.mark.parametrize("section", SECTIONS, ids=lambda section: section.NAME)
def test_a_section_of_node_network_has_the_options_of_its_module(section):
    option = spec("node_network")[f"node_network_{section.NAME}"]
    assert option["type"] == "dict"
    assert bare(option["options"]) == taken(section.OPTIONS)


@pytest.mark.parametrize("role, variable", [("node_network", "node_network_networks"), ("configure_cni", "configure_cni_networks")])
def test_a_network_has_the_options_of_cni_config(role, variable):
    option = spec(role)[variable]
    assert (option["type"], option["elements"]) == ("list", "dict")
    assert bare(option["options"]) == taken(networks.OPTIONS)


def test_install_cni_has_the_options_of_cni_plugins():
    assert bare(spec("install_cni")) == {f"install_cni_{name}": option for name, option in taken(cni_plugins.OPTIONS).items()}


def test_kubenet_has_the_options_of_bridge_and_masquerade():
    options = bare(spec("kubenet"))
    expected = {f"kubenet_{name}": option for name, option in taken({**masquerade.OPTIONS, **kubenet_bridge.OPTIONS}).items()}
    expected["kubenet_bridge"] = expected.pop("kubenet_name")
    expected["kubenet_pod_cidrs"]["default"] = []
    expected["kubenet_boot_service"] = {"type": "bool", "default": True}
    expected["kubenet_adopt"]["default"] = ["kubenet"]
    expected["kubenet_force"] = taken(networks.OPTIONS)["force"]
    expected["kubenet_confirm_timeout"] = bare(TERMS)["confirm_timeout"]
    limits = options.pop("kubenet_bandwidth")
    assert options == expected
    assert limits["type"] == "dict"
    assert bare(spec("kubenet")["kubenet_bandwidth"]["options"]) == taken({name: bandwidth.OPTIONS[name] for name in (*entries.BANDWIDTH_KEYS, "state")})

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Ports of pods that end while a run looks at them, and the spelling of a tool that the kernel of a build host cannot run."""

from __future__ import annotations

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._document import Document
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import firewall, links
from ansible_collections.kubenode.network.plugins.module_utils._resources import hairpin

PORT = links.Link("veth1", 9, "veth", 1450, frozenset({"UP"}), "", "cbr0", "bridge", (), hairpin=False)


@pytest.fixture
def ports(monkeypatch):
    """The links of a node on which no flag can be changed."""
    there = {"veth1": PORT}

    def fail(port, on):
        raise NodeError("Operation not permitted")

    monkeypatch.setattr(links, "read_links", lambda: there)
    monkeypatch.setattr(links, "set_hairpin", fail)
    return there


def test_a_port_that_is_gone_is_as_it_should_be(ports):
    resource = hairpin.HairpinPort("cbr0", "veth1", gone=True)
    assert resource.read() is False
    del ports["veth1"]
    assert resource.read() is True
    resource.write(True)


def test_a_port_of_another_bridge_is_not_ours(ports):
    assert hairpin.HairpinPort("br9", "veth1", gone=True).read() is True


def test_a_pod_that_ends_meanwhile_is_no_error(ports, monkeypatch):
    def end_first(port, on):
        del ports["veth1"]
        raise NodeError("Cannot find device")

    monkeypatch.setattr(links, "set_hairpin", end_first)
    hairpin.HairpinPort("cbr0", "veth1", gone=True).write(True)


def test_another_failure_is_one(ports):
    with pytest.raises(NodeError):
        hairpin.HairpinPort("cbr0", "veth1", gone=True).write(True)


@pytest.mark.parametrize("found", [True, False])
def test_a_port_is_given_back_as_it_was_found(ports, found):
    record = {"origin": "adopted", "found": found, "hash": None}
    document = Document({"kubenet_bridge": {"cbr0": {"desired": {}, "objects": {"hairpin:cbr0/veth1": record}}}})
    resource = hairpin.revive(document, "hairpin:cbr0/veth1")
    ports.clear()
    assert resource.read() is found, "nothing is left to be given back"


@pytest.mark.parametrize(
    "written, read",
    [
        ("-p IPv4 -s 0a:58:0a:f4:01:01 -o veth+ --ip-src 10.244.1.0/24 -j DROP ", "-p IPv4 -s 0a:58:0a:f4:01:01 -o veth+ --ip-src 10.244.1.0/24 -j DROP"),
        ("-p IPv6 -o veth+ --ip6-src fd00:10::/ffff:ffff:ffff:ffff:: -j DROP", "-p IPv6 -o veth+ --ip6-src fd00:10::/64 -j DROP"),
        ("-p IPv6 -o veth+ --ip6-src fd00:10::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff -j RETURN", "-p IPv6 -o veth+ --ip6-src fd00:10::1/128 -j RETURN"),
    ],
)
def test_rules_of_the_legacy_ebtables_read_like_ours(written, read):
    assert firewall._one_spelling(written) == read

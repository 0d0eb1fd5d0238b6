# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts that no path can be, in files of others and in options: never a traceback, never a change."""

from __future__ import annotations

import json

import pytest
from testbed import Node, diff_dumps

FILE = "/etc/cni/net.d/10-odd.conflist"
TEXTS = {
    "empty": "", "relative": "leases", "dots": "../../etc", "root": "/", "slashes": "//", "nul": "/var/lib/a\0b", "only nul": "\0",
    "half a pair": "/var/lib/\ud800", "no UTF-8": "/var/lib/\udcff", "long": "/x" * 3000, "long name": "/var/lib/" + "x" * 300, "line break": "/var/lib/a\nb",
}  # fmt: skip
USABLE = ("empty", "null", "root", "slashes", "no UTF-8", "line break")
OTHERS = {"number": 7, "null": None, "list": ["/x"], "object": {"a": 1}}


@pytest.fixture(scope="module")
def node():
    with Node() as node:
        node.install_plugins()
        yield node


def network(text):
    bridge = {"type": "bridge", "bridge": "cni0", "ipam": {"type": "host-local", "subnet": "10.244.0.0/16", "dataDir": text}}
    return json.dumps({"cniVersion": "1.0.0", "name": "odd", "plugins": [bridge]})


def asked(node, module, options):
    """The result of a run in check mode, which has to end in an orderly way."""
    result = node.module(module, options, check=True)
    assert "\n" not in result.get("msg", "") and len(result.get("msg", "")) < 500
    return result


@pytest.mark.parametrize("word", [*TEXTS, *OTHERS])
def test_a_data_dir_that_is_none_in_a_file_of_others(node, word):
    text = {**TEXTS, **OTHERS}[word]
    node.write(FILE, network(text))
    before = node.dump()
    leases = asked(node, "host_local_lease", {"network": "odd", "sandboxes": []})
    if word not in USABLE:
        assert leases["failed"] and "in the file of 'odd' is not usable" in leases["msg"]
    found = asked(node, "cni_info", {"sandboxes": []})
    assert [one["name"] for one in found["networks"]] == ["odd"] and {item["fact"] for item in found["unavailable"]} <= {"status of the runtime"}
    for module, options in [("cni_config", {"name": "odd", "filename": "10-odd.conflist", "plugins": [{"type": "bridge"}]}),
                            ("cni_config", {"name": "other", "priority": 5, "plugins": [{"type": "bridge"}], "foreign": "disable"}),
                            ("portmap", {"network": "odd"})]:  # fmt: skip
        assert not asked(node, module, options).get("failed"), word
    assert not diff_dumps(before, node.dump())


PATHS = [
    ("cni_config", "conf_dir", {"name": "x", "plugins": [{"type": "bridge"}]}),
    ("cni_config", "bin_dirs", {"name": "x", "plugins": [{"type": "bridge"}]}),
    ("portmap", "conf_dir", {"network": "x"}),
    ("cni_plugins", "bin_dir", {"src": "/usr/lib/cni", "remote_src": True}),
    ("cni_plugins", "src", {"remote_src": True}),
    ("host_local_lease", "conf_dir", {"network": "x", "sandboxes": []}),
    ("host_local_lease", "data_dir", {"network": "x", "sandboxes": []}),
    ("host_local_lease", "runtime_endpoint", {"network": "x"}),
    ("cni_info", "conf_dir", {}),
    ("cni_info", "bin_dirs", {}),
    ("cni_info", "runtime_endpoint", {}),
]


@pytest.mark.parametrize(("module", "option", "others"), PATHS, ids=[f"{module}-{option}" for module, option, _others in PATHS])
def test_an_option_that_is_no_path(node, module, option, others):
    before = node.dump()
    for word in ("nul", "only nul", "long", "long name"):
        text = TEXTS[word]
        result = asked(node, module, {**others, option: [text] if option == "bin_dirs" else text})
        assert result.get("failed") and f"{option}" in result["msg"], (word, result)
    assert not diff_dumps(before, node.dump())

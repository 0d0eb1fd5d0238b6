# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a node takes for its document when it comes over HTTP."""

from __future__ import annotations

import contextlib
import signal

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError
from ansible_collections.kubenode.network.plugins.plugin_utils._pull import document

BOMB = "node_network_networks: &a [x, x]\nnode_network_pod_cidrs: [*a, *a]\n"


@contextlib.contextmanager
def ended_after(seconds):
    """Fails what takes longer than this processor time, however busy the machine is."""

    def end(_number, _frame):
        raise AssertionError(f"it took longer than {seconds} s")

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


@pytest.mark.parametrize("text", ['{"node_network_kubenet_bridge": {"mtu": "1450"}}', "---\nnode_network_kubenet_bridge:\n  mtu: '1450'\n"])
def test_json_and_yaml(text):
    assert document.read(text.encode()) == {"node_network_kubenet_bridge": {"mtu": "1450"}}


@pytest.mark.parametrize(
    "data, message",
    [
        (b"", "is empty (expected variables node_network_*)"),
        (b"<html>gone</html>", "is no mapping (expected variables node_network_*)"),
        (b"[1]", "is no mapping (expected variables node_network_*)"),
        (b"\xff\xfe", "is not YAML: 'utf-8' codec can't decode byte 0xff in position 0: invalid start byte"),
        (b"a: [1\nb: 2", "is not YAML: line 2: expected ',' or ']', but got ':'"),
        (b"node_network_boot: true\nnode_network_boot: false\n", "is not YAML: line 2: 'node_network_boot' is there twice"),
        (BOMB.encode(), "is not YAML: line 2: an alias is not accepted"),
        (b"node_network_boot: !!python/name:os.system ''", ("is not YAML: line 1: could not determine a constructor for the tag"
         " 'tag:yaml.org,2002:python/name:os.system'")),
        (b"node_network_boot: !vault x", "is not YAML: line 1: could not determine a constructor for the tag '!vault'"),
        (b"{}", "sets nothing (expected variables node_network_*)"),
        (b"node_network_networks: null", "sets nothing (expected variables node_network_*)"),
        (b"ansible_python_interpreter: /tmp/x\n1: 2\n", ("ansible_python_interpreter: is not a variable of the role node_network;"
         " 1: is not a variable of the role node_network")),
        (b"node_network_networks: [{name: \"{{ lookup('pipe', 'id') }}\"}]", ("node_network_networks[0].name: \"{{ lookup('pipe', 'id') }}\" is a template"
         " (expected the value itself)")),
        (b"node_network_networks: !!pairs [name: \"{{ lookup('pipe', 'id') }}\"]", ("node_network_networks[0][1]: \"{{ lookup('pipe', 'id') }}\" is a template"
         " (expected the value itself)")),
        (b"node_network_networks: !!omap [\"{{ x }}\": 1]", "node_network_networks[0][0]: '{{ x }}' is a template (expected the value itself)"),
        (b"node_network_boot: \"#jinja2: variable_start_string:'<<'\\n<< x >>\"", ("node_network_boot: \"#jinja2: variable_start_string:'<<'\\n<< x >>\""
         " is a template (expected the value itself)")),
        (b"node_network_lock_timeout: .inf", "holds a number that is infinite, or none"),
        (b"node_network_boot: '{% if 1 %}'", "node_network_boot: '{% if 1 %}' is a template (expected the value itself)"),
        (b"node_network_boot: 2026-01-01", "holds what is neither text, number, list nor mapping: Object of type date is not JSON serializable"),
        (b"[" * 1500, "is nested too deeply"),
    ],
)  # fmt: skip
def test_what_is_no_document_is_refused(data, message):
    with pytest.raises(InputError) as error:
        document.read(data)
    assert str(error.value) == message


def test_many_keys_are_read_in_no_time():
    """Of the largest document that is taken: keys that are compared with each other would take minutes."""
    data = "".join(f"a{number}: 1\n" for number in range(100_000)).encode()
    with pytest.raises(InputError), ended_after(30):
        document.read(data)

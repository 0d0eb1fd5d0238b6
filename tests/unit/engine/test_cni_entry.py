# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""One plugin's entry in a network list of somebody else."""

from __future__ import annotations

import json
import os
import stat

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._converge import ApplyError, Part, Want
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._resource import Resource
from ansible_collections.kubenode.network.plugins.module_utils._resources.cni_entry import CniEntry, revive

LIST = '{"cniVersion": "1.0.0", "name": "n", "plugins": [{"type": "bridge"}]}'
ENTRY = {"type": "portmap", "capabilities": {"portMappings": True}}
THEIR_ENTRY = {"type": "portmap", "snat": False}


class Failing(Resource):
    id = "failing"

    def read(self):
        return None

    def write(self, state):
        if state is not None:
            raise NodeError("told to fail")


@pytest.fixture
def path(tmp_path):
    made = tmp_path / "10-n.conflist"
    made.write_text(LIST)
    return made


@pytest.fixture
def linked(tmp_path):
    """A list behind a symbolic link, for its owner alone."""
    (tmp_path / "real.conflist").write_text(LIST)
    (tmp_path / "real.conflist").chmod(0o600)
    link = tmp_path / "10-n.conflist"
    link.symlink_to("real.conflist")
    return link


def part(desired, *wants):
    return Part("portmap", "n", desired, list(wants), revive)


def want(path, state=None):
    return Want(CniEntry(str(path), "portmap"), state or ENTRY)


REMOVAL = part(None)


def expect_link(link, text=None):
    target = link.with_name("real.conflist")
    assert link.is_symlink() and os.readlink(link) == "real.conflist"
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert text is None or target.read_text() == text


def test_a_list_behind_a_symbolic_link_keeps_link_and_mode(linked):
    CniEntry(str(linked), "portmap").write(ENTRY)
    expect_link(linked)
    assert json.loads(linked.read_text())["plugins"] == [{"type": "bridge"}, ENTRY]


def test_a_list_behind_a_symbolic_link_is_put_back_byte_by_byte(disk, linked):
    with pytest.raises(ApplyError, match="told to fail; everything done before it was put back"):
        disk.converge(part({}, want(linked), Want(Failing(), 1)))
    expect_link(linked, LIST)


def test_a_list_that_is_no_text_is_refused(disk, path):
    data = LIST.encode().replace(b'"n"', b'"n", "x": "\xff\xc3\xa9"')
    path.write_bytes(data)
    with pytest.raises(NodeError, match="is not UTF-8, so it cannot be changed without losing bytes"):
        disk.converge(part({}, want(path), Want(Failing(), 1)))
    assert path.read_bytes() == data


def test_text_beyond_ascii_is_put_back_as_it_was(disk, path):
    data = LIST.encode().replace(b'"n"', b'"n",   "x": "\xc3\xa9"')
    path.write_bytes(data)
    with pytest.raises(ApplyError, match="told to fail; everything done before it was put back"):
        disk.converge(part({}, want(path), Want(Failing(), 1)))
    assert path.read_bytes() == data


@pytest.mark.parametrize("found", [None, THEIR_ENTRY], ids=["created", "adopted"])
def test_an_entry_whose_list_is_gone_is_forgotten(disk, path, found):
    config = json.loads(LIST)
    config["plugins"] += [found] if found else []
    path.write_text(json.dumps(config))
    disk.converge(part({}, want(path)))
    path.unlink()
    disk.converge(REMOVAL)
    assert not path.exists() and not disk.document.exists()


@pytest.mark.parametrize("found", [None, THEIR_ENTRY], ids=["created", "adopted"])
def test_an_entry_is_given_back_and_leaves_nothing_in_the_store(disk, path, store, found):
    config = json.loads(LIST)
    config["plugins"] += [found] if found else []
    path.write_text(json.dumps(config))
    disk.converge(part({}, want(path)))
    assert json.loads(path.read_text())["plugins"] == [{"type": "bridge"}, ENTRY]
    disk.converge(REMOVAL)
    assert json.loads(path.read_text()) == config
    assert not store.exists() and not disk.document.exists()


def test_an_entry_that_was_found_comes_back_as_it_was_spelled(disk, path):
    text = LIST.replace("}]", '},\r\n\t{ "type":"portmap","x":1.50e1,"y":"\\u00e9" }]')
    path.write_bytes(text.encode())
    disk.converge(part({}, want(path)))
    assert path.read_bytes() == text.replace(text[text.index("{ ") : -2], json.dumps(ENTRY)).encode()
    disk.converge(REMOVAL)
    assert path.read_bytes() == text.encode()


def test_all_entries_of_the_type_go_but_not_the_last_plugin(path):
    path.write_text(LIST.replace("}]", '}, {"type": "portmap"}, {"type": "tuning"}, {"type": "portmap"}]'))
    CniEntry(str(path), "portmap").write(None)
    assert path.read_text() == LIST.replace("}]", '}, {"type": "tuning"}]')
    path.write_text(LIST.replace("bridge", "portmap"))
    with pytest.raises(NodeError, match="has no other plugin, and a list without any does not load"):
        CniEntry(str(path), "portmap").write(None)


def test_a_list_with_a_key_twice_is_refused(path):
    text = LIST.replace('"bridge"', '"bridge", "mtu": 1, "mtu": 2')
    path.write_text(text)
    with pytest.raises(NodeError, match="an object in it has the key 'mtu' twice"):
        CniEntry(str(path), "portmap").write(ENTRY)
    assert path.read_text() == text


def test_a_list_that_is_gone_cannot_get_an_entry(path):
    path.unlink()
    with pytest.raises(NodeError, match="10-n.conflist is no longer there"):
        CniEntry(str(path), "portmap").write(ENTRY)

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Whether a network of somebody else is a single configuration or a list."""

from __future__ import annotations

import json
import os
import stat
import threading

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import loader, model
from ansible_collections.kubenode.network.plugins.module_utils._converge import ApplyError, Part, Want
from ansible_collections.kubenode.network.plugins.module_utils._document import Document
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._resource import Resource
from ansible_collections.kubenode.network.plugins.module_utils._resources.cni_entry import CniEntry
from ansible_collections.kubenode.network.plugins.module_utils._resources.cni_form import CniForm, revive

SINGLE = '{\r\n\t"type": "ptp", "x": 1.50,\r\n\t"name": "n", "cniVersion": "0.3.0", "\u00e9": "\\u00e9"}'
ENTRY = {"type": "portmap", "capabilities": {"portMappings": True}}


class Failing(Resource):
    id = "failing"

    def read(self):
        return None

    def write(self, state):
        raise NodeError("told to fail")


@pytest.fixture(params=[".conf", ".json"])
def path(tmp_path, request):
    made = tmp_path / f"10-n{request.param}"
    made.write_bytes(SINGLE.encode())
    made.chmod(0o640)
    return made


def list_of(path):
    return path.with_suffix(".conflist")


def part(disk, path, *more, section="portmap", entry=None):
    wants = [Want(CniForm(str(path)), "list"), Want(CniEntry(str(list_of(path)), section), {**(entry or ENTRY), "type": section}), *more]
    return Part(section, "n", {}, wants, reviver(disk))


def removal(disk, section="portmap"):
    return Part(section, "n", None, [], reviver(disk))


def reviver(disk):
    return lambda oid: revive(Document.load(str(disk.document)), oid)


def test_there_and_back(disk, path):
    disk.converge(part(disk, path))
    assert not path.exists() and stat.S_IMODE(list_of(path).stat().st_mode) == 0o640
    text = list_of(path).read_bytes().decode()
    head = {"name": "n", "cniVersion": "0.3.0"}
    assert json.dumps(json.loads(text)) == json.dumps({**head, "plugins": [{"type": "ptp", "x": 1.5, "\u00e9": "\u00e9"}, ENTRY]})
    assert '"x": 1.50' in text and '\r\n\t"plugins"' in text and "\n" not in text.replace("\r\n", "")
    disk.converge(removal(disk))
    assert path.read_bytes() == SINGLE.encode() and not list_of(path).exists()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640 and not disk.document.exists()


@pytest.mark.parametrize("order", [("portmap", "bandwidth"), ("bandwidth", "portmap")])
def test_it_goes_back_with_the_last_that_holds_it(disk, path, order):
    for section in ("portmap", "bandwidth"):
        disk.converge(part(disk, path, section=section))
    disk.converge(removal(disk, order[0]))
    assert [plugin["type"] for plugin in json.loads(list_of(path).read_text())["plugins"]] == ["ptp", order[1]]
    disk.converge(removal(disk, order[1]))
    assert path.read_bytes() == SINGLE.encode() and not list_of(path).exists()


@pytest.mark.parametrize("found", [True, False], ids=["to a list", "back"])
def test_a_failure_puts_both_files_back(disk, path, found):
    failing = Want(Failing(), 1)
    if not found:
        disk.converge(part(disk, path, section="bandwidth"))
        disk.converge(part(disk, path))
        disk.converge(removal(disk, "bandwidth"))
    before = {name: (path.parent / name).read_bytes() for name in os.listdir(path.parent) if name.startswith("10-")}
    last = Part("other", "x", {}, [failing], reviver(disk))
    with pytest.raises(ApplyError, match="told to fail; everything done before it was put back"):
        disk.converge(*([part(disk, path, failing)] if found else [removal(disk), last]))
    assert {name: (path.parent / name).read_bytes() for name in before} == before
    assert sorted(before) == sorted(name for name in os.listdir(path.parent) if name.startswith("10-"))


@pytest.mark.parametrize(
    "change, kept",
    [
        (lambda config: config["plugins"][0].update(x=2), False),
        (lambda config: config.update(cniVersion="1.0.0"), False),
        (lambda config: config["plugins"].append({"type": "tuning"}), True),
        (lambda config: config.update(disableCheck=True), True),
    ],
)
def test_what_others_changed_meanwhile_is_kept(disk, path, change, kept):
    disk.converge(part(disk, path))
    config = json.loads(list_of(path).read_text())
    change(config)
    list_of(path).write_text(json.dumps(config))
    disk.converge(removal(disk))
    config["plugins"].remove(ENTRY)
    if kept:
        assert (json.loads(list_of(path).read_text()), path.exists()) == (config, False)
    else:
        head = {key: value for key, value in config.items() if key != "plugins"}
        assert (json.loads(path.read_text()), list_of(path).exists()) == ({**head, **config["plugins"][0]}, False)
    assert not disk.document.exists()


def test_a_list_that_is_gone_or_has_a_single_one_beside_it_is_left(disk, path):
    disk.converge(part(disk, path))
    text = list_of(path).read_bytes()
    list_of(path).unlink()
    disk.converge(removal(disk))
    assert not path.exists() and not list_of(path).exists()
    path.write_bytes(SINGLE.encode())
    disk.converge(part(disk, path))
    assert list_of(path).read_bytes() == text
    path.write_text('{"name": "new", "type": "ptp"}')
    disk.converge(removal(disk))
    assert json.loads(path.read_text()) == {"name": "new", "type": "ptp"}, "somebody put it there anew"


def test_what_cannot_change_its_form_is_left(tmp_path):
    path = tmp_path / "10-n.conf"
    for text, reason in [('{"type": "ptp"}', "has no name"), ('{"name": "n", "type": "ptp", "a": 1, "a": 2}', "the key 'a' twice")]:
        path.write_text(text)
        with pytest.raises(NodeError, match=reason):
            CniForm(str(path)).write("list")
        assert (path.read_text(), list_of(path).exists()) == (text, False)
    path.unlink()
    text = '{"name": "n", "plugins": [{"type": "ptp"}, {"type": "tuning"}]}'
    list_of(path).write_text(text)
    with pytest.raises(NodeError, match="has 2 plugins, which a single configuration cannot hold"):
        CniForm(str(path)).write("single")
    assert (list_of(path).read_text(), path.exists()) == (text, False)


def look(folder):
    """The name of the network that a loader takes, which reads the folder and then the files; None when one of these went
    in between, for which containerd reads the folder again."""
    try:
        names = [name for name in os.listdir(folder) if loader.is_loadable(name)]
        texts = {name: (folder / name).read_text() for name in names}
    except FileNotFoundError:
        return None
    view = loader.view(loader.Loader(), texts)
    assert view.error is None, (view, texts)
    return model.parse(texts[view.winner], view.winner)["name"]


def test_a_loader_has_the_network_at_each_instant(path):
    """Through 200 changes there and back, with another network behind it."""
    (path.parent / "99-other.conflist").write_text('{"name": "other", "plugins": [{"type": "ptp"}]}')
    seen, done, wrong = [], threading.Event(), []

    def watch():
        try:
            while not done.is_set():
                seen.append(look(path.parent))
        except AssertionError as error:
            wrong.append(error)

    watcher = threading.Thread(target=watch)
    watcher.start()
    form = CniForm(str(path), SINGLE)
    for _round in range(200):
        form.write("list")
        form.write("single")
    done.set()
    watcher.join()
    assert not wrong
    assert set(seen) <= {"n", None} and seen.count("n") > 400
    assert path.read_bytes() == SINGLE.encode()

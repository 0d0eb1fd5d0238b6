# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._addressing.allocate import Kept
from ansible_collections.kubenode.network.plugins.module_utils._addressing.blocks import parse
from ansible_collections.kubenode.network.plugins.plugin_utils._site import store

KEPT = Kept([(parse("10.244.0.0/16"), 24), (parse("fd00::/48"), 64)],
            {"node-10": [parse("10.244.1.0/24"), parse("fd00::/64")], "node-9": [parse("10.244.0.0/24")]},
            {parse("10.244.7.0/24"): 2, parse("10.244.3.0/24"): 11})  # fmt: skip
TEXT = """\
{"kubenode_network_pod_cidrs": {"vars": {"schema": 1, "records": [
{"cluster": "blue", "node": "x", "cidrs": ["10.9.0.0/24"]},
{"cluster": "red", "cluster_cidrs": [{"cidr": "10.244.0.0/16", "node_mask_size": 24}, {"cidr": "fd00::/48", "node_mask_size": 64}]},
{"cluster": "red", "node": "node-9", "cidrs": ["10.244.0.0/24"]},
{"cluster": "red", "node": "node-10", "cidrs": ["10.244.1.0/24", "fd00::/64"]},
{"cluster": "red", "freed": "10.244.3.0/24", "when": 11},
{"cluster": "red", "freed": "10.244.7.0/24", "when": 2},
{"end": true}
]}}}
"""
CLUSTERS = {"red": KEPT, "blue": Kept([], {"x": [parse("10.9.0.0/24")]}, {})}
NODE = '{"cluster": "red", "node": "node-9", "cidrs": ["10.244.0.0/24"]},'


def test_each_node_and_each_freed_cidr_has_a_line_of_its_own():
    assert store.text_of(CLUSTERS) == TEXT
    assert store.parsed(TEXT.encode(), "S") == CLUSTERS
    assert store.text_of({}) == TEXT.partition("\n")[0] + '\n{"end": true}\n]}}}\n'


def test_in_a_folder_of_inventories_it_is_one_without_hosts(tmp_path):
    """Ansible reads every file in such a folder."""
    folder = tmp_path / "inventory"
    folder.mkdir()
    (folder / "hosts").write_text("node-9\n")
    (folder / store.NAME).write_text(TEXT)
    (tmp_path / "ansible.cfg").touch()
    argv = [sys.executable, "-m", "ansible", "inventory", "-i", str(folder), "--list"]
    env = {**os.environ, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "1", "ANSIBLE_HOME": str(tmp_path / "home"),
           "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}
    done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["_meta"]["hostvars"] == {}
    assert json.loads(done.stdout)["ungrouped"]["hosts"] == ["node-9"]


@pytest.mark.parametrize(("data", "reason"), [
    ("", "it is empty"),
    ("\0" * 4096, "it is empty"),
    (TEXT[:200], "line 3 column"),
    (TEXT[:-5], "Expecting ',' delimiter"),
    (TEXT.replace(NODE, f"<<<<<<< HEAD\n{NODE}\n=======\n>>>>>>> b"), "line 4 is a conflict marker of git"),
    (TEXT.replace('{"end": true}\n', '{"end": false}\n'), "its frame is incomplete"),
    (TEXT.replace(',\n{"end": true}\n', "\n"), "its frame is incomplete"),
    (TEXT.replace('"schema": 1', '"schema": 0'), "its frame is incomplete"),
    (TEXT.replace('"node-9"', '"Node 9"'), '{"cluster": "red", "node": "Node 9", "cidrs": ["10.244.0.0/24"]} is no line of it'),
    (TEXT.replace('"node-9"', "9"), "is no line of it"),
    (TEXT.replace('"red", "node": "node-9"', '"Red", "node": "node-9"'), "names no cluster"),
    (TEXT.replace('["10.244.0.0/24"]', '["10.244.0.1/24"]'), "has what is no CIDR of pods"),
    (TEXT.replace('["10.244.0.0/24"]', '["10.244.0.0/32"]'), "has what is no CIDR of pods"),
    (TEXT.replace('["10.244.0.0/24"]', '["10.244.0.0/24", "10.244.2.0/24"]'), "is no line of it"),
    (TEXT.replace('["10.244.0.0/24"]', "[]"), "is no line of it"),
    (TEXT.replace('["10.244.0.0/24"]', "7"), "is no line of it"),
    (TEXT.replace('"when": 2', '"when": -2'), "has what is no number"),
    (TEXT.replace('"when": 2', '"when": true'), "has what is no number"),
    (TEXT.replace('"freed": "10.244.7.0/24"', '"freed": null'), "has what is no CIDR of pods"),
    (TEXT.replace(NODE, '["red"],'), '["red"] names no cluster'),
    (TEXT.replace(NODE, "{},"), "{} names no cluster"),
    (TEXT.replace(NODE, '{"cluster": "red", "cluster": "blue", "node": "x"},'), "a key is there twice"),
    (TEXT.replace(NODE, f"{NODE}\n{NODE.replace('244.0.0', '244.5.0')}"), ('["10.244.5.0/24"]} and 10.244.0.0/24 are both for node-9, as when two branches'
                                                                           " were merged (expected the line that the node has its CIDRs from)")),
    (TEXT.replace(NODE, '{"cluster": "red", "cluster_cidrs": [{"cidr": "10.9.0.0/16", "node_mask_size": 24}]},'), "is there twice, with different ranges"),
    (f"{store._MARK}{'[' * 100000}", "nested"),
])  # fmt: skip
def test_what_is_damaged_is_never_taken_for_something_else(data, reason):
    with pytest.raises(store.Damaged) as caught:
        store.parsed(data.encode(), "/srv/s")
    assert str(caught.value).startswith("/srv/s is damaged: ") and reason in str(caught.value)
    assert caught.value.data == data.encode()


def test_lines_that_say_the_same_are_one():
    twice = TEXT.replace(NODE, f"{NODE}\n{NODE}").replace('"when": 2},', '"when": 2},\n{"cluster": "red", "freed": "10.244.7.0/24", "when": 1},')
    assert store.parsed(twice.encode(), "S") == CLUSTERS


@pytest.mark.parametrize("data", ["[kube_node]\nnode-1\n", "{}", '{"all": {}}', "all:\n  hosts: {}\n", " " + TEXT, "\xff\xfe"])
def test_what_is_somebody_elses_is_no_damaged_store(data):
    with pytest.raises(store.StoreError, match="/srv/s is no store of pod CIDRs") as caught:
        store.parsed(data.encode("latin-1"), "/srv/s")
    assert not isinstance(caught.value, store.Damaged)


@pytest.mark.parametrize("rest", ["", "<<<<<<<"])
def test_a_newer_release_may_mean_anything(rest):
    with pytest.raises(store.StoreError, match="has schema 12, of a newer release of kubenode.network") as caught:
        store.parsed(TEXT.replace('"schema": 1', '"schema": 12').encode() + rest.encode(), "S")
    assert not isinstance(caught.value, store.Damaged)


# The file


def test_what_is_written_is_read_and_nothing_is_left_beside_it(tmp_path):
    path = tmp_path / "s.json"
    (tmp_path / ".s.json.0123abcd.tmp").write_text("of a run that was killed")
    (tmp_path / ".other.json.0123abcd.tmp").write_text("of another store")
    assert store.read(str(path)) is None
    with store.locked(str(path)):
        assert sorted(os.listdir(tmp_path)) == [".other.json.0123abcd.tmp", ".s.json.0123abcd.tmp", ".s.json.lock"]
        store.write(str(path), b"new")
    assert (store.read(str(path)), sorted(os.listdir(tmp_path))) == (b"new", [".other.json.0123abcd.tmp", "s.json"])
    assert path.stat().st_mode & 0o022 == 0


def test_the_mode_of_the_file_is_kept(tmp_path):
    path = tmp_path / "s.json"
    path.touch(0o600)
    path.chmod(0o640)
    store.write(str(path), b"new")
    assert path.stat().st_mode & 0o7777 == 0o640


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, reason in ((tmp_path, "is no file"), (tmp_path / "pipe", "is no file"), (tmp_path / "s" / "x", None)):
        if reason is None:
            assert store.read(str(path)) is None
            continue
        with pytest.raises(store.StoreError, match=reason):
            store.read(str(path))
    with pytest.raises(store.StoreError, match=r"/gone/s cannot be locked: .*: No such file or directory"):
        with store.locked(str(tmp_path / "gone" / "s")):
            pass


def test_a_disk_that_is_full_leaves_the_old_file(tmp_path):
    path = tmp_path / "s.json"
    path.write_bytes(b"old")
    code = """
import resource, signal, sys
sys.path.insert(0, sys.argv[1])
from ansible_collections.kubenode.network.plugins.plugin_utils._site import store
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
try:
    store.write(sys.argv[2], b"x" * 10000)
except store.StoreError as error:
    print(error)
"""
    collections = next(path for path in sys.path if (Path(path) / "ansible_collections" / "kubenode").is_dir())
    done = subprocess.run([sys.executable, "-c", code, collections, str(path)], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == f"{path} cannot be written: File too large\n", done.stderr
    assert (path.read_bytes(), os.listdir(tmp_path)) == (b"old", ["s.json"])


def test_one_at_a_time(tmp_path):
    path, order = str(tmp_path / "s"), []

    def second():
        with store.locked(path):
            order.append("second")

    with store.locked(path):
        threads = [threading.Thread(target=second) for _number in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.3)
        order.append("first")
        with pytest.raises(store.StoreError, match="is in use: another run has held"):
            with store.locked(path, 0.1):
                pass
    for thread in threads:
        thread.join(30)
    assert order == ["first", *["second"] * 3]
    assert os.listdir(tmp_path) == []


def test_a_file_system_without_locks_is_said(tmp_path, monkeypatch):
    def no_locks(_descriptor, _operation):
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(store.fcntl, "flock", no_locks)
    with pytest.raises(store.StoreError, match=r"s cannot be locked: .*: No locks available \(expected a file system with flock"):
        with store.locked(str(tmp_path / "s")):
            pass

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a run of ansible-playbook makes once for all nodes, though each of them has a process of its own."""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import shutil
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from ansible import constants
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError
from ansible_collections.kubenode.network.plugins.plugin_utils import _once, _plugin_sources, _program

FORK = multiprocessing.get_context("fork")


@pytest.fixture(autouse=True)
def of_this_run(tmp_path, monkeypatch):
    """The temporary folder of ansible-playbook."""
    folder = tmp_path / "local"
    folder.mkdir()
    monkeypatch.setattr(constants, "DEFAULT_LOCAL_TMP", str(folder))
    return folder


@pytest.fixture
def calls(tmp_path):
    """Says how often something was made, by any process."""
    file = tmp_path / "calls"
    file.write_text("")

    def note():
        with file.open("a") as log:
            log.write("x")

    note.count = lambda: len(file.read_text())
    return note


def in_processes(count, function):
    """Runs it in processes at the same time; what they returned."""
    queue = FORK.Queue()
    processes = [FORK.Process(target=lambda: queue.put(function())) for _number in range(count)]
    for process in processes:
        process.start()
    found = [queue.get(timeout=60) for _process in processes]
    for process in processes:
        process.join()
    return found


def test_one_process_makes_it_for_all(calls):
    def make(folder):
        calls()
        return [str(folder), 1]

    found = in_processes(8, lambda: _once.once(["name", None], make))
    assert calls.count() == 1
    assert found == found[:1] * 8
    assert Path(found[0][0]).is_dir()
    _once.once(["another name", None], make)
    assert calls.count() == 2


def test_what_failed_is_tried_again(calls):
    def fail(folder):
        calls()
        raise InputError([])

    for _time in range(2):
        with pytest.raises(InputError):
            _once.once("name", fail)
    assert calls.count() == 2
    assert _once.once("name", lambda folder: "made") == "made"


def test_the_program_is_packed_once(calls, monkeypatch):
    build = _program.build
    monkeypatch.setattr(_program, "build", lambda: (calls(), build())[1])
    found = in_processes(4, _program.packed)
    assert calls.count() == 1
    assert {program.sha256 for program in found} == {hashlib.sha256(Path(found[0].path).read_bytes()).hexdigest()} == {build().sha256}
    assert found[0].size == Path(found[0].path).stat().st_size


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / "source"
    folder.mkdir()
    for name in ("bridge", "loopback"):
        shutil.copy(f"/usr/lib/cni/{name}", folder)
    return folder


def options(src, checksum=None):
    return {"src": str(src), "checksum": checksum, "plugins": None, "version": None}


def packed(source, path):
    with tarfile.open(path, "w") as archive:
        archive.add(source, arcname=".")
    return options(path, f"sha256:{hashlib.sha256(path.read_bytes()).hexdigest()}")


@pytest.mark.parametrize("form", ["folder", "archive"])
def test_a_source_is_looked_into_once_and_again_when_it_changed(source, tmp_path, calls, monkeypatch, form):
    look = _plugin_sources.plugin_source.look_into
    monkeypatch.setattr(_plugin_sources.plugin_source, "look_into", lambda *given: (calls(), look(*given))[1])

    def given():
        return options(source) if form == "folder" else packed(source, tmp_path / "cni.tar")

    asked = given()
    found = in_processes(4, lambda: _plugin_sources.open_source(asked, None))
    assert calls.count() == 1
    assert found == found[:1] * 4
    digests = {name: hashlib.sha256(Path(path).read_bytes()).hexdigest() for name, path in found[0].paths.items()}
    assert sorted(digests) == ["bridge", "loopback"]
    assert found[0].manifest == digests

    with (source / "bridge").open("ab") as file:
        file.write(b"changed")
    changed = _plugin_sources.open_source(given(), None)
    assert calls.count() == 2
    assert [name for name in digests if changed.manifest[name] != digests[name]] == ["bridge"]


def test_what_was_unpacked_stays_in_the_folder_of_the_run(source, tmp_path, of_this_run, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    found = _plugin_sources.open_source(packed(source, tmp_path / "cni.tar"), None)
    assert all(path.startswith(str(of_this_run)) for path in found.paths.values())
    assert list(scratch.iterdir()) == []
    with pytest.raises(InputError, match="was not unpacked"):
        _plugin_sources.open_source({**packed(source, tmp_path / "other.tar"), "checksum": "sha256:" + "0" * 64}, None)
    assert list(scratch.iterdir()) == []


@pytest.mark.parametrize("was_enabled", [True, False])
def test_python_looks_for_garbage_again_when_a_module_was_run(was_enabled):
    def fail(**options):
        assert not gc.isenabled()
        raise OSError(options["module_name"])

    action = SimpleNamespace(_execute_module=fail)
    (gc.enable if was_enabled else gc.disable)()
    try:
        with pytest.raises(OSError, match=r"^kubenode.network.cni_plugins$"):
            _program.ProgramAction._call(action, "kubenode.network.cni_plugins", {}, None)
        assert gc.isenabled() == was_enabled
    finally:
        gc.enable()

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What the door does around a run: what it keeps of replaced contents, and whom it lets in."""

from __future__ import annotations

import json
import os

import pytest
from ansible_collections.kubenode.network.plugins.module_utils import _execution, _undo
from ansible_collections.kubenode.network.plugins.module_utils._converge import ApplyError, Part, Want
from ansible_collections.kubenode.network.plugins.module_utils._document import Document
from ansible_collections.kubenode.network.plugins.module_utils._errors import InputError, NodeError, Problem
from ansible_collections.kubenode.network.plugins.module_utils._host import files
from ansible_collections.kubenode.network.plugins.module_utils._resource import Resource
from ansible_collections.kubenode.network.plugins.module_utils._resources.file import revive

# The store


class Raising(Resource):
    """Raises these one after the other as it is written, and written again to be put back."""

    id = "raising"

    def __init__(self, *errors):
        self.errors = list(errors)
        self.state = None

    def read(self):
        return self.state

    def write(self, state):
        self.state = state if not self.errors else "half of it"
        if self.errors:
            raise self.errors.pop(0)


def found_file(disk, name="f"):
    path = disk.root / name
    path.write_bytes(name.encode())
    path.chmod(0o644)
    return path


def part(*wants):
    return Part("files", "one", {}, list(wants), revive)


@pytest.mark.parametrize("error", [NodeError("told to fail"), KeyboardInterrupt(), SystemExit("ended")], ids=lambda error: type(error).__name__)
def test_a_run_that_is_undone_leaves_nothing_in_the_store(disk, store, error):
    replaced, adopted = found_file(disk, "replaced"), found_file(disk, "adopted")
    wants = [disk.want(replaced, b"ours"), disk.want(adopted, b"adopted"), Want(Raising(error), 1)]
    with pytest.raises((ApplyError, KeyboardInterrupt, SystemExit)):
        disk.converge(part(*wants))
    assert (replaced.read_bytes(), adopted.read_bytes()) == (b"replaced", b"adopted")
    assert not store.exists() and not disk.document.exists()


@pytest.mark.parametrize("error", [NodeError("told to fail"), KeyboardInterrupt(), SystemExit("ended")], ids=lambda error: type(error).__name__)
def test_a_run_that_cannot_be_undone_keeps_what_it_replaced(disk, store, error):
    path = found_file(disk)
    with pytest.raises((ApplyError, KeyboardInterrupt, SystemExit)) as caught:
        disk.converge(part(disk.want(path, b"ours"), Want(Raising(error, NodeError("stuck"), NodeError("stuck")), 1)))
    said = [str(caught.value), str(caught.value.__cause__)]
    assert any("these could not be put back: raising (stuck)" in text for text in said)
    assert len(os.listdir(store)) == 1


def test_a_run_that_is_interrupted_behind_its_commit_keeps_what_was_found(disk, store):
    path, converge = found_file(disk), _execution.converge

    def interrupted(*args, **options):
        converge(*args, **options)
        raise SystemExit("ended")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_execution, "converge", interrupted)
        with pytest.raises(SystemExit):
            disk.converge(part(disk.want(path, b"ours")))
    disk.converge(Part("files", "one", None, [], revive))
    assert path.read_bytes() == b"f" and not store.exists()


# The lock


def is_held(lock):
    try:
        with files.locked(lock, seconds=0):
            return False
    except NodeError:
        return True


class Recording:
    """A section that wants nothing; it says whether the lock was held when it was asked."""

    NAME = "recording"
    OPTIONS = {}  # noqa: RUF012

    def __init__(self, lock):
        self.lock, self.held = lock, []

    def check(self, options):
        return []

    def parts(self, options, run):
        self.held.append(is_held(self.lock))
        return []


@pytest.mark.parametrize("check", [True, False])
def test_a_run_holds_the_lock_from_its_first_look_and_a_look_alone_needs_none(tmp_path, store, monkeypatch, check):
    lock = str(tmp_path / "lock")
    monkeypatch.setattr(_undo, "LOCK", lock)
    empty = Document({}, str(tmp_path / "node.json"))
    monkeypatch.setattr(Document, "load", lambda path="", made=frozenset(): empty)
    section = Recording(lock)
    _execution.execute([(section, {}, "")], _execution.Terms("a test", check=check))
    assert section.held == [not check] and not is_held(lock)


class Ended(Exception):
    pass


class Answering(Recording):
    """Keeps what the module ends with."""

    def exit_json(self, **result):
        raise Ended(result)

    fail_json = exit_json


@pytest.mark.parametrize("error", [NodeError("\udcff"), OSError(2, "gone", "/\udcff"), InputError([Problem("\udcff", "\udcff")]), None])
def test_what_no_utf_8_can_say_is_no_reason_to_refuse_an_answer(tmp_path, error):
    def work():
        if error is not None:
            raise error
        return {"warnings": [], "names": {"\udcff": ["a", ("\ud800", 1)]}}

    with pytest.raises(Ended) as ended:
        _execution.answer(Answering(tmp_path), work)
    assert "udcff" in json.dumps(ended.value.args[0], ensure_ascii=False).encode().decode()

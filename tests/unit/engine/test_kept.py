# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is kept of files from run to run, and what is not believed."""

from __future__ import annotations

import hashlib
import json
import os

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._host import files, kept


class Place:
    """A binary, old enough to be trusted unless told, and how often it was read in full."""

    def __init__(self, root, monkeypatch):
        self.cache = root / "run" / "files.json"
        self.binary = root / "bridge"
        self.binary.write_bytes(b"\x7fELF one")
        self.reads = 0
        self.monkeypatch = monkeypatch
        monkeypatch.setattr(kept, "PATH", str(self.cache))
        monkeypatch.setattr(files, "sha256_of", self.read)
        self.later(10)

    def later(self, seconds):
        """The clock is so far ahead of the file's timestamps."""
        now = os.stat(self.binary).st_ctime_ns + int(seconds * 1e9)
        self.monkeypatch.setattr(kept.time, "time_ns", lambda: now)

    def read(self, path):
        self.reads += 1
        with open(path, "rb") as file:
            return hashlib.sha256(file.read()).hexdigest()

    def run(self, path=None):
        """One run that wants the hash twice: how often the file was read for it."""
        before = self.reads
        kept.forget()
        for _time in range(2):
            assert kept.sha256_of(str(path or self.binary)) == hashlib.sha256(self.binary.read_bytes()).hexdigest()
        kept.save()
        kept.forget()
        return self.reads - before


@pytest.fixture
def place(tmp_path, monkeypatch):
    return Place(tmp_path, monkeypatch)


def test_a_file_is_read_once(place):
    assert [place.run() for _run in range(3)] == [1, 0, 0]
    assert (oct(place.cache.stat().st_mode & 0o7777), oct(place.cache.parent.stat().st_mode & 0o7777)) == ("0o600", "0o700")


def byte_changed(place):
    """With the modification time put back."""
    before = place.binary.stat()
    with place.binary.open("r+b") as file:
        file.seek(5)
        file.write(b"X")
    os.utime(place.binary, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert (place.binary.stat().st_size, place.binary.stat().st_mtime_ns, place.binary.stat().st_ino) == (
        before.st_size, before.st_mtime_ns, before.st_ino)  # fmt: skip


def replaced(place):
    other = place.binary.with_name("new")
    other.write_bytes(b"\x7fELF two")
    os.rename(other, place.binary)


def another_mode(place):
    place.binary.chmod(0o700)


@pytest.mark.parametrize("change", [byte_changed, replaced, another_mode])
def test_a_file_that_changed_is_read_again(place, change):
    place.run()
    change(place)
    place.later(10)
    assert [place.run(), place.run()] == [1, 0]


@pytest.mark.parametrize("seconds", [0, 1, 2, -3600])
def test_a_file_that_changed_just_now_is_read_in_each_run(place, seconds):
    """It could change again and have the same timestamps, so the next run does not believe it; the one that read it does."""
    place.later(seconds)
    assert [place.run() for _run in range(3)] == [1, 1, 1]
    place.later(2.1)
    assert [place.run(), place.run()] == [1, 0]


def test_a_file_that_changes_while_it_is_read_is_not_kept(place, monkeypatch):
    def change_then_read(path):
        answer = place.read(path)
        place.binary.chmod(0o711)
        os.utime(place.binary, ns=(place.reads, place.reads))
        return answer

    monkeypatch.setattr(files, "sha256_of", change_then_read)
    assert [place.run(), place.run()] == [2, 2]


def test_nothing_that_is_kept_counts_where_it_is_to_be_verified(place):
    place.run()
    kept.forget()
    kept.distrust()
    assert kept.sha256_of(str(place.binary)) and place.reads == 2


def foreign(place):
    os.chown(place.cache, 65534, 65534)


def open_to_others(place):
    place.cache.chmod(0o602)


def in_an_open_folder(place):
    place.cache.parent.chmod(0o777)


def cut(place):
    place.cache.write_bytes(place.cache.read_bytes()[:20])


def of_another_schema(place):
    place.cache.write_text(json.dumps({**json.loads(place.cache.read_text()), "schema": kept.SCHEMA + 1}))


def of_another_shape(place):
    data = json.loads(place.cache.read_text())
    data["files"][str(place.binary)]["facts"] = {"sha256": 5}
    place.cache.write_text(json.dumps(data))


def a_link(place):
    os.rename(place.cache, f"{place.cache}.other")
    place.cache.symlink_to(f"{place.cache}.other")


@pytest.mark.parametrize("damage", [foreign, open_to_others, in_an_open_folder, cut, of_another_schema, of_another_shape, a_link])
def test_what_is_damaged_or_of_others_is_not_believed(place, damage):
    place.run()
    damage(place)
    assert place.run() == 1


def test_what_cannot_be_kept_is_read_again(place):
    place.cache.parent.write_text("in the way")
    assert [place.run(), place.run()] == [1, 1]


def test_files_that_are_gone_are_forgotten(place, tmp_path):
    place.run()
    other = tmp_path / "other"
    place.binary.rename(other)
    place.binary = other
    place.later(10)
    assert place.run(other) == 1
    assert list(json.loads(place.cache.read_text())["files"]) == [str(other)]


def test_a_script_is_asked_in_each_run(place):
    asked = []
    place.binary.write_bytes(b"#!/bin/sh\n")
    place.later(10)
    for _time in range(2):
        assert kept.said_by(str(place.binary), "version", lambda path: asked.append(path) or "1.8") == "1.8"
    assert asked == [str(place.binary)] * 2

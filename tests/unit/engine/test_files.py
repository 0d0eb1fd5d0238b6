# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import errno
import hashlib
import os
import stat
import sys
import threading
import types
from pathlib import Path

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._converge import Part, Want
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import files
from ansible_collections.kubenode.network.plugins.module_utils._resources import file
from ansible_collections.kubenode.network.plugins.module_utils._resources.file import ROOT_FOLDER, File, Folder, folder_wants, revive

ME, MINE = os.geteuid(), os.getegid()


def sha(data):
    return hashlib.sha256(data).hexdigest()


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def put(path, data, mode=0o644):
    path.write_bytes(data)
    path.chmod(mode)
    return {"sha256": sha(data), "mode": f"{mode:04o}", "owner": ME, "group": MINE}


class Lying:
    """Content that is not what its hash says, as a source that changes while it is read."""

    sha256 = sha(b"promised")

    def chunks(self):
        yield b"deliv"
        yield b"ered"


class Breaking:
    sha256 = sha(b"promised")

    def chunks(self):
        yield b"prom"
        raise OSError(errno.EIO, "Input/output error")


# Whole files by one rename


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o755, 0o1711])
@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_a_file_is_written_with_exactly_its_mode(tmp_path, mode, umask):
    path, before = tmp_path / "f", os.umask(umask)
    try:
        files.write(str(path), files.Bytes(b"new"), mode=mode, owner=ME, group=MINE)
    finally:
        os.umask(before)
    assert path.read_bytes() == b"new" and mode_of(path) == mode
    assert os.listdir(tmp_path) == ["f"]


def test_a_file_is_complete_before_it_has_its_name(tmp_path, monkeypatch):
    path, seen, rename = tmp_path / "10-x.conflist", [], os.rename
    path.write_bytes(b"old")

    def watching(source, target):
        seen.append((os.path.dirname(source), Path(source).read_bytes(), mode_of(source), path.read_bytes()))
        assert source.endswith(".tmp") and target == str(path)  # no loader of CNI files reads .tmp
        rename(source, target)

    monkeypatch.setattr(os, "rename", watching)
    files.write(str(path), files.Bytes(b"new"), mode=0o640, owner=ME, group=MINE)
    assert seen == [(str(tmp_path), b"new", 0o640, b"old")]
    assert path.read_bytes() == b"new"


@pytest.fixture
def selinux(tmp_path, monkeypatch):
    """A host where SELinux is on, as far as we ask: the calls in order, each with what the folder held."""
    calls = []
    library = types.ModuleType("selinux")
    library.matchpathcon = lambda path, mode: (0, f"label of {path} {stat.S_ISREG(mode)}")
    library.lsetfilecon = lambda path, label: calls.append((path, label, sorted(os.listdir(tmp_path))))
    monkeypatch.setitem(sys.modules, "selinux", library)
    monkeypatch.setattr(files, "SELINUX", "/proc/self/status")
    return calls


def test_a_file_has_the_selinux_label_of_its_name_before_it_has_the_name(tmp_path, selinux):
    path = tmp_path / "10-mynet.conflist"
    files.write(str(path), files.Bytes(b"x"), mode=0o644)
    ((labelled, label, there),) = selinux
    assert label == f"label of {path} True"
    assert there == [os.path.basename(labelled)] and labelled.endswith(".tmp"), "it was there by its name already"


def test_a_symbolic_link_is_replaced_and_not_followed(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_bytes(b"theirs")
    link.symlink_to(target)
    files.write(str(link), files.Bytes(b"new"), mode=0o644, owner=ME, group=MINE)
    assert not link.is_symlink() and link.read_bytes() == b"new" and target.read_bytes() == b"theirs"


@pytest.mark.parametrize(
    "content, text",
    [(Lying(), "was not written: its source changed while it was read"), (Breaking(), "cannot be written: Input/output error")],
    ids=["lying", "breaking"],
)
@pytest.mark.parametrize("old", [None, b"old"])
def test_a_content_that_fails_leaves_the_old_file_and_no_other(tmp_path, content, text, old):
    path = tmp_path / "f"
    if old is not None:
        path.write_bytes(old)
    with pytest.raises(NodeError) as caught:
        files.write(str(path), content, mode=0o644, owner=ME, group=MINE)
    assert str(caught.value) == f"{path} {text}"
    assert os.listdir(tmp_path) == ([] if old is None else ["f"])
    assert old is None or path.read_bytes() == old


@pytest.mark.parametrize("call", ["fsync", "rename", "fchmod", "fchown"])
def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch, call):
    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, full)
    with pytest.raises(NodeError, match="f cannot be written: No space left on device"):
        files.write(str(tmp_path / "f"), files.Bytes(b"new"), mode=0o644, owner=ME, group=MINE)
    assert os.listdir(tmp_path) == []


def test_an_interrupted_write_leaves_nothing_behind(tmp_path, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        files.write(str(tmp_path / "f"), files.Bytes(b"new"), mode=0o644, owner=ME, group=MINE)
    assert os.listdir(tmp_path) == []


def test_a_symbolic_link_that_cannot_be_placed_leaves_nothing_behind(tmp_path):
    (tmp_path / "d").mkdir()
    with pytest.raises(NodeError, match="d cannot be written: Is a directory"):
        files.symlink(str(tmp_path / "d"), "/x")
    assert os.listdir(tmp_path) == ["d"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(NodeError, match="gone/f cannot be written: No such file or directory"):
        files.write(str(tmp_path / "gone" / "f"), files.Bytes(b"new"), mode=0o644)


def test_a_content_in_chunks_is_written_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "CHUNK", 3)
    source = tmp_path / "source"
    source.write_bytes(b"0123456789")
    content = files.FileContent(str(source))
    assert list(content.chunks()) == [b"012", b"345", b"678", b"9"] and content.sha256 == sha(b"0123456789")
    files.write(str(tmp_path / "f"), content, mode=0o644, owner=ME, group=MINE)
    assert (tmp_path / "f").read_bytes() == b"0123456789"


def test_a_source_that_changed_since_it_was_hashed_is_not_installed(tmp_path):
    source = tmp_path / "source"
    source.write_bytes(b"as checked")
    content = files.FileContent(str(source))
    source.write_bytes(b"as swapped")
    with pytest.raises(NodeError, match="its source changed while it was read"):
        files.write(str(tmp_path / "f"), content, mode=0o644, owner=ME, group=MINE)
    assert os.listdir(tmp_path) == ["source"]


def test_a_file_of_our_own_is_moved_into_place(tmp_path):
    source = tmp_path / "unpacked"
    put(source, b"new", 0o700)
    inode = source.stat().st_ino
    files.write(str(tmp_path / "f"), files.FileContent(str(source), movable=True), mode=0o755, owner=ME, group=MINE)
    assert os.listdir(tmp_path) == ["f"]
    assert (mode_of(tmp_path / "f"), (tmp_path / "f").read_bytes(), (tmp_path / "f").stat().st_ino) == (0o755, b"new", inode)


def test_a_file_of_our_own_on_another_file_system_is_copied(tmp_path):
    source = tmp_path / "unpacked"
    put(source, b"new", 0o700)
    elsewhere = Path("/dev/shm", tmp_path.name)
    assert os.stat("/dev/shm").st_dev != os.stat(tmp_path).st_dev
    try:
        files.write(str(elsewhere), files.FileContent(str(source), movable=True), mode=0o755, owner=ME, group=MINE)
        assert elsewhere.read_bytes() == b"new"
    finally:
        elsewhere.unlink()


def test_the_scratch_folder_is_empty_whatever_a_killed_run_left_there(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "SCRATCH", str(tmp_path / "ours" / "unpacked"))
    (tmp_path / "ours" / "unpacked" / "below").mkdir(parents=True)
    (tmp_path / "ours" / "unpacked" / "below" / "bridge").write_bytes(b"half")
    assert os.listdir(files.make_scratch()) == []
    assert mode_of(files.SCRATCH) == 0o700
    files.clear_scratch()
    assert os.listdir(tmp_path) == []
    (tmp_path / "ours" / "found").mkdir(parents=True)
    files.make_scratch()
    files.clear_scratch()
    assert os.listdir(tmp_path / "ours") == ["found"]


# States


@pytest.mark.parametrize("mode", [0o600, 0o755, 0o4711, 0o400])
def test_the_state_of_a_file(tmp_path, mode):
    state = put(tmp_path / "f", b"text", mode)
    assert files.state(str(tmp_path / "f")) == state


@pytest.mark.parametrize("target", ["/no/such/place", "beside", ""])
def test_the_state_of_a_symbolic_link_is_its_target(tmp_path, target):
    (tmp_path / "beside").write_text("text")
    (tmp_path / "link").symlink_to(target or tmp_path)
    assert files.state(str(tmp_path / "link")) == {"symlink": target or str(tmp_path)}


def test_no_file_no_state(tmp_path):
    (tmp_path / "f").write_text("text")
    assert files.state(str(tmp_path / "gone")) is None
    assert files.state(str(tmp_path / "f" / "below a file")) is None


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo])
def test_what_is_neither_file_nor_link_is_refused(tmp_path, make):
    make(tmp_path / "x")
    with pytest.raises(NodeError, match="x is neither a file nor a symbolic link"):
        files.state(str(tmp_path / "x"))


def test_text_is_read_whatever_its_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"a\xffb")
    assert files.read_text(str(tmp_path / "f")) == "a\ufffdb"
    assert files.read_text(str(tmp_path / "gone")) is None is files.read_text(str(tmp_path / "f" / "below"))
    with pytest.raises(NodeError, match="cannot be read: Is a directory"):
        files.read_text(str(tmp_path))


def test_text_is_neither_waited_for_nor_read_without_end(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(NodeError, match=rf"{name} cannot be read: it is neither a file nor a link to one$"):
            files.read_text(str(tmp_path / name))
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(NodeError, match=r"large cannot be read: it has more than 64 MiB"):
        files.read_text(str(tmp_path / "large"))


# Folders


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_folders_are_made_with_their_parents_whatever_the_umask(tmp_path, umask):
    before = os.umask(umask)
    try:
        files.make_folder(str(tmp_path / "a" / "b" / "c"), 0o700)
    finally:
        os.umask(before)
    assert [mode_of(tmp_path / path) for path in ("a", "a/b", "a/b/c")] == [0o755, 0o755, 0o700]
    files.make_folder(str(tmp_path / "a"), 0o700)
    assert mode_of(tmp_path / "a") == 0o755  # one that is there stays as it is


def test_a_folder_under_a_file_cannot_be_made(tmp_path):
    (tmp_path / "f").write_text("text")
    with pytest.raises(NodeError, match="f cannot be made: File exists"):
        files.make_folder(str(tmp_path / "f" / "x"), 0o755)


def test_only_an_empty_folder_is_removed(tmp_path):
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "f").write_text("theirs")
    (tmp_path / "empty").mkdir()
    for name in ("full", "empty", "gone"):
        files.remove_folder(str(tmp_path / name))
    assert os.listdir(tmp_path) == ["full"] and os.listdir(tmp_path / "full") == ["f"]


def test_the_state_of_a_folder_and_of_a_link_to_one(tmp_path):
    (tmp_path / "d").mkdir()
    (tmp_path / "d").chmod(0o750)
    (tmp_path / "link").symlink_to("d")
    state = {"mode": "0750", "owner": ME, "group": MINE}
    assert files.folder_state(str(tmp_path / "d")) == state == files.folder_state(str(tmp_path / "link"))
    assert files.folder_state(str(tmp_path / "gone")) is None
    (tmp_path / "f").write_text("text")
    with pytest.raises(NodeError, match="f is there but is not a folder"):
        files.folder_state(str(tmp_path / "f"))


def test_entries_of_a_folder(tmp_path):
    for name in ("b", ".a", "c"):
        (tmp_path / name).write_text("x")
    assert files.entries(str(tmp_path)) == [".a", "b", "c"]
    assert files.entries(str(tmp_path / "gone")) == [] == files.entries(str(tmp_path / "b"))


# The store


def test_a_kept_content_outlives_its_file(tmp_path, store):
    path = tmp_path / "f"
    put(path, b"found")
    files.keep(str(path), sha(b"found"))
    files.write(str(path), files.Bytes(b"ours"), mode=0o644, owner=ME, group=MINE)
    assert b"".join(files.kept(sha(b"found")).chunks()) == b"found"
    assert os.listdir(store) == [sha(b"found")] and mode_of(store) == 0o700
    os.unlink(path)
    assert b"".join(files.kept(sha(b"found")).chunks()) == b"found"


def test_a_kept_content_is_kept_once(tmp_path, store):
    for name in ("a", "b", "a"):
        put(tmp_path / name, b"found")
        files.keep(str(tmp_path / name), sha(b"found"))
    assert os.listdir(store) == [sha(b"found")]


def test_a_kept_content_is_a_copy_that_nobody_else_changes(tmp_path, store):
    path, kept = tmp_path / "f", store / sha(b"found")
    put(path, b"found", 0o755)
    files.keep(str(path), sha(b"found"))
    assert kept.stat().st_nlink == 1 and mode_of(kept) == 0o600
    path.write_bytes(b"edited in place")
    assert kept.read_bytes() == b"found"


def test_a_damaged_kept_content_is_kept_anew(tmp_path, store):
    put(tmp_path / "f", b"found")
    files.keep(str(tmp_path / "f"), sha(b"found"))
    (store / sha(b"found")).write_bytes(b"dam")
    files.keep(str(tmp_path / "f"), sha(b"found"))
    assert b"".join(files.kept(sha(b"found")).chunks()) == b"found"


def test_a_content_that_is_no_longer_kept_is_named(store):
    with pytest.raises(NodeError) as caught:
        files.kept("0" * 64)
    assert str(caught.value) == f"the content that was found here before is no longer in {store} ({'0' * 64})"


def test_forgetting_leaves_the_rest_and_in_the_end_nothing(tmp_path, store):
    for data in (b"one", b"two"):
        put(tmp_path / "f", data)
        files.keep(str(tmp_path / "f"), sha(data))
        os.unlink(tmp_path / "f")
    files.forget([sha(b"one"), "f" * 64])
    assert os.listdir(store) == [sha(b"two")]
    files.forget({sha(b"two")})
    assert not store.exists() and not store.parent.exists() and tmp_path.exists()
    files.forget([])  # nothing to forget where nothing was kept


# As a resource

FOUND = [None, {"data": b"theirs", "mode": 0o600}, {"symlink": "/no/such/place"}, {"symlink": "beside"}]


def place(path, found):
    if found is not None and "symlink" in found:
        path.symlink_to(found["symlink"])
    elif found is not None:
        put(path, found["data"], found["mode"])


@pytest.mark.parametrize("found", FOUND, ids=["absent", "file", "dangling link", "link"])
def test_a_file_is_put_back_as_it_was_captured(tmp_path, store, found):
    path, beside = tmp_path / "f", tmp_path / "beside"
    beside.write_bytes(b"beside")
    place(path, found)
    resource = File(str(path), files.Bytes(b"ours"))
    before = resource.read()
    token = resource.capture()
    resource.keep(token)
    resource.write({"sha256": sha(b"ours"), "mode": "0644", "owner": ME, "group": MINE})
    assert path.read_bytes() == b"ours" and not path.is_symlink() and resource.read() != before
    resource.restore(token)
    assert File(str(path)).read() == before and beside.read_bytes() == b"beside"
    resource.restore(token)
    assert File(str(path)).read() == before


@pytest.mark.parametrize("found", FOUND[1:], ids=["file", "dangling link", "link"])
def test_a_removed_file_is_put_back_as_it_was_captured(tmp_path, store, found):
    path = tmp_path / "f"
    (tmp_path / "beside").write_bytes(b"beside")
    place(path, found)
    resource = File(str(path))
    before = resource.read()
    token = resource.capture()
    resource.keep(token)
    resource.write(None)
    assert not os.path.lexists(path) and (tmp_path / "beside").read_bytes() == b"beside"
    resource.restore(token)
    assert resource.read() == before


def test_only_the_mode_of_a_file_with_the_right_content_is_changed(tmp_path, store):
    path = tmp_path / "f"
    state = put(path, b"same", 0o600)
    inode = path.stat().st_ino
    File(str(path), files.Bytes(b"same")).write({**state, "mode": "0755"})
    assert (path.stat().st_ino, mode_of(path), path.read_bytes()) == (inode, 0o755, b"same")


def test_what_a_killed_run_left_is_swept_away(tmp_path):
    for name in (".f.0123abcd.tmp", ".f.tmp", ".other.0123abcd.tmp", "f.0123abcd.tmp"):
        (tmp_path / name).write_text("half")
    files.write(str(tmp_path / "f"), files.Bytes(b"whole"), mode=0o644, owner=ME, group=MINE)
    assert sorted(os.listdir(tmp_path)) == [".f.tmp", ".other.0123abcd.tmp", "f", "f.0123abcd.tmp"]


def test_the_wanted_state_of_a_file():
    resource = File("/x/f", files.Bytes(b"text"))
    assert resource.wanted() == {"sha256": sha(b"text"), "mode": "0644", "owner": 0, "group": 0}
    assert resource.wanted(0o755)["mode"] == "0755" and resource.id == "file:/x/f"
    assert resource.hash(resource.wanted()) == sha(b"text")
    assert resource.hash({"symlink": "x"}) is None is resource.hash(None)


def test_a_file_is_described_by_its_text_now_and_to_come(tmp_path, store):
    path = tmp_path / "f"
    now = put(path, b"old\n")
    resource = File(str(path), files.Bytes(b"new\n"))
    assert (resource.title(now), resource.describe(now)) == (f"file:{path} (mode 0644, owner {ME}:{MINE})", "old\n")
    assert (resource.title(resource.wanted()), resource.describe(resource.wanted())) == (f"file:{path} (mode 0644, owner 0:0)", "new\n")
    assert resource.describe(None) == "" and resource.describe({"symlink": "x"}) == "symlink: x\n"
    assert File(str(path), binary=True).describe(now) == f"sha256 {sha(b'old' + bytes([10]))[:12]}, mode 0644, owner {ME}:{MINE}\n"


def test_a_folder_comes_and_goes(tmp_path):
    folder = Folder(str(tmp_path / "d"))
    state = {"mode": "0750", "owner": ME, "group": MINE}
    folder.write(state)
    assert folder.read() == state
    folder.write({**state, "mode": "0755"})
    assert folder.read() == {**state, "mode": "0755"}
    folder.write(None)
    assert folder.read() is None and ROOT_FOLDER == {"mode": "0755", "owner": 0, "group": 0}


def test_a_folder_must_stay_when_it_holds_what_does_not_leave(tmp_path):
    folder = Folder(str(tmp_path))
    assert folder.must_stay(None, frozenset()) is False
    (tmp_path / "ours").write_text("x")
    assert folder.must_stay(None, {f"file:{tmp_path}/ours"}) is False
    (tmp_path / "theirs").write_text("x")
    assert folder.must_stay(None, {f"file:{tmp_path}/ours"}) is True
    assert folder.must_stay({"mode": "0755", "owner": ME, "group": MINE}, frozenset()) is False  # it does not go away
    assert Folder(str(tmp_path), stays=True).must_stay(None, {f"file:{tmp_path}/{name}" for name in ("ours", "theirs")}) is True


def test_resources_are_made_anew_from_ids():
    assert isinstance(revive("folder:/a/b"), Folder) and revive("folder:/a/b").stays is False
    assert revive("folder:/a/b", folders_stay=True).stays is True
    odd = revive("file:/a/b: c#d", binary=True)
    assert isinstance(odd, File) and (odd.path, odd.id, odd.binary) == ("/a/b: c#d", "file:/a/b: c#d", True)


# Given back by later runs


def part(desired, *wants):
    return Part("files", "one", desired, list(wants), revive)


REMOVAL = part(None)
MY_FOLDER = {"mode": "0755", "owner": ME, "group": MINE}


def test_folders_that_we_made_go_with_the_parents_that_we_made(disk, monkeypatch):
    monkeypatch.setattr(file, "ROOT_FOLDER", MY_FOLDER)
    theirs, made = disk.root / "opt", disk.root / "opt" / "cni"
    theirs.mkdir()
    disk.converge(part({}, *folder_wants(str(made / "bin"), disk.new_run().document), disk.want(made / "bin" / "bridge", b"x")))
    assert (made / "bin" / "bridge").read_bytes() == b"x"
    disk.converge(REMOVAL)
    assert theirs.is_dir() and not made.exists()


def test_a_folder_that_holds_an_adopted_file_stays_when_the_rest_is_given_back(disk):
    folder = disk.root / "bin"
    wants = [Want(Folder(str(folder)), MY_FOLDER), disk.want(folder / "ours", b"1")]
    disk.converge(part({}, *wants))
    (folder / "theirs").write_bytes(b"theirs")
    disk.converge(part({}, *wants, disk.want(folder / "theirs", b"2")))
    disk.converge(REMOVAL)
    assert os.listdir(folder) == ["theirs"] and (folder / "theirs").read_bytes() == b"theirs"


def test_a_content_edited_in_place_since_is_given_back_as_it_was_found(disk):
    path = disk.root / "f"
    put(path, b"found", 0o600)
    disk.converge(part({}, disk.want(path, b"found")))
    with path.open("r+b") as live:
        live.write(b"XXXX")
    disk.converge(REMOVAL)
    assert path.read_bytes() == b"found" and mode_of(path) == 0o600


def test_a_file_that_was_right_at_first_contact_is_given_back_after_drift_and_change(disk, store):
    path = disk.root / "f"
    put(path, b"first")
    disk.converge(part({}, disk.want(path, b"first")))
    path.write_bytes(b"drift")
    disk.converge(part({"version": 2}, disk.want(path, b"second")))
    disk.converge(REMOVAL)
    assert path.read_bytes() == b"first"
    assert os.listdir(store) == [sha(b"drift")]  # what others wrote meanwhile can still be found


# The lock


def test_the_holder_of_the_lock_is_named_when_the_wait_is_over(tmp_path):
    path = str(tmp_path / "lock")
    with files.locked(path, holder="the run of somebody"):
        with pytest.raises(NodeError) as caught:
            with files.locked(path, seconds=1):
                pass
    said = f"the run of somebody has held {path} for 1 s; try again when it is done"
    assert str(caught.value) == said


def test_a_lock_is_waited_for_and_left_behind_free(tmp_path):
    path, done = str(tmp_path / "lock"), []

    def wait():
        with files.locked(path):
            done.append("waited")

    thread = threading.Thread(target=wait)
    with files.locked(path):
        thread.start()
        thread.join(0.5)
        done.append("released")
    thread.join(5)
    assert done == ["released", "waited"]
    with files.locked(path, seconds=0):
        assert mode_of(path) == 0o600


def test_a_lock_is_dropped_with_its_process(tmp_path):
    path = str(tmp_path / "lock")
    child = os.fork()
    if child == 0:
        files.locked(path).__enter__()
        os._exit(0)
    os.waitpid(child, 0)
    with files.locked(path, seconds=0):
        assert Path(path).read_text() == f"process {os.getpid()}\n"


def test_a_lock_that_cannot_be_taken_is_named(tmp_path):
    with pytest.raises(NodeError) as caught:
        with files.locked(str(tmp_path / "gone" / "lock")):
            pass
    assert str(caught.value) == f"{tmp_path}/gone/lock cannot be locked: No such file or directory"

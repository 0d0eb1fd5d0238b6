# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugin binaries from the controller: what is sent, what is refused, and what stays on the node (nothing but the binaries)."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import tarfile
from pathlib import Path

import pytest
from testbed import diff_dumps

INSTALLED = Path("/usr/lib/cni")
SOME = ("bridge", "host-local", "loopback", "portmap")
BIN_DIR = "/opt/cni/bin"
NETWORK = {"name": "mynet", "plugins": [{"type": "bridge", "ipam": {"type": "host-local", "subnet": "10.244.0.0/16"}}]}
NO_SUCH_CHECKSUM = "sha256:" + "0" * 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A source folder on the controller, with a file in it that is no plugin."""
    path = tmp_path_factory.mktemp("source") / "cni"
    path.mkdir()
    for name in SOME:
        shutil.copy(INSTALLED / name, path)
    (path / "LICENSE").write_text("not a plugin\n")
    return path


@pytest.fixture(scope="module")
def archive(folder, tmp_path_factory):
    """The same as an archive, in the form of the plugins' releases: `./` before each name."""
    path = tmp_path_factory.mktemp("source") / "cni.tgz"
    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        file.add(folder, arcname=".")
    return path


def small_archive(path, *entries, mode="w:gz"):
    """An archive of entries (name, content or TarInfo fields), with the plugin loopback before them."""
    with tarfile.open(path, mode) as file:
        file.add(INSTALLED / "loopback", arcname="loopback")
        for name, fields in entries:
            entry = tarfile.TarInfo(name)
            content = fields if isinstance(fields, bytes) else b""
            entry.size = len(content)
            for key, value in (fields if isinstance(fields, dict) else {}).items():
                setattr(entry, key, value)
            file.addfile(entry, io.BytesIO(content))
    return path


def checksum(path, algorithm="sha256"):
    return f"{algorithm}:{hashlib.new(algorithm, path.read_bytes()).hexdigest()}"


def hashes(folder, names=SOME):
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


#: The temporary folder of these runs; /tmp is the host's, where others may be at work.
TMP = "/run/tmp"


class Outcome:
    """One task's result, and the names of the binaries that were transferred for it."""

    def __init__(self, play):
        assert len(play.tasks) == 1, play.stdout + play.stderr
        self.result = play.tasks[0]["result"]
        self.status = play.tasks[0]["status"]
        self.output = play.stdout
        self.sent = re.findall(r"cni_plugins: sending ([a-z-]+), [0-9.]+ MB, to /", play.stdout)

    @property
    def changes(self):
        return [change["resource"] for change in self.result["changes"]]


@pytest.fixture
def task(node):
    """Runs one task in the node, by its action plugin."""

    def run(module, options, *args, **keywords):
        tasks = [{"name": "the task", f"kubenode.network.{module}": options, **keywords}]
        playbook = json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}], indent=1)
        node.run(["mkdir", "-p", TMP])
        return Outcome(node.playbook(playbook, args=("-vv", *args), env={"TMPDIR": TMP}))

    return run


@pytest.fixture
def plugins(task):
    def run(options, *args, **keywords):
        return task("cni_plugins", {"bin_dir": BIN_DIR, **options}, *args, **keywords)

    return run


def left_behind(node):
    """Temporary files of Ansible and of the collection."""
    ours = ["(", "-name", "ansible-tmp-*", "-o", "-name", "kubenode-network-*", ")"]
    return node.run(["find", "/run/testbed/ansible", TMP, *ours]).stdout.splitlines()


# What is sent

def check_life(node, plugins, options, folder):
    """Planned, installed, left alone, removed."""
    before = node.dump()

    planned = plugins(options, "--check")
    assert planned.status == "ok"
    assert diff_dumps(before, node.dump()) == ""

    done = plugins(options)
    assert done.result["changes"] == planned.result["changes"]
    assert sorted(done.sent) == sorted(SOME)
    assert done.result["cni_plugins"] == {"bin_dir": BIN_DIR, "plugins": hashes(folder), "release": "release 1.1.0 or newer, before 1.2.0", "package": None}
    assert node.run(["ls", BIN_DIR]).stdout.split() == sorted(SOME)
    assert node.run(["stat", "-c", "%a %u:%g", f"{BIN_DIR}/bridge"]).stdout == "755 0:0\n"
    installed = node.dump()

    again = plugins(options)
    assert (again.result["changed"], again.result["changes"], again.sent) == (False, [], [])
    assert diff_dumps(installed, node.dump()) == ""

    removed = plugins({"state": "absent"})
    assert removed.sent == []
    assert diff_dumps(before, node.dump()) == ""
    assert left_behind(node) == []


@pytest.mark.slow
def test_a_folder(node, plugins, folder):
    check_life(node, plugins, {"src": str(folder)}, folder)


@pytest.mark.slow
def test_an_archive(node, plugins, archive, folder):
    check_life(node, plugins, {"src": str(archive), "checksum": checksum(archive)}, folder)


@pytest.mark.parametrize("mode, name", [("w:xz", "cni.tar.xz"), ("w", "cni.tar")])
def test_other_archives(node, plugins, tmp_path, mode, name):
    archive = small_archive(tmp_path / name, mode=mode)
    done = plugins({"src": str(archive), "checksum": checksum(archive)})
    assert done.sent == ["loopback"]
    assert done.result["cni_plugins"]["plugins"] == hashes(INSTALLED, ["loopback"])


def test_sha512_and_a_selection(node, plugins, folder, tmp_path):
    archive = small_archive(tmp_path / "cni.tgz", ("bridge", b"#!/bin/sh\n"))
    done = plugins({"src": str(archive), "checksum": checksum(archive, "sha512"), "plugins": ["loopback"]})
    assert done.sent == ["loopback"]
    assert node.run(["ls", BIN_DIR]).stdout.split() == ["loopback"]


def test_a_damaged_binary_alone_is_sent_again(node, plugins, folder):
    plugins({"src": str(folder)})
    node.write(f"{BIN_DIR}/bridge", "junk\n", 0o755)
    planned = plugins({"src": str(folder)}, "--check")
    mended = plugins({"src": str(folder)})
    assert (planned.sent, mended.sent) == (["bridge"], ["bridge"])
    assert planned.changes == mended.changes == [f"file:{BIN_DIR}/bridge"]
    assert node.run(["sha256sum", f"{BIN_DIR}/bridge"]).stdout.split()[0] == hashes(folder)["bridge"]


def test_a_changed_mode_needs_no_transfer(node, plugins, folder):
    plugins({"src": str(folder)})
    node.run(["chmod", "600", f"{BIN_DIR}/portmap"])
    mended = plugins({"src": str(folder)})
    assert (mended.sent, mended.changes) == ([], [f"file:{BIN_DIR}/portmap"])
    assert node.run(["stat", "-c", "%a", f"{BIN_DIR}/portmap"]).stdout == "755\n"


def owners(node):
    """user:group of the folder and of a binary."""
    return node.run(["stat", "-c", "%U:%g", BIN_DIR, f"{BIN_DIR}/bridge"]).stdout.split()


def test_another_owner(node, plugins, folder):
    node.write("/etc/passwd", node.read("/etc/passwd") + "kube:x:990:990::/:/usr/sbin/nologin\n")
    before = node.dump()
    planned, done, again = (plugins({"src": str(folder), "owner": "kube"}, *args) for args in (["--check"], [], []))
    assert planned.changes == done.changes
    assert (owners(node), again.result["changed"]) == (["kube:0", "kube:0"], False)
    by_number = plugins({"src": str(folder), "owner": "991"})
    assert (by_number.sent, owners(node)) == ([], ["UNKNOWN:0", "UNKNOWN:0"])
    plugins({"src": str(folder)})
    assert owners(node) == ["root:0", "root:0"]
    plugins({"state": "absent"})
    assert diff_dumps(before, node.dump()) == ""


def test_an_installer_that_sets_the_owner_is_not_fought(node, plugins, folder, tmp_path):
    """kubespray sets the owner of the folder and of all that it unpacks into it, and leaves the archive's group and times."""
    node.write("/etc/passwd", node.read("/etc/passwd") + "kube:x:990:990::/:/usr/sbin/nologin\n")
    archive = tmp_path / "cni.tgz"

    def foreign(entry):
        entry.uid, entry.gid, entry.uname, entry.gname, entry.mtime = 1001, 127, "builder", "builders", 1_700_000_000
        return entry

    with tarfile.open(archive, "w:gz", compresslevel=1) as file:
        file.add(folder, arcname=".", filter=foreign)
    ours = {"src": str(archive), "checksum": checksum(archive), "owner": "kube"}
    theirs = json.dumps([{"hosts": "all", "gather_facts": False, "tasks": [
        {"ansible.builtin.file": {"path": BIN_DIR, "state": "directory", "mode": "0755", "owner": "kube", "recurse": True}},
        {"ansible.builtin.unarchive": {"src": str(archive), "dest": BIN_DIR, "mode": "0755", "owner": "kube", "remote_src": True}},
    ]}], indent=1)
    plugins(ours)
    assert node.playbook(theirs).changed == 1, "the archive's group and times"
    assert plugins(ours).changes == ["document:/etc/kubenode-network/node.json"], "which has the group now"
    settled = node.dump()
    assert (node.playbook(theirs).changed, plugins(ours).result["changed"]) == (0, False)
    assert diff_dumps(settled, node.dump()) == ""
    assert owners(node) == ["kube:127", "kube:127"]


def test_the_folder_of_the_runtime(node, task, folder):
    node.write("/etc/containerd/config.toml", '[plugins."io.containerd.grpc.v1.cri".cni]\nbin_dir = "/opt/runtime/bin"\n')
    done = task("cni_plugins", {"src": str(folder)})
    assert done.result["cni_plugins"]["bin_dir"] == "/opt/runtime/bin"
    assert node.run(["ls", "/opt/runtime/bin"]).stdout.split() == sorted(SOME)
    again = task("cni_plugins", {"src": str(folder)})
    assert (again.result["changed"], again.sent) == (False, [])


def test_the_files_folder_of_the_play(node, task, folder):
    """A relative source is looked for beside the playbook, in `files`, as unarchive does."""
    node.run(["mkdir", "-p", "/run/testbed/ansible/files"])
    node.run(["cp", "-r", str(folder), "/run/testbed/ansible/files/binaries"])
    done = task("cni_plugins", {"src": "binaries", "bin_dir": BIN_DIR})
    assert sorted(done.sent) == sorted(SOME)


def test_a_source_on_the_node_is_passed_through(node, plugins):
    done = plugins({"src": str(INSTALLED), "remote_src": True, "plugins": ["bridge"]})
    assert (done.status, done.sent) == ("ok", [])
    assert done.result["cni_plugins"]["plugins"] == hashes(INSTALLED, ["bridge"])


def test_sizes_are_shown_unless_the_task_is_secret(node, plugins, folder):
    secret = plugins({"src": str(folder)}, no_log=True)
    assert secret.sent == []
    assert secret.status == "ok"
    assert node.run(["ls", BIN_DIR]).stdout.split() == sorted(SOME)


def test_become(node, plugins, folder):
    done = plugins({"src": str(folder)}, become=True, become_method="ansible.builtin.su")
    assert (done.status, sorted(done.sent)) == ("ok", sorted(SOME))
    assert left_behind(node) == []


# The whole node in one call

def test_node_network_takes_a_local_source(node, task, folder):
    before = node.dump()
    options = {"cni_plugins": {"src": str(folder), "bin_dir": BIN_DIR}, "networks": [{**NETWORK, "bin_dirs": [BIN_DIR]}]}

    planned = task("node_network", options, "--check")
    assert planned.status == "ok"
    assert planned.result["networks"]["mynet"]["cni_version"] == "1.0.0"
    assert diff_dumps(before, node.dump()) == ""

    done = task("node_network", options)
    assert done.result["changes"] == planned.result["changes"]
    assert sorted(done.sent) == sorted(SOME)

    again = task("node_network", options)
    assert (again.result["changed"], again.sent) == (False, [])
    assert left_behind(node) == []


def test_node_network_without_the_section(node, task, folder):
    node.install_plugins(str(folder))
    done = task("node_network", {"networks": [{**NETWORK, "bin_dirs": [BIN_DIR]}]})
    assert (done.status, done.sent) == ("ok", [])


def test_node_network_names_the_whole_path(node, task, folder):
    before = node.dump()
    refused = task("node_network", {"cni_plugins": {"src": str(folder), "plugins": ["vlan"]}})
    assert refused.result["problems"] == [
        {"path": "cni_plugins.plugins[0]", "message": f"'vlan' is not in {folder} (expected some of {', '.join(SOME)})"}
    ]
    assert diff_dumps(before, node.dump()) == ""


# What is refused

def swapped(tmp_path, folder):
    archive = small_archive(tmp_path / "cni.tgz")
    text = f"checksum: the archive '{archive}' has {checksum(archive)} (expected {NO_SUCH_CHECKSUM})"
    return {"src": str(archive), "checksum": NO_SUCH_CHECKSUM}, text


def unchecked(tmp_path, folder):
    archive = small_archive(tmp_path / "cni.tgz")
    return {"src": str(archive)}, f"checksum: is required for the archive '{archive}'"


def misspelled(tmp_path, folder):
    return {"src": str(small_archive(tmp_path / "cni.tgz")), "checksum": "md5:1234"}, "checksum: 'md5:1234' is not a checksum"


def for_a_folder(tmp_path, folder):
    return {"src": str(folder), "checksum": NO_SUCH_CHECKSUM}, f"checksum: is for archives only, but '{folder}' is a folder"


def evil(entry, fields, named):
    def case(tmp_path, folder):
        archive = small_archive(tmp_path / "cni.tgz", (entry, fields))
        text = f"src: the archive '{archive}' is refused: its entry '{named}' leaves the folder"
        return {"src": str(archive), "checksum": checksum(archive)}, text

    return case


def twice(tmp_path, folder):
    archive = small_archive(tmp_path / "cni.tgz", ("./loopback", b"another\n"))
    text = f"src: the archive '{archive}' is refused: its entry 'loopback' stands twice"
    return {"src": str(archive), "checksum": checksum(archive)}, text


def truncated(tmp_path, folder):
    archive = small_archive(tmp_path / "cni.tgz")
    archive.write_bytes(archive.read_bytes()[:100_000])
    return {"src": str(archive), "checksum": checksum(archive)}, f"src: {archive} is not a readable tar archive"


def no_archive(tmp_path, folder):
    file = tmp_path / "cni.tgz"
    file.write_text("hello\n")
    return {"src": str(file), "checksum": checksum(file)}, f"src: {file} is not a readable tar archive"


def without_plugins(tmp_path, folder):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "README").write_text("nothing here\n")
    return {"src": str(tmp_path / "empty")}, f"src: '{tmp_path}/empty' holds no CNI plugin binary"


def nowhere(tmp_path, folder):
    return {"src": str(tmp_path / "missing")}, f"src: '{tmp_path}/missing' is not there on the controller"


def nowhere_in_files(tmp_path, folder):
    return {"src": "missing.tgz", "checksum": NO_SUCH_CHECKSUM}, "src: 'missing.tgz' is not there on the controller"


def not_in_source(tmp_path, folder):
    text = f"plugins[1]: 'vlan' is not in {folder} (expected some of {', '.join(SOME)})"
    return {"src": str(folder), "plugins": ["bridge", "vlan"]}, text


def unknown_plugin(tmp_path, folder):
    return {"src": str(folder), "plugins": ["../bridge"]}, "plugins[0]: '../bridge' is not a reference plugin"


def no_plugin_wanted(tmp_path, folder):
    return {"src": str(folder), "plugins": []}, "plugins: [] is empty"


def relative_bin_dir(tmp_path, folder):
    return {"src": str(folder), "bin_dir": "opt/../bin"}, "bin_dir: 'opt/../bin' is not usable (expected an absolute path without ..)"


def without_source(tmp_path, folder):
    return {"state": "present"}, "src: is required when state is present"


REFUSED = {
    "another checksum": swapped,
    "no checksum": unchecked,
    "a checksum of an unknown kind": misspelled,
    "a checksum for a folder": for_a_folder,
    "an entry outside": evil("../evil", b"evil\n", "../evil"),
    "an entry outside, further in": evil("a/../../evil", b"evil\n", "a/../../evil"),
    "an absolute entry": evil("/etc/evil", b"evil\n", "/etc/evil"),
    "a symbolic link to outside": evil("bridge", {"type": tarfile.SYMTYPE, "linkname": "../../etc/passwd"}, "../../etc/passwd"),
    "an absolute symbolic link": evil("bridge", {"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "/etc/passwd"),
    "a hard link to outside": evil("bridge", {"type": tarfile.LNKTYPE, "linkname": "../passwd"}, "../passwd"),
    "an entry that stands twice": twice,
    "an archive that is cut off": truncated,
    "a file that is no archive": no_archive,
    "a folder without plugins": without_plugins,
    "no source": without_source,
    "a source that is not there": nowhere,
    "a source that is not in files": nowhere_in_files,
    "a plugin that is not in the source": not_in_source,
    "a plugin that nobody knows": unknown_plugin,
    "an empty list of plugins": no_plugin_wanted,
    "a relative folder": relative_bin_dir,
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_bad_sources_leave_the_node_alone(node, plugins, folder, tmp_path, case):
    options, message = case(tmp_path, folder)
    before = node.dump()
    refused = plugins(options)
    assert refused.status == "failed"
    assert refused.result["msg"].startswith(f"nothing was changed: {message}")
    assert "\n" not in refused.result["msg"]
    assert (refused.result.get("changed", False), refused.sent) == (False, [])
    assert diff_dumps(before, node.dump()) == ""
    assert left_behind(node) == []


def test_an_unknown_option_is_refused_by_the_module(node, plugins, folder):
    before = node.dump()
    refused = plugins({"src": str(folder), "checksums": "x"})
    assert refused.status == "failed"
    assert "Unsupported parameters" in refused.result["msg"]
    assert refused.sent == []
    assert diff_dumps(before, node.dump()) == ""


def test_async_is_refused(node, plugins, folder):
    before = node.dump()
    refused = plugins({"src": str(folder)}, **{"async": 10, "poll": 1})
    assert refused.status == "failed"
    assert "async" in refused.result["msg"]
    assert diff_dumps(before, node.dump()) == ""


def test_a_binary_that_arrives_changed_is_refused(node, folder):
    """The module trusts the manifest alone: what it was sent is hashed again on the node."""
    before = node.dump()
    manifest = {**hashes(folder, ["loopback"]), "bridge": "0" * 64}
    refused = node.module("cni_plugins", {"src": str(folder), "remote_src": True, "bin_dir": BIN_DIR, "manifest": manifest})
    assert refused["problems"] == [
        {"path": "src", "message": f"the binary 'bridge' did not arrive on the node as it was sent (expected SHA-256 {'0' * 64})"}
    ]
    assert diff_dumps(before, node.dump()) == ""


@pytest.mark.parametrize(
    "manifest, message",
    [
        ({"../evil": "0" * 64}, "manifest.../evil: '../evil' is not a reference plugin"),
        ({"bridge": "0" * 63}, f"manifest.bridge: '{'0' * 63}' is not a SHA-256"),
        ({"bridge": 5}, "manifest.bridge: 5 is not a SHA-256"),
    ],
)
@pytest.mark.parametrize("src", [None, str(INSTALLED)])
def test_bad_manifests(node, manifest, message, src):
    before = node.dump()
    refused = node.module("cni_plugins", {"src": src, "remote_src": True, "bin_dir": BIN_DIR, "manifest": manifest})
    assert refused["failed"]
    assert refused["msg"].startswith(f"nothing was changed: {message}")
    assert diff_dumps(before, node.dump()) == ""

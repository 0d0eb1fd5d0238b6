# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plugin binaries by a URL, downloaded by the node or by the controller, with checksums and checksum files as upstream has them."""

from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from testbed import diff_dumps
from testbed.paths import HERE

INSTALLED = Path("/usr/lib/cni")
SOME = ("bridge", "host-local", "loopback", "portmap")
BIN_DIR = "/opt/cni/bin"
PORT = 8123
WEB = f"http://127.0.0.1:{PORT}"
NAME = "cni-plugins-linux-amd64-v1.1.1.tgz"
PATTERN = "cni-plugins-linux-{arch}-{version}.tgz"


def archive(path, entries):
    """A tar archive of (name, content)."""
    with tarfile.open(path, "w:gz", compresslevel=1) as file:
        for name, content in entries:
            entry = tarfile.TarInfo(f"./{name}")
            entry.size, entry.mode, entry.uid = len(content), 0o600, 1000
            file.addfile(entry, io.BytesIO(content))
    return path


def digits(path, algorithm="sha256"):
    return hashlib.new(algorithm, path.read_bytes()).hexdigest()


def plugin(release):
    """A stand-in for a binary that knows its release, which Debian's do not."""
    return (f"#!/bin/sh\n[ -n \"$CNI_COMMAND\" ] || {{ echo 'CNI loopback plugin {release}' >&2; exit; }}\n"
            "echo '{\"supportedVersions\": [\"0.4.0\", \"1.0.0\"]}'\n").encode()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    """What the mirror has."""
    folder = tmp_path_factory.mktemp("served")
    made = archive(folder / NAME, [(name, (INSTALLED / name).read_bytes()) for name in SOME])
    (folder / f"{NAME}.sha256").write_text(f"{digits(made)}  {NAME}\n")
    (folder / "SHA256SUMS").write_text(f"{'0' * 64}  other.tgz\n{digits(made)} *./{NAME}\n{'1' * 64}  x{NAME}\n")
    (folder / "SHA512.tag").write_text(f"SHA512 ({NAME}) = {digits(made, 'sha512')}\n")
    (folder / "bare").write_text(f"{digits(made)}\n")
    (folder / "other").write_text(f"{digits(made)}  {NAME}.asc\n")
    (folder / "twice").write_text(f"{digits(made)}  {NAME}\n{'0' * 64}  {NAME}\n")
    (folder / "stale").write_text(f"{'0' * 64}  {NAME}\n")
    archive(folder / "v1.6.0.tgz", [("loopback", plugin("v1.6.0"))])
    return folder


@pytest.fixture
def mirror(node, served):
    """The mirror as the node sees it; a function that tells which files were asked for since it was last called."""
    node.run(["touch", "/run/asked"])
    process = node.popen([sys.executable, str(HERE / "web.py"), str(served), str(PORT), "/run/asked"], stdout=subprocess.PIPE)
    process.stdout.readline()

    def asked():
        lines = node.read("/run/asked").splitlines()
        node.write("/run/asked", "")
        return [line.split()[0].rpartition("/")[2] for line in lines]

    yield asked
    process.kill()
    process.communicate()


@pytest.fixture
def plugins(node, mirror):
    """Runs the module by its action plugin; gives status, result, and the binaries that were sent."""

    def run(options, *args):
        tasks = [{"name": "the task", "kubenode.network.cni_plugins": {"bin_dir": BIN_DIR, **options}}]
        node.run(["mkdir", "-p", TMP])
        playbook = json.dumps([{"hosts": "all", "gather_facts": False, "tasks": tasks}], indent=1)
        play = node.playbook(playbook, args=("-vv", *args), env={"TMPDIR": TMP})
        assert len(play.tasks) == 1, play.stdout + play.stderr
        result = {**play.tasks[0]["result"], "failed": play.tasks[0]["status"] == "failed"}
        result["sent"] = re.findall(r"cni_plugins: sending ([a-z-]+), [0-9.]+ MB, to /", play.stdout)
        result["shown"] = re.findall(r"sending [0-9]+ of [0-9]+ binaries, [0-9.]+ MB, to /", play.stdout)
        return result

    return run


WHERE = pytest.mark.parametrize("remote", [True, False], ids=["node", "controller"])
#: The temporary folder of these runs; /tmp is the host's, where others may be at work.
TMP = "/run/tmp"
CHECKSUMS = {
    "digits": lambda served: f"sha256:{digits(served / NAME)}",
    "long digits": lambda served: f"sha512:{digits(served / NAME, 'sha512').upper()}",
    "file beside": lambda served: f"{WEB}/files/{PATTERN}.sha256",
    "list": lambda served: f"{WEB}/files/SHA256SUMS",
    "tagged list": lambda served: f"{WEB}/files/SHA512.tag",
    "path": lambda served: str(served / f"{PATTERN}.sha256"),
}


@pytest.mark.parametrize("remote, checksum", [(True, "digits"), (False, "file beside")], ids=["node", "controller"])
def test_a_download_is_checked_and_only_done_when_needed(node, plugins, mirror, served, remote, checksum):
    options = {"src": f"{WEB}/moved/{PATTERN}", "version": "v1.1.1", "checksum": CHECKSUMS[checksum](served), "remote_src": remote}
    before = node.dump()
    planned = plugins(options, "--check")
    assert diff_dumps(before, node.dump()) == ""
    done = plugins(options)
    assert not done.get("failed"), done["msg"]
    assert done["changes"] == planned["changes"]
    assert set(done["cni_plugins"]["plugins"]) == set(SOME)
    assert node.run(["stat", "-c", "%a %u:%g", f"{BIN_DIR}/bridge"]).stdout == "755 0:0\n"
    assert mirror().count(NAME) == 4  # twice, and each was redirected
    again = plugins(options)
    assert (again["changed"], again["sent"]) == (False, [])
    assert NAME not in mirror()
    node.run(["rm", f"{BIN_DIR}/portmap"])
    mended = plugins(options)
    assert [change["resource"] for change in mended["changes"]] == [f"file:{BIN_DIR}/portmap"]
    assert mended["sent"] == ([] if remote else ["portmap"])
    fewer = plugins({**options, "plugins": ["loopback"]})
    assert NAME in mirror() and set(fewer["cni_plugins"]["plugins"]) == {"loopback"}
    plugins({"state": "absent"})
    assert diff_dumps(before, node.dump()) == ""


@pytest.mark.parametrize("checksum", CHECKSUMS.values(), ids=CHECKSUMS.keys())
def test_forms_of_a_checksum(node, mirror, served, checksum):
    options = {"src": f"{WEB}/files/{PATTERN}", "version": "v1.1.1", "checksum": checksum(served), "remote_src": True}
    planned = node.module("cni_plugins", options, check=True)
    assert not planned.get("failed"), planned["msg"]
    assert set(planned["cni_plugins"]["plugins"]) == set(SOME)


def test_size_and_target_are_shown_before_a_transfer(plugins, served, node):
    options = {"src": f"{WEB}/files/{NAME}", "checksum": CHECKSUMS["digits"](served)}
    sent = plugins(options)
    assert len(sent["shown"]) == 1
    sizes = sum((INSTALLED / name).stat().st_size for name in SOME)
    assert (sent["transfer"]["bytes"], sorted(sent["transfer"]["files"])) == (sizes, sorted(SOME))
    assert sent["transfer"]["target"].startswith("/")
    again = plugins(options)
    assert "transfer" not in again and again["shown"] == []


@WHERE
def test_works_offline_once_it_is_installed(plugins, served, remote, node):
    options = {"src": f"{WEB}/files/{NAME}", "checksum": CHECKSUMS["digits"](served), "remote_src": remote}
    assert plugins(options)["changed"]
    again = plugins({**options, "src": f"http://127.0.0.1:1/{NAME}"})
    assert not again.get("failed"), again["msg"]
    assert again["changed"] is False


@WHERE
def test_an_archive_by_its_path_with_placeholders_and_a_checksum_file(plugins, served, remote):
    options = {"src": str(served / PATTERN), "version": "v1.1.1", "checksum": str(served / f"{PATTERN}.sha256"), "remote_src": remote}
    assert plugins(options)["changed"] is True
    assert plugins(options)["changed"] is False


def test_the_architecture_is_that_of_the_node(node):
    """A node that says it is an i686, as one of 32 bits does."""
    options = {"src": f"/srv/{PATTERN}", "version": "1.9.1", "remote_src": True}
    refused = node.module("cni_plugins", options, prefix=("setarch", "i686"))
    assert "src: '/srv/cni-plugins-linux-386-1.9.1.tgz' is not there on the node" in refused["msg"]


@WHERE
def test_the_release_that_the_binaries_say(plugins, served, remote):
    options = {"src": f"{WEB}/files/{{version}}.tgz", "version": "v1.6.0", "remote_src": remote, "checksum": f"sha256:{digits(served / 'v1.6.0.tgz')}"}
    assert [plugins(options)["cni_plugins"]["release"] for _run in range(2)] == ["v1.6.0", "v1.6.0"]
    other = {**options, "src": f"{WEB}/files/v1.6.0.tgz", "version": "1.7.0"}
    assert plugins(other)["msg"] == (
        "nothing was changed: version: '1.7.0' is not what the binary 'loopback' says it is (expected v1.6.0, or another source)"
    )


REFUSED = {
    "not there": ({"src": f"{WEB}/files/none.tgz"}, f"src: '{WEB}/files/none.tgz' cannot be downloaded: HTTP 404 Not Found (expected"),
    "cut off": ({"src": f"{WEB}/cut/{NAME}"}, f"src: '{WEB}/cut/{NAME}' cannot be downloaded: the connection ended after"),
    "in a circle": ({"src": f"{WEB}/circle/{NAME}"}, "cannot be downloaded: HTTP 302, a redirect that leads in a circle"),
    "another one": ({"checksum": "sha256:" + "0" * 64}, f"checksum: the archive '{WEB}/files/{NAME}' has sha256:"),
    "no checksum": ({"checksum": None}, f"checksum: is required for the archive '{WEB}/files/{NAME}'"),
    "no checksum file": ({"checksum": f"{WEB}/files/none"}, f"checksum: '{WEB}/files/none' cannot be downloaded: HTTP 404 Not Found"),
    "a file without names": ({"checksum": f"{WEB}/files/bare"}, f"checksum: '{WEB}/files/bare' has no checksum for '{NAME}' (expected one line"),
    "a file of another": ({"checksum": f"{WEB}/files/other"}, f"'{WEB}/files/other' has no checksum for '{NAME}'"),
    "a file with two": ({"checksum": f"{WEB}/files/twice"}, f"'{WEB}/files/twice' has more than one checksum for '{NAME}'"),
    "a file that is old": ({"checksum": f"{WEB}/files/stale"}, f"(expected sha256:{'0' * 64}); it was not unpacked"),
    "a secret": ({"src": f"http://me:hidden@127.0.0.1:{PORT}/files/none.tgz?token=hidden"}, f"src: '{WEB}/files/none.tgz' cannot be downloaded"),
}


def by_module(node):
    return lambda options: node.module("cni_plugins", options, env={"TMPDIR": TMP})


def check_refused(node, run, options, text):
    node.run(["mkdir", "-p", TMP])
    before = node.dump()
    refused = run(options)
    assert refused.get("failed"), refused
    assert text in refused["msg"]
    assert "\n" not in refused["msg"] and "hidden" not in refused["msg"]
    assert diff_dumps(before, node.dump()) == ""
    assert node.run(["ls", TMP]).stdout == ""
    return refused


def bad(served, change):
    options = {"src": f"{WEB}/files/{NAME}", "checksum": CHECKSUMS["digits"](served), **change}
    return {name: value for name, value in options.items() if value is not None}


@pytest.mark.parametrize("change, text", REFUSED.values(), ids=REFUSED.keys())
def test_bad_downloads_leave_the_node_alone(node, mirror, served, change, text):
    check_refused(node, by_module(node), {**bad(served, change), "remote_src": True}, text)


@pytest.mark.parametrize("case", ["cut off", "another one", "a file with two", "a secret"])
def test_bad_downloads_of_the_controller(node, plugins, served, case):
    change, text = REFUSED[case]
    check_refused(node, plugins, bad(served, change), text)


# Programs for another machine

def foreign(machine, bits=2, order=1):
    """The head of an ELF file for another machine."""
    return b"\x7fELF" + bytes([bits, order, 1]) + bytes(9) + (2).to_bytes(2, "little") + machine.to_bytes(2, "little" if order == 1 else "big") + bytes(44)


OTHERS = {
    "arm64": (foreign(183), "the binary 'bridge' of {src} is made for arm64 (expected amd64, as this node is)"),
    "s390x": (foreign(22, order=2), "the binary 'bridge' of {src} is made for s390x (expected amd64, as this node is)"),
    "unheard of": (foreign(999), "the binary 'bridge' of {src} is made for ELF machine 999 (expected amd64, as this node is)"),
    "a text": (b"bridge\n" * 20, "the file 'bridge' of {src} is no program (expected an ELF executable or a script)"),
    "nothing": (b"", "the file 'bridge' of {src} is no program (expected an ELF executable or a script)"),
}


def source_with(tmp_path, content):
    """A source of two programs, one of which is this."""
    source = tmp_path / "source"
    source.mkdir()
    shutil.copy(INSTALLED / "loopback", source)
    (source / "bridge").write_bytes(content)
    return source


@pytest.mark.parametrize("content, text", OTHERS.values(), ids=OTHERS.keys())
def test_what_the_node_cannot_run_is_refused(node, tmp_path, content, text):
    source = source_with(tmp_path, content)
    options = {"src": str(source), "remote_src": True, "bin_dir": BIN_DIR}
    check_refused(node, by_module(node), options, text.format(src=source))


def test_what_the_node_cannot_run_is_not_even_sent(node, plugins, tmp_path):
    content, text = OTHERS["arm64"]
    source = source_with(tmp_path, content)
    assert check_refused(node, plugins, {"src": str(source)}, text.format(src=source))["sent"] == []


SCRIPT = """#!/bin/sh
echo "$(basename "$0") $CNI_COMMAND" >>/run/asked-of
if [ -n "$CNI_COMMAND" ]; then echo '{"cniVersion": "1.0.0", "supportedVersions": ["0.4.0", "1.0.0"]}'; else echo "CNI plugin {}" >&2; fi
"""


@pytest.mark.parametrize("said, release, asked", [
    ("v1.6.0", "v1.6.0", [""]), ("version unknown", "release 1.0.0 or newer, before 1.6.0", ["", "VERSION"]),
])
def test_each_binary_of_an_archive_is_asked_once(node, tmp_path, said, release, asked):
    """While the next one is unpacked; for its versions only where it does not say its release."""
    names = ["bandwidth", "bridge", "host-local", "loopback", "portmap", "ptp"]
    archive(tmp_path / "made.tgz", [(name, SCRIPT.replace("{}", said).encode()) for name in names])
    options = {"src": str(tmp_path / "made.tgz"), "remote_src": True, "checksum": f"sha256:{digits(tmp_path / 'made.tgz')}", "bin_dir": BIN_DIR}
    result = node.module("cni_plugins", options)
    assert (result.get("failed"), sorted(result["cni_plugins"]["plugins"])) == (None, names), result
    assert result["cni_plugins"]["release"] == release
    assert sorted(node.read("/run/asked-of").splitlines()) == sorted(f"{name} {command}" for name in names for command in asked)


def test_what_a_killed_run_had_unpacked_goes_with_the_next_run(node, served, mirror):
    left = "/var/lib/kubenode-network/unpacked"
    node.write(f"{left}/bridge", "half of it")
    assert node.module("sysctl_bridge_nf", {"bridge_nf": "unmanaged"})["changed"]
    assert not node.exists(left)

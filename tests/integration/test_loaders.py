# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What we say of a directory, held against the programs that load it: containerd 1.6, 1.7 and 2.1, podman with CNI.

Each directory of DIRECTORIES is shown to each loader; the sections are those of the facts (files, order, forms, plugins
from sub-directories, parse errors, what readiness does not mean, containerd's number of files).
"""

from __future__ import annotations

import functools
import json
import os
import shutil
import time
from collections.abc import Collection
from contextlib import ExitStack
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._cni import loader as prediction
from ansible_collections.kubenode.network.plugins.module_utils._cni import model, versions
from ansible_collections.kubenode.network.plugins.module_utils._host import files
from hypothesis import given, settings
from hypothesis import strategies as st
from testbed import Node, wait_for
from testbed.containerd import Containerd
from testbed.cri import CriError
from testbed.generated import VERSIONS, Maker
from testbed.podman import DEFAULT, Podman
from testbed.programs import Program

SUITES = ("bookworm", "trixie", "sid")
#: podman 4.3.1 and the library inside (its go.mod).
PODMAN = prediction.Loader("podman", "1.1.2")
CONF_DIR = "/etc/cni/net.d"
IPAM = {"type": "host-local", "subnet": "10.1.0.0/24"}


def conflist(name: str, /, **more: Any) -> str:
    """A list whose bridge has its name, as podman shows it."""
    bridge = {"type": "bridge", "bridge": f"br-{name}"[:15], "ipam": IPAM}
    return json.dumps({"cniVersion": "0.4.0", "name": name, "plugins": [bridge], **more})


def single(name: str | None, /, **more: Any) -> str:
    named = {} if name is None else {"name": name}
    return json.dumps({"cniVersion": "0.4.0", **named, "type": "bridge", **more})


def without(text: str, *keys: str) -> str:
    return json.dumps({key: value for key, value in json.loads(text).items() if key not in keys})


class Link(NamedTuple):
    target: str


class Directory(NamedTuple):
    """entries: a file's text, the entries of a sub-directory, a Link. broken: files whose plugins are not there, or do not
    speak their version."""

    entries: dict[str, Any]
    broken: tuple[str, ...] = ()


GOOD = conflist("good")
LOOPBACK = '{"cniVersion": "0.4.0", "name": "lo", "type": "loopback"}'


def alone(name: str) -> Directory:
    """A file of that name beside a good one that comes last."""
    text = conflist("first") if name.endswith(".conflist") else single("first")
    return Directory({name: text, "zz.conflist": GOOD})


def spoilt(text: str) -> Directory:
    return Directory({"10-a.conflist": text, "20-b.conflist": GOOD})


def listed(**more: Any) -> Directory:
    return spoilt(conflist("changed", **more))


def merged(*directories: Directory) -> Directory:
    return Directory({name: entry for directory in directories for name, entry in directory.entries.items()})


NAMES = ("10-a.conf", "10-a.conflist", "10-a.json", ".10-a.conf", ".10-a.conflist", "a.conf", "10-x.conf.json", ".conf", ".conflist",
         "10-a.yaml", "10-a.conf.bak", "10-a.conflist.disabled", "10-a.CONF", "10-a.conf~", "10-a.conflist.tmp", "10-a.conf ", "conf",
         ".10-x.conflist.a1b2.tmp", "10-a.conflist.cilium_bak", "10-a.conflist.dpkg-new", "\u00e9.conflist")

#: Which files, in which order, how many.
FILES: dict[str, Directory] = {
    # 1.1 which files
    **{f"name {name!r}": alone(name) for name in NAMES},
    "nothing": Directory({}),
    "nothing that counts": Directory({"README": "x", "10-a.conflist.disabled": GOOD}),
    "a folder of a loadable name": Directory({"05-dir.conflist": {}, "10-a.conflist": GOOD}),
    "a dangling link": Directory({"05-a.conflist": Link("nowhere"), "10-a.conflist": GOOD}),
    "a dangling link behind": Directory({"10-a.conflist": GOOD, "15-a.conflist": Link("nowhere")}),
    "a link": Directory({"05-a.conflist": Link("/etc/cni/elsewhere"), "10-a.conflist": GOOD}),
    "a link to another file": Directory({"05-a.conflist": Link("20-b"), "20-b": conflist("linked"), "10-a.conflist": GOOD}),
    "a bad file before": Directory({"05-a.conflist": "{", "10-a.conflist": GOOD}),
    "a bad file behind": Directory({"10-a.conflist": GOOD, "20-a.conflist": "{"}),
    "a bad single file before": Directory({"05-a.conf": "{}", "10-a.conflist": GOOD}),
    "nothing but bad files": Directory({"05-a.conf": "{}", "10-a.conflist": "["}),
    # 1.2 order
    **{f"order {a} {b}": Directory({a: conflist("one"), b: conflist("two")}) for a, b in (
        ("10-x.conflist", "9-x.conflist"), ("A.conflist", "a.conflist"), ("Z.conflist", "a.conflist"), (".x.conflist", "0.conflist"),
        ("10-b.conflist", "10-a.conflist"), ("10-a-b.conflist", "10-a.conflist"), ("\u00e9.conflist", "z.conflist"), ("~.conflist", "z.conflist"))},
    "siblings": Directory({"10-a.conflist": conflist("list"), "10-a.conf": single("single"), "10-a.json": single("json")}),
    "all of them": merged(*(Directory({name: conflist(f"n{i}")}) for i, name in enumerate(
        ("a.conflist", "Z.conflist", "9-x.conflist", "10-x.conflist", ".x.conflist", "A.conflist")))),
    # 7.1 number of files
    "loopback behind": Directory({"10-a.conflist": GOOD, "99-loopback.conf": LOOPBACK}),
    "loopback first": Directory({"01-loopback.conf": LOOPBACK, "10-a.conflist": GOOD}),
    "three networks": Directory({"1.conflist": conflist("one"), "2.conflist": conflist("two"), "3.conf": single("three")}),
    "the third of three is bad": Directory({"1.conflist": conflist("one"), "2.conflist": conflist("two"), "3.conflist": "{"}),
    "the second of three is bad": Directory({"1.conflist": conflist("one"), "2.conflist": "{", "3.conflist": conflist("three")}),
    # 7.4 names
    "two files with one name": Directory({"10-a.conflist": conflist("same", x=1), "20-b.conflist": conflist("same").replace("br-", "b2-")}),
    "podman's own": Directory({"87-podman-bridge.conflist": conflist("podman")}),
}
#: What is in them.
CONTENTS: dict[str, Directory] = {
    # 1.3 form
    "a list in a .conf": Directory({"10-a.conf": conflist("list"), "20-b.conflist": GOOD}),
    "a list in a .json": Directory({"10-a.json": conflist("list"), "20-b.conflist": GOOD}),
    "a plugin in a .conflist": Directory({"10-a.conflist": single("plugin"), "20-b.conflist": GOOD}),
    "a plugin without type": Directory({"10-a.conf": '{"name": "a"}', "20-b.conflist": GOOD}),
    # 1.4 plugins from a sub-directory
    "plugins in a folder only": Directory({"10-a.conflist": without(conflist("sub"), "plugins"), "sub": {"10-bridge.conf": single(None)}}),
    "plugins in a folder as well": Directory({"10-a.conflist": conflist("sub"), "sub": {"20-p.conf": '{"type": "portmap"}'}}),
    "a bad file in the folder": Directory({"10-a.conflist": conflist("sub"), "sub": {"20-p.conf": "{"}}),
    "a file without type in the folder": Directory({"10-a.conflist": conflist("sub"), "sub": {"20-p.conf": '{"name": "x"}'}}),
    "a bad file of another kind in the folder": Directory({"10-a.conflist": conflist("sub"), "sub": {"20-p.conflist": "{", "x.json": "{"}}),
    "only inlined plugins": Directory({"10-a.conflist": conflist("sub", loadOnlyInlinedPlugins=True), "sub": {"20-p.conf": "{"}}),
    "only inlined plugins, as a word": Directory({"10-a.conflist": conflist("sub", loadOnlyInlinedPlugins="true"), "sub": {"20-p.conf": "{"}}),
    "only inlined plugins, and none": Directory({"10-a.conflist": without(conflist("sub", loadOnlyInlinedPlugins=True), "plugins"),
                                                 "sub": {"20-p.conf": single(None)}, "20-b.conflist": GOOD}),
    "an empty folder and no plugins": Directory({"10-a.conflist": without(conflist("sub"), "plugins"), "sub": {}, "20-b.conflist": GOOD}),
    "an empty list and a folder": Directory({"10-a.conflist": conflist("sub", plugins=[]), "sub": {"10-b.conf": single(None)}}),
    "another network's folder": Directory({"10-a.conflist": conflist("sub"), "other": {"20-p.conf": "{"}}),
    # 1.5 parse errors
    "empty": spoilt(""),
    "white space": spoilt(" \n"),
    "cut off": spoilt(GOOD[:40]),
    "a comment": spoilt("// x\n" + GOOD),
    "a trailing comma": spoilt(GOOD[:-1] + ",}"),
    "a byte order mark": spoilt("\ufeff" + GOOD),
    "text behind": spoilt(GOOD + "x"),
    "null": spoilt("null"),
    "a list": spoilt("[]"),
    "NaN": spoilt(GOOD[:-1] + ', "x": NaN}'),
    "a number too large for a double": spoilt(GOOD[:-1] + ', "x": 1e999}'),
    "a key twice": spoilt('{"name": "early", ' + conflist("late")[1:]),
    "keys in other letters": spoilt(conflist("a").replace('"plugins"', '"Plugins"')),
    "a name in other letters": spoilt(conflist("a").replace('"name"', '"Name"')),
    "a type in other letters": spoilt(conflist("a").replace('"type": "bridge"', '"Type": "bridge"')),
    "half a surrogate pair": spoilt(conflist("a", x="\ud800")),
    "no name": spoilt(without(GOOD, "name")),
    "a single file without a name": Directory({"10-a.conf": single(None), "20-b.conflist": GOOD}),
    **{f"name {value!r} in the file": listed(name=value) for value in (5, None, True, [], "", "a b", "a/b", "-a", "\u00e9")},
    **{f"cniVersion {value!r}": listed(cniVersion=value) for value in (1.0, 1, None)},
    **{f"cniVersion {value!r}": Directory(listed(cniVersion=value).entries, ("10-a.conflist",)) for value in (
        "1.0", "1.1.0", "9.9", "9.9.9", "v1.0.0", "x")},
    "no cniVersion": spoilt(without(GOOD.replace("good", "changed"), "cniVersion")),
    **{f"cniVersions {value!r}": listed(cniVersions=value) for value in (
        ["0.4.0", "1.0.0"], [], "1.0.0", [1.0], ["x"], ["1.0"], [""], ["1.0.0", "9.9.9"], None, ["1.0.0.0"])},
    "cniVersions beside no version": spoilt(json.dumps({**json.loads(without(GOOD, "cniVersion")), "cniVersions": ["0.4.0"]})),
    "no plugins": spoilt(without(GOOD, "plugins")),
    **{f"plugins {value!r}": listed(plugins=value) for value in ({}, None, [], [5], [None], [[]], [{}], [{"type": ""}], [{"type": 5}], [{"type": None}])},
    "the second plugin without type": listed(plugins=[{"type": "bridge"}, {"snat": True}]),
    **{f"{key} {value!r}": listed(**{key: value}) for key in ("disableCheck", "disableGC", "loadOnlyInlinedPlugins")
       for value in (True, False, "true", "false", "TRUE", "yes", "", 1, None)},
    **{f"capabilities {value!r}": listed(plugins=[{"type": "bridge", "capabilities": value}]) for value in (
        {"portMappings": True}, {"portMappings": "true"}, {"portMappings": None}, {"portMappings": 1}, [], None, "portMappings")},
    **{f"ipam {value!r}": listed(plugins=[{"type": "bridge", "ipam": value}]) for value in ({}, None, [], "x", {"type": 5}, {"type": None})},
    **{f"dns {value!r}": listed(plugins=[{"type": "bridge", "dns": value}]) for value in (
        {}, None, [], {"nameservers": ["192.0.2.53"]}, {"nameservers": "192.0.2.53"}, {"nameservers": [5]}, {"domain": 5}, {"search": [None]})},
    "a name in a plugin that is none": listed(plugins=[{"type": "bridge", "name": 5}]),
    "a version in a plugin that is none": listed(plugins=[{"type": "bridge", "cniVersion": 1.0}]),
    "unknown keys": listed(unknown=1, plugins=[{"type": "bridge", "unknown": {"a": [1]}}]),
    "arguments of any kind": listed(plugins=[{"type": "bridge", "args": {"cni": 5}, "runtimeConfig": {}}]),
    # 1.6 readiness is not correctness
    "a plugin that is not there": Directory({"10-a.conflist": conflist("a", plugins=[{"type": "no-such"}]), "20-b.conflist": GOOD}, ("10-a.conflist",)),
    "a path for a type": Directory({"10-a.conflist": conflist("a", plugins=[{"type": "a/b"}]), "20-b.conflist": GOOD}, ("10-a.conflist",)),
    "nothing but loopback": Directory({"99-loopback.conf": LOOPBACK}),
}
DIRECTORIES = {**FILES, **CONTENTS}


def fill(folder: Path, entries: dict[str, Any]) -> None:
    """Put entries, and nothing else, in a folder."""
    for found in folder.iterdir():
        shutil.rmtree(found) if found.is_dir() and not found.is_symlink() else found.unlink()
    for name, entry in entries.items():
        path = folder / name
        if isinstance(entry, Link):
            path.symlink_to(entry.target)
        elif isinstance(entry, dict):
            path.mkdir()
            fill(path, entry)
        else:
            path.write_text(entry)


ELSEWHERE = conflist("elsewhere")


def texts(directory: Directory) -> dict[str, str | None]:
    """The files as the prediction takes them: a link that leads nowhere cannot be read."""
    seen = {"/etc/cni/elsewhere": ELSEWHERE, **directory.entries}
    found = {name: seen.get(entry.target) if isinstance(entry, Link) else entry for name, entry in directory.entries.items()}
    return {name: text for name, text in found.items() if not isinstance(text, dict)}


def predicted(loader: prediction.Loader, directory: Directory) -> prediction.Verdict:
    folders = {name: entry for name, entry in directory.entries.items() if isinstance(entry, dict)}
    return prediction.view(loader, texts(directory), broken=dict.fromkeys(directory.broken, "broken"), folders=folders)


def names(directory: Directory, winners: list[str]) -> list[str]:
    """Networks of some files; a single one without a name has the empty one."""
    return [json.loads(texts(directory)[winner]).get("name", "") for winner in winners]


class Watched:
    """A containerd whose last load is known to be of what is in its directory now."""

    def __init__(self, suite: str, max_conf_num: int = 1) -> None:
        self._stack = ExitStack()
        self.program = Program("containerd", suite)
        self.node = self._stack.enter_context(Node(uplink=False))
        self.node.install_plugins()
        (self.outside("/etc/cni") / "elsewhere").write_text(ELSEWHERE)
        self.containerd = self._stack.enter_context(Containerd(self.node, program=self.program, max_conf_num=max_conf_num, debug=True))
        self.folder = self.outside(CONF_DIR)
        self.loader = prediction.Loader("containerd", versions.libcni_of("containerd", self.program.version), max_conf_num)

    def outside(self, path: str) -> Path:
        return Path(f"/proc/{self.node.pid}/root{path}")

    def settle(self) -> None:
        """Changes are seen one after the other: what came before the first of two removals is loaded at the second."""
        start = self.containerd.log_size()
        for mark in (".mark1", ".mark2"):
            (self.folder / mark).touch()
            (self.folder / mark).unlink()
        wait_for(lambda: "REMOVE .mark2" in self.containerd.seen(start), 10, "the changes of the folder to be seen")

    def loaded(self) -> list[str] | None:
        """Names of the networks in use, or None after a load that failed."""
        return self.networks() if self.containerd.status().info["lastCNILoadStatus"] == "OK" else None

    def networks(self) -> list[str]:
        return [network.get("name", "") for network in self.containerd.networks()]

    def close(self) -> None:
        self._stack.close()


@pytest.fixture(scope="module")
def all_watched():
    """Each kind is started once, when a test first wants it, and then runs to the end; nine of them want little."""
    with ExitStack() as stack:
        @functools.cache
        def get(suite: str, max_conf_num: int) -> Watched:
            made = Watched(suite, max_conf_num)
            stack.callback(made.close)
            return made

        yield get


@pytest.fixture
def watched(all_watched, request):
    """Parameter: suite and max_conf_num."""
    return all_watched(*request.param)


CONTAINERDS = pytest.mark.parametrize("watched", [(suite, 1) for suite in SUITES], ids=SUITES, indirect=True)
# How many files are used has nothing to do with how one of them is read.
SHOWN = [(suite, 1, name) for suite in SUITES for name in DIRECTORIES] + [(suite, number, name) for suite in SUITES for number in (0, 2) for name in FILES]


@pytest.fixture(scope="module")
def podman():
    with Node(uplink=False) as node:
        node.install_plugins()
        (Path(f"/proc/{node.pid}/root/etc/cni") / "elsewhere").write_text(ELSEWHERE)
        node.run(["mkdir", CONF_DIR])
        yield Podman(node)


# What is loaded

@pytest.mark.parametrize("watched, directory", [((suite, number), DIRECTORIES[name]) for suite, number, name in SHOWN],
                         ids=[f"{suite}-{number}-{name}" for suite, number, name in SHOWN], indirect=["watched"])
def test_containerd_loads_what_we_say(watched, directory):
    fill(watched.folder, directory.entries)
    watched.settle()
    verdict = predicted(watched.loader, directory)
    assert watched.loaded() == (None if verdict.error else names(directory, verdict.winners)), verdict


@pytest.mark.parametrize("directory", DIRECTORIES.values(), ids=DIRECTORIES.keys())
def test_podman_sees_what_we_say(podman, directory):
    fill(Path(f"/proc/{podman.node.pid}/root{CONF_DIR}"), directory.entries)
    verdict = predicted(PODMAN, directory)
    bridges = {name: json.loads(texts(directory)[winner])["plugins"][0].get("bridge", "")
               for name, winner in zip(names(directory, verdict.winners), verdict.winners)}
    found, _warnings = podman.networks()
    # Without a file it invents one.
    assert found == {DEFAULT: "cni-podman0", **bridges}, verdict


@pytest.mark.parametrize("suite", SUITES)
@settings(deadline=None, max_examples=50, derandomize=True, database=None)
@given(st.integers(0, 2**32), st.sampled_from(["kubelets_chain", "other_chain"]), st.from_regex(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]{0,30}", fullmatch=True))
def test_whatever_we_write_containerd_loads(all_watched, suite, seed, chain, name):
    """As a list and, of its first plugin, as a single configuration."""
    watched = all_watched(suite, 1)
    version, plugins = written(seed, chain, VERSIONS)
    for filename, some in (("10-a.conflist", plugins), ("10-a.conf", plugins[:1])):
        config = model.build(name, version, some, single=filename == "10-a.conf")
        fill(watched.folder, {filename: model.render(config)})
        watched.settle()
        assert watched.loaded() == [name], config
    # What it shows of a list is what we wrote.
    fill(watched.folder, {"10-a.conflist": model.render(model.build(name, version, plugins, single=False))})
    watched.settle()
    assert watched.containerd.networks() == [model.build(name, version, plugins, single=False)]


@settings(deadline=None, max_examples=50, derandomize=True, database=None)
@given(st.integers(0, 2**32), st.sampled_from(["kubelets_chain", "other_chain"]))
def test_whatever_we_write_podman_loads(podman, seed, chain):
    known = json.loads(podman.node.run(["/opt/cni/bin/bridge"], env={"CNI_COMMAND": "VERSION"}, input='{"cniVersion": "0.4.0"}').stdout)
    version, plugins = written(seed, chain, known["supportedVersions"])
    fill(Path(f"/proc/{podman.node.pid}/root{CONF_DIR}"), {"10-a.conflist": model.render(model.build("net", version, plugins, single=False))})
    assert sorted(podman.networks()[0]) == ["net", DEFAULT], plugins


def written(seed: int, chain: str, known: Collection[str]) -> tuple[str, list[Any]]:
    """A network that the model has nothing against."""
    return Maker(Random(seed)).accepted(chain, lambda version, plugins: model.check_plugins(plugins, cni_version=version), known)


# Ready is not right

@CONTAINERDS
@pytest.mark.parametrize("text", [
    conflist("a", plugins=[{"type": "no-such"}]), conflist("a b"), conflist("a", cniVersion="9.9.9"),
    conflist("a", plugins=[{"type": "bridge", "ipam": {"type": "no-such"}}])], ids=["no plugin", "illegal name", "no version", "no IPAM plugin"])
def test_a_network_that_no_pod_can_join_makes_the_node_ready(watched, text):
    fill(watched.folder, {"10-a.conflist": text})
    watched.settle()
    release = tuple(map(int, watched.program.version.split(".")[:2]))
    # From containerd 2.0 on a list of version 1.1.0 or more is asked for its STATUS, whatever that version is.
    asked = release >= (2, 0) and '"9.9.9"' in text
    assert watched.containerd.status().network_ready is not asked
    with pytest.raises(CriError):
        watched.containerd.pod("a")


@CONTAINERDS
def test_status_is_asked_from_containerd_2_on(watched):
    """Only of a list of version 1.1.0; then a plugin that is not there does count."""
    fill(watched.folder, {"10-a.conflist": conflist("a", cniVersion="1.1.0", plugins=[{"type": "no-such"}])})
    watched.settle()
    assert watched.loaded() == ["a"]
    assert watched.containerd.status().network_ready is watched.program.version.startswith("1.")


@CONTAINERDS
def test_nothing_but_loopback_makes_the_node_ready_and_no_pod_starts(watched):
    fill(watched.folder, {"99-loopback.conf": LOOPBACK})
    watched.settle()
    assert watched.containerd.status().network_ready and watched.loaded() == ["lo"]
    with pytest.raises(CriError, match="failed to find network info for sandbox"):
        watched.containerd.pod("a")


@CONTAINERDS
def test_the_binary_of_loopback_is_needed_for_every_pod(watched):
    fill(watched.folder, {"10-a.conflist": GOOD})
    watched.settle()
    binary = watched.outside("/opt/cni/bin/loopback")
    binary.rename(binary.with_name("kept"))
    assert watched.containerd.status().network_ready
    with pytest.raises(CriError, match='failed to find plugin "loopback" in path'):
        watched.containerd.pod("a")
    binary.with_name("kept").rename(binary)
    pod = watched.containerd.pod("a")
    assert len(pod.ips) == 1
    pod.stop()


@pytest.mark.parametrize("watched", [(suite, 0) for suite in SUITES], ids=SUITES, indirect=True)
def test_with_every_file_in_use_loopback_is_another_interface(watched):
    fill(watched.folder, {"10-a.conflist": GOOD, "99-loopback.conf": LOOPBACK})
    watched.settle()
    shown = watched.containerd.status().info["cniconfig"]["Networks"]
    assert [(network["Config"]["Name"], network["IFName"]) for network in shown[1:]] == [("good", "eth0"), ("lo", "eth1")]


# What is noticed

def _moved_from_elsewhere(watched):
    (watched.outside("/etc/cni") / "new").write_text(conflist("new"))
    (watched.outside("/etc/cni") / "new").rename(watched.folder / "10-a.conflist")


def _hard_link(watched):
    (watched.outside("/etc/cni") / "new").write_text(conflist("new"))
    os.link(watched.outside("/etc/cni") / "new", watched.folder / "05-a.conflist")
    (watched.outside("/etc/cni") / "new").unlink()


def _new_link(watched):
    (watched.outside("/etc/cni") / "new").write_text(conflist("new"))
    (watched.folder / "05-a.conflist").symlink_to("/etc/cni/new")


def _behind_a_link(watched):
    (watched.folder / "05-a.conflist").symlink_to("/etc/cni/behind")
    (watched.outside("/etc/cni") / "behind").write_text(conflist("old"))
    watched.settle()
    (watched.outside("/etc/cni") / "behind").write_text(conflist("new"))


def _renamed_within(watched):
    (watched.outside("/etc/cni/net.d") / ".10-a.tmp").write_text(conflist("new"))
    (watched.folder / ".10-a.tmp").rename(watched.folder / "10-a.conflist")


def _link_replaced(watched):
    (watched.outside("/etc/cni") / "new").write_text(conflist("new"))
    (watched.folder / ".link").symlink_to("/etc/cni/new")
    (watched.folder / ".link").rename(watched.folder / "10-a.conflist")


def _removed(watched):
    (watched.folder / "20-b.conflist").write_text(conflist("new"))
    watched.settle()
    (watched.folder / "10-a.conflist").unlink()


NOTICED = {
    "written in place": lambda watched: (watched.folder / "10-a.conflist").write_text(conflist("new")),
    "a new file": lambda watched: (watched.folder / "05-a.conflist").write_text(conflist("new")),
    "renamed in the folder": _renamed_within,
    "a link put over a file": _link_replaced,
    "removed": _removed,
    "as we write": lambda watched: files.write(str(watched.folder / "10-a.conflist"), files.Bytes(conflist("new").encode()), mode=0o644),
    "as we write a new one": lambda watched: files.write(str(watched.folder / "05-a.conflist"), files.Bytes(conflist("new").encode()), mode=0o600),
}
UNNOTICED = {"moved from elsewhere": _moved_from_elsewhere, "a hard link": _hard_link, "a new link": _new_link, "behind a link": _behind_a_link}


@pytest.fixture
def with_old(watched):
    """It has loaded the network `old`, from 10-a.conflist."""
    fill(watched.folder, {"10-a.conflist": conflist("old")})
    watched.settle()
    assert watched.loaded() == ["old"]
    return watched


@CONTAINERDS
@pytest.mark.parametrize("change", NOTICED.values(), ids=NOTICED.keys())
def test_noticed(with_old, change):
    change(with_old)
    wait_for(lambda: with_old.loaded() == ["new"], what="the new network")


@CONTAINERDS
@pytest.mark.parametrize("change", UNNOTICED.values(), ids=UNNOTICED.keys())
def test_not_noticed(with_old, change):
    change(with_old)
    start = with_old.containerd.log_size()
    # It sees this one behind the change, and does not load for it.
    (with_old.folder / "10-a.conflist").chmod(0o600)
    wait_for(lambda: any("CHMOD" in line["msg"] for line in with_old.containerd.log(start)), what="the change of a mode to be seen")
    assert with_old.containerd.seen(start) == [] and with_old.loaded() == ["old"]
    with_old.settle()
    assert with_old.loaded() == ["new"]


@CONTAINERDS
def test_a_touch_a_mode_and_a_plugin_in_a_folder_are_no_reason_to_load(with_old):
    (with_old.folder / "README").touch()
    start = with_old.containerd.log_size()
    os.utime(with_old.folder / "10-a.conflist")
    (with_old.folder / "10-a.conflist").chmod(0o640)
    (with_old.folder / "old").mkdir()
    (with_old.folder / "old" / "20-p.conf").write_text("{")
    (with_old.folder / "README").chmod(0o600)
    wait_for(lambda: any("CHMOD" in line["msg"] and "README" in line["msg"] for line in with_old.containerd.log(start)), what="the last change to be seen")
    assert with_old.containerd.seen(start) == [] and with_old.loaded() == ["old"]


@CONTAINERDS
def test_we_remove_without_a_bad_moment(with_old):
    """A loader that has just listed the folder would miss the file: hence the wait for the load before."""
    files.write(str(with_old.folder / "20-b.conflist"), files.Bytes(conflist("new").encode()), mode=0o644)
    with_old.settle()
    start = with_old.containerd.log_size()
    files.remove(str(with_old.folder / "10-a.conflist"))
    wait_for(lambda: with_old.loaded() == ["new"], what="the new network")
    assert not [line for line in with_old.containerd.log(start) if "failed" in line["msg"]]


@pytest.mark.parametrize("suite", SUITES)
def test_the_folder_itself_must_stay(suite):
    """Removed, it is watched no more: containerd 1 does not tell, containerd 2.1 ends."""
    watched = Watched(suite)
    try:
        fill(watched.folder, {"10-a.conflist": conflist("old")})
        watched.settle()
        shutil.rmtree(watched.folder)
        if suite != "sid":
            time.sleep(0.5)  # what it still hears of the old folder makes it load
            watched.folder.mkdir()
            (watched.folder / "10-a.conflist").write_text(conflist("new"))
            with pytest.raises(TimeoutError):
                wait_for(lambda: watched.loaded() == ["new"], 0.5)
            assert not watched.containerd.has_exited()
        else:
            wait_for(watched.containerd.has_exited, 10, "containerd to end")
            assert "cni conf dir is removed, stop watching" in watched.containerd.outside("/run/testbed/containerd.log").read_text()
    finally:
        watched.close()


def test_podman_says_why_it_skips_a_file(podman):
    entries = {"10-a.conflist": GOOD, "20-b.conflist": conflist("good"), "30-c.conflist": "{", "40-d.conflist": conflist("a b"),
               "50-e.conflist": conflist("e", plugins=[{"type": "no-such"}]), "60-f.conflist": conflist("f", cniVersion="9.9.9")}
    fill(Path(f"/proc/{podman.node.pid}/root{CONF_DIR}"), entries)
    found, warnings = podman.networks()
    assert sorted(found) == ["good", DEFAULT]
    lines = warnings.splitlines()
    for name, text in (("20-b", "has the same network name"), ("30-c", "error parsing configuration list"), ("40-d", "has invalid name"),
                       ("50-e", "failed to find plugin"), ("60-f", "does not support config version")):
        assert any(name in line and text in line for line in lines), warnings


# The directory and the version

@pytest.mark.parametrize("suite", SUITES)
def test_containerd_makes_the_directory_for_itself_alone(suite):
    with Node(uplink=False) as node:
        assert not node.exists(CONF_DIR)
        with Containerd(node, program=Program("containerd", suite)):
            assert node.run(["stat", "--format=%a %U", CONF_DIR, "/etc/cni"]).stdout.split() == ["700", "root", "755", "root"]


def test_podman_makes_the_directory_and_a_lock_in_it():
    with Node(uplink=False) as node:
        node.install_plugins()
        assert Podman(node).networks() == ({DEFAULT: "cni-podman0"}, "")
        assert node.run(["stat", "--format=%a %U", CONF_DIR]).stdout.split() == ["700", "root"]
        assert node.run(["ls", CONF_DIR]).stdout.split() == ["cni.lock"]


@CONTAINERDS
@pytest.mark.parametrize("versions, old, new", [(["0.4.0", "1.0.0"], "0.4.0", "1.0.0"), (["0.3.1"], "0.4.0", "0.4.0"), (["1.1.0", "9.9.9"], "0.4.0", "1.1.0")])
def test_of_several_versions_containerd_2_takes_the_highest_that_it_knows(watched, versions, old, new):
    fill(watched.folder, {"10-a.conflist": conflist("a", cniVersions=versions)})
    watched.settle()
    shown = watched.containerd.status().info["cniconfig"]["Networks"][1]["Config"]["CNIVersion"]
    assert shown == (old if watched.program.version.startswith("1.") else new)

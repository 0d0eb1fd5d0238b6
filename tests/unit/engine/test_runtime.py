# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import sys

import pytest
import tomllib
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import plugins, process, runtime

V2 = """\
version = 2

[plugins]
  [plugins."io.containerd.grpc.v1.cri"]
    sandbox_image = "localhost/pause:3.9" # [not] a header
    max_concurrent_downloads = 3
    [plugins."io.containerd.grpc.v1.cri".cni]
      bin_dir = "/usr/lib/cni"   # Debian's
      conf_dir = "/etc/cni/other.d/"
      max_conf_num = 1
    [plugins."io.containerd.grpc.v1.cri".containerd]
      bin_dir = "/wrong"
"""
V3 = """\
version = 3
root = '/var/lib/containerd'
[plugins."io.containerd.cri.v1.runtime".cni]
  bin_dirs = ["/opt/cni/bin", '/usr/libexec/cni']
  conf_dir = '/etc/cni/net.d'
[plugins."io.containerd.cri.v1.images"]
  snapshotter = "overlayfs"
"""
CRIO = """\
[crio]
root = "/var/lib/containers"
[crio.runtime]
conf_dir = "/wrong"
[crio.network]
network_dir = "/etc/cni/crio.d/"
plugin_dirs = ["/opt/cni/bin/", "/usr/libexec/cni/"]
"""
#: What was configured -> file, its text, (folders of plugins, folder of configuration).
CONFIGURED = {
    "containerd 1.x": ("containerd", V2, (("/usr/lib/cni",), "/etc/cni/other.d")),
    "containerd 2.x": ("containerd", V3, (("/opt/cni/bin", "/usr/libexec/cni"), "/etc/cni/net.d")),
    "containerd 2.x, bin_dir": ("containerd", V3.replace("bin_dirs = [", "bin_dir = '/usr/lib/cni'\nx = ["), (("/usr/lib/cni",), "/etc/cni/net.d")),
    "containerd 2.x, both kinds of folders": (
        "containerd",
        V3.replace("conf_dir", "bin_dir = '/deprecated'\nconf_dir"),
        (("/opt/cni/bin", "/usr/libexec/cni"), "/etc/cni/net.d"),
    ),
    "containerd 2.x, as it prints its own": ("containerd", V3.replace('"', "'"), (("/opt/cni/bin", "/usr/libexec/cni"), "/etc/cni/net.d")),
    "CRI-O, as it prints its own": (
        "crio",
        CRIO.replace('["/opt/cni/bin/", "/usr/libexec/cni/"]', '[\n\t"/opt/cni/bin/",\n\t"/usr/libexec/cni/",\n]'),
        (("/opt/cni/bin", "/usr/libexec/cni"), "/etc/cni/crio.d"),
    ),
    "containerd, both": ("containerd", V3 + V2.replace("version = 2\n", "").replace("[plugins]\n", ""), (("/usr/lib/cni",), "/etc/cni/other.d")),
    "containerd, empty": ("containerd", "", (("/opt/cni/bin",), "/etc/cni/net.d")),
    "containerd, plugins only": ("containerd", V3.replace("conf_dir", "other"), (("/opt/cni/bin", "/usr/libexec/cni"), "/etc/cni/net.d")),
    "containerd, no folders": ("containerd", V3.replace("bin_dirs", "other"), (("/opt/cni/bin",), "/etc/cni/net.d")),
    "containerd, empty settings": (
        "containerd", V3.replace("[\"/opt/cni/bin\", '/usr/libexec/cni']", "[]").replace("'/etc/cni/net.d'", "''"), (("/opt/cni/bin",), "/etc/cni/net.d"),
    ),
    "CRI-O": ("crio", CRIO, (("/opt/cni/bin", "/usr/libexec/cni"), "/etc/cni/crio.d")),
    "CRI-O, another section": ("crio", CRIO.replace("crio.network", "crio.other"), (("/opt/cni/bin",), "/etc/cni/net.d")),
}  # fmt: skip


@pytest.fixture
def node(tmp_path, monkeypatch):
    """Files of a node: ``put("containerd", text)``."""
    places = {"containerd": tmp_path / "containerd" / "config.toml", "crio": tmp_path / "crio" / "crio.conf"}
    monkeypatch.setattr(runtime, "CONTAINERD", str(places["containerd"]))
    monkeypatch.setattr(runtime, "CRIO", (str(places["crio"]), str(tmp_path / "crio" / "crio.conf.d")))

    def put(name, text):
        path = places.get(name, tmp_path / "crio" / "crio.conf.d" / name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return str(path)

    return put


@pytest.fixture(params=["tomllib", "own reader"])
def reader(request, monkeypatch):
    if request.param == "own reader":
        monkeypatch.setitem(sys.modules, "tomllib", None)  # as on Python 3.10 and older
        with pytest.raises(ImportError):
            import tomllib  # noqa: F401
    return request.param


def test_without_any_file_the_defaults_of_every_runtime_hold(node, reader):
    assert runtime.read() == runtime.Settings(("/opt/cni/bin",), "/etc/cni/net.d", "")


@pytest.mark.parametrize("case", CONFIGURED)
def test_what_is_configured_is_found(node, reader, case):
    name, text, (bin_dirs, conf_dir) = CONFIGURED[case]
    path = node(name, text)
    assert runtime.read() == runtime.Settings(bin_dirs, conf_dir, path, name)


@pytest.mark.parametrize("number, expected", [("0", 0), ("2", 2), ("'3'", 1), ("-1", 1)])
def test_how_many_networks_containerd_uses_is_found(node, reader, number, expected):
    node("containerd", V2.replace("max_conf_num = 1", f"max_conf_num = {number}"))
    assert runtime.read().max_conf_num == expected


def test_the_default_network_of_cri_o_is_found(node, reader):
    node("crio", CRIO + 'cni_default_network = "mynet"\n')
    assert runtime.read().default_network == "mynet"


@pytest.mark.parametrize("word", ["cri", "io.containerd.grpc.v1.cri"])
def test_a_containerd_without_cri_does_not_count(node, reader, word):
    node("containerd", f'disabled_plugins = ["{word}"]\n{V3}')
    assert runtime.read() == runtime.Settings()
    path = node("crio", CRIO)
    assert runtime.read().source == path


def test_containerd_goes_before_cri_o(node, reader):
    node("crio", CRIO)
    path = node("containerd", V2)
    assert runtime.read().source == path


def test_a_drop_in_of_cri_o_counts_without_the_main_file(node, reader):
    node("00-README", "not a configuration [")
    node("05.conf.bak", "nor this [")
    path = node("10-crio.conf", CRIO)
    assert runtime.read() == runtime.Settings(("/opt/cni/bin", "/usr/libexec/cni"), "/etc/cni/crio.d", path, "crio")


def test_drop_ins_of_cri_o_win_over_the_main_file_key_by_key(node, reader):
    node("crio", "[crio]\nroot = '/x'\n[crio.network]\nnetwork_dir = '/main'\nplugin_dirs = ['/main']\n")
    node("10-first.conf", '[crio.network]\nplugin_dirs = ["/first"]\nnetwork_dir = "/first"\n')
    path = node("20-second.conf", '[crio.network]\nnetwork_dir = "/second"\n')
    node("30-other.conf", '[crio.runtime]\ndefault_runtime = "crun"\n')
    assert runtime.read() == runtime.Settings(("/first",), "/second", path, "crio")


def test_a_cri_o_without_settings_of_the_network_has_the_defaults(node, reader):
    path = node("crio", '[crio]\nroot = "/x"\n')
    assert runtime.read() == runtime.Settings(("/opt/cni/bin",), "/etc/cni/net.d", path, "crio")


def test_what_is_not_toml_is_named(node):
    path = node("containerd", "[plugins\nbin_dir = ")
    with pytest.raises(NodeError) as caught:
        runtime.read()
    assert str(caught.value).startswith(f"{path} is not TOML: ")


def leaves(tables, path=()):
    """Texts, numbers and lists of texts by their path: all that the own reader promises to find."""
    for key, value in tables.items():
        if isinstance(value, dict):
            yield from leaves(value, (*path, key))
        elif (isinstance(value, (str, int)) and not isinstance(value, bool)) or (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            yield (*path, key), value


PRINTED = """\
[plugins]
  [plugins.'io.containerd.cri.v1.runtime'.cni]
    bin_dirs = [
      '/opt/cni/bin',
      "/usr/lib/cni",
    ]
    conf_dir = '/etc/cni/net.d'
"""
ODD = """\
# a comment = "with a text"
top = "level"
[ spaced . "header" ] # with = "comment"
  key-with_dashes = 'single "double" inside'
\ttabs="no spaces"
empty = ""
none = []
one = [ "a" ]
three = ["a", 'b',"c"]  # and a comment
number = 3
truth = true
["quoted.with.dots".bare]
hash = "a # b"
equals = "a = b"
bracket = "[x]"
["quoted.with.dots"]
above = "its child"
"""


#: What TOML allows in a configuration that somebody wrote by hand.
BY_HAND = {
    "v2": V2,
    "v3": V3,
    "crio": CRIO,
    "printed": PRINTED,
    "odd": ODD,
    "empty": "",
    "blank": "\n\n",
    "crlf": V2.replace("\n", "\r\n"),
    "single quoted header": "version = 3\n[plugins.'io.containerd.cri.v1.runtime'.cni]\nbin_dirs = ['/usr/lib/cni']\n",
    "list on several lines": '[crio.network]\nplugin_dirs = [\n\t"/usr/libexec/cni/",\n\t"/opt/cni/bin/", # last\n]\n',
    "list with a comment that holds its end": 'x = [\n  "/a", # ["/b"]\n  # "/c",\n]\ny = "/d"\n',
    "list whose texts hold signs": 'x = ["/a#b", \'/c]d\']\n',
    "list of tables": '[a.cni]\nbin_dir = "/x"\n[[b]]\nbin_dir = "/wrong"\n[c]\nd = "/y"\n',
    "dotted key": 'plugins."io.containerd.cri.v1.runtime".cni.conf_dir = "/d"\n[crio]\nnetwork . plugin_dirs = [\n"/e",\n]\n',
    "quoted key": '[a]\n"bin_dir" = "/x"\n\'conf.dir\' = "/y"\n',
    "comment that looks like a list": '[a]\nx = ["/a"] # was ["/b"]\n',
    "comment with an apostrophe": '# the vendor\'s\n[a] # it\'s\nx = "/a" # don\'t\ny = "/b"\n',
}


@pytest.mark.parametrize("text", BY_HAND.values(), ids=BY_HAND)
def test_the_own_reader_finds_what_tomllib_finds(text):
    assert dict(leaves(runtime._plain_tables(text))) == dict(leaves(tomllib.loads(text)))


def test_that_comparison_compares_something():
    assert len(dict(leaves(tomllib.loads(ODD)))) == 12
    assert dict(leaves(tomllib.loads(V3)))["plugins", "io.containerd.cri.v1.runtime", "cni", "bin_dirs"] == ["/opt/cni/bin", "/usr/libexec/cni"]


SAID = {
    "containerd github.com/containerd/containerd 1.6.20~ds1 1.6.20~ds1-1+deb12u3\n": "1.6.20",
    "containerd github.com/containerd/containerd/v2 2.1.9+unknown \n": "2.1.9",
    "containerd github.com/containerd/containerd v1.7.24 88bf19b2105c8b17560993bee28a01ddc2f97182\n": "1.7.24",
    "containerd containerd.io 1.6.33 d2d58213f83a351ca8f528a95fbd145f5654e957\n": "1.6.33",
    "containerd github.com/containerd/containerd/v2 v2.0.0-rc.1 1\n": "2.0.0",
    "crio version 1.32.0\n   GitCommit:      1.99\n": "1.32.0",
    "podman version 4.3.1\n": "4.3.1",
    "containerd (devel)\n": "",
    "": "",
}


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Programs of a node: ``put("containerd", what it prints)``."""
    monkeypatch.setattr(process, "PATH", str(tmp_path / "bin"))

    def put(name, said, status=0):
        (tmp_path / "bin").mkdir(exist_ok=True)
        path = tmp_path / "bin" / name
        path.write_text(f"#!/bin/sh\n[ \"$*\" = --version ] && printf %s '{said}'\nexit {status}\n")
        path.chmod(0o755)

    return put


def installed():
    return runtime.installed(runtime.read(), plugins.Probes())


@pytest.mark.parametrize("said", SAID)
def test_the_release_that_a_runtime_says(node, programs, said):
    programs("containerd", said)
    assert installed() == runtime.Installed("containerd", SAID[said])


def test_a_runtime_that_cannot_be_run_is_of_no_known_release(node, programs):
    programs("containerd", "containerd x 1.6.20", status=1)
    assert installed() == runtime.Installed("containerd") and str(installed()) == "containerd"


def test_the_runtime_that_is_configured_is_the_one(node, programs):
    assert installed() is None
    programs("podman", "podman version 4.3.1")
    assert str(installed()) == "podman 4.3.1"
    programs("crio", "crio version 1.32.0")
    assert str(installed()) == "crio 1.32.0"
    programs("containerd", "containerd x 1.7.24 y")
    assert str(installed()) == "containerd 1.7.24"
    programs("cri-dockerd", "cri-dockerd 0.3.4 (e88b1605)")
    assert str(installed()) == "dockershim 0.3.4"
    node("crio", CRIO)
    assert str(installed()) == "crio 1.32.0"
    node("containerd", V3)
    assert str(installed()) == "containerd 1.7.24"
    node("containerd", f'disabled_plugins = ["cri"]\n{V3}')
    assert str(installed()) == "crio 1.32.0"


def test_dockers_containerd_does_not_run_pods(node, programs):
    programs("containerd", "containerd containerd.io 1.7.24 x")
    node("containerd", 'disabled_plugins = ["cri"]\n')
    assert installed() is None


def test_a_runtime_that_is_configured_but_not_there(node, programs):
    programs("crio", "crio version 1.32.0")
    node("containerd", V3)
    assert installed() is None

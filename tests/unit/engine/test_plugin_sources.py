# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Files that others write: checksums, lists of repositories, the heads of programs; and programs that are chained."""

from __future__ import annotations

import os
import re
import sys

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._errors import NodeError
from ansible_collections.kubenode.network.plugins.module_utils._host import packages, plugins, process
from ansible_collections.kubenode.network.plugins.module_utils._sections import plugin_package, plugin_source

A, B, LONG = "a" * 64, "B" * 64, "c" * 128


@pytest.mark.parametrize(
    "text, digits",
    [
        (f"{A}  x.tgz\n", [A]),
        (f"{A} *x.tgz\r\n{B}  y.tgz", [A]),
        (f"{B}  ./x.tgz", [B.lower()]),
        (f"{LONG}  x.tgz\n", [LONG]),
        (f"SHA256 (x.tgz) = {A}\n", [A]),
        (f"SHA512 (x.tgz) = {LONG}\n", [LONG]),
        (f"{A}  x.tgz\n{B}  x.tgz\n", [A, B.lower()]),
        (f"{A}\n", []),
        (f"{A}  a/x.tgz\n{A}  x.tgz.asc\n{A}  ax.tgz\n{A}  xxtgz\n", []),
        (f"{'a' * 63}  x.tgz\n{'a' * 65}  x.tgz\n{'a' * 96}  x.tgz\n{'g' * 64}  x.tgz\n", []),
        ("<html>not found</html>", []),
        ("", []),
    ],
)
def test_a_file_of_checksums(text, digits):
    assert plugin_source.digits_for("x.tgz", text) == digits


@pytest.mark.parametrize("part", ["hid/den", "hid#den", "hid?den", "hid\u2100den", "hid[den", "{hidden}", "hid den"])
def test_a_password_that_no_url_can_have_is_not_told(part):
    options = {"src": f"https://me:{part}@mirror.example/x.tgz", "checksum": None, "plugins": None, "version": None}
    assert not re.search("hid|den", "".join(map(str, plugin_source.check(options))))


REPO = "[k]\nname=x\nbaseurl={}\n{}gpgkey=https://packages.cloud.google.com/yum/doc/yum-key.gpg\n"
GONE = "https://packages.cloud.google.com/yum/repos/kubernetes-el7-$basearch"


@pytest.mark.parametrize(
    "path, text, found",
    [
        ("k.repo", REPO.format(GONE, ""), [GONE]),
        ("k.repo", REPO.format("http://yum.kubernetes.io/x\n  http://mirror.example/kubernetes", "enabled = 1\n"), ["http://yum.kubernetes.io/x"]),
        ("k.repo", REPO.format(GONE, "enabled=0\n"), []),
        ("k.repo", REPO.format(GONE, "enabled = False\n"), []),
        ("k.repo", REPO.format(f"https://pkgs.k8s.io/core:/stable:/v1.30/rpm/\n#baseurl={GONE}", ""), []),
        ("k.repo", REPO.format("https://packages.cloud.google.com/yum/repos/cloud-sdk-el9", ""), []),
        ("k.repo", "baseurl=" + GONE, []),
        ("k.list", "deb [signed-by=/k.gpg] https://apt.kubernetes.io/ kubernetes-xenial main", ["https://apt.kubernetes.io/"]),
        ("k.list", "deb https://packages.cloud.google.com/apt kubernetes-xenial main", ["https://packages.cloud.google.com/apt"]),
        ("k.list", " # deb https://apt.kubernetes.io/ kubernetes-xenial main", []),
        ("k.list", "deb https://packages.cloud.google.com/apt cloud-sdk-bookworm main", []),
        ("k.list", "deb https://notapt.kubernetes.io/ x y\ndeb https://pkgs.k8s.io/core:/stable:/v1.30/deb/ /", []),
        ("k.sources", "Types: deb\nURIs: https://me@apt.kubernetes.io:443/\nSuites: kubernetes-xenial", ["https://me@apt.kubernetes.io:443/"]),
        ("k.sources", "Types: deb\nEnabled: no\nURIs: https://apt.kubernetes.io/\n\nTypes: deb\nURIs: https://mirror.example/kubernetes", []),
    ],
)
def test_addresses_that_are_gone(path, text, found):
    assert plugin_package.legacy_addresses(path, text) == found


def test_every_distribution_has_a_manager_that_is_known():
    assert set(plugin_package.PACKAGES) == set(plugin_package.MANAGERS)
    managers = {name for names in plugin_package.MANAGERS.values() for name in names}
    assert managers == set(packages.MANAGERS) and set(plugin_package.KUBERNETES_MANAGERS) < managers
    assert {manager.database for manager in packages.MANAGERS.values()} == set(packages.DATABASES)


@pytest.mark.parametrize("name, database", packages.DATABASES.items())
def test_what_the_databases_say_of_an_owner(name, database):
    said = {
        "dpkg": "containernetworking-plugins:amd64: /usr/lib/cni/bridge\n",
        "rpm": "containernetworking-plugins: /usr/lib/cni/bridge\n",
        "apk": "/usr/lib/cni/bridge is owned by containernetworking-plugins-1.4.0-r2\n",
        "pacman": "/usr/lib/cni/bridge is owned by containernetworking-plugins 1.4.0-1\n",
    }[name]
    (match,) = re.finditer(database.owner, f"{said}no path found\n", re.MULTILINE)
    assert match.groupdict() == {"path": "/usr/lib/cni/bridge", "package": "containernetworking-plugins"}


def elf(bits, order, machine):
    return b"\x7fELF" + bytes([bits, order, 1]) + bytes(11) + machine.to_bytes(2, "little" if order == 1 else "big")


@pytest.mark.parametrize(
    "head, expected",
    [(elf(*key), name) for key, name in plugins.ELF_MACHINES.items()]
    + [
        (elf(1, 1, 62), "ELF machine 62"),
        (elf(2, 1, 62)[:19], None),
        (b"#!/bin/sh\n", plugins.SCRIPT),
        (b"MZ" + bytes(30), None),
        (b"", None),
    ],
)
def test_what_a_program_is_made_for(tmp_path, head, expected):
    (tmp_path / "x").write_bytes(head)
    assert plugins.architecture(str(tmp_path / "x")) == expected


@pytest.mark.parametrize(
    "machine, order, expected",
    [("x86_64", "little", "amd64"), ("aarch64", "little", "arm64"), ("armv7l", "little", "arm"), ("ppc64le", "little", "ppc64le"),
     ("s390x", "big", "s390x"), ("riscv64", "little", "riscv64"), ("i686", "little", "386")],
)
def test_the_architecture_of_a_node(monkeypatch, machine, order, expected):
    monkeypatch.setattr(os, "uname", lambda: os.uname_result(("Linux", "n", "6", "1", machine)))
    assert plugins.architectures()[0] == expected
    assert plugins.architecture("/proc/self/exe") in plugins.architectures()


def python(code):
    return [sys.executable, "-c", code]


def test_a_pipe_of_programs(tmp_path):
    process.pipe([python("print('x' * 1000000)"), python("import sys; open('got', 'w').write(sys.stdin.read())")], cwd=str(tmp_path))
    assert len((tmp_path / "got").read_text()) == 1000001


@pytest.mark.parametrize(
    "first, second, said",
    [
        ("import sys; sys.exit('broken')", "import sys; sys.stdin.read()", "failed with status 1: broken"),
        ("print('x' * 10000000)", "import sys; sys.exit('no more')", "failed with status 1: no more"),
    ],
)
def test_a_pipe_that_breaks(tmp_path, first, second, said):
    with pytest.raises(NodeError, match=said):
        process.pipe([python(first), python(second)], cwd=str(tmp_path))


def test_a_pipe_of_what_is_not_installed(tmp_path):
    with pytest.raises(NodeError, match="/no/program could not be run"):
        process.pipe([python("print('x' * 10000000)"), ["/no/program"]], cwd=str(tmp_path))

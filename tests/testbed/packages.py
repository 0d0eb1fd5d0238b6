# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packages of CNI plugins in repositories on this machine, and nodes whose package manager knows no other.

The host's own databases stay as they are: a node has its own /etc and /var/lib, and here its own /var/cache and /var/log and a
/usr that only it writes.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .node import Node

SPEC = """Name: {name}
Version: {version}
Release: 1
Summary: CNI plugins for tests
License: ASL 2.0
AutoReqProv: no
{more}
%define _binary_payload w1.gzdio
%define __os_install_post %{{nil}}
%define debug_package %{{nil}}
%description
CNI plugins.
%install
mkdir -p %{{buildroot}}{folder}
{copy}
%files
{files}
"""


def rpm(repository: Path, name: str, version: str, binaries: Path | None, folder: str, more: str = "") -> None:
    """Adds an rpm to a repository. Without binaries it is an empty one."""
    top = repository / ".build"
    spec = repository / f"{name}.spec"
    copy, files = (f"cp {binaries}/* %{{buildroot}}{folder}", f"{folder}/*") if binaries else ("", "")
    spec.write_text(SPEC.format(name=name, version=version, folder=folder, copy=copy, files=files, more=more))
    _run("rpmbuild", "-bb", "--quiet", "--define", f"_topdir {top}", "--define", f"_dbpath {top}/db", "--define", f"_rpmdir {repository}", str(spec))
    shutil.rmtree(top)
    _run("createrepo_c", "--quiet", str(repository))


def deb(repository: Path, name: str, version: str, binaries: Path | None, folder: str, more: str = "", *, script: str = "") -> None:
    """Adds a Debian package to a repository. Without binaries it is an empty one; ``script`` is to be run to configure it."""
    root = repository / ".build"
    (root / "DEBIAN").mkdir(parents=True)
    if binaries:
        shutil.copytree(binaries, root / folder.lstrip("/"))
    arch = _run("dpkg", "--print-architecture").strip()
    control = f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\nMaintainer: nobody <nobody@example.com>\n{more}Description: for tests\n"
    (root / "DEBIAN" / "control").write_text(control)
    if script:
        (root / "DEBIAN" / "postinst").write_text(script)
        (root / "DEBIAN" / "postinst").chmod(0o755)
    _run("dpkg-deb", "--build", "-Znone", "--root-owner-group", str(root), str(repository))
    shutil.rmtree(root)
    (repository / "Packages").write_text(_run("apt-ftparchive", "packages", ".", cwd=repository))


def _run(*argv: str, cwd: Path | None = None) -> str:
    return subprocess.run(argv, check=True, capture_output=True, text=True, cwd=cwd).stdout


def use_dnf(node: Node, repository: Path) -> None:
    """The node is like a Fedora, with an empty rpm database and this repository alone."""
    _own_folders(node)
    node.run(["rm", "-f", "/etc/os-release"])
    node.write("/etc/os-release", 'NAME="A Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.4"\n')
    node.write("/etc/rpm/macros", "%_dbpath /var/lib/rpm\n")
    node.run(["sh", "-c", "rm -rf /etc/yum.repos.d /var/lib/rpm /var/lib/dnf; mkdir -p /etc/yum.repos.d /var/lib/rpm"])
    node.write("/etc/yum.repos.d/local.repo", f"[local]\nname=local\nbaseurl=file://{repository}\ngpgcheck=0\nexclude=kubernetes-cni\n")


def use_apt(node: Node, repository: Path) -> None:
    """The node is a Debian that has no CNI plugins yet, and this repository alone."""
    _own_folders(node)
    node.run(["dpkg", "--force-depends", "--purge", "containernetworking-plugins"], check=False)
    node.run(["sh", "-c", "rm -rf /etc/apt/sources.list* /etc/apt/preferences.d; mkdir -p /etc/apt/sources.list.d"])
    node.write("/etc/apt/apt.conf.d/99-as-root", 'APT::Sandbox::User "root";\n')  # the repository is root's alone
    node.write("/etc/apt/sources.list", f"deb [trusted=yes] file:{repository} ./\n")
    node.run(["apt-get", "update"], timeout=120)


def _own_folders(node: Node) -> None:
    node.run(["mount", "-t", "tmpfs", "tmpfs", "/var/log"])
    node.run(["mount", "-t", "tmpfs", "tmpfs", "/var/cache"])
    node.run(["mkdir", "-p", "/run/usr/upper", "/run/usr/work", "/var/log/apt", "/var/cache/apt/archives/partial"])
    node.run(["mount", "-t", "overlay", "overlay", "-o", "lowerdir=/usr,upperdir=/run/usr/upper,workdir=/run/usr/work", "/usr"])

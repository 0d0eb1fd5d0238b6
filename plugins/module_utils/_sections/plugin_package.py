# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import re
import typing as t

from .._converge import Want
from .._errors import NodeError, Problem
from .._host import files, packages, process
from .._resources import file, package
from . import plugin_source
from .base import Options, Run

#: Distribution (ID of os-release) -> its package of the reference plugins, and the folder in which that has them.
PACKAGES = {
    "debian": ("containernetworking-plugins", "/usr/lib/cni"),
    "ubuntu": ("containernetworking-plugins", "/usr/lib/cni"),
    "fedora": ("containernetworking-plugins", "/usr/libexec/cni"),
    "rhel": ("containernetworking-plugins", "/usr/libexec/cni"),
    "centos": ("containernetworking-plugins", "/usr/libexec/cni"),
    "suse": ("cni-plugins", "/usr/lib/cni"),
    "alpine": ("cni-plugins", "/usr/libexec/cni"),
    "arch": ("cni-plugins", "/usr/lib/cni"),
}
#: Kubernetes' own package, by the managers for which its repository has one.
KUBERNETES, KUBERNETES_FOLDER = "kubernetes-cni", "/opt/cni/bin"
KUBERNETES_MANAGERS = {"apt-get": "deb", "dnf5": "rpm", "dnf": "rpm", "yum": "rpm", "zypper": "rpm"}
#: Distribution -> its package managers, the first that is installed counts.
MANAGERS = {
    "debian": ("apt-get",),
    "ubuntu": ("apt-get",),
    "fedora": ("dnf5", "dnf", "yum"),
    "rhel": ("dnf5", "dnf", "yum"),
    "centos": ("dnf5", "dnf", "yum"),
    "suse": ("zypper",),
    "alpine": ("apk",),
    "arch": ("pacman",),
}


class Supply(t.NamedTuple):
    """A package that has the plugins. ``binaries``: name -> path from which it can be read and run now."""

    name: str
    manager: str
    folder: str
    installed: bool
    binaries: dict[str, str]


def check(options: Options) -> list[Problem]:
    """What is wrong with the options of a package by themselves."""
    given = [name for name in ("src", "checksum", "owner", "manifest") if options[name]]
    problems = [Problem("package", f"is given with {name} (expected one of the two)") for name in given]
    if not re.fullmatch(r"[a-z0-9][a-z0-9+._-]*", options["package"]):
        problems.append(Problem("package", f"{options['package']!r} is not the name of a package (expected auto, or a name like {KUBERNETES})"))
    return problems


def manager() -> str | None:
    """The node's package manager: the distribution's own, else the first that is there."""
    own = [name for distribution in packages.distribution() for name in MANAGERS.get(distribution, ())]
    return next((name for name in [*own, *packages.MANAGERS] if process.find(name)), None)


def supply(options: Options, run: Run) -> Supply | None:
    """The package and what it has, looked into without installing it; None when ``run.problems`` says what is wrong."""
    tool = manager()
    if tool is None:
        run.refuse("package", f"{options['package']!r} cannot be installed here (expected one of {', '.join(packages.MANAGERS)} on the node)")
        return None
    chosen = _choose(options["package"], tool, run)
    if chosen is None:
        return None
    name, folder = chosen
    try:
        installed = packages.is_whole(name, tool) is True
        if not installed:
            _refuse_legacy(name, tool, run)
        return _look_into(name, folder, tool, options, run, installed=installed) if not run.problems else None
    except NodeError as error:
        run.refuse("package", f"{name!r} cannot be looked into: {error} (expected a repository that has it; lists that are too old are not renewed)")
        return None


def _choose(wanted: str, tool: str, run: Run) -> tuple[str, str] | None:
    distributions = packages.distribution()
    own = next((PACKAGES[name] for name in distributions if name in PACKAGES), None)
    known = dict([own] if own else [])
    if tool in KUBERNETES_MANAGERS:
        known[KUBERNETES] = KUBERNETES_FOLDER
    if wanted == "auto" and own is not None:
        return own
    if wanted in known:
        return wanted, known[wanted]
    here = distributions[0] if distributions else "a system without os-release"
    expected = " or ".join([*(["auto"] if own else []), *known]) or "a folder or an archive as src"
    run.refuse("package", f"{wanted!r} is not known to have the plugins on {here} (expected {expected})")
    return None


def _look_into(name: str, folder: str, tool: str, options: Options, run: Run, *, installed: bool) -> Supply:
    if installed:
        owned = {path for path in packages.files_of(name, tool) if os.path.dirname(path) == folder}
        paths = {plugin: f"{folder}/{plugin}" for plugin in plugin_source.REFERENCE if f"{folder}/{plugin}" in owned}
        for path in sorted(path for path in paths.values() if not os.path.isfile(path)):
            run.refuse("package", f"{name!r} is installed, but its {path} is gone (expected the package whole; install it again)")
    else:
        root = packages.unpack(name, tool, plugin_source.scratch(run))
        paths = {plugin: f"{root}{folder}/{plugin}" for plugin in plugin_source.REFERENCE}
    found = {plugin: path for plugin, path in paths.items() if os.path.isfile(path)}
    if not found:
        run.refuse("package", f"{name!r} has no CNI plugin binary in {folder} (expected some of {plugin_source.REFERENCE_NAMES})")
    for index, plugin in enumerate(options["plugins"] or []):
        if found and plugin not in found:
            run.refuse(f"plugins[{index}]", f"{plugin!r} is not in the package {name} (expected some of {', '.join(found)})")
    wanted = {plugin: path for plugin, path in found.items() if options["plugins"] is None or plugin in options["plugins"]}
    return Supply(name, tool, folder, installed, wanted)


def is_own_folder(supplied: Supply, bin_dir: str) -> bool:
    return os.path.realpath(supplied.folder) == os.path.realpath(bin_dir)


def wants(supplied: Supply, bin_dir: str, run: Run) -> list[Want]:
    """The package, and where ``bin_dir`` is not its own folder, a link for each plugin, so that its updates reach pods.

    What the package is about to overwrite in its own folder comes before it: that is kept, and given back behind it.
    """
    itself = Want(package.Package(supplied.name, supplied.manager), {"installed": True})
    if is_own_folder(supplied, bin_dir):
        return [*file.folder_wants(bin_dir, run.document), *_overwritten(supplied, bin_dir, run), itself]
    found = [*file.folder_wants(os.path.dirname(bin_dir), run.document), Want(file.Folder(bin_dir), file.ROOT_FOLDER)]
    links = {name: os.path.join(supplied.folder, name) for name in supplied.binaries}
    return [itself, *found, *(Want(file.File(os.path.join(bin_dir, name), binary=True), {"symlink": path}) for name, path in links.items())]


def _overwritten(supplied: Supply, bin_dir: str, run: Run) -> list[Want]:
    found = []
    for name, path in supplied.binaries.items():
        target = os.path.join(bin_dir, name)
        held = run.document.record(f"file:{target}") is not None
        if held or (not supplied.installed and os.path.lexists(target)):
            resource = file.File(target, files.FileContent(path), binary=True)
            found.append(Want(resource, files.state(target) if supplied.installed else resource.wanted(0o755)))
    return found


def _refuse_legacy(name: str, tool: str, run: Run) -> None:
    """Kubernetes' old repositories were taken away: with one of them enabled nothing at all can be installed by dnf."""
    if name != KUBERNETES:
        return
    for path, text in packages.repositories(tool).items():
        for address in legacy_addresses(path, text):
            successor = f"{plugin_source.SUCCESSOR}{KUBERNETES_MANAGERS[tool]}/"
            shown = process.without_passwords(address)
            run.refuse("package", f"{name!r} would come from {shown}, by {path}, which was taken away (expected its successor {successor} there)")


def legacy_addresses(path: str, text: str) -> list[str]:
    """Addresses of Kubernetes' old repositories in a file of repositories, as far as they are enabled. The hosts of a cloud
    have other packages, too, which are still there."""
    if path.endswith(".repo"):
        entries = _sections_of(text)
    elif path.endswith(".sources"):
        entries = [part for part in re.split(r"\n\s*\n", text) if not re.search(r"^Enabled:\s*no\b", part, re.MULTILINE | re.IGNORECASE)]
    else:
        entries = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found = []
    for entry in entries:
        for address in re.findall(r"https?://[^\s,]+", "\n".join(line for line in entry.splitlines() if not line.lstrip().startswith("#"))):
            host = re.sub(r"^https?://(?:[^/@]*@)?([^/:]+).*", r"\1", address)
            if host in plugin_source.LEGACY_HOSTS and "kubernetes" in entry and not address.endswith((".gpg", ".asc")):
                found.append(address)
    return list(dict.fromkeys(found))


def _sections_of(text: str) -> list[str]:
    """``baseurl`` and ``mirrorlist`` of each repository of a .repo file that is not switched off."""
    import configparser  # only where a repository is looked at

    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string(text)
    except configparser.Error:
        return []
    enabled = [parser[name] for name in parser.sections() if parser[name].get("enabled", "1").strip().lower() not in ("0", "no", "false")]
    return [f"{section.get('baseurl', '')}\n{section.get('mirrorlist', '')}" for section in enabled]

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import functools
import os
import re
import typing as t

from .._cni import model
from .._converge import Part, Want
from .._document import Document
from .._errors import InputError, Problem
from .._host import files, plugins, runtime
from .._resources import file
from . import plugin_source
from .base import STATE, Options, Run, normal, removal

NAME = "cni_plugins"
OPTIONS: dict[str, t.Any] = {
    "src": {"type": "path"},
    "remote_src": {"type": "bool", "default": False},
    "checksum": {"type": "str"},
    "version": {"type": "str"},
    "bin_dir": {"type": "path"},
    "plugins": {"type": "list", "elements": "str"},
    "manifest": {"type": "dict"},
    "state": STATE,
}
Contents = dict[str, files.FileContent]


def check(options: Options) -> list[Problem]:
    problems = _check_path("bin_dir", options["bin_dir"])
    if options["state"] == "absent":
        return problems
    problems += plugin_source.check(options) + _check_manifest(options["manifest"] or {})
    if not options["src"]:
        return [*problems, Problem("src", "is required when state is present (expected a folder, an archive or a URL of plugin binaries)")]
    if not plugin_source.is_url(options["src"]):
        problems += _check_path("src", options["src"])
    checksum = options["checksum"]
    if checksum and plugin_source.is_checksum_file(checksum) and not plugin_source.is_url(checksum):
        problems += _check_path("checksum", checksum)
    if not options["remote_src"]:
        text = "is false, but the source was not brought to the node (expected the module to run by its action plugin)"
        problems.append(Problem("remote_src", text))
    return problems


def _check_manifest(manifest: t.Mapping[str, t.Any]) -> list[Problem]:
    problems = []
    for name, sha256 in manifest.items():
        if name not in plugin_source.REFERENCE:
            problems.append(Problem(f"manifest.{name}", f"{name!r} is not a reference plugin (expected some of {plugin_source.REFERENCE_NAMES})"))
        if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
            problems.append(Problem(f"manifest.{name}", f"{sha256!r} is not a SHA-256 (expected 64 hexadecimal digits, in lower case)"))
    return problems


def _check_path(name: str, path: str | None) -> list[Problem]:
    if path is None or (os.path.isabs(path) and os.path.normpath(path) != "/" and ".." not in path.split("/")):
        return []
    return [Problem(name, f"{path!r} is not usable (expected an absolute path without ..)")]


def parts(options: Options, run: Run) -> list[Part]:
    bin_dir = choose_bin_dir(options["bin_dir"], run.runtime)
    ours = {os.path.basename(oid) for oid, record in run.document.objects(NAME, bin_dir).items() if record["found"] is None}
    if options["state"] == "absent":
        run.planned.leaving_plugins = ours
        return [removal(NAME, bin_dir, revive)]
    if bin_dir not in run.runtime.bin_dirs and run.runtime.source:
        looked = ", ".join(run.runtime.bin_dirs)
        run.warnings.append(f"{NAME}: the container runtime looks for plugins in {looked} ({run.runtime.source}), not in {bin_dir}")
    known = run.document.desired(NAME, bin_dir)
    contents, archive = _contents(options, bin_dir, known, run)
    plugin_source.check_binaries({name: content.path for name, content in contents.items()}, options["src"], plugins.architectures(), run)
    release = _release(options, contents, known, run) if not run.problems else None
    if run.problems:
        return []
    hashes = {name: content.sha256 for name, content in contents.items()}
    run.results[NAME] = {"bin_dir": bin_dir, "plugins": hashes, "release": release}
    run.planned.bin_dir = bin_dir
    run.planned.leaving_plugins = ours - set(contents)
    wants = file.folder_wants(os.path.dirname(bin_dir), run.document)
    wants.append(Want(file.Folder(bin_dir), file.ROOT_FOLDER))
    for name, content in contents.items():
        resource = file.File(os.path.join(bin_dir, name), content, binary=True)
        wants.append(Want(resource, resource.wanted(0o755)))
        run.planned.plugins[name] = functools.partial(_runnable, name, content, run)
    desired = {"bin_dir": bin_dir, "plugins": hashes, "archive": archive, "selection": plugin_source.selection(options), "release": release}
    return [Part(NAME, bin_dir, desired, wants, revive)]


def finish(run: Run) -> None:
    """Refuses to take plugins from networks of ours: their pods could neither start nor stop any more."""
    for name in run.document.instances("networks"):
        if name not in run.planned.removed_networks and name not in run.results.get("networks", {}):
            chain = (run.document.desired("networks", name) or {})["plugins"]
            used = {plugin for plugin, _path in model.plugin_types(chain)} & run.planned.leaving_plugins
            if used:
                text = f"{name} needs {', '.join(sorted(used))}, which would go (expected: keep them, or take the network away first)"
                run.refuse("plugins", f"the network {text}")


def choose_bin_dir(wanted: str | None, settings: runtime.Settings) -> str:
    """The folder for the binaries: the one that is asked for, else the first in which the container runtime looks."""
    return normal(wanted or settings.bin_dirs[0])


def _contents(options: Options, bin_dir: str, known: t.Mapping[str, t.Any] | None, run: Run) -> tuple[Contents, str | None]:
    """The binaries by name, and the checksum of the archive that they came from."""
    if options["manifest"] is not None:
        return _from_manifest(options["manifest"], options["src"], bin_dir, run), options["checksum"]
    options = plugin_source.with_digits(plugin_source.fill(options, plugins.architectures()[0]), run)
    src = options["src"]
    if not plugin_source.is_url(src) and not os.path.isdir(src) and not os.path.isfile(src):
        run.refuse("src", f"{src!r} is not there on the node (expected a folder or an archive of plugin binaries)")
    if run.problems:
        return {}, None
    if known is not None and plugin_source.is_installed(options, known) and not differing(known["plugins"], bin_dir):
        paths = {name: os.path.join(bin_dir, name) for name in known["plugins"]}
    else:
        paths = plugin_source.look_into(options, run)
    return {name: files.FileContent(path) for name, path in paths.items()}, options["checksum"]


def differing(manifest: t.Mapping[str, str], bin_dir: str) -> list[str]:
    """Names of the binaries that are not in the folder with the content that the manifest names."""
    paths = {name: os.path.join(bin_dir, name) for name in manifest}
    return [name for name, path in sorted(paths.items()) if not os.path.isfile(path) or files.sha256_of(path) != manifest[name]]


def _from_manifest(manifest: t.Mapping[str, str], src: str, bin_dir: str, run: Run) -> Contents:
    """What the action plugin sent (only what differs), and what is installed already for the rest."""
    contents: Contents = {}
    for name, sha256 in sorted(manifest.items()):
        sent = os.path.join(src, name)
        path = sent if os.path.isfile(sent) else os.path.join(bin_dir, name)
        if not os.path.isfile(path) or files.sha256_of(path) != sha256:
            run.refuse("src", f"the binary {name!r} did not arrive on the node as it was sent (expected SHA-256 {sha256})")
        else:
            contents[name] = files.FileContent(path, sha256)
    return contents


def _release(options: Options, contents: Contents, known: t.Mapping[str, t.Any] | None, run: Run) -> str | None:
    """The release that the binaries say they are of; None when they do not all say the same. Those of an earlier run need
    not be asked again."""
    if known is not None and "release" in known and known["plugins"] == {name: content.sha256 for name, content in contents.items()}:
        said = dict.fromkeys(contents, known["release"])
    else:
        said = {name: _release_of(name, content, run) for name, content in contents.items()}
    wanted = options["version"]
    for name, release in said.items():
        if wanted is not None and release is not None and release.lstrip("v") != wanted.lstrip("v"):
            run.refuse("version", f"{wanted!r} is not what the binary {name!r} says it is (expected {release}, or another source)")
    releases = set(said.values())
    return releases.pop() if len(releases) == 1 else None


def _release_of(name: str, content: files.FileContent, run: Run) -> str | None:
    match = re.search(r" (v[0-9]+\.[0-9]+\.[0-9]+\S*)$", plugins.about(_runnable(name, content, run)))
    return match.group(1) if match else None


def _runnable(name: str, content: files.Content, run: Run) -> str:
    """A path from which a binary that is not installed yet can be asked for its versions. In memory if need be: temporary
    folders are often mounted noexec."""
    if isinstance(content, files.FileContent) and os.access(content.path, os.X_OK):
        return content.path
    descriptor = os.memfd_create(name)
    run.cleanups.append(functools.partial(os.close, descriptor))
    for chunk in content.chunks():
        os.write(descriptor, chunk)
    return f"/proc/{os.getpid()}/fd/{descriptor}"


def answer(options: Options) -> dict[str, t.Any]:
    """For the action plugin: ``bin_dir``, as ``differing`` the names of the binaries that are not installed there with the
    content that the manifest names, the node's ``architectures``, and as ``known`` what the document says of the binaries
    there, as long as they still are as it says. Raises InputError, NodeError."""
    problems = _check_path("bin_dir", options["bin_dir"]) + _check_manifest(options["manifest"])
    if problems:
        raise InputError(problems)
    bin_dir = choose_bin_dir(options["bin_dir"], runtime.read())
    known = Document.load().desired(NAME, bin_dir)
    return {
        "bin_dir": bin_dir,
        "differing": differing(options["manifest"], bin_dir),
        "architectures": plugins.architectures(),
        "known": known if known is not None and not differing(known["plugins"], bin_dir) else None,
    }


revive = functools.partial(file.revive, binary=True)

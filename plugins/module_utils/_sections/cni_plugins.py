# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import functools
import os
import re
import shutil
import tempfile
import typing as t

from .._cni import model
from .._converge import Part, Want
from .._errors import InputError, NodeError, Problem
from .._host import archives, files, runtime
from .._resources import file
from .base import STATE, Options, Run, normal, removal

NAME = "cni_plugins"
OPTIONS: dict[str, t.Any] = {
    "src": {"type": "path"},
    "remote_src": {"type": "bool", "default": False},
    "checksum": {"type": "str"},
    "bin_dir": {"type": "path"},
    "plugins": {"type": "list", "elements": "str"},
    "manifest": {"type": "dict"},
    "state": STATE,
}
#: The binaries of containernetworking/plugins releases 0.6 to 1.9; other files in a source are left there.
REFERENCE = (
    "bandwidth", "bridge", "dhcp", "dummy", "firewall", "flannel", "host-device", "host-local", "ipvlan", "loopback",
    "macvlan", "portmap", "ptp", "sbr", "static", "tap", "tuning", "vlan", "vrf",
)
REFERENCE_NAMES = ", ".join(REFERENCE)


def check(options: Options) -> list[Problem]:
    problems = _check_path("bin_dir", options["bin_dir"])
    if options["state"] == "absent":
        return problems
    problems += check_choice(options) + _check_manifest(options["manifest"] or {})
    if not options["src"]:
        return [*problems, Problem("src", "is required when state is present (expected a folder or an archive of plugin binaries)")]
    problems += _check_path("src", options["src"])
    if not options["remote_src"]:
        text = "is false, but the source was not brought to the node (expected the module to run by its action plugin)"
        problems.append(Problem("remote_src", text))
    return problems


def check_choice(options: Options) -> list[Problem]:
    """What is wrong with ``plugins`` and ``checksum``, wherever the source is."""
    problems = []
    if options["plugins"] == []:
        problems.append(Problem("plugins", f"[] is empty (expected some of {REFERENCE_NAMES}, or no list, for all that the source holds)"))
    for index, name in enumerate(options["plugins"] or []):
        if name not in REFERENCE:
            problems.append(Problem(f"plugins[{index}]", f"{name!r} is not a reference plugin (expected some of {REFERENCE_NAMES})"))
    if options["checksum"] is not None and not _split_checksum(options["checksum"]):
        text = f"{options['checksum']!r} is not a checksum (expected sha256: and 64 or sha512: and 128 hexadecimal digits)"
        problems.append(Problem("checksum", text))
    return problems


def _check_manifest(manifest: t.Mapping[str, t.Any]) -> list[Problem]:
    problems = []
    for name, sha256 in manifest.items():
        if name not in REFERENCE:
            problems.append(Problem(f"manifest.{name}", f"{name!r} is not a reference plugin (expected some of {REFERENCE_NAMES})"))
        if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
            problems.append(Problem(f"manifest.{name}", f"{sha256!r} is not a SHA-256 (expected 64 hexadecimal digits, in lower case)"))
    return problems


def _check_path(name: str, path: str | None) -> list[Problem]:
    if path is None or (os.path.isabs(path) and os.path.normpath(path) != "/" and ".." not in path.split("/")):
        return []
    return [Problem(name, f"{path!r} is not usable (expected an absolute path without ..)")]


def _split_checksum(text: str) -> tuple[str, str] | None:
    match = re.fullmatch(r"(sha256):([0-9a-fA-F]{64})|(sha512):([0-9a-fA-F]{128})", text)
    return ((match.group(1) or match.group(3)), (match.group(2) or match.group(4)).lower()) if match else None


def parts(options: Options, run: Run) -> list[Part]:
    bin_dir = choose_bin_dir(options["bin_dir"], run.runtime)
    ours = {os.path.basename(oid) for oid, record in run.document.objects(NAME, bin_dir).items() if record["found"] is None}
    if options["state"] == "absent":
        run.planned.leaving_plugins = ours
        return [removal(NAME, bin_dir, revive)]
    if bin_dir not in run.runtime.bin_dirs and run.runtime.source:
        looked = ", ".join(run.runtime.bin_dirs)
        run.warnings.append(f"{NAME}: the container runtime looks for plugins in {looked} ({run.runtime.source}), not in {bin_dir}")
    contents = _contents(options, bin_dir, run)
    if run.problems:
        return []
    desired = {"bin_dir": bin_dir, "plugins": {name: content.sha256 for name, content in contents.items()}}
    run.results[NAME] = desired
    run.planned.bin_dir = bin_dir
    run.planned.leaving_plugins = ours - set(contents)
    wants = file.folder_wants(os.path.dirname(bin_dir), run.document)
    wants.append(Want(file.Folder(bin_dir), file.ROOT_FOLDER))
    for name, content in contents.items():
        resource = file.File(os.path.join(bin_dir, name), content, binary=True)
        wants.append(Want(resource, resource.wanted(0o755)))
        run.planned.plugins[name] = functools.partial(_runnable, name, content, run)
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


def _contents(options: Options, bin_dir: str, run: Run) -> dict[str, files.Content]:
    src = options["src"]
    if options["manifest"] is not None:
        return _from_manifest(options["manifest"], src, bin_dir, run)
    if not os.path.isdir(src) and not os.path.isfile(src):
        run.refuse("src", f"{src!r} is not there on the node (expected a folder or an archive of plugin binaries)")
        return {}
    return {name: files.FileContent(path) for name, path in look_into(options, run).items()}


def _from_manifest(manifest: t.Mapping[str, str], src: str, bin_dir: str, run: Run) -> dict[str, files.Content]:
    """What the action plugin sent (only what differs), and what is installed already for the rest."""
    contents: dict[str, files.Content] = {}
    for name, sha256 in sorted(manifest.items()):
        sent = os.path.join(src, name)
        path = sent if os.path.isfile(sent) else os.path.join(bin_dir, name)
        if not os.path.isfile(path) or files.sha256_of(path) != sha256:
            run.refuse("src", f"the binary {name!r} did not arrive on the node as it was sent (expected SHA-256 {sha256})")
        else:
            contents[name] = files.FileContent(path, sha256)
    return contents


def look_into(options: Options, run: Run) -> dict[str, str]:
    """The wanted reference plugins of the source, a folder or an archive on this machine, by name and path. An archive is
    unpacked, into a folder that goes with ``run.cleanups``. Empty when ``run.problems`` says what is wrong."""
    known = len(run.problems)
    if os.path.isdir(options["src"]):
        found = _in_folder(options, run)
        names = _selection(options, found, run) if len(run.problems) == known else []
        return {name: found[name] for name in names} if len(run.problems) == known else {}
    folder = tempfile.mkdtemp(prefix="kubenode-network-")
    run.cleanups.append(functools.partial(shutil.rmtree, folder, ignore_errors=True))
    archive = os.path.join(folder, ".archive")
    found = _in_archive(options, archive, run)
    names = _selection(options, found, run) if len(run.problems) == known else []
    return archives.unpack(archive, {name: found[name] for name in names}, folder) if len(run.problems) == known else {}


def _in_folder(options: Options, run: Run) -> dict[str, str]:
    src = options["src"]
    if options["checksum"] is not None:
        run.refuse("checksum", f"is for archives only, but {src!r} is a folder (expected no checksum, or an archive)")
    found = {entry.name: entry.path for entry in os.scandir(src) if entry.is_file()}
    inside = os.path.join(os.path.realpath(src), "")
    for name in REFERENCE:
        if name in found and not os.path.realpath(found[name]).startswith(inside):
            run.refuse("src", f"{found[name]!r} leads out of the folder, to {os.path.realpath(found[name])!r} (expected the binaries themselves)")
    return found


def _in_archive(options: Options, copy: str, run: Run) -> dict[str, str]:
    """Name -> name in the archive. The checksum comes first, so that an archive that somebody swapped is not even parsed,
    and it is that of our copy, which nobody can swap any more."""
    src = options["src"]
    if options["checksum"] is None:
        run.refuse("checksum", f"is required for the archive {src!r} (expected sha256: or sha512: and the digits that its publisher names)")
        return {}
    algorithm, digits = _split_checksum(options["checksum"]) or ("sha256", "")
    actual = archives.copy(src, copy, algorithm)
    if actual != digits:
        run.refuse("checksum", f"the archive {src!r} has {algorithm}:{actual} (expected {algorithm}:{digits}); it was not unpacked")
        return {}
    try:
        names, wrong = archives.list_files(copy)
    except NodeError as error:
        run.refuse("src", f"{str(error).replace(copy, src)} (expected a tar archive, plain or compressed with gzip or xz)")
        return {}
    for problem in wrong:
        run.refuse("src", f"the archive {src!r} is refused: {problem} (expected plain files)")
    return names


def _selection(options: Options, found: t.Mapping[str, str], run: Run) -> list[str]:
    there = [name for name in REFERENCE if name in found]
    if not there:
        run.refuse("src", f"{options['src']!r} holds no CNI plugin binary (expected some of {REFERENCE_NAMES})")
    for index, name in enumerate(options["plugins"] or []):
        if there and name not in there:
            run.refuse(f"plugins[{index}]", f"{name!r} is not in {options['src']} (expected some of {', '.join(there)})")
    return [name for name in there if options["plugins"] is None or name in options["plugins"]]


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
    """For the action plugin: ``bin_dir``, and as ``differing`` the names of the binaries that are not installed there with
    the content that the manifest names. Raises InputError, NodeError."""
    problems = _check_path("bin_dir", options["bin_dir"]) + _check_manifest(options["manifest"])
    if problems:
        raise InputError(problems)
    bin_dir = choose_bin_dir(options["bin_dir"], runtime.read())
    differing = []
    for name, sha256 in sorted(options["manifest"].items()):
        path = os.path.join(bin_dir, name)
        if not os.path.isfile(path) or files.sha256_of(path) != sha256:
            differing.append(name)
    return {"bin_dir": bin_dir, "differing": differing}


revive = functools.partial(file.revive, binary=True)

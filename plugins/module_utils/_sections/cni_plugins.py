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
from .._host import accounts, files, kept, paths, plugins, runtime
from .._resource import Resource, State
from .._resources import file
from . import plugin_source
from .base import Options, Run, normal, removal
from .late import CNI_PLUGINS

NAME = "cni_plugins"
OPTIONS = CNI_PLUGINS
Contents = dict[str, files.FileContent]
#: The number above it means "leave it" to chown(2).
LAST_UID = 2**32 - 2


def check(options: Options) -> list[Problem]:
    problems = paths.check_path("bin_dir", options["bin_dir"])
    if options["state"] == "absent":
        return problems
    problems += plugin_source.check(options) + _check_manifest(options["manifest"] or {}) + _check_owner(options["owner"])
    if options["package"] is not None:
        from . import plugin_package  # most binaries come from elsewhere

        return problems + plugin_package.check(options)
    if not options["src"]:
        return [*problems, Problem("src", "is required when state is present (expected a folder, an archive or a URL of plugin binaries, or package)")]
    if not plugin_source.is_url(options["src"]):
        problems += paths.check_path("src", options["src"])
    checksum = options["checksum"]
    if checksum and plugin_source.is_checksum_file(checksum) and not plugin_source.is_url(checksum):
        problems += paths.check_path("checksum", checksum)
    if not options["remote_src"]:
        text = "is false, but the source was not brought to the node (expected the module to run by its action plugin)"
        problems.append(Problem("remote_src", text))
    return problems


def _check_owner(owner: str | None) -> list[Problem]:
    if owner is None or re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.-]*\$?", owner) or (re.fullmatch(r"[0-9]{1,10}", owner) and int(owner) <= LAST_UID):
        return []
    return [Problem("owner", f"{owner!r} is not a user (expected a name, or a number up to {LAST_UID})")]


def _check_manifest(manifest: t.Mapping[str, t.Any]) -> list[Problem]:
    problems = []
    for name, sha256 in manifest.items():
        if name not in plugin_source.REFERENCE:
            problems.append(Problem(f"manifest.{name}", f"{name!r} is not a reference plugin (expected some of {plugin_source.REFERENCE_NAMES})"))
        if not isinstance(sha256, str) or not re.fullmatch(r"[0-9a-f]{64}", sha256):
            problems.append(Problem(f"manifest.{name}", f"{sha256!r} is not a SHA-256 (expected 64 hexadecimal digits, in lower case)"))
    return problems


def parts(options: Options, run: Run) -> list[Part]:
    if options["verify"]:
        kept.distrust()
    bin_dir = choose_bin_dir(options["bin_dir"], run.runtime)
    ours = _given_up(run.document, bin_dir)
    if options["state"] == "absent":
        run.planned.leaving_plugins = ours
        return [removal(NAME, bin_dir, _reviver(run.document, bin_dir))]
    if bin_dir not in run.runtime.bin_dirs and run.runtime.source:
        looked = ", ".join(run.runtime.bin_dirs)
        run.warnings.append(f"{NAME}: the container runtime looks for plugins in {looked} ({run.runtime.source}), not in {bin_dir}")
    known = run.document.desired(NAME, bin_dir)
    build = _from_source if options["package"] is None else _from_package
    contents, wants, origin = build(options, bin_dir, known, run)
    release = plugin_source.release(options["version"], contents, known, run) if not run.problems else None
    if run.problems:
        return []
    hashes = {name: content.sha256 for name, content in contents.items()}
    run.results[NAME] = {"bin_dir": bin_dir, "plugins": hashes, "release": release, "package": origin.get("package")}
    run.planned.bin_dir = bin_dir
    run.planned.leaving_plugins = ours - set(contents)
    run.planned.plugins.update({name: functools.partial(plugin_source.runnable, name, content, run) for name, content in contents.items()})
    what = {"plugins": sorted(hashes)} if options["package"] is not None else {"plugins": hashes, "release": release}
    run.planned.plugin_part = Part(NAME, bin_dir, {"bin_dir": bin_dir, **what, **origin}, wants, _reviver(run.document, bin_dir))
    return [run.planned.plugin_part]


#: The binaries by name, the wants that bring them into the folder, and what the document says of where they came from.
Built = tuple[Contents, list[Want], dict[str, t.Any]]


def _from_source(options: Options, bin_dir: str, known: t.Mapping[str, t.Any] | None, run: Run) -> Built:
    contents, archive = _contents(options, bin_dir, known, run)
    plugin_source.check_binaries({name: content.path for name, content in contents.items()}, options["src"], plugins.architectures(), run)
    hashes = {name: content.sha256 for name, content in contents.items()}
    changing = differing(hashes, bin_dir) if known is None or known["plugins"] != hashes else []
    _look_at_owners(changing, None, bin_dir, known, run)
    run.planned.replaced_plugins = set(changing)
    uid = _uid(options["owner"], run)
    folder = file.Folder(bin_dir)
    wants = [*file.folder_wants(os.path.dirname(bin_dir), run.document), Want(folder, _owned(file.ROOT_FOLDER, uid, folder))]
    for name, content in contents.items():
        resource = file.File(os.path.join(bin_dir, name), content, binary=True)
        wants.append(Want(resource, _owned(resource.wanted(0o755), uid, resource)))
    return contents, wants, {"archive": archive, "selection": plugin_source.selection(options), "owner": options["owner"]}


def _uid(owner: str | None, run: Run) -> int | None:
    uid = accounts.uid_of(owner) if owner is not None else None
    if owner is not None and uid is None:
        run.refuse("owner", f"{owner!r} is no user of the node (expected the name of one, or a number)")
    return uid


def _owned(wanted: State, uid: int | None, resource: Resource) -> State:
    """The state with another owner, and then with the group that is there: installers that set an owner alone, as kubespray's, leave
    the archive's group, and put it back in each of their runs if it is changed."""
    if uid is None or wanted is None:
        return wanted
    return {**wanted, "owner": uid, "group": (resource.read() or {}).get("group", 0)}


def _from_package(options: Options, bin_dir: str, known: t.Mapping[str, t.Any] | None, run: Run) -> Built:
    from . import plugin_package

    supplied = plugin_package.supply(options, run)
    if supplied is None or run.problems:
        return {}, [], {}
    own = plugin_package.is_own_folder(supplied, bin_dir)
    if own and options["plugins"] is not None:
        text = f"{options['plugins']} cannot be chosen from {supplied.name}, which has {bin_dir} for its own folder"
        run.refuse("plugins", f"{text} (expected no list, or another bin_dir)")
    contents = {name: files.FileContent(path, kept.sha256_of(path)) for name, path in supplied.binaries.items()}
    hashes = {name: content.sha256 for name, content in contents.items()}
    run.planned.replaced_plugins = set(differing(hashes, bin_dir))
    linked = [name for name in contents if not os.path.islink(os.path.join(bin_dir, name))]
    _look_at_owners([] if own else linked, supplied.name, bin_dir, known, run)
    return contents, plugin_package.wants(supplied, bin_dir, run), {"package": supplied.name}


def _owners_of(paths: t.Sequence[str]) -> t.Mapping[str, str]:
    """Path -> the package that owns it."""
    if not paths:
        return {}
    from .._host import packages
    from . import plugin_package

    tool = plugin_package.manager()
    return packages.owners(paths, tool) if tool is not None else {}


def _look_at_owners(names: t.Sequence[str], package_name: str | None, bin_dir: str, known: t.Mapping[str, t.Any] | None, run: Run) -> None:
    """Says whose files are about to be replaced: the next update of that package brings its own back (pitfalls 24). A package
    that goes with this run would take the new files along."""
    paths = [path for path in (os.path.join(bin_dir, name) for name in names) if os.path.lexists(path)]
    before = known.get("package") if known is not None else None
    record = run.document.record(f"package:{before}")
    going = before if before != package_name and record is not None and record["found"] is None else None
    owners = _owners_of(paths)
    for owner in sorted(set(owners.values())):
        if owner == going:
            text = f"{bin_dir} holds the files of the package {owner}, which an earlier run took them from"
            run.refuse("package", f"{text} (expected {owner} still, or state=absent before another source)")
        else:
            some = ", ".join(sorted(os.path.basename(path) for path in paths if owners.get(path) == owner))
            run.warnings.append(f"{NAME}: {some} in {bin_dir} belong to the package {owner}, whose next update brings its own back")


def _given_up(document: Document, bin_dir: str) -> set[str]:
    """The plugins that are gone when we give everything in the folder back."""
    objects = document.objects(NAME, bin_dir)
    package_gone = any(oid.startswith("package:") and record["found"] is None for oid, record in objects.items())
    names = (document.desired(NAME, bin_dir) or {"plugins": ()})["plugins"]
    records = {name: objects.get(f"file:{os.path.join(bin_dir, name)}") for name in names}
    return {name for name, record in records.items() if (package_gone if record is None else record["found"] is None)}


def finish(run: Run) -> None:
    """Refuses to take plugins from networks of ours: their pods could neither start nor stop any more."""
    for name in run.document.instances("networks"):
        if name not in run.planned.removed_networks:
            _check_stays(name, run)
            _check_version(name, run)


def _check_stays(name: str, run: Run) -> None:
    if name in run.results.get("networks", {}):
        return
    used = _types(_chain(name, run)) & run.planned.leaving_plugins
    if used:
        text = f"{name} needs {', '.join(sorted(used))}, which would go (expected: keep them, or take the network away first)"
        run.refuse("plugins", f"the network {text}")


def _check_version(name: str, run: Run) -> None:
    """A list that is on the node has to be one that the new binaries support. When this run writes it anew for them, they
    come after it (pitfalls 24)."""
    version = (run.document.desired("networks", name) or {})["cni_version"]
    wrong = _unsupporting(version, _types(_chain(name, run)) & run.planned.replaced_plugins, run)
    if not wrong or run.planned.bin_dir not in run.runtime.bin_dirs:
        return
    written = run.results.get("networks", {}).get(name)
    if written is None:
        text = f"the network {name} has cniVersion {version}, which the new {', '.join(wrong)} would not support"
        run.refuse("plugins", f"{text} (expected another release, or in the same run the network with a cni_version of both)")
    elif _ready_for(written, run):
        t.cast(Part, run.planned.plugin_part).last = True
    else:
        text = f"the network {name} has cniVersion {version} now and would have {written['cni_version']}, and no installed plugins support both"
        run.refuse("plugins", f"{text} (expected first the network with a cni_version of both, then the plugins)")


def _ready_for(written: t.Mapping[str, t.Any], run: Run) -> bool:
    """Whether the plugins that are installed now can serve the network as this run writes it."""
    config = written["config"]
    paths = [plugins.locate(name, run.runtime.bin_dirs) for name in sorted(_types(config.get("plugins") or [config]))]
    return all(path is not None and written["cni_version"] in plugins.supported_versions(path) for path in paths)


def _unsupporting(version: str, names: t.AbstractSet[str], run: Run) -> list[str]:
    return [name for name in sorted(names & set(run.planned.plugins)) if version not in plugins.supported_versions(run.planned.plugins[name]())]


def _chain(name: str, run: Run) -> list[t.Any]:
    """The plugins of a network of ours, with the entries that other sections added to it."""
    added = [run.document.desired(section, name) for section in ("portmap", "bandwidth")]
    return [*(run.document.desired("networks", name) or {})["plugins"], *[desired["entry"] for desired in added if desired]]


def _types(chain: t.Sequence[t.Any]) -> set[str]:
    return {plugin for plugin, _path in model.plugin_types(list(chain))}


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
        return {name: files.FileContent(os.path.join(bin_dir, name), sha256) for name, sha256 in known["plugins"].items()}, options["checksum"]
    return plugin_source.look_into(options, run, writes=not run.check), options["checksum"]


def differing(manifest: t.Mapping[str, str], bin_dir: str) -> list[str]:
    """Names of the binaries that are not in the folder with the content that the manifest names."""
    paths = {name: os.path.join(bin_dir, name) for name in manifest}
    return [name for name, path in sorted(paths.items()) if not os.path.isfile(path) or kept.sha256_of(path) != manifest[name]]


def _from_manifest(manifest: t.Mapping[str, str], src: str, bin_dir: str, run: Run) -> Contents:
    """What the action plugin sent (only what differs), and what is installed already for the rest."""
    contents: Contents = {}
    for name, sha256 in sorted(manifest.items()):
        sent = os.path.join(src, name)
        path = sent if os.path.isfile(sent) else os.path.join(bin_dir, name)
        if not os.path.isfile(path) or kept.sha256_of(path) != sha256:
            run.refuse("src", f"the binary {name!r} did not arrive on the node as it was sent (expected SHA-256 {sha256})")
        else:
            contents[name] = files.FileContent(path, sha256)
    return contents


def answer(options: Options) -> dict[str, t.Any]:
    """For the action plugin: ``bin_dir``, as ``differing`` the names of the binaries that are not installed there with the
    content that the manifest names, the node's ``architectures``, and as ``known`` what the document says of the binaries
    there, as long as they still are as it says. Raises InputError, NodeError."""
    problems = paths.check_path("bin_dir", options["bin_dir"]) + _check_manifest(options["manifest"])
    if problems:
        raise InputError(problems)
    if options["verify"]:
        kept.distrust()
    bin_dir = choose_bin_dir(options["bin_dir"], runtime.read())
    known = Document.load().desired(NAME, bin_dir)
    return {
        "bin_dir": bin_dir,
        "differing": differing(options["manifest"], bin_dir),
        "architectures": plugins.architectures(),
        "known": known if known is not None and "archive" in known and not differing(known["plugins"], bin_dir) else None,
    }


#: Path -> the package that owns it by now.
Owners = t.Callable[[], t.Mapping[str, str]]


class PluginFile(file.File):
    """A binary that we made. It is not removed when a package owns it by now, which then put its own there."""

    def __init__(self, path: str, owners: Owners = dict) -> None:
        super().__init__(path, binary=True)
        self.owners = owners

    def must_stay(self, found: State, releasing: t.AbstractSet[str]) -> bool:
        owner = self.owners().get(self.path) if found is None else None
        return owner is not None and f"package:{owner}" not in releasing


class PluginFolder(file.Folder):
    """A folder that we made for the binaries, which goes with those of a package that goes, too."""

    def __init__(self, path: str, owners: Owners = dict) -> None:
        super().__init__(path)
        self.owners = owners

    def goes(self, path: str, releasing: t.AbstractSet[str]) -> bool:
        return super().goes(path, releasing) or f"package:{self.owners().get(path)}" in releasing


def _reviver(document: Document, bin_dir: str) -> t.Callable[[str], Resource]:
    """Makes resources of ids; the node is asked once who owns what is in the folder."""

    @functools.cache
    def owners() -> t.Mapping[str, str]:
        return _owners_of([os.path.join(bin_dir, name) for name in files.entries(bin_dir)] if document.objects(NAME, bin_dir) else [])

    return functools.partial(revive, owners=owners)


def revive(object_id: str, owners: Owners) -> Resource:
    kind, _colon, name = object_id.partition(":")
    if kind == "package":
        from .._resources import package
        from . import plugin_package

        return package.Package(name, plugin_package.manager() or "")
    return PluginFile(name, owners) if kind == "file" else PluginFolder(name, owners)

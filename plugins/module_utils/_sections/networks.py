# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import functools
import json
import os
import re
import typing as t

from .._cni import entries, loader, model, releases, versions
from .._cni.keys import PLUGINS
from .._cni.kinds import closest
from .._converge import Part, Want
from .._errors import NodeError, Problem
from .._host import files, paths, plugins, process
from .._resource import Resource
from .._resources import cni_file, cni_form, file, taken_over
from . import bridged, directory
from .base import STATE, Chosen, Options, Run, defaults, normal, removal

NAME = directory.NETWORKS
OPTIONS: dict[str, t.Any] = {
    "name": {"type": "str", "required": True},
    "priority": {"type": "int", "default": 10},
    "filename": {"type": "str"},
    "cni_version": {"type": "str", "default": "auto"},
    "plugins": {"type": "list", "elements": "dict"},
    "loopback": {"type": "bool", "default": False},
    "mode": {"type": "str", "default": "0644"},
    "foreign": {"type": "str", "choices": ["report", "disable", "refuse"], "default": "report"},
    "force": {"type": "bool", "default": False},
    "conf_dir": {"type": "path"},
    "bin_dirs": {"type": "list", "elements": "path"},
    "state": STATE,
}
LOOPBACK_FILE = directory.LOOPBACK_FILE
#: What of ``desired`` this node chose, where it was left to ``auto``.
AUTO = ("cni_version",)
PORTMAP = "portmap"
#: The sections of the document that may add an entry to a network of ours, in the order of the entries.
CHAINED = (PORTMAP, "bandwidth")


def check(options: Options) -> list[Problem]:
    problems = model.check_name(options["name"], "name") + check_paths(options)
    if not problems:
        problems += loader.check_filename(filename(options), "filename" if options["filename"] is not None else "name")
    if not 0 <= options["priority"] <= 99:
        problems.append(Problem("priority", f"{options['priority']} is out of range (expected 0 to 99)"))
    if options["state"] == "absent":
        return problems
    if not re.fullmatch(r"0?[46][046][04]", options["mode"]):
        problems.append(Problem("mode", f"{options['mode']!r} is not a mode for a CNI file (expected '0644' or '0600', with the quotation marks)"))
    if options["cni_version"] != "auto":
        problems += versions.check_version(options["cni_version"], "cni_version")
    return problems + _check_order(options) + check_plugins(options)


def check_plugins(options: Options) -> list[Problem]:
    if not options["plugins"]:
        return [Problem("plugins", "is required when state is present (expected a list of plugins, the first one of them bridge or the like)")]
    version = None if options["cni_version"] == "auto" else options["cni_version"]
    return model.check_plugins(options["plugins"], "plugins", single=_is_single(filename(options)), cni_version=version)


def check_paths(options: Options) -> list[Problem]:
    named = [("conf_dir", options["conf_dir"])] + [(f"bin_dirs[{index}]", path) for index, path in enumerate(options["bin_dirs"] or [])]
    return [problem for name, path in named for problem in paths.check_path(name, path)]


def _check_order(options: Options) -> list[Problem]:
    """A loopback file that sorts before the network would be the pod network (cni.md 7.1)."""
    name = filename(options)
    if name == LOOPBACK_FILE:
        return [Problem("filename", f"{name!r} is the name of the loopback file (expected another name; loopback=true writes that file)")]
    if options["loopback"] and loader.load_order([name, LOOPBACK_FILE])[-1:] != [LOOPBACK_FILE]:
        return [Problem("loopback", f"true would put {LOOPBACK_FILE} before {name}, where it becomes the pod network (expected a name before it)")]
    return []


def filename(options: Options) -> str:
    return options["filename"] or loader.config_filename(options["priority"], options["name"], False)


def _is_single(name: str) -> bool:
    return not name.endswith(".conflist")


def parts(options: Options, run: Run) -> list[Part]:
    absent = options["state"] == "absent"
    said_by = "state" if absent else "pod_cidrs" if options.get("follows") else "plugins"
    run.planned.chosen[options["name"]] = Chosen(run.prefix, said_by, options["force"])
    if absent:
        return _removal(options, run)
    desired = {
        "name": options["name"],
        "filename": filename(options),
        "conf_dir": conf_dir(options["conf_dir"], run),
        "cni_version": "",
        "plugins": _on_bridge(_chain(options, run), run),
        "loopback": options["loopback"],
        "mode": f"{int(options['mode'], 8):04o}",
        "foreign": options["foreign"],
        "follows": options.get("follows"),
        "bin_dirs": options["bin_dirs"],
    }
    added = added_entries(options["name"], run)
    _check_entries(options["name"], desired, added, run)
    _check_owner(options["name"], desired, added, run)
    chain = _merged(desired["plugins"], added)
    desired["cni_version"] = resolve_version(chain, options["cni_version"], bin_dirs(options["bin_dirs"], run), run)
    if run.problems:
        return []
    taken = _taken_over(options["name"], desired, run)
    return [own_part(options["name"], desired, added, run, taken), *(_handed_over(options["name"], run) if taken is not None else [])]


def _entry_holders(path: str, run: Run) -> set[str]:
    """The networks in somebody else's file that have an entry of ours there, or a form for one."""
    found = set()
    for section in CHAINED:
        for name in run.document.instances(section):
            ids = run.document.objects(section, name)
            if f"cni_form:{path}" in ids or f"cni_entry:{path}#{section}" in ids:
                found.add(name)
    return found


def _taken_over(name: str, desired: t.Mapping[str, t.Any], run: Run) -> dict[str, str | None] | None:
    """What the files of somebody else that become ours were before entries of ours came into them, None when there are none."""
    asked = os.path.join(desired["conf_dir"], desired["filename"])
    path = cni_form.list_path(asked)
    if name not in _entry_holders(asked, run) | _entry_holders(path, run):
        return None
    return taken_over.before_entries(path, name, CHAINED, run.document)


def _handed_over(name: str, run: Run) -> list[Part]:
    """The entries stay wanted, and come with the network from now on."""
    parts = [(section, run.document.desired(section, name)) for section in CHAINED]
    return [Part(section, name, desired, [], taken_over.HandedOver) for section, desired in parts if desired is not None]


def resolved(desired: Options) -> Options:
    return {**defaults(OPTIONS), **desired}


def added_entries(name: str, run: Run) -> dict[str, entries.Entry]:
    """Section -> the entry that it adds to a network of ours."""
    found = {section: run.document.desired(section, name) for section in CHAINED}
    return {section: desired["entry"] for section, desired in found.items() if desired is not None}


def file_in_use(desired: t.Mapping[str, t.Any], added: t.Mapping[str, entries.Entry]) -> str:
    """The network's file. One that was asked for as a single configuration is a list as long as it has entries."""
    return os.path.basename(cni_form.list_path(desired["filename"])) if added else desired["filename"]


def _chain(options: Options, run: Run) -> list[t.Any]:
    """The plugins. A network that nobody wrote down (it ``follows`` from the bridge) has a portmap entry by default, which
    the module portmap may have set otherwise."""
    if options.get("follows") is None or run.document.desired(PORTMAP, options["name"]) is None:
        return t.cast("list[t.Any]", options["plugins"])
    return t.cast("list[t.Any]", entries.without_entry({"plugins": options["plugins"]}, PORTMAP)["plugins"])


def _on_bridge(chain: list[t.Any], run: Run) -> list[t.Any]:
    """The chain with what is known of the bridge by now: its MTU, when that was to be found out."""
    if run.planned.bridge is None:
        return chain
    plugins, problems = bridged.inherit(chain, run.planned.bridge)
    run.problems += problems
    return plugins


def own_part(
    name: str, desired: dict[str, t.Any], added: t.Mapping[str, entries.Entry], run: Run, taken: t.Mapping[str, str | None] | None = None
) -> Part:
    """The part for a network that we write, with the entries that other sections add to it. ``taken``: the files with entries
    that it takes the place of, as they were before these."""
    folder, file_name = desired["conf_dir"], file_in_use(desired, added)
    path = os.path.join(folder, file_name)
    config = model.build(name, desired["cni_version"], _merged(desired["plugins"], added), single=_is_single(file_name))
    text = model.render(config)
    run.planned.files[path] = text
    run.results.setdefault(NAME, {})[name] = {"path": path, "cni_version": desired["cni_version"], "config": config}
    wants = file.folder_wants(folder, run.document, stays=True)
    wants.append(_file_want(path, text, desired["mode"], taken))
    for single in _singles_away(name, path, desired, taken or {}, run):  # behind the list, so that there is a network at each instant
        wants.append(Want(_file(single, taken), None))
        run.planned.replaced_files.add(single)
    if desired["loopback"]:
        wants += _loopback_wants(name, folder, desired, run)
    wants += directory.kept_aside(name, desired, run)
    part = Part(NAME, name, desired, wants, revive)
    run.planned.parts[path] = part
    return part


def _singles_away(name: str, path: str, desired: t.Mapping[str, t.Any], taken: t.Mapping[str, str | None], run: Run) -> list[str]:
    """The single configurations in whose place our file is: the one that was asked for, and one that was found, which would come
    before a list."""
    held = {oid.partition(":")[2]: record for oid, record in run.document.objects(NAME, name).items() if oid.startswith("file:")}
    found = [other for other, record in held.items() if record["found"] is not None]
    asked = os.path.join(desired["conf_dir"], desired["filename"])
    singles = [single for single in dict.fromkeys([asked, *found, *taken]) if _is_single(single) and single != path]
    return [single for single in singles if os.path.splitext(single)[0] == os.path.splitext(path)[0]]


def _file_want(path: str, text: str, mode: str, taken: t.Mapping[str, str | None] | None = None) -> Want:
    resource = _file(path, taken, files.Bytes(text.encode()))
    return Want(resource, resource.wanted(int(mode, 8)))


def _file(path: str, taken: t.Mapping[str, str | None] | None, content: files.Content | None = None) -> file.File:
    if not taken or path not in taken:
        return file.File(path, content)
    rights = files.state(cni_form.list_path(path)) or {}  # which the list has from the single configuration
    return taken_over.TakenOver(path, taken[path], rights, content)


def _loopback_wants(name: str, folder: str, desired: t.Mapping[str, t.Any], run: Run) -> list[Want]:
    """Our loopback file, or none where a valid one of somebody else stands already. Networks that share ours leave it as
    the first of them wrote it: its version is of no consequence, and two would change it back and forth."""
    path = os.path.join(folder, LOOPBACK_FILE)
    if path in run.planned.loopbacks:
        return [run.planned.loopbacks[path]]
    holders = [holder for holder in run.document.holders(f"file:{path}") if holder != (NAME, name)]
    if _is_valid_loopback(path) and (holders or run.document.record(f"file:{path}") is None):
        if not holders:
            return []
        want = Want(file.File(path), files.state(path))
    else:
        text = model.render(model.build("lo", desired["cni_version"], [{"type": "loopback"}], single=True))
        run.planned.files[path] = text
        want = _file_want(path, text, desired["mode"])
    run.planned.loopbacks[path] = want
    return [want]


def _is_valid_loopback(path: str) -> bool:
    text = files.read_text(path)
    try:
        config = model.parse(text, LOOPBACK_FILE) if text is not None else {}
    except ValueError:
        return False
    return config.get("type") == "loopback" and not model.check_name(config.get("name", ""), "name")


def _merged(chain: list[t.Any], added: t.Mapping[str, entries.Entry]) -> list[t.Any]:
    for section in CHAINED:
        if section in added:
            chain = entries.with_entry({"plugins": chain}, added[section])["plugins"]
    return chain


def _check_entries(name: str, desired: t.Mapping[str, t.Any], added: t.Mapping[str, entries.Entry], run: Run) -> None:
    for section, entry in added.items():
        index = entries.find_entry(desired["plugins"], section)
        if index is not None and desired["plugins"][index] != entry:
            text = f"{section} differs from what the module kubenode.network.{section} set for {name}, {json.dumps(entry)}"
            run.refuse(f"plugins[{index}]", f"{text} (expected the same, or only one of the two)")


def _check_owner(name: str, desired: t.Mapping[str, t.Any], added: t.Mapping[str, entries.Entry], run: Run) -> None:
    """Two networks in one file would overwrite each other, run after run."""
    for file_name in dict.fromkeys([desired["filename"], file_in_use(desired, added)]):
        path = os.path.join(desired["conf_dir"], file_name)
        entry_of = _entry_holders(path, run) - {name}
        if entry_of or (_entry_holders(path, run) and os.path.islink(path)):
            whose = f"the network {min(entry_of)}, with an entry of ours" if entry_of else "this network, with an entry of ours behind a symbolic link"
            text = f"{file_name!r} is somebody else's file of {whose} (expected another name, or first a task with state=absent"
            run.refuse("filename", f"{text} of {' or '.join(f'kubenode.network.{section}' for section in CHAINED)})")
        aside = cni_file.CniFile(path)
        if run.document.record(aside.id) is not None and aside.read() == cni_file.DISABLED:
            text = f"{file_name!r} is the name of somebody else's file that is put aside and is to come back (expected another name"
            run.refuse("filename", f"{text}, or first a task with foreign=report)")
        holders = run.document.holders(f"file:{path}")
        others = [instance for _section, instance in holders if instance != name and instance not in run.planned.removed_networks]
        if others:
            text = f"{file_name!r} is the file of the network {others[0]} (expected another name, or that network taken away first)"
            run.refuse("filename", text)


def conf_dir(value: str | None, run: Run) -> str:
    folder = normal(value or run.runtime.conf_dir)
    if not _is_same(folder, run.runtime.conf_dir) and run.runtime.source:
        run.warnings.append(f"{NAME}: the container runtime reads {run.runtime.conf_dir} ({run.runtime.source}), not {folder}")
    return _as_known(folder, run)


def _as_known(folder: str, run: Run) -> str:
    """The folder as the document or the runtime spells it: by another way, over a symbolic link, each file would seem to be
    two, and the one that is no longer wanted would take the other one with it."""
    ours = [run.document.desired(NAME, name) or {} for name in run.document.instances(NAME)]
    known = [*(desired["conf_dir"] for desired in ours), *map(os.path.dirname, run.planned.parts), run.runtime.conf_dir]
    return next((spelling for spelling in known if _is_same(spelling, folder)), folder)


def _is_same(folder: str, other: str) -> bool:
    return os.path.realpath(folder) == os.path.realpath(other)


def bin_dirs(value: t.Sequence[str] | None, run: Run) -> list[str]:
    """Where plugins are looked for: as told, else where the container runtime looks, else where this run installs them."""
    runtime = list(run.runtime.bin_dirs)
    folders = [normal(folder) for folder in value or runtime]
    missing = [folder for folder in runtime if folder not in folders]
    if missing and run.runtime.source:
        run.warnings.append(f"{NAME}: the container runtime looks for plugins in {', '.join(missing)} ({run.runtime.source}) as well")
    planned = [run.planned.bin_dir] if run.planned.bin_dir is not None and not value else []
    return list(dict.fromkeys([*folders, *planned]))


def resolve_version(chain: list[t.Any], wanted: str, folders: t.Sequence[str], run: Run) -> str:
    """The CNI version for a chain whose every plugin, IPAM plugins included, has to be there, to support it, and to know its
    part of the chain."""
    probes: dict[str, plugins.Probe] = {}
    for name, path in model.plugin_types(chain):
        if name not in probes:
            answer = _ask(name, path, folders, run)
            if answer is not None:
                probes[name] = answer
    if plugins.locate("loopback", folders) is None and "loopback" not in run.planned.plugins:
        run.warnings.append(f"{NAME}: the plugin loopback is not in {', '.join(folders)}; containerd needs it for every pod")
    _judge(chain, probes, run)
    supported = {name: probe.versions for name, probe in probes.items()}
    if wanted == "auto":
        return _chosen(supported, run)
    for name in versions.unsupported(wanted, supported):
        run.refuse("cni_version", f"{wanted!r} is not supported by the installed {name} (it supports {', '.join(supported[name])})")
    runtime = run.installed_runtime
    if runtime and runtime.release and versions.older(_ceiling(run), wanted):
        run.refuse("cni_version", f"{wanted!r} is not supported by the installed {runtime} (it supports up to {_ceiling(run)})")
    return wanted


def _judge(chain: list[t.Any], probes: t.Mapping[str, plugins.Probe], run: Run) -> None:
    installed = {name: releases.recognise(name, probe.versions, probe.about, probe.tags) for name, probe in probes.items()}
    run.problems += model.check_releases(chain, installed)
    filters = {"iptables": "iptables", "nftables": "nft"}
    run.problems += model.check_filters(chain, installed, [word for word, program in filters.items() if process.find(program)])
    run.warnings += [str(doubt) for doubt in model.doubts(chain, installed)]


def _ceiling(run: Run) -> str:
    runtime = run.installed_runtime
    return versions.ceiling(runtime.name, runtime.release) if runtime else versions.ceiling("", "")


def _chosen(supported: t.Mapping[str, t.Sequence[str]], run: Run) -> str:
    version = versions.choose(supported, _ceiling(run))
    if version is None:
        answers = "; ".join(f"{name}: {', '.join(known)}" for name, known in supported.items())
        reader = f"; {run.installed_runtime}: up to {_ceiling(run)}" if run.installed_runtime else ""
        run.refuse("cni_version", f"auto finds no version that every plugin supports ({answers}{reader})")
    return version or ""


def _ask(name: str, path: str, folders: t.Sequence[str], run: Run) -> plugins.Probe | None:
    if name in run.planned.plugins and run.planned.bin_dir in folders:
        binary: str | None = run.planned.plugins[name]()
    else:
        binary = plugins.locate(name, folders) if name not in run.planned.leaving_plugins else None
    if binary is None:
        _missing(name, path, folders, run)
        return None
    try:
        return run.probes.of(binary, plugins.probe_reference if name in PLUGINS else plugins.probe)
    except NodeError as error:
        run.refuse(path, f"{name!r} does not work: {error}")
        return None


def _missing(name: str, path: str, folders: t.Sequence[str], run: Run) -> None:
    where = ", ".join(folders)
    if run.check and run.planned.bin_dir is None:
        run.warnings.append(f"{path}: {name!r} is not in {where} yet; a task with kubenode.network.cni_plugins has to come before this one")
        return
    there = [*plugins.installed(folders), *run.planned.plugins]
    hint = closest(name, there)
    text = f"; did you mean {hint}?" if hint else ""
    if name in PLUGINS and PLUGINS[name].since:
        text = f"; the plugins have it from release {PLUGINS[name].since} on"
    expected = f"expected one of {', '.join(sorted(set(there)))}" if there else "there is no plugin at all; kubenode.network.cni_plugins installs them"
    run.refuse(path, f"{name!r} is not installed in {where} ({expected}){text}")


def _removal(options: Options, run: Run) -> list[Part]:
    name = options["name"]
    desired = run.document.desired(NAME, name)
    if desired is None:
        folder = conf_dir(options["conf_dir"], run)
        path = os.path.join(folder, networks_in(folder).get(name, filename(options)))
        if os.path.lexists(path):
            run.warnings.append(f"{NAME}: {path} is there, but this collection did not write it; it was left alone")
        return [removal(NAME, name, revive)]
    run.planned.removed_networks[name] = desired["conf_dir"]
    return [removal(NAME, name, revive)] + [removal(section, name, functools.partial(cni_form.revive, run.document)) for section in CHAINED]


def networks_in(folder: str) -> dict[str, str]:
    """Network name -> file, the first in load order of each name; files that no loader could read are passed over."""
    found: dict[str, str] = {}
    for file_name in loader.load_order(files.entries(folder)):
        text = files.read_text(os.path.join(folder, file_name)) if os.path.isfile(os.path.join(folder, file_name)) else None
        try:
            found.setdefault(model.parse(text or "", file_name).get("name", ""), file_name)
        except ValueError:
            continue
    return found


def finish(run: Run) -> None:
    directory.finish(run)


def revive(object_id: str) -> Resource:
    return cni_file.revive(object_id) if object_id.startswith("cni_file:") else file.revive(object_id, folders_stay=True)

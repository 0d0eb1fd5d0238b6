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

from .._cni import entries, loader, model, splice
from .._converge import Part, Want
from .._errors import NodeError, Problem
from .._host import files
from .._resources import cni_entry, cni_file, cni_form
from . import networks
from .base import STATE, Chosen, Options, Run, defaults

#: Which list gets the entry, and where: the options that the modules of all chained plugins have.
PLACE: dict[str, t.Any] = {
    "network": {"type": "str"},
    "filename": {"type": "str"},
    "conf_dir": {"type": "path"},
    "bin_dirs": {"type": "list", "elements": "path"},
    "force": networks.OPTIONS["force"],
    "state": STATE,
}
_SINGLES = (".conf", ".json")


class Plugin(t.NamedTuple):
    """A chained plugin: its name, which is also that of its section; its options as they are named in its entry; and what
    makes the entry of the options."""

    name: str
    keys: t.Mapping[str, str]
    entry: t.Callable[[Options], entries.Entry]


def check(plugin: Plugin, options: Options) -> list[Problem]:
    problems = _check_place(options) + networks.check_paths(options)
    if options["state"] == "absent":
        return problems
    found = model.check_plugins([{"type": "bridge"}, plugin.entry(options)], "plugins")
    return problems + [_as_option(plugin, problem) for problem in found]


def _check_place(options: Options) -> list[Problem]:
    name, filename = options["network"], options["filename"]
    if name is None and filename is None:
        return [Problem("network", "is required unless filename is given (expected the name of a network)")]
    if name is not None and filename is not None:
        return [Problem("filename", f"{filename!r} cannot be combined with network: {name!r} (expected only one of the two)")]
    if name is not None:
        return model.check_name(name, "network")
    if "/" in filename or not filename.isprintable() or not loader.is_loadable(filename):
        text = "is not the name of a network's file (expected one in conf_dir that ends in .conf, .conflist or .json, without a path)"
        return [Problem("filename", f"{filename!r} {text}")]
    return []


def _as_option(plugin: Plugin, problem: Problem) -> Problem:
    """``plugins[1].markMasqBit`` of the entry is the option ``mark_masq_bit``, its type the binary."""
    path, message = re.sub(r"^plugins\[[01]\]\.", "", problem.path), problem.message
    if path == "type":
        return Problem("bin_dirs", message)
    for option, key in plugin.keys.items():
        path, message = path.replace(key, option), message.replace(key, option)
    return Problem(path, message)


def parts(plugin: Plugin, options: Options, run: Run) -> list[Part]:
    folder = networks.conf_dir(options["conf_dir"], run)
    name = options["network"] or _name_in(plugin, options["filename"], folder, options, run)
    if name is None:
        return []
    run.planned.chosen[name] = Chosen(run.prefix, "state" if options["state"] == "absent" else _where(options), options["force"])
    _refuse_if_aside(plugin, name, "state" if options["state"] == "absent" else _where(options), run)
    own = run.document.desired(networks.NAME, name)
    if own is not None:
        return _in_own_network(plugin, name, own, folder, options, run)
    return _absent(plugin, name, folder, _where(options), run) if options["state"] == "absent" else _present(plugin, name, folder, options, run)


def resolved(plugin: Plugin, desired: Options) -> dict[str, t.Any]:
    """The options of ``desired`` but for the entry's own, which are as its plugin takes them."""
    entry = {option: desired["entry"].get(key) for option, key in plugin.keys.items()}
    return {**defaults(PLACE), **{name: desired[name] for name in ("network", "conf_dir", "bin_dirs")}, **entry}


def _desired(name: str, folder: str, entry: entries.Entry, options: Options) -> dict[str, t.Any]:
    return {"network": name, "conf_dir": folder, "bin_dirs": options["bin_dirs"], "entry": entry}


def _refuse_if_aside(plugin: Plugin, name: str, option: str, run: Run) -> None:
    """An entry in a file that is put aside could not be taken out of it, and would come back with the file."""
    for path in [cni_entry.revive(oid).path for oid in run.document.objects(plugin.name, name) if oid.startswith("cni_entry:")]:
        if cni_file.CniFile(path).read() == cni_file.DISABLED:
            expected = "expected it back first, by foreign=report or state=absent of the network that put it aside"
            run.refuse(option, f"{path} has an entry of ours and is put aside ({expected})")


def _where(options: Options) -> str:
    return "network" if options["network"] is not None else "filename"


def _name_in(plugin: Plugin, filename: str, folder: str, options: Options, run: Run) -> str | None:
    """The name of the network in a file, which may be a list by now. None if there is none, or ``run.problems`` says why."""
    for name in run.document.instances(networks.NAME):
        own = run.document.desired(networks.NAME, name) or {}
        if own["conf_dir"] == folder and filename in (own["filename"], networks.file_in_use(own, networks.added_entries(name, run))):
            return name
    path = os.path.join(folder, filename)
    if run.document.record(f"cni_form:{path}") is not None and not os.path.exists(path):
        path = cni_form.list_path(path)
    if not os.path.isfile(path):
        holders = run.document.holders(cni_entry.CniEntry(path, plugin.name).id)
        if holders or options["state"] == "absent":
            return holders[0][1] if holders else None
        _missing("filename", f"{path} is not there", networks.networks_in(folder).values(), run)
        return None
    try:
        name = cni_entry.load(path, cni_entry.read_text(path) or "").get("name", "")
    except NodeError as error:
        run.refuse("filename", f"{error} (expected a file that loaders take)")
        return None
    first = networks.networks_in(folder).get(name)
    if model.check_name(name):
        run.refuse("filename", f"{path} has no usable name, {name!r} (expected the name of a network, without which no pod gets it)")
    elif first != os.path.basename(path):
        run.refuse("filename", f"{path} has the network {name!r}, which {first} has, too, and comes first (expected that file)")
    return None if run.problems else str(name)


def _missing(option: str, what: str, there: t.Iterable[str], run: Run) -> None:
    """In check mode an earlier task may not have written the network yet, which is a warning."""
    if run.check:
        run.warnings.append(f"{option}: {what} yet; a task with kubenode.network.cni_config has to come before this one")
        return
    expected = ", ".join(sorted(filter(None, there))) or "none, the folder has no valid network"
    run.refuse(option, f"{what} (expected one of {expected})")


def _in_own_network(plugin: Plugin, name: str, own: dict[str, t.Any], folder: str, options: Options, run: Run) -> list[Part]:
    """A network of ours is written anew with the entry, or without: its own list may have named one, too."""
    if options["conf_dir"] is not None and folder != own["conf_dir"]:
        run.refuse("conf_dir", f"{folder!r} is not where this collection wrote {name!r} (expected {own['conf_dir']})")
        return []
    absent = options["state"] == "absent"
    entry = plugin.entry(options)
    desired, added = dict(own), networks.added_entries(name, run)
    index = entries.find_entry(desired["plugins"], plugin.name)
    if index is not None and (absent or desired.get("follows")):
        desired["plugins"] = entries.without_entry({"plugins": desired["plugins"]}, plugin.name)["plugins"]
    elif index is not None and desired["plugins"][index] != entry:
        listed = json.dumps(desired["plugins"][index])
        text = f"{name!r} has a {plugin.name} entry in the list that it was written with, {listed} (expected the same options, or none in that list)"
        run.refuse(_where(options), text)
    if absent:
        added.pop(plugin.name, None)
    else:
        added[plugin.name] = entry
        _check_plugin(plugin, f"{name!r}", own["cni_version"], options, run)
    asked, path = (os.path.join(own["conf_dir"], file_name) for file_name in (own["filename"], networks.file_in_use(own, added)))
    network = networks.own_part(name, desired, added, run)
    if asked != path and (networks.NAME, name) not in run.document.holders(f"file:{path}"):
        _check_convertible(asked, run.planned.files[path], run, _where(options))
    run.results[plugin.name] = {"path": path, **({} if absent else {"entry": entry})}
    revive = functools.partial(cni_form.revive, run.document)
    return [network, Part(plugin.name, name, None if absent else _desired(name, own["conf_dir"], entry, options), [], revive)]


def _check_convertible(path: str, text: str, run: Run, option: str) -> None:
    """Whether the list may take the place of a single configuration. ``text`` is what it will be; it may be there already
    when an earlier run was killed."""
    made = cni_form.list_path(path)
    folder = os.path.dirname(path)
    if os.path.lexists(made) and cni_entry.read_text(made) != text:
        run.refuse(option, f"{path} holds one plugin only, and {made}, which it would become, is there already (expected one of the two files)")
    low, high = sorted((os.path.basename(path), os.path.basename(made)), key=os.fsencode)
    order = loader.load_order({low, high, *files.entries(folder)})
    for between in order[order.index(low) + 1 : order.index(high)]:
        expected = "expected that file under another name, or this one as a list"
        run.refuse(option, f"{path} holds one plugin only and would become {made}, but {between} sorts between the two ({expected})")


def _present(plugin: Plugin, name: str, folder: str, options: Options, run: Run) -> list[Part]:
    where = _where(options)
    entry = plugin.entry(options)
    revive = functools.partial(cni_form.revive, run.document)
    names = networks.networks_in(folder)
    if name not in names:
        _missing("network", f"{name!r} is in no file of {folder}", names, run)
        _check_plugin(plugin, f"{name!r}", None, options, run)
        return [] if run.problems else [Part(plugin.name, name, _desired(name, folder, entry, options), [], revive)]
    path = os.path.join(folder, names[name])
    try:
        wants, config = _form(path, where, run)
    except NodeError as error:  # from the file itself
        run.refuse(where, str(error))
        return []
    resource = cni_entry.CniEntry(path if path.endswith(".conflist") else cni_form.list_path(path), plugin.name)
    record = run.document.record(resource.id) or {}
    before = (run.document.desired(plugin.name, name) or {}).get("entry")
    index = entries.find_entry(config["plugins"], plugin.name)
    theirs = None if index is None else config["plugins"][index]
    merged = entries.merged(theirs, entry, before, record.get("found"))
    _check_merged(plugin, config, merged, entry, f"{name!r} in {path}", where, run)
    if not run.problems:
        _check_plugin(plugin, f"{name!r} in {path}", config.get("cniVersion", "0.1.0"), options, run)
    if run.problems:
        return []
    run.planned.files[resource.path] = splice.dump(entries.with_entry(config, merged))
    if path != resource.path:
        run.planned.replaced_files.add(path)
    run.results[plugin.name] = {"path": resource.path, "entry": merged}
    return [Part(plugin.name, name, _desired(name, folder, entry, options), [*wants, Want(resource, merged)], revive)]


def _form(path: str, where: str, run: Run) -> tuple[list[Want], dict[str, t.Any]]:
    """What makes a list of the network's file, if that takes something, and the list. Raises NodeError when the file cannot
    be changed."""
    if path.endswith(".conflist"):
        singles = [os.path.splitext(path)[0] + extension for extension in _SINGLES]
        ours = [cni_form.CniForm(single) for single in singles if run.document.record(f"cni_form:{single}") is not None]
        return [Want(form, cni_form.LIST) for form in ours], cni_entry.load(path, cni_entry.read_text(path) or "")
    form = cni_form.CniForm(path)
    if os.path.islink(path):
        raise NodeError(f"{path} holds one plugin only and is a symbolic link, which cannot become a list (expected a file)")
    text = form.as_list()
    _check_convertible(path, text, run, where)
    return [Want(form, cni_form.LIST)], t.cast("dict[str, t.Any]", splice.load(text))


def _check_merged(plugin: Plugin, config: dict[str, t.Any], merged: entries.Entry, ours: entries.Entry, what: str, where: str, run: Run) -> None:
    """Refuses what our keys make wrong; what was wrong with the entry before is somebody else's."""
    if entries.count(config["plugins"], plugin.name) > 1:
        run.refuse(where, f"{what} has several {plugin.name} entries (expected one; state=absent takes all of them out)")
    old = _problems(plugin, config)
    options = {key: option for option, key in plugin.keys.items() if key in ours}
    for problem in _problems(plugin, entries.with_entry(config, merged)):
        key = problem.path.partition(".")[2].partition(".")[0].partition("[")[0]
        named = [option for word, option in options.items() if word in (key, *problem.message.replace(":", "").split())]
        if problem not in old:
            theirs = "" if key in ("type", *options) else f"{key}: "
            run.refuse(options.get(key, named[0] if named else where), f"{what}: {theirs}{problem.message}")


def _problems(plugin: Plugin, config: t.Mapping[str, t.Any]) -> list[Problem]:
    """What is wrong with the plugin's entry in a list, if it has one."""
    index = entries.find_entry(config["plugins"], plugin.name)
    found = model.check_plugins(config["plugins"], "plugins", cni_version=config.get("cniVersion", "0.1.0"))
    return [problem for problem in found if problem.path.startswith(f"plugins[{index}]")]


def _check_plugin(plugin: Plugin, what: str, version: str | None, options: Options, run: Run) -> None:
    """The binary has to be there, in a release that knows the options, and if the list has one, to support its version."""
    problems, warnings = len(run.problems), len(run.warnings)
    networks.resolve_version([plugin.entry(options)], version or "auto", networks.bin_dirs(options["bin_dirs"], run), run)
    for index, problem in enumerate(run.problems[problems:], problems):
        if problem.path == "cni_version":
            text = f"the cniVersion of {what}, {problem.message}; write it there with a version that the plugin supports"
            run.problems[index] = Problem(_where(options), text)
        else:
            run.problems[index] = _as_option(plugin, problem)
    for index, text in enumerate(run.warnings[warnings:], warnings):
        if text.startswith("plugins[0]"):
            run.warnings[index] = str(_as_option(plugin, Problem(*text.split(": ", 1))))


def _absent(plugin: Plugin, name: str, folder: str, where: str, run: Run) -> list[Part]:
    """Takes the entry out, whoever put it there: the network was asked for by its name. One that we made is given back with
    its file's form."""
    revive = functools.partial(cni_form.revive, run.document)
    path = os.path.join(folder, networks.networks_in(folder).get(name, ""))
    resource = cni_entry.CniEntry(path, plugin.name)
    wants = []
    if path.endswith(".conflist"):
        config = cni_entry.load(path, cni_entry.read_text(path) or "")
        if entries.count(config["plugins"], plugin.name) == len(config["plugins"]):
            run.refuse("network", f"{name!r} in {path} has no plugin but {plugin.name} (expected another that stays, or the file taken away)")
            return []
        run.planned.files[path] = splice.dump(entries.without_entry(config, plugin.name))
        known = run.document.objects(plugin.name, name).get(resource.id)
        wants = [] if known is not None and known["found"] is None else [Want(resource, None)]
    return [Part(plugin.name, name, None, wants, revive)]

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import json
import os
import re
import typing as t

from .._cni import entries, model
from .._converge import Part, Want
from .._errors import Problem
from .._resources import cni_entry
from . import networks
from .base import STATE, Options, Run

NAME = "portmap"
ENTRY_OPTIONS: dict[str, t.Any] = {
    "snat": {"type": "bool"},
    "masq_all": {"type": "bool"},
    "mark_masq_bit": {"type": "int"},
    "external_set_mark_chain": {"type": "str"},
    "conditions_v4": {"type": "list", "elements": "str"},
    "conditions_v6": {"type": "list", "elements": "str"},
    "backend": {"type": "str", "choices": ["iptables", "nftables"]},
}
OPTIONS: dict[str, t.Any] = {
    "network": {"type": "str", "required": True},
    **ENTRY_OPTIONS,
    "conf_dir": {"type": "path"},
    "bin_dirs": {"type": "list", "elements": "path"},
    "state": STATE,
}
#: The keys of a portmap entry (cni.md 5.2) by the options that set them, to name the option in a problem.
KEYS = {
    "masqAll": "masq_all",
    "markMasqBit": "mark_masq_bit",
    "externalSetMarkChain": "external_set_mark_chain",
    "conditionsV4": "conditions_v4",
    "conditionsV6": "conditions_v6",
}


def check(options: Options) -> list[Problem]:
    problems = model.check_name(options["network"], "network") + networks.check_paths(options)
    if options["state"] == "absent":
        return problems
    problems += _check_conditions(options)
    found = model.check_plugins([{"type": "bridge"}, entries.portmap_entry(options)], "plugins")
    return problems + [_as_option(problem) for problem in found]


def _check_conditions(options: Options) -> list[Problem]:
    """The plugin hands each item to iptables as one argument, so several words in one item never match anything."""
    return [
        Problem(f"{name}[{index}]", f"{word!r} is not one word of an iptables rule (expected e.g. the three items '!', '-s', '192.0.2.0/24')")
        for name in ("conditions_v4", "conditions_v6")
        for index, word in enumerate(options[name] or [])
        if not word or set(word) & set(" \t\n{}")
    ]


def _as_option(problem: Problem) -> Problem:
    """``plugins[1].markMasqBit`` of the entry is the option ``mark_masq_bit``."""
    path = re.sub(r"^plugins\[[01]\]\.(?!type$)", "", problem.path)
    message = problem.message
    for key, option in KEYS.items():
        path, message = path.replace(key, option), message.replace(key, option)
    return Problem(path, message)


def parts(options: Options, run: Run) -> list[Part]:
    entry = None if options["state"] == "absent" else {"entry": entries.portmap_entry(options)}
    if run.document.desired(networks.NAME, options["network"]) is not None:
        return _in_own_network(options, entry, run)
    if entry is None:
        return _absent(options, run)
    path = _find_list(options, run)
    if not _is_installed(options, run):
        return []
    if path is None:
        return [Part(NAME, options["network"], entry, [], cni_entry.revive)]
    want = Want(cni_entry.CniEntry(path, NAME), entry["entry"])
    run.results[NAME] = {"path": path, **entry}
    return [Part(NAME, options["network"], entry, [want], cni_entry.revive)]


def _in_own_network(options: Options, entry: dict[str, t.Any] | None, run: Run) -> list[Part]:
    """A network of ours is written anew with the entry, or without: its own list may have named one, too."""
    name = options["network"]
    desired = dict(run.document.desired(networks.NAME, name) or {})
    index = entries.find_entry(desired["plugins"], NAME)
    if entry is None or (index is not None and desired.get("follows")):
        desired["plugins"] = entries.without_entry({"plugins": desired["plugins"]}, NAME)["plugins"]
    elif index is not None and desired["plugins"][index] != entry["entry"]:
        listed = json.dumps(desired["plugins"][index])
        run.refuse("network", f"{name!r} has a portmap entry in the list that it was written with, {listed} (expected the same options, or none in that list)")
        return []
    if entry is not None and not desired["filename"].endswith(".conflist"):
        run.refuse("network", f"{name!r} is in {desired['filename']}, which holds one plugin only (expected a network in a .conflist)")
        return []
    if entry is not None and not _is_installed(options, run):
        return []
    run.results[NAME] = {"path": os.path.join(desired["conf_dir"], desired["filename"]), **(entry or {})}
    return [networks.own_part(name, desired, entry, run), Part(NAME, name, entry, [], cni_entry.revive)]


def _is_installed(options: Options, run: Run) -> bool:
    """Whether the plugin is, in a release that knows the options."""
    folders = networks.bin_dirs(options["bin_dirs"], run)
    problems, warnings = len(run.problems), len(run.warnings)
    networks.resolve_version([entries.portmap_entry(options)], "auto", folders, run)
    run.problems[problems:] = [_as_option(problem) for problem in run.problems[problems:]]
    run.warnings[warnings:] = [str(_as_option(Problem(*text.split(": ", 1)))) for text in run.warnings[warnings:]]
    return not run.problems


def _find_list(options: Options, run: Run) -> str | None:
    """The list's file. In check mode an earlier task may not have written it yet, which is a warning."""
    folder = networks.conf_dir(options["conf_dir"], run)
    names = networks.networks_in(folder)
    if options["network"] not in names:
        if run.check:
            text = f"network: {options['network']!r} is in no file of {folder} yet; a task with kubenode.network.cni_config has to come before this one"
            run.warnings.append(text)
            return None
        expected = ", ".join(sorted(names)) or "none, the folder has no valid network"
        run.refuse("network", f"{options['network']!r} is in no file of {folder} (expected one of {expected})")
        return None
    file_name = names[options["network"]]
    if not file_name.endswith(".conflist"):
        run.refuse("network", f"{options['network']!r} is in {file_name}, which holds one plugin only (expected a network in a .conflist)")
        return None
    return os.path.join(folder, file_name)


def _absent(options: Options, run: Run) -> list[Part]:
    """Takes the entry out, whoever put it there: the network was asked for by its name."""
    folder = networks.conf_dir(options["conf_dir"], run)
    path = os.path.join(folder, networks.networks_in(folder).get(options["network"], ""))
    wants = [Want(cni_entry.CniEntry(path, NAME), None)] if path.endswith(".conflist") else []
    if wants and not cni_entry.leaves_a_plugin(path, NAME):
        run.refuse("network", f"{options['network']!r} in {path} has no plugin but {NAME} (expected another that stays, or the file taken away)")
        return []
    return [Part(NAME, options["network"], None, wants, cni_entry.revive)]

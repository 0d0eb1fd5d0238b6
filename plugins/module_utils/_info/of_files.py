# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Problems of the directory of CNI files, and of what the runtime makes of it."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._cni import foreign, loader
from .._cni.kinds import show
from .._cni.ranges import Range
from .node import Config, Facts, Network
from .problem import ERROR, INFO, WARNING, Found, Problem, at, ranges_of

#: Seconds after which a temporary file is not one of a run that is still going on.
_STALE = 600


# 1: the runtime has not read what is there


def not_reloaded(facts: Facts) -> Found:
    status, verdict, folder = facts.runtime.status, facts.view.verdict, facts.folder.path
    if status is None or not verdict.winners or folder != facts.settings.conf_dir:
        return
    said = status.info.get("lastCNILoadStatus", "OK")
    ready = status.conditions.get("NetworkReady")
    touch = f"rename {verdict.winner} to a name that ends in .tmp and back within {folder}, or restart {facts.runtime.name}"
    if said != "OK" or (ready is not None and not ready.status):
        reason = said if said != "OK" or ready is None else ready.message
        yield Problem(ERROR, folder, f"{facts.runtime.name} is not ready though {verdict.winner} is valid: {reason}", touch)
    elif facts.runtime.loaded is not None and not _same(facts.runtime.loaded, facts.used):
        names = ", ".join(show(config.get("name", "")) for config in facts.runtime.loaded) or "none"
        yield Problem(ERROR, folder, f"{facts.runtime.name} uses the network {names}, as it read it before {verdict.winner} came or changed", touch)


def _same(loaded: t.Sequence[Config], there: t.Sequence[Network]) -> bool:
    """Single configurations are loaded as lists, so only their names are compared."""
    if [config.get("name", "") for config in loaded] != [network.name for network in there]:
        return False
    return all(config == network.config for config, network in zip(loaded, there) if network.file.endswith(".conflist"))


# 2: temporary files


def temporary_file(facts: Facts) -> Found:
    for name in facts.folder.texts:
        if name.startswith(".") or re.search(r"\.(?:conf|conflist|json)\.(?:conf|conflist|json)$", name):
            text = f"{at(facts, name)} looks like a temporary file or a copy, yet loaders read it"
            yield Problem(WARNING, name, text, "remove it, or give it a name that ends in .bak")


def temporary_left(facts: Facts) -> Found:
    for name, entry in facts.folder.entries.items():
        if re.fullmatch(r"\..+\.[0-9a-f]{8}\.tmp", name) and facts.now - entry.modified > _STALE:
            text = f"{at(facts, name)} was left by a run that was killed; no loader reads it"
            yield Problem(INFO, name, text, "kubenode.network.cni_config removes it when it writes that file")


# 3, 4: files of others


def _foreign(facts: Facts, *kinds: str) -> t.Iterator[foreign.Finding]:
    view, folder = facts.view, facts.folder
    main = [name for name in view.verdict.order if name in folder.ours]
    for finding in foreign.findings(view.loader, view.verdict, folder.texts, folder.ours, main):
        if finding.kind in kinds:
            yield finding


def file_first(facts: Facts) -> Found:
    for finding in _foreign(facts, foreign.FIRST):
        yield Problem(WARNING, finding.filename, f"in {facts.folder.path} {finding.message}", "put it aside with kubenode.network.cni_config foreign=disable")


def file_sibling(facts: Facts) -> Found:
    order = facts.view.verdict.order
    for name in order:
        for twin in loader.siblings(name, order):
            if order.index(twin) < order.index(name):
                text = f"{at(facts, twin)} is {name} with another extension, and comes before it"
                yield Problem(WARNING, twin, text, "keep one; kubenode.network.cni_config foreign=disable puts twins of its file aside")


def file_shadowed(facts: Facts) -> Found:
    for name, winner in facts.view.verdict.shadowed_by.items():
        if name not in foreign.VENDOR_FILES and not _is_loopback(facts, name):
            severity = WARNING if name in facts.folder.ours else INFO
            yield Problem(severity, name, f"{at(facts, name)} is not used, {winner} is", f"a name that sorts before {winner} would win")


def vendor_file(facts: Facts) -> Found:
    verdict = facts.view.verdict
    for name in verdict.order:
        if name in foreign.VENDOR_FILES:
            wins = name in verdict.winners
            effect = "is the pod network" if wins else "would be the pod network if it came first"
            text = f"{at(facts, name)} is a default of {foreign.VENDOR_FILES[name]} and {effect}"
            yield Problem(WARNING if wins else INFO, name, text, "put it aside with kubenode.network.cni_config foreign=disable")


def subnet_overlap(facts: Facts) -> Found:
    """Networks may share a subnet as long as each has a part of its own."""
    seen: list[tuple[Network, Range]] = []
    for network in facts.networks:
        ranges = ranges_of(facts, network)
        for own in ranges:
            for other, theirs in seen:
                if other.name != network.name and _overlap(own, theirs):
                    text = f"{own.subnet} of network {show(network.name)} in {network.file} overlaps {theirs.subnet} of {show(other.name)} in {other.file}"
                    yield Problem(WARNING, network.file, text, "give one of them another subnet, or put its file aside")
        seen += [(network, own) for own in ranges]


def _overlap(one: Range, other: Range) -> bool:
    first, last, start, end = (ipaddress.ip_address(text) for text in (one.start, one.end, other.start, other.end))
    return first.version == start.version and int(first) <= int(end) and int(start) <= int(last)


# 5: files that do not load


def file_broken(facts: Facts) -> Found:
    """What a loader has against the plugins of a valid file is told of the plugins."""
    verdict, name = facts.view.verdict, facts.view.loader.name
    for file, reason in verdict.invalid.items():
        if reason == facts.faults.get(file):
            continue
        stops = (verdict.error or "").startswith(f"{file}: ")
        effect = f"{name} loads nothing because of it" if stops else "it is passed over, or not read as long as it does not come first"
        yield Problem(ERROR if stops else WARNING, file, f"{at(facts, file)} is not valid, {effect}: {reason}", "mend it or take it away")


def no_network(facts: Facts) -> Found:
    verdict = facts.view.verdict
    there = facts.folder.entry is not None and facts.folder.entry.kind == "folder"
    if there and not verdict.winners and not any((verdict.error or "").startswith(f"{file}: ") for file in verdict.invalid):
        text = f"{facts.folder.path} gives pods no network, {facts.view.loader.name} finds: {verdict.error}"
        yield Problem(ERROR, facts.folder.path, text, "write one with kubenode.network.cni_config")


# 25: the directory


def conf_dir_missing(facts: Facts) -> Found:
    if facts.folder.entry is None or facts.folder.entry.kind != "folder":
        what = "is not there" if facts.folder.entry is None else "is not a folder"
        yield Problem(ERROR, facts.folder.path, f"{facts.folder.path} {what}, so pods have no network", "kubenode.network.cni_config makes it")


def conf_dir_link(facts: Facts) -> Found:
    entry = facts.folder.entry
    if entry is not None and entry.link:
        text = f"{facts.folder.path} is a symbolic link to {entry.link}; containerd stops reloading, or ends, when it is made to lead elsewhere"
        yield Problem(WARNING, facts.folder.path, text, f"make it a folder, or set the runtime's conf_dir to {entry.link}")


# also reported


def loopback_first(facts: Facts) -> Found:
    for name in facts.view.verdict.winners[:1]:
        if _is_loopback(facts, name):
            text = f"{at(facts, name)} is alone or first, so pods get nothing but lo"
            yield Problem(ERROR, name, text, "write a network before it with kubenode.network.cni_config")


def loopback_used(facts: Facts) -> Found:
    for name in facts.view.verdict.winners[1:] if facts.loader == "containerd" else ():
        if _is_loopback(facts, name):
            text = f"{at(facts, name)} is a pod's further network, since max_conf_num is {facts.settings.max_conf_num}"
            yield Problem(WARNING, name, text, f"set it to 1 in {facts.settings.source or 'the settings of containerd'}, or take the file away")


def _is_loopback(facts: Facts, file: str) -> bool:
    return any(network.file == file and network.types == ["loopback"] for network in facts.networks)


def file_mode(facts: Facts) -> Found:
    for name in facts.view.verdict.order:
        entry = facts.folder.entries.get(name)
        if entry is not None and entry.mode & 0o177:
            text = f"{at(facts, name)} has mode {entry.mode:04o}; the CIS benchmark for Kubernetes (1.1.9) expects 0600"
            yield Problem(INFO, name, text, "mode: '0600' in kubenode.network.cni_config" if name in facts.folder.ours else "chmod 600")

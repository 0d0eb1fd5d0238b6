# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""A directory of CNI files as a loader sees it: which files load, in what order, which is used, what breaks the load.

Sources: containerd/go-cni opts.go loadFromConfDir, cri-o/ocicni loadNetworks, cri-dockerd network/cni, containers/common
libnetwork/cni, libcni ConfFiles and LoadNetworkConf (cni.md 1, 7). Names and texts only; nothing is read here.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from .._errors import Problem
from .kinds import show
from .model import ConfigError, check_name, only_inlined, parse
from .versions import older

LOADABLE = (".conf", ".conflist", ".json")
_WRITABLE = (".conf", ".conflist")
_LONGEST = 200

#: Loaders whose behaviour was seen with the real program. Of the others it is known from their source.
_OBSERVED = ("containerd", "podman")
#: These go on behind a file that they cannot use; the others stop there.
_TOLERANT = ("crio", "dockershim", "podman")
Texts = t.Mapping[str, t.Optional[str]]


class Loader(t.NamedTuple):
    """A program that reads the directory. ``libcni``: release of the library inside, None for "not known", which is taken
    for the strictest. ``max_conf_num`` is containerd's; ``default_network`` is CRI-O's ``cni_default_network``, for podman
    and libcni the name of the network that is asked for."""

    name: str = "containerd"
    libcni: str | None = None
    max_conf_num: int = 1
    default_network: str = ""

    @property
    def evidence(self) -> str:
        """``observed`` with the real program, or known from its ``source``."""
        return "observed" if self.name in _OBSERVED else "source"

    @property
    def extensions(self) -> tuple[str, ...]:
        return (".conflist",) if self.name == "podman" else LOADABLE


@dataclasses.dataclass
class Verdict:
    """What becomes of a directory.

    ``winner``: the file that makes the pods' first interface, or ``error`` says why there is none. ``winners``: all files
    that are in use, in their order. ``order``: all files that count, as the loader goes through them; of these ``invalid``
    maps the unusable ones to the reason, each of which takes the node down the day it comes first (or is skipped by a
    loader that goes on), and ``shadowed_by`` the usable ones that are not in use to the file for which they are not.
    """

    winner: str | None = None
    error: str | None = None
    winners: list[str] = dataclasses.field(default_factory=list)
    order: list[str] = dataclasses.field(default_factory=list)
    invalid: dict[str, str] = dataclasses.field(default_factory=dict)
    shadowed_by: dict[str, str] = dataclasses.field(default_factory=dict)


def view(
    loader: Loader,
    files: Texts,
    *,
    broken: t.Mapping[str, str] | None = None,
    folders: t.Mapping[str, Texts] | None = None,
) -> Verdict:
    """What the loader makes of a directory.

    ``files`` maps names to texts, ``None`` for one that cannot be read. Directories of such a name are to be left out by
    the caller. ``broken`` names files whose plugins are missing or do not speak the file's version, for the loaders that
    ask them. ``folders``: files of the sub-directories, by the name of the network that they belong to (libcni 1.3).
    """
    verdict = Verdict(order=_order(loader, files))
    names: dict[str, str] = {}
    for name in verdict.order:
        reason, network = _judge(loader, name, files[name], folders or {})
        if reason is None and loader.name in _TOLERANT:
            reason = (broken or {}).get(name)
        if reason is not None:
            verdict.invalid[name] = reason
        else:
            names[name] = network
    if not verdict.order:
        verdict.error = f"no network configuration (expected a file that ends in {', '.join(loader.extensions)})"
        return verdict
    _choose(loader, verdict, names)
    return verdict


def asks_plugins(loader: Loader) -> bool:
    """Whether it runs VERSION on every plugin of a file before it takes the file."""
    return loader.name in _TOLERANT


def refusal(text: str, filename: str, answers: t.Mapping[str, t.Sequence[str]]) -> str | None:
    """Why a loader that asks plugins does not take a file that parses: libcni ValidateNetworkList, IPAM plugins left out.
    ``answers``: plugin type -> its VERSION answer, of those that are installed."""
    config = parse(text, filename)
    version = config.get("cniVersion") or "0.1.0"
    for plugin in config.get("plugins", [config]):
        name = plugin["type"]
        if name not in answers:
            return f"the plugin {show(name)} is not installed"
        if version not in answers[name]:
            return f"the plugin {show(name)} does not speak CNI {version} (it speaks {', '.join(answers[name])})"
    return None


def _order(loader: Loader, files: t.Iterable[str]) -> list[str]:
    names = [name for name in load_order(files) if _split(name)[1] in loader.extensions]
    if loader.name != "libcni":
        return names
    return sorted(names, key=lambda name: not name.endswith(".conflist"))  # stable: lists first, then single ones


def _judge(loader: Loader, name: str, text: str | None, folders: t.Mapping[str, Texts]) -> tuple[str | None, str]:
    """Why the loader cannot use a file, or None and the name of its network."""
    if text is None:
        return "cannot be read", ""
    try:
        config = parse(text, name, loader.libcni)
    except ConfigError as error:
        return error.reason, ""
    network = config.get("name", "")
    reads_folders = loader.libcni is not None and not older(loader.libcni, "1.3.0")
    if reads_folders and name.endswith(".conflist"):
        reason = _folder_fault(config, folders.get(network, {}))
        if reason is not None:
            return reason, network
    if loader.name == "podman" and check_name(network):
        return f"name: {show(network)} is not one that podman takes", network
    return None, network or name


def _folder_fault(config: t.Mapping[str, t.Any], files: Texts) -> str | None:
    """Plugins in the directory of the network's name are appended to the list; a bad one spoils it (libcni
    NetworkPluginConfsFromFiles)."""
    if only_inlined(config):
        return None
    names = sorted((name for name in files if _split(name)[1] == ".conf"), key=os.fsencode)
    for name in names:
        try:
            parse(files[name] or "", name)
        except ConfigError as error:
            return f"{config['name']}/{name}: {error.reason}"
    return None if names or config.get("plugins") else f"has no plugins, and there are none in the directory {config['name']}"


def _choose(loader: Loader, verdict: Verdict, names: t.Mapping[str, str]) -> None:
    """Fills in what is used. ``names``: usable file -> its network."""
    ahead = ""
    usable = list(names)
    if loader.name not in _TOLERANT:
        usable, ahead = _before_the_first_bad(loader, verdict, names)
    if ahead:
        verdict.error = f"{ahead}: {verdict.invalid[ahead]}"
    else:
        verdict.winners = _in_use(loader, usable, names)
        ahead = verdict.winners[0] if verdict.winners else ""
        verdict.winner = ahead or None
    if not verdict.winner and not verdict.error:
        verdict.error = _nothing(loader, verdict)
    for name in names if ahead else ():
        same = [other for other in verdict.winners if names[other] == names[name]]
        if name not in verdict.winners and (same or loader.name != "libcni"):
            verdict.shadowed_by[name] = same[0] if same else ahead


def _before_the_first_bad(loader: Loader, verdict: Verdict, names: t.Mapping[str, str]) -> tuple[list[str], str]:
    """The files that a strict loader reads, and the bad one at which it fails. It opens no more than it needs."""
    read: list[str] = []
    for name in verdict.order:
        if _has_enough(loader, read, names):
            break
        if name in verdict.invalid:
            return [], name
        read.append(name)
    return read, ""


def _has_enough(loader: Loader, read: t.Sequence[str], names: t.Mapping[str, str]) -> bool:
    if loader.name == "libcni":
        return any(names[name] == loader.default_network for name in read)
    return loader.max_conf_num != 0 and len(read) == loader.max_conf_num


def _in_use(loader: Loader, usable: t.Sequence[str], names: t.Mapping[str, str]) -> list[str]:
    """Of the usable files those that pods get, the default one first."""
    if loader.name == "containerd":
        return list(usable)
    first_of: dict[str, str] = {}
    for name in usable:
        first_of.setdefault(names[name], name)
    if loader.name == "dockershim":
        return list(first_of.values())[:1]
    if loader.name == "libcni":
        return [name for network, name in first_of.items() if network == loader.default_network]
    if loader.default_network not in first_of:
        return [] if loader.default_network else list(first_of.values())
    default = first_of.pop(loader.default_network)
    return [default, *first_of.values()]


def _nothing(loader: Loader, verdict: Verdict) -> str:
    reasons = "".join(f"; {name}: {reason}" for name, reason in verdict.invalid.items())
    wanted = f" named {show(loader.default_network)}" if loader.default_network else ""
    return f"no valid network{wanted}{reasons}"


def is_loadable(filename: str) -> bool:
    """Whether loaders look at a file of this name: by its exact last extension, hidden or not."""
    return _split(filename)[1] in LOADABLE


def _split(filename: str) -> tuple[str, str]:
    """Stem and last extension as Go's filepath.Ext sees it, for which ``.conf`` is all extension."""
    stem, dot, extension = filename.rpartition(".")
    return (stem, dot + extension) if dot else (filename, "")


def load_order(filenames: t.Iterable[str]) -> list[str]:
    """The loadable names in the order of their bytes: ``10-x``, ``9-x``, ``Z``, ``a``; ``.x`` before all of them."""
    return sorted((name for name in filenames if is_loadable(name)), key=os.fsencode)


def siblings(filename: str, filenames: t.Iterable[str]) -> list[str]:
    """Other loadable names with the same stem: ``10-a.conf`` beside ``10-a.conflist`` comes first and beats it."""
    stem = _split(filename)[0]
    return [name for name in load_order(filenames) if name != filename and _split(name)[0] == stem]


def config_filename(priority: int, name: str, single: bool) -> str:
    """``10-mynet.conflist``. Two digits, so that the order of bytes is that of the numbers: 0 to 99."""
    return f"{priority:02d}-{name}.{'conf' if single else 'conflist'}"


def check_filename(filename: str, path: str) -> list[Problem]:
    """A name under which we write: one that every loader reads and no shell stumbles over."""
    if not isinstance(filename, str) or not filename:
        return [Problem(path, f"{show(filename)} is not a file name (expected e.g. 10-mynet.conflist)")]
    problems = []
    if "/" in filename or ".." in filename:
        problems.append(Problem(path, f"{show(filename)} leads out of the directory (expected a name without / and ..)"))
    if filename.startswith("."):
        problems.append(Problem(path, f"{show(filename)} is hidden, yet loaders read it before all others (expected no leading dot)"))
    if not re.fullmatch(r"[!-~]+", filename):
        problems.append(Problem(path, f"{show(filename)} holds other characters than printable ASCII without spaces (expected only these)"))
    if _split(filename)[1] not in _WRITABLE:
        problems.append(Problem(path, f"{show(filename)} has another extension (expected .conflist, or .conf for a single plugin)"))
    if len(filename) > _LONGEST:
        problems.append(Problem(path, f"{len(filename)} characters are too many (expected at most {_LONGEST})"))
    return problems

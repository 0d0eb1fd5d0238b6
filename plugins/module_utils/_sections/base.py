# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import dataclasses
import functools
import os
import typing as t

from .._cni import loader, versions
from .._converge import Part, Want
from .._document import Document
from .._errors import Problem
from .._host import links, plugins, runtime, sysctls
from .._host.runtime import Installed

if t.TYPE_CHECKING:
    import concurrent.futures

    from .._host.plugins import Said

Options = t.Mapping[str, t.Any]


class Chosen(t.NamedTuple):
    """What was said of a network beside its content: where its options stand (``networks[0]``), which of them is to be named
    where pods are cut off, and whether to go on then."""

    prefix: str
    option: str
    force: bool


@dataclasses.dataclass(eq=False, repr=False)
class Planned:
    """What the sections of a run are about to do, for those behind them."""

    #: CNI plugin binary -> a function that gives a path where it can be run from before it is installed into bin_dir
    plugins: dict[str, t.Callable[[], str]] = dataclasses.field(default_factory=dict)
    bin_dir: str | None = None
    #: path of a binary that is not installed yet -> where it can be run from
    runnable: dict[str, str] = dataclasses.field(default_factory=dict)
    #: the same path -> what it is just being asked
    asked: dict[str, concurrent.futures.Future[Said]] = dataclasses.field(default_factory=dict)
    leaving_plugins: set[str] = dataclasses.field(default_factory=set)
    #: those of ``plugins`` that take the place of another binary, or of none
    replaced_plugins: set[str] = dataclasses.field(default_factory=set)
    plugin_part: Part | None = None
    sysctls: dict[str, str] = dataclasses.field(default_factory=dict)
    #: SHA-256 of the program that section boot_service lacks
    missing_program: str | None = None
    #: bridge -> its own switches for the firewall, as ``sysctls.read_bridge_nf`` has them
    bridge_nf: dict[str, dict[str, str]] = dataclasses.field(default_factory=dict)
    #: a part that waits for the networks to be planned, with its options and their path
    undecided: tuple[Part, Options, str] | None = None
    #: folder of CNI files -> the networks that pods get from it when the run is done
    in_use: dict[str, list[dict[str, t.Any]]] = dataclasses.field(default_factory=dict)
    #: what section kubenet_bridge resolved, for the networks on it
    bridge: dict[str, t.Any] | None = None
    #: path of a CNI file -> its text
    files: dict[str, str] = dataclasses.field(default_factory=dict)
    #: CNI files that give way to others although they stay in the document
    replaced_files: set[str] = dataclasses.field(default_factory=set)
    #: path of a loopback file -> the one want for it, whoever asks
    loopbacks: dict[str, Want] = dataclasses.field(default_factory=dict)
    #: path of a CNI file of ours -> the part that writes it
    parts: dict[str, Part] = dataclasses.field(default_factory=dict)
    #: name of a network that goes -> its folder
    removed_networks: dict[str, str] = dataclasses.field(default_factory=dict)
    #: name of a network of this run -> what was said beside its content
    chosen: dict[str, Chosen] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(eq=False, repr=False)
class Run:
    """What the sections of one run share: the document, what was found wrong, and what is planned."""

    document: Document
    check: bool = False
    #: section -> the options of each of its instances in this run
    sections: t.Mapping[str, t.Sequence[Options]] = dataclasses.field(default_factory=dict)
    problems: list[Problem] = dataclasses.field(default_factory=list)
    warnings: list[str] = dataclasses.field(default_factory=list)
    results: dict[str, t.Any] = dataclasses.field(default_factory=dict)
    #: path of the options that are being looked at, e.g. ``networks[0]``; empty in a module of their own
    prefix: str = ""
    planned: Planned = dataclasses.field(default_factory=Planned)
    cleanups: list[t.Callable[[], None]] = dataclasses.field(default_factory=list)

    def refuse(self, path: str, message: str) -> None:
        self.problems.append(Problem(path, message))

    def firewall_sees(self, bridge: str, version: int) -> bool:
        """Whether packets of a family that cross the bridge pass the firewall once the run is done."""
        table = "iptables" if version == 4 else "ip6tables"
        key = f"net/bridge/bridge-nf-call-{table}"
        own = self.planned.bridge_nf.get(bridge) or sysctls.read_bridge_nf(bridge) or {}
        return "1" in (self.planned.sysctls.get(key, sysctls.read(key)), own.get(table))

    @functools.cached_property
    def links(self) -> dict[str, links.Link]:
        return links.read_links()

    @functools.cached_property
    def runtime(self) -> runtime.Settings:
        return runtime.read()

    @functools.cached_property
    def loader(self) -> loader.Loader:
        """Who reads the files: without a runtime that is known containerd, the one that is strictest."""
        settings, found = self.runtime, self.installed_runtime
        if found is None or found.name == "podman":  # podman has its own pods on any node
            found = Installed(settings.name or "containerd")
        return loader.Loader(found.name, versions.libcni_of(found.name, found.release), settings.max_conf_num, settings.default_network)

    @functools.cached_property
    def installed_runtime(self) -> Installed | None:
        """The container runtime that is on the node."""
        return runtime.installed(self.runtime, self.probes)

    @functools.cached_property
    def probes(self) -> plugins.Probes:
        """What programs say of themselves. In check mode, what is new is not kept."""
        probes = plugins.Probes.load()
        if not self.check:
            self.cleanups.append(probes.save)
        return probes


class Section(t.Protocol):
    """One part of the node's document: a module of ``_sections`` with these names.

    A part that can be made again from the document alone, as it is at boot, has a function besides, ``resolved(desired) ->
    Options``: the options that give the same part with nothing left to ``auto``.
    """

    NAME: str
    OPTIONS: dict[str, t.Any]

    def check(self, options: Options) -> list[Problem]:
        """What is wrong with the options by themselves; touches nothing."""

    def parts(self, options: Options, run: Run) -> list[Part]:
        """What the options mean on this node. Adds to ``run.problems`` what is wrong with them here."""


def normal(path: str) -> str:
    """An absolute path in one spelling; os.path.normpath leaves two slashes at its start."""
    return "/" + os.path.normpath(path).lstrip("/")


def defaults(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """What a section gets for the options that nobody gave."""
    return {name: option.get("default") for name, option in options.items()}


STATE = {"type": "str", "choices": ["present", "absent"], "default": "present"}


def removal(section: str, instance: str, revive: t.Callable[[str], t.Any]) -> Part:
    """Takes a part away: everything that the document holds for it is given back."""
    return Part(section, instance, None, [], revive)

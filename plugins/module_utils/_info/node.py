# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What is known of a node, as data. ``None`` stands for what could not be had; ``Facts.unavailable`` says why."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from .._boot_files import Override
from .._cni import model
from .._cni.loader import Loader, Texts, Verdict
from .._cni.ranges import RangeSet
from .._cni.releases import Release
from .._errors import KubenodeError
from .._host.cri import RuntimeStatus
from .._host.files import Entry
from .._host.firewall import Chain
from .._host.links import Link
from .._host.runtime import Settings

Config = t.Mapping[str, t.Any]

#: What a node in any state, and what others wrote on it, may make of a question. A run then goes on without the answer.
SOFT = (KubenodeError, OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError)
_SECRET = re.compile(r"token|passw|passphrase|secret|credential|(?:api|private|client|ssh)[_-]?key", re.IGNORECASE)
MASK = "********"


def masked(value: t.Any, levels: int = 50) -> t.Any:
    """A configuration without what its keys say is secret, and without what is nested deeper than anything that plugins know: it is
    for reports."""
    if isinstance(value, (dict, list)) and levels == 0:
        return MASK
    if isinstance(value, dict):
        return {key: MASK if _SECRET.search(key) and item else masked(item, levels - 1) for key, item in value.items()}
    return [masked(item, levels - 1) for item in value] if isinstance(value, list) else value


def plugins(config: Config) -> list[t.Any]:
    """The plugins of a list, or the one of a single configuration."""
    listed = config.get("plugins", [config])
    return listed if isinstance(listed, list) else []


def programs(config: Config) -> list[tuple[str, Config, str]]:
    """``(type, its part, path)`` of each plugin and, after it, its IPAM plugin."""
    return list(model.programs(plugins(config), "plugins"))


@dataclasses.dataclass(frozen=True)
class Runtime:
    """The container runtime that has the node's pods. ``loaded``: the networks that it has, as it read them, the default one
    first; None when it does not say."""

    name: str = ""
    release: str = ""
    libcni: str | None = None
    socket: str = ""
    status: RuntimeStatus | None = None
    loaded: tuple[Config, ...] | None = None


@dataclasses.dataclass(frozen=True)
class Folder:
    """The directory of CNI files. ``texts``: of the loadable ones. ``ours``: names of those that this collection wrote."""

    path: str
    entry: Entry | None = None
    entries: t.Mapping[str, Entry] = dataclasses.field(default_factory=dict)
    texts: Texts = dataclasses.field(default_factory=dict)
    ours: frozenset[str] = frozenset()


@dataclasses.dataclass(frozen=True)
class View:
    """What one loader makes of the directory. ``installed``: whether it is on this node."""

    loader: Loader
    verdict: Verdict
    installed: bool


@dataclasses.dataclass(frozen=True)
class Network:
    """A network in a file that can be read. ``config`` is masked."""

    name: str
    file: str
    config: Config
    in_use: bool
    ours: bool

    @property
    def programs(self) -> list[tuple[str, Config, str]]:
        return programs(self.config)

    @property
    def types(self) -> list[str]:
        """Each program that it runs, once, in their order."""
        return list(dict.fromkeys(name for name, *_rest in self.programs))

    def parts(self, *types: str) -> list[Config]:
        return [part for name, part, _path in self.programs if name in types]


@dataclasses.dataclass(frozen=True)
class Binary:
    """A file in a folder of plugins. ``asked``: whether it was run to ask for its versions. ``error``: why it does not answer
    VERSION, or ""."""

    name: str
    path: str
    entry: Entry
    versions: tuple[str, ...] = ()
    release: Release = dataclasses.field(default_factory=Release)
    error: str = ""
    asked: bool = True


@dataclasses.dataclass(frozen=True)
class LeaseFact:
    """``age``: seconds. ``orphaned``: None when it cannot be told."""

    address: str
    container_id: str
    interface: str
    age: int
    netns_alive: bool | None
    orphaned: bool | None


@dataclasses.dataclass(frozen=True)
class Leases:
    """What host-local gave away in one network. ``file``: where that network is, "" when no file names it."""

    network: str
    file: str
    data_dir: str
    file_system: str
    sets: tuple[RangeSet, ...]
    leases: tuple[LeaseFact, ...]


#: What section masquerade makes for ``accept_forwarded``.
ACCEPTING_CHAIN = "KUBENODE-FORWARD"


@dataclasses.dataclass(frozen=True)
class Firewall:
    """``iptables``: release and variant; ``nft``: release; None where it is not installed. ``chains`` is None when they
    could not be listed."""

    iptables: tuple[str, str] | None = None
    nft: str | None = None
    legacy_tables: t.Mapping[str, list[str]] = dataclasses.field(default_factory=dict)
    chains: tuple[Chain, ...] | None = None

    def policy(self, backend: str, family: str) -> str | None:
        """What becomes of forwarded packets in the end: ``drop`` where one chain says so; None without such a chain."""
        found = {chain.policy for chain in self.of(backend, family) if chain.hook == "forward"}
        return "drop" if "drop" in found else "accept" if found else None

    def dropping(self, backend: str, family: str) -> list[Chain]:
        """The chains whose policy drops forwarded packets, but for those of iptables in which ``accept_forwarded`` accepts those of pods."""
        chains = self.of(backend, family)
        accepted = any(chain.name == ACCEPTING_CHAIN for chain in chains)
        drops = [chain for chain in chains if chain.hook == "forward" and chain.policy == "drop"]
        return [chain for chain in drops if not (accepted and is_of_iptables(chain))]

    def of(self, backend: str, family: str) -> list[Chain]:
        return [chain for chain in self.chains or () if chain.backend == backend and chain.family in (family, "inet")]


def is_of_iptables(chain: Chain) -> bool:
    return chain.family != "inet" and (chain.table, chain.name) == ("filter", "FORWARD")


def is_kubernetes_chain(name: str) -> bool:
    """Whether a chain is one of the plugins or of kube-proxy."""
    return name.startswith(("CNI-", "KUBE-"))


@dataclasses.dataclass
class Facts:
    """``now``: when they were gathered, in seconds since the epoch."""

    now: float = 0.0
    settings: Settings = dataclasses.field(default_factory=Settings)
    runtime: Runtime = dataclasses.field(default_factory=Runtime)
    folder: Folder = dataclasses.field(default_factory=lambda: Folder(Settings().conf_dir))
    bin_dirs: tuple[str, ...] = ()
    bin_entries: t.Mapping[str, Entry] = dataclasses.field(default_factory=dict)
    views: dict[str, View] = dataclasses.field(default_factory=dict)
    loader: str = "containerd"
    networks: t.Sequence[Network] = ()
    binaries: dict[str, Binary] = dataclasses.field(default_factory=dict)
    #: valid file -> why a loader that asks its plugins does not take it
    faults: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    #: plugin that is in none of the folders -> where it is found else
    elsewhere: t.Mapping[str, str] = dataclasses.field(default_factory=dict)
    leases: t.Sequence[Leases] = ()
    #: network that no file names -> number of its attachments that libcni remembers
    attachments: t.Mapping[str, int] = dataclasses.field(default_factory=dict)
    links: t.Mapping[str, Link] | None = None
    uplinks: t.AbstractSet[str] = frozenset()
    firewall: Firewall = dataclasses.field(default_factory=Firewall)
    #: by their paths below /proc/sys; None for one that the kernel does not have
    sysctls: t.Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    #: lines in files of sysctl.d that give one of these another value at the next boot
    undone: t.Sequence[Override] = ()
    #: bridge -> its own switches for the firewall, ``{"iptables": "0", …}``
    bridge_nf: t.Mapping[str, t.Mapping[str, str]] = dataclasses.field(default_factory=dict)
    masquerades: bool = False
    unavailable: list[dict[str, str]] = dataclasses.field(default_factory=list)

    @property
    def view(self) -> View:
        """What the node's own runtime makes of the directory."""
        return self.views.get(self.loader) or View(Loader(self.loader), Verdict(), False)

    @property
    def used(self) -> list[Network]:
        """The networks that pods get, the default one first."""
        return [network for network in self.networks if network.in_use]

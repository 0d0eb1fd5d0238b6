# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Reads what there is to know of a node. Nothing is changed, kept or locked, and what cannot be had is named instead of failing:
this runs when a node is broken."""

from __future__ import annotations

import json
import os
import re
import time
import typing as t
from concurrent import futures

from .. import _boot_files, _leases
from .._cni import loader, model, ranges, releases, versions
from .._cni.keys import PLUGINS
from .._cni.loader import Loader, Texts
from .._document import Document
from .._errors import NodeError
from .._host import cri, files, firewall, leases, links, plugins, process, routes, runtime, sysctls
from .._host.iptables import TOOLS, legacy_tables
from .._host.paths import is_path
from .._host.runtime import Settings
from .node import SOFT, Binary, Config, Facts, Firewall, Folder, LeaseFact, Leases, Network, Runtime, View, masked, programs

#: Where distributions and other tools put plugins.
USUAL_BIN_DIRS = ("/opt/cni/bin", "/usr/lib/cni", "/usr/libexec/cni", "/usr/local/lib/cni", "/usr/local/libexec/cni")
SYSCTLS = (
    "net/ipv4/ip_forward",
    "net/ipv6/conf/all/forwarding",
    "net/ipv6/conf/all/disable_ipv6",
    "net/ipv6/conf/default/disable_ipv6",
    "net/bridge/bridge-nf-call-iptables",
    "net/bridge/bridge-nf-call-ip6tables",
    "net/bridge/bridge-nf-call-arptables",
)
#: Loader -> programs that bring it.
_PROGRAMS = {"containerd": ("containerd",), "crio": ("crio",), "podman": ("podman",), "dockershim": ("cri-dockerd",), "libcni": ("cnitool",)}
#: What a runtime calls itself over CRI -> its loader.
_LOADERS = {"containerd": "containerd", "cri-o": "crio", "docker": "dockershim"}
#: What runtimes make for the loopback interface of every pod, out of no file.
_INTERNAL = ("cni-loopback",)
_LONGEST_ANSWER = 5.0  # seconds
#: Plugins that are asked at the same time.
_AT_ONCE = 4
#: Seconds for which a sandbox may be starting: it has a lease before the runtime lists it.
_STARTING = _leases.OPTIONS["grace"]["default"]

Options = t.Mapping[str, t.Any]
#: Whether a sandbox of this id lives.
Listed = t.Callable[[str], bool]
T = t.TypeVar("T")
E = t.TypeVar("E")


def gather(options: Options) -> Facts:
    """``options``: ``conf_dir``, ``bin_dirs``, ``sandboxes`` and ``runtime_endpoint``, each None for what is found on the node."""
    return _Gathering(options).facts


class _Gathering:
    """Every step adds its facts, and uses those of the steps before it."""

    def __init__(self, options: Options) -> None:
        self.options, self.facts = options, Facts(time.time())
        self.probes = plugins.Probes.load()
        self.document = self._try("document", Document({}), Document.load)
        self.facts.masquerades = bool(self.document.instances("masquerade"))
        self.sockets: list[str] = []
        self.folders: dict[str, Texts] = {}
        self.configs: dict[str, Config] = {}
        for step in (self._runtime, self._folder, self._plugins, self._views, self._networks, self._leases, self._kernel):
            self._try(step.__name__.strip("_"), None, step)

    def _try(self, fact: str, otherwise: E, ask: t.Callable[..., T], *args: t.Any) -> T | E:
        try:
            return ask(*args)
        except SOFT as error:
            self.facts.unavailable.append({"fact": fact, "reason": str(error)})
            return otherwise

    # the runtime

    def _runtime(self) -> None:
        facts = self.facts
        facts.settings = self._try("runtime settings", Settings(), runtime.read)
        found = self._try("runtime program", None, runtime.installed, facts.settings, self.probes)
        name, release = (found.name, found.release) if found else (facts.settings.name, "")
        self.sockets = self._sockets()
        socket, status, version = self._ask_status()
        if version is not None:
            name, release = _LOADERS.get(version.name, version.name), _release(version.version)
        said = self._try("networks of the runtime", None, _cniconfig, status)
        if said is not None:
            facts.settings = _said_settings(said, facts.settings, name, socket)
        facts.loader = name if name in ("crio", "dockershim") else "containerd"
        loaded = None if said is None else self._try("networks of the runtime", None, _loaded, said)
        facts.runtime = Runtime(name, release, versions.libcni_of(name, release), socket, status, loaded)
        facts.bin_dirs = tuple(_normal(path) for path in self.options["bin_dirs"] or facts.settings.bin_dirs)

    def _sockets(self) -> list[str]:
        told = self.options["runtime_endpoint"]
        return self._try("runtime socket", [], cri.find_sockets) if told is None else [cri.socket_path(told) or told]

    def _ask_status(self) -> tuple[str, cri.RuntimeStatus | None, cri.Version | None]:
        """Of the first runtime that answers."""
        errors = []
        for socket in self.sockets:
            client = cri.Cri(socket, _LONGEST_ANSWER)
            try:
                return socket, client.status(), client.version()
            except NodeError as error:
                errors.append(str(error))
        reason = "; ".join(errors) or f"no container runtime listens at {', '.join(cri.SOCKETS)}"
        self.facts.unavailable.append({"fact": "status of the runtime", "reason": reason})
        return "", None, None

    # files

    def _folder(self) -> None:
        path = _normal(self.options["conf_dir"] or self.facts.settings.conf_dir)
        paths = {name: os.path.join(path, name) for name in self._try(path, [], files.entries, path)}
        entries = {name: entry for name, inner in paths.items() for entry in [self._try(inner, None, files.look, inner)] if entry is not None}
        loadable = [name for name, entry in entries.items() if loader.is_loadable(name) and entry.kind != "folder"]
        texts = {name: self._try(paths[name], None, files.read_text, paths[name]) for name in loadable}
        held = {oid for name in self.document.instances("networks") for oid in self.document.objects("networks", name)}
        ours = frozenset(name for name in entries if f"file:{paths[name]}" in held)
        self.folders = {name: self._inner(paths[name]) for name, entry in entries.items() if entry.kind == "folder"}
        self.facts.folder = Folder(path, self._try(path, None, files.look, path), entries, texts, ours)
        self.configs = self._configs()

    def _inner(self, folder: str) -> Texts:
        """The files from which newer loaders take more plugins (cni.md 1.4)."""
        paths = [os.path.join(folder, name) for name in self._try(folder, [], files.entries, folder) if name.endswith(".conf")]
        return {os.path.basename(path): self._try(path, None, files.read_text, path) for path in paths}

    def _configs(self) -> dict[str, Config]:
        """File -> its configuration, of those that can be read, in load order."""
        found: dict[str, Config] = {}
        for name in loader.load_order(self.facts.folder.texts):
            try:
                found[name] = model.parse(self.facts.folder.texts[name] or "", name, self.facts.runtime.libcni)
            except ValueError:
                continue
        return found

    # plugins

    def _plugins(self) -> None:
        facts = self.facts
        wanted = {"loopback"} | {name for config in self.configs.values() for name, *_rest in programs(config)}
        folders = {path: self._try(path, None, files.look, path) for path in facts.bin_dirs}
        facts.bin_entries = {path: entry for path, entry in folders.items() if entry is not None}
        paths = {name: plugins.locate(name, facts.bin_dirs) or "" for name in self._try("plugins", [], plugins.installed, facts.bin_dirs)}
        looked = {name: self._try(path, None, files.look, path) for name, path in paths.items()}
        # Archives of releases bring a licence and a readme along.
        there = [
            (name, paths[name], entry) for name, entry in looked.items() if entry and (entry.mode & 0o111 or name in wanted or name in PLUGINS)
        ]
        # A program that no network names and that is nobody's reference may do anything when it is run.
        asked = [program for program in there if program[0] in wanted or program[0] in PLUGINS]
        with futures.ThreadPoolExecutor(_AT_ONCE) as pool:  # most of the time of a run is spent here, waiting
            answers = {binary.name: binary for binary in pool.map(self._binary, asked)}
        facts.binaries = {name: answers.get(name) or Binary(name, path, entry, asked=False) for name, path, entry in there}
        others = [path for path in USUAL_BIN_DIRS if path not in facts.bin_dirs]
        found = {name: plugins.locate(name, others) for name in sorted(wanted - set(facts.binaries))}
        facts.elsewhere = {name: path for name, path in found.items() if path is not None}

    def _binary(self, program: tuple[str, str, files.Entry]) -> Binary:
        name, path, entry = program
        try:
            probe = self.probes.of(path, plugins.probe_reference if name in PLUGINS else plugins.probe)
            return Binary(name, path, entry, probe.versions, releases.recognise(name, probe.versions, probe.about, probe.tags))
        except SOFT as error:
            return Binary(name, path, entry, error=str(error))

    # loaders and networks

    def _views(self) -> None:
        faults = {name: self._fault(config) for name, config in self.configs.items()}
        self.facts.faults = broken = {name: reason for name, reason in faults.items() if reason is not None}
        for name, brought_by in _PROGRAMS.items():
            reader = self._loader(name)
            verdict = loader.view(reader, self.facts.folder.texts, broken=broken, folders=self.folders)
            self.facts.views[name] = View(reader, verdict, any(process.find(program) for program in brought_by))

    def _loader(self, name: str) -> Loader:
        facts = self.facts
        if name == facts.loader:
            return Loader(name, facts.runtime.libcni, facts.settings.max_conf_num, facts.settings.default_network)
        if name == "libcni":  # whoever calls it asks for a network: here for the one that pods get
            return Loader(name, None, 1, self.configs.get(facts.view.verdict.winner or "", {}).get("name") or "")
        return Loader(name)

    def _fault(self, config: Config) -> str | None:
        """Why a loader that asks the plugins would not take a network."""
        version = config.get("cniVersion") or "0.1.0"
        for name, _part, path in programs(config):
            binary = self.facts.binaries.get(name)
            if binary is None:
                return f"{path}.type: {name!r} is not in {', '.join(self.facts.bin_dirs)}"
            if binary.error or version not in binary.versions:
                return f"{path}.type: {name!r} does not speak CNI {version}"
        return None

    def _networks(self) -> None:
        verdict = self.facts.view.verdict
        usable = [name for name in self.configs if verdict.invalid.get(name) in (None, self.facts.faults.get(name))]
        used_first = [*verdict.winners, *(name for name in usable if name not in verdict.winners)]
        configs = {name: self.configs[name] for name in used_first}
        ours = self.facts.folder.ours
        self.facts.networks = [
            Network(config.get("name") or "", name, masked(config), name in verdict.winners, name in ours) for name, config in configs.items()
        ]

    # leases

    def _leases(self) -> None:
        facts = self.facts
        named = {network.name for network in facts.networks}
        sections = [(network, section) for network in reversed(facts.networks) for section in network.parts("host-local")]
        places = {network.name: (network.file, leases.data_dir(section.get("dataDir")), section) for network, section in sections}
        for name in self._try(leases.DATA_DIR, [], files.entries, leases.DATA_DIR):
            if name not in named:
                places[name] = ("", leases.DATA_DIR, {})
        # Leases are read before the sandboxes are listed: who is missing in the newer list is gone.
        found = {name: self._try(f"leases of {name}", [], leases.read_leases, place[1], name) for name, place in places.items()}
        alive = self._alive() if any(found.values()) else None
        kept = sorted(name for name, place in places.items() if place[0] or found[name])
        facts.leases = [self._of_network(name, *places[name], found[name], alive) for name in kept]
        attached = self._try("attachments", {}, leases.attached_networks)
        facts.attachments = {name: count for name, count in attached.items() if name not in named and name not in _INTERNAL}

    def _of_network(self, name: str, file: str, path: str, section: Config, found: t.Sequence[leases.Lease], alive: Listed | None) -> Leases:
        holders = self._try(f"attachments of {name}", {}, leases.sandboxes, name, path) if found else {}
        judged = self._try(f"sandboxes of {name}", [], _leases.judged, found, alive or _nobody, name, path)
        kind = self._try(f"file system of {path}", "", files.file_system, os.path.join(path, name))
        sets = tuple(ranges.usage(section, [lease.address for lease in found]))
        told = [_lease_fact(lease, reason, int(self.facts.now - lease.modified), holders.get(lease.container_id), alive) for lease, reason in judged]
        return Leases(name, file, path, kind, sets, tuple(told))

    def _alive(self) -> Listed | None:
        """Whether a sandbox is one of those that live; None when nobody knows them."""
        given = self.options["sandboxes"]
        if given is not None:
            return lambda container_id: container_id.startswith(tuple(given))  # tools cut ids off
        listed = self._try("sandboxes", None, _leases.living, self.sockets)
        return None if listed is None else listed.__contains__

    # the kernel

    def _kernel(self) -> None:
        facts = self.facts
        facts.links = self._try("links", None, links.read_links)
        facts.uplinks = self._try("default routes", frozenset(), routes.default_route_links)
        values = {key: self._try(f"sysctl {key}", False, sysctls.read, key) for key in SYSCTLS}
        facts.sysctls = {key: value for key, value in values.items() if not isinstance(value, bool)}
        texts = self._try("files of sysctl.d", {}, sysctls.configuration, _boot_files.SYSCTL_FOLDERS, _boot_files.SYSCTL_FILE)
        facts.undone = _boot_files.overrides(texts, {key: value for key, value in facts.sysctls.items() if value is not None})
        facts.bridge_nf = self._bridge_nf()
        iptables = self._try("version of iptables", None, firewall.program_version, "iptables")
        nft = self._try("version of nft", None, firewall.program_version, "nft")
        tables = {family: self._try(f"legacy tables of {family}", [], legacy_tables, family) for family in TOOLS}
        facts.firewall = Firewall(iptables, nft[0] if nft else None, tables, self._try("chains of the firewall", None, _chains, iptables, nft))

    def _bridge_nf(self) -> dict[str, dict[str, str]]:
        """Those of the bridges, and of one that udev will switch when it comes."""
        desired = self.document.desired("sysctl_bridge_nf", "node") or {}
        coming = dict.fromkeys(desired.get("bridges") or (), desired.get("bridge_nf_call"))
        bridges = [link.name for link in (self.facts.links or {}).values() if link.kind == "bridge"]
        there = {name: self._try(f"switches of {name}", None, sysctls.read_bridge_nf, name) for name in bridges}
        return {name: switches for name, switches in {**coming, **there}.items() if switches is not None}


def _chains(iptables: tuple[str, str] | None, nft: tuple[str, str] | None) -> tuple[firewall.Chain, ...]:
    chains = firewall.nft_chains() if nft is not None else []
    for family in TOOLS:
        if nft is None and iptables is not None and iptables[1] == "nf_tables":
            chains += firewall.saved_nft_chains(family)
        chains += firewall.legacy_chains(family)
    return tuple(chains)


def _cniconfig(status: cri.RuntimeStatus | None) -> dict[str, t.Any] | None:
    """What containerd says of its CNI settings and networks (go-cni ConfigResult)."""
    said = json.loads(status.info.get("cniconfig") or "null") if status is not None else None
    return said if isinstance(said, dict) else None


def _said_settings(said: t.Mapping[str, t.Any], settings: Settings, name: str, socket: str) -> Settings:
    """The settings that a running runtime has, which its configuration file may no longer say."""
    folders, conf_dir, number = said.get("PluginDirs"), said.get("PluginConfDir"), said.get("PluginMaxConfNum")
    if not isinstance(folders, list) or not all(is_path(folder) for folder in [*folders, conf_dir]):
        return settings
    most = number if isinstance(number, int) else settings.max_conf_num
    return Settings(tuple(map(os.path.normpath, folders)), os.path.normpath(str(conf_dir)), socket, name, most, settings.default_network)


def _loaded(said: t.Mapping[str, t.Any]) -> tuple[Config, ...]:
    configs = [network.get("Config") or {} for network in said.get("Networks") or []]
    sources = [json.loads(config.get("Source") or "{}") for config in configs if config.get("Name") not in _INTERNAL]
    return tuple(masked(source) for source in sources)


def _nobody(_container_id: str) -> bool:
    return False


def _lease_fact(lease: leases.Lease, reason: str | None, age: int, holder: leases.Holder | None, alive: Listed | None) -> LeaseFact:
    """``reason``: what speaks for the lease's sandbox being alive."""
    is_listed = alive is not None and lease.container_id != "" and alive(lease.container_id)
    cannot_be_seen = holder is not None and holder.netns != "" and holder.netns_alive is None
    orphaned: bool | None = None
    if reason is None and alive is not None and age >= _STARTING:  # younger ones may be just starting
        orphaned = True
    elif reason is not None and lease.container_id and (is_listed or not cannot_be_seen):
        orphaned = False
    return LeaseFact(lease.address, lease.container_id, lease.interface, max(0, age), holder.netns_alive if holder else None, orphaned)


def _normal(path: str) -> str:
    return "/" + os.path.normpath(path).lstrip("/")


def _release(said: str) -> str:
    """``1.6.20`` of ``v1.6.20~ds1``; "" of what begins with no number."""
    found = re.match(r"v?([0-9]+(?:\.[0-9]+){1,2})", said)
    return found[1] if found else ""

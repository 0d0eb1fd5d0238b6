# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Problems of the plugins, and of what networks ask of them."""

from __future__ import annotations

import typing as t

from .._cni import model, releases, versions
from .._cni.keys import PLUGINS
from .._cni.kinds import show
from .node import Binary, Facts, Network, plugins
from .problem import ERROR, INFO, WARNING, Found, Problem, at, severity_of, severity_of_plugin

#: Runtimes that need the binary for the loopback interface of every pod.
_NEED_LOOPBACK = ("containerd", "dockershim")
_AUTO = "kubenode.network.cni_config cni_version=auto finds a version that all of them support"


# 6, 7, 23, 24: plugins


def plugin_missing(facts: Facts) -> Found:
    """Those that are elsewhere are told there. Folders without any plugin are one problem, not one a plugin."""
    where = ", ".join(facts.bin_dirs)
    missing = {name: need for name, need in _needed(facts).items() if name not in facts.binaries and name not in facts.elsewhere}
    if not facts.binaries and len(missing) > 1:
        text = f"no plugin is in {where}, but {_needs(missing)}"
        yield Problem(_worst(missing), where, text, _install(*missing))
        return
    for name, (severity, needed_by) in missing.items():
        yield Problem(severity, name, f"{name} is not in {where}, but {needed_by} needs it", _install(name))


def plugin_elsewhere(facts: Facts) -> Found:
    needed = _needed(facts)
    folders = {name: path.rpartition("/")[0] for name, path in facts.elsewhere.items() if name in needed}
    for folder in dict.fromkeys(folders.values()):
        there = {name: needed[name] for name, found in folders.items() if found == folder}
        is_there, looked_for = ("is", "it is") if len(there) == 1 else ("are", "they are")
        text = f"{', '.join(there)} {is_there} in {folder}, but {looked_for} looked for in {', '.join(facts.bin_dirs)}, and {_needs(there)}"
        yield Problem(_worst(there), folder, text, f"{_install(*there)}, or name that folder in the runtime's settings")


def _needs(needed: t.Mapping[str, tuple[str, str]]) -> str:
    """``containerd, for every pod, needs loopback; network 'mynet' in 10-mynet.conflist needs bridge, host-local``"""
    by = {needed_by: [name for name, need in needed.items() if need[1] == needed_by] for _severity, needed_by in needed.values()}
    return "; ".join(f"{needed_by} needs {', '.join(names)}" for needed_by, names in by.items())


def _worst(needed: t.Mapping[str, tuple[str, str]]) -> str:
    return ERROR if ERROR in {severity for severity, _needed_by in needed.values()} else INFO


def plugin_broken(facts: Facts) -> Found:
    needed = _needed(facts)
    for name, binary in facts.binaries.items():
        if binary.error:
            severity, needed_by = needed.get(name, (INFO, "no network here"))
            yield Problem(severity, name, f"{binary.error}; {needed_by} needs it", _install(name))


def plugin_writable(facts: Facts) -> Found:
    looked = {**facts.bin_entries, **{binary.path: binary.entry for binary in facts.binaries.values()}}
    for path, entry in looked.items():
        if entry.owner != 0 or entry.group != 0 or entry.mode & 0o022:
            text = f"{path} belongs to {entry.owner}:{entry.group} with mode {entry.mode:04o} and runs as root"
            yield Problem(WARNING, path, text, "expected 0:0 and 0755: chown and chmod it")


def _install(*names: str) -> str:
    """What to do to have plugins; of several the reference plugins are what there is to say of."""
    known = [name for name in names if name in PLUGINS]
    if not known:
        return "install it, it is none of the reference plugins" if len(names) == 1 else "install them, they are none of the reference plugins"
    return f"install {'it' if len(names) == 1 else 'them'} with kubenode.network.cni_plugins"


def _needed(facts: Facts) -> dict[str, tuple[str, str]]:
    """Plugin -> how bad it is without, and who needs it. Networks that pods get come first."""
    needed = {}
    if facts.used and facts.loader in _NEED_LOOPBACK:
        needed["loopback"] = (ERROR, f"{facts.loader}, for every pod,")
    for network in facts.networks:
        for name in network.types:
            needed.setdefault(name, (severity_of_plugin(facts, network), f"network {show(network.name)} in {network.file}"))
    return needed


# 8, 9: versions and options


def version_missing(facts: Facts) -> Found:
    for network in facts.networks:
        if not network.config.get("cniVersion"):
            text = f"{at(facts, network.file)} has no cniVersion, which older runtimes cannot take pods down with"
            yield Problem(severity_of(network, WARNING), network.file, text, 'write one, such as "1.0.0"; kubenode.network.cni_config always does')


def version_malformed(facts: Facts) -> Found:
    for network in facts.networks:
        version = network.config.get("cniVersion")
        for problem in versions.check_version(version, "cniVersion") if version else ():
            yield Problem(severity_of(network, ERROR), network.file, f"{at(facts, network.file)}: {problem}", _AUTO)


def version_unsupported(facts: Facts) -> Found:
    for network in facts.networks:
        version = network.config.get("cniVersion") or "0.1.0"
        if version not in versions.SPEC_VERSIONS:
            continue
        for binary in _binaries(facts, network):
            if version not in binary.versions:
                text = f"{at(facts, network.file)} says CNI {version}, {binary.path} supports {', '.join(binary.versions) or 'nothing'}"
                yield Problem(severity_of_plugin(facts, network), network.file, text, _AUTO)
        runtime = facts.runtime
        if runtime.release and versions.older(versions.ceiling(runtime.name, runtime.release), str(version)):
            spoken = versions.ceiling(runtime.name, runtime.release)
            text = f"{at(facts, network.file)} says CNI {version}, {runtime.name} {runtime.release} speaks up to {spoken}"
            yield Problem(severity_of_plugin(facts, network), network.file, text, _AUTO)


def _binaries(facts: Facts, network: Network) -> list[Binary]:
    """Of a network's plugins those that answer."""
    return [facts.binaries[name] for name in network.types if name in facts.binaries and not facts.binaries[name].error]


def option_too_new(facts: Facts) -> Found:
    for network in facts.networks:
        for name, part, path in network.programs:
            binary = facts.binaries.get(name)
            for problem in releases.check_plugin(name, part, binary.release, path) if binary else ():
                text = f"{at(facts, network.file)}: {problem}"
                yield Problem(severity_of(network, WARNING), network.file, text, "as it is, the plugin ignores it")


def option_wrong(facts: Facts) -> Found:
    for network in facts.networks:
        version, single = network.config.get("cniVersion"), not network.file.endswith(".conflist")
        listed = [_without_head(plugin) for plugin in plugins(network.config)] if single else plugins(network.config)
        known = version if versions.well_formed(version) else None
        for problem in model.check_plugins(listed, single=single, cni_version=known) if listed else ():
            text = f"{at(facts, network.file)}: {problem}"
            yield Problem(severity_of(network, WARNING), network.file, text, "as it is, the plugin ignores or refuses it")


def _without_head(plugin: t.Any) -> t.Any:
    """A single configuration as the plugin that it is."""
    return {key: value for key, value in plugin.items() if key not in ("cniVersion", "name")} if isinstance(plugin, dict) else plugin


# 15, 16, 17: host ports


def portmap_without_capability(facts: Facts) -> Found:
    for network in facts.used:
        for plugin in network.parts("portmap"):
            capabilities = plugin.get("capabilities")
            if not isinstance(capabilities, dict) or capabilities.get("portMappings") is not True:
                text = f'{at(facts, network.file)}: portmap has no capabilities: {{"portMappings": true}}, so it does nothing and no host port works'
                yield Problem(WARNING, network.file, text, "kubenode.network.portmap writes it")


def portmap_on_crio(facts: Facts) -> Found:
    for network in facts.used if facts.loader == "crio" else ():
        if network.parts("portmap"):
            text = f"{at(facts, network.file)}: portmap does nothing with CRI-O, which makes host ports itself"
            yield Problem(INFO, network.file, text, "take it away with kubenode.network.portmap state=absent")


def hostport_impossible(facts: Facts) -> Found:
    for network in facts.used[:1] if facts.loader != "crio" else ():
        if network.parts("bridge", "ptp") and not network.parts("portmap"):  # others may make host ports themselves
            text = f"pods of {show(network.name)} in {network.file} have no host ports, since portmap is not in its list"
            yield Problem(INFO, network.file, text, "add it with kubenode.network.portmap")


def mark_chain_missing(facts: Facts) -> Found:
    for network in facts.used if facts.firewall.chains is not None and facts.firewall.iptables else ():
        for plugin in network.parts("portmap"):
            name = plugin.get("externalSetMarkChain")
            there = {chain.name for chain in facts.firewall.chains or () if chain.table == "nat" and chain.backend == _backend(facts)}
            if isinstance(name, str) and name and name not in there:
                text = f"{at(facts, network.file)}: externalSetMarkChain: {show(name)} is not a chain of the nat table, so pods with host ports fail"
                yield Problem(ERROR, network.file, text, "make the chain first, or leave external_set_mark_chain out of kubenode.network.portmap")


def _backend(facts: Facts) -> str:
    """Where the plugins' iptables works."""
    return "legacy" if facts.firewall.iptables and facts.firewall.iptables[1] == "legacy" else "nft"


def mark_bit_taken(facts: Facts) -> Found:
    for network in facts.used:
        for plugin in network.parts("portmap"):
            bit = plugin.get("markMasqBit")
            if bit in (14, 15):
                whose = "masquerading" if bit == 14 else "dropping"
                text = f"{at(facts, network.file)}: markMasqBit: {bit} is what Kubernetes uses for {whose}"
                yield Problem(WARNING, network.file, text, "leave mark_masq_bit out of kubenode.network.portmap, or choose 13")


def nft_backend_unsafe(facts: Facts) -> Found:
    binary = facts.binaries.get("portmap")
    for network in facts.used if binary else ():
        for plugin in network.parts("portmap"):
            chosen = plugin.get("backend") or ("nftables" if facts.firewall.iptables is None and facts.firewall.nft else "iptables")
            if binary and chosen == "nftables" and binary.release.may_be_before("1.9.0") and not binary.release.lacks("1.6.0"):
                severity = ERROR if binary.release.is_before("1.9.0") else WARNING
                said = f"{at(facts, network.file)}: host ports with nftables capture forwarded traffic before release 1.9.0, CVE-2025-67499"
                text = f"{said}; {binary.path} is {binary.release}"
                yield Problem(severity, network.file, text, "install 1.9.0 with kubenode.network.cni_plugins, or set backend=iptables")

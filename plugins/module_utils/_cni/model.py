# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Networks as people write them: checked, built, rendered and read.

A *config* is the JSON object of one file: a list (``.conflist``) with ``plugins``, or a single configuration (``.conf``,
``.json``), which is one plugin with ``cniVersion`` and ``name`` beside its keys.
"""

from __future__ import annotations

import json
import math
import re
import typing as t

from .._errors import Problem
from .ipam import bare_defaults, check_ipam
from .keys import CHAINED, INTERFACE, IPAM, PLUGINS, WITHOUT_PEER, Plugin
from .kinds import Problems, either, show
from .releases import Release, check_plugin
from .versions import older

# Specification, section 1: reserved since 1.0.0, for what passes between runtime and plugin.
RESERVED = {
    "runtimeConfig": "the runtime writes it for each pod (expected capabilities, which ask for it)",
    "prevResult": "the runtime writes it for each pod (expected not to be given)",
}
OVERWRITTEN = ("name", "cniVersion")

# libcni pkg/utils ValidateNetworkName.
_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.\-]*")
_BOM = "\ufeff"
# The flags of a list, with the release of libcni that began to read them.
_FLAGS = {"disableCheck": "0.7.0", "disableGC": "1.2.1", "loadOnlyInlinedPlugins": "1.3.0"}
# libcni pkg/version ParseVersion; the empty one counts as 0.1.0.
_NUMBERS = re.compile(r"(?:[0-9]+(?:\.[0-9]+){0,2})?")


class ConfigError(ValueError):
    """A loader cannot use the text of a file. ``filename`` and ``reason`` are kept apart for reports."""

    def __init__(self, filename: str, reason: str) -> None:
        self.filename = filename
        self.reason = reason
        super().__init__(f"{filename}: {reason}")


def check_name(name: object, path: str = "name") -> list[Problem]:
    """The name of a network. Loaders take any; every ADD of an illegal one fails."""
    if isinstance(name, str) and _NAME.fullmatch(name):
        return []
    return [Problem(path, f"{show(name)} is not a network name (expected letters, digits, _, . and -, the first a letter or digit)")]


def check_plugins(plugins: t.Any, path: str = "plugins", *, single: bool = False, cni_version: str | None = None) -> list[Problem]:
    """Everything wrong with the plugins of one network, plugin by plugin.

    ``single``: they go into a ``.conf``. Without ``cni_version`` nothing that depends on it is judged. Plugin types that
    are not in the table may have any keys and any ``ipam``.
    """
    if not isinstance(plugins, list):
        return [Problem(path, f"{show(plugins)} is not a list (expected a list of plugins)")]
    if not plugins:
        return [Problem(path, "[] is empty (expected at least one plugin)")]
    problems: list[Problem] = []
    if single and len(plugins) != 1:
        problems.append(Problem(path, f"{len(plugins)} plugins in a single configuration (expected exactly one, or a list)"))
    for index, plugin in enumerate(plugins):
        problems.extend(_check_plugin(plugin, f"{path}[{index}]", index == 0, cni_version))
    problems.extend(_check_chain(plugins, path))
    return problems


def _check_chain(plugins: t.Sequence[t.Any], path: str) -> Problems:
    """What the plugins are to each other. ``maker``: the first one that makes the pod's interface, and where it is."""
    maker: tuple[t.Mapping[str, t.Any], str] | None = None
    for index, plugin in enumerate(plugins):
        where = f"{path}[{index}]"
        known = _known(plugin)
        if known and known.role == INTERFACE and not known.stacks:
            if maker:
                text = f"{show(plugin['type'])} makes the pod's interface again, after {maker[0]['type']} (expected a chained plugin)"
                yield Problem(f"{where}.type", text)
            maker = maker or (plugin, where)
        elif maker and known:
            yield from _check_behind(*maker, plugin, where)


def _check_behind(maker: t.Mapping[str, t.Any], makers_path: str, plugin: t.Mapping[str, t.Any], path: str) -> Problems:
    """What a chained plugin wants of the one that made the interface."""
    if maker["type"] in WITHOUT_PEER and _shapes(plugin):
        text = f"'bandwidth' cannot shape the interface that {maker['type']} makes, it has no peer (expected bridge or ptp before it)"
        yield Problem(f"{path}.type", text)
    if plugin["type"] == "sbr":
        for where in bare_defaults(maker, makers_path):
            yield Problem(f"{where}.gw", "missing, sbr cannot move a default route without (expected the gateway's address)")


def _shapes(plugin: t.Mapping[str, t.Any]) -> bool:
    """Whether it is a bandwidth plugin that has, or may get, something to do."""
    capabilities = plugin.get("capabilities")
    asked = isinstance(capabilities, dict) and capabilities.get("bandwidth") is True
    return plugin["type"] == "bandwidth" and (asked or any(plugin.get(key) for key in ("ingressRate", "egressRate")))


def _known(plugin: t.Any) -> Plugin | None:
    name = plugin.get("type") if isinstance(plugin, dict) else None
    return PLUGINS.get(name) if isinstance(name, str) else None


def _check_plugin(plugin: t.Any, path: str, first: bool, cni_version: str | None) -> Problems:
    if not isinstance(plugin, dict):
        yield Problem(path, f'{show(plugin)} is not an object (expected e.g. {{"type": "bridge", ...}})')
        return
    yield from _check_type(plugin, f"{path}.type", first)
    yield from _check_reserved(plugin, path)
    yield from _check_json(plugin, path)
    known = _known(plugin)
    if known is None or known.role == IPAM:
        return
    if older(cni_version, known.spec_since):
        text = f"{plugin['type']!r} does not speak CNI {cni_version} (expected a cniVersion of {known.spec_since} or later)"
        yield Problem(f"{path}.type", text)
    own = {name: value for name, value in plugin.items() if not _is_reserved(name)}
    yield from known.keys.check(own, path)
    if "ipam" in own and known.role == INTERFACE and "ipam" in known.keys.keys:
        yield from check_ipam(own, f"{path}.ipam", cni_version)
    yield from _check_no_ipam(plugin, known, path, first, cni_version)


def _check_no_ipam(plugin: t.Mapping[str, t.Any], known: Plugin, path: str, first: bool, cni_version: str | None) -> Problems:
    if plugin.get("ipam", {}) != {} or "ipam" not in known.keys.keys:
        return
    example = '{"type": "host-local", ...}'
    if known.needs_ipam and (first or not known.stacks):
        yield Problem(f"{path}.ipam", f"missing, {plugin['type']} fails without (expected e.g. {example})")
    elif older(cni_version, "0.3.0"):
        text = f"missing, CNI {cni_version} has no result without an address (expected e.g. {example})"
        yield Problem(f"{path}.ipam", text)


def _check_type(plugin: t.Mapping[str, t.Any], path: str, first: bool) -> Problems:
    name = plugin.get("type")
    if "type" not in plugin:
        yield Problem(path, "missing (expected the name of a plugin's binary, such as bridge)")
    elif not isinstance(name, str) or not name or "/" in name or name in (".", ".."):
        yield Problem(path, f"{show(name)} is not a plugin type (expected the name of a plugin's binary, such as bridge)")
    elif name in PLUGINS and PLUGINS[name].role == IPAM:
        yield Problem(path, f"{name!r} is an IPAM plugin (expected it as the type of an ipam section)")
    elif first and name in PLUGINS and PLUGINS[name].role == CHAINED:
        makers = either(sorted(other for other, entry in PLUGINS.items() if entry.role == INTERFACE))
        yield Problem(path, f"{name!r} cannot be first, it must be called as chained plugin (expected {makers} before it)")


def _is_reserved(name: t.Any) -> bool:
    return name in RESERVED or name in OVERWRITTEN or (isinstance(name, str) and name.startswith("cni.dev/"))


def _check_reserved(plugin: t.Mapping[str, t.Any], path: str) -> Problems:
    for name, value in plugin.items():
        if name in OVERWRITTEN:
            text = f"{show(value)} would be overwritten by the network's own {name} (expected it there only)"
            yield Problem(f"{path}.{name}", text)
        elif _is_reserved(name):
            reason = RESERVED.get(name, "cni.dev/ keys pass between runtime and plugin (expected not to be given)")
            yield Problem(f"{path}.{name}", f"{show(value)} is reserved: {reason}")


def _check_json(value: t.Any, path: str) -> Problems:
    """Problems of what JSON cannot hold: a key that is no string, NaN, a date out of YAML."""
    if isinstance(value, dict):
        for name, item in value.items():
            if not isinstance(name, str):
                yield Problem(f"{path}.{name}", f"{name!r} is not a string (expected keys in quotes)")
            yield from _check_json(item, f"{path}.{name}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _check_json(item, f"{path}[{index}]")
    elif isinstance(value, float) and not math.isfinite(value):
        yield Problem(path, f"{value!r} cannot be written as JSON (expected a finite number)")
    elif value is not None and not isinstance(value, (str, int, float)):
        yield Problem(path, f"{value!r} cannot be written as JSON (expected e.g. a string in quotes)")


def check_releases(plugins: t.Sequence[t.Any], releases: t.Mapping[str, Release], path: str = "plugins") -> list[Problem]:
    """What the installed plugins, by type, do not know or do wrongly. Plugins that are right by themselves (``check_plugins``)
    are expected; what cannot be decided passes."""
    problems: list[Problem] = []
    for name, part, where in programs(plugins, path):
        release = releases.get(name, Release())
        problems.extend(check_plugin(name, part, release, where))
        if name == "portmap" and part.get("backend") == "nftables" and release.is_before("1.9.0") and not release.lacks("1.6.0"):
            text = f"'nftables' captures forwarded traffic with the installed portmap, {release}: CVE-2025-67499"
            problems.append(Problem(f"{where}.backend", f"{text} (expected release 1.9.0 or newer, or iptables)"))
    return problems


#: Plugin that uses a packet filter -> whether its entry does, the key that says which one, and the first release that can do
#: without iptables. Portmap's nftables is safe since 1.9.0 alone (CVE-2025-67499).
_FILTERING: t.Mapping[str, tuple[t.Callable[[t.Mapping[str, t.Any]], bool], str, str]] = {
    "portmap": (lambda entry: entry.get("capabilities", {}).get("portMappings") is True, "backend", "1.9.0"),
    "bridge": (lambda entry: entry.get("ipMasq") is True, "ipMasqBackend", "1.6.0"),
    "ptp": (lambda entry: entry.get("ipMasq") is True, "ipMasqBackend", "1.6.0"),
}


def check_filters(plugins: t.Sequence[t.Any], releases: t.Mapping[str, Release], there: t.Collection[str], path: str = "plugins") -> list[Problem]:
    """What plugins ask of packet filters that the node does not have. ``there``: those of ``iptables`` and ``nftables`` that it
    has. Plugins that are right by themselves are expected."""
    problems = []
    for name, part, where in programs(plugins, path):
        filters, key, since = _FILTERING.get(name, (lambda entry: False, "", ""))
        if not filters(part):
            continue
        release, asked = releases.get(name, Release()), part.get(key)
        if asked is not None and asked not in there:
            program = {"iptables": "iptables", "nftables": "nft"}[asked]
            problems.append(Problem(f"{where}.{key}", f"{asked!r} needs {program}, which is not installed on this node (expected {program}{_other(there)})"))
        elif asked is None and "iptables" not in there and ("nftables" not in there or release.is_before(since)):
            at, what = (key, "not set") if name == "portmap" else ("ipMasq", "true")
            newer = f", or release {since} or newer, which takes nftables" if "nftables" in there else f", or nft and release {since} or newer"
            text = f"{what}, and {name} runs iptables, which is not installed on this node; the installed one is {release} (expected iptables{newer})"
            problems.append(Problem(f"{where}.{at}", text))
    return problems


def _other(there: t.Collection[str]) -> str:
    return "".join(f", or {word}" for word in there)


def doubts(plugins: t.Sequence[t.Any], releases: t.Mapping[str, Release], path: str = "plugins") -> list[Problem]:
    """What may go wrong with the installed plugins, by type (``pitfalls`` 17 and those after the table)."""
    found: list[Problem] = []
    for name, part, where in programs(plugins, path):
        if name in _DOUBTS:
            found.extend(_DOUBTS[name](part, releases.get(name, Release()), where))
    return found


def _portmap_doubts(entry: t.Mapping[str, t.Any], release: Release, path: str) -> Problems:
    if entry.get("backend") == "nftables" and not release.lacks("1.6.0"):
        if entry.get("masqAll") is True and release.may_be_before("1.9.2"):
            yield Problem(f"{path}.masqAll", "true has no effect with backend: nftables up to release 1.9.1 (expected backend: iptables)")
        if release.may_be_before("1.9.0") and not release.is_before("1.9.0"):
            text = f"'nftables' captures forwarded traffic before release 1.9.0 (CVE-2025-67499); the installed portmap is {release}"
            yield Problem(f"{path}.backend", f"{text} (expected release 1.9.0 or newer)")
    capabilities = entry.get("capabilities")
    if release.is_before("0.9.0") and isinstance(capabilities, dict) and capabilities.get("portMappings") is True:
        text = f"UDP host ports go on to pods that are gone with the installed portmap, {release} (expected release 0.9.0 or newer)"
        yield Problem(f"{path}.capabilities.portMappings", text)


def _bridge_doubts(entry: t.Mapping[str, t.Any], release: Release, path: str) -> Problems:
    vlan = next((key for key in ("vlan", "vlanTrunk") if entry.get(key)), None)
    if vlan and "preserveDefaultVlan" not in entry and not release.lacks("1.3.0", words=("preserveDefaultVlan",)):
        text = f"missing beside {vlan}: {show(entry[vlan])}, pods keep VLAN 1 up to release 1.7.1 and lose it from 1.8.0 on (expected true or false)"
        yield Problem(f"{path}.preserveDefaultVlan", text)


_DOUBTS: t.Mapping[str, t.Callable[[t.Mapping[str, t.Any], Release, str], Problems]] = {"bridge": _bridge_doubts, "portmap": _portmap_doubts}


def programs(plugins: t.Sequence[t.Any], path: str) -> t.Iterator[tuple[str, t.Mapping[str, t.Any], str]]:
    """``(type, its part, path)`` of each plugin and, after it, its IPAM plugin."""
    for index, plugin in enumerate(plugins):
        inner = plugin.get("ipam") if isinstance(plugin, dict) else None
        for part, where in ((plugin, f"{path}[{index}]"), (inner, f"{path}[{index}].ipam")):
            if isinstance(part, dict) and isinstance(part.get("type"), str) and part["type"]:
                yield part["type"], part, where


def plugin_types(plugins: t.Sequence[t.Any]) -> list[tuple[str, str]]:
    """``(type, path)`` of every program a network runs: each plugin and, after it, its IPAM plugin."""
    return [(name, f"{path}.type") for name, _part, path in programs(plugins, "plugins")]


def build(name: str, cni_version: str, plugins: t.Sequence[t.Mapping[str, t.Any]], *, single: bool) -> dict[str, t.Any]:
    """The config of a network, keys in the order people write them. ``single`` takes exactly one plugin."""
    head = {"cniVersion": cni_version, "name": name}
    if not single:
        return {**head, "plugins": [dict(plugin) for plugin in plugins]}
    (plugin,) = plugins
    return {**head, **{key: value for key, value in plugin.items() if key not in head}}


def render(config: t.Mapping[str, t.Any]) -> str:
    """The text of a file: JSON as people write it, in the config's order. ``ValueError`` for NaN and infinity."""
    text = json.dumps(config, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell but UTF-8 cannot
        return json.dumps(config, indent=2, allow_nan=False) + "\n"
    return text


def parse(text: str, filename: str, libcni: str | None = None) -> dict[str, t.Any]:
    """The config in a file, or ``ConfigError`` with the reason why a loader refuses it.

    Judged is what libcni judges when it loads a file (conf.go ConfListFromBytes, ConfFromBytes), in the release
    ``libcni`` or, without one, in the strictest wherever releases differ; keys of plugins and legal names are not, since
    loaders take any. Of a key given twice the last counts, as in Go.
    """
    single = not filename.endswith(".conflist")
    if single and not filename.endswith((".conf", ".json")):
        raise ConfigError(filename, "is not read by any loader (expected a name that ends in .conf, .conflist or .json)")
    config = _decode(text, filename)
    reason = _single_fault(config) if single else _list_fault(config, libcni)
    if reason:
        raise ConfigError(filename, reason)
    return config


def _decode(text: str, filename: str) -> dict[str, t.Any]:
    if text.startswith(_BOM):
        raise ConfigError(filename, "is not valid JSON: it starts with a byte order mark (expected UTF-8 without one)")
    if not text.strip(" \t\r\n"):
        raise ConfigError(filename, "is not valid JSON: it is empty")
    try:
        config = json.loads(text, parse_constant=_no_constant, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise ConfigError(filename, f"is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise ConfigError(filename, f"{show(config)} is not a network configuration (expected a JSON object)")
    return config


def _no_constant(word: str) -> t.NoReturn:
    raise ValueError(f"{word} is not JSON")


def _finite(word: str) -> float:
    number = float(word)
    if math.isinf(number):
        raise ValueError(f"{word} is too large")
    return number


def _list_fault(config: t.Mapping[str, t.Any], libcni: str | None) -> str | None:
    """Why a list does not load, or ``None``."""
    if "name" not in config:
        return "has no name (expected a name beside plugins)"
    for key in ("name", "cniVersion"):
        if key in config and not isinstance(config[key], str):
            return f"{key}: {show(config[key])} is not a string"
    if not older(libcni, "1.2.0"):
        fault = _versions_fault(config)
        if fault:
            return fault
    return _flag_fault(config, libcni) or _plugins_fault(config, libcni)


def _flag_fault(config: t.Mapping[str, t.Any], libcni: str | None) -> str | None:
    """From libcni 1.2 on a flag may be a word, too; before, disableCheck was the only flag and a boolean."""
    for key, since in _FLAGS.items():
        value = config.get(key, False)
        words = key != "disableCheck" or (libcni is not None and not older(libcni, "1.2.0"))
        known = isinstance(value, bool) or (words and isinstance(value, str) and value.lower() in ("true", "false"))
        if not known and not older(libcni, since):
            return f"{key}: {show(value)} is not a boolean"
    return None


def _versions_fault(config: t.Mapping[str, t.Any]) -> str | None:
    """``cniVersions`` and, beside them, ``cniVersion`` are compared as numbers from libcni 1.2 on."""
    listed = config.get("cniVersions", [])
    if not isinstance(listed, list) or not all(isinstance(version, str) for version in listed):
        return f"cniVersions: {show(listed)} is not a list of strings"
    for version in [*listed, config.get("cniVersion", "")] if "cniVersions" in config else []:
        if not _NUMBERS.fullmatch(version):
            return f"cniVersions: {show(version)} is not a version"
    return None


def only_inlined(config: t.Mapping[str, t.Any]) -> bool:
    """Whether a list wants no plugins from the directory of its network's name (cni.md 1.4)."""
    return str(config.get("loadOnlyInlinedPlugins", "")).lower() == "true"


def _plugins_fault(config: t.Mapping[str, t.Any], libcni: str | None) -> str | None:
    if "plugins" not in config and libcni is not None and not older(libcni, "1.3.0"):
        return "has no plugins, and loadOnlyInlinedPlugins is true (expected a list)" if only_inlined(config) else None
    if "plugins" not in config:
        hint = ", it holds a single configuration (expected the extension .conf)" if "type" in config else " (expected a list)"
        return f"has no plugins{hint}"
    plugins = config["plugins"]
    if not isinstance(plugins, list):
        return f"plugins: {show(plugins)} is not a list"
    if not plugins:
        return "plugins: [] is empty (expected at least one plugin)"
    for index, plugin in enumerate(plugins):
        if not isinstance(plugin, dict):
            return f"plugins[{index}]: {show(plugin)} is not an object"
        fault = _plugin_fault(plugin)
        if fault:
            return f"plugins[{index}].{fault}"
    return None


def _single_fault(config: t.Mapping[str, t.Any]) -> str | None:
    if not _fields(config).get("type") and "plugins" in config:
        return "has no type, it holds a list (expected the extension .conflist)"
    return _plugin_fault(config)


def _plugin_fault(plugin: t.Mapping[str, t.Any]) -> str | None:
    """Why libcni's types.PluginConf cannot hold the plugin, or ``None``."""
    fields = _fields(plugin)
    for key in ("cniVersion", "name", "type"):
        value = fields.get(key.lower())
        if value is not None and not isinstance(value, str):
            return f"{key}: {show(value)} is not a string"
    if not fields.get("type"):
        return "type: missing (expected the name of a plugin)"
    capabilities = fields.get("capabilities")
    if capabilities is not None:
        if not isinstance(capabilities, dict):
            return f"capabilities: {show(capabilities)} is not an object"
        for name, value in capabilities.items():
            if value is not None and not isinstance(value, bool):
                return f"capabilities.{name}: {show(value)} is not a boolean"
    return _ipam_fault(fields.get("ipam")) or _dns_fault(fields.get("dns"))


def _ipam_fault(ipam: t.Any) -> str | None:
    if ipam is None:
        return None
    if not isinstance(ipam, dict):
        return f"ipam: {show(ipam)} is not an object"
    name = _fields(ipam).get("type")
    return None if name is None or isinstance(name, str) else f"ipam.type: {show(name)} is not a string"


def _dns_fault(dns: t.Any) -> str | None:
    if dns is None:
        return None
    if not isinstance(dns, dict):
        return f"dns: {show(dns)} is not an object"
    fields = _fields(dns)
    domain = fields.get("domain")
    if domain is not None and not isinstance(domain, str):
        return f"dns.domain: {show(domain)} is not a string"
    for key in ("nameservers", "search", "options"):
        words = fields.get(key)
        if words is not None and not (isinstance(words, list) and all(word is None or isinstance(word, str) for word in words)):
            return f"dns.{key}: {show(words)} is not a list of strings"
    return None


def _fields(config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The values by the names, in lower case, of the fields of a struct into which Go decodes them: letter case does not count, the
    last of several does."""
    return {name.lower(): value for name, value in config.items()}

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""One chained plugin's entry in a list that someone else may own: put in, merged into theirs, taken out, the rest
untouched; and a single configuration as a list, since no chained plugin can work in one (cni.md 1.3)."""

from __future__ import annotations

import copy
import typing as t

Entry = dict[str, t.Any]

# Option of the collection -> key of the plugin, in the order in which they are written.
PORTMAP_KEYS = {
    "backend": "backend",
    "snat": "snat",
    "masq_all": "masqAll",
    "mark_masq_bit": "markMasqBit",
    "external_set_mark_chain": "externalSetMarkChain",
    "conditions_v4": "conditionsV4",
    "conditions_v6": "conditionsV6",
}
BANDWIDTH_KEYS = {
    "ingress_rate": "ingressRate",
    "ingress_burst": "ingressBurst",
    "egress_rate": "egressRate",
    "egress_burst": "egressBurst",
}
#: Chained plugins that want all others before them when they end a list: each adds to what those made.
_LAST = ("cilium-cni", "istio-cni", "linkerd-cni")
#: What a list has beside its plugins; a plugin's own are overwritten by these (libcni conf.go ConfListFromConf).
_HEAD = ("cniVersion", "name")


def portmap_entry(options: t.Mapping[str, t.Any]) -> Entry:
    """The portmap plugin with the options that are given; ``None`` leaves a key to the plugin's default."""
    return _entry("portmap", "portMappings", PORTMAP_KEYS, options)


def bandwidth_entry(options: t.Mapping[str, t.Any]) -> Entry:
    """The bandwidth plugin with the rates and bursts that are given, in bits; without any, the runtime passes those of
    each pod."""
    return _entry("bandwidth", "bandwidth", BANDWIDTH_KEYS, options)


def _entry(plugin: str, capability: str, keys: t.Mapping[str, str], options: t.Mapping[str, t.Any]) -> Entry:
    """Without the capability the plugin gets nothing of a pod, silently."""
    given = {key: options[option] for option, key in keys.items() if options.get(option) is not None}
    return {"type": plugin, "capabilities": {capability: True}, **given}


def find_entry(plugins: t.Sequence[t.Any], plugin_type: str) -> int | None:
    """The index of the first plugin of a type."""
    return next((index for index, plugin in enumerate(plugins) if _is(plugin, plugin_type)), None)


def count(plugins: t.Sequence[t.Any], plugin_type: str) -> int:
    return sum(_is(plugin, plugin_type) for plugin in plugins)


def place(plugins: t.Sequence[t.Any]) -> int:
    """The index that a new entry gets: behind the interface plugin and everything else, but before chained plugins that
    must stay last."""
    index = len(plugins)
    while index > 1 and any(_is(plugins[index - 1], last) for last in _LAST):
        index -= 1
    return index


def merged(theirs: Entry | None, ours: Entry, before: Entry | None = None, found: Entry | None = None) -> Entry:
    """``theirs``, the entry that is there, with our keys set, in its order. A key that we set ``before`` and no longer do
    gets the value that was ``found``, or goes; the rest is somebody else's and stays."""
    if theirs is None:
        return copy.deepcopy(ours)
    made = {}
    for key, value in theirs.items():
        if key in ours or key not in (before or {}):
            made[key] = ours.get(key, value)
        elif key in (found or {}):
            made[key] = (found or {})[key]
    made.update(ours)
    if isinstance(theirs.get("capabilities"), dict):
        made["capabilities"] = {**theirs["capabilities"], **ours["capabilities"]}
    return copy.deepcopy(made)


def with_entry(config: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A copy of a list's config that has ``entry``: in the place of the first of its type, else where a new one goes.
    ``ValueError`` when the config is no list."""
    result = _list_copy(config)
    plugins = result["plugins"]
    index = find_entry(plugins, entry["type"])
    if index is None:
        plugins.insert(place(plugins), copy.deepcopy(dict(entry)))
    else:
        plugins[index] = copy.deepcopy(dict(entry))
    return result


def without_entry(config: t.Mapping[str, t.Any], plugin_type: str) -> dict[str, t.Any]:
    """A copy of a list's config without any plugin of a type. ``ValueError`` when none would be left: loaders refuse an
    empty list."""
    result = _list_copy(config)
    result["plugins"] = [plugin for plugin in result["plugins"] if not _is(plugin, plugin_type)]
    if not result["plugins"]:
        raise ValueError(f"plugins: {plugin_type!r} is the only one (expected another that stays)")
    return result


def _is(plugin: t.Any, plugin_type: str) -> bool:
    return isinstance(plugin, dict) and plugin.get("type") == plugin_type


def _list_copy(config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    result = copy.deepcopy(dict(config))
    if not isinstance(result.get("plugins"), list):
        raise ValueError("plugins: missing (expected a list of plugins; a single configuration cannot hold another plugin)")
    return result


def to_list(single: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A single configuration as the list that loaders make of it (libcni conf.go ConfListFromConf): version and name go
    one level up, everything else is the plugin's. A version that is missing stays so: it means 0.1.0 in both forms.

    ``ValueError`` when there is no name, without which a list does not load, or one in other letters, which is a name in
    a single configuration but not in a list.
    """
    for key in single:
        if key not in _HEAD and key.lower() in {name.lower() for name in _HEAD}:
            raise ValueError(f"has the key {key!r}, which a list would not know (expected it spelled {' or '.join(_HEAD)})")
    if not single.get("name"):
        raise ValueError("has no name (expected a name, without which a list does not load)")
    plugin = {key: value for key, value in single.items() if key not in _HEAD}
    return {**{key: value for key, value in single.items() if key in _HEAD}, "plugins": [plugin]}


def to_single(config: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The way back. ``ValueError`` when the list has what a single configuration cannot hold."""
    more = [key for key in config if key not in (*_HEAD, "plugins")]
    if more or len(config["plugins"]) != 1:
        what = ", ".join(more) or f"{len(config['plugins'])} plugins"
        raise ValueError(f"has {what}, which a single configuration cannot hold")
    head = {key: value for key, value in config.items() if key in _HEAD}
    return {**head, **{key: value for key, value in config["plugins"][0].items() if key not in _HEAD}}

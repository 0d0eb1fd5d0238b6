# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""One plugin's entry in a list that someone else may own: put in, replaced, taken out, the rest untouched."""

from __future__ import annotations

import copy
import typing as t

# Option of the collection -> key of the portmap plugin, in the order in which they are written.
_PORTMAP_KEYS = {
    "backend": "backend",
    "snat": "snat",
    "masq_all": "masqAll",
    "mark_masq_bit": "markMasqBit",
    "external_set_mark_chain": "externalSetMarkChain",
    "conditions_v4": "conditionsV4",
    "conditions_v6": "conditionsV6",
}


def portmap_entry(options: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The portmap plugin with the options that are given; ``None`` leaves a key to the plugin's default.

    Without the capability the plugin does nothing at all, silently.
    """
    entry: dict[str, t.Any] = {"type": "portmap", "capabilities": {"portMappings": True}}
    for option, key in _PORTMAP_KEYS.items():
        if options.get(option) is not None:
            entry[key] = options[option]
    return entry


def find_entry(plugins: t.Sequence[t.Any], plugin_type: str) -> int | None:
    """The index of the first plugin of a type."""
    for index, plugin in enumerate(plugins):
        if isinstance(plugin, dict) and plugin.get("type") == plugin_type:
            return index
    return None


def with_entry(config: t.Mapping[str, t.Any], entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """A copy of a list's config that has ``entry`` once: in the place of the first of its type, else after the last
    plugin. ``ValueError`` when the config is no list, since a chained plugin cannot work in a ``.conf``."""
    result = _list_copy(config)
    plugins = result["plugins"]
    index = find_entry(plugins, entry["type"])
    if index is None:
        plugins.append(copy.deepcopy(dict(entry)))
        return result
    kept = [plugin for plugin in plugins[index + 1 :] if not _is(plugin, entry["type"])]
    result["plugins"] = [*plugins[:index], copy.deepcopy(dict(entry)), *kept]
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

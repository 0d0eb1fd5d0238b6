# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What a change of a network does to the pods that it has.

A runtime stops a pod with the configuration of today, not with the one that the pod was started with (cni.md 6), and the
bridge plugin refuses the next pod when its gateway differs from the bridge's address (cni.md 3.1).
"""

from __future__ import annotations

import typing as t

from .kinds import show

Config = t.Mapping[str, t.Any]

#: Chained plugins that leave nothing on the node for a pod: whether DEL reaches them does not matter.
_STATELESS = ("loopback", "sbr", "tuning", "vrf")
#: Keys of the plugin that makes the interface, on which the pods' link to the node depends.
_LINK_KEYS = ("bridge", "master", "device", "vlanId", "mode")
#: Keys by which a plugin finds on DEL what it made on ADD.
_STATE_KEYS = ("backend", "ipMasqBackend")
_DEFAULTS = {"bridge": "cni0", "dataDir": "/var/lib/cni/networks"}


def stranding(before: Config, after: Config | None) -> list[str]:
    """Why pods of the network ``before`` could neither be stopped cleanly nor go on with the network ``after``; empty when
    the change is safe. None for ``after``: no network of that name is used any more."""
    if after is None:
        return ["the network would no longer be there"]
    old, new = _plugins(before), _plugins(after)
    reasons = _interface(old[0], new[0]) if old and new else []
    return reasons + _gone(old[1:], new[1:])


def _plugins(config: Config) -> list[t.Any]:
    return [plugin for plugin in config.get("plugins", [config]) if isinstance(plugin, dict)]


def _interface(old: Config, new: Config) -> list[str]:
    if old.get("type") != new.get("type"):
        return [f"{show(old.get('type'))} would become {show(new.get('type'))}"]
    reasons = [_becomes(key, old, new) for key in _LINK_KEYS if _value(key, old) != _value(key, new)]
    if old.get("ipMasq") and not new.get("ipMasq"):
        reasons.append("ipMasq would be off, and the rules of these pods stay behind")
    reasons += _other_backend(old, new)
    return reasons + _addresses(_section(old), _section(new))


def _becomes(key: str, old: Config, new: Config) -> str:
    return f"{key} {show(_value(key, old))} would become {show(_value(key, new))}"


def _value(key: str, of: Config) -> t.Any:
    if key == "dataDir" and not of.get(key):
        return _DEFAULTS[key]  # host-local takes an empty one for none
    return of.get(key, _DEFAULTS.get(key))


def _section(plugin: Config) -> Config:
    section = plugin.get("ipam")
    return section if isinstance(section, dict) else {}


def _addresses(old: Config, new: Config) -> list[str]:
    if old.get("type") != new.get("type"):
        return [f"ipam {show(old.get('type'))} would become {show(new.get('type'))}"]
    if old.get("type") != "host-local":
        return [] if old == new else ["ipam would change"]
    reasons = [_becomes("dataDir", old, new)] if _value("dataDir", old) != _value("dataDir", new) else []
    there = _subnets(new)
    for subnet, gateway in _subnets(old).items():
        if subnet not in there:
            reasons.append(f"subnet {subnet} would go")
        elif there[subnet] != gateway:
            reasons.append(f"the gateway of {subnet} would become {there[subnet] or 'its first address'}")
    return reasons


def _subnets(section: Config) -> dict[str, str | None]:
    """Subnet -> gateway, of all ranges; None where it is left to the plugin."""
    sets = section.get("ranges")
    inner = [entry for entries in sets if isinstance(entries, list) for entry in entries] if isinstance(sets, list) else []
    ranges = [entry for entry in [section, *inner] if isinstance(entry, dict) and entry.get("subnet")]
    return {str(entry["subnet"]): entry.get("gateway") for entry in ranges}


def _gone(old: t.Sequence[Config], new: t.Sequence[Config]) -> list[str]:
    kept = {plugin.get("type"): plugin for plugin in new}
    reasons = []
    for plugin in old:
        name = plugin.get("type")
        if name not in kept:
            reasons += [] if name in _STATELESS else [f"{show(name)} would go, and what it made for these pods stays behind"]
        else:
            reasons += _other_backend(plugin, kept[name])
    return reasons


def _other_backend(old: Config, new: Config) -> list[str]:
    return [_becomes(key, old, new) for key in _STATE_KEYS if old.get(key) != new.get(key)]

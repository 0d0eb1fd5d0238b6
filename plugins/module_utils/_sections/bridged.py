# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from .._errors import Problem

Bridge = t.Mapping[str, t.Any]
KUBENETS_ORDER = ("type", "bridge", "mtu", "isGateway", "ipMasq", "hairpinMode", "promiscMode")


def inherit(chain: t.Sequence[t.Any], bridge: Bridge) -> tuple[list[t.Any], list[Problem]]:
    """A plugin list whose entries for ``bridge`` have what section ``kubenet_bridge`` says, where they are silent.

    ``bridge`` holds ``name``, ``pod_cidrs``, ``gateways``, ``hairpin_mode`` and ``mtu`` (None while it is not known
    yet). An entry that says something else is a problem: a list and a bridge that disagree make pods fail later.
    """
    plugins, problems = [], []
    for index, entry in enumerate(chain):
        if isinstance(entry, dict) and entry.get("type") == "bridge" and entry.get("bridge") == bridge["name"]:
            entry, wrong = _fill(entry, bridge)
            problems += [problem.under(f"plugins[{index}]") for problem in wrong]
        plugins.append(entry)
    return plugins, problems


def _fill(entry: t.Mapping[str, t.Any], bridge: Bridge) -> tuple[dict[str, t.Any], list[Problem]]:
    filled, problems = dict(entry), []
    for key, (value, source) in _values(entry, bridge).items():
        if key not in entry:
            filled[key] = value
        elif entry[key] != value:
            text = f"{entry[key]!r} disagrees with {source}, from which it would be {value!r} (expected to leave it out, or the same)"
            problems.append(Problem(key, text))
    ipam = entry.get("ipam", {"type": "host-local"})
    if isinstance(ipam, dict) and ipam.get("type") == "host-local":
        problems += _range_problems(ipam, bridge)
        filled["ipam"] = _fill_ipam(ipam, bridge, routes=not entry.get("isDefaultGateway"))
    return _in_order(filled), problems


def _in_order(entry: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """The keys as kubenet had them, ``ipam`` last: the same entry whether its MTU was known at once or found out later."""
    first = [key for key in KUBENETS_ORDER if key in entry]
    rest = [key for key in entry if key not in (*KUBENETS_ORDER, "ipam")]
    last = ["ipam"] if "ipam" in entry else []
    return {key: entry[key] for key in [*first, *rest, *last]}


def _values(entry: t.Mapping[str, t.Any], bridge: Bridge) -> dict[str, tuple[t.Any, str]]:
    """Key of the bridge plugin -> value, and the option that it follows from. ``ipMasq`` and ``promiscMode`` stay off:
    the node's own masquerade and bridge do both (kubenet.md section 15)."""
    values: dict[str, tuple[t.Any, str]] = {
        "isGateway": (True, "kubenet_bridge.pod_cidrs"),
        "ipMasq": (False, "kubenet_bridge (section masquerade is there for it)"),
        "hairpinMode": (bridge["hairpin_mode"] == "hairpin-veth", "kubenet_bridge.hairpin_mode"),
        "promiscMode": (False, "kubenet_bridge.hairpin_mode"),
    }
    if bridge["mtu"] is not None:
        values["mtu"] = (bridge["mtu"], "kubenet_bridge.mtu")
    return values


def _fill_ipam(ipam: t.Mapping[str, t.Any], bridge: Bridge, *, routes: bool) -> dict[str, t.Any]:
    filled = dict(ipam)
    if "ranges" not in ipam and "subnet" not in ipam:
        filled["ranges"] = [[{"subnet": subnet}] for subnet in bridge["pod_cidrs"]]
    if routes and "routes" not in ipam:
        filled["routes"] = [{"dst": "::/0" if ":" in subnet else "0.0.0.0/0"} for subnet in sorted(bridge["pod_cidrs"], key=_version)]
    return filled


def _version(subnet: str) -> int:
    return 6 if ":" in subnet else 4


def _range_problems(ipam: t.Mapping[str, t.Any], bridge: Bridge) -> list[Problem]:
    problems = []
    for path, item in _ranges(ipam):
        subnet, gateway = item.get("subnet"), item.get("gateway")
        if subnet is not None and subnet not in bridge["pod_cidrs"]:
            text = f"{subnet!r} disagrees with kubenet_bridge.pod_cidrs (expected one of {', '.join(bridge['pod_cidrs'])})"
            problems.append(Problem(f"{path}subnet", text))
        elif gateway is not None and gateway not in bridge["gateways"]:
            text = f"{gateway!r} disagrees with kubenet_bridge.pod_cidrs, whose gateways are {', '.join(bridge['gateways'])}"
            problems.append(Problem(f"{path}gateway", text))
    return [problem.under("ipam") for problem in problems]


def _ranges(ipam: t.Mapping[str, t.Any]) -> list[tuple[str, t.Mapping[str, t.Any]]]:
    found = [("", ipam)]
    for outer, items in enumerate(ipam["ranges"] if isinstance(ipam.get("ranges"), list) else []):
        for inner, item in enumerate(items if isinstance(items, list) else []):
            if isinstance(item, dict):
                found.append((f"ranges[{outer}][{inner}].", item))
    return found

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from ._addressing import cidr
from ._errors import InputError, Problem
from ._execution import Opened
from ._sections import bridged, kubenet_bridge, late, masquerade, networks, sysctl_bridge_nf
from ._sections.base import Options

#: The sections of a node with their options, in the order in which they are applied; the networks come behind them, and LAST behind those.
SECTIONS: dict[str, dict[str, t.Any]] = {
    "cni_plugins": late.CNI_PLUGINS,
    sysctl_bridge_nf.NAME: sysctl_bridge_nf.OPTIONS,
    kubenet_bridge.NAME: kubenet_bridge.OPTIONS,
    masquerade.NAME: masquerade.OPTIONS,
    "routes": late.ROUTES,
}
LAST = "boot_service"

#: The network that kubenet made, as far as the bridge does not say it already (kubenet.md section 4).
KUBENET = "kubenet"


def argument_spec() -> dict[str, t.Any]:
    spec = {name: {"type": "dict", "options": options} for name, options in (*SECTIONS.items(), (LAST, late.BOOT_SERVICE))}
    listed = {"type": "list", "elements": "dict", "options": networks.OPTIONS}
    return {**spec, networks.NAME: listed, "force": networks.OPTIONS["force"]}


def open_sections(params: Options) -> list[Opened]:
    """The sections that the parameters name, each with its options and what it takes over from section
    ``kubenet_bridge``."""
    options = {name: dict(params[name]) for name in SECTIONS if params[name] is not None}
    _inherit_families(options)
    if "kubenet_bridge" in options:
        options["kubenet_bridge"]["force"] = options["kubenet_bridge"]["force"] or params["force"]
    opened: list[Opened] = [(_section(name), asked, name) for name, asked in options.items()]
    wanted = params[networks.NAME]
    _refuse_twins(wanted or [])
    listed = [(network, f"networks[{index}]") for index, network in enumerate(wanted or [])]
    if wanted is None and "kubenet_bridge" in options:
        listed = [(_kubenet(options["kubenet_bridge"]), "kubenet_bridge")]
    opened += [_network({**network, "force": network["force"] or params["force"]}, path, options) for network, path in listed]
    last = params[LAST]
    return opened if last is None else [*opened, (_section(LAST), last, LAST)]


def _section(name: str) -> t.Any:
    """Those of ``late`` are imported by the runs that ask for them."""
    if name == "cni_plugins":
        from ._sections import cni_plugins

        return cni_plugins
    if name == "routes":
        from ._sections import routes

        return routes
    if name == "boot_service":
        from ._sections import boot_service

        return boot_service
    return next(section for section in (sysctl_bridge_nf, kubenet_bridge, masquerade) if name == section.NAME)


def _refuse_twins(wanted: t.Sequence[Options]) -> None:
    problems, names, files = [], set(), set()
    for index, network in enumerate(wanted):
        where = (network["conf_dir"], networks.filename(network))
        if network["name"] in names:
            problems.append(Problem(f"networks[{index}].name", f"{network['name']!r} is given twice (expected one network of that name)"))
        elif where in files and network["state"] == "present":
            problems.append(Problem(f"networks[{index}].filename", f"{where[1]!r} is given twice (expected a file for each network)"))
        names.add(network["name"])
        files.add(where)
    if problems:
        raise InputError(problems)


def _inherit_families(options: dict[str, dict[str, t.Any]]) -> None:
    bridge = options.get("kubenet_bridge")
    if bridge is None or not bridge["pod_cidrs"]:
        return
    if "masquerade" in options and options["masquerade"]["pod_cidrs"] is None:
        options["masquerade"]["pod_cidrs"] = bridge["pod_cidrs"]
    if "sysctl_bridge_nf" in options and options["sysctl_bridge_nf"]["forwarding"] is None:
        versions = {network.version for network in cidr.check_pod_cidrs(bridge["pod_cidrs"])[0]}
        options["sysctl_bridge_nf"]["forwarding"] = [f"ipv{version}" for version in sorted(versions)]


def _kubenet(bridge: Options) -> dict[str, t.Any]:
    plugins = [{"type": "bridge", "bridge": bridge["name"]}, {"type": "portmap", "capabilities": {"portMappings": True}}]
    defaults = {name: option.get("default") for name, option in networks.OPTIONS.items()}
    return {**defaults, "name": KUBENET, "plugins": plugins, "state": bridge["state"], "follows": "kubenet_bridge"}


def _network(network: dict[str, t.Any], path: str, options: t.Mapping[str, t.Any]) -> Opened:
    bridge = options.get("kubenet_bridge")
    if bridge is None or bridge["state"] == "absent" or kubenet_bridge.check(bridge) or network["state"] == "absent" or not network["plugins"]:
        return networks, network, path
    pods = cidr.check_pod_cidrs(bridge["pod_cidrs"])[0]
    known = {
        "name": bridge["name"],
        "pod_cidrs": [str(pod) for pod in pods],
        "gateways": [cidr.gateway(pod) for pod in pods],
        "hairpin_mode": bridge["hairpin_mode"],
        "mtu": None if bridge["mtu"] == "auto" else int(bridge["mtu"]),
    }
    plugins, problems = bridged.inherit(network["plugins"], known)
    if problems:
        raise InputError([problem.under(path) for problem in problems])
    return networks, {**network, "plugins": plugins}, path

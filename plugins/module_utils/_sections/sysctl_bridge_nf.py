# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import re
import typing as t

from .. import _boot_files
from .._cni import providers
from .._cni.kinds import show
from .._converge import Part, Want
from .._errors import Problem
from .._host import files, routes, sysctls
from .._resource import Resource
from .._resources import file, sysctl, udev
from . import directory
from .base import STATE, Options, Run, removal

NAME = "sysctl_bridge_nf"
CALLS = {table: f"bridge_nf_call_{table}" for table in sysctls.NF_TABLES}
OPTIONS: dict[str, t.Any] = {
    "bridge_nf": {"type": "str", "choices": ["auto", "enabled", "unmanaged"], "default": "auto"},
    "provider": {"type": "str", "choices": list(providers.PROVIDERS)},
    "bridges": {"type": "list", "elements": "str"},
    **{option: {"type": "bool", "default": True} for option in CALLS.values()},
    "forwarding": {"type": "list", "elements": "str", "choices": ["ipv4", "ipv6"]},
    "state": STATE,
}
INSTANCE = "node"
#: Late in the order of sysctl.d, behind what distributions ship; the module must be loaded before the keys exist.
SYSCTL_FILE = "/etc/sysctl.d/99-kubenode-network.conf"
MODULES_FILE = "/etc/modules-load.d/kubenode-network.conf"
UDEV_FILE = "/etc/udev/rules.d/99-kubenode-network.rules"
MODULE = "br_netfilter"
FORWARDING = {"ipv4": "net/ipv4/ip_forward", "ipv6": "net/ipv6/conf/all/forwarding"}
DEFAULT_FORWARDING = ["ipv4"]
#: What a rule for udev can have between quotes without a meaning of its own there.
_BRIDGE_NAME = re.compile(r"[A-Za-z0-9_.-]{1,15}")
#: What others plan decides, so it comes behind them.
FINISHES_LAST = True

#: Whether the bridge-nf keys are managed, and why, in a sentence.
Decision = tuple[bool, str]
UNKNOWN = providers.Attachment("", None)


def check(options: Options) -> list[Problem]:
    bridges = options["bridges"]
    if options["state"] == "absent" or bridges is None:
        return []
    if options["bridge_nf"] == "unmanaged":
        return [Problem("bridges", f"{show(bridges)} has no use with bridge_nf=unmanaged (expected one of the two)")]
    if not bridges:
        return [Problem("bridges", "is empty (expected names of bridges such as cbr0, or to leave it out)")]
    return [problem for index, name in enumerate(bridges) for problem in _check_bridge(f"bridges[{index}]", name, bridges[:index])]


def _check_bridge(path: str, name: str, before: t.Sequence[str]) -> list[Problem]:
    if not _BRIDGE_NAME.fullmatch(name) or name in (".", ".."):
        return [Problem(path, f"{name!r} is not a bridge's name (expected 1 to 15 letters, digits, _, . or -)")]
    return [Problem(path, f"{name!r} is given twice (expected once)")] if name in before else []


def resolved(desired: t.Mapping[str, t.Any]) -> Options:
    """The options that give the same part with nothing left to be decided."""
    calls = {option: desired["bridge_nf_call"].get(table, "1") == "1" for table, option in CALLS.items()}
    kept = {name: desired[name] for name in ("bridge_nf", "bridges", "forwarding")}
    return {**kept, **calls, "provider": None, "state": "present"}


def parts(options: Options, run: Run) -> list[Part]:
    if options["state"] == "absent":
        _refuse_read_only({}, run)
        _foretell({}, {}, run)
        return [removal(NAME, INSTANCE, revive)]
    part = Part(NAME, INSTANCE, {}, [], revive)
    decision = _decide_at_once(options, run)
    if decision is None and "networks" in run.sections:
        run.planned.undecided = (part, options, run.prefix)
    else:
        _fill(part, options, decision or _decide_by_networks(options, run), run)
    return [part]


def finish(run: Run) -> None:
    """Decides by the networks that pods get when the run is done."""
    if run.planned.undecided is not None:
        part, options, prefix = run.planned.undecided
        _fill(part, options, _decide_by_networks(options, run), run)
        run.problems = [problem.under(prefix) for problem in run.problems]


# Whether the node's pods are on a Linux bridge


def _decide_at_once(options: Options, run: Run) -> Decision | None:
    if options["bridge_nf"] != "auto":
        return options["bridge_nf"] == "enabled", f"bridge_nf is {options['bridge_nf']}"
    if options["bridges"]:
        return True, f"bridges names {', '.join(options['bridges'])}"
    made = _made_bridges(run)
    return (True, f"this run makes the bridge {made[0]} for the node's pods") if made else None


def _made_bridges(run: Run) -> list[str]:
    return [bridge["name"] for bridge in run.sections.get("kubenet_bridge", []) if bridge["state"] == "present"]


def _decide_by_networks(options: Options, run: Run) -> Decision:
    """By the networks that pods get, else by the provider, else as the kubelet did without a network plugin: as for a bridge."""
    found = [(show(network.get("name")), providers.attachment(network)) for network in _networks(run)]
    name, attachment = next(((name, one) for wanted in (True, None, False) for name, one in found if one.bridged is wanted), ("", UNKNOWN))
    provider = options["provider"]
    needed = providers.PROVIDERS.get(provider)
    if attachment.bridged is not None:
        if needed is not None and needed is not attachment.bridged:
            text = f"provider {provider} puts pods {_where(needed)}, but network {name} on this node puts them {_where(attachment.bridged)}"
            run.warnings.append(f"{NAME}: {text}, which counts; bridge_nf=enabled or bridge_nf=unmanaged decides otherwise")
        return attachment.bridged, f"network {name} puts pods {_where(attachment.bridged)}, by the plugin {show(attachment.plugin)}"
    if needed is not None:
        return needed, f"provider {provider} puts pods {_where(needed)}"
    if not found:
        return True, "there is no network on this node yet and no provider tells, so it is taken for one with a Linux bridge"
    plugin = f"the plugin {show(attachment.plugin)}" if attachment.plugin else "no plugin"
    return True, f"network {name} attaches pods by {plugin}, of which nothing is known, so it is taken for one with a Linux bridge"


def _where(bridged: bool) -> str:
    return "on a Linux bridge" if bridged else "on no Linux bridge"


def _networks(run: Run) -> list[dict[str, t.Any]]:
    """Those that pods get from the folder that the runtime reads, or from the folders that the run was told instead."""
    folder, planned = run.runtime.conf_dir, run.planned.in_use
    if not planned:
        return directory.Folder(folder, run).in_use()
    return planned.get(folder, [network for networks in planned.values() for network in networks])


# The part


def _fill(part: Part, options: Options, decision: Decision, run: Run) -> None:
    managed, reason = decision
    families = DEFAULT_FORWARDING if options["forwarding"] is None else sorted(set(options["forwarding"]))
    calls = {table: str(int(options[option])) for table, option in CALLS.items()} if managed else {}
    values = _values(calls, options["bridges"], families, run)
    bridges = _present_bridges(options["bridges"] or [], run)
    _refuse_read_only(values, run, dict.fromkeys(bridges, calls))
    part.desired = {
        "bridge_nf": "enabled" if managed else "unmanaged",
        "bridges": options["bridges"],
        "bridge_nf_call": calls,
        "forwarding": families,
        "module": MODULE if managed else None,
        "values": {dotted(key): value for key, value in values.items()},
    }
    part.wants = _wants(values, calls, options["bridges"], bridges, run)
    _foretell(values, dict.fromkeys(bridges, calls), run)
    run.results[NAME] = {**part.desired, "reason": reason, "overridden": _overridden(values, run), "module_blocked": _blocked(run) if managed else []}


def _foretell(values: t.Mapping[str, str], bridges: t.Mapping[str, dict[str, str]], run: Run) -> None:
    """Says to the sections behind this one how the switches will be, those that are given back among them."""
    run.planned.sysctls.update({**_found("sysctl", run), **values})
    run.planned.bridge_nf.update({**_found("bridge_nf", run), **bridges})
    _warn_of_rules(run)


def _warn_of_rules(run: Run) -> None:
    """Rules against duplicates drop all that goes to services where the firewall does not see the bridge. What this run does not make
    follows with its own next run."""
    made = [bridge["name"] for bridge in run.sections.get("kubenet_bridge", [])]
    for name in run.document.instances("kubenet_bridge"):
        promiscuous = (run.document.desired("kubenet_bridge", name) or {}).get("hairpin_mode") == "promiscuous-bridge"
        ruled = any(oid.startswith("dedup") for oid in run.document.objects("kubenet_bridge", name))
        if promiscuous and name not in made and ruled is not any(run.firewall_sees(name, version) for version in (4, 6)):
            text = f"{name} is a promiscuous-bridge {'with' if ruled else 'without'} rules against duplicates, which does not fit any more"
            run.warnings.append(f"{NAME}: {text}; run kubenet_bridge again")


def _found(kind: str, run: Run) -> dict[str, t.Any]:
    """What was found of the parameters or bridges that are ours."""
    records = {oid.partition(":"): record for oid, record in run.document.objects(NAME, INSTANCE).items()}
    return {name: record["found"] for (prefix, _colon, name), record in records.items() if prefix == kind and record["found"] is not None}


def _values(calls: t.Mapping[str, str], bridges: t.Sequence[str] | None, families: t.Sequence[str], run: Run) -> dict[str, str]:
    """Key -> value. Those for all bridges are off where single bridges have switches of their own."""
    values = {f"net/bridge/bridge-nf-call-{table}": "0" if bridges else value for table, value in calls.items()}
    if "ipv6" in families:
        values.update(_accept_ra(run))
    values.update({FORWARDING[family]: "1" for family in families})
    for family in families:
        if sysctls.read(FORWARDING[family]) is None:
            run.refuse("forwarding", f"{family} is not there on this node: its kernel has no {dotted(FORWARDING[family])}")
    return values


def _wants(values: t.Mapping[str, str], calls: t.Mapping[str, str], named: t.Sequence[str] | None, bridges: t.Sequence[str], run: Run) -> list[Want]:
    """The module before its keys, accept_ra before forwarding, and the files for the next boot behind what is set now. The keys
    for all bridges go to 0 behind those of single bridges, so that no packet misses the firewall in between."""
    ruled = run.document.record(f"file:{UDEV_FILE}") is not None
    wants = [Want(sysctl.BrNetfilter(), {"loaded": True})] if calls else []
    made = _made_bridges(run)
    wants += [Want(sysctl.BridgeNf(bridge, ruled=ruled, made=bridge in made), dict(calls), last=True) for bridge in bridges]
    wants += [Want(sysctl.Sysctl(key), value, last=bool(named) and key.startswith("net/bridge/")) for key, value in values.items()]
    for path, text in _files(values, calls, named).items():
        kind = udev.Rules if path == UDEV_FILE else file.File
        resource = kind(path, files.Bytes(f"# Written by kubenode.network.{NAME}\n{text}".encode()))
        wants += file.folder_wants(os.path.dirname(path), run.document)
        wants.append(Want(resource, resource.wanted()))
    return wants


def _files(values: t.Mapping[str, str], calls: t.Mapping[str, str], bridges: t.Sequence[str] | None) -> dict[str, str]:
    """Path -> text of the files for the next boot."""
    rules = _udev_rules(calls, bridges or []) if calls and sysctls.has_udev() else ""
    texts = {MODULES_FILE: f"{MODULE}\n" if calls else "", SYSCTL_FILE: _persisted(values), UDEV_FILE: rules}
    return {path: text for path, text in texts.items() if text}


def _persisted(values: t.Mapping[str, str]) -> str:
    return "".join(f"{dotted(key)} = {value}\n" for key, value in values.items())


def _udev_rules(calls: t.Mapping[str, str], bridges: t.Sequence[str]) -> str:
    """For a module that is loaded after the files of sysctl.d were applied (sysctl.d(5)), and for bridges that come later."""
    program = sysctls.boot_program()
    rules = [f'ACTION=="add", SUBSYSTEM=="module", KERNEL=="{MODULE}", RUN+="{" ".join(program)}"\n'] if program else []
    switches = "".join(f', ATTR{{bridge/nf_call_{table}}}="{value}"' for table, value in calls.items())
    return "".join(rules + [f'ACTION=="add", SUBSYSTEM=="net", KERNEL=="{bridge}"{switches}\n' for bridge in bridges])


def _present_bridges(names: t.Sequence[str], run: Run) -> list[str]:
    """Those that are there, that this run makes, or that were there and are away now. Others that come later are left to udev."""
    known = [*_made_bridges(run), *(oid.partition(":")[2] for oid in run.document.objects(NAME, INSTANCE) if oid.startswith("bridge_nf:"))]
    present = []
    for index, name in enumerate(names):
        if sysctls.read_bridge_nf(name) is not None or (name in known and not sysctls.link_exists(name)):
            present.append(name)
        elif sysctls.link_exists(name):
            run.refuse(f"bridges[{index}]", f"{name!r} is there, but is no Linux bridge (expected a bridge, or a name that is free)")
        elif not sysctls.has_udev():
            run.warnings.append(f"{NAME}: the bridge {name} is not there, and without udev nothing sets it when it comes; another run then does")
    return present


def _accept_ra(run: Run) -> dict[str, str]:
    """``accept_ra=2`` for each link with a default route from router advertisements.

    With 1, the kernel drops that route the moment forwarding is on. 0 means that somebody else minds the
    advertisements. A link that has its 2 from us keeps it, or a route that happens to be away would lose it for good; so
    does one that is away itself, as at boot.
    """
    learned = {f"net/ipv6/conf/{link}/accept_ra" for link in routes.router_advertised_links()}
    ours = {oid.partition(":")[2] for oid in run.document.objects(NAME, INSTANCE) if oid.endswith("/accept_ra")}
    values = {key: sysctls.read(key) for key in sorted(learned | ours)}
    return {key: "2" for key, value in values.items() if value in ("1", "2") or (value is None and key in ours)}


# What stands in the way


def _refuse_read_only(values: t.Mapping[str, str], run: Run, bridges: t.Mapping[str, t.Mapping[str, str]] | None = None) -> None:
    """Before anything is changed: a container mostly sees the kernel's parameters without being allowed to set them."""
    due = {key: value for key, value in {**_found("sysctl", run), **values}.items() if sysctls.read(key) not in (value, None)}
    due.update({key: value for key, value in values.items() if sysctls.read(key) is None})
    stuck = [f"{dotted(key)} = {value}" for key, value in due.items() if not sysctls.writable(key)]
    begins: dict[str, t.Mapping[str, str]] = dict.fromkeys(_made_bridges(run), dict.fromkeys(sysctls.NF_TABLES, "0"))
    switched = [bridge for bridge, calls in (bridges or {}).items() if (sysctls.read_bridge_nf(bridge) or begins.get(bridge, calls)) != calls]
    stuck += [f"nf_call_* of {bridge} in /sys" for bridge in switched if not sysctls.bridge_nf_writable(bridge)]
    if stuck:
        where = "the kernel's parameters (/proc/sys) are read-only here, as they are in containers"
        how = "expected to run on the host, or in a container that may set them, e.g. with podman's --security-opt unmask=ALL or docker's --privileged"
        run.refuse("", f"{where}, and {', '.join(stuck)} would have to be set ({how}; or to set them from outside first)")


def _overridden(values: t.Mapping[str, str], run: Run) -> list[dict[str, t.Any]]:
    """Lines of files of others that undo a value at the next boot, or with the next ``sysctl --system``."""
    texts = {**sysctls.configuration(_boot_files.SYSCTL_FOLDERS, _boot_files.SYSCTL_FILE), SYSCTL_FILE: _persisted(values)}
    found = _boot_files.overrides(texts, values)
    for line in found:
        text = f"{line.path} line {line.line} sets {dotted(line.key)} to {line.value} behind {SYSCTL_FILE}, by {' and '.join(line.by)}"
        run.warnings.append(f"{NAME}: {text}; take that line away, or it undoes {values[line.key]} at the next boot or before")
    return [{**line._asdict(), "key": dotted(line.key)} for line in found]


def _blocked(run: Run) -> list[dict[str, t.Any]]:
    """Lines of modprobe.d that keep the module from being loaded at boot, unless it is built into the kernel."""
    if not sysctls.is_loadable(MODULE):
        return []
    blocks = _boot_files.blocks(sysctls.configuration(_boot_files.MODPROBE_FOLDERS), MODULE)
    for block in blocks:
        run.warnings.append(f"{NAME}: {block.path} line {block.line} ({block.text}) keeps {MODULE} from being loaded at the next boot")
    return [block._asdict() for block in blocks]


def dotted(key: str) -> str:
    """The spelling of sysctl.d(5): dots, but slashes for a key in which a link's name holds a dot."""
    return key if "." in key else key.replace("/", ".")


def revive(object_id: str) -> Resource:
    if object_id.startswith(("sysctl:", "module:", "bridge_nf:")):
        return sysctl.revive(object_id)
    return udev.Rules(UDEV_FILE) if object_id == f"file:{UDEV_FILE}" else file.revive(object_id)

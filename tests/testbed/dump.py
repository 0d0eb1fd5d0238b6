# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a node as data. main(), carried out inside the node, prints JSON; diff_dumps() compares two of them.

Left out is what changes by itself: counters, handles, timers, carrier, duplicate address detection, and the local routes
that the kernel derives from addresses.
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
import shutil
import stat
import subprocess
import time
from collections.abc import Iterator
from glob import glob
from typing import Any

_FILES = ("/etc/cni", "/opt/cni", "/etc/sysctl.d", "/etc/modules-load.d", "/etc/kubenode-network", "/var/lib/kubenode-network")
# Where init.py keeps what the node wrote elsewhere in these folders.
_WRITTEN = "/run/testbed/upper"
# Digests of large files that were read before: [device, inode, size, mtime, ctime, digest]. A dump reads 50 MB of plugins otherwise.
_KNOWN = "/run/testbed/digests.json"
_LARGE = 1 << 18
_SAVES = ("iptables-nft-save", "ip6tables-nft-save", "ebtables-nft-save")
_LEGACY = {"iptables-legacy-save": "/proc/net/ip_tables_names", "ip6tables-legacy-save": "/proc/net/ip6_tables_names"}
_COMMANDS = {
    "routes4": ["ip", "-j", "route", "show", "table", "all"],
    "routes6": ["ip", "-j", "-6", "route", "show", "table", "all"], "rules4": ["ip", "-j", "rule"], "rules6": ["ip", "-j", "-6", "rule"],
    "nft": ["nft", "-j", "list", "ruleset"],
}
_BRIDGE = ("stp_state", "vlan_filtering", "mcast_snooping", "nf_call_iptables", "nf_call_ip6tables", "nf_call_arptables")
_PORT = ("hairpin", "isolated", "guard", "learning", "flood")
_DERIVED = ("local", "broadcast", "anycast", "multicast")


def dump() -> dict[str, Any]:
    links = _settled_links()
    text = _outputs()
    saves = {name: _tables(text[name]) for name in (*_LEGACY, *_SAVES)}
    return {
        "links": {link["ifname"]: _link(link) for link in links},
        "addresses": {link["ifname"]: sorted(_address(entry) for entry in link["addr_info"]) for link in links},
        **{name: sorted(map(_compact, json.loads(text[name] or "[]"))) for name in ("rules4", "rules6")},
        **{name: _routes(json.loads(text[name] or "[]")) for name in ("routes4", "routes6")},
        **saves, "nft": _ruleset(json.loads(text["nft"])), "sysctls": _sysctls(), "files": dict(_all_files()),
    }


def _settled_links(seconds: float = 1) -> list[dict[str, Any]]:
    """The links, once the kernel has given each the link-local address that is due a moment after its carrier."""
    end = time.monotonic() + seconds
    while True:
        links = json.loads(subprocess.run(["ip", "-j", "-d", "addr"], stdout=subprocess.PIPE, check=True).stdout)
        if time.monotonic() > end or not any(map(_awaits_address, links)):
            return links
        time.sleep(0.02)


def _awaits_address(link: dict[str, Any]) -> bool:
    if link.get("inet6_addr_gen_mode") != "eui64" or not {"UP", "LOWER_UP"} <= set(link["flags"]) or "LOOPBACK" in link["flags"]:
        return False
    off = _read(f"/proc/sys/net/ipv6/conf/{link['ifname']}/disable_ipv6") == "1"
    return not off and not any(entry["family"] == "inet6" and entry["scope"] == "link" for entry in link["addr_info"])


def _outputs() -> dict[str, str]:
    """All commands at the same time: each spends its time waiting for the kernel."""
    commands = {**_COMMANDS, **{name: [name] for name in _SAVES if shutil.which(name)}}
    for name, names_file in _LEGACY.items():
        # Only where tables exist: a table is made by asking for it.
        if os.path.exists(names_file) and _read(names_file) and shutil.which(name):
            commands[name] = [name]
    started = {name: subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for name, argv in commands.items()}
    texts = dict.fromkeys((*_LEGACY, *_SAVES), "")
    for name, process in started.items():
        out, err = process.communicate()
        if process.returncode:
            raise SystemExit(f"{' '.join(commands[name])}: exit {process.returncode}: {err}")
        texts[name] = out
    return texts


def _read(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read().strip()


def _compact(data: Any) -> str:
    return json.dumps(data, sort_keys=True)


def _link(link: dict[str, Any]) -> dict[str, Any]:
    info = link.get("linkinfo", {})
    state = {key: link.get(key) for key in ("mtu", "master", "address", "qdisc", "ifalias", "group")}
    state["kind"] = info.get("info_kind", link["link_type"])
    state["flags"] = sorted(set(link["flags"]) - {"LOWER_UP", "NO-CARRIER", "M-DOWN"})
    if state["kind"] == "bridge":
        state["bridge"] = {key: info["info_data"].get(key) for key in _BRIDGE}
    if info.get("info_slave_kind") == "bridge":
        state["port"] = {key: info["info_slave_data"].get(key) for key in _PORT}
    return state


def _address(entry: dict[str, Any]) -> str:
    lifetime = "forever" if entry.get("valid_life_time") == 0xFFFFFFFF else "limited"
    label = entry.get("label", "")
    return f"{entry['local']}/{entry['prefixlen']} {entry['scope']} {lifetime} {label}".rstrip()


def _routes(routes: list[dict[str, Any]]) -> list[str]:
    kept = []
    for route in routes:
        if route.get("table") == "local" and route.get("protocol") == "kernel" and route.get("type") in _DERIVED:
            continue
        stable = {key: value for key, value in route.items() if key not in ("flags", "expires")}
        kept.append(_compact(stable))
    return sorted(kept)


def _tables(saved: str) -> dict[str, list[str]]:
    """iptables-save text -> table -> its chains and rules, without counters."""
    tables: dict[str, list[str]] = {}
    for line in saved.splitlines():
        if line.startswith("*"):
            current = tables.setdefault(line[1:], [])
        elif line and line != "COMMIT" and not line.startswith("#"):
            current.append(re.sub(r" \[\d+:\d+\]$", "", line))
    return tables


def _ruleset(listed: dict[str, Any]) -> dict[str, list[str]]:
    """nft's JSON -> "family table" -> its objects in order."""
    tables: dict[str, list[str]] = {}
    for item in listed["nftables"]:
        kind, body = next(iter(item.items()))
        if kind != "metainfo":
            name = f"{body['family']} {body['name'] if kind == 'table' else body['table']}"
            tables.setdefault(name, []).append(_compact({kind: _steady(body)}))
    return tables


def _steady(data: Any) -> Any:
    if isinstance(data, list):
        return [_steady(item) for item in data]
    if not isinstance(data, dict):
        return data
    kept = {key: _steady(value) for key, value in data.items() if key not in ("handle", "expires", "used")}
    if isinstance(kept.get("counter"), dict):
        kept["counter"] = {key: value for key, value in kept["counter"].items() if key not in ("packets", "bytes")}
    if isinstance(kept.get("elem"), list):  # a set has no order
        kept["elem"].sort(key=_compact)
    return kept


def _sysctls() -> dict[str, str]:
    net = "/proc/sys/net"
    paths = [f"{net}/ipv4/ip_forward", *glob(f"{net}/ipv4/conf/*/*"), *glob(f"{net}/bridge/*")]
    paths += [path for key in ("forwarding", "accept_ra") for path in glob(f"{net}/ipv6/conf/*/{key}")]
    return {path[len("/proc/sys/"):]: _read(path) for path in paths if os.stat(path).st_mode & stat.S_IRUSR}


def _all_files() -> Iterator[tuple[str, str]]:
    known = Known()
    for folder in _FILES:
        yield from _files(folder, folder, known)
    yield from _files(_WRITTEN, "", known)
    known.keep()


class Known:
    """The digests of large files, read again whenever the kernel says that one has changed (ctime, which nobody can set)."""

    def __init__(self) -> None:
        self._before: dict[str, str] = json.loads(_read(_KNOWN)) if os.path.exists(_KNOWN) else {}
        self._now: dict[str, str] = {}

    def digest(self, path: str, status: os.stat_result) -> str:
        if status.st_size < _LARGE:
            return _digest(path)
        key = " ".join(map(str, (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)))
        digest = self._before.get(key) or _digest(path)
        # The clock of ctime has steps of some milliseconds: what changed just now may change once more in the same one.
        if time.time() - status.st_ctime > 0.1:
            self._now[key] = digest
        return digest

    def keep(self) -> None:
        os.makedirs(os.path.dirname(_KNOWN), exist_ok=True)
        with open(_KNOWN, "w", encoding="ascii") as file:
            json.dump(self._now, file)


def _digest(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def _files(folder: str, shown: str, known: Known) -> Iterator[tuple[str, str]]:
    for parent, folders, files in os.walk(folder):
        for name in folders + files:
            path = os.path.join(parent, name)
            label = shown + path[len(folder):]
            # The mount points themselves are listed by what is mounted there; /var/lib/cni is the plugins' own state.
            if not (shown == "" and name in folders):
                yield label, _file(path, known)


def _file(path: str, known: Known) -> str:
    status = os.lstat(path)
    head = f"{stat.filemode(status.st_mode)} {status.st_uid}:{status.st_gid}"
    if stat.S_ISLNK(status.st_mode):
        return f"{head} -> {os.readlink(path)}"
    if stat.S_ISREG(status.st_mode):
        return f"{head} sha256:{known.digest(path, status)}"
    return head


def diff_dumps(before: Any, after: Any, path: str = "") -> str:
    """What differs, as lines `- path: value` and `+ path: value`; empty when nothing does."""
    if before == after:
        return ""
    if isinstance(before, dict) and isinstance(after, dict):
        keys = sorted(before.keys() | after.keys())
        parts = (diff_dumps(before.get(key), after.get(key), f"{path}.{key}" if path else key) for key in keys)
        return "\n".join(part for part in parts if part)
    old, new = ([] if side is None else side if isinstance(side, list) else [_compact(side)] for side in (before, after))
    changes = (line for line in difflib.ndiff(old, new) if line[0] in "+-")
    return "\n".join(f"{line[0]} {path}: {line[2:]}" for line in changes)


def main() -> None:
    print(json.dumps(dump()))


if __name__ == "__main__":
    main()

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import typing as t

from .._errors import NodeError
from . import files
from .process import changing, find, output, run

ROOT = "/proc/sys"
LINKS = "/sys/class/net"
#: What may pass the firewall on its way across a bridge.
NF_TABLES = ("iptables", "ip6tables", "arptables")

# Keys are paths below /proc/sys, "net/ipv4/ip_forward": names of links may hold dots ("eth0.100").


def read(key: str) -> str | None:
    """The value with its white space made single, or None when the kernel does not have the key."""
    try:
        with open(os.path.join(ROOT, key), encoding="ascii") as file:
            return " ".join(file.read().split())
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise NodeError(f"sysctl {key} cannot be read: {error.strerror}") from error


def write(key: str, value: str) -> None:
    try:
        _set(os.path.join(ROOT, key), value)
    except OSError as error:
        raise NodeError(f"sysctl {key} cannot be set to {value}: {error.strerror}") from error


def _set(path: str, value: str) -> None:
    """In one call, at the start of the file, as kernel.sysctl_writes_strict wants it. While others change links, the kernel has that
    call repeated (net/ipv4/devinet.c devinet_sysctl_forward), so faults are injected by path into this kind of call."""
    changing()
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(descriptor, value.encode("ascii"), 0)
    finally:
        os.close(descriptor)


def writable(key: str) -> bool:
    """Whether the key can be set here: in most containers /proc/sys is read-only. Of one that is not there yet, its file system
    tells; access(2) would not, since the kernel lets nobody write to the folders (fs/proc/proc_sysctl.c proc_sys_permission)."""
    path = os.path.join(ROOT, key)
    return os.access(path, os.W_OK) if os.path.exists(path) else not os.statvfs(ROOT).f_flag & os.ST_RDONLY


def children(folder: str) -> list[str]:
    """Names below a key's folder, e.g. the links below ``net/ipv4/conf``."""
    try:
        return sorted(os.listdir(os.path.join(ROOT, folder)))
    except FileNotFoundError:
        return []


def br_netfilter_loaded() -> bool:
    """Built in counts: lsmod would not show it (pitfalls 18)."""
    return os.path.isdir(os.path.join(ROOT, "net/bridge"))


def is_loadable(module: str) -> bool:
    """Whether the kernel has the module as one that is, or has to be, loaded, instead of built in."""
    names = [line.split()[0] for line in (files.read_text("/proc/modules") or "").splitlines()]
    return module in names or not br_netfilter_loaded()


def load_module(name: str) -> None:
    if find("modprobe") is None:
        raise NodeError(f"the kernel module {name} is not loaded and modprobe is not installed (Debian: package kmod)")
    output(["modprobe", name])


def link_exists(name: str) -> bool:
    return os.path.isdir(os.path.join(LINKS, name))


def read_bridge_nf(bridge: str) -> dict[str, str] | None:
    """The bridge's own switches, ``{"iptables": "0", …}``; None where there is no such bridge."""
    values = {table: files.read_text(_bridge_nf_path(bridge, table)) for table in NF_TABLES}
    return None if None in values.values() else {table: (value or "").strip() for table, value in values.items()}


def write_bridge_nf(bridge: str, table: str, value: str) -> None:
    try:
        _set(_bridge_nf_path(bridge, table), value)
    except OSError as error:
        raise NodeError(f"nf_call_{table} of the bridge {bridge} cannot be set to {value}: {error.strerror}") from error


def bridge_nf_writable(bridge: str) -> bool:
    """Of a bridge that is not there yet, too: many containers have a /sys that is read-only."""
    path = _bridge_nf_path(bridge, NF_TABLES[0])
    return os.access(path, os.W_OK) if os.path.exists(path) else not os.statvfs(LINKS).f_flag & os.ST_RDONLY


def _bridge_nf_path(bridge: str, table: str) -> str:
    return os.path.join(LINKS, bridge, "bridge", f"nf_call_{table}")


def configuration(folders: t.Sequence[str], *more: str) -> dict[str, str]:
    """Path -> text of the files in these folders and of ``more``. What is there but cannot be read, such as a link to /dev/null, is
    empty to those who read it at boot."""
    paths = [os.path.join(folder, name) for folder in folders for name in files.entries(folder)]
    return {path: text for path in [*paths, *more] if (text := _text(path)) is not None}


def _text(path: str) -> str | None:
    try:
        return files.read_text(path)
    except NodeError:
        return ""


def has_udev() -> bool:
    """Whether udev minds the devices of this node: in a container it mostly does not."""
    return os.path.exists("/run/udev/control")


def reload_udev() -> None:
    """Lets a running udevd read its rules anew; one that is not running reads them when it starts."""
    if find("udevadm") is not None:
        run(["udevadm", "control", "--reload"])


def boot_program() -> list[str] | None:
    """What sets the keys below net/bridge anew from the files of sysctl.d; None where there is no such program."""
    for folder in ("/usr/lib/systemd", "/lib/systemd"):
        if os.path.exists(os.path.join(folder, "systemd-sysctl")):
            return [os.path.join(folder, "systemd-sysctl"), "--prefix=/net/bridge"]
    program = find("sysctl")
    return [program, "-q", "--system", "--pattern", "^net.bridge"] if program else None

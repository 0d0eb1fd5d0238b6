# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PID 1 of a throw-away namespace, run as a script: private mounts, quiet sysctls, then wait until told to end.

It ends when its standard input does, so the namespace cannot outlive the process that made it, however that one died.
The line "keep" lets it stay until SIGTERM, the line "cut" is a power cut.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import signal
import socket
import sys

BIND, MOVE, RECURSIVE = 0x1000, 0x2000, 0x4000
DETACH = 2
CLONE_NEWNET = 0x40000000
STORE = "/run/testbed"
RUN = ("/run/netns", "/run/cni", "/run/lock")
# What lies under these is the host's to read and the node's alone to write.
SHADOWED = ("/etc", "/opt", "/var/lib", "/usr/lib/cni", "/usr/local")
# These start empty on a node, whatever the host has there.
EMPTY = ("/etc/cni", "/opt/cni", "/var/lib/cni", "/etc/sysctl.d", "/etc/modules-load.d", "/etc/kubenode-network",
         "/var/lib/kubenode-network", "/etc/containerd", "/etc/crio")
# A new network namespace may inherit the host's values: a test that claims to turn one on must be able to fail.
QUIET = {
    "net/ipv4/ip_forward": "0", "net/ipv6/conf/all/forwarding": "0", "net/ipv6/conf/all/disable_ipv6": "0",
    "net/ipv6/conf/default/disable_ipv6": "0", "net/bridge/bridge-nf-call-iptables": "0",
    "net/bridge/bridge-nf-call-ip6tables": "0", "net/bridge/bridge-nf-call-arptables": "0",
}

_libc = ctypes.CDLL(None, use_errno=True)


def _mount(source: str, target: str, kind: str | None = None, flags: int = 0, data: str | None = None) -> None:
    text = [None if value is None else os.fsencode(value) for value in (source, target, kind, data)]
    if _libc.mount(text[0], text[1], text[2], ctypes.c_ulong(flags), text[3]):
        number = ctypes.get_errno()
        raise OSError(number, f"mount {kind or 'bind'} {data or source}: {os.strerror(number)}", target)


def _mounts_below(path: str) -> list[str]:
    """Outermost mount points inside of path; an overlay of path alone would hide them."""
    with open("/proc/self/mountinfo", encoding="utf-8") as table:
        points = sorted(line.split()[4].encode().decode("unicode_escape") for line in table)
    found: list[str] = []
    for point in points:
        if point.startswith(path + "/") and not (found and point.startswith(found[-1] + "/")):
            found.append(point)
    return found


def _shadow(path: str) -> None:
    inner = _mounts_below(path)
    below, upper, work = (f"{STORE}/{part}{path}" for part in ("below", "upper", "work"))
    for folder in (below, upper, work):
        os.makedirs(folder)
    status = os.stat(path)
    os.chmod(upper, status.st_mode & 0o7777)
    _mount(path, below, flags=BIND | RECURSIVE)
    _mount("overlay", path, "overlay", data=f"lowerdir={below},upperdir={upper},workdir={work}")
    for point in inner:
        with contextlib.suppress(FileNotFoundError):  # a container's, which has ended meanwhile
            _mount(f"{STORE}/below{point}", point, flags=BIND | RECURSIVE)
    _libc.umount2(os.fsencode(below), DETACH)


def _fresh_sys() -> None:
    """sysfs shows the links of the namespace that mounted it; the cgroup trees stay the host's."""
    keep = f"{STORE}/cgroup"
    os.makedirs(keep, exist_ok=True)
    _mount("/sys/fs/cgroup", keep, flags=BIND | RECURSIVE)
    _mount("sysfs", "/sys", "sysfs")
    _mount(keep, "/sys/fs/cgroup", flags=MOVE)


def _prepare(role: str) -> None:
    _mount("tmpfs", "/run", "tmpfs", data="mode=755")
    for folder in (STORE, *RUN):
        os.makedirs(folder)
    _fresh_sys()
    if role == "node":
        os.mkdir(f"{STORE}/ansible")  # what plays and modules put below ~
        for path in filter(os.path.isdir, SHADOWED):
            _shadow(path)
        for path in EMPTY:
            os.makedirs(path, exist_ok=True)
            _mount("tmpfs", path, "tmpfs", data="mode=755")
    _quieten()


def _quieten() -> None:
    for key, value in QUIET.items():
        if os.path.exists(f"/proc/sys/{key}"):
            with open(f"/proc/sys/{key}", "w", encoding="ascii") as file:
                file.write(value)


def _cut() -> None:
    """Every process ends at once, and all that the kernel knew of the network is gone; files stay, but for those in /run."""
    with contextlib.suppress(ProcessLookupError):  # nobody else is there
        os.kill(-1, signal.SIGKILL)
    if _libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "unshare")
    for point in reversed(_mounts_below("/run")):
        if not point.startswith(STORE):
            _libc.umount2(os.fsencode(point), DETACH)
    for name in os.listdir("/run"):
        path = f"/run/{name}"
        if path != STORE:
            shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
    for folder in RUN:
        os.makedirs(folder)
    _fresh_sys()
    _quieten()


def _main(role: str, name: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel then reaps orphans for us
    _prepare(role)
    socket.sethostname(name)  # a person who enters must not take it for the host
    os.write(1, b"ready\n")
    while (said := os.read(0, 16)) == b"cut\n":
        _cut()
        os.write(1, b"ready\n")
    if said != b"":
        while True:
            signal.pause()


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2])

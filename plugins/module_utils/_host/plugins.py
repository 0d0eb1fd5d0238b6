# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import json
import os
import stat
import struct
import sys
import typing as t

from .._errors import NodeError
from .process import run

#: The machine of an ELF file as (class, byte order, e_machine), by its name in the archives of the plugins' releases.
ELF_MACHINES = {
    (2, 1, 62): "amd64",
    (1, 1, 3): "386",
    (1, 1, 40): "arm",
    (2, 1, 183): "arm64",
    (2, 1, 21): "ppc64le",
    (2, 2, 21): "ppc64",
    (2, 2, 22): "s390x",
    (2, 1, 243): "riscv64",
    (2, 1, 8): "mips64le",
    (2, 2, 8): "mips64",
    (2, 1, 258): "loong64",
}
#: The same by what ``uname -m`` says.
UNAME_MACHINES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "loongarch64": "loong64",
    "mips64": "mips64le" if sys.byteorder == "little" else "mips64",
    **{f"i{digit}86": "386" for digit in range(3, 7)},
}
SCRIPT = "a script"


def locate(name: str, bin_dirs: t.Sequence[str]) -> str | None:
    """The plugin's binary as a runtime finds it: the first regular file of that name; the x bit is not looked at
    (cni.md 2.1), so a file without it is found and then fails."""
    for folder in bin_dirs:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    return None


def installed(bin_dirs: t.Sequence[str]) -> list[str]:
    """Names of all regular files in the folders."""
    return sorted({entry.name for folder in bin_dirs if os.path.isdir(folder) for entry in os.scandir(folder) if entry.is_file()})


def supported_versions(path: str) -> list[str]:
    """The CNI spec versions that a plugin says it supports (SPEC section 2, VERSION)."""
    if not os.stat(path).st_mode & stat.S_IXUSR:
        raise NodeError(f"{path} is not executable")
    result = run([path], stdin='{"cniVersion": "1.0.0"}', env={"CNI_COMMAND": "VERSION", "CNI_PATH": os.path.dirname(path)}, timeout=20)
    try:
        versions = json.loads(result.stdout)["supportedVersions"]
    except (ValueError, KeyError, TypeError) as error:
        said = (result.stderr or result.stdout).strip().replace("\n", "; ")[:200]
        raise NodeError(f"{path} does not answer VERSION as a CNI plugin does: {said or 'it prints nothing'}") from error
    return [version for version in versions if isinstance(version, str)]


def about(path: str) -> str:
    """What a plugin says of itself when it is asked for nothing: ``CNI bridge plugin v1.6.0``, or of Debian's
    ``CNI bridge plugin version unknown``. Empty when it says nothing."""
    return run([path], timeout=20).stderr.strip().partition("\n")[0]


def architectures() -> list[str]:
    """What this node runs: its kernel's architecture, and that of its programs where it is another (a 32-bit system below a
    64-bit kernel)."""
    machine = os.uname().machine
    kernel = "arm" if machine.startswith("armv") else UNAME_MACHINES.get(machine, machine)
    return list(dict.fromkeys([kernel, architecture("/proc/self/exe") or kernel]))


def architecture(path: str) -> str | None:
    """What an executable is made for, as ``amd64``, or ``SCRIPT``; None when it is no executable."""
    with open(path, "rb") as file:
        head = file.read(20)
    if head[:2] == b"#!":
        return SCRIPT
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return None
    (machine,) = struct.unpack("<H" if head[5] == 1 else ">H", head[18:20])
    return ELF_MACHINES.get((head[4], head[5], machine), f"ELF machine {machine}")

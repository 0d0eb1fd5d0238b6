# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Which addresses the network namespaces of a node have, whoever knows of them.

A namespace lives as long as a process is in it, or as it is mounted (namespaces(7)): runtimes and ``ip netns`` mount those
of their pods below /run/netns, and Docker below /run/docker/netns. Those that are mounted only where this process cannot
see them, in another mount namespace, are not found.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import re

from .._errors import NodeError
from . import process
from .files import read_text, unescaped

#: What a process or a namespace has of its own (proc(5)), beside a file that is there in each of them.
_FILES = ("dev", "fib_trie", "if_inet6")
_LONGEST_LOOK = 5  # seconds


def addresses() -> dict[str, str]:
    """Address -> what has it, of all network namespaces but our own: ``a process``, or ``the network namespace /run/netns/x``."""
    found: dict[str, str] = {}
    seen = {os.readlink("/proc/self/ns/net")}
    for number in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it may end meanwhile
            space = os.readlink(f"/proc/{number}/ns/net")
            if space not in seen:
                found.update(dict.fromkeys(_addresses_of_process(number), "a process"))
                seen.add(space)
    for space, paths in mounted().items():
        if space not in seen:
            path = next((path for path in paths if _is_at(path, space)), None)
            found.update({} if path is None else dict.fromkeys(_addresses_at(path, space), f"the network namespace {path}"))
    return found


def mounted() -> dict[str, list[str]]:
    """Network namespace (``net:[4026532008]``) -> where it is mounted, of those that are mounted somewhere (mountinfo(5))."""
    found: dict[str, list[str]] = {}
    for line in (read_text("/proc/self/mountinfo") or "").splitlines():
        fields = line.partition(" - ")[0].split()
        if len(fields) > 4 and fields[3].startswith("net:["):
            found.setdefault(fields[3], []).append(unescaped(fields[4]))
    return found


def _is_at(path: str, space: str) -> bool:
    """Whether the namespace is there to be entered: a later mount may lie over it, or it may have been unmounted since."""
    try:
        return f"net:[{os.stat(path).st_ino}]" == space
    except OSError:
        return False


def _addresses_of_process(number: str) -> set[str]:
    texts = []
    for name in _FILES:
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{number}/net/{name}", encoding="ascii") as file:
            texts.append(file.read())
    return _addresses("".join(texts))


def _addresses_at(path: str, space: str) -> set[str]:
    result = process.run(["nsenter", f"--net={path}", "cat", *(f"/proc/net/{name}" for name in _FILES)], timeout=_LONGEST_LOOK)
    if "Inter-|" in result.stdout:  # the head of dev; without IPv6 there is no if_inet6, and cat complains
        return _addresses(result.stdout)
    if not _is_at(path, space):
        return set()
    raise NodeError(f"the addresses of the network namespace {path} cannot be seen: {result.stderr.strip()}")


def _addresses(text: str) -> set[str]:
    """The IPv4 routes of kind local, and the IPv6 addresses, which are hexadecimal."""
    found = set(re.findall(r"\|-- (\S+)\n\s+/32 host LOCAL", text))
    return found | {str(ipaddress.IPv6Address(int(digits, 16))) for digits in re.findall(r"^([0-9a-f]{32}) ", text, re.MULTILINE)}

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os

from .._errors import NodeError
from .process import find, output

ROOT = "/proc/sys"

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
        with open(os.path.join(ROOT, key), "w", encoding="ascii") as file:
            file.write(value)
    except OSError as error:
        raise NodeError(f"sysctl {key} cannot be set to {value}: {error.strerror}") from error


def children(folder: str) -> list[str]:
    """Names below a key's folder, e.g. the links below ``net/ipv4/conf``."""
    try:
        return sorted(os.listdir(os.path.join(ROOT, folder)))
    except FileNotFoundError:
        return []


def br_netfilter_loaded() -> bool:
    """Built in counts: lsmod would not show it (pitfalls 18)."""
    return os.path.isdir(os.path.join(ROOT, "net/bridge"))


def load_module(name: str) -> None:
    if find("modprobe") is None:
        raise NodeError(f"the kernel module {name} is not loaded and modprobe is not installed (Debian: package kmod)")
    output(["modprobe", name])

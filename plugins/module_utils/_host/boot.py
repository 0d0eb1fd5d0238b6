# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import time

from .files import read_text


def identity() -> str:
    """What changes whenever the kernel's part of the node's network is lost.

    A container that is restarted keeps the boot_id of its host; its first process is another one then, and its network namespace.
    """
    boot_id = (read_text("/proc/sys/kernel/random/boot_id") or "").strip()
    began = (read_text("/proc/1/stat") or "").rpartition(")")[2].split()[19:20]  # starttime, field 22 of proc_pid_stat(5)
    return " ".join([boot_id, *began, str(os.stat("/proc/self/ns/net").st_ino)])


def seconds() -> float:
    """Seconds since the boot. They go on while the machine sleeps, and nobody sets them."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)

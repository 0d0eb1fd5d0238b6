# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""udev in a node: the kernel tells of the links of a namespace there, so a real udevd minds them. Debian package: udev."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from .paths import CHECKOUT
from .space import wait_for

if TYPE_CHECKING:
    from .node import Node


def udevadm() -> Path:
    """The host's own program, or that of the package, unpacked: installed, udev would mind the host's devices."""
    found = shutil.which("udevadm", path="/usr/bin:/bin:/usr/sbin:/sbin")
    if found:
        return Path(found)
    folder = CHECKOUT / "build" / "udev"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not list(folder.glob("tree/**/bin/udevadm")):
            subprocess.run(["apt-get", "-q", "download", "udev"], cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            subprocess.run(["dpkg", "-x", *folder.glob("udev_*.deb"), folder / "tree"], check=True)
    return next(folder.glob("tree/**/bin/udevadm"))


class Udev:
    """A running udevd, with the rules that the node has. A context manager."""

    def __init__(self, node: Node) -> None:
        self.node, self.program = node, str(udevadm())
        node.run(["mkdir", "-p", "/run/udev"])
        node.run(["mount", "-t", "tmpfs", "none", "/usr/local/sbin"])
        node.run(["ln", "-s", self.program, "/usr/local/sbin/udevadm"])  # for those who tell udevd of new rules
        start = f"exec -a systemd-udevd {self.program}"
        self._process = node.popen(["bash", "-c", start], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for(lambda: node.exists("/run/udev/control"), what="udevd")

    def settle(self) -> None:
        """Wait until it has nothing more to do."""
        self.node.run([self.program, "settle", "--timeout=10"])

    def test(self, path: str) -> str:
        """What its rules do when this device is added; it runs none of the programs, but writes attributes."""
        done = self.node.run([self.program, "test", "--action=add", path])
        return done.stdout + done.stderr

    def __enter__(self) -> Udev:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()

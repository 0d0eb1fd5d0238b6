# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A throw-away node whose init is systemd: a podman container out of an image of scripts/node-image."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import ansible
from .paths import CHECKOUT, COLLECTIONS, link_collection
from .space import Place

_PODMAN = str(CHECKOUT / "scripts" / "podman")
# Where the node sees the library that its image lacks. Only who is told of it finds it there.
_LIBRARIES = "/opt/testbed"
# systemd 258 and later refuse cgroup v1, which is what a container on a hybrid host is shown (molecule/default/create.yml).
_INIT_ON_HYBRID = ["sh", "-c", "umount --recursive /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec /sbin/init"]


class Container(Place):
    """A container with systemd, which is there. /etc and /var outlive a restart; links, rules and /run do not: a reboot, as far as the
    network goes."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._wait()

    def _podman(self, *argv: str) -> str:
        return subprocess.run([_PODMAN, *argv], check=True, stdout=subprocess.PIPE, text=True).stdout

    def _wait(self) -> None:
        self.pid = int(self._podman("inspect", "--format={{.State.Pid}}", self.name))
        # "degraded" is an end of the boot, too: a test may be about a unit that fails.
        self._podman("exec", self.name, "sh", "-c", "until [ -S /run/dbus/system_bus_socket ]; do sleep 0.1; done; systemctl is-system-running --wait || true")

    def enter(self) -> list[str]:
        return ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--uts", "--ipc", "--"]

    def restart(self) -> None:
        """A reboot."""
        self._podman("restart", "--time=5", self.name)
        self._wait()


class SystemdNode(Container):
    """A container that is made here. Of the host it sees, read-only, this checkout, Ansible and pyroute2. A context manager.

    suite, flavour: those of scripts/node-image. seen: more folders of the host that it sees.
    """

    def __init__(self, name: str, suite: str = "bookworm", flavour: str = "plain", seen: tuple[Path, ...] = ()) -> None:
        link_collection()
        self.name = f"kubenode-{name}-{os.getpid()}"
        self.has_ansible = False
        image = subprocess.run([str(CHECKOUT / "scripts" / "node-image"), suite, flavour], check=True, stdout=subprocess.PIPE, text=True).stdout
        mounts = map(self._mount, {**_seen(), **dict(zip(seen, map(str, seen)))}.items())
        options = ["--detach", "--replace", f"--name={self.name}", f"--hostname={name}", "--systemd=always", "--cgroupns=private",
                   "--cap-add=NET_ADMIN,SYS_ADMIN,NET_RAW", "--security-opt=unmask=ALL", *mounts]
        hybrid = Path("/sys/fs/cgroup/unified/cgroup.procs").exists()
        self._podman("run", *options, image.strip(), *(_INIT_ON_HYBRID if hybrid else []))
        try:
            super().__init__(self.name)
        except BaseException:
            self.close()
            raise

    @staticmethod
    def _mount(item: tuple[Path, str]) -> str:
        return f"--volume={item[0]}:{item[1]}:ro"

    def restart(self) -> None:
        super().restart()
        self.has_ansible = False

    def module(self, name: str, args: dict[str, Any], **options: Any) -> dict[str, Any]:
        """Run a module by the node's own Python (see Node.module), with the library that the image lacks."""
        return ansible.run_module(self, name, args, python="/usr/bin/python3", env={"PYTHONPATH": _LIBRARIES}, **options)

    def close(self) -> None:
        self._podman("rm", "--force", "--ignore", "--volumes", "--time=0", self.name)

    def __enter__(self) -> SystemdNode:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(subprocess.CalledProcessError):
            self.close()


def _seen() -> dict[Path, str]:
    """Folder of the host -> where the node sees it."""
    library = Path(importlib.util.find_spec("pyroute2").origin).parent
    about = library.parent / f"pyroute2-{importlib.metadata.version('pyroute2')}.dist-info"
    own = [CHECKOUT, Path(importlib.util.find_spec("ansible").origin).parent]
    own += [] if COLLECTIONS.is_relative_to(CHECKOUT) else [COLLECTIONS]
    return {**{folder: str(folder) for folder in own}, library: f"{_LIBRARIES}/{library.name}", about: f"{_LIBRARIES}/{about.name}"}

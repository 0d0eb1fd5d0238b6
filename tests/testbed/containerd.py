# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A real containerd in a node, with pods that it makes. Debian packages: containerd, runc, catatonit.

What it keeps is in the node's private folders and goes away with the node; only cgroups belong to the host, so every
containerd has one of its own name for its pods and removes it in the end.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import signal
import subprocess
import tarfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .cri import Cri, CriError, Status
from .space import Place, clean_env, wait_for

if TYPE_CHECKING:
    from .node import Node
    from .programs import Program

PACKAGE_CONFIG = "/etc/containerd/config.toml"
_ROOT = "/run/testbed/containerd"
_LOG = "/run/testbed/containerd.log"
_SOCKET = "/run/containerd/containerd.sock"
# A static program that sleeps and reaps; podman's package recommends it.
_PAUSE = Path("/usr/bin/catatonit")
_CRI_TABLE = re.compile(r'^(?P<indent>\s*)\[plugins\."io\.containerd\.(grpc\.v1\.cri|cri\.v1\.runtime)"\]$', re.MULTILINE)
# containerd 2 reads version 2 as well, and makes a version 3 of it for itself.
_PRIVATE = """version = 2
[plugins."io.containerd.grpc.v1.cri"]
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/opt/cni/bin"
    conf_dir = "/etc/cni/net.d"
    max_conf_num = {max_conf_num}
"""
_CAP_SYS_RESOURCE = 24
_EVENT = r'(?P<what>ignore|receiving change) event from cni conf dir: (?P<change>\w+)\s+"/etc/cni/net.d/(?P<name>[^"]*)".*'


class Containerd:
    """Running and answering CRI when the object exists. A context manager.

    package: with the configuration that Debian's package installs, at its place on the node (plugins in /usr/lib/cni).
    Else with one of its own that nobody on the node knows of, whose folders are the usual defaults (/opt/cni/bin).
    program: another release than the installed one. max_conf_num: how many files it uses, 0 for all. debug: its log says
    which changes of the folder it sees.
    """

    _made = 0

    def __init__(self, node: Node, *, package: bool = False, program: Program | None = None, max_conf_num: int = 1,
                 debug: bool = False) -> None:
        Containerd._made += 1
        self.node = node
        self.cgroup = f"/kubenode-{os.getpid()}-{Containerd._made}"
        self.config = PACKAGE_CONFIG if package else "/run/testbed/containerd.toml"
        # Its shim is looked for in the same places.
        self._env = {"PATH": f"{program.folder}/usr/bin:{clean_env()['PATH']}"} if program else {}
        private = _PRIVATE.format(max_conf_num=max_conf_num)
        node.write(self.config, _runnable_here(_package_config() if package else private))
        # On the command line, so that the package's file can stay as it is; overlayfs needs another file system than the node's.
        options = ["--root", _ROOT, "--state", "/run/containerd", "--address", _SOCKET, "--log-level", "debug" if debug else "info"]
        with self.outside(_LOG).open("w") as log:
            self._process = node.popen(["containerd", "--config", self.config, *options], env=self._env, stdin=subprocess.DEVNULL,
                                       stdout=log, stderr=log)
        self.cri = Cri(str(self.outside(_SOCKET)), self.cgroup)
        try:
            wait_for(self._answers, 15, "containerd")
            self._load_pause_image()
        except BaseException:
            print(self.outside(_LOG).read_text())
            self.close()
            raise

    @property
    def pid(self) -> int:
        """Its process number in the node; raises when it runs no more."""
        return int(self.node.run(["pgrep", "-x", "containerd"]).stdout)

    def status(self) -> Status:
        return self.cri.status()

    def wait_ready(self, ready: bool = True, timeout: float = 5) -> Status:
        """Wait until NetworkReady is so; return that status."""
        wait_for(lambda: self.status().network_ready is ready, timeout, f"NetworkReady={ready}")
        return self.status()

    def networks(self) -> list[dict[str, Any]]:
        """The configured networks that pods get, in the order of their interfaces, as containerd shows them."""
        shown = self.status().info["cniconfig"]["Networks"]
        return [json.loads(network["Config"]["Source"]) for network in shown if network["Config"]["Name"] != "cni-loopback"]

    def log(self, start: int = 0) -> list[dict[str, str]]:
        """Its log as one object a line: time, level, msg and more. Lines of another form are under msg. start: log_size then."""
        whole, _newline, _being_written = self.outside(_LOG).read_bytes()[start:].rpartition(b"\n")
        return [_log_line(line) for line in whole.decode().splitlines()]

    def log_size(self) -> int:
        return self.outside(_LOG).stat().st_size

    def load_errors(self) -> list[str]:
        """What it said about configuration that it could not load, its start left out."""
        return [line["error"] for line in self.log() if line["msg"].startswith("failed to reload cni configuration")]

    def seen(self, start: int = 0) -> list[str]:
        """The changes of the folder for which it loads anew: "RENAME 10-a.conf". Wants debug. start: as for log."""
        found = [re.fullmatch(_EVENT, line["msg"]) for line in self.log(start)]
        return [f"{event['change']} {event['name']}" for event in found if event and event["what"] != "ignore"]

    def has_exited(self) -> bool:
        return self._process.poll() is not None

    def pod(self, name: str, port_mappings: tuple[dict[str, Any], ...] = ()) -> Sandbox:
        """Start a pod without containers. Port mappings as Cri.run_sandbox wants them."""
        return Sandbox(self, name, port_mappings)

    def close(self) -> None:
        """End it, and its pods without asking it: it may be unable to take one down."""
        self.cri.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        for folder in self._cgroups():
            with suppress(OSError):  # already gone
                for pid in (folder / "cgroup.procs").read_text().split():
                    os.kill(int(pid), signal.SIGKILL)
        wait_for(self._cgroups_removed, 5, f"end of the pods in cgroup {self.cgroup}")

    def __enter__(self) -> Containerd:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def outside(self, path: str) -> Path:
        """The node's path as this process sees it."""
        return Path(f"/proc/{self.node.pid}/root{path}")

    def _answers(self) -> bool:
        if self._process.poll() is not None:
            raise RuntimeError(f"containerd ended with {self._process.returncode}")
        with suppress(CriError):
            return bool(self.cri.version())
        return False

    def _load_pause_image(self) -> None:
        """Give it the image that its configuration names, whatever that is, so that no registry is asked."""
        dumped = self.node.run(["containerd", "--config", self.config, "config", "dump"], env=self._env).stdout
        name = re.search(r"""^\s*(?:sandbox_image|sandbox) = ["'](.+)["']$""", dumped, re.MULTILINE).group(1)
        path = "/run/testbed/pause.tar"
        self.outside(path).write_bytes(pause_image(name))
        self.node.run(["ctr", "--address", _SOCKET, "--namespace", "k8s.io", "images", "import", path], env=self._env)

    def _cgroups(self) -> list[Path]:
        """Folders of our pods in every hierarchy, innermost first."""
        return [Path(folder) for top in _hierarchies() for folder, *_rest in os.walk(f"{top}{self.cgroup}", topdown=False)]

    def _cgroups_removed(self) -> bool:
        for folder in self._cgroups():
            with suppress(OSError):  # a process in it has not ended yet
                folder.rmdir()
        return not self._cgroups()


class Sandbox(Place):
    """A pod of containerd. ips: the main address first."""

    def __init__(self, containerd: Containerd, name: str, port_mappings: tuple[dict[str, Any], ...]) -> None:
        self.containerd, self.name = containerd, name
        self.id = containerd.cri.run_sandbox(name, port_mappings)
        status = containerd.cri.sandbox_status(self.id)
        self.ips, self.netns = status.ips, status.netns

    def enter(self) -> list[str]:
        # The second one runs inside of the node, where the path is.
        return [*self.containerd.node.enter(), "nsenter", f"--net={self.netns}", "--"]

    def stop(self) -> None:
        self.containerd.cri.stop(self.id)

    def remove(self) -> None:
        self.containerd.cri.remove(self.id)


def _package_config() -> str:
    """The text that the package installed. Raises RuntimeError if somebody has changed it since."""
    listed = subprocess.run(["dpkg-query", "-W", "-f", "${Conffiles}", "containerd"], check=True, stdout=subprocess.PIPE, text=True).stdout
    data = Path(PACKAGE_CONFIG).read_bytes()
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    if f"{PACKAGE_CONFIG} {md5}" not in listed:
        raise RuntimeError(f"{PACKAGE_CONFIG}: has been changed (expected what the package containerd installs)")
    return data.decode()


def _runnable_here(config: str) -> str:
    """The configuration with one setting more where we may not lower oom_score_adj: runc would end without a message."""
    effective = re.search(r"^CapEff:\s*(\w+)$", Path("/proc/self/status").read_text(), re.MULTILINE).group(1)
    if int(effective, 16) >> _CAP_SYS_RESOURCE & 1:
        return config
    changed, count = re.subn(_CRI_TABLE, r"\g<0>\n\g<indent>  restrict_oom_score_adj = true", config, count=1)
    if not count:
        raise RuntimeError(f"no table for CRI in this configuration of containerd:\n{config}")
    return changed


def _hierarchies() -> list[str]:
    """Where cgroup trees are mounted: one on v2, one a controller on v1."""
    mounts = (line.split() for line in Path("/proc/self/mounts").read_text().splitlines())
    return [words[1] for words in mounts if words[2] in ("cgroup", "cgroup2")]


def _log_line(line: str) -> dict[str, str]:
    pairs = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S*)', line)
    words = {key: json.loads(value) if value.startswith('"') else value for key, value in pairs}
    return words if "msg" in words else {"level": "", "msg": line}


def pause_image(name: str) -> bytes:
    """A tar as `docker save` writes it."""
    layer = _tar({"pause": _PAUSE.read_bytes()})
    config = {"architecture": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()), "os": "linux",
              "config": {"Entrypoint": ["/pause", "-P"]},
              "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(layer).hexdigest()}"]}}
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["layer.tar"]}]
    return _tar({"layer.tar": layer, "config.json": json.dumps(config).encode(), "manifest.json": json.dumps(manifest).encode()})


def _tar(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode = len(data), 0o755
            archive.addfile(entry, io.BytesIO(data))
    return buffer.getvalue()

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A whole play against two that do the same job (folder baseline): how long it takes, and what the nodes pay.

The nodes are systemd containers with a Python of their own, reached by ssh (an sshd in the container, with the container's host key) or
by the container connection. A node's CPU seconds are those of its cgroup: of connections and shells too.
"""

from __future__ import annotations

import hashlib
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from testbed.paths import CHECKOUT, HERE, link_collection
from testbed.space import clean_env
from testbed.systemd import SystemdNode

from .figure import Figure

PLAYS = ("plain", "tuned", "ours")
CONNECTIONS = ("ssh", "container")
BASELINE = Path(__file__).resolve().parent / "baseline"
_OTHERS = CHECKOUT / "build" / "others"
_PODMAN = CHECKOUT / "scripts" / "podman"
_PORT = 8080
#: Systemd in each container takes five of the 128 inotify instances that the kernel has for a user by default.
_AT_ONCE = 24
#: What community.general.modprobe reads in place of /proc/modules, which a kernel that can load none does not have.
_NO_MODULES = "/run/modules"
_LIBRARIES = "/usr/local/lib/python3.11/dist-packages/testbed.pth"
#: What the plays must be slower by than ours: (seconds, node CPU) without a change, and seconds of the first run.
GOALS = {"plain": (8.0, 15.0, 5.0), "tuned": (2.5, 4.0, 2.0)}


class Cost(NamedTuple):
    """Seconds of the whole command, CPU seconds of the controller (connections too) and of each node, tasks that changed something."""

    seconds: float
    controller: float
    node: float
    changed: int


class Fleet:
    """Nodes of one play, all alike."""

    def __init__(self, play: str, connection: str, count: int, folder: Path, stack: ExitStack) -> None:
        self.play, self.folder = play, folder
        self.nodes = [stack.enter_context(SystemdNode(f"{play}{number}")) for number in range(1, count + 1)]
        for node in self.nodes:
            node.run(["install", "-D", "--mode=600", "/dev/stdin", "/root/.ssh/authorized_keys"], input=(folder / "key.pub").read_text())
            # What kmod would see where the module is built in; the containers have no modules of this kernel.
            node.write(f"/lib/modules/{os.uname().release}/modules.builtin", "kernel/net/bridge/br_netfilter.ko\n")
            node.write(_NO_MODULES, "")
            node.write(_LIBRARIES, "/opt/testbed\n")  # where testbed.systemd shows it pyroute2
            node.run(["sysctl", "-qw", "net.ipv4.ip_forward=0"])
            stack.enter_context(_served(node, folder / "www"))
        self.inventory = folder / f"{play}.json"
        hosts = {node.name: {"pod_cidr": f"10.244.{number}.0/24", "pod_gw": f"10.244.{number}.1"} for number, node in enumerate(self.nodes, 1)}
        reach = {**self._reach(connection), "ansible_python_interpreter": "/usr/bin/python3"}
        self.inventory.write_text(json.dumps({"nodes": {"hosts": hosts, "vars": reach}}))

    def _reach(self, connection: str) -> dict[str, Any]:
        if connection == "container":
            return {"ansible_connection": "containers.podman.podman", "ansible_podman_executable": str(_PODMAN)}
        proxy = f'-o ProxyCommand="{_PODMAN} exec -i %n /usr/sbin/sshd -i"'
        options = "-o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null -o LogLevel=ERROR"
        return {"ansible_connection": "ssh", "ansible_user": "root", "ansible_ssh_private_key_file": str(self.folder / "key"),
                "ansible_ssh_common_args": f"{proxy} {options}", "ansible_ssh_pipelining": True}

    def run(self) -> Cost:
        before = [cpu_seconds(node) for node in self.nodes]
        begin, own = time.monotonic(), _of_children()
        argv = [sys.executable, "-m", "ansible", "playbook", "-i", str(self.inventory), "-e", f"@{self.folder / 'source.json'}", "-e", "facts=false",
                "--forks", "20", str(BASELINE / f"{self.play}.yml")]
        done = subprocess.run(argv, env=self._env(), capture_output=True, text=True, check=False, timeout=1800)
        seconds, own = time.monotonic() - begin, _of_children() - own
        assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
        spent = [now - then for now, then in zip((cpu_seconds(node) for node in self.nodes), before)]
        recap = done.stdout.partition("PLAY RECAP")[2]
        return Cost(seconds, own, statistics.mean(spent), sum(int(word.partition("=")[2]) for word in recap.split() if word.startswith("changed=")))

    def _env(self) -> dict[str, str]:
        home = str(self.folder / "home")
        paths = f"{link_collection()}:{_OTHERS}"
        return clean_env({"LC_ALL": "C.UTF-8", "HOME": home, "ANSIBLE_HOME": home, "ANSIBLE_COLLECTIONS_PATH": paths, "ANSIBLE_NOCOLOR": "1",
                          "ANSIBLE_CONFIG": str(self.folder / "ansible.cfg"), "ANSIBLE_RETRY_FILES_ENABLED": "0", "ANSIBLE_NOCOWS": "1"})


def _of_children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def cpu_seconds(node: SystemdNode) -> float:
    """Of all that runs or ran in the container."""
    identity = subprocess.run([str(_PODMAN), "inspect", "--format={{.Id}}", node.name], check=True, capture_output=True, text=True).stdout.strip()
    for line in Path(f"/proc/{node.pid}/cgroup").read_text().splitlines():
        _number, controllers, path = line.split(":", 2)
        parts = path.split("/")
        own = next((place for place, part in enumerate(parts) if identity in part), None)
        if own is None:
            continue
        group = "/".join(parts[: own + 1])
        if "cpuacct" in controllers.split(","):
            return int(Path(f"/sys/fs/cgroup/cpuacct{group}/cpuacct.usage").read_text()) / 1e9
        if not controllers and Path(f"/sys/fs/cgroup{group}/cpu.stat").exists():
            return int(Path(f"/sys/fs/cgroup{group}/cpu.stat").read_text().split()[1]) / 1e6
    raise RuntimeError(f"{node.name}: no cgroup that counts its CPU seconds")


@contextmanager
def _served(node: SystemdNode, folder: Path) -> Iterator[None]:
    """The archive of the plugins at the node's own address, by a process that the node does not pay for."""
    argv = ["nsenter", f"--target={node.pid}", "--net", "--", sys.executable, "-I", "-S", str(HERE / "web.py"), str(folder), str(_PORT), os.devnull]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as process:
        try:
            process.stdout.readline()  # "ready"
            yield
        finally:
            process.kill()


@contextmanager
def _folder() -> Iterator[Path]:
    """A key, the archive that all plays install, and a home for Ansible; short, for the sockets of ssh."""
    folder = Path(tempfile.mkdtemp(prefix="knb", dir="/tmp"))
    try:
        (folder / "ansible.cfg").write_text("[defaults]\n")
        (folder / "home").mkdir()
        (folder / "www").mkdir()
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / "key")], check=True)
        archive = folder / "www" / "cni-plugins-linux-amd64-v1.1.1.tgz"
        subprocess.run(["tar", "-czf", str(archive), "-C", str(CHECKOUT / "build" / "programs" / "cni-plugins-1.1.1" / "usr" / "lib" / "cni"), "."], check=True)
        source = {"cni_url": f"http://127.0.0.1:{_PORT}/files/{archive.name}", "cni_sha256": hashlib.sha256(archive.read_bytes()).hexdigest()}
        (folder / "source.json").write_text(json.dumps(source))
        yield folder
    finally:
        shutil.rmtree(folder)


def plays(connection: str, hosts: int, times: int) -> list[Figure]:
    """The three take turns, each on nodes of its own; where that would be too many nodes, one comes after the other."""
    _fetch_others()
    turns = [PLAYS] if hosts * len(PLAYS) <= _AT_ONCE else [(play,) for play in PLAYS]
    first: dict[str, Cost] = {}
    same: dict[str, list[Cost]] = {play: [] for play in PLAYS}
    with _folder() as folder:
        for some in turns:
            with ExitStack() as stack:
                fleets = {play: Fleet(play, connection, hosts, folder, stack) for play in some}
                first.update({play: fleet.run() for play, fleet in fleets.items()})
                for fleet in fleets.values():
                    fleet.run()  # what the second run still does is nobody's no-change run
                for _time in range(times):
                    for play, fleet in fleets.items():
                        same[play].append(fleet.run())
    assert not any(cost.changed for cost in same["ours"])
    return _figures(f"{connection}, {hosts} host{'s' * (hosts > 1)}", first, same)


def _fetch_others() -> None:
    subprocess.run([str(CHECKOUT / "scripts" / "collections")], check=True)
    module = _OTHERS / "ansible_collections" / "community" / "general" / "plugins" / "modules" / "modprobe.py"
    if not Path("/proc/modules").exists():
        module.write_text(module.read_text().replace("/proc/modules", _NO_MODULES))


def _figures(where: str, first: dict[str, Cost], same: dict[str, list[Cost]]) -> list[Figure]:
    """Where others are busy, too, only the CPU seconds tell anything."""
    least = {play: Cost(*map(min, zip(*costs))) for play, costs in same.items()}
    ours = least["ours"]
    figures = [
        Figure(f"{where}: our play without a change", ours.seconds, "s"),
        Figure(f"{where}: our play without a change, CPU of the controller", ours.controller, "s"),
        Figure(f"{where}: our play without a change, CPU of a node", ours.node, "s"),
    ]
    for play, (quicker, cheaper, sooner) in GOALS.items():
        cost = least[play]
        figures += [
            Figure(f"{where}: {play} against ours, no change", cost.seconds / ours.seconds, "x", quicker, least=True),
            Figure(f"{where}: {play} against ours, no change, controller CPU", cost.controller / ours.controller, "x"),
            Figure(f"{where}: {play} against ours, no change, node CPU", cost.node / ours.node, "x", cheaper, least=True),
            Figure(f"{where}: {play} against ours, first run", first[play].seconds / first["ours"].seconds, "x", sooner, least=True),
            Figure(f"{where}: {play} against ours, first run, node CPU", first[play].node / first["ours"].node, "x"),
        ]
    return figures

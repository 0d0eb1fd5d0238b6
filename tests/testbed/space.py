# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A process tree with network, mount and process namespaces of its own, and how to do things in it."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from .paths import HERE
from .traffic import Server

#: Arguments of nsenter.
NAMESPACES = ("--mount", "--net", "--pid", "--uts")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class CommandError(RuntimeError):
    """A command in a namespace ended with an error; .result is its CompletedProcess."""

    def __init__(self, result: subprocess.CompletedProcess[str]) -> None:
        self.result = result
        super().__init__(f"{' '.join(result.args)}: exit {result.returncode}\n{result.stdout}{result.stderr}".rstrip())


def clean_env(extra: dict[str, str] | None = None) -> dict[str, str]:
    """The caller's environment without what would steer Python or Ansible, in the C locale."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "ANSIBLE_", "LC_", "LANG"))}
    return {**kept, "LC_ALL": "C", "PATH": f"{_PATH}:{kept.get('PATH', '')}", **(extra or {})}


def below(pid: int) -> list[int]:
    """Numbers of the processes that descend from pid."""
    try:
        children = [int(word) for file in Path(f"/proc/{pid}/task").glob("*/children") for word in file.read_text().split()]
    except OSError:
        return []
    return [number for child in children for number in (child, *below(child))]


class Process(subprocess.Popen):
    """A command behind nsenter. Signals go to the command and its children, never to nsenter while it has any.

    Only nsenter can reap the command: were it killed, the command would become a child of the host's first process, and a
    space does not end before that one has reaped it, which in a container it may never do.
    """

    def send_signal(self, signal: int) -> None:
        inside = below(self.pid) if self.poll() is None else []
        for pid in inside:
            with suppress(ProcessLookupError):
                os.kill(pid, signal)
        if not inside:
            super().send_signal(signal)


class Place:
    """Somewhere a command can run: a node, a pod, the outside world."""

    name: str

    def enter(self) -> list[str]:
        """The start of an argv that runs its rest in this place."""
        raise NotImplementedError

    def popen(self, argv: list[str], *, env: dict[str, str] | None = None, **options: Any) -> Process:
        # A session of its own: Ctrl-C is for us to handle, see Process.
        return Process([*self.enter(), *argv], env=clean_env(env), text=True, start_new_session=True, **options)

    def run(self, argv: list[str], *, check: bool = True, input: str | None = None, timeout: float = 30,  # noqa: A002
            env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """Run to the end. Raises CommandError (with check) or subprocess.TimeoutExpired (nothing is left running)."""
        source = {"stdin": subprocess.DEVNULL} if input is None else {"stdin": subprocess.PIPE}
        with self.popen(argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **source) as process:
            try:
                out, err = process.communicate(input, timeout)
            except BaseException:
                process.kill()
                raise
        result = subprocess.CompletedProcess(argv, process.returncode, out, err)
        if check and result.returncode:
            raise CommandError(result)
        return result

    def serve_tcp(self, port: int, bind: str = "::") -> Server:
        """An echo server that answers with the source address it saw (traffic.py)."""
        return Server(self, "tcp", port, bind)

    def serve_udp(self, port: int, bind: str = "::") -> Server:
        return Server(self, "udp", port, bind)

    def exists(self, path: str) -> bool:
        return self.run(["test", "-e", path], check=False).returncode == 0

    def read(self, path: str) -> str:
        return self.run(["cat", "--", path]).stdout

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file, with the folders it needs."""
        self.run(["install", "-D", f"--mode={mode:o}", "/dev/stdin", path], input=text)


class Space(Place):
    """Namespaces that live as long as the process that made them (see init.py). A context manager."""

    role = "space"

    def __init__(self, name: str) -> None:
        self.name = name
        argv = ["unshare", "--mount", "--net", "--pid", "--uts", "--fork", "--kill-child", "--mount-proc", "--",
                sys.executable, "-I", "-S", str(HERE / "init.py"), self.role, name]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, env=clean_env(), start_new_session=True)
        if self._process.stdout.readline() != b"ready\n":
            error = self._process.stderr.read().decode()
            self.close()
            raise RuntimeError(f"{name}: no namespace (it needs root and a kernel with overlayfs):\n{error}")
        self.pid = int(Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children").read_text())

    def enter(self) -> list[str]:
        return ["nsenter", f"--target={self.pid}", *NAMESPACES, "--"]

    def enter_command(self) -> str:
        """For a person: a shell in here."""
        return " ".join(self.enter()[:-1])

    def ip(self, *lines: str) -> None:
        """Run lines of the ip command as one batch."""
        self.run(["ip", "-batch", "-"], input="\n".join(lines) + "\n")

    def keep(self) -> None:
        """Let it outlive this process; `kill PID` ends it, with everything in it."""
        self._process.stdin.write(b"keep\n")
        self._process.stdin.flush()

    def close(self) -> None:
        """End every process inside; the kernel then drops mounts, links and rules."""
        self._process.stdin.close()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()  # --kill-child takes init along
            self._process.wait()
        self._process.stdout.close()
        self._process.stderr.close()

    def __enter__(self):
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def wait_for(condition, timeout: float = 5, what: str = "condition") -> None:
    """Poll until condition() is true. Raises TimeoutError naming what."""
    end = time.monotonic() + timeout
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout} s")
        time.sleep(0.02)

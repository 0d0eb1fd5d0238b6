# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Servers and requests with real packets (echo.py does the talking)."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from typing import TYPE_CHECKING, Any

from .paths import HERE

if TYPE_CHECKING:
    from .space import Place

_ECHO = [sys.executable, "-I", "-S", str(HERE / "echo.py")]


class ProofError(AssertionError):
    """Traffic that should have passed did not."""


class Server:
    """An echo server in a place, ready to answer when the object exists. A context manager; it also ends with its node."""

    def __init__(self, place: Place, kind: str, port: int, bind: str) -> None:
        argv = [*_ECHO, "serve", kind, bind, str(port)]
        # A file: a pipe that nobody reads is full after some hundred requests, and the server then stands still.
        self._log = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self._process = place.popen(argv, stdin=subprocess.DEVNULL, stdout=self._log, stderr=subprocess.PIPE)
        said = self._process.stderr.readline()
        if said != "ready\n":
            self._log.close()
            raise RuntimeError(f"{place.name}: no {kind} server on {bind} port {port}: {said}{self._process.stderr.read()}")

    def stop(self) -> list[dict[str, Any]]:
        """End it; return every request it saw, as {"kind", "source", "port", "text"}."""
        self._process.kill()
        self._process.communicate()
        with self._log as log:
            log.seek(0)
            return [json.loads(line) for line in log]

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        if not self._log.closed:
            self.stop()


def _ask(kind: str, source: Place, host: str, port: int, timeout: float, text: str) -> dict[str, Any]:
    result = source.run([*_ECHO, "ask", kind, host, str(port), str(timeout), text], check=False, timeout=timeout + 10)
    if result.returncode:
        raise ProofError(f"{kind} {source.name} -> {host} port {port}: {result.stderr.strip()}")
    return json.loads(result.stdout)


def tcp(source: Place, host: str, port: int, timeout: float = 3, text: str = "hello") -> dict[str, Any]:
    """Ask an echo server; return its answer {"kind", "source": address it saw, "port", "text"}. Raises ProofError."""
    return _ask("tcp", source, host, port, timeout, text)


def udp(source: Place, host: str, port: int, timeout: float = 3, text: str = "hello") -> dict[str, Any]:
    return _ask("udp", source, host, port, timeout, text)


def ping(source: Place, host: str, size: int = 56, timeout: int = 3) -> None:
    """One echo request with size bytes of data that no router may fragment. Raises ProofError."""
    argv = ["ping", "-n", "-c", "1", "-W", str(timeout), "-M", "do", "-s", str(size), host]
    result = source.run(argv, check=False)
    if result.returncode:
        raise ProofError(f"ping {source.name} -> {host} with {size} bytes: {(result.stdout + result.stderr).strip()}")

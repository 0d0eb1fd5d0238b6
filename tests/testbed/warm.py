# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Python in a node without its start: copies of one process on the host that has all imported already (module_runner.py).

A copy has nothing of earlier ones. It enters the node's namespaces as nsenter does, with the environment of Place.run.
"""

from __future__ import annotations

import atexit
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from .paths import HERE, link_collection
from .space import below, clean_env

if TYPE_CHECKING:
    from .space import Space

_lock = threading.Lock()
_server: socket.socket | None = None


class Copy:
    """A copy at work in a node."""

    def __init__(self, pid: int, status: int) -> None:
        self._pid, self._status = pid, status

    def send_signal(self, number: int) -> None:
        for pid in below(self._pid):
            with suppress(ProcessLookupError):
                os.kill(pid, number)

    def wait(self, timeout: float) -> int:
        """The exit status, that of a signal negative. Raises TimeoutError (nothing is left running)."""
        ready, _write, _error = select.select([self._status], [], [], timeout)
        if not ready:
            self.send_signal(signal.SIGKILL)
        with os.fdopen(self._status) as pipe:
            word = pipe.read()
        if not ready:
            raise TimeoutError(f"it did not end within {timeout} s")
        return int(word or -signal.SIGKILL)  # without a word the node went, and took it along


def start(space: Space, order: dict[str, Any], stdin: int, stdout: int, stderr: int) -> Copy:
    """Carry out an order of module_runner.py in the namespaces of a space, on these streams."""
    read, write = os.pipe()
    try:
        with tempfile.TemporaryFile() as text:
            text.write(json.dumps(order).encode())
            text.flush()
            with _lock:
                socket.send_fds(_connection(), [str(space.pid).encode()], [text.fileno(), stdin, stdout, stderr, write])
                pid = _connection().recv(64)
        if not pid:
            raise RuntimeError("the process that is copied has died; it says why on standard error")
        return Copy(int(pid), read)
    except BaseException:
        os.close(read)
        raise
    finally:
        os.close(write)


def run(space: Space, order: dict[str, Any], *, stdin: str = "", timeout: float) -> subprocess.CompletedProcess[str]:
    """Carry out an order to its end."""
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        status = start(space, order, given.fileno(), out.fileno(), err.fileno()).wait(timeout)
        return subprocess.CompletedProcess([order["module"]], status, _text(out), _text(err))


def popen(space: Space, order: dict[str, Any]) -> tuple[Copy, IO[str], IO[str], IO[str]]:
    """Start an order, with pipes to its standard input and from its output and errors."""
    (stdin, writer), (out, stdout), (err, stderr) = (os.pipe() for _stream in range(3))
    try:
        copy = start(space, order, stdin, stdout, stderr)
    finally:
        for theirs in (stdin, stdout, stderr):
            os.close(theirs)
    return copy, os.fdopen(writer, "w"), os.fdopen(out), os.fdopen(err)


def _text(file: IO[bytes]) -> str:
    file.seek(0)
    return file.read().decode(errors="replace")


def _connection() -> socket.socket:
    global _server
    if _server is None:
        _server, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # -P: this folder has an ansible.py
        argv = [sys.executable, "-P", str(HERE / "module_runner.py"), str(theirs.fileno()), str(link_collection())]
        with theirs:
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()], env=clean_env(), start_new_session=True)
        atexit.register(_end, _server, process)
    return _server


def _end(server: socket.socket, process: subprocess.Popen[bytes]) -> None:
    server.close()
    process.wait()

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Functions of this process, carried out in a node: a copy of the process enters the node's namespaces and calls them.

So a run costs no start of Python and no imports, and makes the same system calls each time. This process must have one thread.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from testbed import Node

#: Where a copy's answer goes; a trace leaves calls with this descriptor out.
ANSWER = 200
_NAMESPACES = ("mnt", "net", "uts", "pid")
_LONGEST = 90  # seconds of a run
_libc = ctypes.CDLL(None, use_errno=True)


class Ended(NamedTuple):
    """How a call ended. status: 0, or minus the signal; value: what it returned, None where it was killed."""

    status: int
    value: Any


class Crash(RuntimeError):
    """The function raised what nobody handled; the text is the traceback."""


def call(node: Node, work: Callable[[], Any], strace: list[str] | None = None) -> Ended:
    """Call a function that returns JSON data, below strace with these options. Raises Crash."""
    answer, pid = os.pipe(), os.pipe()
    parent = os.fork()
    if parent == 0:
        _enter_and_call(node.pid, work, answer[1], pid, traced=strace is not None)
    os.close(answer[1])
    os.close(pid[1])
    with open(answer[0], encoding="utf-8") as said, open(pid[0], encoding="ascii") as numbers:
        number = int(numbers.readline())
        tracer = _attach(number, strace) if strace is not None else None
        text = said.read()
        os.waitpid(parent, 0)
        if tracer is not None:
            tracer.wait(_LONGEST)
        ended = Ended(int(numbers.readline()), json.loads(text) if text else None)
    if ended.value is not None and "crash" in ended.value:
        raise Crash(ended.value["crash"])
    _wait_for_orphans(node)
    return Ended(ended.status, None if ended.value is None else ended.value["value"])


def _enter_and_call(target: int, work: Callable[[], Any], answer: int, pid: tuple[int, int], *, traced: bool) -> None:
    """In the first copy: only what is forked after entering a process namespace is in it."""
    try:
        for space in [os.open(f"/proc/{target}/ns/{name}", os.O_RDONLY) for name in _NAMESPACES]:  # then /proc is the node's
            if _libc.setns(space, 0):
                raise OSError(ctypes.get_errno(), "setns")
            os.close(space)
        child = os.fork()
        if child == 0:
            _carry_out(work, answer, traced=traced)
        os.close(answer)
        os.write(pid[1], f"{child}\n".encode())
        _child, status = os.waitpid(child, 0)
        os.write(pid[1], f"{-os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)}\n".encode())
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(0)


def _carry_out(work: Callable[[], Any], answer: int, *, traced: bool) -> None:
    try:
        os.dup2(answer, ANSWER, inheritable=False)
        os.close(answer)
        nothing = os.open(os.devnull, os.O_RDWR)
        for descriptor in range(3):
            os.dup2(nothing, descriptor)
        signal.alarm(_LONGEST)
        if traced:
            os.kill(os.getpid(), signal.SIGSTOP)
        try:
            said = json.dumps({"value": work()})
        except BaseException:
            said = json.dumps({"crash": traceback.format_exc()})
        with open(ANSWER, "w", encoding="utf-8") as file:
            file.write(said)
    finally:
        os._exit(0)


def _attach(pid: int, options: list[str]) -> subprocess.Popen[bytes]:
    """Trace a process that stops itself, from its first call after that on."""
    _wait_until(lambda: _status(pid, "State").startswith("T"), "it did not stop")
    tracer = subprocess.Popen(["strace", *options, "-p", str(pid)], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _wait_until(lambda: _status(pid, "TracerPid") != "0" or tracer.poll() is not None, "nobody traces it")
    os.kill(pid, signal.SIGCONT)
    return tracer


def _status(pid: int, field: str) -> str:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(line for line in lines if line.startswith(f"{field}:")).partition(":")[2].strip()


def _wait_for_orphans(node: Node) -> None:
    """Programs that a killed run had started end by themselves; nobody else is in the node."""
    children = Path(f"/proc/{node.pid}/task/{node.pid}/children")
    _wait_until(lambda: not children.read_text().strip(), "programs of the run go on")


def _wait_until(condition: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(0.001)

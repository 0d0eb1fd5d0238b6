# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run as a script in a node, by any Python from 3.9: modules for real, without a play around them.

An order is {"paths": folders for sys.path, "module": dotted name, "args": its parameters, for a module of Ansible}. Without
arguments one order is read from standard input. With a socket and the collections' root as arguments, this is the process on
the host of which warm.py has orders carried out by copies: the start of Python and imports are what most calls cost.
"""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import traceback

CLONE_NEWNS, CLONE_NEWUTS, CLONE_NEWPID, CLONE_NEWNET = 0x20000, 0x4000000, 0x20000000, 0x40000000
_PLUGINS = "ansible_collections.kubenode.network.plugins"


def _prepare(order):
    """Import what the order needs; return the module and what gives it its parameters."""
    sys.path[:0] = [path for path in order["paths"] if path not in sys.path]
    return importlib.import_module(order["module"]), importlib.import_module("ansible.module_utils.basic")


def _carry_out(order) -> None:
    module, basic = _prepare(order)
    if "args" in order:
        basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": order["args"]}).encode()
    if hasattr(basic, "_ANSIBLE_PROFILE"):  # ansible-core 2.19 and later
        basic._ANSIBLE_PROFILE = "legacy"
    module.main()


def _copy(order) -> None:
    """Ends this process as Python does at its end."""
    status = 1
    try:
        os.setsid()
        _carry_out(order)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _enter(pid: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(os.pidfd_open(pid), CLONE_NEWNS | CLONE_NEWUTS | CLONE_NEWPID | CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), f"namespaces of {pid}")


def _answer(pid: int, order, streams, report: int) -> None:
    """Stay outside for as long as the copy in the node lives, and write its exit status."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    _enter(pid)
    copy = os.fork()  # a process is never itself in the namespace of numbers that it enters
    if copy == 0:
        os.closerange(3, 4096)
        _copy(order)
    _pid, status = os.waitpid(copy, 0)
    os.write(report, str(os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)).encode())


def _serve(number: int, collections: str) -> None:
    sys.path[:0] = [collections]
    for name in ("netaddr", "tomllib", "ansible.module_utils.basic"):
        importlib.import_module(name)
    importlib.import_module(f"{_PLUGINS}.module_utils._host.libraries").load("pyroute2")
    for info in pkgutil.walk_packages([f"{collections}/{_PLUGINS.replace('.', '/')}/modules"], f"{_PLUGINS}.modules."):
        importlib.import_module(info.name)
    gc.freeze()  # a copy that collected garbage would copy every page
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody waits for those that wait for the copies
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # or under nohup no run would ever end by one
    server = socket.socket(fileno=number)
    while True:
        message, received, _flags, _address = socket.recv_fds(server, 64, 5)
        if not message:
            return
        text, *streams, report = received
        with open(text, "rb", closefd=False) as file:
            file.seek(0)
            order = json.load(file)
        with contextlib.suppress(Exception):  # the copy meets it again, and says so
            _prepare(order)
        pid = os.fork()
        if pid == 0:
            try:
                _answer(int(message), order, streams, report)
            except OSError:
                traceback.print_exc()
            finally:
                os._exit(0)
        server.send(str(pid).encode())
        for descriptor in received:
            os.close(descriptor)


if __name__ == "__main__":
    if sys.argv[1:]:
        _serve(int(sys.argv[1]), sys.argv[2])
    else:
        _carry_out(json.load(sys.stdin))

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run as a script in a node, by any Python from 3.9: modules for real, without a play around them.

An order is {"paths": folders for sys.path, "module": dotted name, "args": its parameters}. Without arguments one order is
read from standard input. With --serve every line is an order, each carried out by a process of its own that has all
imported already, and answered by a line {"status", "stdout", "stderr"}: the start of Python is what most calls cost.
"""

from __future__ import annotations

import atexit
import contextlib
import importlib
import json
import os
import sys
import tempfile
import traceback


def _prepare(order):
    """Import what the order needs; return the module and what gives it its parameters."""
    sys.path[:0] = [path for path in order["paths"] if path not in sys.path]
    return importlib.import_module(order["module"]), importlib.import_module("ansible.module_utils.basic")


def _carry_out(order) -> None:
    module, basic = _prepare(order)
    basic._ANSIBLE_ARGS = json.dumps({"ANSIBLE_MODULE_ARGS": order["args"]}).encode()
    if hasattr(basic, "_ANSIBLE_PROFILE"):  # ansible-core 2.19 and later
        basic._ANSIBLE_PROFILE = "legacy"
    module.main()


def _child(order, out, err) -> None:
    """Ends this process as Python does at its end."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(out.fileno(), 1)
    os.dup2(err.fileno(), 2)
    status = 1
    try:
        _carry_out(order)
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)


def _answer(order):
    with contextlib.suppress(Exception):  # the copy meets it again, and says so
        _prepare(order)
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        pid = os.fork()
        if pid == 0:
            _child(order, out, err)
        _pid, status = os.waitpid(pid, 0)
        texts = []
        for file in (out, err):
            file.seek(0)
            texts.append(file.read().decode(errors="replace"))
    return {"status": os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status), "stdout": texts[0], "stderr": texts[1]}


def _serve() -> None:
    for line in sys.stdin:
        print(json.dumps(_answer(json.loads(line))), flush=True)


if __name__ == "__main__":
    if sys.argv[1:] == ["--serve"]:
        _serve()
    else:
        _carry_out(json.load(sys.stdin))

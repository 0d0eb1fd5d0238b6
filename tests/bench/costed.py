# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Stands in for a node's Python: runs it with the same arguments, and notes what that cost, its children included.

`PYTHON COSTS` come before the arguments: the interpreter, and the file that gets a line of JSON for each run.
"""

from __future__ import annotations

import json
import os
import sys
import time

python, costs, *arguments = sys.argv[1:]
begin = time.monotonic()
pid = os.posix_spawn(python, [python, *arguments], os.environ)
_pid, status, usage = os.wait4(pid, 0)
note = {
    "ran": arguments[:1],
    "cpu": usage.ru_utime + usage.ru_stime,
    "wall": time.monotonic() - begin,
    "rss": usage.ru_maxrss / 1024,  # MiB, of the largest process
}
with open(costs, "a", encoding="utf-8") as file:
    file.write(json.dumps(note) + "\n")
sys.exit(os.waitstatus_to_exitcode(status))

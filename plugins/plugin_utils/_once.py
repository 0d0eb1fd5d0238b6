# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What is the same for every node is made once in a run of ansible-playbook, not once in each of its processes."""

from __future__ import annotations

import fcntl
import hashlib
import json
import typing as t
from pathlib import Path

from ansible import constants as C


def once(key: t.Any, make: t.Callable[[Path], t.Any]) -> t.Any:
    """What ``make`` returned to the first process that asked for ``key``; both are JSON data.

    Ansible runs each task of each node in a process of its own, so that nothing in memory is left for the next one. ``make``
    gets a folder that stays until ansible-playbook ends; others wait for it meanwhile. What raises is tried anew by the next.
    """
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    folder = Path(C.DEFAULT_LOCAL_TMP) / "kubenode-network" / name
    folder.mkdir(parents=True, exist_ok=True)
    answer = folder / ".answer.json"
    with open(folder / ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not answer.exists():
            partial = folder / ".partial"
            partial.write_text(json.dumps(make(folder)))
            partial.rename(answer)
    return json.loads(answer.read_text())

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Processes that try points, one at a time each, and what they share: the undisturbed runs of each scenario.

As a script it is such a process: a line of standard input is a point, and the answer is a line of JSON, what was lost there.
"""

from __future__ import annotations

import codecs
import fcntl
import hashlib
import importlib
import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
#: What is kept between runs, by the sources that it holds for.
KEPT = ROOT / "build" / "faults"
SEED = 20260101
_SOURCES = ("plugins/module_utils", "tests/testbed")
_TRIES = ("inside", "point", "scenarios", "trace")
_ATTEMPTS = 3  # at a place that a run passed by: what it reads of /proc may differ by a process that ends


def fingerprint() -> str:
    """What the results hold for: the engine and what tries it."""
    digest = hashlib.sha256()
    paths = [path for folder in _SOURCES for path in (ROOT / folder).rglob("*.py")]
    for path in sorted([*paths, *(HERE / f"{name}.py" for name in _TRIES)]):
        digest.update(f"{path.relative_to(ROOT)}\n".encode() + path.read_bytes())
    return digest.hexdigest()[:16]


def sample(points: list[str], count: int, seed: int) -> list[str]:
    """Some of the points, the same for a seed."""
    return random.Random(seed).sample(points, min(count, len(points)))


class Worker:
    """A process of its own, with one thread, and the same hashes each time."""

    def __init__(self) -> None:
        from testbed.space import clean_env

        pipe = subprocess.PIPE
        argv = [sys.executable, "-m", "faults.worker"]
        env = clean_env({"PYTHONHASHSEED": "0", "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(HERE.parent)})
        self._process = subprocess.Popen(argv, stdin=pipe, stdout=pipe, text=True, env=env)

    def ask(self, line: str) -> Any:
        """The answer to a point; with an empty line the list of all points; with ``trace SCENARIO`` that of an undisturbed run."""
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"{line or 'points'}: the worker ended with {self._process.wait()}")
        return json.loads(answer)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()


def _all_undisturbed() -> dict[str, Any]:
    """Scenario -> its undisturbed runs. Those that another process is making just now come last."""
    from faults import scenarios

    found = {name: _undisturbed(name, wait=False) for name in scenarios.SCENARIOS}
    return {name: plain or _undisturbed(name) for name, plain in found.items()}


def _undisturbed(name: str, *, wait: bool = True) -> Any:
    """The undisturbed runs of a scenario; made once, by whoever comes first. None: somebody else is making them."""
    from faults import point, scenarios

    KEPT.mkdir(parents=True, exist_ok=True)
    path = KEPT / f"plain-{name}-{fingerprint()}.json"
    with (KEPT / f"{name}.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return None
        if not path.exists():
            path.write_text(json.dumps(point.plain(scenarios.SCENARIOS[name])._asdict()))
        return point.Plain(**json.loads(path.read_text()))


def _import_engine() -> None:
    """All of it here, too: what a run imported late it would open once or twice, by whether another process has compiled it meanwhile."""
    folder = ROOT / "plugins" / "module_utils"
    for path in sorted(folder.rglob("*.py")):
        name = ".".join(path.relative_to(folder).with_suffix("").parts).removesuffix("__init__").rstrip(".")
        importlib.import_module(f"ansible_collections.kubenode.network.plugins.module_utils.{name}".rstrip("."))


def _serve() -> None:
    sys.path.insert(0, str(ROOT / "build" / "collections"))
    codecs.lookup("ascii")  # or the first copy of this process alone would open its file
    _import_engine()
    from ansible_collections.kubenode.network.plugins.module_utils._host import kept, libraries

    from faults import point

    libraries.load("pyroute2")  # here, not in each copy of this process: it takes longest of all
    libraries.load("tomllib")
    # To look there for what a copy imports all the same opens a folder whenever other stages have put something into it.
    sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() not in (ROOT, HERE.parent)]

    kept.TICK = 1 << 62  # nothing is kept, or it would be by chance of the time

    plains: dict[str, Any] = {}
    for line in sys.stdin:
        if not line.strip():
            plains = _all_undisturbed()
            print(json.dumps([str(found) for name, plain in plains.items() for found in point.points(name, plain)]), flush=True)
            continue
        if line.startswith("trace "):
            print(json.dumps(_undisturbed(line.split()[1]).trace), flush=True)
            continue
        asked = point.Point.parse(line.strip())
        if asked.scenario not in plains:
            plains[asked.scenario] = _undisturbed(asked.scenario)
        for _attempt in range(_ATTEMPTS):
            lost = point.carry_out(asked, plains[asked.scenario])
            if not lost.startswith("passed by: "):
                break
        print(json.dumps(lost), flush=True)


if __name__ == "__main__":
    _serve()

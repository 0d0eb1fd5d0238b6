# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What earlier runs measured, a line of JSON each."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

from testbed.paths import CHECKOUT

from .figure import Figure

PATH = Path(__file__).with_name("history.jsonl")


def add(figures: Sequence[Figure], load: float) -> None:
    """load: how many processes wanted a CPU when the run began; a busy machine measures itself."""
    line = {
        "date": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "commit": _git("rev-parse", "--short=12", "HEAD") + ("+" if _git("status", "--porcelain", "--untracked-files=no") else ""),
        "kernel": os.uname().release,
        "cpus": os.cpu_count(),
        "load": round(load, 1),
        "figures": {figure.what: [round(figure.value, 3), figure.unit] for figure in figures},
    }
    with PATH.open("a", encoding="utf-8") as file:
        file.write(json.dumps(line) + "\n")


def _git(*words: str) -> str:
    done = subprocess.run(["git", "-C", str(CHECKOUT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else "unknown"

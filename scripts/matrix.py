# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the molecule scenario on a node of each Debian that is promised, one after the other; with arguments, on those.

The nodes' Pythons and libraries are what the suites package, but for bullseye's pyroute2 (molecule/default/prepare.yml).
"""
from __future__ import annotations

import json
import os
import subprocess
import sys
import time

from reports import LOGS, ROOT, Case, logged, table, write_report

SUITES = ("bullseye", "bookworm", "trixie", "sid")
# Written by molecule/default/verify.yml, before the node goes.
VERSIONS = ROOT / "build" / "molecule" / "versions.json"
HEADING = ("suite", "Python", "pyroute2", "iptables", "result", "seconds", "image")


def make_image(suite: str) -> tuple[int, float]:
    """Make the suite's image, if it is not there; return the status and how long it took."""
    started = time.monotonic()
    return logged([str(ROOT / "scripts" / "node-image"), suite], LOGS / f"molecule-{suite}.log"), time.monotonic() - started


def run_scenario(suite: str) -> tuple[int, float, dict[str, str]]:
    """Return status, seconds, and the versions that the node had, as far as it came to tell."""
    VERSIONS.unlink(missing_ok=True)
    started = time.monotonic()
    env = {**os.environ, "KUBENODE_SUITE": suite}
    status = logged(["molecule", "test", "--scenario-name", "default"], LOGS / f"molecule-{suite}.log", env)
    versions = json.loads(VERSIONS.read_text()) if VERSIONS.exists() else {}
    return status, time.monotonic() - started, versions


def run_suite(suite: str) -> tuple[Case, tuple[str, ...]]:
    """Return the case, and its row of the table. What a failed one said is printed."""
    log = LOGS / f"molecule-{suite}.log"
    log.unlink(missing_ok=True)
    print(f"matrix: {suite}", flush=True)
    status, image_seconds = make_image(suite)
    seconds, versions = 0.0, {}
    if status == 0:
        status, seconds, versions = run_scenario(suite)
    if status != 0:
        subprocess.run(["tail", "-n", "150", str(log)], check=True)
    found = [versions.get(name, "-") for name in ("python", "pyroute2", "iptables")]
    row = (suite, *found, "passed" if status == 0 else "FAILED", f"{seconds:.0f}", f"{image_seconds:.0f}")
    return Case(suite, image_seconds + seconds, "" if status == 0 else f"status {status}, see {log}"), row


def main(suites: list[str]) -> int:
    """Return 0 when the scenario passed on all of them."""
    done = [run_suite(suite) for suite in suites or SUITES]
    write_report("matrix", [case for case, _row in done])
    print(table([HEADING, *(row for _case, row in done)]))
    return int(any(case.failure for case, _row in done))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

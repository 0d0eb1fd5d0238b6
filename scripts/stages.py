# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run the stages of `make test` side by side and sum up.

Two lanes, for two cores. Stages of one lane run one after the other; what shares something (the container engine) shares a
lane. Both wait for boots and timers a third of their time: a third lane, with lower priority, has the stages that may run anywhere. Whichever
is through takes from those, so that all end at about the same time. A stage's output is shown when it is over, whole;
build/logs/STAGE.log grows meanwhile. The last line counts test cases: those of the reports (build/junit/STAGE*.xml), and one for
each stage that writes none.
"""
from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import deque
from typing import NamedTuple

from reports import LOGS, REPORTS, ROOT, Counts, read_counts

LANES = (("matrix", "multi-node", "systemd", "controllers"), ("integration",), ())
PRIORITIES = (0, 0, 10)
#: The longest first: a short one at the end leaves less of the other lane idle.
ANYWHERE = ("faults", "sanity", "unit", "lint", "build")


class Result(NamedTuple):
    """How one stage ended; seconds are wall-clock time."""

    stage: str
    status: int
    seconds: float


def run_stage(stage: str, priority: int, printing: threading.Lock) -> Result:
    """Run one stage to its end, at a priority as of nice(1), and show what it said."""
    log = LOGS / f"{stage}.log"
    started = time.monotonic()
    with printing:
        print(f"test: {stage} starts", flush=True)
    # sanity writes a log of its own, with more in it.
    output = LOGS / f"make-{stage}.log" if stage == "sanity" else log
    with output.open("wb") as file:
        status = subprocess.call(["nice", f"--adjustment={priority}", "make", stage], cwd=ROOT, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
    seconds = time.monotonic() - started
    with printing:
        print(f"\n===== {stage}: {'passed' if status == 0 else 'FAILED'} in {seconds:.0f} s")
        sys.stdout.flush()
        sys.stdout.buffer.write(output.read_bytes())
        sys.stdout.buffer.flush()
    return Result(stage, status, seconds)


def run_lane(stages: tuple[str, ...], priority: int, anywhere: deque[str], results: list[Result], printing: threading.Lock) -> None:
    """Run the stages of one lane, then what is left of the others. A failed one does not stop the next: one run should tell all."""
    for stage in stages:
        results.append(run_stage(stage, priority, printing))
    while True:
        try:
            stage = anywhere.popleft()
        except IndexError:
            return
        results.append(run_stage(stage, priority, printing))


def counts(result: Result) -> Counts:
    """Count a stage: the cases of its reports, or itself; a stage that failed counts at least one failure."""
    found = [read_counts(report) for report in REPORTS.glob(f"{result.stage}*.xml")]
    if not found:
        return Counts(int(result.status == 0), int(result.status != 0), 0)
    total = Counts(*(sum(column) for column in zip(*found)))
    return total._replace(failed=1) if result.status != 0 and total.failed == 0 else total


def summary(results: list[Result], seconds: float) -> str:
    """Return the durations, one stage a line, and the final line."""
    lines = ["", "===== summary"]
    for result in results:
        lines.append(f"{result.stage:<12} {'passed' if result.status == 0 else 'FAILED':<7} {result.seconds:7.1f} s")
    sums = [sum(column) for column in zip(*(counts(result) for result in results))]
    lines.append(f"{sums[0]} passed, {sums[1]} failed, {sums[2]} skipped in {seconds:.0f} s")
    return "\n".join(lines)


def main() -> int:
    """Run everything; 0 when every stage passed."""
    LOGS.mkdir(parents=True, exist_ok=True)
    REPORTS.mkdir(parents=True, exist_ok=True)
    for report in REPORTS.glob("*.xml"):
        report.unlink()
    results: list[Result] = []
    printing = threading.Lock()
    started = time.monotonic()
    anywhere = deque(ANYWHERE)
    lanes = [threading.Thread(target=run_lane, args=(stages, priority, anywhere, results, printing)) for stages, priority in zip(LANES, PRIORITIES)]
    for lane in lanes:
        lane.start()
    for lane in lanes:
        lane.join()
    print(summary(results, time.monotonic() - started), flush=True)
    return int(any(result.status for result in results) or len(results) != sum(map(len, LANES)) + len(ANYWHERE))


if __name__ == "__main__":
    sys.exit(main())

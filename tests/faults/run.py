# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Try all points, and write the report (`make test-faults`). What was tried is not tried again until a source changes. They are tried in
no order, so that the report of a run that is interrupted (Ctrl-C, SIGTERM) says something of all.

ARGS='--point first/kill/rename:3' tries one; --count 200 --seed 7 tries some; --fresh forgets what was tried.
"""

from __future__ import annotations

import argparse
import json
import queue
import random
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, TextIO

from faults.worker import KEPT, ROOT, SEED, Worker, fingerprint, sample

REPORT = Path(__file__).with_name("report.json")
_SHOWN = 12  # lines of what was lost


def main() -> int:
    """Try points; 0 when nothing was lost."""
    parser = argparse.ArgumentParser(prog="make test-faults", description=__doc__)
    parser.add_argument("--point", action="append", metavar="SCENARIO/FAULT/PLACE", help="try this one (may be given more than once)")
    parser.add_argument("--only", default="", metavar="TEXT", help="try those with TEXT in their name")
    parser.add_argument("--count", type=int, help="try so many, taken at random")
    parser.add_argument("--seed", type=int, default=SEED, help="of that choice (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--fresh", action="store_true", help="try again what was tried")
    options = parser.parse_args()
    workers = [Worker() for _number in range(options.workers)]
    known = workers[0].ask("")
    wanted = options.point or [point for point in known if options.only in point]
    if options.count:
        wanted = sample(wanted, options.count, options.seed)
    path = KEPT / f"tried-{fingerprint()}.jsonl"
    tried = {} if options.fresh or options.point else _read(path)
    missing = [point for point in wanted if point not in tried]
    print(f"{len(wanted)} points, {len(wanted) - len(missing)} of them tried before", flush=True)
    with path.open("w" if options.fresh else "a") as kept:
        tried.update(_try_all(workers, missing, kept))
    lost = [point for point in wanted if is_lost(tried.get(point, ""))]
    if not (options.point or options.only or options.count):
        REPORT.write_text(json.dumps(report(tried, len(known)), indent=1) + "\n")
    print(f"{len(tried.keys() & set(wanted))} of {len(wanted)} points tried, {len(lost)} lost")
    return int(bool(lost) or not set(wanted) <= set(tried))


def _read(path: Path) -> dict[str, str]:
    return {line["point"]: line["lost"] for line in map(json.loads, path.read_text().splitlines())} if path.exists() else {}


def _try_all(workers: list[Worker], points: list[str], kept: TextIO) -> dict[str, str]:
    """Try points side by side, and keep each result at once: an interrupted run goes on where it was."""
    left: queue.SimpleQueue[str] = queue.SimpleQueue()
    for point in random.Random(SEED).sample(points, len(points)):
        left.put(point)
    results: dict[str, str] = {}
    keeping = threading.Lock()

    def work(worker: Worker) -> None:
        while not ended.is_set():
            try:
                point = left.get_nowait()
            except queue.Empty:
                break
            lost = worker.ask(point)
            with keeping:
                results[point] = lost
                kept.write(json.dumps({"point": point, "lost": lost}) + "\n")
                kept.flush()
                _show(point, lost, len(results), len(points))
        worker.close()

    ended = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ended.set())
    threads = [threading.Thread(target=work, args=(worker,)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(results) < len(points) and not ended.is_set():
        raise SystemExit(f"only {len(results)} of {len(points)} points were tried")
    return results


def _show(point: str, lost: str, done: int, total: int) -> None:
    if is_lost(lost):
        lines = lost.splitlines()
        more = [f"... {len(lines) - _SHOWN} more lines"] if len(lines) > _SHOWN else []
        print("\n  ".join([f"{point}: LOST", *lines[:_SHOWN], *more, repeat(point)]), flush=True)
    elif done % 50 == 0 or done == total:
        print(f"{done} of {total}", flush=True)


def repeat(point: str) -> str:
    return f"once more: make test-faults ARGS='--point {point}'"


def report(tried: dict[str, str], points: int) -> dict[str, Any]:
    """Points that there are, and of those tried and lost, per scenario and fault."""
    table: dict[str, dict[str, dict[str, int]]] = {}
    for point, said in sorted(tried.items()):
        scenario, fault, _place = point.split("/", 2)
        counts = table.setdefault(scenario, {}).setdefault(fault, {"tried": 0, "lost": 0, "mended later": 0})
        counts["tried"] += 1
        counts["lost"] += int(is_lost(said))
        counts["mended later"] += int(bool(said) and not is_lost(said))
    git = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--exclude=*"]
    commit = subprocess.run(git, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()
    lost_points = {point: said.splitlines()[0] for point, said in sorted(tried.items()) if is_lost(said)}
    counts = {"points": points, "tried": len(tried), "lost": len(lost_points)}
    return {"commit": commit, "sources": fingerprint(), **counts, "scenarios": table, "lost_points": lost_points}


def is_lost(said: str) -> bool:
    return bool(said) and not said.startswith("later: ")


if __name__ == "__main__":
    sys.exit(main())

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the figures and add them to history.jsonl. A goal that is missed is said and is no failure: a busy machine misses some."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from testbed.paths import link_collection  # noqa: E402

sys.path.insert(0, str(link_collection()))

from bench import history  # noqa: E402
from bench.report import PARTS, report  # noqa: E402

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="+", choices=PARTS, default=list(PARTS), help="parts to measure (default: all)")
    parser.add_argument("--times", type=int, default=15, help="turns to take the median of (default 15)")
    parser.add_argument("--pairs", type=int, default=20, help="pairs of ping and a whole node, and of transfers (default 20)")
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a transfer (default 0.5)")
    parser.add_argument("--hosts", nargs="+", type=int, default=[1, 20], help="hosts of a play (default 1 20)")
    parser.add_argument("--nodes", type=int, default=200, help="size of the fleet of real nodes, 0 for none (default 200)")
    parser.add_argument("--no-history", action="store_true", help="add nothing to history.jsonl")
    given = parser.parse_args()
    for number in (signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, lambda number, _frame: sys.exit(128 + number))  # so that nodes and containers go
    load, figures = os.getloadavg()[0], []
    for figure in report(given.only, times=given.times, pairs=given.pairs, seconds=given.seconds, hosts=given.hosts, nodes=given.nodes):
        print(figure, flush=True)
        figures.append(figure)
    if not given.no_history:
        history.add(figures, load)

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Print the figures (measure.py). A goal that is missed is said and is no failure: a busy machine misses some."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from testbed.paths import link_collection  # noqa: E402

sys.path.insert(0, str(link_collection()))

from bench import fleet  # noqa: E402
from bench.measure import report  # noqa: E402

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=15, help="turns to take the median of (default 15)")
    parser.add_argument("--pairs", type=int, default=10, help="pairs of transfers to take the median of (default 10)")
    parser.add_argument("--seconds", type=float, default=1, help="length of a transfer (default 1)")
    parser.add_argument("--nodes", type=int, default=200, help="size of the fleet of real nodes, 0 for none (default 200)")
    given = parser.parse_args()
    print("\n".join(str(figure) for figure in report(given.times, given.pairs, given.seconds)))
    print("\n".join(str(figure) for figure in fleet.report(2, given.nodes)))

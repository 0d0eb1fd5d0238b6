# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node of a fleet costs the controller, and a fleet of real runs with three nodes that are not as they should be.

The site playbook as it stands, with its batches. Seconds of CPU are those of ansible-playbook and all that it started.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from testbed.fleet import Cost, Fleet, run_site, stubs

from .figure import Figure

COUNTS = (25, 50, 100, 200)
#: The fewest nodes that are as many batches as any more.
FEW = 5
SPREAD = 15


def controller(times: int, counts: Sequence[int] = COUNTS) -> list[Figure]:
    """CPU of the controller per node, where nodes answer at once (testbed/connections/stub.py).

    Held to the limit is what each further node costs. A run for five nodes, which is as many batches as any other, is taken off first:
    to start, and once for each batch, ansible-playbook needs as much for five nodes as for 200, so that all CPU per node falls with
    their number whatever is done for a node. Those figures stand beside. The least of some turns: others on the machine only add.
    """
    least: dict[int, float] = {}
    with TemporaryDirectory(prefix="fleet-") as folder:
        for _turn in range(times):
            for count in (FEW, *counts):
                play, cost = run_site(Path(folder), stubs(count), timeout=1800)
                assert play.rc == 0, play.stdout + play.stderr
                least[count] = min(cost.cpu, least.get(count, cost.cpu))
    each = {count: (least[count] - least[FEW]) / (count - FEW) * 1000 for count in counts}
    return [
        Figure(f"controller, CPU of a run for {FEW} nodes, stubbed", least[FEW], "s"),
        *(Figure(f"controller, CPU per further node of {count}, stubbed", value, "ms") for count, value in each.items()),
        *(Figure(f"controller, all CPU per node of {count}, stubbed", least[count] / count * 1000, "ms") for count in counts),
        Figure("controller, CPU per further node, most over least", (max(each.values()) / min(each.values()) - 1) * 100, "%", SPREAD),
    ]


def converge(count: int, forks: int = 20) -> list[Figure]:
    """A fleet with one node that is dead, one that hangs and one that cannot be written; then the others once more."""
    with TemporaryDirectory(prefix="fleet-") as folder, Fleet(count, Path(folder)) as fleet:
        dead, hanging, broken = bad = list(fleet.nodes)[-3:]
        fleet.kill(dead)
        fleet.slow_down(hanging, 3600, limit=5)
        fleet.damage(broken)
        good = [name for name in fleet.nodes if name not in bad]
        # A first run: what the dead one has is not known, and it has nothing.
        play, first = fleet.site({"kubenode_network_canary": good[-1], "node_network_pod_cidr_rebuild": "partial"}, forks=forks, timeout=7200)
        right = [name for name in play.stats if play.stats[name]["failures"] == play.stats[name]["unreachable"] == 0]
        named = [name for name in bad if f"\n  {name}: " in play.stdout.rpartition("POD NETWORK")[2]]
        assert sorted(right) == good, play.stdout
        again, second = fleet.site(args=("--limit", ",".join(good)), forks=forks, timeout=7200)
        assert again.rc == 0, again.stdout
    return [
        Figure(f"{count} real nodes, those right beside 3 bad ones", len(right), "nodes", count - 3, least=True),
        Figure(f"{count} real nodes, bad ones that are named", len(named), "nodes", 3, least=True),
        *_costs(f"{count} real nodes, first run", first, count),
        *_costs(f"{len(good)} real nodes, second run", second, len(good)),
        Figure(f"{len(good)} real nodes, second run, changes", again.changed, "", 0),
    ]


def _costs(what: str, cost: Cost, count: int) -> list[Figure]:
    return [Figure(f"{what}, wall", cost.wall, "s"), Figure(f"{what}, CPU per node with the controller's", cost.cpu / count, "s")]


def report(times: int, count: int) -> list[Figure]:
    """Every figure; no real nodes with a count of 0."""
    return [*controller(times), *(converge(count) if count else [])]

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that can be measured, in parts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from . import allocation, fleet, measure, play, routes, whole
from .figure import Figure

#: whole: a node in one task. play: a playbook against two others. fleet: many nodes. routes: thousands of them. tasks: single modules.
#: validation, throughput, allocation: what they say.
PARTS = ("whole", "play", "fleet", "routes", "tasks", "validation", "throughput", "allocation")


def report(parts: Sequence[str], *, times: int, pairs: int, seconds: float, hosts: Sequence[int], nodes: int) -> Iterator[Figure]:
    """The figures of the parts, as they become known. times: turns of a task. pairs: of ping and a whole node, and of transfers of so
    many seconds. hosts: how many a play has, one figure after the other. nodes: of the fleet."""
    figures: dict[str, Callable[[], Iterable[Figure]]] = {
        "whole": lambda: whole.whole(pairs),
        "play": lambda: (figure for count in hosts for connection in play.CONNECTIONS for figure in play.plays(connection, count, 3 if count == 1 else 1)),
        "fleet": lambda: fleet.report(2, nodes),
        "routes": lambda: routes.report(times),
        "tasks": lambda: measure.runs_without_a_change(times),
        "validation": lambda: measure.validation(times),
        "throughput": lambda: measure.throughput(pairs, seconds),
        "allocation": lambda: allocation.allocation(max(1, times // 5)),
    }
    for part in PARTS:
        if part in parts:
            yield from figures[part]()

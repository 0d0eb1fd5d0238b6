# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that can be measured, in parts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from . import fleet, measure, play, routes, whole
from .figure import Figure

#: whole: a node in one task. play: a playbook against two others. fleet: many nodes. routes: thousands of them. tasks: single modules.
#: validation, throughput: what they say.
PARTS = ("whole", "play", "fleet", "routes", "tasks", "validation", "throughput")


def report(parts: Sequence[str], *, times: int, pairs: int, seconds: float, hosts: Sequence[int], nodes: int) -> Iterator[Figure]:
    """The figures of the parts, as they become known. times: turns of a task. pairs: of ping and a whole node, and of transfers of so
    many seconds. hosts: how many a play has, one figure after the other. nodes: of the fleet."""
    if "whole" in parts:
        yield from whole.whole(pairs)
    if "play" in parts:
        for count in hosts:
            for connection in play.CONNECTIONS:
                yield from play.plays(connection, count, times=3 if count == 1 else 1)
    if "fleet" in parts:
        yield from fleet.report(2, nodes)
    if "routes" in parts:
        yield from routes.report(times)
    if "tasks" in parts:
        yield from measure.runs_without_a_change(times)
    if "validation" in parts:
        yield from measure.validation(times)
    if "throughput" in parts:
        yield from measure.throughput(pairs, seconds)

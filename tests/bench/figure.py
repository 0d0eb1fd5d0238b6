# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One line of the report."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from typing import NamedTuple


class Figure(NamedTuple):
    """A value, and what it should not exceed (None: just to know) or, with `least`, not fall below.

    spread: the lowest and the highest of the values that it is the median of.
    """

    what: str
    value: float
    unit: str
    goal: float | None = None
    least: bool = False
    spread: tuple[float, float] | None = None

    @property
    def met(self) -> bool:
        return self.goal is None or (self.value >= self.goal if self.least else self.value <= self.goal)

    def __str__(self) -> str:
        goal = "" if self.goal is None else f"  (goal {self.goal:g}: {'met' if self.met else 'MISSED'})"
        spread = "" if self.spread is None else f"  {self.spread[0]:.2f} to {self.spread[1]:.2f}"
        return f"{self.what:<62} {self.value:7.2f} {self.unit:<10}{goal}{spread}"


def low(values: Sequence[float]) -> float:
    """The lower quartile: what a run costs when nobody else is busy on the machine."""
    return statistics.quantiles(values, n=4)[0] if len(values) > 1 else values[0]

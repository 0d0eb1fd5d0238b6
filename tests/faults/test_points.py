# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some of the points of tests/faults/run.py, chosen at random: real runs that are killed or fail, and what becomes of the node.

KUBENODE_FAULTS_SEED chooses others.
"""

from __future__ import annotations

import os

import pytest

from faults.run import is_lost, repeat
from faults.worker import SEED, sample

COUNT = 200


@pytest.fixture(scope="session")
def points(worker):
    """The chosen ones; all of them hold for each process that runs tests."""
    return sample(worker.ask(""), COUNT, int(os.environ.get("KUBENODE_FAULTS_SEED", SEED)))


@pytest.mark.parametrize("number", range(COUNT))
def test_nothing_is_lost(worker, points, number):
    lost = worker.ask(points[number])
    assert not is_lost(lost), f"{points[number]}: {lost}\n{repeat(points[number])}"

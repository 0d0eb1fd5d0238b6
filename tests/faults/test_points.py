# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some of the points of tests/faults/run.py, chosen at random: real runs that are killed or fail, and what becomes of the node.

KUBENODE_FAULTS_SEED chooses others.
"""

from __future__ import annotations

import os
import sysconfig

import pytest

from faults import trace
from faults.run import is_lost, repeat
from faults.worker import ROOT, SEED, sample

COUNT = 200


@pytest.fixture(scope="session")
def points(worker):
    """The chosen ones; all of them hold for each process that runs tests."""
    return sample(worker.ask(""), COUNT, int(os.environ.get("KUBENODE_FAULTS_SEED", SEED)))


@pytest.mark.parametrize("scenario", ["first", "change", "removal"])
def test_a_run_imports_nothing(worker, scenario):
    """Calls are counted: what Python opens for an import depends on what others have put into its folders meanwhile."""
    opened = [call.args for call in trace.read(worker.ask(f"trace {scenario}")) if call.name == "openat"]
    assert len(opened) > 100
    folders = [sysconfig.get_path("stdlib"), str(ROOT / "tests"), f'{ROOT}"']
    assert not [args for args in opened if any(f'"{folder}' in args for folder in folders)]


@pytest.mark.parametrize("number", range(COUNT))
def test_nothing_is_lost(worker, points, number):
    lost = worker.ask(points[number])
    assert not is_lost(lost), f"{points[number]}: {lost}\n{repeat(points[number])}"

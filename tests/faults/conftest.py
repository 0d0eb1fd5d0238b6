# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import pytest

from faults.worker import Worker


@pytest.fixture(scope="session")
def worker():
    """A process that tries points."""
    made = Worker()
    yield made
    made.close()

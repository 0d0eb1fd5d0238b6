# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: throw-away nodes. Without root these tests fail; they are never skipped."""

from __future__ import annotations

import pytest
from testbed import Node


@pytest.fixture
def node():
    """A node with an uplink (MTU 1450) and nothing configured."""
    with Node() as made:
        yield made


@pytest.fixture
def plugin_node(node):
    """A node that also has the reference plugins in /opt/cni/bin."""
    node.install_plugins()
    return node

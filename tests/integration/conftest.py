# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fixtures: throw-away nodes. Without root these tests fail; they are never skipped."""

from __future__ import annotations

import pytest
from testbed import Node

#: Files that take a minute or more, the longest first: one that begins last would leave the other workers idle at the end.
LONG = ("test_rollback", "test_roles", "test_chained", "test_in_place_changes", "test_cni_plugins_action", "test_examples", "test_real_chain",
        "test_cni_plugins_url", "test_cni_plugins_package", "test_loaders", "test_program", "test_bad_input")


def pytest_collection_modifyitems(items):
    """Sorts whole files; the Makefile keeps pytest-xdist from sorting them by their number of tests."""
    place = {name: number for number, name in enumerate(LONG)}
    items.sort(key=lambda item: place.get(item.path.stem, len(LONG)))


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

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.kubenode.network.plugins.module_utils._host import files


@pytest.fixture(autouse=True)
def own_files(monkeypatch):
    """The engine gives its files to root; tests that run as somebody else keep theirs."""
    if os.geteuid() != 0:
        monkeypatch.setattr(os, "fchown", lambda descriptor, owner, group: None)


@pytest.fixture
def store(tmp_path, monkeypatch):
    path = tmp_path / "var" / "found"
    monkeypatch.setattr(files, "STORE", str(path))
    return path

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os

import pytest
from ansible_collections.kubenode.network.plugins.module_utils import _execution
from ansible_collections.kubenode.network.plugins.module_utils._converge import Want
from ansible_collections.kubenode.network.plugins.module_utils._document import Document
from ansible_collections.kubenode.network.plugins.module_utils._host import files
from ansible_collections.kubenode.network.plugins.module_utils._resources.file import File
from ansible_collections.kubenode.network.plugins.module_utils._sections.base import Run


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


class Disk:
    """A node that is nothing but the files below one folder."""

    def __init__(self, root):
        self.root = root
        self.document = root / "etc" / "node.json"

    def new_run(self):
        return Run(Document.load(str(self.document)))

    def want(self, path, data, mode=0o644):
        """A file with this content, owned by whoever runs the tests."""
        resource = File(str(path), files.Bytes(data))
        return Want(resource, {**resource.wanted(mode), "owner": os.geteuid(), "group": os.getegid()})

    def converge(self, *parts):
        return _execution.settle(parts, self.new_run(), _execution.Terms("a test"))


@pytest.fixture
def disk(tmp_path, store):
    return Disk(tmp_path)

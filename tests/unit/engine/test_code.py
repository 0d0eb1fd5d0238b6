# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The engine's code as a run keeps it, so that it can be undone by the code that it was done by."""

from __future__ import annotations

import io
import os
import zipfile

from ansible_collections.kubenode.network.plugins.module_utils._host import code


def test_only_packages_are_looked_into(tmp_path, monkeypatch):
    for name in ("__init__.py", "_door.py", "_host/files.py", "_host/__pycache__/files.py", ".ruff_cache/0.1/x.py", "_host/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(name)
    looked = []
    scandir = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: looked.append(os.path.relpath(path, tmp_path)) or scandir(path))
    with zipfile.ZipFile(io.BytesIO(code._packed(str(tmp_path)))) as archive:
        assert sorted(archive.namelist()) == ["kubenode_network/__init__.py", "kubenode_network/_door.py", "kubenode_network/_host/files.py"]
        assert archive.read("kubenode_network/_host/files.py") == b"_host/files.py"
    assert sorted(looked) == [".", "_host"]

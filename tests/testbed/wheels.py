# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wheels of what is installed in this environment, for a node that may ask no package index."""

from __future__ import annotations

import base64
import hashlib
import importlib.metadata
import zipfile
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement


def needed(*names: str) -> set[str]:
    """Names of distributions with all that they require here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop().lower()
        if name not in found:
            found.add(name)
            requirements = map(Requirement, importlib.metadata.requires(name) or [])
            waiting += [req.name for req in requirements if req.marker is None or req.marker.evaluate({"extra": ""})]
    return found


def make(folder: Path, *names: str) -> Path:
    """Write a wheel (PEP 427) of each distribution that is needed; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in needed(*names):
        _make_one(importlib.metadata.distribution(name), folder)
    return folder


def _make_one(distribution: importlib.metadata.Distribution, folder: Path) -> None:
    stem = f"{distribution.name.replace('-', '_')}-{distribution.version}"
    tag = Parser().parsestr(distribution.read_text("WHEEL") or "")["Tag"]
    files = [path for path in distribution.files or [] if ".." not in path.parts and path.suffix != ".pyc"]
    about = next(path.parent for path in files if path.name == "METADATA")
    kept = [path for path in files if path.name not in {"RECORD", "INSTALLER", "REQUESTED", "direct_url.json"}]
    with zipfile.ZipFile(folder / f"{stem}-{tag}.whl", "w", zipfile.ZIP_STORED) as wheel:
        record = []
        for path in kept:
            data = Path(distribution.locate_file(path)).read_bytes()
            wheel.writestr(str(path), data)
            digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
            record.append(f"{path},sha256={digest},{len(data)}\n")
        wheel.writestr(f"{about}/RECORD", "".join([*record, f"{about}/RECORD,,\n"]))

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The engine as an archive: module_utils as a package of its own."""

from __future__ import annotations

import io
import typing as t
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path

PACKAGE = "kubenode_network"


def archive(members: Mapping[str, bytes]) -> bytes:
    """The same files give the same bytes, wherever and whenever they are put together: in order, without times, as they are."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as file:
        for name, data in sorted(members.items()):
            entry = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
            entry.create_system, entry.external_attr = 3, 0o100644 << 16
            file.writestr(entry, data)
    return made.getvalue()


def package(engine: Path, without: t.Container[str] = ()) -> dict[str, bytes]:
    """The files of the folder ``engine``, some of its packages left out."""
    found = {f"{PACKAGE}/{name}": data for name, data in sources(engine) if name.partition("/")[0] not in without}
    return {**found, f"{PACKAGE}/__init__.py": b""}


def sources(folder: Path) -> Iterator[tuple[str, bytes]]:
    for path in folder.rglob("*.py"):
        if path.is_file() and not path.name.startswith("."):  # an editor's
            yield path.relative_to(folder).as_posix(), path.read_bytes()

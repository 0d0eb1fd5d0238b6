# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import io
import os
import typing as t

#: The package's name in an archive that is made here.
NAME = "kubenode_network"


def running(package: str) -> tuple[bytes, str]:
    """The code of ``package`` that runs now, as the bytes of a zip file, and the package's name in there.

    Ansible brings a module as an archive, and the program on the node is one: they are taken as they are. Where the code runs from a
    folder, its files are put together.
    """
    own = archive()
    if own is not None:
        with open(own, "rb") as file:
            return file.read(), package
    return _packed(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), NAME


def archive() -> str | None:
    """The archive that this code runs from, if it does. Ansible's goes with the module."""
    loader: t.Any = __spec__.loader
    return t.cast("str | None", getattr(loader, "archive", None))


def _packed(folder: str) -> bytes:
    import zipfile  # seldom needed

    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(f"{NAME}/__init__.py", b"")
        for where, folders, names in os.walk(folder):
            folders[:] = [name for name in folders if name.isidentifier() and name != "__pycache__"]  # what others put there is no code
            for name in names:
                if name.endswith(".py") and (where, name) != (folder, "__init__.py"):
                    path = os.path.join(where, name)
                    archive.write(path, os.path.join(NAME, os.path.relpath(path, folder)))
    return packed.getvalue()

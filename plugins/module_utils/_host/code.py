# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import io
import os
import typing as t

from .._errors import NodeError
from . import bytecode, files

#: The package's name in an archive that is made here, and in the controller's.
NAME = "kubenode_network"


def running(package: str) -> tuple[bytes, str]:
    """The code of ``package`` that runs now, as the bytes of a zip file, and the package's name in there.

    Ansible brings a module as an archive, the engine is one, and so is the program on the node: they are taken as they are. Where the
    code runs from a folder, its files are put together.
    """
    importer, own = _importer(), archive()
    if importer is not None:
        return importer.packed, package
    if own is not None:
        with open(own, "rb") as file:
            return file.read(), package
    return _packed(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), NAME


def keep() -> None:
    """Keeps for the next run what was sent and what had to be compiled. Failing is no error: it will be sent or compiled again."""
    importer = _importer()
    if importer is None:
        return
    try:
        if importer.is_new:
            _keep(bytecode.ENGINE, importer.packed)
            importer.is_new = False
        if importer.has_new_code:
            _keep(bytecode.CACHE, importer.to_keep())
    except (NodeError, OSError):
        return


def is_kept() -> bool:
    """Whether this code is the engine's, and the next run finds it on the node."""
    importer = _importer()
    return importer is not None and importer.package == NAME and not importer.is_new


def _keep(path: str, data: bytes) -> None:
    files.make_folder(os.path.dirname(path), 0o700)
    files.write(path, files.Bytes(data), mode=0o600)


def _importer() -> bytecode.Importer | None:
    return getattr(__spec__.loader, "importer", None)


def archive() -> str | None:
    """The archive that Python runs this code from, if it does. Ansible's goes with the module."""
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

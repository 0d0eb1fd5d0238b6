# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import hashlib
import os
import tarfile
import typing as t

from .._errors import NodeError
from .files import CHUNK

ALGORITHMS = ("sha256", "sha512")


class Member:
    """A file in an archive, as content to be written."""

    def __init__(self, archive: str, name: str) -> None:
        self.archive = archive
        self.name = name
        digest = hashlib.sha256()
        for chunk in self.chunks():
            digest.update(chunk)
        self.sha256 = digest.hexdigest()

    def chunks(self) -> t.Iterator[bytes]:
        with tarfile.open(self.archive) as archive:
            file = t.cast("t.IO[bytes]", archive.extractfile(self.name))  # None for what is no regular file; those are no members
            yield from iter(lambda: file.read(CHUNK), b"")


def checksum(path: str, algorithm: str) -> str:
    digest = hashlib.new(algorithm)
    try:
        with open(path, "rb") as file:
            for chunk in iter(lambda: file.read(CHUNK), b""):
                digest.update(chunk)
    except OSError as error:
        raise NodeError(f"{path} cannot be read: {error.strerror}") from error
    return digest.hexdigest()


def list_files(path: str) -> tuple[dict[str, str], list[str]]:
    """The regular files at the top of a tar archive, as plain name -> name in the archive, and what is wrong with its
    entries: names and links that leave the folder, and names that stand twice."""
    names: dict[str, str] = {}
    wrong = []
    try:
        with tarfile.open(path) as archive:
            for entry in archive:
                wrong += [f"its entry {bad!r} leaves the folder" for bad in _leaving(entry)]
                plain = os.path.normpath(entry.name)
                if entry.isreg() and "/" not in plain:
                    wrong += [f"its entry {plain!r} stands twice"] if plain in names else []
                    names[plain] = entry.name
    except (tarfile.TarError, EOFError, OSError) as error:
        raise NodeError(f"{path} is not a readable tar archive: {error}") from error
    return names, wrong


def _leaving(entry: tarfile.TarInfo) -> list[str]:
    targets = [entry.name]
    if entry.issym():
        targets.append(os.path.join(os.path.dirname(entry.name), entry.linkname))
    if entry.islnk():
        targets.append(entry.linkname)
    return [target for target in targets if target.startswith("/") or os.path.normpath(target).split("/")[0] == ".."]

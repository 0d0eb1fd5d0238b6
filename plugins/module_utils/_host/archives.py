# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import typing as t

from .._errors import NodeError
from .files import CHUNK

#: Bytes unpacked, far above what all plugins together take (1.9.1: 66 MB). A sparse file may say anything of itself.
LIMIT = 2_000_000_000


def contents(path: str, members: t.Mapping[str, str]) -> t.Iterator[tuple[str, t.IO[bytes]]]:
    """The files named by ``members`` (name -> name in the archive), each with its name and while it is its turn.

    One pass: to look for one file after the other would uncompress the archive from its start each time.
    """
    names = {member: name for name, member in members.items()}
    with tarfile.open(path) as archive:
        for entry in archive:
            file = archive.extractfile(entry) if entry.isreg() and entry.name in names else None
            if file is not None:
                yield names[entry.name], file


def unpack(path: str, members: t.Mapping[str, str], folder: str) -> dict[str, str]:
    """Writes files of the archive into a folder of ours and returns name -> path."""
    paths = {name: os.path.join(folder, name) for name in members}
    for name, content in contents(path, members) if members else ():
        try:
            with open(paths[name], "xb") as file:
                shutil.copyfileobj(content, file, CHUNK)
        except OSError as error:
            raise NodeError(f"{paths[name]} cannot be written: {error.strerror or error}") from error
    return paths


def copy(path: str, target: str, algorithm: str) -> str:
    """Copies the archive and returns the copy's checksum: whoever can write to its folder could swap it in between."""
    digest = hashlib.new(algorithm)
    try:
        with open(path, "rb") as file, open(target, "xb") as mine:
            for chunk in iter(lambda: file.read(CHUNK), b""):
                digest.update(chunk)
                mine.write(chunk)
    except OSError as error:
        raise NodeError(f"{path} cannot be copied to {target}: {error.strerror}") from error
    return digest.hexdigest()


def list_files(path: str) -> tuple[dict[str, str], list[str]]:
    """The regular files at the top of a tar archive, as plain name -> name in the archive, and what is wrong with its
    entries: names and links that leave the folder, and names that stand twice."""
    names: dict[str, str] = {}
    wrong = []
    size = 0
    try:
        with tarfile.open(path) as archive:
            for entry in archive:
                size += entry.size
                if size > LIMIT:
                    raise tarfile.TarError(f"it has more than {LIMIT / 1e6:.0f} MB when it is unpacked")
                wrong += [f"its entry {bad!r} leaves the folder" for bad in _leaving(entry)]
                plain = os.path.normpath(entry.name)
                if entry.isreg() and "/" not in plain:
                    wrong += [f"its entry {plain!r} stands twice"] if plain in names else []
                    names[plain] = entry.name
    except Exception as error:  # each compression has its own, of a library that Python may be without
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")  # tarfile tells what each of its formats thought of it
        raise NodeError(f"{path} is not a readable tar archive: {reason}") from error
    return names, wrong


def _leaving(entry: tarfile.TarInfo) -> list[str]:
    targets = [entry.name]
    if entry.issym():
        targets.append(os.path.join(os.path.dirname(entry.name), entry.linkname))
    if entry.islnk():
        targets.append(entry.linkname)
    return [target for target in targets if target.startswith("/") or os.path.normpath(target).split("/")[0] == ".."]

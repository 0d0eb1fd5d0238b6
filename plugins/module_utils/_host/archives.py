# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import functools
import hashlib
import os
import tarfile
import typing as t

from .._errors import NodeError
from .files import CHUNK, FileContent
from .threads import Later, behind, take

#: Bytes unpacked, far above what all plugins together take (1.9.1: 66 MB). A sparse file may say anything of itself.
LIMIT = 2_000_000_000


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


class Unreadable(NodeError):
    """What is there is no archive, or a damaged one."""


class Unpacked(t.NamedTuple):
    """What an archive has at its top. ``names``: of its regular files; ``contents``: those of them that were asked for, unpacked;
    ``wrong``: names and links that leave the folder, and names that stand twice."""

    names: set[str]
    contents: dict[str, FileContent]
    wrong: list[str]


def unpack(path: str, names: t.Container[str], folder: str, done: t.Callable[[str], None] = lambda path: None) -> Unpacked:
    """Writes the regular files at the top of a tar archive that have one of the ``names`` into a folder of ours, as programs, and calls
    ``done`` with the path of each. One pass: to uncompress takes longer than all the rest. What is ``wrong`` is for the caller to refuse."""
    found = Unpacked(set(), {}, [])
    size = 0
    try:
        with tarfile.open(path) as archive, behind() as later:
            for entry in archive:
                size += entry.size
                if size > LIMIT:
                    raise tarfile.TarError(f"it has more than {LIMIT / 1e6:.0f} MB when it is unpacked")
                found.wrong.extend(f"its entry {bad!r} leaves the folder" for bad in _leaving(entry))
                name = os.path.normpath(entry.name)
                if entry.isreg() and "/" not in name:
                    found.wrong.extend([f"its entry {name!r} stands twice"] if name in found.names else [])
                    if name in names and name not in found.names:
                        found.contents[name] = _write(t.cast("t.IO[bytes]", archive.extractfile(entry)), os.path.join(folder, name), later)
                        done(found.contents[name].path)
                    found.names.add(name)
    except NodeError:
        raise
    except Exception as error:  # each compression has its own, of a library that Python may be without
        reason = (str(error).splitlines() or [type(error).__name__])[0].rstrip(":")  # tarfile tells what each of its formats thought of it
        raise Unreadable(f"{path} is not a readable tar archive: {reason}") from error
    return found


def _write(source: t.IO[bytes], path: str, later: Later) -> FileContent:
    digest = hashlib.sha256()
    try:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o700), "wb") as file:
            for chunk in iter(lambda: source.read(CHUNK), b""):
                later(functools.partial(take, chunk, file, digest))
            later(lambda: None)
    except OSError as error:
        if error.errno is None:  # what is wrong is the archive (gzip.BadGzipFile)
            raise
        raise NodeError(f"{path} cannot be written: {error.strerror}") from error
    return FileContent(path, digest.hexdigest(), movable=True)


def _leaving(entry: tarfile.TarInfo) -> list[str]:
    targets = [entry.name]
    if entry.issym():
        targets.append(os.path.join(os.path.dirname(entry.name), entry.linkname))
    if entry.islnk():
        targets.append(entry.linkname)
    return [target for target in targets if target.startswith("/") or os.path.normpath(target).split("/")[0] == ".."]

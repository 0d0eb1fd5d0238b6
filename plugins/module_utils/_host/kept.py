# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What was found out about files, each thing once for as long as the file stays the one it is: the SHA-256 of a binary, the
version of a program."""

from __future__ import annotations

import contextlib
import json
import os
import stat
import time
import typing as t

from .._errors import NodeError
from . import files

#: In /run, because the numbers of devices, which are part of a file's identity, change at a boot.
PATH = "/run/kubenode-network/files.json"
SCHEMA = 1
#: Nanoseconds within which two changes of a file may get the same timestamps: a file system may count in seconds, FAT in two.
TICK = 2_000_000_000

Facts = dict[str, str]


class Table:
    """Path -> identity of the file, and what is known of it by name."""

    def __init__(self, entries: dict[str, tuple[list[int], Facts]]) -> None:
        self.entries = entries
        self.is_new = False
        self._racy: dict[tuple[str, str], tuple[list[int], str]] = {}

    @classmethod
    def load(cls) -> Table:
        try:
            found = json.loads(read_own(PATH))
            if found["schema"] != SCHEMA:
                return cls({})
            return cls({path: (_checked(item["key"], int), _checked(item["facts"], str)) for path, item in found["files"].items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls({})

    def of(self, path: str, name: str, ask: t.Callable[[str], str]) -> str:
        """What ``ask(path)`` says. It is kept unless the file changed meanwhile, or so lately that it could change again and look
        the same (git calls that racy): ctime, which nobody can set, has to be older than a tick by then. This run, which wrote such a
        file itself, believes what it read of it; the next one reads it again."""
        now = time.time_ns()
        key = identity(path)
        known, facts = self.entries.get(path, (key, {}))
        if known == key and name in facts:
            return facts[name]
        racy = self._racy.get((path, name))
        if racy and racy[0] == key:
            return racy[1]
        answer = ask(path)
        if identity(path) != key or path.startswith("/proc/"):
            return answer
        if key[-1] < now - TICK:
            self.entries[path] = (key, {**(facts if known == key else {}), name: answer})
            self.is_new = True
        else:
            self._racy[path, name] = (key, answer)
        return answer

    def save(self) -> None:
        there = {path: {"key": key, "facts": facts} for path, (key, facts) in self.entries.items() if os.path.isfile(path)}
        with contextlib.suppress(NodeError, OSError):
            files.make_folder(os.path.dirname(PATH), 0o700)
            files.write(PATH, files.Bytes(json.dumps({"schema": SCHEMA, "files": there}).encode()), mode=0o600)


_table: Table | None = None


def _current() -> Table:
    global _table
    if _table is None:
        _table = Table.load()
    return _table


def sha256_of(path: str) -> str:
    """The file's hash, read in full only when the file is another one than it was when it was last read in full."""
    return _current().of(path, "sha256", files.sha256_of)


def said_by(path: str, name: str, ask: t.Callable[[str], str]) -> str:
    """What a program says of itself. A script is asked each time: it may run others."""
    return _current().of(path, name, ask) if is_elf(path) else ask(path)


def distrust() -> None:
    """Lets nothing count that earlier runs found out."""
    global _table
    _table = Table({})


def forget() -> None:
    """Reads what is kept anew when it is needed next."""
    global _table
    _table = None


def save() -> None:
    """Keeps what is new. Failing is no error: files will be read again."""
    if _table is not None and _table.is_new:
        _table.save()


def identity(path: str) -> list[int]:
    """Device, inode, size, and mtime and ctime in nanoseconds of the file that a path leads to."""
    info = os.stat(path)
    return [info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns]


def is_elf(path: str) -> bool:
    with open(path, "rb") as file:
        return file.read(4) == b"\x7fELF"


def read_own(path: str) -> bytes:
    """A file in which an earlier run kept something. Somebody else's, or one that others can write to, is a ValueError."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        info = os.fstat(file.fileno())
        if not stat.S_ISREG(info.st_mode) or not _is_ours(info) or not _is_ours(os.lstat(os.path.dirname(path))):
            raise ValueError(f"{path} is not ours")
        return file.read()


def _is_ours(info: os.stat_result) -> bool:
    return info.st_uid == os.geteuid() and not info.st_mode & 0o022


def _checked(value: t.Any, kind: type) -> t.Any:
    items = value.values() if kind is str else value
    if not all(isinstance(item, kind) and not isinstance(item, bool) for item in items):
        raise ValueError("not what was kept")
    return value

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import gc
import hashlib
import importlib.machinery
import importlib.util
import marshal
import os
import stat
import struct
import sys
import typing as t
import zipfile
import zipimport

# Ansible brings a module as an archive of sources, which Python compiles in every run: for ours, longer than the work takes.
# So the compiled code stays on the node, as in __pycache__, by the SHA-256 of the source, which is read from the archive each time. It
# is that of the source as it is packed: to unpack all of it takes as long as the rest of an import.

#: In /run, where nobody but root can write and nothing outlives a boot.
CACHE = f"/run/kubenode-network/bytecode.{sys.implementation.cache_tag}-{sys.flags.optimize}"
#: module_utils, where this package is in an archive
PACKAGE = __name__.rpartition("._host.")[0] + "."

Codes = dict[str, tuple[bytes, bytes]]  # module -> SHA-256 of its packed source, marshalled code


class Importer:
    """Finds this collection's modules in the archive that Python runs, and takes their code from what is kept.

    A zipimporter that is asked where a module is compiles it first, so it is asked for files only.
    """

    def __init__(self, archive: zipimport.zipimporter, kept: Codes) -> None:
        self.archive = archive
        self.kept = kept
        self.is_new = False
        with open(archive.archive, "rb") as file:
            self._packed = file.read()
            with zipfile.ZipFile(file) as members:
                self._members = {member.filename: member for member in members.infolist()}

    def find_spec(self, name: str, path: t.Any = None, target: t.Any = None) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith(PACKAGE):
            return None
        base = name.replace(".", "/")
        for file, is_package in ((f"{base}.py", False), (f"{base}/__init__.py", True)):
            if file in self._members:
                where = os.path.join(self.archive.archive, file)
                spec = importlib.machinery.ModuleSpec(name, t.cast(t.Any, Loader(self, file, where)), origin=where, is_package=is_package)
                spec.has_location = True
                if is_package:
                    spec.submodule_search_locations = [os.path.join(self.archive.archive, base)]
                return spec
        return None

    def _digest(self, file: str) -> bytes:
        """Of the bytes behind the file's header in the archive (APPNOTE 4.3.7), and of how they are packed."""
        member = self._members[file]
        name, extra = struct.unpack_from("<HH", self._packed, member.header_offset + 26)
        start = member.header_offset + 30 + name + extra
        return hashlib.sha256(b"%d " % member.compress_type + self._packed[start : start + member.compress_size]).digest()

    def code(self, name: str, file: str, where: str) -> t.Any:
        digest = self._digest(file)
        known = self.kept.get(name)
        if known and known[0] == digest:
            return marshal.loads(known[1])
        code = compile(self.archive.get_data(where), where, "exec", dont_inherit=True, optimize=2)  # docstrings are a quarter of it
        self.kept[name] = (digest, marshal.dumps(code))
        self.is_new = True
        return code


class Loader:
    """Makes a module of its source."""

    def __init__(self, importer: Importer, file: str, where: str) -> None:
        self._importer, self._file, self._where = importer, file, where
        self.archive = importer.archive.archive  # as a zipimporter has it

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: t.Any) -> None:
        exec(self._importer.code(module.__name__, self._file, self._where), module.__dict__)

    def get_source(self, name: str) -> str:
        """For tracebacks."""
        return self._importer.archive.get_data(self._where).decode()


def use() -> None:
    """What is imported from here on need not be compiled, if it was before. Where this is no archive, Python keeps bytecode
    itself."""
    archive: t.Any = __spec__.loader
    if isinstance(archive, zipimport.zipimporter) and not _importers():
        gc.disable()  # a module ends before cycles of garbage matter, and to look for them takes a sixth of all that is imported here
        sys.meta_path.insert(0, t.cast(t.Any, Importer(archive, _read(CACHE))))


def keep() -> None:
    """Keeps what had to be compiled. Failing is no error: it will be compiled again."""
    from .._errors import NodeError
    from . import files

    for importer in _importers():
        if importer.is_new:
            body = marshal.dumps(importer.kept)
            try:
                files.make_folder(os.path.dirname(CACHE), 0o700)
                files.write(CACHE, files.Bytes(_head(body) + body), mode=0o600)
            except (NodeError, OSError):
                return


def _importers() -> list[Importer]:
    return [finder for finder in sys.meta_path if isinstance(finder, Importer)]


def _read(path: str) -> Codes:
    """What is kept, if it is whole, of this Python, and nobody else's: code is run as it stands there."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            info = os.fstat(file.fileno())
            folder = os.lstat(os.path.dirname(path))
            if not stat.S_ISREG(info.st_mode) or not _is_ours(info) or not _is_ours(folder):
                return {}
            data = file.read()
    except OSError:
        return {}
    head = _head(b"")
    body = data[len(head) :]
    return marshal.loads(body) if data[: len(head)] == _head(body) else {}


def _is_ours(info: os.stat_result) -> bool:
    return info.st_uid == os.geteuid() and not info.st_mode & 0o022


def _head(body: bytes) -> bytes:
    return importlib.util.MAGIC_NUMBER + hashlib.sha256(body).digest()

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import contextlib
import gc
import hashlib
import importlib.machinery
import importlib.util
import io
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
FOLDER = "/run/kubenode-network"
CACHE = f"{FOLDER}/bytecode.{sys.implementation.cache_tag}-{sys.flags.optimize}"
#: The whole of module_utils, as an archive that the controller names by its SHA-256.
ENGINE = f"{FOLDER}/engine.zip"
#: module_utils, where this package is in an archive
PACKAGE = __name__.rpartition("._host.")[0]

Codes = dict[str, tuple[bytes, bytes]]  # module -> SHA-256 of its packed source, marshalled code


class Importer:
    """Finds the modules of ``package`` in the archive ``packed``, and takes their code from what is kept.

    A zipimporter that is asked where a module is compiles it first, and it wants a file. ``where``: the file that Python runs, in which
    tracebacks place the code. ``has_new_code``, ``is_new``: code, or the archive, is not kept yet.
    """

    def __init__(self, packed: bytes, package: str, where: str, kept: Codes) -> None:
        self.packed = packed
        self.package = package
        self.where = where
        self.kept = kept
        self.has_new_code = False
        self.is_new = False
        self._archive = zipfile.ZipFile(io.BytesIO(packed))
        self._members = {member.filename: member for member in self._archive.infolist()}

    def find_spec(self, name: str, path: t.Any = None, target: t.Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != self.package and not name.startswith(f"{self.package}."):
            return None
        base = name.replace(".", "/")
        for file, is_package in ((f"{base}.py", False), (f"{base}/__init__.py", True)):
            if file in self._members:
                where = os.path.join(self.where, file)
                spec = importlib.machinery.ModuleSpec(name, t.cast(t.Any, Loader(self, file, where)), origin=where, is_package=is_package)
                spec.has_location = True
                if is_package:
                    spec.submodule_search_locations = [os.path.join(self.where, base)]
                return spec
        return None

    def _digest(self, file: str) -> bytes:
        """Of the bytes behind the file's header in the archive (APPNOTE 4.3.7), and of how they are packed."""
        member = self._members[file]
        name, extra = struct.unpack_from("<HH", self.packed, member.header_offset + 26)
        start = member.header_offset + 30 + name + extra
        return hashlib.sha256(b"%d " % member.compress_type + self.packed[start : start + member.compress_size]).digest()

    def code(self, name: str, file: str, where: str) -> t.Any:
        digest = self._digest(file)
        known = self.kept.get(name)
        if known and known[0] == digest:
            return marshal.loads(known[1])
        code = compile(self.source(file), where, "exec", dont_inherit=True, optimize=2)  # docstrings are a quarter of it
        self.kept[name] = (digest, marshal.dumps(code))
        self.has_new_code = True
        return code

    def source(self, file: str) -> bytes:
        return self._archive.read(self._members[file])

    def compile_all(self) -> bytes:
        """All of the archive's code, in the form in which a node keeps it. What is no code is found by who imports it."""
        for file in self._members:
            name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            with contextlib.suppress(SyntaxError, ValueError):
                self.code(name, file, os.path.join(self.where, file))
        return self.to_keep()

    def to_keep(self) -> bytes:
        body = marshal.dumps(self.kept)
        return _head(body) + body


class Loader:
    """Makes a module of its source."""

    def __init__(self, importer: Importer, file: str, where: str) -> None:
        self.importer, self._file, self._where = importer, file, where
        self.archive = importer.where  # as a zipimporter has it

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: t.Any) -> None:
        exec(self.importer.code(module.__name__, self._file, self._where), module.__dict__)

    def get_source(self, name: str) -> str:
        """For tracebacks."""
        return self.importer.source(self._file).decode()


def use() -> None:
    """What is imported from here on need not be compiled, if it was before. Where this is no archive, Python keeps bytecode
    itself."""
    own: t.Any = __spec__.loader
    if isinstance(own, zipimport.zipimporter) and not any(isinstance(finder, Importer) for finder in sys.meta_path):
        with open(own.archive, "rb") as file:
            add(Importer(file.read(), PACKAGE, own.archive, read_codes()))


def add(importer: Importer) -> None:
    gc.disable()  # a module ends before cycles of garbage matter, and to look for them takes a sixth of all that is imported here
    sys.meta_path.insert(0, t.cast(t.Any, importer))


def read_codes() -> Codes:
    """What is kept, if it is whole, and of this Python."""
    return codes(read_own(CACHE))


def codes(data: bytes) -> Codes:
    """What ``Importer.to_keep`` of this Python has made; nothing of anything else."""
    head = _head(b"")
    body = data[len(head) :]
    return marshal.loads(body) if data[: len(head)] == _head(body) else {}


def read_own(path: str) -> bytes:
    """A file of ``FOLDER`` that nobody else can have written: code is run as it stands there. Empty where there is none."""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
            info = os.fstat(file.fileno())
            folder = os.lstat(os.path.dirname(path))
            return file.read() if stat.S_ISREG(info.st_mode) and _is_ours(info) and _is_ours(folder) else b""
    except OSError:
        return b""


def _is_ours(info: os.stat_result) -> bool:
    return info.st_uid == os.geteuid() and not info.st_mode & 0o022


def _head(body: bytes) -> bytes:
    return importlib.util.MAGIC_NUMBER + hashlib.sha256(body).digest()

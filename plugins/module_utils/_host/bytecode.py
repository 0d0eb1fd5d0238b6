# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import hashlib
import importlib.machinery
import importlib.util
import marshal
import os
import stat
import sys
import typing as t
import zipimport

# Ansible brings a module as an archive of sources, which Python compiles in every run: for ours, longer than the work takes.
# So the compiled code stays on the node, as in __pycache__, by the SHA-256 of the source, which is read from the archive each time.

#: In /run, where nobody but root can write and nothing outlives a boot.
CACHE = f"/run/kubenode-network/bytecode.{sys.implementation.cache_tag}-{sys.flags.optimize}"
#: module_utils, where this package is in an archive
PACKAGE = __name__.rpartition("._host.")[0] + "."

Codes = dict[str, tuple[bytes, bytes]]  # module -> SHA-256 of its source, marshalled code


class Importer:
    """Finds this collection's modules in the archive that Python runs, and takes their code from what is kept.

    A zipimporter that is asked where a module is compiles it first, so it is asked for files only.
    """

    def __init__(self, archive: zipimport.zipimporter, kept: Codes) -> None:
        self.archive = archive
        self.kept = kept
        self.is_new = False

    def find_spec(self, name: str, path: t.Any = None, target: t.Any = None) -> importlib.machinery.ModuleSpec | None:
        if not name.startswith(PACKAGE):
            return None
        base = os.path.join(self.archive.archive, *name.split("."))
        for file, is_package in ((f"{base}.py", False), (os.path.join(base, "__init__.py"), True)):
            try:
                source = self.archive.get_data(file)
            except OSError:
                continue
            spec = importlib.machinery.ModuleSpec(name, t.cast(t.Any, Loader(self, file, source)), origin=file, is_package=is_package)
            spec.has_location = True
            if is_package:
                spec.submodule_search_locations = [base]
            return spec
        return None

    def code(self, name: str, path: str, source: bytes) -> t.Any:
        digest = hashlib.sha256(source).digest()
        known = self.kept.get(name)
        if known and known[0] == digest:
            return marshal.loads(known[1])
        code = compile(source, path, "exec", dont_inherit=True)
        self.kept[name] = (digest, marshal.dumps(code))
        self.is_new = True
        return code


class Loader:
    """Makes a module of its source."""

    def __init__(self, importer: Importer, path: str, source: bytes) -> None:
        self._importer, self._path, self._source = importer, path, source
        self.archive = importer.archive.archive  # as a zipimporter has it

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> None:
        return None

    def exec_module(self, module: t.Any) -> None:
        exec(self._importer.code(module.__name__, self._path, self._source), module.__dict__)

    def get_source(self, name: str) -> str:
        """For tracebacks."""
        return self._source.decode()


def use() -> None:
    """What is imported from here on need not be compiled, if it was before. Where this is no archive, Python keeps bytecode
    itself."""
    archive: t.Any = __spec__.loader
    if isinstance(archive, zipimport.zipimporter) and not _importers():
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

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Python libraries of the node that not every run needs."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
import re
import sys
import threading
import types
import typing as t

#: The one module of a library that is used, where the package's own start imports much more than that needs. For pyroute2 it is each
#: protocol and database that it knows, and half of the time that its import takes.
PARTS = {"pyroute2": "pyroute2.iproute"}
_PART = "_kubenode_part"
#: Who waits for it finds a library whole.
_loading = threading.RLock()


def load(library: str) -> types.ModuleType:
    """The library, or the part of it that is used. Raises whatever its import raises: one that is made for another Python fails with
    SyntaxError or TypeError, too."""
    with _loading:
        if library in PARTS and library not in sys.modules:
            _load_part(library)
        whole = importlib.import_module(library)
        return t.cast(types.ModuleType, getattr(whole, _PART, whole))


def _load_part(library: str) -> None:
    """With an empty module in the library's name and place, which holds the part; nothing else may want the library in this process then.
    Where that will not do, nothing is loaded."""
    spec = importlib.util.find_spec(library)
    if spec is None or spec.submodule_search_locations is None:
        return
    package = types.ModuleType(library)
    package.__file__, package.__path__, package.__spec__ = spec.origin, spec.submodule_search_locations, spec
    sys.modules[library] = package
    try:
        setattr(package, _PART, importlib.import_module(PARTS[library]))
    except BaseException as error:  # an interruption, too: the next one who asks begins anew
        for name in [name for name in sys.modules if name.partition(".")[0] == library]:
            del sys.modules[name]
        if not isinstance(error, Exception):
            raise


def load_ahead(libraries: t.Iterable[str]) -> None:
    """Begins to import libraries, which goes on while the run waits for downloads and programs. Whoever needs them waits for that, and
    finds out what is wrong with them."""
    for library in libraries:
        if library not in sys.modules:
            threading.Thread(target=_try_to_load, args=(library,)).start()


def _try_to_load(library: str) -> None:
    with contextlib.suppress(Exception):
        load(library)


def version(library: str) -> str:
    """Of one that is loaded: by the folder that says so beside the library, else by what its importer knows, which takes longer to
    import than to change the node."""
    beside = os.path.dirname(os.path.dirname(getattr(sys.modules[library], "__file__", None) or ""))
    pattern = re.compile(rf"{re.escape(library)}-([0-9][^-]*)(?:-py[0-9.]+)?\.(?:dist|egg)-info")
    found = [match[1] for match in map(pattern.fullmatch, os.listdir(beside) if os.path.isdir(beside) else ()) if match]
    if len(found) == 1:
        return found[0]
    import importlib.metadata

    try:
        return importlib.metadata.version(library)
    except importlib.metadata.PackageNotFoundError:
        return "0 (of unknown version)"

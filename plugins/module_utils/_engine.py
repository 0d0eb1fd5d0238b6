# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import base64
import hashlib
import importlib.util
import os
import typing as t
import zlib

from ._host import bytecode

# A module that imports the engine is packed with all of it, which takes the controller longer than the node's whole work, and is sent in
# every run. A module that asks here is packed with this file and _host/bytecode.py: the engine is sent once, and kept by the node.

#: As in the controller's archive.
NAME = "kubenode_network"
#: What the action plugin says in place of what a playbook may have said.
OPTIONS: dict[str, t.Any] = {
    "engine": {"type": "str"},
    "engine_archive": {"type": "str", "no_log": True},
    "engine_bytecode": {"type": "str", "no_log": True},
}


def package(params: t.Callable[[], t.Mapping[str, t.Any]]) -> str | None:
    """The package to import the engine from: the one beside, as in a checkout, or the one that is kept or was sent. None when there is
    none of the SHA-256 that ``params`` wants.
    """
    if importlib.util.find_spec(f"{__package__}._door") is not None:
        return __package__
    given = params()
    known = bytecode.read_own(bytecode.ENGINE)
    packed = _unpacked(given.get("engine_archive")) or known
    if hashlib.sha256(packed).hexdigest() != given.get("engine"):
        return None
    codes = bytecode.read_codes()
    compiled = {**codes, **bytecode.codes(_unpacked(given.get("engine_bytecode")))}
    importer = bytecode.Importer(packed, NAME, getattr(__spec__.loader, "archive", os.path.dirname(__file__)), compiled)
    importer.is_new, importer.has_new_code = packed != known, compiled != codes
    bytecode.add(importer)
    return NAME


def text(data: bytes) -> str:
    """How bytes are sent."""
    return base64.b64encode(zlib.compress(data)).decode()


def _unpacked(sent: t.Any) -> bytes:
    try:
        return zlib.decompress(base64.b64decode(sent)) if sent else b""
    except (TypeError, ValueError, zlib.error):
        return b""

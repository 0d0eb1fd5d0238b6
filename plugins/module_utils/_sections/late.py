# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The options of sections that a run may not ask for, apart from the sections themselves, which it then need not import: a node's
first run would have to compile them."""

from __future__ import annotations

import typing as t

from .base import STATE

CNI_PLUGINS: dict[str, t.Any] = {
    "src": {"type": "path"},
    "remote_src": {"type": "bool", "default": False},
    "checksum": {"type": "str"},
    "version": {"type": "str"},
    "package": {"type": "str"},
    "bin_dir": {"type": "path"},
    "plugins": {"type": "list", "elements": "str"},
    "owner": {"type": "str"},
    "manifest": {"type": "dict"},
    "verify": {"type": "bool", "default": False},
    "state": STATE,
}
ROUTES: dict[str, t.Any] = {
    "peers": {"type": "raw"},
    "node": {"type": "str"},
    "state": STATE,
}
BOOT_SERVICE: dict[str, t.Any] = {
    "python": {"type": "path"},
    "program": {"type": "path"},
    "checksum": {"type": "str"},
    "state": STATE,
}

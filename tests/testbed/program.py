# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The program for a node, as the action plugin would bring it: for modules that are run without one."""

from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

from ansible_collections.kubenode.network.plugins.plugin_utils import _program

if TYPE_CHECKING:
    from .space import Place

SENT = "/run/kubenode-network.pyz"


def build() -> bytes:
    return _program.build().data


def send(node: Place, data: bytes | None = None) -> dict[str, str]:
    """Put the program (or ``data`` in its place) on the node; return the options of boot_service that say so."""
    data = build() if data is None else data
    subprocess.run([*node.enter(), "install", "-D", "--mode=600", "/dev/stdin", SENT], input=data, check=True)
    return {"program": SENT, "checksum": hashlib.sha256(data).hexdigest()}

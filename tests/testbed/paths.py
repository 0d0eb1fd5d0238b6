# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the checkout is, and a folder from which `ansible_collections.kubenode.network` can be imported."""

from __future__ import annotations

import os
from pathlib import Path

HERE = Path(__file__).resolve().parent
CHECKOUT = HERE.parents[1]


def _collections() -> Path:
    """KUBENODE_COLLECTIONS names another root, with a built and installed collection in it (scripts/build)."""
    if os.environ.get("KUBENODE_COLLECTIONS"):
        return Path(os.environ["KUBENODE_COLLECTIONS"])
    if CHECKOUT.parts[-3:] == ("ansible_collections", "kubenode", "network"):
        return CHECKOUT.parents[2]
    return CHECKOUT / "build" / "collections"


COLLECTIONS = _collections()


def link_collection() -> Path:
    """Make the link tree that lets the collection be found from any checkout folder; return its root."""
    if os.environ.get("KUBENODE_COLLECTIONS"):
        return COLLECTIONS
    link = COLLECTIONS / "ansible_collections" / "kubenode" / "network"
    link.parent.mkdir(parents=True, exist_ok=True)
    try:
        link.symlink_to(CHECKOUT, target_is_directory=True)
    except FileExistsError:
        if link.resolve() != CHECKOUT:
            raise RuntimeError(f"{link}: leads to {link.resolve()} (expected {CHECKOUT}); remove it") from None
    return COLLECTIONS

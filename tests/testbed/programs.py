# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs of other Debian releases, unpacked by scripts/programs."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .paths import CHECKOUT

_FOLDER = CHECKOUT / "build" / "programs"


@dataclass(frozen=True)
class Program:
    """name: cni-plugins or containerd. suite: of Debian; of these sid moves, so ask for the version."""

    name: str
    suite: str

    @property
    def folder(self) -> Path:
        return _FOLDER / f"{self.name}-{self.suite}"

    @property
    def version(self) -> str:
        """Upstream's, e.g. 1.6.20."""
        return (self.folder / "VERSION").read_text().strip()

    @property
    def cni_bin(self) -> Path:
        """Where the plugins are."""
        return self.folder / "usr" / "lib" / "cni"

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

from .._host import sysctls
from .._resource import State
from .file import File


class Rules(File):
    """A file of udev's rules, told to a running udevd: it looks for changes only every three seconds."""

    def write(self, state: State) -> None:
        super().write(state)
        sysctls.reload_udev()

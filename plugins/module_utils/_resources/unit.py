# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

from .._host import services
from .._resource import Resource, State


class Running(Resource):
    """A service of ours that runs. State: ``{"active": True}`` or None, as where systemd does not run."""

    def __init__(self, unit: str) -> None:
        self.unit = unit
        self.id = f"running:{unit}"

    def read(self) -> State:
        return {"active": True} if services.is_active(self.unit) else None

    def write(self, state: State) -> None:
        if state is not None:
            services.start(self.unit)
        elif self.read() is not None:
            services.stop(self.unit)

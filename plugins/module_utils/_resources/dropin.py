# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os

from .._host import services
from .._resource import Resource, State
from . import file

UNITS = "/etc/systemd/system"
NETWORKD = "/etc/systemd/network"
NETWORKD_SETTINGS = "/etc/systemd/networkd.conf.d"
NETWORK_MANAGER = "/etc/NetworkManager/conf.d"


class DropIn(file.File):
    """A file in the configuration of a daemon, which is told to read it anew whenever it changes. Its folder says which one."""

    def write(self, state: State) -> None:
        folder, name = os.path.split(self.path)
        if state is None and folder == UNITS:
            services.forget_unit(name)
        super().write(state)
        if folder == NETWORK_MANAGER:
            services.reload_network_manager()
        elif folder == NETWORKD:
            services.reload_udev() if name.endswith(".link") else services.reload_networkd()
        else:
            services.reload_systemd()


def revive(object_id: str) -> Resource:
    """The resource of an id that the document names: a drop-in, or a folder of one."""
    return DropIn(object_id.partition(":")[2]) if object_id.startswith("file:") else file.revive(object_id)

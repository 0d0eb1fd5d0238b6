# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""The node's own network managers told to leave the bridge and the pods' links alone (pitfalls, "also reported"): else they take
addresses and routes away, and udev changes the MAC addresses of links that it did not make."""

from __future__ import annotations

import os
import re

from .._converge import Want
from .._host import files, services
from .._resources import dropin, file
from .base import Run

#: The links that CNI's plugins make on the node: "veth" and eight hexadecimal digits (plugins/pkg/ip RandomVethName).
PODS = "veth????????"
HEADER = "# Written by kubenode.network.kubenet_bridge\n"


def wants(bridge: str, run: Run) -> list[Want]:
    """A file for each of NetworkManager, systemd-networkd and udev, as far as it is installed."""
    names = _pattern(bridge)
    found = []
    if services.network_manager_installed():
        text = f"[keyfile]\nunmanaged-devices+=interface-name:{names};interface-name:{PODS}\n"
        found.append((f"{dropin.NETWORK_MANAGER}/90-kubenode-network-{bridge}.conf", text))
    if services.networkd_installed():
        found.append((f"{dropin.NETWORKD}/00-kubenode-network-{bridge}.network", f"[Match]\nName={names} {PODS}\n\n[Link]\nUnmanaged=yes\n"))
    if services.udev_installed():
        text = f"[Match]\nOriginalName={names} {PODS}\n\n[Link]\nMACAddressPolicy=none\n"
        found.append((f"{dropin.NETWORKD}/00-kubenode-network-{bridge}.link", text))
    return [want for path, text in found for want in _file_wants(path, text, run)]


def _pattern(name: str) -> str:
    """A pattern that all of them read alike: what may mean something to one of them stands for any one character."""
    return re.sub("[^A-Za-z0-9_.-]", "?", name)


def _file_wants(path: str, text: str, run: Run) -> list[Want]:
    """Of .network and .link files the first by name that matches is the only one that counts, hence the 00."""
    resource = dropin.DropIn(path, files.Bytes(f"{HEADER}{text}".encode()))
    return [*file.folder_wants(os.path.dirname(path), run.document), Want(resource, resource.wanted())]

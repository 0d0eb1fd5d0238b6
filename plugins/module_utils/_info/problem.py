# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""What a problem is, and what those who look for one share."""

from __future__ import annotations

import ipaddress
import re
import typing as t

from .._cni.ranges import Range
from .node import Facts, Network

ERROR, WARNING, INFO = "error", "warning", "info"


class Problem(t.NamedTuple):
    """``object``: the file, network, plugin or link that it is about. ``what``: what is wrong where, with the value. ``advice``:
    what to do about it."""

    severity: str
    object: str
    what: str
    advice: str

    @property
    def message(self) -> str:
        says_what_to_do = re.search(r"\(expected [^()]*\)$", self.what)  # as the problems of options do
        return f"{self.what[:-1]}; {self.advice})" if says_what_to_do else f"{self.what} ({self.advice})"


Found = t.Iterator[Problem]


def at(facts: Facts, name: str) -> str:
    return f"{facts.folder.path}/{name}"


def severity_of(network: Network, when_used: str) -> str:
    return when_used if network.in_use else INFO


def severity_of_plugin(facts: Facts, network: Network) -> str:
    """How bad it is that a plugin of the network does not work: where pods get no network that may be why."""
    return ERROR if network.in_use or not facts.used else INFO


def net(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    return ipaddress.ip_network(text)


def ranges_of(facts: Facts, network: Network) -> list[Range]:
    return [one for known in facts.leases if known.file == network.file for sets in known.sets for one in sets.ranges]


def has_family(facts: Facts, networks: t.Sequence[Network], version: int) -> bool:
    return any(net(one.subnet).version == version for network in networks for one in ranges_of(facts, network))

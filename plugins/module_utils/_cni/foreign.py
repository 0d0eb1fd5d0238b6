# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Files of others that get in the way of a network: those that come first, twins of another extension, vendor defaults."""

from __future__ import annotations

import typing as t

from .loader import Loader, Texts, Verdict, siblings
from .model import parse

#: Files that packages and bundles bring along, each a pod network of its own (pitfalls.md 4).
VENDOR_FILES = {
    "10-containerd-net.conflist": "containerd",
    "10-crio-bridge.conf": "CRI-O",
    "10-crio-bridge.conflist": "CRI-O",
    "11-crio-ipv4-bridge.conflist": "CRI-O",
    "100-crio-bridge.conf": "CRI-O",
    "100-crio-bridge.conflist": "CRI-O",
    "200-loopback.conf": "CRI-O",
    "87-podman-bridge.conflist": "podman",
    "87-podman.conflist": "podman",
}
#: Plugins whose file is meant to come first: they call the networks behind it, or are chained with them on purpose.
MEANT_FIRST = ("multus", "multus-shim", "cilium-cni")

FIRST, BROKEN, SIBLING, VENDOR = "first", "broken", "sibling", "vendor"


class Finding(t.NamedTuple):
    """A file of somebody else: what it is to us (``kind``), in words, and whether it does harm as things are."""

    filename: str
    kind: str
    message: str
    harmful: bool = True


def findings(loader: Loader, verdict: Verdict, texts: Texts, ours: t.Collection[str], main: t.Collection[str]) -> list[Finding]:
    """What is in the way of the networks in the files ``main``, the loader's view of the directory being ``verdict``.

    ``ours``: every file of the directory that this collection wrote, the ones of ``main`` among them.
    """
    others = [name for name in verdict.order if name not in ours]
    twins = {twin: name for name in main for twin in siblings(name, others)}
    ahead = _ahead(verdict, main)
    found = (_finding(loader, verdict, texts, name, twins.get(name), ahead.get(name)) for name in others)
    return [finding for finding in found if finding is not None]


def _ahead(verdict: Verdict, main: t.Collection[str]) -> dict[str, str]:
    """File -> the first of our networks, for the files before it."""
    first = next((name for name in verdict.order if name in main), None)
    return {} if first is None else dict.fromkeys(verdict.order[: verdict.order.index(first)], first)


def _finding(loader: Loader, verdict: Verdict, texts: Texts, name: str, twin: str | None, behind: str | None) -> Finding | None:
    if behind is not None and name in verdict.invalid:
        what = "stops at it and loads nothing" if loader.name in ("containerd", "libcni") else "passes it over"
        return Finding(name, BROKEN, f"{name} comes before {behind} and is not valid, {loader.name} {what}: {verdict.invalid[name]}")
    if behind is not None and _is_meant_first(name, texts):
        return None
    effect = f", so pods get the network of {name}" if name == verdict.winner else ""
    if twin is not None:
        place = "" if behind is None else f" and sorts before {behind}{effect}"
        return Finding(name, SIBLING, f"{name} is {twin} with another extension{place}", behind is not None)
    if behind is not None:
        whose = f" (a default of {VENDOR_FILES[name]})" if name in VENDOR_FILES else ""
        return Finding(name, FIRST, f"{name}{whose} sorts before {behind}{effect}")
    if name in VENDOR_FILES:
        return Finding(name, VENDOR, f"{name} is a default of {VENDOR_FILES[name]} and would be the pod network if it came first", False)
    return None


def _is_meant_first(name: str, texts: Texts) -> bool:
    config = parse(texts.get(name) or "", name)
    plugins = config.get("plugins", [config])
    return any(plugin.get("type") in MEANT_FIRST for plugin in plugins)

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from .._cni import entries
from .._converge import Part
from .._errors import Problem
from . import chained, directory
from .base import Options, Run

NAME = "portmap"
OPTIONS: dict[str, t.Any] = {
    **chained.PLACE,
    "snat": {"type": "bool"},
    "masq_all": {"type": "bool"},
    "mark_masq_bit": {"type": "int"},
    "external_set_mark_chain": {"type": "str"},
    "conditions_v4": {"type": "list", "elements": "str"},
    "conditions_v6": {"type": "list", "elements": "str"},
    "backend": {"type": "str", "choices": ["iptables", "nftables"]},
}
PLUGIN = chained.Plugin(NAME, entries.PORTMAP_KEYS, entries.portmap_entry)


def check(options: Options) -> list[Problem]:
    conditions = [] if options["state"] == "absent" else _check_conditions(options)
    return chained.check(PLUGIN, options) + conditions


def _check_conditions(options: Options) -> list[Problem]:
    """The plugin hands each item to iptables as one argument, so several words in one item never match anything."""
    return [
        Problem(f"{name}[{index}]", f"{word!r} is not one word of an iptables rule (expected e.g. the three items '!', '-s', '192.0.2.0/24')")
        for name in ("conditions_v4", "conditions_v6")
        for index, word in enumerate(options[name] or [])
        if not word or set(word) & set(" \t\n{}")
    ]


def parts(options: Options, run: Run) -> list[Part]:
    source = run.runtime.source
    if options["state"] == "present" and source.startswith("/etc/crio/"):
        text = f"the node's runtime is CRI-O ({source}), which maps host ports itself and passes none to the plugin: the entry has no effect"
        run.warnings.append(f"{NAME}: {text}")
    return chained.parts(PLUGIN, options, run)


def resolved(desired: Options) -> Options:
    return chained.resolved(PLUGIN, desired)


def finish(run: Run) -> None:
    directory.finish_entries(run)

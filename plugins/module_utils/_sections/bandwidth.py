# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import re
import typing as t

from .._cni import entries
from .._cni.keys import BURST
from .._converge import Part
from .._errors import Problem
from . import chained, directory
from .base import Options, Run

NAME = "bandwidth"
OPTIONS: dict[str, t.Any] = {**chained.PLACE, **{option: {"type": "str"} for option in entries.BANDWIDTH_KEYS}}
#: The decimal suffixes of Kubernetes' quantities, as in the annotations of pods.
_SUFFIXES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}


def check(options: Options) -> list[Problem]:
    problems = [
        Problem(option, f"{options[option]!r} is not a number of bits (expected a whole number such as 1000000, or 1M with K, M or G behind it)")
        for option in entries.BANDWIDTH_KEYS
        if options[option] is not None and _bits(options[option]) is None
    ]
    if not problems or options["state"] == "absent":
        return chained.check(PLUGIN, options)
    return problems + chained.check(PLUGIN, {**options, **dict.fromkeys(entries.BANDWIDTH_KEYS)})  # without half of a pair


def _bits(text: str | None) -> int | None:
    match = re.fullmatch("([0-9]{1,20})([kKMG]?)", text or "")
    return int(match.group(1)) * _SUFFIXES[match.group(2)] if match else None


def _entry(options: Options) -> entries.Entry:
    given = {option: _bits(options[option]) for option in entries.BANDWIDTH_KEYS}
    for direction in ("ingress", "egress"):
        rate, burst = given[f"{direction}_rate"], given[f"{direction}_burst"]
        if rate is not None and burst is None:
            given[f"{direction}_burst"] = usual_burst(rate)
    return entries.bandwidth_entry(given)


def usual_burst(rate: int) -> int:
    """A tenth of a second's worth, in bits: little enough that the rate holds from the start. At least the 64 KiB that a host hands
    over at once, or a fast sender would see losses; at most what the plugin takes, and the kernel's clock of tbf (200 s)."""
    return min(max(rate // 10, 8 * 2**16), rate * 200, BURST.high)


PLUGIN = chained.Plugin(NAME, entries.BANDWIDTH_KEYS, _entry)


def parts(options: Options, run: Run) -> list[Part]:
    return chained.parts(PLUGIN, options, run)


def resolved(desired: Options) -> Options:
    options = chained.resolved(PLUGIN, desired)
    return {**options, **{option: str(options[option]) for option in entries.BANDWIDTH_KEYS if options[option] is not None}}


def finish(run: Run) -> None:
    directory.finish_entries(run)

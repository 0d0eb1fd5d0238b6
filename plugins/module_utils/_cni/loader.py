# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""A directory of CNI files as a loader sees it.

Sources: containerd/go-cni opts.go loadFromConfDir, libcni ConfFiles. Names and texts only; nothing is read here.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from .._errors import Problem
from .kinds import show
from .model import ConfigError, parse

LOADABLE = (".conf", ".conflist", ".json")
_WRITABLE = (".conf", ".conflist")
_LONGEST = 200


@dataclasses.dataclass
class Verdict:
    """What becomes of a directory: ``winner`` is the file in use, or ``error`` says why there is none. ``order``: all
    files that count, as the loader goes through them; of these ``invalid`` maps the unusable ones to the reason, and
    ``shadowed`` are the usable ones that are not used."""

    winner: str | None = None
    error: str | None = None
    order: list[str] = dataclasses.field(default_factory=list)
    invalid: dict[str, str] = dataclasses.field(default_factory=dict)
    shadowed: list[str] = dataclasses.field(default_factory=list)


def is_loadable(filename: str) -> bool:
    """Whether loaders look at a file of this name: by its exact last extension, hidden or not."""
    return _split(filename)[1] in LOADABLE


def _split(filename: str) -> tuple[str, str]:
    """Stem and last extension as Go's filepath.Ext sees it, for which ``.conf`` is all extension."""
    stem, dot, extension = filename.rpartition(".")
    return (stem, dot + extension) if dot else (filename, "")


def load_order(filenames: t.Iterable[str]) -> list[str]:
    """The loadable names in the order of their bytes: ``10-x``, ``9-x``, ``Z``, ``a``; ``.x`` before all of them."""
    return sorted((name for name in filenames if is_loadable(name)), key=os.fsencode)


def containerd_view(files: t.Mapping[str, str | None]) -> Verdict:
    """What containerd with its default ``max_conf_num`` of 1 makes of a directory.

    ``files`` maps names to texts, ``None`` for one that cannot be read. The first file is loaded or, when it cannot be,
    the load fails; those behind it are not opened. ``invalid`` names the bad ones among these as well: each takes the
    node down the day it comes first. Directories of that kind are to be left out by the caller.
    """
    verdict = Verdict(order=load_order(files))
    for name in verdict.order:
        reason = _fault(name, files[name])
        if reason is not None:
            verdict.invalid[name] = reason
    if not verdict.order:
        verdict.error = f"no network configuration (expected a file that ends in {', '.join(LOADABLE)})"
        return verdict
    first = verdict.order[0]
    if first in verdict.invalid:
        verdict.error = f"{first}: {verdict.invalid[first]}"
    else:
        verdict.winner = first
    verdict.shadowed = [name for name in verdict.order if name != first and name not in verdict.invalid]
    return verdict


def _fault(name: str, text: str | None) -> str | None:
    if text is None:
        return "cannot be read"
    try:
        parse(text, name)
    except ConfigError as error:
        return error.reason
    return None


def siblings(filename: str, filenames: t.Iterable[str]) -> list[str]:
    """Other loadable names with the same stem: ``10-a.conf`` beside ``10-a.conflist`` comes first and beats it."""
    stem = _split(filename)[0]
    return [name for name in load_order(filenames) if name != filename and _split(name)[0] == stem]


def config_filename(priority: int, name: str, single: bool) -> str:
    """``10-mynet.conflist``. Two digits, so that the order of bytes is that of the numbers: 0 to 99."""
    return f"{priority:02d}-{name}.{'conf' if single else 'conflist'}"


def check_filename(filename: str, path: str) -> list[Problem]:
    """A name under which we write: one that every loader reads and no shell stumbles over."""
    if not isinstance(filename, str) or not filename:
        return [Problem(path, f"{show(filename)} is not a file name (expected e.g. 10-mynet.conflist)")]
    problems = []
    if "/" in filename or ".." in filename:
        problems.append(Problem(path, f"{show(filename)} leads out of the directory (expected a name without / and ..)"))
    if filename.startswith("."):
        problems.append(Problem(path, f"{show(filename)} is hidden, yet loaders read it before all others (expected no leading dot)"))
    if not re.fullmatch(r"[!-~]+", filename):
        problems.append(Problem(path, f"{show(filename)} holds other characters than printable ASCII without spaces (expected only these)"))
    if _split(filename)[1] not in _WRITABLE:
        problems.append(Problem(path, f"{show(filename)} has another extension (expected .conflist, or .conf for a single plugin)"))
    if len(filename) > _LONGEST:
        problems.append(Problem(path, f"{len(filename)} characters are too many (expected at most {_LONGEST})"))
    return problems

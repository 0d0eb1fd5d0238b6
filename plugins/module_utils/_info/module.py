# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""From the module's options to its result."""

from __future__ import annotations

import re
import typing as t

from .._errors import InputError, Problem
from .._host import cri, leases, paths
from . import facts, problems, report

OPTIONS: dict[str, t.Any] = {
    "conf_dir": {"type": "path"},
    "bin_dirs": {"type": "list", "elements": "path"},
    "sandboxes": {"type": "list", "elements": "str"},
    "runtime_endpoint": {"type": "str", "aliases": ["cri_socket"]},
}

Options = t.Mapping[str, t.Any]


def run(options: Options) -> dict[str, t.Any]:
    """The module's result. InputError where an option is wrong; nothing else ends it."""
    wrong = check(options)
    if wrong:
        raise InputError(wrong)
    known = facts.gather(options)
    return {"changed": False, "warnings": [], **report.result(known, problems.find(known))}


def check(options: Options) -> list[Problem]:
    named = [("conf_dir", options["conf_dir"]), *((f"bin_dirs[{index}]", path) for index, path in enumerate(options["bin_dirs"] or []))]
    found = [problem for name, path in named for problem in paths.check_path(name, path)]
    for index, text in enumerate(options["sandboxes"] or []):
        if not re.fullmatch(leases.CONTAINER_ID, text):
            found.append(Problem(f"sandboxes[{index}]", f"{text!r} is not a container id (expected it as the runtime shows it)"))
    return found + cri.check_endpoint("runtime_endpoint", options["runtime_endpoint"])

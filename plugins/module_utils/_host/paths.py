# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import typing as t

from .._errors import Problem

#: Bytes of a path with its end, and of a name in it (limits.h).
_LONGEST, _LONGEST_NAME = 4096, 255
_SHOWN = 200


def is_path(value: t.Any) -> bool:
    """Whether something that somebody wrote is an absolute path that the kernel can take, wherever it leads."""
    if not isinstance(value, str) or not os.path.isabs(value) or "\0" in value:
        return False
    try:
        data = os.fsencode(value)
    except UnicodeEncodeError:
        return False
    return len(data) < _LONGEST and max(map(len, data.split(b"/"))) <= _LONGEST_NAME


def check_path(option: str, path: str | None) -> list[Problem]:
    """What is wrong with the path of a folder of ours in an option; nothing where none is given."""
    if path is None or (is_path(path) and ".." not in path.split("/") and os.path.normpath(path).strip("/")):
        return []
    return [Problem(option, f"{shown(path)} is not usable (expected an absolute path without ..)")]


def shown(text: str) -> str:
    """A text as it is quoted in a message."""
    return repr(text) if len(text) < _SHOWN else f"{text[:_SHOWN]!r}..."

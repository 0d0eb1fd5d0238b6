# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import json
import os
import stat
import typing as t

from .._errors import NodeError
from .process import run


def locate(name: str, bin_dirs: t.Sequence[str]) -> str | None:
    """The plugin's binary as a runtime finds it: the first regular file of that name; the x bit is not looked at
    (cni.md 2.1), so a file without it is found and then fails."""
    for folder in bin_dirs:
        path = os.path.join(folder, name)
        if os.path.isfile(path):
            return path
    return None


def installed(bin_dirs: t.Sequence[str]) -> list[str]:
    """Names of all regular files in the folders."""
    return sorted({entry.name for folder in bin_dirs if os.path.isdir(folder) for entry in os.scandir(folder) if entry.is_file()})


def supported_versions(path: str) -> list[str]:
    """The CNI spec versions that a plugin says it supports (SPEC section 2, VERSION)."""
    if not os.stat(path).st_mode & stat.S_IXUSR:
        raise NodeError(f"{path} is not executable")
    result = run([path], stdin='{"cniVersion": "1.0.0"}', env={"CNI_COMMAND": "VERSION", "CNI_PATH": os.path.dirname(path)}, timeout=20)
    try:
        versions = json.loads(result.stdout)["supportedVersions"]
    except (ValueError, KeyError, TypeError) as error:
        said = (result.stderr or result.stdout).strip().replace("\n", "; ")[:200]
        raise NodeError(f"{path} does not answer VERSION as a CNI plugin does: {said or 'it prints nothing'}") from error
    return [version for version in versions if isinstance(version, str)]

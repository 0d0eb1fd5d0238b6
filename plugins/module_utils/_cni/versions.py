# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

"""Versions of the CNI specification.

One version is spoken to every plugin of a list and to their IPAM plugins (libcni buildOneConfig), so it has to be one
that each of them answers ``CNI_COMMAND=VERSION`` with. Plugins compare it as a word, not as a number.
"""

from __future__ import annotations

import re
import typing as t

from .._errors import Problem

# Source: SPEC.md at the tags spec-v0.1.0 .. spec-v1.1.0.
SPEC_VERSIONS = ("0.1.0", "0.2.0", "0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0")

# Loader -> the libcni inside of it, from a release of the loader on (go.mod at their tags), newest first.
_LIBCNI: t.Mapping[str, t.Sequence[tuple[str, str]]] = {
    "containerd": (("2.1", "1.3.0"), ("2.0", "1.2.3"), ("1.7", "1.1.2"), ("1.6", "1.1.1"), ("0.0", "0.8.1")),
    "crio": (("1.34", "1.3.0"), ("1.32", "1.2.3"), ("1.24", "1.1.2"), ("0.0", "0.8.1")),
    "podman": (("0.0", "1.1.2"),),
    "dockershim": (("0.0", "0.8.1"),),
}
# libcni -> the newest version of the specification that it speaks, newest first (cni.md 2.5).
_SPOKEN = (("1.2.0", "1.1.0"), ("1.0.0", "1.0.0"), ("0.7.0", "0.4.0"), ("0.0.0", "0.3.1"))
# Every runtime that Kubernetes still supports speaks it.
_COMMON = "1.0.0"

_THREE_PARTS = re.compile(r"[0-9]+\.[0-9]+\.[0-9]+")
_NOT_A_RELEASE = "this is the version of the CNI specification, not the release of the plugins"


def number(version: str) -> tuple[int, ...]:
    """``"0.3.1"`` as ``(0, 3, 1)``, for comparing. ``ValueError`` when a part is not a number."""
    return tuple(int(part) for part in version.split("."))


def well_formed(version: object) -> bool:
    return isinstance(version, str) and _THREE_PARTS.fullmatch(version) is not None


def older(version: str | None, limit: str) -> bool:
    """Whether a well-formed ``version`` lies before ``limit``; one that is absent or malformed does not."""
    return version is not None and well_formed(version) and number(version) < number(limit)


def check_version(version: object, path: str) -> list[Problem]:
    """No problem if ``version`` is a known version of the specification, spelled with all three parts."""
    known = f"expected one of {', '.join(SPEC_VERSIONS)}"
    if not isinstance(version, str):
        return [Problem(path, f"{version!r} is not a string ({known})")]
    if version in SPEC_VERSIONS:
        return []
    bare = version[1:] if version[:1] in ("v", "V") else version
    if not _THREE_PARTS.fullmatch(bare):
        return [Problem(path, f"{version!r} is not a version of the CNI specification with three parts ({known})")]
    if bare in SPEC_VERSIONS:
        return [Problem(path, f"{version!r} has a letter in front ({known}); {_NOT_A_RELEASE}")]
    return [Problem(path, f"{version!r} is not a version of the CNI specification ({known}); {_NOT_A_RELEASE}")]


def libcni_of(loader: str, release: str) -> str | None:
    """The release of libcni inside a loader (``containerd``, ``crio``, ...) of this release (``1.7.24``); None where one of
    the two is not known."""
    lines = _LIBCNI.get(loader, ())
    known = number(release)[:2] if release else (0, 0) if len(lines) == 1 else ()
    return next((libcni for first, libcni in lines if known and known >= number(first)), None)


def ceiling(loader: str, release: str) -> str:
    """The highest version that the loader of this release speaks; where one of the two is not known, what those of today do."""
    libcni = libcni_of(loader, release)
    return _COMMON if libcni is None else next(version for first, version in _SPOKEN if number(libcni) >= number(first))


def choose(supported: t.Mapping[str, t.Sequence[str]], highest: str = _COMMON) -> str | None:
    """The highest specification version up to ``highest`` that every plugin supports, or ``None``.

    ``supported`` maps a plugin's name to its VERSION answer; ``highest`` is the loader's ceiling.
    """
    for version in reversed(SPEC_VERSIONS):
        if number(version) <= number(highest) and not unsupported(version, supported):
            return version
    return None


def unsupported(version: str, supported: t.Mapping[str, t.Sequence[str]]) -> list[str]:
    """Names of the plugins whose VERSION answer does not contain ``version``."""
    return [name for name, versions in supported.items() if version not in versions]

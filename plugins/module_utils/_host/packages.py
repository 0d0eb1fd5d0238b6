# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import glob
import os
import re
import typing as t

from .._errors import NodeError
from . import process
from .files import make_folder, read_text

#: Placeholders in the command lines below.
NAME, FILE, FOLDER = "{name}", "{file}", "{folder}"


class Database(t.NamedTuple):
    """What keeps a node's installed packages. Command lines; ``owner`` has the groups ``package`` and ``path``."""

    installed: tuple[str, ...]
    files: tuple[str, ...]
    search: tuple[str, ...]
    owner: str
    remove: tuple[str, ...]
    rehearse: tuple[str, ...]  # the same as remove without doing it: fails when other packages need this one
    unpack: tuple[tuple[str, ...], ...]  # more than one: the second reads what the first writes


class Manager(t.NamedTuple):
    """What brings packages to a node. ``install`` fails where another package would have to go for it, but for one that an rpm
    obsoletes, its predecessor. ``download`` writes the package's file into the folder that it runs in."""

    database: str
    install: tuple[str, ...]
    download: tuple[str, ...]
    repositories: tuple[str, ...]  # patterns of the files that name them


DATABASES = {
    "dpkg": Database(
        ("dpkg-query", "--show", "--showformat=${db:Status-Status}", NAME),
        ("dpkg-query", "--listfiles", NAME),
        ("dpkg-query", "--search"),
        r"^(?P<package>[^:\s]+)(?::\w+)?: (?P<path>/.*)$",
        ("dpkg", "--remove", NAME),
        ("dpkg", "--dry-run", "--remove", NAME),
        (("dpkg-deb", "--extract", FILE, FOLDER),),
    ),
    "rpm": Database(
        ("rpm", "--query", "--queryformat=installed", NAME),
        ("rpm", "--query", "--list", NAME),
        ("rpm", "--query", "--file", "--queryformat=[%{=NAME}: %{FILENAMES}\n]"),
        r"^(?P<package>\S+): (?P<path>/.*)$",
        ("rpm", "--erase", NAME),
        ("rpm", "--erase", "--test", NAME),
        (("rpm2cpio", FILE), ("cpio", "--extract", "--make-directories", "--no-absolute-filenames", "--quiet")),
    ),
    "apk": Database(
        ("apk", "info", "--installed", NAME),
        ("apk", "info", "--quiet", "--contents", NAME),
        ("apk", "info", "--who-owns"),
        r"^(?P<path>/.*) is owned by (?P<package>\S+?)-[0-9]\S*$",
        ("apk", "del", NAME),
        ("apk", "del", "--simulate", NAME),
        (("tar", "-xzf", FILE, "-C", FOLDER),),
    ),
    "pacman": Database(
        ("pacman", "-Q", NAME),
        ("pacman", "-Qlq", NAME),
        ("pacman", "-Qo"),
        r"^(?P<path>/.*) is owned by (?P<package>\S+) \S+$",
        ("pacman", "--noconfirm", "-R", NAME),
        ("pacman", "-R", "--print", NAME),
        (("bsdtar", "-xf", FILE, "-C", FOLDER),),
    ),
}
_RPM_REPOSITORIES = ("/etc/yum.repos.d/*.repo",)
MANAGERS = {
    "apt-get": Manager(
        "dpkg",
        ("apt-get", "--yes", "--no-install-recommends", "--no-remove", "-o", "DPkg::Lock::Timeout=60", "install", NAME),
        ("apt-get", "download", NAME),
        ("/etc/apt/sources.list", "/etc/apt/sources.list.d/*.list", "/etc/apt/sources.list.d/*.sources"),
    ),
    # The repository at pkgs.k8s.io comes with an exclude= for its own packages, so that no update takes them along.
    "dnf5": Manager(
        "rpm",
        ("dnf5", "--assumeyes", "--setopt=install_weak_deps=False", "--setopt=disable_excludes=*", "install", NAME),
        ("dnf5", "--assumeyes", "--setopt=disable_excludes=*", "download", "--destdir=.", NAME),
        _RPM_REPOSITORIES,
    ),
    "dnf": Manager(
        "rpm",
        ("dnf", "--assumeyes", "--setopt=install_weak_deps=False", "--disableexcludes=all", "install", NAME),
        ("dnf", "--assumeyes", "--disableexcludes=all", "install", "--downloadonly", "--downloaddir=.", NAME),
        _RPM_REPOSITORIES,
    ),
    "yum": Manager(
        "rpm",
        ("yum", "--assumeyes", "--disableexcludes=all", "install", NAME),
        ("yum", "--assumeyes", "--disableexcludes=all", "install", "--downloadonly", "--downloaddir=.", NAME),
        _RPM_REPOSITORIES,
    ),
    "zypper": Manager(
        "rpm",
        ("zypper", "--non-interactive", "install", "--no-recommends", NAME),
        ("zypper", "--non-interactive", "--pkg-cache-dir", ".", "download", NAME),
        ("/etc/zypp/repos.d/*.repo",),
    ),
    "apk": Manager("apk", ("apk", "add", NAME), ("apk", "fetch", NAME), ("/etc/apk/repositories",)),
    "pacman": Manager(
        "pacman",
        ("pacman", "--noconfirm", "--needed", "-S", NAME),
        ("pacman", "--noconfirm", "-Sddw", "--cachedir", ".", NAME),
        ("/etc/pacman.conf",),
    ),
}


def distribution() -> list[str]:
    """What /etc/os-release says the system is, and what it is like, closest first: ``["rocky", "rhel", "centos", "fedora"]``."""
    text = read_text("/etc/os-release") or read_text("/usr/lib/os-release") or ""
    said = dict(re.findall(r"^(ID|ID_LIKE)=[\"']?([^\"'\n]*)", text, re.MULTILINE))
    return [*said.get("ID", "").split(), *said.get("ID_LIKE", "").split()]


def is_whole(name: str, manager: str) -> bool | None:
    """Whether all of a package is installed, None when nothing is. dpkg leaves half of one where an installation fails."""
    result = process.run(_filled(_database(manager).installed, name))
    if result.returncode != 0:
        return None
    if "dpkg" not in _database(manager).installed[0]:
        return True
    nothing, whole = ("", "not-installed", "config-files"), ("installed", "triggers-awaited", "triggers-pending")
    return None if result.stdout in nothing else result.stdout in whole


def files_of(name: str, manager: str) -> list[str]:
    """Paths of an installed package's files and folders."""
    return ["/" + line.lstrip("/") for line in process.output(_filled(_database(manager).files, name)).splitlines()]


def owners(paths: t.Sequence[str], manager: str) -> dict[str, str]:
    """Path -> the package that owns it, for those that a package owns."""
    database = _database(manager)
    if not paths or process.find(database.search[0]) is None:
        return {}
    text = process.run([*database.search, *paths], timeout=120).stdout
    found = {match["path"]: match["package"] for match in re.finditer(database.owner, text, re.MULTILINE)}
    return {path: found[path] for path in paths if path in found}


def install(name: str, manager: str) -> None:
    process.output(_filled(MANAGERS[manager].install, name), env=_environment(), timeout=900)


def remove(name: str, manager: str) -> None:
    process.output(_filled(_database(manager).remove, name), env=_environment(), timeout=300)


def is_needed(name: str, manager: str) -> bool:
    """Whether it cannot be removed without others that need it."""
    return process.run(_filled(_database(manager).rehearse, name), env=_environment(), timeout=120).returncode != 0


def unpack(name: str, manager: str, folder: str) -> str:
    """Downloads a package that is not installed into a folder of ours and unpacks it there. Returns its root."""
    process.output(_filled(MANAGERS[manager].download, name), env=_environment(), timeout=600, cwd=folder)
    pattern = rf"{re.escape(name)}[-_][0-9].*\.(deb|rpm|apk|pkg\.tar(\.\w+)?)"
    found = [path for path in glob.glob(f"{glob.escape(folder)}/**", recursive=True) if re.fullmatch(pattern, os.path.basename(path))]
    if len(found) != 1:
        raise NodeError(f"{MANAGERS[manager].download[0]} brought {len(found)} files of the package {name} instead of one")
    root = os.path.join(folder, ".root")
    make_folder(root, 0o755)
    process.pipe([_filled(argv, name, file=found[0], folder=root) for argv in _database(manager).unpack], cwd=root)
    return root


def repositories(manager: str) -> dict[str, str]:
    """Path -> text of each file that names repositories."""
    paths = sorted(path for pattern in MANAGERS[manager].repositories for path in glob.glob(pattern))
    return {path: read_text(path) or "" for path in paths}


def _database(manager: str) -> Database:
    return DATABASES[MANAGERS[manager].database]


def _filled(argv: t.Sequence[str], name: str, *, file: str = "", folder: str = "") -> list[str]:
    return [{NAME: name, FILE: file, FOLDER: folder}.get(word, word) for word in argv]


def _environment() -> dict[str, str]:
    """No questions, and the proxies that the run has."""
    proxies = {f"{kind}_proxy" for kind in ("http", "https", "ftp", "all", "no")}
    return {"DEBIAN_FRONTEND": "noninteractive", **{name: value for name, value in os.environ.items() if name.lower() in proxies}}

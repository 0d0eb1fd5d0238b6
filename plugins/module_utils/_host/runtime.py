# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import re
import typing as t

from .._errors import NodeError
from . import process
from .files import read_text
from .paths import is_path
from .plugins import Probes, probe_runtime

CONTAINERD = "/etc/containerd/config.toml"
CRIO = ("/etc/crio/crio.conf", "/etc/crio/crio.conf.d")
#: What containerd's CRI is called where plugins are switched off.
_CRI = {"cri", "io.containerd.grpc.v1.cri"}


class Settings(t.NamedTuple):
    """Where the node's container runtime looks for CNI plugins and configuration, and the file that says so.

    ``name`` is ``containerd`` or ``crio``; ``max_conf_num`` is containerd's (0: every file), ``default_network`` CRI-O's.
    """

    bin_dirs: tuple[str, ...] = ("/opt/cni/bin",)
    conf_dir: str = "/etc/cni/net.d"
    source: str = ""  # empty: nothing is configured, these are every runtime's own defaults
    name: str = ""
    max_conf_num: int = 1
    default_network: str = ""


def read() -> Settings:
    """The settings of containerd (cni.md 7.1), else of CRI-O (7.2), else the defaults that they share. A containerd whose
    CRI is switched off, as Docker installs it, does not count."""
    text = read_text(CONTAINERD)
    tables = {} if text is None else _tables(CONTAINERD, text)
    if text is not None and not _is_off(tables):
        return _settings(CONTAINERD, tables)
    texts = {path: read_text(path) for path in [CRIO[0], *_drop_ins(CRIO[1])]}
    network: dict[str, t.Any] = {}
    last = ""
    for path, text in texts.items():  # each file wins over those before it, key by key (crio.conf.d(5))
        if text is not None:
            said = _table(_tables(path, text), "crio", "network")
            network.update(said)
            last = path if said or not last else last
    return _settings(last, {"crio": {"network": network}}) if last else Settings()


class Installed(t.NamedTuple):
    """A container runtime that is there: ``containerd``, ``crio``, ``dockershim`` (its heir cri-dockerd) or ``podman``, and its
    release, "" when that is not known."""

    name: str
    release: str = ""

    def __str__(self) -> str:
        return f"{self.name} {self.release}" if self.release else self.name


def installed(settings: Settings, probes: Probes) -> Installed | None:
    """The runtime that has the node's pods: the one that is configured, else the first of these that is installed. cri-dockerd
    is there for nothing else, but brings containerd along; podman has its own pods on any node; a containerd without CRI has none."""
    off = _is_off(_tables(CONTAINERD, read_text(CONTAINERD) or ""))
    for name in [settings.name] if settings.name else ["dockershim", "containerd", "crio", "podman"]:
        path = None if off and name == "containerd" else process.find("cri-dockerd" if name == "dockershim" else name)
        if path is not None:
            return Installed(name, _release(path, probes))
    return None


def _release(path: str, probes: Probes) -> str:
    """``1.6.20`` of ``containerd github.com/containerd/containerd 1.6.20~ds1 ...``; "" where the program does not say."""
    try:
        said = probes.of(path, probe_runtime).about
    except NodeError:
        return ""
    found = re.search(r"(?:^|\s)v?([0-9]+(?:\.[0-9]+){1,2})(?![0-9.])", said)
    return found[1] if found else ""


def _is_off(containerd: t.Mapping[str, t.Any]) -> bool:
    return bool(_CRI & set(_texts(containerd.get("disabled_plugins"))))


def _drop_ins(folder: str) -> list[str]:
    names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
    return [os.path.join(folder, name) for name in names if name.endswith(".conf")]


def _settings(path: str, tables: dict[str, t.Any]) -> Settings:
    if path == CONTAINERD:
        plugins = {**_table(tables, "plugins"), **_imported_plugins(tables)}
        cni = _table(plugins, "io.containerd.grpc.v1.cri", "cni") or _table(plugins, "io.containerd.cri.v1.runtime", "cni")
        folders, conf_dir = cni.get("bin_dirs") or cni.get("bin_dir"), cni.get("conf_dir")
        rest: dict[str, t.Any] = {"name": "containerd", "max_conf_num": _number(cni.get("max_conf_num"), 1)}
    else:
        network = _table(tables, "crio", "network")
        folders, conf_dir = network.get("plugin_dirs"), network.get("network_dir")
        rest = {"name": "crio", "default_network": str(network.get("cni_default_network") or "")}
    default = Settings()
    folders = [folders] if folders and isinstance(folders, str) else folders or list(default.bin_dirs)
    conf_dir = conf_dir or default.conf_dir
    if not isinstance(folders, list) or not all(isinstance(folder, str) for folder in [*folders, conf_dir]):
        raise NodeError(f"{path}: the folders of CNI plugins and configuration are {folders!r} and {conf_dir!r} (expected texts)")
    if not all(is_path(folder) for folder in [*folders, conf_dir]):
        raise NodeError(f"{path}: the folders of CNI plugins and configuration are {folders!r} and {conf_dir!r} (expected absolute paths)")
    return Settings(tuple(os.path.normpath(folder) for folder in folders), os.path.normpath(conf_dir), path, **rest)


def _number(value: t.Any, default: int) -> int:
    return value if isinstance(value, int) and value >= 0 else default


def _texts(value: t.Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def _imported_plugins(tables: dict[str, t.Any]) -> dict[str, t.Any]:
    """Plugin sections of the files that containerd's ``imports`` name; the last one of a name replaces those before."""
    plugins: dict[str, t.Any] = {}
    for pattern in _texts(tables.get("imports")):
        import glob  # most configurations import nothing

        for path in sorted(glob.glob(os.path.join(os.path.dirname(CONTAINERD), pattern))):
            plugins.update(_table(_tables(path, read_text(path) or ""), "plugins"))
    return plugins


def _table(tables: t.Any, *names: str) -> dict[str, t.Any]:
    for name in names:
        tables = tables.get(name, {}) if isinstance(tables, dict) else {}
    return tables if isinstance(tables, dict) else {}


def _tables(path: str, text: str) -> dict[str, t.Any]:
    try:
        import tomllib
    except ImportError:  # Python 3.10 and older have no TOML reader
        return _plain_tables(text)
    try:
        return tomllib.loads(text)
    except ValueError as error:
        raise NodeError(f"{path} is not TOML: {error}") from error


_TEXT = r"\"[^\"\n]*\"|'[^'\n]*'"
_WORD = rf"(?:{_TEXT}|[A-Za-z0-9_-]+)"
_KEY = rf"{_WORD}(?:[ \t]*\.[ \t]*{_WORD})*"
_LIST = rf"\[(?:{_TEXT}|[^\]\"'])*\]"
_HEADER = rf"\[[ \t]*(?P<header>{_KEY})[ \t]*\]|(?P<array>\[\[).*"
_SETTING = rf"(?P<key>{_KEY})[ \t]*=[ \t]*(?P<value>{_LIST}|{_TEXT}|[0-9]+)"
_LINE = re.compile(rf"^[ \t]*(?:{_HEADER}|{_SETTING})\s*$", re.MULTILINE)


def _plain_tables(text: str) -> dict[str, t.Any]:
    """Table headers and ``key = "text"``, ``key = ["text", …]`` or ``key = 3``: all that the settings read here are made of."""
    root: dict[str, t.Any] = {}
    table = root
    text = re.sub(rf"({_TEXT})|#[^\n]*", lambda match: match.group(1) or "", text)  # without comments
    for line in _LINE.finditer(text):
        if line["array"]:
            table = {}  # one of a list of tables: none of ours
        elif line["header"]:
            table = _inner(root, _words(line["header"]))
        else:
            *outer, key = _words(line["key"])
            _inner(table, outer)[key] = _value(line["value"])
    return root


def _value(text: str) -> t.Any:
    texts = [found[1:-1] for found in re.findall(_TEXT, text)]
    if text.startswith("["):
        return texts
    return texts[0] if texts else int(text)


def _words(key: str) -> list[str]:
    """The words of a dotted key, without their quotes."""
    return [word[1:-1] if word[0] in "\"'" else word for word in re.findall(_WORD, key)]


def _inner(table: dict[str, t.Any], keys: t.Iterable[str]) -> dict[str, t.Any]:
    for key in keys:
        table = table.setdefault(key, {})
    return table

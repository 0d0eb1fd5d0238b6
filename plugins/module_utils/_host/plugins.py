# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import contextlib
import json
import mmap
import os
import re
import stat
import struct
import subprocess
import sys
import types
import typing as t

from .._errors import NodeError
from . import files, kept
from .process import Answer, Question, an_answer, ask_each, seen

#: What programs answered. In /run, because the numbers of devices, which are part of a file's identity, change at a boot.
CACHE = "/run/kubenode-network/plugins.json"
SCHEMA = 1

# A struct's tag, as Go keeps it in the binary for its JSON decoder: json:"portIsolation,omitempty".
_TAG = re.compile(rb'json:"([A-Za-z0-9_.-]+)[",]')

# What a plugin adds to its name when it is asked for nothing (libcni's skel since 1.0): the same as its answer to VERSION, a process less.
# A script may do something else when it is asked.
_SUPPORTED = re.compile(r"^CNI protocol versions supported: ([0-9]+(?:\.[0-9]+)*(?:, [0-9]+(?:\.[0-9]+)*)*)$", re.MULTILINE)

#: The machine of an ELF file as (class, byte order, e_machine), by its name in the archives of the plugins' releases.
ELF_MACHINES = {
    (2, 1, 62): "amd64",
    (1, 1, 3): "386",
    (1, 1, 40): "arm",
    (2, 1, 183): "arm64",
    (2, 1, 21): "ppc64le",
    (2, 2, 21): "ppc64",
    (2, 2, 22): "s390x",
    (2, 1, 243): "riscv64",
    (2, 1, 8): "mips64le",
    (2, 2, 8): "mips64",
    (2, 1, 258): "loong64",
}
#: The same by what ``uname -m`` says.
UNAME_MACHINES = {
    "x86_64": "amd64",
    "aarch64": "arm64",
    "loongarch64": "loong64",
    "mips64": "mips64le" if sys.byteorder == "little" else "mips64",
    **{f"i{digit}86": "386" for digit in range(3, 7)},
}
SCRIPT = "a script"


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


class Probe(t.NamedTuple):
    """What a program says of itself. ``versions``: its answer to VERSION. ``about``: what it prints when it is only asked
    what it is. ``tags``: the JSON names of its structs."""

    versions: tuple[str, ...] = ()
    about: str = ""
    tags: frozenset[str] = frozenset()

    def as_dict(self) -> dict[str, t.Any]:
        return {"versions": list(self.versions), "about": self.about, "tags": sorted(self.tags)}

    @classmethod
    def from_dict(cls, data: t.Mapping[str, t.Any]) -> Probe:
        """Raises ValueError, KeyError or TypeError where ``data`` is none of ``as_dict``."""
        texts = [*data["versions"], data["about"], *data["tags"]]
        if not all(isinstance(text, str) for text in texts):
            raise ValueError("not a probe")
        return cls(tuple(data["versions"]), data["about"], frozenset(data["tags"]))


def probe(path: str) -> Probe:
    """Asks a CNI plugin for its versions."""
    return Probe(tuple(supported_versions(path)))


def probe_reference(path: str, said: str | None = None, answer: Answer | None = None) -> Probe:
    """Asks a reference plugin for all, except for what it has ``said`` of itself already, and its ``answer`` to VERSION; others may do
    anything when they are run without a command."""
    versions = None
    if said is None:
        _refuse_unexecutable(path)
        result = an_answer([path], ask_each([Question([path])], timeout=20)[0])
        said, supported = _first_line(result), _SUPPORTED.search(result.stderr)
        versions = supported[1].split(", ") if supported and kept.is_elf(path) else None
    return Probe(tuple(supported_versions(path, answer) if versions is None else versions), said, _tags(path))


def probe_runtime(path: str) -> Probe:
    """Asks a container runtime what it is."""
    return Probe(about=seen([path, "--version"], timeout=20))


def ask_versions(paths: t.Sequence[str], said: t.Mapping[str, Said] = types.MappingProxyType({})) -> list[Answer]:
    """What plugins answer to VERSION, for ``supported_versions``. ``said``: those that were asked already."""
    data = '{"cniVersion": "1.0.0"}'
    answers = {path: one.versions for path, one in said.items() if one.versions is not None}
    late = [path for path in paths if path not in answers]
    answers.update(zip(late, ask_each([Question([path], data, {"CNI_COMMAND": "VERSION", "CNI_PATH": os.path.dirname(path)}) for path in late], timeout=20)))
    return [answers[path] for path in paths]


def supported_versions(path: str, answer: Answer | None = None) -> list[str]:
    """The CNI spec versions that a plugin says it supports (SPEC section 2, VERSION)."""
    _refuse_unexecutable(path)
    result = an_answer([path], ask_versions([path])[0] if answer is None else answer)
    try:
        versions = list(json.loads(result.stdout)["supportedVersions"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        said = (result.stderr or result.stdout).strip().replace("\n", "; ")[:200]
        raise NodeError(f"{path} does not answer VERSION as a CNI plugin does: {said or 'it prints nothing'}") from error
    return [version for version in versions if isinstance(version, str)]


def _refuse_unexecutable(path: str) -> None:
    if not os.stat(path).st_mode & stat.S_IXUSR:
        raise NodeError(f"{path} is not executable")


def _tags(path: str) -> frozenset[str]:
    found = set()
    with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        at = data.find(b'json:"')
        while at >= 0:
            tag = _TAG.match(data, at)
            found.update([tag[1].decode()] if tag else [])
            at = data.find(b'json:"', at + 1)
    return frozenset(found)


class Probes:
    """Answers of programs, each asked once for as long as its file stays the one it is.

    Those of files that may change without a sign are not kept: scripts, which run other programs. Those of binaries that are not
    installed yet are, for this run.
    """

    def __init__(self, entries: dict[str, tuple[list[int], Probe]] | None = None) -> None:
        self._entries = entries or {}
        self._is_new = False

    @classmethod
    def load(cls, path: str = CACHE) -> Probes:
        """The answers of earlier runs, or none where they cannot be read or trusted."""
        try:
            return cls({name: (item["key"], Probe.from_dict(item)) for name, item in _read(path).items()})
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return cls()

    def of(self, path: str, ask: t.Callable[[str], Probe]) -> Probe:
        """The program's answer, or NodeError."""
        key = kept.identity(path)
        known = self._entries.get(path)
        if known and known[0] == key:
            return known[1]
        answer = ask(path)
        if kept.is_elf(path) and kept.identity(path) == key:
            self._entries[path] = (key, answer)
            self._is_new = self._is_new or not _is_passing(path)
        return answer

    def save(self, path: str = CACHE) -> None:
        """Keeps the answers if there are new ones, without those of files that are gone. Failing is no error: programs will
        be asked again."""
        if not self._is_new:
            return
        probes = {name: {"key": key, **answer.as_dict()} for name, (key, answer) in self._entries.items() if os.path.isfile(name) and not _is_passing(name)}
        text = json.dumps({"schema": SCHEMA, "probes": probes})
        with contextlib.suppress(NodeError, OSError):
            files.make_folder(os.path.dirname(path), 0o700)
            files.write(path, files.Bytes(text.encode()), mode=0o600)


def _read(path: str) -> dict[str, t.Any]:
    """The probes in the cache."""
    data = json.loads(kept.read_own(path))
    if data["schema"] != SCHEMA:
        raise ValueError(f"{path} is of another release of this collection")
    return data["probes"]


def _is_passing(path: str) -> bool:
    return path.startswith(("/proc/", f"{files.SCRATCH}/"))


def abouts(paths: t.Sequence[str], said: t.Mapping[str, Said] = types.MappingProxyType({})) -> list[str]:
    """What plugins say of themselves when they are asked for nothing: ``CNI bridge plugin v1.6.0``, or of Debian's
    ``CNI bridge plugin version unknown``. Empty where one says nothing. ``said``: those that were asked already."""
    late = [path for path in paths if path not in said]
    answers = {path: one.about for path, one in said.items()}
    answers.update(zip(late, ask_each([Question([path]) for path in late], timeout=20)))
    return [_first_line(an_answer([path], answers[path])) for path in paths]


def _first_line(result: subprocess.CompletedProcess[str]) -> str:
    return result.stderr.strip().partition("\n")[0]


class Said(t.NamedTuple):
    """What a plugin answers when it is asked for nothing and, where that has no release, to VERSION."""

    about: Answer
    versions: Answer | None


def ask_release(path: str) -> Said:
    """For a thread of its own."""
    (about,) = ask_each([Question([path])], timeout=20)
    names_release = not isinstance(about, NodeError) and release_in(_first_line(about)) is not None
    return Said(about, None if names_release else ask_versions([path])[0])


def release_in(about: str) -> str | None:
    match = re.search(r" (v[0-9]+\.[0-9]+\.[0-9]+\S*)$", about)
    return match.group(1) if match else None


def architectures() -> list[str]:
    """What this node runs: its kernel's architecture, and that of its programs where it is another (a 32-bit system below a
    64-bit kernel)."""
    machine = os.uname().machine
    kernel = "arm" if machine.startswith("armv") else UNAME_MACHINES.get(machine, machine)
    return list(dict.fromkeys([kernel, architecture("/proc/self/exe") or kernel]))


def architecture(path: str) -> str | None:
    """What an executable is made for, as ``amd64``, or ``SCRIPT``; None when it is no executable."""
    with open(path, "rb") as file:
        head = file.read(20)
    if head[:2] == b"#!":
        return SCRIPT
    if head[:4] != b"\x7fELF" or len(head) < 20:
        return None
    (machine,) = struct.unpack("<H" if head[5] == 1 else ">H", head[18:20])
    return ELF_MACHINES.get((head[4], head[5], machine), f"ELF machine {machine}")

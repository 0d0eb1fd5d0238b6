# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import os
import re
import sys
import typing as t

from .._converge import Part, Want
from .._errors import MissingProgram, Problem
from .._host import files, kept, process, services
from .._resource import Resource
from .._resources import dropin, file
from .base import Options, Run, defaults, removal
from .late import BOOT_SERVICE

NAME = "boot_service"
OPTIONS = BOOT_SERVICE
INSTANCE = "node"
#: What of ``desired`` this node chose.
AUTO = ("python",)
PROGRAM = "/usr/local/lib/kubenode-network/kubenode-network.pyz"
COMMAND = "/usr/local/sbin/kubenode-network"
UNIT = "kubenode-network.service"
WANTED_BY = "multi-user.target"
#: What must not start a pod before the network is there: container runtimes, and what starts pods by them.
BEFORE = (
    "containerd.service crio.service docker.service cri-docker.service podman.service podman-restart.service kubelet.service"
    " k3s.service k3s-agent.service rke2-server.service rke2-agent.service"
)
#: After network-pre.target: firewall services, which flush all rules when they start, are done by then. A failure stops
#: nothing: what comes after it is ordered, not bound. It needs no launcher: /usr/local may be mounted noexec.
UNIT_TEXT = f"""\
[Unit]
Description=Pod network of this node
Documentation=https://github.com/kubenode/network
Wants=network-pre.target
After=network-pre.target systemd-modules-load.service systemd-sysctl.service local-fs.target
Before={BEFORE}
ConditionPathExists=|/etc/kubenode-network/node.json
ConditionPathExists=|/var/lib/kubenode-network/journal.json
RequiresMountsFor={PROGRAM} /etc/kubenode-network

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart={{python}} -I {PROGRAM} apply
SuccessExitStatus=3
TimeoutStartSec=120

[Install]
WantedBy={WANTED_BY}
"""
PYTHON = "/usr/bin/python3"
OLDEST = (3, 9)


def check(options: Options) -> list[Problem]:
    if options["state"] == "absent":
        return []
    problems = [
        Problem(name, f"{options[name]!r} is not usable (expected an absolute path without .., of letters, digits, /, ., _, + and -)")
        for name in ("python", "program")
        if options[name] is not None and not _is_plain(options[name])
    ]
    if options["checksum"] is None:
        problems.append(Problem("checksum", "is missing (expected the module to run by its action plugin, which brings the program)"))
    elif not re.fullmatch("[0-9a-f]{64}", options["checksum"]):
        problems.append(Problem("checksum", f"{options['checksum']!r} is not a SHA-256 (expected 64 hexadecimal digits, in lower case)"))
    return problems


def _is_plain(path: str) -> bool:
    return re.fullmatch(r"/[A-Za-z0-9/._+-]+", path) is not None and ".." not in path.split("/")


def parts(options: Options, run: Run) -> list[Part]:
    if options["state"] == "absent":
        return [removal(NAME, INSTANCE, revive)]
    python = _python(options["python"], run)
    program = _program(options, run)
    if run.problems:
        return []
    desired = {"python": python, "program": program.sha256, "systemd": services.systemd_installed()}
    run.results[NAME] = {"command": COMMAND, "unit": UNIT if desired["systemd"] else None, **desired}
    wants = _file_wants(file.File(PROGRAM, program, binary=True), 0o644, run)
    launcher = f'#!/bin/sh\n# Written by kubenode.network.{NAME}\nexec {python} -I {PROGRAM} "$@"\n'
    wants += _file_wants(file.File(COMMAND, files.Bytes(launcher.encode())), 0o755, run)
    if desired["systemd"]:
        wants += unit_wants(UNIT, f"# Written by kubenode.network.{NAME}\n{UNIT_TEXT.format(python=python)}", run)
    else:
        text = f"systemd is not on this node, so nothing brings the network back after a boot (expected its init to run {COMMAND} apply"
        run.warnings.append(f"{NAME}: {text} before the container runtime starts); everything else is done")
    return [Part(NAME, INSTANCE, desired, wants, revive)]


def resolved(desired: Options) -> Options:
    return {**defaults(OPTIONS), "python": desired["python"], "checksum": desired["program"]}


def _file_wants(resource: file.File, mode: int, run: Run) -> list[Want]:
    return [*file.folder_wants(os.path.dirname(resource.path), run.document), Want(resource, resource.wanted(mode))]


def unit_wants(name: str, text: str, run: Run) -> list[Want]:
    """A unit of systemd that every boot starts."""
    path = os.path.join(dropin.UNITS, name)
    unit = dropin.DropIn(path, files.Bytes(text.encode()))
    link = dropin.DropIn(os.path.join(dropin.UNITS, f"{WANTED_BY}.wants", name))
    folders = file.folder_wants(os.path.dirname(link.path), run.document)
    return [*folders, Want(unit, unit.wanted()), Want(link, {"symlink": path})]


def _python(given: str | None, run: Run) -> str:
    """The interpreter that runs the program: the system's own, which stays, rather than the one that Ansible happens to use."""
    python = given or _default_python()
    if not os.path.isfile(python) or not os.access(python, os.X_OK):
        run.refuse("python", f"{python!r} is not there on the node, or cannot be run (expected Python {_dotted(OLDEST)} or newer)")
    elif _version(python) < OLDEST:
        run.refuse("python", f"{python!r} is Python {_dotted(_version(python)) or 'of no known version'} (expected {_dotted(OLDEST)} or newer)")
    return python


def _default_python() -> str:
    return PYTHON if os.path.exists(PYTHON) and _version(PYTHON) >= OLDEST else sys.executable


def _version(python: str) -> tuple[int, ...]:
    """Its version, () for what does not say; the one that runs this need not be asked."""
    if os.path.realpath(python) == os.path.realpath(sys.executable):
        return sys.version_info[:2]
    said = kept.said_by(python, "python", _ask_version)
    return tuple(int(word) for word in said.split() if word.isdigit())


def _ask_version(python: str) -> str:
    answer = process.look([python, "-I", "-S", "-c", "import sys; print(*sys.version_info[:2])"], timeout=10)
    return answer.stdout if answer.returncode == 0 else ""


def _dotted(version: t.Sequence[int]) -> str:
    return ".".join(map(str, version))


class _Absent:
    """A program that is known by its hash alone: enough to plan with, and as long as it is installed."""

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256

    def chunks(self) -> t.Iterator[bytes]:
        raise MissingProgram(self.sha256)


def _program(options: Options, run: Run) -> files.Content:
    """The program as it was sent, or if it was not, the one that is installed."""
    if options["program"] is None:
        if (files.state(PROGRAM, kept.sha256_of) or {}).get("sha256") != options["checksum"]:
            run.planned.missing_program = options["checksum"]
        return _Absent(options["checksum"])
    if not os.path.isfile(options["program"]) or files.sha256_of(options["program"]) != options["checksum"]:
        run.refuse("program", f"{options['program']!r} did not arrive on the node as it was sent (expected SHA-256 {options['checksum']})")
    return files.FileContent(options["program"], options["checksum"])


def finish(run: Run) -> None:
    """Asks for the program when nothing else is wrong, so that it is sent but once; a plan needs no more than its hash."""
    if run.planned.missing_program is not None and not run.check:
        raise MissingProgram(run.planned.missing_program)


def revive(object_id: str) -> Resource:
    return file.File(PROGRAM, binary=True) if object_id == f"file:{PROGRAM}" else dropin.revive(object_id)

# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t


class Problem(t.NamedTuple):
    """One thing wrong with the input: the option's path (``plugins[1].ipam.subnet``) and what is wrong, with the
    value and what is accepted."""

    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else self.message

    def under(self, prefix: str) -> Problem:
        """The same problem seen from one level up: ``mtu`` under ``kubenet_bridge`` is ``kubenet_bridge.mtu``."""
        glue = "" if not self.path or self.path.startswith("[") else "."
        return Problem(f"{prefix}{glue}{self.path}" if prefix else self.path, self.message)


class KubenodeError(Exception):
    """Root of what this collection raises on purpose. ``warnings``: what was done before, which no message of an error says."""

    warnings: t.Sequence[str] = ()


class InputError(KubenodeError):
    """The input is wrong. Raised before anything was touched, with all problems found together."""

    def __init__(self, problems: t.Sequence[Problem]) -> None:
        self.problems = list(problems)
        super().__init__("; ".join(str(problem) for problem in self.problems))


class NodeError(KubenodeError):
    """The node could not be read or changed."""


class Stays(NodeError):
    """Something is not put back as it was, and need not be."""


class InUse(NodeError):
    """Something is not put back as it was, since pods use it by now. It is to be remembered who made it."""


class Passing(NodeError):
    """A program was killed, or short of something: that passes, and nothing follows from it."""


class MissingProgram(NodeError):
    """The program of this SHA-256 has to be brought to the node first. Nothing was touched."""

    def __init__(self, sha256: str) -> None:
        self.sha256 = sha256
        super().__init__(f"the program (SHA-256 {sha256[:12]}) is not on the node (expected Ansible to bring it; run the playbook)")

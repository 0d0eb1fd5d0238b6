# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

import typing as t

from . import _transaction
from ._errors import NodeError

OPTIONS: dict[str, t.Any] = {
    "run": {"type": "str"},
    "state": {"type": "str", "choices": ["confirmed", "reverted"], "default": "confirmed"},
}


def settle(options: t.Mapping[str, t.Any], *, check: bool) -> dict[str, t.Any]:
    """Confirms or reverts the change that waits. Returns the module's result."""
    decide = _transaction.confirm if options["state"] == "confirmed" else _transaction.revert
    answer = decide(options["run"], check=check)
    if answer.undone is not None and answer.undone.stuck:
        raise NodeError(f"the change of the run {answer.run} could not be taken back: {answer.undone}")
    left = answer.undone is not None and (answer.undone.kept or answer.undone.stays)
    warnings = [f"the change of the run {answer.run} is taken back; {answer.undone}"] if left else []
    return {"changed": answer.changed, "run": answer.run, "warnings": warnings}

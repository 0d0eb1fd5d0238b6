# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

# Private to the collection: may change at any time.

from __future__ import annotations

DOCUMENTATION = """
name: pull_results
type: notification
short_description: writes what each task came to, as JSON lines
description: Writes to the file that E(KUBENODE_PULL_RESULTS) names.
requirements: [enabled in the configuration]
"""

import json
import os
import typing as t

from ansible.plugins.callback import CallbackBase

_LONGEST = 2000


class CallbackModule(CallbackBase):  # type: ignore[misc]  # ansible has no types
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "pull_results"
    CALLBACK_NEEDS_ENABLED = True

    def _write(self, result: t.Any, *, failed: bool) -> None:
        data = result.result if hasattr(result, "result") else result._result  # public since ansible-core 2.19
        message = " ".join(str(data.get("msg") or data.get("stderr") or "").split())[:_LONGEST] if failed else None
        record = {"failed": failed, "changed": bool(data.get("changed")), "message": message}
        with open(os.environ["KUBENODE_PULL_RESULTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")

    def v2_runner_on_ok(self, result: t.Any) -> None:
        self._write(result, failed=False)

    def v2_runner_on_failed(self, result: t.Any, ignore_errors: bool = False) -> None:
        self._write(result, failed=not ignore_errors)

    def v2_runner_on_unreachable(self, result: t.Any) -> None:
        self._write(result, failed=True)

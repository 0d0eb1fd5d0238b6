# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

import gc
import json
import os
import time

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: results
type: notification
short_description: writes each task result and the recap as JSON lines
description: Writes to the file that E(TESTBED_RESULTS) names.
requirements: [enabled in the configuration]
"""


class CallbackModule(CallbackBase):
    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "notification"
    CALLBACK_NAME = "results"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self):
        super().__init__()
        self._started = {}
        gc.disable()  # here and in the workers: a tenth of a test's plays

    def v2_runner_on_start(self, host, task):
        self._started[host.get_name(), task._uuid] = time.monotonic()

    def _write(self, record):
        with open(os.environ["TESTBED_RESULTS"], "a", encoding="utf-8") as file:
            file.write(json.dumps(record, default=str) + "\n")

    def _task(self, result, status):
        # ansible-core 2.19 gave the private attributes public names
        task, host, data = (getattr(result, name, None) or getattr(result, "_" + name) for name in ("task", "host", "result"))
        seconds = time.monotonic() - self._started.pop((host.get_name(), task._uuid))
        self._write({"task": task.get_name(), "action": task.action, "host": host.get_name(), "status": status, "seconds": seconds,
                     "result": dict(data)})

    def v2_runner_on_ok(self, result):
        self._task(result, "ok")

    def v2_runner_on_failed(self, result, ignore_errors=False):
        self._task(result, "ignored" if ignore_errors else "failed")

    def v2_runner_on_skipped(self, result):
        self._task(result, "skipped")

    def v2_runner_on_unreachable(self, result):
        self._task(result, "unreachable")

    def v2_playbook_on_stats(self, stats):
        self._write({"stats": {host: stats.summarize(host) for host in stats.processed}})

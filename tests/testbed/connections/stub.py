# Copyright (c) 2026, the kubenode.network authors
# GNU General Public License v3.0 or later (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node that costs nothing: every module has succeeded at once, and changed nothing."""

from __future__ import annotations

DOCUMENTATION = """
name: stub
author: the kubenode.network authors
short_description: answer at once
description: What the controller does for a node is then all that is done.
extends_documentation_fragment: [connection_pipelining]
options: {}
"""

import json  # noqa: E402
import os  # noqa: E402

from ansible.plugins.connection import ConnectionBase  # noqa: E402

#: ``msg``: what slurp says of a node that has nothing of ours.
NOTHING = {"msg": "File not found: /etc/kubenode-network/node.json"}
ANSWER = json.dumps({"changed": False, "changes": [], "warnings": [], "diff": [], **NOTHING}).encode()


class Connection(ConnectionBase):
    transport = "stub"
    has_pipelining = True

    def _connect(self):
        return self

    def exec_command(self, cmd, in_data=None, sudoable=True):
        super().exec_command(cmd, in_data=in_data, sudoable=sudoable)
        if "STUB_SENT" in os.environ:  # where to note how many bytes a node would have been sent
            with open(os.environ["STUB_SENT"], "a") as notes:
                notes.write(f"{len(in_data or b'')}\n")
        return 0, ANSWER, b""

    def put_file(self, in_path, out_path):
        raise AssertionError(f"{in_path}: a run that changes nothing sends no file")

    def fetch_file(self, in_path, out_path):
        raise AssertionError(f"{in_path}: a run that changes nothing fetches no file")

    def close(self):
        pass
